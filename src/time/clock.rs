//! The monotonic clock: nanoseconds out of a counter, that never go back, readable in any context.
//!
//! A [`Clock`] is a straight line through a point: at the count `anchor` it was `base_ns`, and each count
//! since is worth `rate`. Reading it is a counter read, a multiplication and an addition. The line is
//! replaced when the rate is known better, when another counter takes over, and before a narrow counter
//! comes round again.
//!
//! **Readers never wait.** An NMI may arrive while the line is being replaced, on the very CPU that replaces
//! it: a reader that waited for the writer to finish would wait for ever. So there are two lines, and
//! `state` says which of them is in force; the writer only ever writes the other one. A reader takes the
//! line in force, and looks at `state` again afterwards: if that moved, the writer did too, so the reader
//! tries again. A stopped writer changes nothing, hence a reader that interrupts one is done in one round.
//! (Linux calls such a pair a latch, `seqcount_latch_t`.)
//!
//! **No read is less than one that ended before it began.** Changing over from a line to a flatter one would
//! break that: the writer may be stopped between choosing the point where the new line begins and putting it
//! in force, and meanwhile the old one has climbed above it. No margin is wide enough for every stop. So each
//! change goes through states in which readers are *careful*: they also raise `last`, the highest value
//! handed out, and hand out no less than that.
//!
//! ```text
//!   state        readers return                    the writer, in that state
//!   old          old(count)
//!   old careful  last = max(last, old(count))      raises last to old(count), which no earlier read exceeds;
//!                                                  writes new: through (count, last)
//!   new careful  last = max(last, new(count))      reads last, then new(count): once not below it, it never is
//!   new          new(count)
//! ```
//!
//! The writer may be stopped for any time in any of them, and may be interrupted by readers at each step. A
//! second writer is sent away: it comes back at its next tick. If new(count) is still below `last`, the
//! writer goes through the same again, with a line that starts at `last`. A careful read costs a locked
//! instruction, and for less than a microsecond a change.
//!
//! Memory order: `state` is a sequence count in the usual way (H. Boehm, "Can Seqlocks Get Along With
//! Programming Language Memory Models?", MSPC 2012): the lines are relaxed atomics between an acquiring load
//! and an acquire fence in the reader, a release fence and a releasing store in the writer.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicU64, fence};

use super::counter::{Counters, Source, mask};
use super::page;
use super::rate::{FRACTION_BITS, Rate};

/// `state`: which line is in force.
const LINE: u64 = 1;
/// `state`: readers are to be careful.
const CAREFUL: u64 = 2;
/// `state`: from here on it counts changes.
const VERSION: u64 = 4;
/// How often the writer goes through the states to catch up with `last`. In the second round both lines have
/// the same counter and rate, and the new one begins no lower, so that is enough; the others are for a
/// counter that misbehaves, and after the last of them readers stay careful until the next change.
const ROUNDS: usize = 4;
/// `source` of a line without a counter: time stands still at `base_ns`.
const STANDING: u64 = u64::MAX;

/// What a clock counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timebase {
    pub source: Source,
    pub rate: Rate,
    pub width_bits: u32,
}

impl Timebase {
    /// Longest time between two calls of [`Clock::refresh`]: three quarters of what the counter counts before
    /// it wraps. One that comes late by an eighth more still comes in time.
    pub fn max_gap_ns(&self) -> u64 {
        self.rate.to_ns(mask(self.width_bits) / 4 * 3)
    }
}

/// Another change is under way on another CPU, or below this one on the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// One straight line. All fields are written by the writer alone, and while the other line is in force.
#[repr(align(64))]
struct Line {
    /// A [`Source`], or [`STANDING`].
    source: AtomicU64,
    anchor: AtomicU64,
    base_ns: AtomicU64,
    /// [`Rate::scaled`].
    scaled: AtomicU64,
    mask: AtomicU64,
    /// Seven eighths of the mask.
    most: AtomicU64,
}

impl Line {
    const fn new() -> Self {
        Self {
            source: AtomicU64::new(STANDING),
            anchor: AtomicU64::new(0),
            base_ns: AtomicU64::new(0),
            scaled: AtomicU64::new(0),
            mask: AtomicU64::new(0),
            most: AtomicU64::new(0),
        }
    }

    /// The count now, of the counter that this line is about.
    fn count(&self, counters: &impl Counters) -> u64 {
        let source = self.source.load(Relaxed);
        source_of(source).map_or(0, |source| counters.read(source))
    }

