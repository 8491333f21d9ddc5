//! The counters beside each other: how far each has come in the same time, and whether the clock ever goes back.
//!
//! For the monitor (`timers`, `clocks`) and the tests behind it. A counter that came round in between, even several
//! times, is given the whole rounds that bring it nearest to the clock: so one that is off by more than half a round
//! passes for one that is right. For 24 bits of the PM timer that would be two seconds, for the PIT a fiftieth of one.

use super::chips::{CHIPS, Chip};
use super::{CLOCK, change, now_ns, read_rtc, source, tsc_rate};
use crate::platform::timers;
use crate::sync::{IrqLock, Rank};
use crate::time::NS_PER_SECOND;
use crate::time::counter::{Counters, Source, mask};
use crate::time::rate::Rate;
use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU64, Ordering};

const SOURCES: [Source; 4] = [Source::Tsc, Source::Hpet, Source::PmTimer, Source::Pit];
/// Looks at a counter and the clock of which the one with the shortest way between them counts.
const TRIES: u32 = 20;
/// While backward steps are looked for: how often the rate changes, and by how much: 200 ppm.
const CHANGE_NS: NonZeroU64 = NonZeroU64::new(500_000).expect("not 0");
const CHANGE_NS_A_SECOND: i64 = 200_000;

/// A counter as it is now: its name, its count as the chip has it, its width, and its rate if that is known.
pub fn for_each_counter(visit: &mut dyn FnMut(Source, u64, u32, Option<Rate>)) {
    for source in SOURCES.into_iter().filter(|&source| CHIPS.has(source)) {
        let chip = Chip::of(source);
        visit(source, CHIPS.read(source), chip.width_bits, chip.rate.or(tsc_rate()));
    }
}

/// The counters at one moment: of each its count, and what the clock showed then.
pub struct Snapshot {
    counts: [Option<(u64, u64)>; SOURCES.len()],
    /// The RTC's second, and what the clock showed when it was asked.
    rtc: Option<(i64, u64)>,
}

/// What passed between two snapshots.
#[derive(Clone, Copy, Debug)]
pub enum Passed {
    /// By the counter's own rate, and by the clock.
    Time { ns: u64, clock_ns: u64 },
    /// Nobody knows its rate: by the clock it has this one.
    Rate(Rate),
}

impl Snapshot {
    pub fn take() -> Self {
        let look = |source| {
            let once = |_| {
                let before = now_ns();
                let count = CHIPS.read(source);
                let width = now_ns() - before;
                (width, count, before + width / 2)
            };
            (0..TRIES).map(once).min_by_key(|&(width, ..)| width).map(|(_, count, ns)| (count, ns))
        };
        let counts = SOURCES.map(|source| CHIPS.has(source).then_some(source).and_then(look));
        Self { counts, rtc: read_rtc().ok().map(|now| (now.unix_seconds(), now_ns())) }
    }

    /// What passed until `later`, for each counter but the one that is the clock.
    pub fn until(&self, later: &Self, visit: &mut dyn FnMut(Source, Passed)) {
        let clock = source();
        for (at, source) in SOURCES.into_iter().enumerate().filter(|&(_, source)| Some(source) != clock) {
            let (Some((first, first_ns)), Some((last, last_ns))) = (self.counts[at], later.counts[at]) else {
                continue;
            };
            let chip = Chip::of(source);
            let counted = last.wrapping_sub(first) & mask(chip.width_bits);
            let clock_ns = last_ns.saturating_sub(first_ns);
            match chip.rate {
                Some(rate) => {
                    let counts = with_rounds(counted, rate.to_counts(clock_ns), chip.width_bits);
                    visit(source, Passed::Time { ns: rate.to_ns(counts), clock_ns });
                }
                None => {
                    if let Some(rate) = Rate::from_counts(counted, clock_ns) {
                        visit(source, Passed::Rate(rate));
                    }
                }
            }
        }
    }

    /// Seconds that passed until `later` by the RTC, and nanoseconds by the clock.
    pub fn rtc_until(&self, later: &Self) -> Option<(i64, u64)> {
        let (first, last) = (self.rtc?, later.rtc?);
        Some((last.0 - first.0, last.1.saturating_sub(first.1)))
    }
}

/// `counted`, and as many whole rounds as bring it nearest to `expected`.
fn with_rounds(counted: u64, expected: u64, width_bits: u32) -> u64 {
    if width_bits >= 64 {
        return counted;
    }
    let round = 1u64 << width_bits;
    counted + (expected + round / 2).saturating_sub(counted) / round * round
}

/// What [`count_steps`] found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps {
    /// Reads that gave less than the one before, and the largest such step.
    pub back: u64,
    pub largest_ns: u64,
    /// How often the rate was changed meanwhile.
    pub changes: u64,
    pub took_ns: u64,
}

/// Changes of the rate so far.
static CHANGES: AtomicU64 = AtomicU64::new(0);
/// The clock's rate as it is to be.
static RATE: IrqLock<Option<Rate>> = IrqLock::new(Rank::ClockRate, None);

/// Reads the clock so many times in a row, while a timer makes it now faster, now slower, as the refinement does once
/// or twice in a boot. `None` if there is no clock or no timer to be had.
pub fn count_steps(reads: u64) -> Option<Steps> {
    let rate = CLOCK.timebase()?.rate;
    *RATE.lock() = Some(rate);
    let first_change = CHANGES.load(Ordering::Relaxed);
    let timer = timers::every(CHANGE_NS, change_rate, 0).ok()?;
    let start = now_ns();
    let mut steps = Steps::default();
    let mut last = start;
    for _ in 0..reads {
        let now = now_ns();
        if now < last {
            steps.back += 1;
            steps.largest_ns = steps.largest_ns.max(last - now);
        }
        last = now;
    }
    timers::cancel(timer);
    // Nobody changes it now: busy it is not.
    let _ = change(|clock| clock.set_rate(&CHIPS, rate));
    steps.took_ns = now_ns() - start;
    steps.changes = CHANGES.load(Ordering::Relaxed) - first_change;
    Some(steps)
}

fn change_rate(_: usize) {
    let Some(rate) = *RATE.lock() else { return };
    let faster = CHANGES.load(Ordering::Relaxed) % 2 == 0;
    let (bent, _) = rate.slewed(if faster { CHANGE_NS_A_SECOND } else { -CHANGE_NS_A_SECOND }, NS_PER_SECOND);
    if change(|clock| clock.set_rate(&CHIPS, bent)).is_ok() {
        CHANGES.fetch_add(1, Ordering::Relaxed);
    }
}
