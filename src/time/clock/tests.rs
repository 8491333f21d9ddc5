//! The clock against counters that a test turns: arithmetic, wraps, and readers in every moment of a change.

use std::sync::atomic::AtomicUsize;
use std::vec::Vec;

use super::super::NS_PER_SECOND;
use super::*;
use crate::testing::Random;

/// Two counters that go on by `step` at each read, of any width; what is run within each read is a test's
/// choice.
struct Bench<F: Fn(Source)> {
    tsc: AtomicU64,
    other: AtomicU64,
    step: AtomicU64,
    other_mask: u64,
    within: F,
}

fn bench<F: Fn(Source)>(other_bits: u32, within: F) -> Bench<F> {
    Bench {
        tsc: AtomicU64::new(0),
        other: AtomicU64::new(0),
        step: AtomicU64::new(0),
        other_mask: mask(other_bits),
        within,
    }
}

impl<F: Fn(Source)> Counters for Bench<F> {
    fn read(&self, source: Source) -> u64 {
        (self.within)(source);
        let step = self.step.load(SeqCst);
        match source {
            Source::Tsc => self.tsc.fetch_add(step, SeqCst) + step,
            _ => (self.other.fetch_add(step, SeqCst) + step) & self.other_mask,
        }
    }
}

fn timebase(source: Source, hz: u64, width_bits: u32) -> Timebase {
    Timebase { source, rate: Rate::from_hz(hz).unwrap(), width_bits }
}

const GHZ: u64 = 1_000_000_000;

#[test]
fn stands_until_it_is_started_and_then_counts() {
    let counters = bench(64, |_| {});
    let clock = Clock::new();
    counters.tsc.store(77, SeqCst);
    assert_eq!((clock.now_ns(&counters), clock.timebase()), (0, None));
    assert_eq!(clock.set_rate(&counters, Rate::from_hz(5 * GHZ).unwrap()), Ok(()));
    assert_eq!((clock.now_ns(&counters), clock.timebase()), (0, None));

    let tsc = timebase(Source::Tsc, 2 * GHZ, 64);
    clock.start(&counters, tsc, 123_456).unwrap();
    assert_eq!((clock.now_ns(&counters), clock.timebase()), (123_456, Some(tsc)));
    counters.tsc.fetch_add(2 * GHZ, SeqCst);
    assert_eq!(clock.now_ns(&counters), 123_456 + NS_PER_SECOND);
    // 30 years without a change.
    counters.tsc.fetch_add(30 * 365 * 86_400 * 2 * GHZ, SeqCst);
    assert_eq!(clock.now_ns(&counters), 123_456 + NS_PER_SECOND * (30 * 365 * 86_400 + 1));
}

#[test]
fn a_new_rate_counts_from_now_on() {
    let counters = bench(64, |_| {});
    let clock = Clock::new();
    clock.start(&counters, timebase(Source::Tsc, GHZ, 64), 0).unwrap();
    counters.tsc.fetch_add(1000, SeqCst);
    clock.set_rate(&counters, Rate::from_hz(2 * GHZ).unwrap()).unwrap();
    assert_eq!(clock.now_ns(&counters), 1000);
    counters.tsc.fetch_add(1000, SeqCst);
    assert_eq!(clock.now_ns(&counters), 1500);
    assert!(!clock.is_careful());
}

#[test]
fn a_count_from_before_the_anchor_is_the_anchor() {
    let counters = bench(64, |_| {});
    let clock = Clock::new();
    counters.tsc.store(1000, SeqCst);
    clock.start(&counters, timebase(Source::Tsc, GHZ, 64), 5).unwrap();
    counters.tsc.store(990, SeqCst);
    assert_eq!(clock.now_ns(&counters), 5);
}

