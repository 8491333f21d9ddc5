//! The entropy pool: everything that somebody might not be able to guess, hashed together, and an account of how much
//! of it that is.
//!
//! What goes in never hurts, whoever chose it; only what is *credited* needs to be believed. Once [`ENOUGH`] bits are
//! credited, a seed is drawn. The draw replaces the pool by a hash of what it was, so that the seed says nothing of the
//! pool that remains, nor the other way round, and a pool that is read out later says nothing of seeds drawn before.

use super::blake2s::{Blake2s, HASH};
use super::chacha::wipe;

/// Bits of a seed that nobody can guess.
pub const ENOUGH: u32 = 256;

pub struct Pool {
    hash: Blake2s,
    credit_bits: u32,
}

impl Pool {
    pub const fn new() -> Self {
        Self { hash: Blake2s::new(&[]), credit_bits: 0 }
    }

    /// Adds bytes, of which `bits` bits are taken to be unknown to everybody. True once there is enough for a seed.
    pub fn add(&mut self, bytes: &[u8], bits: u32) -> bool {
        self.hash.update(bytes);
        self.credit_bits = (self.credit_bits + bits).min(ENOUGH);
        self.is_full()
    }

    pub fn is_full(&self) -> bool {
        self.credit_bits >= ENOUGH
    }

    pub fn credit_bits(&self) -> u32 {
        self.credit_bits
    }

    /// A seed, of all that was added; `extra` is what the CPU's own generator says, or zeros. The account is empty then.
    pub fn draw(&mut self, extra: &[u8; HASH]) -> [u8; HASH] {
        let old = core::mem::replace(&mut self.hash, Blake2s::new(&[]));
        let mut root = old.finish();
        let derive = |purpose: u8| {
            let mut hash = Blake2s::new(&root);
            hash.update(extra);
            hash.update(&[purpose]);
            hash.finish()
        };
        let (mut next, seed) = (derive(0), derive(1));
        self.hash = Blake2s::new(&next);
        self.credit_bits = 0;
        wipe(&mut root);
        wipe(&mut next);
        seed
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_adds_up_to_enough_and_is_spent() {
        let mut pool = Pool::new();
        assert!(!pool.add(b"anything", 0) && !pool.add(b"x", ENOUGH - 1));
        assert!(pool.add(b"", 1) && pool.add(b"", u32::MAX / 2));
        pool.draw(&[0; 32]);
        assert_eq!((pool.is_full(), pool.credit_bits()), (false, 0));
    }

    /// Whatever differs once makes all seeds differ from then on: input, its order, the CPU's word, and each draw.
    #[test]
    fn every_seed_depends_on_everything_before() {
        let seeds = |inputs: &[&[u8]], extra: u8| {
            let mut pool = Pool::new();
            inputs.iter().for_each(|input| _ = pool.add(input, 0));
            [pool.draw(&[extra; 32]), pool.draw(&[0; 32]), pool.draw(&[0; 32])]
        };
        let mut all = vec![];
        for (inputs, extra) in [
            (&[&b"a"[..], b"b"][..], 0),
            (&[b"b", b"a"], 0),
            (&[b"a", b"c"], 0),
            (&[b"a"], 0),
            (&[], 0),
            (&[], 1),
        ] {
            assert_eq!(seeds(inputs, extra), seeds(inputs, extra));
            all.extend(seeds(inputs, extra));
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 18);
    }
}
