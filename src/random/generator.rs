//! From a seed to as many bytes as anybody wants: ChaCha20 with fast key erasure, over all CPUs.
//!
//! ```text
//! pool ── seed ──► base key, generation n
//!                    │ drawn once for each CPU and generation
//!                    ▼
//!                  CPU's key ──► block: 32 bytes the CPU's next key │ 32 bytes for who asked
//!                                                                     └ a long request: the key of its own stream
//! ```
//!
//! Each draw overwrites the key that it was made with: who reads all of memory afterwards learns nothing of what was
//! given out before. The base's lock is taken once a CPU and generation, and not for bytes. A CPU that sees that the
//! generation is another than its key's draws a new one first: so a reseed reaches every CPU with its next request.
//!
//! Source: D. J. Bernstein, "Fast-key-erasure random-number generators" (2017).

use super::chacha::{BLOCK, ChaCha20, KEY, wipe};

/// A key, and the generation of the seed it comes from; 0 for none.
pub struct Generator {
    key: [u8; KEY],
    generation: u64,
}

impl Generator {
    pub const fn new() -> Self {
        Self { key: [0; KEY], generation: 0 }
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes over a key; it is wiped where it was.
    pub fn seed(&mut self, key: &mut [u8; KEY], generation: u64) {
        self.key = *key;
        self.generation = generation;
        wipe(key);
    }

    /// Mixes something in, for the time before there is a proper seed: nothing that is known is lost by it.
    pub fn stir(&mut self, bytes: &[u8; KEY]) {
        self.key.iter_mut().zip(bytes).for_each(|(key, byte)| *key ^= byte);
        wipe(&mut self.draw());
    }

    /// 32 bytes, and another key in the place of the one they were made with.
    pub fn draw(&mut self) -> [u8; KEY] {
        let mut block = [0; BLOCK];
        ChaCha20::new(&self.key, &[0; 12], 0).block(&mut block);
        let (key, given) = block.split_at(KEY);
        self.key.copy_from_slice(key);
        let given = given.try_into().expect("half a block");
        wipe(&mut block);
        given
    }
}

impl Default for Generator {
    fn default() -> Self {
        Self::new()
    }
}

/// Fills `out` from one draw: with it, or, where it is too short, with the stream that it is the key of.
pub fn expand(mut drawn: [u8; KEY], out: &mut [u8]) {
    if out.len() <= KEY {
        out.copy_from_slice(&drawn[..out.len()]);
    } else {
        // 256 GiB before the counter comes round: more than a request can be long, who asks in pieces.
        ChaCha20::new(&drawn, &[0; 12], 0).fill(out);
    }
    wipe(&mut drawn);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_erases_its_key() {
        let mut generator = Generator::new();
        generator.seed(&mut [7; 32], 1);
        let mut block = [0; 64];
        ChaCha20::new(&[7; 32], &[0; 12], 0).block(&mut block);
        assert_eq!(generator.draw(), block[32..]);
        assert_eq!(generator.key, block[..32], "the rest of the block is the next key");
        let mut next = [0; 64];
        ChaCha20::new(block[..32].try_into().unwrap(), &[0; 12], 0).block(&mut next);
        assert_eq!(generator.draw(), next[32..]);
    }

    #[test]
    fn seeding_wipes_the_seed_and_stirring_forgets_nothing() {
        let mut seed = [9; 32];
        let mut generator = Generator::new();
        generator.seed(&mut seed, 5);
        assert_eq!((seed, generator.generation()), ([0; 32], 5));
        let mut other = Generator::new();
        other.seed(&mut [9; 32], 5);
        other.stir(&[1; 32]);
        generator.stir(&[0; 32]);
        assert_ne!(generator.draw(), other.draw());
    }

    #[test]
    fn any_length_is_filled() {
        let mut seen = std::collections::BTreeSet::new();
        for len in [1usize, 31, 32, 33, 64, 65, 4096] {
            let mut out = vec![0; len];
            expand([len as u8; 32], &mut out);
            let zeros = out.iter().filter(|&&byte| byte == 0).count();
            assert!(len < 31 || zeros < len / 8, "{len}: {zeros} zeros");
            assert!(seen.insert(out));
        }
    }
}
