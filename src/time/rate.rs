//! The rate of a counter as a fixed-point number, and counts turned to nanoseconds and back by it.
//!
//! A [`Rate`] is nanoseconds per count with 40 fraction bits. Turning a count to nanoseconds is one
//! multiplication and one shift, and the multiplication is the 64 by 64 to 128 bit one that x86_64 does
//! anyway: so there is no interval after which the product overflows, and no shift to be chosen by the rate
//! and loaded with it. 40 bits serve from 60 Hz to 10^15 Hz with an error of at most 0.5 ppm, and below
//! 10^11 Hz of 0.05 ppb.

use super::NS_PER_SECOND;

/// Bits behind the point.
pub const FRACTION_BITS: u32 = 40;

/// Nanoseconds per count, rounded to the nearest 2^-40.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u64);

impl Rate {
    /// Fewest steps of 2^-40 ns that a rate may have, so that rounding to one of them is at most 0.5 ppm.
    const MIN: u64 = 1_000_000;
    /// No slew moves a clock by more than this from its rate (as adjtime has it).
    pub const MAX_SLEW_PPM: u64 = 500;

    /// `ns` that `counts` take; `None` where that is no rate that can be represented (60 Hz to 10^15 Hz).
    pub const fn from_counts(counts: u64, ns: u64) -> Option<Self> {
        if counts == 0 {
            return None;
        }
        let scaled = (((ns as u128) << FRACTION_BITS) + counts as u128 / 2) / counts as u128;
        Self::from_scaled(scaled)
    }

    /// Counts per second.
    pub const fn from_hz(hz: u64) -> Option<Self> {
        Self::from_counts(hz, NS_PER_SECOND)
    }

    /// Femtoseconds per count, which is how an HPET says it.
    pub const fn from_period_fs(period_fs: u64) -> Option<Self> {
        Self::from_scaled((((period_fs as u128) << FRACTION_BITS) + 500_000) / 1_000_000)
    }

    /// The rate of a counter that took `counts` while another, of the rate `self`, took `reference`.
    pub const fn of_counter(self, counts: u64, reference: u64) -> Option<Self> {
        if counts == 0 {
            return None;
        }
        // Both factors are below 2^64, and adding half of a 64-bit number to their product cannot overflow:
        // (2^64 - 1)^2 + 2^63 < 2^128.
        Self::from_scaled((self.0 as u128 * reference as u128 + counts as u128 / 2) / counts as u128)
    }

    const fn from_scaled(scaled: u128) -> Option<Self> {
        if scaled < Self::MIN as u128 || scaled > u64::MAX as u128 { None } else { Some(Self(scaled as u64)) }
    }

    /// Nanoseconds per count, times 2^40.
    pub const fn scaled(self) -> u64 {
        self.0
    }

    /// What [`scaled`](Self::scaled) gave.
    pub(super) const fn from_raw(scaled: u64) -> Self {
        Self(scaled)
    }

    /// Counts per second, rounded.
    pub const fn hz(self) -> u64 {
        ((((NS_PER_SECOND as u128) << FRACTION_BITS) + self.0 as u128 / 2) / self.0 as u128) as u64
    }

    /// Nanoseconds that `counts` take, rounded down; `u64::MAX` for what takes longer than that.
    pub const fn to_ns(self, counts: u64) -> u64 {
        let ns = (counts as u128 * self.0 as u128) >> FRACTION_BITS;
        if ns > u64::MAX as u128 { u64::MAX } else { ns as u64 }
    }

    /// Counts in `ns`, rounded to the nearest; `u64::MAX` for more than that. Divides: not for hot paths,
    /// which take [`Inverse`].
    pub const fn to_counts(self, ns: u64) -> u64 {
        let counts = (((ns as u128) << FRACTION_BITS) + self.0 as u128 / 2) / self.0 as u128;
        if counts > u64::MAX as u128 { u64::MAX } else { counts as u64 }
    }

