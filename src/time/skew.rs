//! How far another CPU's counter is ahead of this one's, as far as messages between the two can tell.
//!
//! Nobody can read both counters in one instant. But a message cannot arrive before it was sent. So this CPU reads its
//! counter and asks; the other reads its own and answers; this one reads again:
//!
//! ```text
//! this CPU    before ─────┐                 ┌────► after
//!                         ▼                 │
//! the other               └──── other ──────┘
//!
//! other - after  <=  what the other is ahead by  <=  other - before
//! ```
//!
//! Each exchange says that the truth lies in an interval as long as the exchange took. All intervals have it, so it lies
//! in what they have in common ([`Skew`]), which is at most as long as the fastest exchange: some hundred nanoseconds
//! between two cores, and under an emulator whatever its threads took.
//!
//! **What may be forgiven.** If 0 is in the interval, then nothing that was seen speaks against the counters being
//! alike: in no exchange was a count, handed on, greater than one that was read after it. That is just what a clock for
//! all CPUs promises, "no read is less than one that ended before it began", and the best that can be had by looking. If
//! 0 is not, then at least one exchange saw time step back, and no delay can explain it: a delay only makes an
//! interval longer. What can is the reading itself, which is no instant: under an emulator it is several of the host's
//! instructions, in no order, and off by a few counts once in a while. So the caller says by how much a count is in
//! doubt; less than any message takes, or the promise would be an empty one. If nothing is left of the interval, doubt
//! set aside, the counters moved against each other while they were looked at.
//!
//! What it cannot see is two counters of slightly different rates, which part later.
//!
//! Source: the idea is D. Mills' for clocks across a network (RFC 5905 §8), with bounds in place of a mean.

/// Bounds of what the other counter is ahead by, in counts; negative: behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    least: i64,
    most: i64,
}

/// What follows from the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There was no exchange.
    Unknown,
    /// Nothing speaks against it; if they differ after all, by no more than `within` counts.
    Alike { within: u64 },
    /// It is ahead by this many counts at least.
    Ahead { least: u64 },
    /// It is behind by this many counts at least.
    Behind { least: u64 },
    /// The exchanges contradict each other.
    Unsteady,
}

impl Default for Skew {
    fn default() -> Self {
        Self::new()
    }
}

impl Skew {
    /// Nothing is known.
    pub const fn new() -> Self {
        Self { least: i64::MIN, most: i64::MAX }
    }

    /// An exchange: the other's count, and this CPU's before it asked and after it had the answer.
    pub const fn add(&mut self, before: u64, other: u64, after: u64) {
        let (least, most) = (other.wrapping_sub(after) as i64, other.wrapping_sub(before) as i64);
        if least > self.least {
            self.least = least;
        }
        if most < self.most {
            self.most = most;
        }
    }

