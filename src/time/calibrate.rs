//! The rate of a counter, measured against one whose rate is known.
//!
//! Two counters cannot be read in one instant. A [`Sample`] reads the one, the other, and the one again: the
//! reference was read somewhere within that window, taken to be its middle, and half of the window is what
//! that may be wrong by. An SMI or a hypervisor in between makes the window long, so the shortest of several
//! is taken. From two samples follow a rate and a bound of its error ([`Estimate`]): the two half windows,
//! and the one count by which the difference of two readings of the reference may be short or long.
//!
//! [`coarse`] does that at boot within 10 ms. It is called with interrupts off; [`super::refine`] goes on
//! from it.

use super::NS_PER_SECOND;
use super::counter::{Counter, mask};
use super::rate::Rate;

/// Reads of which a sample keeps the best.
pub const TRIES: u32 = 5;
/// The longest that [`coarse`] measures.
pub const MAX_COARSE_NS: u64 = 10_000_000;
/// Reads without any change after which the reference stands still. None that counts stays the same for the
/// tenth part of it: the slowest has a count in 838 ns, the fastest read takes some 10 ns.
const STUCK_READS: u32 = 100_000;
/// Reads after which [`coarse`] gives up, whatever the reference shows.
const MAX_READS: u32 = 20_000_000;
/// How often it begins again after a disturbance.
const ATTEMPTS: u32 = 8;

/// Both counters in nearly the same instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The measured counter, in the middle of the window.
    pub count: u64,
    /// The reference.
    pub reference: u64,
    /// Counts between the two reads of the measured counter.
    pub window: u64,
}

impl Sample {
    /// The best of `tries` (at least one).
    pub fn take(counter: &impl Counter, reference: &impl Counter, tries: u32) -> Self {
        let mask = mask(counter.width_bits());
        let once = || {
            let before = counter.read();
            let reference = reference.read();
            let window = counter.read().wrapping_sub(before) & mask;
            Self { count: before.wrapping_add(window / 2) & mask, reference, window }
        };
        let mut best = once();
        for _ in 1..tries {
            let next = once();
            if next.window < best.window {
                best = next;
            }
        }
        best
    }
}

/// A rate, and what it may be off by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    pub rate: Rate,
    /// Bound of the relative error, in parts per billion, the reference taken as exact.
    pub error_ppb: u64,
}

impl Estimate {
    /// From the counts between two samples, wraps accounted for, and the windows of the two. `None` where
    /// nothing follows from them.
    pub fn between(counts: u64, reference: u64, windows: [u64; 2], by: Rate) -> Option<Self> {
        if reference == 0 {
            return None;
        }
        let rate = by.of_counter(counts, reference)?;
        // Half of both windows, rounded up, and the half that the middle of each may be rounded by.
        let doubt = u128::from(windows[0]) / 2 + u128::from(windows[1]) / 2 + 2;
        let ppb = (doubt * 1_000_000_000).div_ceil(u128::from(counts))
            + 1_000_000_000u128.div_ceil(u128::from(reference));
        Some(Self { rate, error_ppb: u64::try_from(ppb).unwrap_or(u64::MAX) })
    }

    /// The bound in parts per million, rounded up.
    pub const fn error_ppm(&self) -> u64 {
        self.error_ppb.div_ceil(1000)
    }
}

/// Why there is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalibrationError {
    /// The reference does not say how fast it is.
    NoReferenceRate,
    /// The reference does not count.
    ReferenceStuck,
    /// The counter does not count, or at no rate that a clock could have.
    CounterStuck,
    /// The machine stood still for so long, each time, that a narrow reference may have wrapped unseen.
    Disturbed,
}

impl core::fmt::Display for CalibrationError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoReferenceRate => "the reference is of unknown rate",
            Self::ReferenceStuck => "the reference stands still",
            Self::CounterStuck => "the counter stands still",
            Self::Disturbed => "disturbed too often",
        })
    }
}

impl core::error::Error for CalibrationError {}

/// What [`coarse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coarse {
    pub estimate: Estimate,
    /// Its first sample: what a [`Refiner`](super::refine::Refiner) goes on from.
    pub start: Sample,
}