    /// Counts from the anchor to `count`.
    ///
    /// A count from before it comes out as nearly all that the counter has: the last eighth of its range is
    /// taken for that, and is 0. So a CPU whose TSC is a little behind the writer's sees time stand, not
    /// leap.
    #[inline(always)]
    fn elapsed(&self, count: u64) -> u64 {
        let elapsed = count.wrapping_sub(self.anchor.load(Relaxed)) & self.mask.load(Relaxed);
        if elapsed > self.most.load(Relaxed) { 0 } else { elapsed }
    }

    #[inline(always)]
    fn ns_at(&self, count: u64) -> u64 {
        let product = u128::from(self.elapsed(count)) * u128::from(self.scaled.load(Relaxed));
        // Overflows after 584 years, or in a line that is being rewritten, whose value nobody uses.
        ((product >> FRACTION_BITS) as u64).wrapping_add(self.base_ns.load(Relaxed))
    }

    fn ns(&self, counters: &impl Counters) -> u64 {
        self.ns_at(self.count(counters))
    }

    fn write(&self, timebase: &Timebase, anchor: u64, base_ns: u64) {
        self.source.store(timebase.source as u64, Relaxed);
        self.anchor.store(anchor, Relaxed);
        self.base_ns.store(base_ns, Relaxed);
        self.scaled.store(timebase.rate.scaled(), Relaxed);
        let mask = mask(timebase.width_bits);
        self.mask.store(mask, Relaxed);
        self.most.store(mask - mask / 8, Relaxed);
    }

    fn timebase(&self) -> Option<Timebase> {
        let source = source_of(self.source.load(Relaxed))?;
        let rate = Rate::from_raw(self.scaled.load(Relaxed));
        Some(Timebase { source, rate, width_bits: self.mask.load(Relaxed).count_ones() })
    }
}

/// The source that was stored as a number.
fn source_of(number: u64) -> Option<Source> {
    [Source::Tsc, Source::Hpet, Source::PmTimer, Source::Pit].into_iter().find(|&s| s as u64 == number)
}

/// A monotonic clock. Stands at 0 until [`Clock::start`].
pub struct Clock {
    /// [`LINE`], [`CAREFUL`], and above them a count of the changes.
    state: AtomicU64,
    lines: [Line; 2],
    /// The most that a careful reader returned, and at each change the most that anybody did.
    last: AtomicU64,
    /// Somebody is changing the line.
    changing: AtomicBool,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    pub const fn new() -> Self {
        Self {
            state: AtomicU64::new(0),
            lines: [Line::new(), Line::new()],
            last: AtomicU64::new(0),
            changing: AtomicBool::new(false),
        }
    }

    /// Monotonic nanoseconds. Any context, NMI included.
    ///
    /// What is inlined is the one case that has to be fast. Everything else begins again in a function of
    /// its own, which is left to by a jump: so this path has nothing to save on the stack.
    #[inline]
    pub fn now_ns(&self, counters: &impl Counters) -> u64 {
        let state = self.state.load(Acquire);
        let line = &self.lines[(state & LINE) as usize];
        if state & CAREFUL == 0 && line.source.load(Relaxed) == Source::Tsc as u64 {
            let ns = line.ns_at(counters.read(Source::Tsc));
            fence(Acquire);
            if self.state.load(Relaxed) == state {
                return ns;
            }
        }
        self.now_otherwise_ns(counters)
    }

    /// Another counter than the TSC, a state that wants care, or a change while it was read.
    #[cold]
    #[inline(never)]
    fn now_otherwise_ns(&self, counters: &impl Counters) -> u64 {
        // Each further round means that a change happened meanwhile, of which there are a few a second.
        loop {
            let state = self.state.load(Acquire);
            let line = &self.lines[(state & LINE) as usize];
            let ns = line.ns(counters);
            let is_wide = line.mask.load(Relaxed) == u64::MAX;
            fence(Acquire);
            if self.state.load(Relaxed) != state {
                continue;
            }
            // A narrow counter that nobody has read in time has come round: careful readers see time stand then,
            // others would see it go back. Beside a trip over the bus it costs nothing.
            if state & CAREFUL == 0 && is_wide {
                return ns;
            }
            if let Some(ns) = self.careful(state, ns) {
                return ns;
            }
        }
    }

    /// Hands out a value read in a careful `state`. `None` if that passed meanwhile: then the writer may
    /// already have compared the new line with a `last` that lacked this value.
    fn careful(&self, state: u64, ns: u64) -> Option<u64> {
        let ns = self.last.fetch_max(ns, SeqCst).max(ns);
        (self.state.load(SeqCst) == state).then_some(ns)
    }