    /// What follows, if a count may be off by `doubt`.
    pub const fn verdict(&self, doubt: u64) -> Verdict {
        let Self { least, most } = *self;
        let doubt = doubt as i64;
        if least == i64::MIN && most == i64::MAX {
            Verdict::Unknown
        } else if least.saturating_sub(most) > doubt {
            Verdict::Unsteady
        } else if least > doubt {
            Verdict::Ahead { least: least.unsigned_abs() }
        } else if most < -doubt {
            Verdict::Behind { least: most.unsigned_abs() }
        } else {
            let (below, above) = (least.unsigned_abs(), most.unsigned_abs());
            Verdict::Alike { within: if below > above { below } else { above } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    /// Two counters, and messages of random delay between them.
    struct Pair {
        random: Random,
        /// The true time.
        now: u64,
        offset: i64,
        /// The other counts so many millionths faster.
        ppm: i64,
        /// A message takes from this to ten times as long.
        delay: u64,
    }

    impl Pair {
        fn new(seed: u64, offset: i64, delay: u64) -> Self {
            Self { random: Random::new(seed), now: u64::MAX - 10_000, offset, ppm: 0, delay }
        }

        fn pass(&mut self) {
            self.now = self.now.wrapping_add(self.delay + self.random.below(9 * self.delay + 1));
        }

        /// What the other shows now. The counters began together, at 10,000 before the first one's wrap.
        fn other(&self) -> u64 {
            let passed = self.now.wrapping_sub(u64::MAX - 10_000) as i64;
            let drift = (i128::from(passed) * i128::from(self.ppm) / 1_000_000) as i64;
            self.now.wrapping_add_signed(self.offset + drift)
        }

        fn look(&mut self, exchanges: u32) -> Skew {
            let mut skew = Skew::new();
            for _ in 0..exchanges {
                let before = self.now;
                self.pass();
                let other = self.other();
                self.pass();
                skew.add(before, other, self.now);
                self.pass();
            }
            skew
        }
    }

    #[test]
    fn the_truth_is_within_the_bounds_whatever_the_delays() {
        let mut random = Random::new(1);
        for seed in 0..2000 {
            let offset = random.below(20_000) as i64 - 10_000;
            let delay = 1 + random.below(1000);
            let skew = Pair::new(seed, offset, delay).look(20);
            assert!(skew.least <= offset && offset <= skew.most, "{offset} is not in {skew:?}");
            assert!(skew.most.abs_diff(skew.least) <= 20 * delay, "longer than any exchange");
            assert_ne!(skew.verdict(0), Verdict::Unsteady);
        }
    }

    #[test]
    fn equal_counters_are_never_accused() {
        for seed in 0..2000 {
            let delay = 1 + seed % 500;
            let Verdict::Alike { within } = Pair::new(seed, 0, delay).look(16).verdict(0) else {
                panic!("accused")
            };
            assert!(within <= 10 * delay);
        }
    }

    /// More than the slowest message takes cannot be hidden by any.
    #[test]
    fn an_offset_beyond_the_delays_is_found_in_one_exchange() {
        for seed in 0..2000 {
            let delay = 1 + seed % 500;
            let size = (10 * delay) as i64 + 1;
            let ahead = Pair::new(seed, size, delay).look(1).verdict(0);
            assert!(matches!(ahead, Verdict::Ahead { least: 1.. }), "{ahead:?}");
            let behind = Pair::new(seed, -size, delay).look(1).verdict(0);
            assert!(matches!(behind, Verdict::Behind { least: 1.. }), "{behind:?}");
        }
    }

    /// What is said is a lower bound, and with more exchanges a good one.
    #[test]
    fn more_exchanges_say_it_better() {
        for seed in 0..500 {
            let Verdict::Ahead { least } = Pair::new(seed, 100_000, 100).look(64).verdict(0) else {
                panic!("unnoticed")
            };
            assert!((99_000..100_000).contains(&least), "{least}");
        }
    }

    /// A reading that is off by no more than the doubt accuses nobody, in whichever exchange; by more, it does.
    #[test]
    fn a_count_may_be_in_doubt() {
        for (off, is_alike) in [(-41, false), (-40, true), (40, true), (41, false)] {
            let mut skew = Skew::new();
            skew.add(1000, 1001, 2000);
            skew.add(3000, 3500, 3500);
            assert!(matches!(skew.verdict(40), Verdict::Alike { .. }));
            let (before, after) = if off > 0 { (4000, 5000) } else { (5000, 6000) };
            skew.add(before, 5000u64.wrapping_add_signed(off), after);
            assert_eq!(matches!(skew.verdict(40), Verdict::Alike { .. }), is_alike, "{off}: {skew:?}");
        }
    }

    #[test]
    fn counters_that_part_contradict_themselves() {
        for ppm in [-200_000, 200_000] {
            let mut pair = Pair { ppm, ..Pair::new(7, 0, 100) };
            assert_eq!(pair.look(64).verdict(0), Verdict::Unsteady);
        }
        assert_eq!(Skew::new().verdict(0), Verdict::Unknown);
    }
}
