//! The ChaCha20 block function: from a key, a counter and a nonce, 64 bytes that look like noise to whoever lacks the key.
//!
//! Sixteen words, four of them constant; ten times the same round on columns and on diagonals; then the words as they were
//! at first are added, without which all of it could be run backwards.
//! Source: RFC 8439 §2.1 to 2.4.

/// Bytes of a key.
pub const KEY: usize = 32;
/// Bytes of a block.
pub const BLOCK: usize = 64;
/// "expand 32-byte k".
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646E, 0x7962_2D32, 0x6B20_6574];

/// A stream of blocks.
pub struct ChaCha20 {
    words: [u32; 16],
}

impl ChaCha20 {
    pub fn new(key: &[u8; KEY], nonce: &[u8; 12], counter: u32) -> Self {
        let mut words = [0; 16];
        words[..4].copy_from_slice(&CONSTANTS);
        words[12] = counter;
        let (keys, nonces) = (key.chunks_exact(4), nonce.chunks_exact(4));
        let places = (4..12).zip(keys).chain((13..16).zip(nonces));
        for (at, bytes) in places {
            words[at] = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        }
        Self { words }
    }

    /// The next block.
    pub fn block(&mut self, out: &mut [u8; BLOCK]) {
        let mut x = self.words;
        // Written out, so that the places are constants and the words stay in registers, but for a few.
        for _ in 0..10 {
            quarter_round::<0, 4, 8, 12>(&mut x);
            quarter_round::<1, 5, 9, 13>(&mut x);
            quarter_round::<2, 6, 10, 14>(&mut x);
            quarter_round::<3, 7, 11, 15>(&mut x);
            quarter_round::<0, 5, 10, 15>(&mut x);
            quarter_round::<1, 6, 11, 12>(&mut x);
            quarter_round::<2, 7, 8, 13>(&mut x);
            quarter_round::<3, 4, 9, 14>(&mut x);
        }
        for ((to, word), first) in out.chunks_exact_mut(4).zip(x).zip(self.words) {
            to.copy_from_slice(&word.wrapping_add(first).to_le_bytes());
        }
        self.words[12] = self.words[12].wrapping_add(1);
        wipe(&mut x);
    }

    /// The bytes of the blocks that come next, without a rest that would be kept.
    pub fn fill(&mut self, out: &mut [u8]) {
        let mut block = [0; BLOCK];
        for piece in out.chunks_mut(BLOCK) {
            self.block(&mut block);
            piece.copy_from_slice(&block[..piece.len()]);
        }
        wipe(&mut block);
    }
}

impl Drop for ChaCha20 {
    fn drop(&mut self) {
        wipe(&mut self.words);
    }
}

#[inline(always)]
fn quarter_round<const A: usize, const B: usize, const C: usize, const D: usize>(x: &mut [u32; 16]) {
    for [one, two] in [[16, 12], [8, 7]] {
        x[A] = x[A].wrapping_add(x[B]);
        x[D] = (x[D] ^ x[A]).rotate_left(one);
        x[C] = x[C].wrapping_add(x[D]);
        x[B] = (x[B] ^ x[C]).rotate_left(two);
    }
}

/// Overwrites what must not be found in memory later; the compiler does not see that nobody reads it.
pub fn wipe<T: Copy + Default>(secret: &mut [T]) {
    secret.fill(T::default());
    core::hint::black_box(secret);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// RFC 8439 §2.3.2.
    #[test]
    fn the_block_of_the_rfc() {
        let key: [u8; 32] = core::array::from_fn(|at| at as u8);
        let nonce = [0, 0, 0, 9, 0, 0, 0, 0x4A, 0, 0, 0, 0];
        let mut out = [0; 64];
        ChaCha20::new(&key, &nonce, 1).block(&mut out);
        let wanted =
            "10 f1 e7 e4 d1 3b 59 15 50 0f dd 1f a3 20 71 c4 c7 d1 f4 c7 33 c0 68 03 04 22 aa 9a c3 d4 6c 4e
            d2 82 64 46 07 9f aa 09 14 c2 d7 05 d9 8b 02 a2 b5 12 9c d1 de 16 4e b9 cb d0 83 e8 a2 50 3c 4e";
        assert_eq!(out.to_vec(), hex(wanted));
    }

    /// RFC 8439 §2.4.2: a text of 114 bytes, two blocks, exclusive-ored with the stream.
    #[test]
    fn the_cipher_text_of_the_rfc() {
        let key: [u8; 32] = core::array::from_fn(|at| at as u8);
        let nonce = [0, 0, 0, 0, 0, 0, 0, 0x4A, 0, 0, 0, 0];
        let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let mut out = [0; 114];
        ChaCha20::new(&key, &nonce, 1).fill(&mut out);
        out.iter_mut().zip(text).for_each(|(byte, plain)| *byte ^= plain);
        let wanted =
            "6e 2e 35 9a 25 68 f9 80 41 ba 07 28 dd 0d 69 81 e9 7e 7a ec 1d 43 60 c2 0a 27 af cc fd 9f ae 0b
            f9 1b 65 c5 52 47 33 ab 8f 59 3d ab cd 62 b3 57 16 39 d6 24 e6 51 52 ab 8f 53 0c 35 9f 08 61 d8
            07 ca 0d bf 50 0d 6a 61 56 a3 8e 08 8a 22 b6 5e 52 bc 51 4d 16 cc f8 06 81 8c e9 1a b7 79 37 36
            5a f9 0b bf 74 a3 5b e6 b4 0b 8e ed f2 78 5e 42 87 4d";
        assert_eq!(out.to_vec(), hex(wanted));
    }

    /// RFC 8439 appendix A.1, test vectors 1 and 2: a key of zeros.
    #[test]
    fn the_stream_of_zeros() {
        let mut out = [0; 128];
        ChaCha20::new(&[0; 32], &[0; 12], 0).fill(&mut out);
        let wanted = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7
            da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586
            9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed
            29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f";
        assert_eq!(out.to_vec(), hex(wanted));
    }
}
