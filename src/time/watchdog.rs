//! Watches the TSC where nothing promises that its rate is constant, and says when to drop it.
//!
//! The glue gives it a [`Sample`] of TSC and reference when the time has come ([`Watchdog::next_in_ns`]), in
//! pairs: one to begin an interval, one a second later to end it, and then half a minute of peace, as an
//! idle machine is to sleep. In between the reference may wrap as often as it likes. Two intervals in a row
//! in which the counters disagree by more than [`LIMIT_PPM`], what the samples themselves leave in doubt set
//! aside, and the verdict is [`Verdict::Drop`]: a single one may be a machine that was stopped and went on.
//!
//! An interval that by the TSC alone is longer than the reference can count is void. But many void ones in a
//! row are a verdict too: a TSC that leaps.

use super::calibrate::Sample;
use super::counter::mask;
use super::rate::Rate;

/// More than any coarse calibration is off by, and less than a user of `sleep` would bear.
pub const LIMIT_PPM: u64 = 1000;
/// From the beginning of an interval to its end.
pub const INTERVAL_NS: u64 = 1_000_000_000;
/// What an interval must have, by either counter, to say anything.
const MIN_INTERVAL_NS: u64 = 100_000_000;
/// Between intervals in which all was well.
pub const PAUSE_NS: u64 = 30_000_000_000;
/// Bad intervals in a row that are enough.
pub const STRIKES: u32 = 2;
/// Void intervals in a row that are enough.
pub const VOIDS: u32 = 8;

/// What a sample led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An interval has begun.
    Begun,
    /// Too early to end it; it goes on.
    TooShort,
    /// The reference may have wrapped in it: it told nothing.
    Void,
    /// Within the limit; off by this, positive if the TSC went further.
    Fine { ppm: i64 },
    /// Beyond the limit, for the first time.
    Suspect { ppm: i64 },
    /// Beyond the limit again: another clock is needed. Void intervals only, if that is `None`.
    Drop { ppm: Option<i64> },
}

/// The state between samples. The TSC's rate is given anew each time, as it is still being refined.
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    by: Rate,
    mask: u64,
    begun: Option<Sample>,
    strikes: u32,
    voids: u32,
}

impl Watchdog {
    /// By a reference of this rate and width.
    pub const fn new(reference_rate: Rate, reference_bits: u32) -> Self {
        Self { by: reference_rate, mask: mask(reference_bits), begun: None, strikes: 0, voids: 0 }
    }

    /// How long after the last sample the next one is due.
    pub fn next_in_ns(&self) -> u64 {
        // A reference that is round sooner gets shorter intervals.
        let interval = INTERVAL_NS.min(self.by.to_ns(self.mask / 4));
        let is_calm = self.begun.is_none() && self.strikes == 0 && self.voids == 0;
        if is_calm { PAUSE_NS } else { interval }
    }