/// Measures `counter` for `duration_ns`, at most [`MAX_COARSE_NS`]; the longer, the better.
pub fn coarse<C: Counter, R: Counter>(
    counter: &C,
    reference: &R,
    duration_ns: u64,
) -> Result<Coarse, CalibrationError> {
    let by = reference.rate().ok_or(CalibrationError::NoReferenceRate)?;
    let mask_reference = mask(reference.width_bits());
    let mask_counter = mask(counter.width_bits());
    // Of a counter that is too narrow for the time, as much as can be told from a wrap.
    let wanted = by.to_counts(duration_ns.min(MAX_COARSE_NS)).clamp(1, mask_reference / 2);
    for _ in 0..ATTEMPTS {
        let start = Sample::take(counter, reference, TRIES);
        let (mut stops, last_count) = wait(counter, reference, &start, wanted)?;
        let end = Sample::take(counter, reference, TRIES);
        stops.note(end.count.wrapping_sub(last_count) & mask_counter);
        let counts = end.count.wrapping_sub(start.count) & mask_counter;
        // A narrow reference wraps unseen in a few long steps of the counter: 45 ms of the PIT's 55, and no more than
        // 10 ms beside them. Where the reference has its seconds, a stop does no harm.
        let is_narrow = by.to_ns(mask_reference) < NS_PER_SECOND;
        if is_narrow && stops.sum() > counts / 4 * 3 {
            continue;
        }
        let passed = end.reference.wrapping_sub(start.reference) & mask_reference;
        return Estimate::between(counts, passed, [start.window, end.window], by)
            .map(|estimate| Coarse { estimate, start })
            .ok_or(CalibrationError::CounterStuck);
    }
    Err(CalibrationError::Disturbed)
}

/// The longest steps of the counter between two reads.
#[derive(Clone, Copy, Default)]
struct Stops([u64; 4]);

impl Stops {
    /// Keeps it in place of the shortest, if it is longer.
    fn note(&mut self, step: u64) {
        if let Some(shortest) = self.0.iter_mut().min().filter(|shortest| **shortest < step) {
            *shortest = step;
        }
    }

    fn sum(&self) -> u64 {
        self.0.iter().fold(0, |sum, &step| sum.saturating_add(step))
    }
}