/// Refreshed as often as [`Timebase::max_gap_ns`] asks, a narrow counter comes round without a trace.
#[test]
fn narrow_counters_wrap() {
    for (source, hz, bits) in [
        (Source::PmTimer, 3_579_545, 24),
        (Source::PmTimer, 3_579_545, 32),
        (Source::Hpet, 100_000_000, 32),
        (Source::Pit, 1_193_182, 16),
    ] {
        let counters = bench(bits, |_| {});
        let clock = Clock::new();
        let base = timebase(source, hz, bits);
        let mut random = Random::new(u64::from(bits));
        counters.other.store(random.next_u64() & mask(bits), SeqCst);
        clock.start(&counters, base, 0).unwrap();
        let (mut passed, mut before) = (0, 0);
        for round in 0..2000 {
            let step = random.below(base.rate.to_counts(base.max_gap_ns()));
            counters.other.fetch_add(step, SeqCst);
            passed += step;
            clock.refresh(&counters).unwrap();
            let now = clock.now_ns(&counters);
            assert!(now >= before);
            // Each new anchor rounds down by less than a nanosecond.
            let right = base.rate.to_ns(passed);
            assert!(
                (right.saturating_sub(round + 1)..=right).contains(&now),
                "round {round}: {now} at {right}"
            );
            before = now;
        }
    }
}

/// Negative: nobody reads it in time, as interrupts are off for too long. Time is lost, and stands meanwhile; it does
/// not go back, and goes on from the next refresh, wherever the counter is then.
#[test]
fn a_counter_that_came_round_unread_loses_time_and_nothing_else() {
    let counters = bench(16, |_| {});
    let base = timebase(Source::Pit, 1_000_000, 16);
    for late in (0..1 << 17).step_by(1 << 9) {
        let clock = Clock::new();
        counters.other.store(0, SeqCst);
        clock.start(&counters, base, 0).unwrap();
        let mut before = 0;
        for count in (0..=late).step_by(1 << 9) {
            counters.other.store(count & 0xFFFF, SeqCst);
            let now = clock.now_ns(&counters);
            assert!(now >= before && now <= count * 1000, "{now} after {before} at {count}");
            before = now;
        }
        clock.refresh(&counters).unwrap();
        let stood = clock.now_ns(&counters);
        assert!(stood >= before);
        counters.other.store((late + 0x8000) & 0xFFFF, SeqCst);
        assert_eq!(clock.now_ns(&counters) - stood, 0x8000 * 1000, "late {late}");
    }
}

#[test]
fn switching_the_counter_goes_on_from_now() {
    let counters = bench(24, |_| {});
    let clock = Clock::new();
    clock.start(&counters, timebase(Source::Tsc, 2 * GHZ, 64), 0).unwrap();
    counters.tsc.fetch_add(2 * GHZ, SeqCst);
    counters.other.store(0xFF_FFF0, SeqCst);
    clock.switch(&counters, timebase(Source::PmTimer, 1_000_000, 24)).unwrap();
    assert_eq!(clock.now_ns(&counters), NS_PER_SECOND);
    counters.tsc.fetch_add(2 * GHZ, SeqCst);
    assert_eq!(clock.now_ns(&counters), NS_PER_SECOND, "the TSC no longer counts");
    counters.other.fetch_add(1_000_000, SeqCst);
    assert_eq!(clock.now_ns(&counters), 2 * NS_PER_SECOND);
    assert_eq!(clock.timebase().unwrap().source, Source::PmTimer);
}

/// An interrupt at each of the writer's counter reads, hence in each of its states, reads the clock to its
/// end and finds it not gone back; and what wants to change the clock there is sent away. Each lasts a
/// while, so that a change to a flatter line has something to lose.
#[test]
fn interrupted_writers_leave_readers_running() {
    let mut random = Random::new(7);
    for round in 0..3000 {
        let clock = Clock::new();
        let depth = AtomicUsize::new(0);
        let seen = AtomicU64::new(0);
        let reads = AtomicUsize::new(0);
        let stop_ticks = AtomicU64::new(0);
        let inner = bench(64, |_| {});
        inner.step.store(1, SeqCst);
        let rates: Vec<u64> = (0..4).map(|_| 500_000_000 + random.below(3 * GHZ)).collect();
        let outer = Interrupted {
            inner: &inner,
            interrupt: &|| {
                if depth.fetch_add(1, SeqCst) == 0 {
                    for _ in 0..3 {
                        let now = clock.now_ns(&inner);
                        let before = seen.fetch_max(now, SeqCst);
                        assert!(now >= before, "round {round}: {now} after {before}");
                        inner.tsc.fetch_add(stop_ticks.load(SeqCst), SeqCst);
                        inner.other.fetch_add(stop_ticks.load(SeqCst), SeqCst);
                        reads.fetch_add(1, SeqCst);
                    }
                    if clock.changing.load(SeqCst) {
                        assert_eq!(clock.refresh(&inner).and(clock.switch(&inner, base(GHZ))), Err(Busy));
                    }
                }
                depth.fetch_sub(1, SeqCst);
            },
        };
        clock.start(&inner, base(GHZ), 0).unwrap();
        for hz in rates {
            stop_ticks.store(random.below(10_000_000), SeqCst);
            let source = random.pick(&[Source::Tsc, Source::Hpet]);
            clock.switch(&outer, timebase(source, hz, 64)).unwrap();
            clock.refresh(&outer).unwrap();
            stop_ticks.store(0, SeqCst);
            clock.refresh(&outer).unwrap();
            assert!(!clock.is_careful(), "round {round}");
            let now = clock.now_ns(&inner);
            assert!(now >= seen.fetch_max(now, SeqCst));
        }
        assert!(reads.load(SeqCst) > 30);
    }
}