    /// Takes a sample of TSC and reference.
    pub fn check(&mut self, sample: &Sample, tsc_rate: Rate) -> Verdict {
        let Some(begun) = self.begun else {
            self.begun = Some(*sample);
            return Verdict::Begun;
        };
        let tsc_ns = tsc_rate.to_ns(sample.count.wrapping_sub(begun.count));
        let passed = sample.reference.wrapping_sub(begun.reference) & self.mask;
        let reference_ns = self.by.to_ns(passed);
        if tsc_ns < MIN_INTERVAL_NS && reference_ns < MIN_INTERVAL_NS {
            return Verdict::TooShort;
        }
        self.begun = None;
        if tsc_ns > self.by.to_ns(self.mask / 2) {
            self.voids += 1;
            return if self.voids < VOIDS { Verdict::Void } else { Verdict::Drop { ppm: None } };
        }
        self.voids = 0;
        let doubt_ns = tsc_rate.to_ns(begun.window / 2 + sample.window / 2 + 2) + self.by.to_ns(1) + 2;
        let off_ns = tsc_ns.abs_diff(reference_ns);
        let longer_ns = u128::from(tsc_ns.max(reference_ns));
        let size = (u128::from(off_ns) * 1_000_000 / longer_ns) as i64;
        let ppm = if tsc_ns < reference_ns { -size } else { size };
        if u128::from(off_ns.saturating_sub(doubt_ns)) * 1_000_000 <= longer_ns * u128::from(LIMIT_PPM) {
            self.strikes = 0;
            return Verdict::Fine { ppm };
        }
        self.strikes += 1;
        if self.strikes < STRIKES { Verdict::Suspect { ppm } } else { Verdict::Drop { ppm: Some(ppm) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    const TSC_HZ: u64 = 2_000_000_000;

    /// A TSC and a reference that a test moves.
    struct Pair {
        sample: Sample,
        dog: Watchdog,
        hz: u64,
    }

    impl Pair {
        fn new(hz: u64, bits: u32) -> Self {
            let sample = Sample { count: u64::MAX - 5, reference: mask(bits) - 3, window: 2000 };
            Self { sample, dog: Watchdog::new(Rate::from_hz(hz).unwrap(), bits), hz }
        }

        /// Time passes: by the reference so much, by the TSC so many ppm more.
        fn pass(&mut self, ns: u64, ppm: i64) -> Verdict {
            let counts = u128::from(ns) * u128::from(TSC_HZ) / 1_000_000_000;
            let more = counts as i128 * i128::from(ppm) / 1_000_000;
            self.sample.count = self.sample.count.wrapping_add((counts as i128 + more) as u64);
            let counts = (u128::from(ns) * u128::from(self.hz) / 1_000_000_000) as u64;
            self.sample.reference = self.sample.reference.wrapping_add(counts) & self.dog.mask;
            self.dog.check(&self.sample, Rate::from_hz(TSC_HZ).unwrap())
        }
    }

    #[test]
    fn a_good_tsc_is_kept_whatever_the_reference() {
        let mut random = Random::new(21);
        for (hz, bits) in [(14_318_180, 64), (100_000_000, 32), (3_579_545, 24)] {
            let mut pair = Pair::new(hz, bits);
            for _ in 0..1000 {
                let ppm = random.below(1990) as i64 - 995;
                assert_eq!(pair.dog.next_in_ns(), PAUSE_NS);
                assert_eq!(pair.pass(PAUSE_NS, ppm), Verdict::Begun);
                assert_eq!(pair.dog.next_in_ns(), INTERVAL_NS);
                assert_eq!(pair.pass(random.below(50_000_000), 0), Verdict::TooShort);
                let Verdict::Fine { ppm: found } = pair.pass(INTERVAL_NS, ppm) else { panic!("not fine") };
                assert!(found.abs_diff(ppm) < 60, "{ppm} ppm taken for {found}");
            }
        }
    }

    #[test]
    fn a_tsc_that_strays_is_dropped_the_second_time() {
        for ppm in [-1_000_000, -500_000, -1100, 1100, 200_000] {
            let mut pair = Pair::new(3_579_545, 24);
            pair.pass(0, 0);
            let Verdict::Suspect { ppm: found } = pair.pass(INTERVAL_NS, ppm) else {
                panic!("{ppm}: unnoticed")
            };
            assert_eq!(found.signum(), ppm.signum());
            assert_eq!(pair.dog.next_in_ns(), INTERVAL_NS, "looks again at once");
            assert_eq!(pair.pass(0, 0), Verdict::Begun);
            assert!(matches!(pair.pass(INTERVAL_NS, ppm), Verdict::Drop { ppm: Some(_) }));
        }
    }

    #[test]
    fn one_bad_interval_is_forgiven() {
        let mut pair = Pair::new(14_318_180, 64);
        for _ in 0..10 {
            pair.pass(0, 0);
            assert!(matches!(pair.pass(INTERVAL_NS, 5000), Verdict::Suspect { .. }));
            pair.pass(0, 0);
            assert!(matches!(pair.pass(INTERVAL_NS, 0), Verdict::Fine { ppm: -1..=1 }));
        }
    }

    /// A sample taken badly, within a stop of 5 ms, says so by its window and condemns nobody.
    #[test]
    fn doubt_speaks_for_the_tsc() {
        let mut pair = Pair::new(14_318_180, 64);
        pair.pass(0, 0);
        pair.sample.window = TSC_HZ / 200;
        assert!(matches!(pair.pass(INTERVAL_NS, 3000), Verdict::Fine { .. }));
    }

    #[test]
    fn intervals_past_a_wrap_are_void_and_leaping_is_no_excuse() {
        let mut pair = Pair::new(3_579_545, 24);
        for _ in 1..VOIDS {
            assert_eq!(pair.pass(0, 0), Verdict::Begun);
            assert_eq!(pair.pass(60_000_000_000, 0), Verdict::Void);
        }
        pair.pass(0, 0);
        assert!(matches!(pair.pass(INTERVAL_NS, 0), Verdict::Fine { .. }), "starts the count again");
        for _ in 1..VOIDS {
            pair.pass(0, 0);
            assert_eq!(pair.pass(INTERVAL_NS, 100_000_000), Verdict::Void);
        }
        pair.pass(0, 0);
        assert_eq!(pair.pass(INTERVAL_NS, 100_000_000), Verdict::Drop { ppm: None });
    }
}
