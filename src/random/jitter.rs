//! Time stamps whose last bits nobody can foretell, and a look at whether they deserve it.
//!
//! How long the same work takes depends on caches, on other CPUs, on interrupts and on oscillators that drift. The look is
//! simple and on the safe side: a stamp counts if it differs from the one before, and the differences, and their
//! differences, do as well. So a counter that stands, one that ticks evenly, and one under an emulator that counts
//! instructions and nothing else, are worth nothing. Of those that count, [`PER_BIT`] are taken for one bit.
//! Source: the test for stuck sources in S. Müller, "CPU Time Jitter Based Non-Physical True Random Number Generator"
//! (2022), §2.

/// Stamps that count for one bit.
pub const PER_BIT: u32 = 8;

/// The look at a sequence of stamps.
#[derive(Default)]
pub struct Jitter {
    stamp: u64,
    delta: u64,
    change: u64,
    /// Stamps that counted and have not become a bit yet.
    counted: u32,
}

impl Jitter {
    pub const fn new() -> Self {
        Self { stamp: 0, delta: 0, change: 0, counted: 0 }
    }

    /// Takes a stamp; returns the bits that it makes full: 0 or 1.
    pub fn take(&mut self, stamp: u64) -> u32 {
        let delta = stamp.wrapping_sub(self.stamp);
        let change = delta.wrapping_sub(self.delta);
        let turn = change.wrapping_sub(self.change);
        (self.stamp, self.delta, self.change) = (stamp, delta, change);
        self.counted += u32::from(delta != 0 && change != 0 && turn != 0);
        let bits = self.counted / PER_BIT;
        self.counted %= PER_BIT;
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn bits(stamps: impl Iterator<Item = u64>) -> u32 {
        let mut jitter = Jitter::new();
        stamps.map(|stamp| jitter.take(stamp)).sum()
    }

    #[test]
    fn what_can_be_foretold_is_worth_nothing() {
        // The first few stamps differ from nothing at all.
        assert_eq!(bits((0..1000).map(|_| 5)), 0, "a counter that stands");
        assert_eq!(bits((0..1000).map(|n| 1000 + n * 17)), 0, "one that ticks evenly");
        assert_eq!(bits((0..1000).map(|n| n * n)), 0, "one that speeds up evenly");
    }

    #[test]
    fn what_cannot_is_worth_an_eighth_of_a_bit_a_stamp() {
        let mut random = Random::new(3);
        let mut stamp = 0;
        let found = bits((0..8000).map(|_| {
            stamp += 100 + random.below(1000);
            stamp
        }));
        assert!((980..=1000).contains(&found), "{found}");
    }
}
