//! A rate that gets better in the background: the first sample of the boot is kept, and each later one gives
//! a longer base line, by which its doubts are divided.
//!
//! Whoever owns the [`Refiner`] adds a sample whenever it suits (a timer at 100 ms, 1 s and 4 s does), gives
//! the clock the better rate, and stops when that is good enough: from then on the
//! [watchdog](super::watchdog) looks after it.
//!
//! The reference may wrap between samples. How often it did follows from the other counter and the rate that
//! is known so far, as long as that rate's doubt is less than half a round: [`Refiner::max_gap_ns`].

use super::calibrate::{Coarse, Estimate, Sample};
use super::counter::mask;
use super::rate::Rate;

/// Why a sample tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It comes so late that the reference's wraps cannot be counted.
    Late,
    /// The counters disagree with the rate by more than its bound: one of them is not steady. By how much,
    /// in parts per billion; positive if the reference went further than expected.
    Unsteady { ppb: i64 },
}

/// The measurement of a counter of 64 bits, going on.
#[derive(Clone, Copy, Debug)]
pub struct Refiner {
    first: Sample,
    by: Rate,
    mask: u64,
    best: Estimate,
    /// The last window seen, as what the next may be expected to be.
    window: u64,
}

impl Refiner {
    /// Goes on from a coarse measurement by the same reference.
    pub const fn new(coarse: &Coarse, reference_rate: Rate, reference_bits: u32) -> Self {
        let window = coarse.start.window;
        let mask = mask(reference_bits);
        Self { first: coarse.start, by: reference_rate, mask, best: coarse.estimate, window }
    }

    /// The best so far.
    pub const fn estimate(&self) -> Estimate {
        self.best
    }