    /// How much longer a count takes than at the rate `other`, in parts per billion.
    pub const fn ppb_from(self, other: Self) -> i64 {
        let difference = self.0 as i128 - other.0 as i128;
        // No more than 2^64 * 10^9 / MIN < 2^74, so it is the cast that needs a limit.
        let ppb = difference * 1_000_000_000 / other.0 as i128;
        if ppb > i64::MAX as i128 { i64::MAX } else { ppb as i64 }
    }

    /// This rate bent so that in `over_ns` of time the clock gains `gain_ns` (loses, if negative), and the
    /// longest time that takes if the rate may not be bent that far.
    ///
    /// It is how an error that has built up is taken back without a step: the glue sets the bent rate, and
    /// this one again when the returned time has passed.
    pub const fn slewed(self, gain_ns: i64, over_ns: u64) -> (Self, u64) {
        let size = gain_ns.unsigned_abs();
        let least = size as u128 * 1_000_000 / Self::MAX_SLEW_PPM as u128;
        let least = if least > u64::MAX as u128 { u64::MAX } else { least as u64 };
        let over_ns = if over_ns < least { least } else { over_ns };
        if over_ns == 0 {
            return (self, 0);
        }
        // At most MAX_SLEW_PPM of the rate, as over_ns is no shorter than that takes (and 2^63 ns over 2^64
        // ns are the exception, for which the minimum below stands).
        let most = self.0 as u128 * Self::MAX_SLEW_PPM as u128 / 1_000_000;
        let bend = self.0 as u128 * size as u128 / over_ns as u128;
        let bend = if bend > most { most as u64 } else { bend as u64 };
        let scaled = if gain_ns < 0 { self.0 - bend } else { self.0.saturating_add(bend) };
        (Self(scaled), over_ns)
    }

    /// For turning nanoseconds into counts without a division.
    pub const fn inverse(self) -> Inverse {
        // The numerator is 2^80 and the smallest rate 10^6, so 2^61 is the most.
        Inverse(((1u128 << (2 * FRACTION_BITS)) / self.0 as u128) as u64)
    }
}

/// Counts per nanosecond with 40 fraction bits: for the comparators of one-shot timers.
///
/// Rounded down, and the count rounded up: a timer set by it fires at most 1 ppb of its delay before the
/// time for counters of a megahertz and more, so whoever takes the interrupt asks the clock and not the
/// interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inverse(u64);

