//! The hash function BLAKE2s, 32 bytes long, with or without a key: what the entropy pool is.
//!
//! It is ChaCha's round on sixteen words, half of them the state, with the message's words added in another order in each
//! of ten rounds. A hash makes a good pool: whatever goes in, however little of it cannot be guessed, nothing that went in
//! before is lost, and what comes out says nothing about the rest.
//! Source: RFC 7693 §2 and 3.

use super::chacha::wipe;

/// Bytes of a hash, and of the longest key.
pub const HASH: usize = 32;
/// Bytes that are mixed in at a time.
const BLOCK: usize = 64;

const IV: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];

/// Which of the message's words each round takes, in order.
const SIGMA: [[u8; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/// A hash that grows.
pub struct Blake2s {
    state: [u32; 8],
    /// Bytes mixed in.
    count: u64,
    /// The last block is kept until it is known whether it is the last.
    block: [u8; BLOCK],
    len: usize,
}

impl Blake2s {
    /// Without a key, it is `&[]`; at most 32 bytes of one are used.
    pub const fn new(key: &[u8]) -> Self {
        let key_len = if key.len() > HASH { HASH } else { key.len() };
        let mut state = IV;
        // Parameter block: lengths of hash and key, no tree.
        state[0] ^= 0x0101_0000 | (key_len as u32) << 8 | HASH as u32;
        let mut block = [0; BLOCK];
        let mut at = 0;
        while at < key_len {
            block[at] = key[at];
            at += 1;
        }
        Self { state, count: 0, block, len: if key_len > 0 { BLOCK } else { 0 } }
    }

    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.len == BLOCK {
                self.count += BLOCK as u64;
                self.compress(false);
                self.len = 0;
            }
            let len = bytes.len().min(BLOCK - self.len);
            let (now, later) = bytes.split_at(len);
            self.block[self.len..self.len + len].copy_from_slice(now);
            self.len += len;
            bytes = later;
        }
    }

    /// The hash of all that was given.
    pub fn finish(mut self) -> [u8; HASH] {
        self.count += self.len as u64;
        self.block[self.len..].fill(0);
        self.compress(true);
        let mut hash = [0; HASH];
        for (to, word) in hash.chunks_exact_mut(4).zip(self.state) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        hash
    }

    fn compress(&mut self, is_last: bool) {
        let mut m = [0; 16];
        for (word, bytes) in m.iter_mut().zip(self.block.chunks_exact(4)) {
            *word = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        }
        let mut v = [0; 16];
        v[..8].copy_from_slice(&self.state);
        v[8..].copy_from_slice(&IV);
        v[12] ^= self.count as u32;
        v[13] ^= (self.count >> 32) as u32;
        if is_last {
            v[14] = !v[14];
        }
        for order in &SIGMA {
            for (nth, pair) in order.chunks_exact(2).enumerate() {
                // Four columns, then four diagonals.
                let turn = usize::from(nth >= 4);
                let at = |row: usize| 4 * row + (nth + turn * row) % 4;
                mix(&mut v, [at(0), at(1), at(2), at(3)], m[usize::from(pair[0])], m[usize::from(pair[1])]);
            }
        }
        for (at, word) in self.state.iter_mut().enumerate() {
            *word ^= v[at] ^ v[at + 8];
        }
        wipe(&mut m);
        wipe(&mut v);
    }
}

impl Drop for Blake2s {
    fn drop(&mut self) {
        wipe(&mut self.state);
        wipe(&mut self.block);
    }
}

#[inline]
fn mix(v: &mut [u32; 16], [a, b, c, d]: [usize; 4], x: u32, y: u32) {
    for (word, [first, second]) in [(x, [16, 12]), (y, [8, 7])] {
        v[a] = v[a].wrapping_add(v[b]).wrapping_add(word);
        v[d] = (v[d] ^ v[a]).rotate_right(first);
        v[c] = v[c].wrapping_add(v[d]);
        v[b] = (v[b] ^ v[c]).rotate_right(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(key: &[u8], bytes: &[u8]) -> [u8; 32] {
        let mut hash = Blake2s::new(key);
        hash.update(bytes);
        hash.finish()
    }

    fn hex(hash: [u8; 32]) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 7693 appendix B.
    #[test]
    fn the_hash_of_the_rfc() {
        assert_eq!(
            hex(hash(b"", b"abc")),
            "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"
        );
    }

    /// Every length of message up to four blocks, and of key, hashed together: the sum is Python's hashlib's.
    #[test]
    fn all_lengths() {
        let bytes: Vec<u8> = (0..=260u32).map(|n| (n * 7 + 3) as u8).collect();
        let mut all = Blake2s::new(b"");
        for len in 0..=260 {
            all.update(&hash(b"", &bytes[..len]));
            all.update(&hash(&bytes[..len % 33], &bytes[..len]));
        }
        assert_eq!(hex(all.finish()), "eab41a3bc5674d8988b2039c8a1f623f603c017145eac0d99384b2a136bc680a");
    }

    #[test]
    fn pieces_make_no_difference() {
        let bytes = [0x5A; 300];
        for size in [1, 63, 64, 65, 128] {
            let mut pieces = Blake2s::new(b"key");
            bytes.chunks(size).for_each(|piece| pieces.update(piece));
            assert_eq!(pieces.finish(), hash(b"key", &bytes));
        }
    }
}