    /// What it counts by; `None` before it was started.
    pub fn timebase(&self) -> Option<Timebase> {
        loop {
            let state = self.state.load(Acquire);
            let timebase = self.lines[(state & LINE) as usize].timebase();
            fence(Acquire);
            if self.state.load(Relaxed) == state {
                return timebase;
            }
        }
    }

    /// The line in force, for programs that read the TSC themselves. `None` if another counter is the clock, and while
    /// readers are to be careful, which programs cannot be.
    pub fn line(&self) -> Option<page::Line> {
        loop {
            let state = self.state.load(Acquire);
            let line = &self.lines[(state & LINE) as usize];
            let is_tsc =
                line.source.load(Relaxed) == Source::Tsc as u64 && line.mask.load(Relaxed) == u64::MAX;
            let found = page::Line {
                anchor: line.anchor.load(Relaxed),
                base_ns: line.base_ns.load(Relaxed),
                scaled: line.scaled.load(Relaxed),
                most: line.most.load(Relaxed),
            };
            fence(Acquire);
            if self.state.load(Relaxed) == state {
                return (is_tsc && state & CAREFUL == 0).then_some(found);
            }
        }
    }

    /// Begins to count, from `start_ns` on: the time that has passed since the kernel's entry.
    pub fn start(&self, counters: &impl Counters, timebase: Timebase, start_ns: u64) -> Result<(), Busy> {
        self.last.fetch_max(start_ns, SeqCst);
        self.change(counters, |_| Some(timebase))
    }

    /// Goes on from now by another counter, at its rate.
    pub fn switch(&self, counters: &impl Counters, to: Timebase) -> Result<(), Busy> {
        self.change(counters, |_| Some(to))
    }

    /// Goes on from now at another rate. Nothing to do for a clock that stands.
    pub fn set_rate(&self, counters: &impl Counters, rate: Rate) -> Result<(), Busy> {
        self.change(counters, |old| Some(Timebase { rate, ..old? }))
    }

    /// To be called at least every [`Timebase::max_gap_ns`]: moves the anchor, if the counter comes round at all, and
    /// ends a carefulness that a change had to leave.
    ///
    /// It does not ask how far the anchor is behind: if the counter has come round unread, that looks like a little,
    /// while the clock stands at what it has shown, and no later time would ever come.
    pub fn refresh(&self, counters: &impl Counters) -> Result<(), Busy> {
        let state = self.state.load(Acquire);
        let is_wide = self.lines[(state & LINE) as usize].mask.load(Relaxed) == u64::MAX;
        // Should the line have changed while it was looked at, then it is fresh.
        if state & CAREFUL == 0 && is_wide { Ok(()) } else { self.change(counters, |old| old) }
    }

    /// Whether readers are careful just now.
    pub fn is_careful(&self) -> bool {
        self.state.load(Relaxed) & CAREFUL != 0
    }

    /// The change that the file's header draws.
    fn change(
        &self,
        counters: &impl Counters,
        next: impl Fn(Option<Timebase>) -> Option<Timebase>,
    ) -> Result<(), Busy> {
        if self.changing.swap(true, Acquire) {
            return Err(Busy);
        }
        for _ in 0..ROUNDS {
            let state = self.state.load(Relaxed);
            let old = &self.lines[(state & LINE) as usize];
            let new = &self.lines[(state & LINE ^ LINE) as usize];
            let Some(timebase) = next(old.timebase()) else { break };
            let old_careful = (state | CAREFUL).wrapping_add(VERSION);
            // With a full barrier: no earlier read's count may be later than the one that is taken next.
            self.state.swap(old_careful, SeqCst);
            fence(SeqCst);
            let count = old.count(counters);
            let old_ns = old.ns_at(count);
            let base_ns = self.last.fetch_max(old_ns, SeqCst).max(old_ns);
            // By the same counter the lines meet in one point, and no time is lost between two reads.
            let is_same = old.source.load(Relaxed) == timebase.source as u64;
            new.write(&timebase, if is_same { count } else { counters.read(timebase.source) }, base_ns);
            let new_careful = (old_careful ^ LINE).wrapping_add(VERSION);
            self.state.swap(new_careful, SeqCst);
            fence(SeqCst);
            // In this order: what the old line handed out is in `last` by now, and what the new one raises
            // it to from here on, the new one has reached.
            let last = self.last.load(SeqCst);
            if new.ns(counters) >= last {
                self.state.store((new_careful & !CAREFUL).wrapping_add(VERSION), Release);
                break;
            }
        }
        self.changing.store(false, Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