    /// Nanoseconds from the first sample in which the rate's doubt is a quarter of the reference's round.
    pub fn max_gap_ns(&self) -> u64 {
        let quarter = u128::from(self.by.to_ns(self.mask / 4));
        let ns = quarter * 1_000_000_000 / u128::from(self.best.error_ppb.max(1));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// Nanoseconds after the first sample at which another is certain to bound the error to `ppm`, provided
    /// that its window is no longer than the last one's.
    pub fn certain_after_ns(&self, ppm: u64) -> u64 {
        let doubt = self.first.window / 2 + self.window / 2 + 2;
        let doubt_ns = self.best.rate.to_ns(doubt) + 1 + self.by.to_ns(1) + 1;
        // A tenth more: the lengths it is divided by are themselves in doubt, and the bound is rounded up.
        let ns = u128::from(doubt_ns) * 1_100_000 / u128::from(ppm.max(1));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// Takes a sample. `Some` if the rate is known better now.
    pub fn add(&mut self, sample: &Sample) -> Result<Option<Estimate>, Unusable> {
        let counts = sample.count.wrapping_sub(self.first.count);
        self.window = sample.window;
        let passed = self.unwrapped(sample, counts)?;
        let found = Estimate::between(counts, passed, [self.first.window, sample.window], self.by);
        Ok(match found {
            Some(found) if found.error_ppb < self.best.error_ppb => {
                self.best = found;
                Some(found)
            }
            _ => None,
        })
    }

    /// Counts of the reference since the first sample, wraps and all.
    fn unwrapped(&self, sample: &Sample, counts: u64) -> Result<u64, Unusable> {
        let scaled = [self.best.rate.scaled(), self.by.scaled()].map(u128::from);
        // How far the reference should have come, and what that may be off by: in its counts, which are
        // slower ones or not much faster. Both products are below 2^128.
        let expected = u128::from(counts) * scaled[0] / scaled[1];
        let windows = u128::from(self.first.window) / 2 + u128::from(sample.window) / 2 + 2;
        let doubt = expected.saturating_mul(u128::from(self.best.error_ppb)) / 1_000_000_000
            + windows * scaled[0] / scaled[1]
            + 2;
        let range = u128::from(self.mask) + 1;
        if doubt >= range / 2 || expected >= 1 << 63 {
            return Err(Unusable::Late);
        }
        let raw = u128::from(sample.reference.wrapping_sub(self.first.reference) & self.mask);
        // The whole rounds that bring it closest to what was expected.
        let rounds = (expected + range / 2).saturating_sub(raw) / range;
        let passed = raw + rounds * range;
        if passed.abs_diff(expected) > doubt {
            let difference = passed as i128 - expected as i128;
            let ppb = difference.saturating_mul(1_000_000_000) / expected.max(1) as i128;
            return Err(Unusable::Unsteady { ppb: ppb.clamp(i64::MIN as i128, i64::MAX as i128) as i64 });
        }
        u64::try_from(passed).map_err(|_| Unusable::Late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use crate::time::calibrate::coarse;
    use crate::time::calibrate::tests::{Chip, Machine, REFERENCES};
    use crate::time::counter::Counter;

    fn begin<'a>(machine: &'a Machine, tsc_hz: u64, reference: usize) -> (Chip<'a>, Chip<'a>, Refiner) {
        let (hz, bits, read_ps) = REFERENCES[reference];
        let tsc = Chip::new(machine, tsc_hz, 64, 10_000);
        let reference = Chip::new(machine, hz, bits, read_ps);
        let coarse = coarse(&tsc, &reference, 10_000_000).unwrap();
        let refiner = Refiner::new(&coarse, reference.rate().unwrap(), bits);
        (tsc, reference, refiner)
    }

    /// The bound holds at each step, never grows, and is there when [`Refiner::certain_after_ns`] says.
    #[test]
    fn the_rate_gets_better_and_keeps_its_promise() {
        let mut random = Random::new(11);
        for round in 0..200 {
            let machine = Machine::new(random.next_u64());
            let tsc_hz = 800_000_000 + random.below(4_200_000_000);
            let began = machine.now_ps.get();
            let (tsc, reference, mut refiner) = begin(&machine, tsc_hz, round % REFERENCES.len());
            let right = Rate::from_hz(tsc_hz).unwrap();
            for ppm in [200, 50, 10, 1] {
                let now_ns = ((machine.now_ps.get() - began) / 1000) as u64;
                let at = refiner.certain_after_ns(ppm);
                assert!(at < 10_000_000_000 / ppm, "round {round}: {ppm} ppm only after {at} ns");
                assert!(at < refiner.max_gap_ns());
                machine.pass_ns(at.saturating_sub(now_ns));
                let before = refiner.estimate();
                let added = refiner.add(&Sample::take(&tsc, &reference, 20)).unwrap();
                let now = refiner.estimate();
                assert_eq!(added.is_some(), now != before);
                assert!(now.error_ppb <= before.error_ppb && now.error_ppm() <= ppm, "{ppm}: {now:?}");
                assert!(now.rate.ppb_from(right).unsigned_abs() <= now.error_ppb, "round {round}: {now:?}");
            }
        }
    }

    /// Seconds apart, by a reference that wraps in milliseconds: wraps are counted, or the sample refused.
    #[test]
    fn wraps_are_counted_or_the_sample_refused() {
        let mut random = Random::new(12);
        let (mut used, mut late) = (0, 0);
        for round in 0..300 {
            let machine = Machine::new(random.next_u64());
            let (tsc, pit, mut refiner) = begin(&machine, 3_000_000_000, 4);
            let gap = refiner.max_gap_ns();
            let ns = random.below(4 * gap);
            machine.pass_ns(ns);
            match refiner.add(&Sample::take(&tsc, &pit, 5)) {
                Ok(_) => {
                    let error = refiner.estimate().rate.ppb_from(tsc.rate().unwrap()).unsigned_abs();
                    assert!(error <= refiner.estimate().error_ppb, "round {round}: after {ns} ns");
                    used += 1;
                }
                Err(what) => {
                    assert_eq!(what, Unusable::Late, "round {round}");
                    assert!(ns > gap, "round {round}: {ns} ns is not late");
                    late += 1;
                }
            }
        }
        assert!(used > 50 && late > 50, "{used} used, {late} late");
    }

    #[test]
    fn a_counter_that_changes_its_rate_is_found() {
        for (change, sign) in [(1_010, -1), (990, 1)] {
            let machine = Machine::new(13);
            let (tsc, hpet, mut refiner) = begin(&machine, 2_000_000_000, 0);
            machine.pass_ns(1_000_000_000);
            assert!(refiner.add(&Sample::take(&tsc, &hpet, 5)).is_ok());
            machine.pass_ns(1_000_000_000);
            let sample = Sample::take(&tsc, &hpet, 5);
            let counts = (sample.count - refiner.first.count) * change / 1000;
            let strayed = Sample { count: refiner.first.count + counts, ..sample };
            let Err(Unusable::Unsteady { ppb }) = refiner.add(&strayed) else { panic!("not noticed") };
            assert!((9_000_000..11_000_000).contains(&(ppb * sign)), "{ppb}");
        }
    }
}
