//! What every clock chip is at heart: a counter that goes up at a rate that is known.
//!
//! * [`Rate`] is that rate as a fraction, so that none is rounded: the HPET states its period in
//!   femtoseconds, the 8254 counts at a third of the ACPI timer's rate.
//! * [`Extended`] makes 64 bits of a counter that has 24 or 32.
//! * [`measure`] finds the rate of one counter by another, with bounds that hold whatever interrupted it.
//!
//! Invariants: conversions are exact to the unit and never overflow; an extended counter never goes back,
//! whichever CPU or interrupt handler reads it.

use core::sync::atomic::{AtomicU64, Ordering};

const NS: u128 = 1_000_000_000;

/// A clock chip.
pub trait Counter {
    /// Ticks since some time in the past. Never less than an earlier answer.
    fn ticks(&self) -> u64;
    fn rate(&self) -> Rate;
}

/// So many ticks in so many seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    ticks: u64,
    seconds: u64,
}

impl Rate {
    /// `ticks` in `seconds`; `None` if either is 0 or above 10^15 and 10^9: more would overflow below, and no
    /// clock needs it.
    pub const fn new(ticks: u64, seconds: u64) -> Option<Self> {
        if ticks == 0 || ticks > 1_000_000_000_000_000 || seconds == 0 || seconds > 1_000_000_000 {
            return None;
        }
        Some(Self { ticks, seconds })
    }

    /// `hz` ticks a second.
    pub const fn from_hz(hz: u64) -> Option<Self> {
        Self::new(hz, 1)
    }

    /// Ticks a second, rounded to the nearest.
    pub const fn hz(self) -> u64 {
        (self.ticks + self.seconds / 2) / self.seconds
    }