impl Inverse {
    /// Counts that last `ns`, at least one; `u64::MAX` for more than that.
    #[inline]
    pub const fn to_counts(self, ns: u64) -> u64 {
        let counts = (ns as u128 * self.0 as u128) >> FRACTION_BITS;
        if counts >= u64::MAX as u128 { u64::MAX } else { counts as u64 + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    const DAY_NS: u64 = 86_400 * NS_PER_SECOND;

    #[test]
    fn known_rates() {
        let hpet = Rate::from_period_fs(69_841_279).unwrap();
        assert_eq!(hpet.hz(), 14_318_180);
        assert_eq!(hpet.to_ns(14_318_180), 1_000_000_004);
        let pm = Rate::from_hz(3_579_545).unwrap();
        assert_eq!(pm.hz(), 3_579_545);
        assert_eq!(pm.to_counts(NS_PER_SECOND), 3_579_545);
        assert_eq!(Rate::from_hz(1_000_000_000).unwrap().scaled(), 1 << FRACTION_BITS);
        assert_eq!(Rate::from_hz(1_000_000_000).unwrap().to_ns(u64::MAX), u64::MAX);
        assert_eq!(pm.to_ns(u64::MAX), u64::MAX, "saturates");
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        assert_eq!(Rate::from_hz(0), None);
        assert_eq!(Rate::from_hz(59), None);
        assert_eq!(Rate::from_hz(2_000_000_000_000_000), None);
        assert_eq!(Rate::from_period_fs(0), None);
        assert_eq!(Rate::from_counts(0, 1), None);
        assert_eq!(Rate::from_hz(1).or(Rate::from_counts(5, 0)), None);
        assert_eq!(Rate::from_hz(1_000_000).unwrap().of_counter(0, 1), None);
    }

    /// A day of any counter is right to 1 ppm, and from a kilohertz to 100 GHz to 1 ppb and a count.
    #[test]
    fn a_day_is_a_day_at_any_rate() {
        let mut random = Random::new(1);
        for round in 0..20_000 {
            let hz = 60 + (random.next_u64() >> (22 + random.below(36)));
            let Some(rate) = Rate::from_hz(hz) else { continue };
            let error = rate.to_ns(hz * 86_400).abs_diff(DAY_NS);
            assert!(error <= DAY_NS / 1_000_000, "round {round}: {hz} Hz is off by {error} ns");
            if (1_000..100_000_000_000).contains(&hz) {
                assert!(error <= DAY_NS / 1_000_000_000 + 1, "round {round}: {hz} Hz is off by {error} ns");
            }
        }
    }

    #[test]
    fn there_and_back() {
        let mut random = Random::new(2);
        for round in 0..20_000 {
            let rate = Rate::from_hz(1_000_000 + random.below(10_000_000_000)).unwrap();
            let ns = random.next_u64() >> (10 + random.below(40));
            let count_ns = rate.to_ns(1) + 1;
            let back = rate.to_ns(rate.to_counts(ns));
            assert!(back.abs_diff(ns) <= count_ns, "round {round}: {ns} ns came back as {back}");
            let set = rate.to_ns(rate.inverse().to_counts(ns));
            assert!(set + ns / 1_000_000_000 + 1 >= ns, "round {round}: {ns} ns fires after {set}");
            assert!(set <= ns + count_ns, "round {round}: {ns} ns fires only after {set}");
        }
        assert_eq!(Rate::from_hz(10_000_000_000).unwrap().inverse().to_counts(u64::MAX), u64::MAX);
        assert_eq!(Rate::from_hz(1_000_000).unwrap().inverse().to_counts(0), 1);
    }

    #[test]
    fn a_rate_measured_by_another() {
        let pm = Rate::from_hz(3_579_545).unwrap();
        let tsc = pm.of_counter(2_400_000_000, 3_579_545).unwrap();
        assert_eq!(tsc.hz(), 2_400_000_000);
        let slower = Rate::from_hz(2_399_760_000).unwrap();
        assert_eq!(slower.ppb_from(tsc) / 1000, 100, "100 ppm longer a count");
        assert_eq!(tsc.ppb_from(slower) / 1000, -99);
        assert_eq!(tsc.ppb_from(tsc), 0);
    }

    #[test]
    fn slewing_takes_back_what_it_should() {
        let rate = Rate::from_hz(3_000_000_000).unwrap();
        let ten_s = rate.to_counts(10 * NS_PER_SECOND);
        let (bent, over_ns) = rate.slewed(1_000_000, 10 * NS_PER_SECOND);
        assert_eq!(over_ns, 10 * NS_PER_SECOND);
        assert!(bent.to_ns(ten_s).abs_diff(10_001_000_000) < 10);
        let (bent, _) = rate.slewed(-1_000_000, 10 * NS_PER_SECOND);
        assert!(bent.to_ns(ten_s).abs_diff(9_999_000_000) < 10);
        // A millisecond in a millisecond is refused: 500 ppm need two seconds.
        let (bent, over_ns) = rate.slewed(1_000_000, 1_000_000);
        assert_eq!(over_ns, 2 * NS_PER_SECOND);
        assert!((499_900..=500_000).contains(&bent.ppb_from(rate)));
        assert_eq!(rate.slewed(0, 0), (rate, 0));
        let (bent, over_ns) = rate.slewed(i64::MIN, 0);
        assert_eq!(over_ns, u64::MAX);
        assert!((-500_000..=-499_900).contains(&bent.ppb_from(rate)));
    }
}