fn base(hz: u64) -> Timebase {
    timebase(Source::Tsc, hz, 64)
}

struct Interrupted<'a, C> {
    inner: &'a C,
    interrupt: &'a dyn Fn(),
}

impl<C: Counters> Counters for Interrupted<'_, C> {
    fn read(&self, source: Source) -> u64 {
        (self.interrupt)();
        let count = self.inner.read(source);
        (self.interrupt)();
        count
    }
}

/// The other way round: changes in the middle of a read, so that the line it took is rewritten under it.
/// What it returns lies between the reads before and after it.
#[test]
fn a_read_in_which_the_clock_is_changed() {
    let mut random = Random::new(8);
    for round in 0..3000 {
        let inner = bench(64, |_| {});
        inner.step.store(1, SeqCst);
        let clock = Clock::new();
        clock.start(&inner, base(GHZ), 0).unwrap();
        let changes: Vec<_> = (0..random.below(5)).map(|_| 1 + random.below(9)).collect();
        let is_inside = AtomicUsize::new(0);
        let outer = Interrupted {
            inner: &inner,
            interrupt: &|| {
                if is_inside.fetch_add(1, SeqCst) == 0 {
                    for &ghz in &changes {
                        inner.tsc.fetch_add(1000 * ghz, SeqCst);
                        clock.set_rate(&inner, Rate::from_hz(ghz * GHZ).unwrap()).unwrap();
                    }
                }
            },
        };
        inner.tsc.fetch_add(random.below(1_000_000), SeqCst);
        let before = clock.now_ns(&inner);
        let now = clock.now_ns(&outer);
        let after = clock.now_ns(&inner);
        assert!(before <= now && now <= after, "round {round}: {before}, {now}, {after}");
    }
}

/// Readers on other CPUs, and a writer that makes the clock run at rates up to eight times apart, by turns
/// off two counters: no read is less than one that ended before it began, on whichever CPU.
#[test]
fn no_reader_anywhere_sees_it_go_back() {
    const READS: usize = 50_000;
    // Now and then whoever reads a counter is stopped in the middle of what he does with it.
    let stops = AtomicUsize::new(0);
    let counters = bench(64, |_| {
        if stops.fetch_add(1, Relaxed) % 7 == 0 {
            std::thread::yield_now();
        }
    });
    counters.step.store(3, SeqCst);
    let clock = Clock::new();
    clock.start(&counters, base(GHZ), 0).unwrap();
    let highest = AtomicU64::new(0);
    let readers = AtomicUsize::new(3);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for read in 0..READS {
                    let before = highest.load(SeqCst);
                    let now = clock.now_ns(&counters);
                    if now < before {
                        readers.fetch_sub(1, SeqCst);
                        panic!("read {read}: {now} after {before}");
                    }
                    highest.fetch_max(now, SeqCst);
                }
                readers.fetch_sub(1, SeqCst);
            });
        }
        let mut random = Random::new(9);
        let mut changes = 0;
        while readers.load(SeqCst) > 0 || changes < 100 {
            let source = random.pick(&[Source::Tsc, Source::Hpet]);
            clock.switch(&counters, timebase(source, GHZ / 2 + random.below(4 * GHZ), 64)).unwrap();
            changes += 1;
        }
    });
    assert!(highest.load(SeqCst) > 0);
}