    /// Nanoseconds that have passed after `ticks`, rounded down, so that a clock never runs ahead.
    pub fn to_ns(self, ticks: u64) -> u64 {
        let ns = u128::from(ticks) * NS * u128::from(self.seconds) / u128::from(self.ticks);
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// Ticks after which at least `ns` have passed: rounded up, so that a timer is never early.
    pub fn from_ns(self, ns: u64) -> u64 {
        let ticks = (u128::from(ns) * u128::from(self.ticks)).div_ceil(NS * u128::from(self.seconds));
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

/// A narrow counter's wraps, counted.
///
/// It must be read at least once in each *half* turn. The other half is what tells a reading that was
/// overtaken from one that has wrapped: a CPU reads the chip, is interrupted, and the handler reads it
/// again and records that. Taken forwards, the small step back would be a leap of nearly a turn.
#[derive(Debug)]
pub struct Extended {
    bits: u32,
    last: AtomicU64,
}

impl Extended {
    /// A counter of `bits` bits that reads `raw` now.
    ///
    /// # Panics
    /// If `bits` is not 2 to 63.
    pub const fn new(bits: u32, raw: u64) -> Self {
        assert!(bits >= 2 && bits < 64);
        Self { bits, last: AtomicU64::new(raw & ((1 << bits) - 1)) }
    }

    /// The whole count that `raw`, just read, belongs to; or a later one that somebody else has recorded since.
    pub fn extend(&self, raw: u64) -> u64 {
        let last = self.last.load(Ordering::Relaxed);
        let unused = 64 - self.bits;
        // The way from `last`, as a signed number of `bits` bits.
        let step = (raw.wrapping_sub(last) << unused) as i64 >> unused;
        if step <= 0 {
            return last;
        }
        let now = last.wrapping_add(step as u64);
        now.max(self.last.fetch_max(now, Ordering::Relaxed))
    }

    /// Ticks within which it must be read again: half a turn.
    pub const fn longest_silence(&self) -> u64 {
        1 << (self.bits - 1)
    }
}

/// One look at a clock, with the counter that is being measured read before and after it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sample {
    pub before: u64,
    pub clock: u64,
    pub after: u64,
}

impl Sample {
    /// The tightest of `tries` looks: an interrupt (or a host that takes the CPU away) widens one, not all.
    pub fn take(counter: impl Fn() -> u64, clock: impl Fn() -> u64, tries: u32) -> Self {
        let look = || Self { before: counter(), clock: clock(), after: counter() };
        let mut best = look();
        for _ in 1..tries {
            let next = look();
            if next.width() < best.width() {
                best = next;
            }
        }
        best
    }

    /// How well the moment is known, in the counter's ticks. One that went back tells nothing.
    fn width(self) -> u64 {
        self.after.checked_sub(self.before).unwrap_or(u64::MAX)
    }
}

/// A rate that was measured, and the bounds that it lies in for certain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Measured {
    pub hz: u64,
    pub low: u64,
    pub high: u64,
}

impl Measured {
    /// How far off it can be, in parts per million, rounded up.
    pub fn error_ppm(self) -> u64 {
        let error = (self.high - self.hz).max(self.hz - self.low);
        let ppm = (u128::from(error) * 1_000_000).div_ceil(u128::from(self.hz.max(1)));
        u64::try_from(ppm).unwrap_or(u64::MAX)
    }
}

/// How fast the counter ran between two samples, by a clock of the given rate. `None` if the clock moved by fewer
/// than 2 ticks, or either went back.
///
/// The bounds: the counter advanced at least from the end of the first look to the beginning of the second, and at
/// most from the beginning to the end; and n ticks of the clock are more than n-1 and fewer than n+1 of its periods.
pub fn measure(first: Sample, second: Sample, clock: Rate) -> Option<Measured> {
    let ticks = second.clock.checked_sub(first.clock).filter(|&ticks| ticks >= 2)?;
    if first.after < first.before || second.after < second.before {
        return None;
    }
    let least = second.before.checked_sub(first.after)?;
    let most = second.after - first.before;
    let scale = u128::from(clock.ticks);
    let time = |ticks: u64| u128::from(clock.seconds) * u128::from(ticks);
    let hz = (u128::from(least) + u128::from(most)) * scale / (2 * time(ticks));
    let low = u128::from(least) * scale / time(ticks.saturating_add(1));
    let high = (u128::from(most) * scale).div_ceil(time(ticks - 1));
    let narrow = |hz| u64::try_from(hz).ok();
    Some(Measured { hz: narrow(hz)?, low: narrow(low)?, high: narrow(high)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::cell::Cell;

    fn rates() -> [Rate; 6] {
        let hpet = |fs| Rate::new(1_000_000_000_000_000, fs).expect("a rate");
        let pit = Rate::new(3_579_545, 3).expect("a rate");
        let hz = |hz| Rate::from_hz(hz).expect("a rate");
        [hpet(100_000_000), hpet(69_841_279), hpet(1), pit, hz(3_579_545), hz(2_400_000_000)]
    }

    #[test]
    fn impossible_rates_are_refused() {
        for (ticks, seconds) in [(0, 1), (1, 0), (1_000_000_000_000_001, 1), (1, 1_000_000_001)] {
            assert_eq!(Rate::new(ticks, seconds), None);
        }
        assert_eq!(rates().map(Rate::hz)[..4], [10_000_000, 14_318_180, 1_000_000_000_000_000, 1_193_182]);
    }

    #[test]
    fn conversions_are_exact_and_do_not_overflow() {
        let mut random = Random::new(1);
        for rate in rates() {
            assert_eq!((rate.to_ns(0), rate.from_ns(0)), (0, 0));
            assert!(rate.to_ns(u64::MAX) > 1 << 40 && rate.from_ns(u64::MAX) > 1 << 40);
            for _ in 0..10_000 {
                let ns = random.next_u64() >> (24 + random.below(40));
                let ticks = rate.from_ns(ns);
                // Enough ticks for `ns`, and one fewer would not be.
                assert!(rate.to_ns(ticks) >= ns, "{rate:?} {ns}");
                assert!(ticks == 0 || rate.to_ns(ticks - 1) < ns, "{rate:?} {ns}");
            }
        }
        assert_eq!(rates()[3].to_ns(3_579_545), 3_000_000_000);
    }

    #[test]
    fn wraps_are_counted() {
        let mut random = Random::new(2);
        for bits in [24, 32] {
            // A start in the upper half of a turn, too, is a start and no step back.
            let mut truth = (1 << bits) - 7;
            let counter = Extended::new(bits, truth);
            for round in 0..50_000 {
                truth += random.below(counter.longest_silence());
                assert_eq!(counter.extend(truth & ((1 << bits) - 1)), truth, "round {round}");
            }
            assert!(truth >> bits > 10_000);
        }
    }

    /// Negative: without the signed step this leaps ahead by nearly a turn.
    #[test]
    fn an_overtaken_reading_neither_goes_back_nor_leaps() {
        let counter = Extended::new(24, 0xFF_FFF0);
        let overtaken = 0xFF_FFFF;
        assert_eq!(counter.extend(0x00_0005), 0x100_0005);
        assert_eq!(counter.extend(overtaken), 0x100_0005);
        assert_eq!(counter.extend(0x00_0006), 0x100_0006);
    }

    #[test]
    fn threads_agree_on_one_clock() {
        let raw = AtomicU64::new(0x00FF_FF00);
        let counter = Extended::new(24, 0x00FF_FF00);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut last = 0;
                    for _ in 0..20_000 {
                        let low = raw.fetch_add(1000, Ordering::Relaxed) & 0xFF_FFFF;
                        let now = counter.extend(low);
                        assert!(now >= last);
                        last = now;
                    }
                });
            }
        });
        let truth = raw.load(Ordering::Relaxed);
        let now = counter.extend(truth & 0xFF_FFFF);
        assert_eq!(now, truth);
        assert!(now >> 24 >= 4, "it has wrapped a few times");
    }

    #[test]
    fn the_tightest_sample_wins() {
        let now = Cell::new(0u64);
        let costs = [50, 9000, 20, 30];
        let look = Cell::new(0usize);
        let counter = || now.get();
        let clock = || {
            now.set(now.get() + costs[look.get()]);
            look.set(look.get() + 1);
            now.get() / 10
        };
        assert_eq!(Sample::take(counter, clock, 4), Sample { before: 9050, clock: 907, after: 9070 });
    }

    #[test]
    fn the_truth_lies_within_the_bounds() {
        let mut random = Random::new(3);
        for round in 0..5_000 {
            let clock = random.pick(&rates()[3..5]);
            let true_hz = 10_000_000 + random.below(5_000_000_000);
            // A moment in counter ticks, and looks that take some time before and after.
            let look = |moment: u64, random: &mut Random| Sample {
                before: moment - random.below(5_000),
                clock: (u128::from(moment) * u128::from(clock.ticks)
                    / (u128::from(true_hz) * u128::from(clock.seconds))) as u64,
                after: moment + random.below(5_000),
            };
            let start = true_hz + random.below(true_hz);
            let first = look(start, &mut random);
            let second = look(start + true_hz / 100, &mut random);
            let found = measure(first, second, clock).expect("a measurement");
            assert!(found.low <= true_hz && true_hz <= found.high, "round {round}: {found:?} {true_hz}");
            assert!(found.low <= found.hz && found.hz <= found.high, "round {round}");
            let width = 10_000 * 1_000_000 / (true_hz / 100) + 300;
            assert!(found.error_ppm() < width, "round {round}: {found:?}");
        }
    }

    #[test]
    fn no_measurement_where_none_can_be() {
        let clock = Rate::from_hz(1_000_000).expect("a rate");
        let sample = |before, clock, after| Sample { before, clock, after };
        let first = sample(1000, 50, 1010);
        for (first, second) in [
            (first, sample(2000, 51, 2010)),
            (first, sample(2000, 49, 2010)),
            (first, sample(900, 5000, 910)),
            (first, sample(2010, 5000, 2000)),
            (sample(1010, 50, 1000), sample(2000, 5000, 2010)),
        ] {
            assert_eq!(measure(first, second, clock), None);
        }
        // As fast as counters get, over as long as they last: an answer or none, but no overflow.
        assert_eq!(measure(sample(0, 0, 0), sample(u64::MAX, 2, u64::MAX), clock), None);
        assert!(measure(sample(0, 0, 0), sample(u64::MAX, u64::MAX, u64::MAX), clock).is_some());
    }
}