/// Until `wanted` counts of the reference have passed since `start`; gives the most that the counter moved
/// between two reads, and its count at the last.
fn wait(
    counter: &impl Counter,
    reference: &impl Counter,
    start: &Sample,
    wanted: u64,
) -> Result<(Stops, u64), CalibrationError> {
    let mask_reference = mask(reference.width_bits());
    let mask_counter = mask(counter.width_bits());
    let (mut last, mut last_count) = (start.reference, start.count);
    let (mut same, mut stops) = (0, Stops::default());
    for _ in 0..MAX_READS {
        let now = reference.read();
        let count = counter.read();
        stops.note(count.wrapping_sub(last_count) & mask_counter);
        last_count = count;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        if now.wrapping_sub(start.reference) & mask_reference >= wanted {
            return Ok((stops, last_count));
        }
        if same >= STUCK_READS {
            break;
        }
    }
    Err(CalibrationError::ReferenceStuck)
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::testing::Random;

    /// A machine with a true time, in picoseconds, in which each read takes its time, and now and then
    /// longer.
    pub struct Machine {
        pub now_ps: Cell<u128>,
        pub random: RefCell<Random>,
        /// A read in how many is disturbed, and for how long at most.
        pub stops: Cell<(u64, u64)>,
    }

    impl Machine {
        pub fn new(seed: u64) -> Self {
            let random = RefCell::new(Random::new(seed));
            Self { now_ps: Cell::new(1 << 60), random, stops: Cell::new((1000, 20_000_000)) }
        }

        /// Lets time pass.
        pub fn pass_ns(&self, ns: u64) {
            self.now_ps.set(self.now_ps.get() + u128::from(ns) * 1000);
        }

        fn read_costs(&self, ps: u64) {
            let mut random = self.random.borrow_mut();
            let (one_in, most_ps) = self.stops.get();
            let stop = if random.below(one_in) == 0 { random.below(most_ps) } else { 0 };
            self.now_ps.set(self.now_ps.get() + u128::from(ps + stop));
        }
    }

    /// A counter of the machine.
    pub struct Chip<'a> {
        pub machine: &'a Machine,
        /// In millihertz, as a true rate has no reason to be whole.
        pub true_mhz: Cell<u128>,
        pub said: Option<Rate>,
        pub bits: u32,
        pub read_ps: u64,
    }

    impl<'a> Chip<'a> {
        pub fn new(machine: &'a Machine, hz: u64, bits: u32, read_ps: u64) -> Self {
            let true_mhz = Cell::new(u128::from(hz) * 1000);
            Self { machine, true_mhz, said: Rate::from_hz(hz), bits, read_ps }
        }
    }

    impl Counter for Chip<'_> {
        fn read(&self) -> u64 {
            self.machine.read_costs(self.read_ps / 2);
            let count = self.machine.now_ps.get() / 1000 * self.true_mhz.get() / 1_000_000_000_000;
            self.machine.read_costs(self.read_ps / 2);
            count as u64 & mask(self.bits)
        }

        fn rate(&self) -> Option<Rate> {
            self.said
        }

        fn width_bits(&self) -> u32 {
            self.bits
        }
    }

    pub const REFERENCES: [(u64, u32, u64); 5] = [
        (14_318_180, 64, 500_000),
        (100_000_000, 32, 1_000_000),
        (3_579_545, 24, 700_000),
        (3_579_545, 32, 700_000),
        (1_193_182, 16, 3_000_000),
    ];

    /// Whatever the reference, the rate is within the bound that was said, the time within 10 ms and some
    /// reads, and the bound no worse than the reference's grain makes it.
    #[test]
    fn ten_milliseconds_give_what_they_promise() {
        let mut random = Random::new(3);
        for round in 0..40 {
            for (hz, bits, read_ps) in REFERENCES {
                let machine = Machine::new(random.next_u64());
                let tsc_hz = 800_000_000 + random.below(4_200_000_000);
                let tsc = Chip::new(&machine, tsc_hz, 64, 10_000);
                let reference = Chip::new(&machine, hz, bits, read_ps);
                let began = machine.now_ps.get();
                let found = coarse(&tsc, &reference, 10_000_000).unwrap().estimate;
                let took_ns = ((machine.now_ps.get() - began) / 1000) as u64;
                let error = found.rate.ppb_from(Rate::from_hz(tsc_hz).unwrap()).unsigned_abs();
                assert!(error <= found.error_ppb, "round {round}, {hz} Hz: {error} > {}", found.error_ppb);
                assert!(found.error_ppm() <= if hz < 2_000_000 { 600 } else { 200 }, "{hz} Hz: {found:?}");
                assert!(took_ns < 11_500_000, "{took_ns} ns");
            }
        }
    }

    #[test]
    fn what_stands_still_is_named() {
        let machine = Machine::new(4);
        let tsc = Chip::new(&machine, 2_000_000_000, 64, 10_000);
        let hpet = Chip::new(&machine, 14_318_180, 32, 500_000);
        hpet.true_mhz.set(0);
        assert_eq!(coarse(&tsc, &hpet, 1_000_000), Err(CalibrationError::ReferenceStuck));
        hpet.true_mhz.set(14_318_180_000);
        tsc.true_mhz.set(0);
        assert_eq!(coarse(&tsc, &hpet, 1_000_000), Err(CalibrationError::CounterStuck));
        let unknown = Chip { said: None, ..Chip::new(&machine, 1_000_000, 64, 500_000) };
        assert_eq!(coarse(&tsc, &unknown, 1_000_000), Err(CalibrationError::NoReferenceRate));
    }

    /// Stops longer than the PIT takes to wrap: either they are noticed, or the rate is right.
    #[test]
    fn a_wrap_in_a_stop_is_noticed() {
        let mut random = Random::new(5);
        let (mut disturbed, mut fine) = (0, 0);
        for round in 0..100 {
            let machine = Machine::new(random.next_u64());
            machine.stops.set((15_000, 150_000_000_000));
            let tsc = Chip::new(&machine, 2_000_000_000, 64, 10_000);
            let pit = Chip::new(&machine, 1_193_182, 16, 3_000_000);
            match coarse(&tsc, &pit, 10_000_000) {
                Ok(found) => {
                    let error = found.estimate.rate.ppb_from(tsc.said.unwrap()).unsigned_abs();
                    assert!(error <= found.estimate.error_ppb, "round {round}: {found:?}");
                    fine += 1;
                }
                Err(error) => {
                    assert_eq!(error, CalibrationError::Disturbed);
                    disturbed += 1;
                }
            }
        }
        assert!(disturbed > 0 && fine > 0, "{disturbed} disturbed, {fine} fine");
    }

    #[test]
    fn the_shortest_window_is_kept() {
        let machine = Machine::new(6);
        machine.stops.set((3, 100_000_000));
        let tsc = Chip::new(&machine, 1_000_000_000, 64, 10_000);
        let hpet = Chip::new(&machine, 14_318_180, 64, 500_000);
        let windows = |tries| (0..200).map(|_| Sample::take(&tsc, &hpet, tries).window).sum::<u64>() / 200;
        assert!(windows(20) < 600, "a read of 500 ns and one of 10");
        assert!(windows(1) > 10_000);
    }
}
