//! What is done for the clock while the kernel runs, by timers: a few interrupts a minute.
//!
//! ```text
//! refine    1 s and 10 s after the first sample   the TSC's rate, by a base line that is longer each time
//! watch     a second in each half minute          the TSC against its reference, where it is not invariant
//! refresh   before a narrow counter comes round   2.3 s for 24 bits of the PM timer at the shortest; 27 ms for the PIT
//! ```
//!
//! Invariants: each of them is one timer, which arms its successor. Whoever finds the clock just being changed (by
//! code that its interrupt has interrupted) comes back a moment later. A TSC that was dropped stays dropped.

use super::chips::{CHIPS, Chip};
use super::{CLOCK, change, measured_by, now_ns, tsc_rate};
use crate::platform::pc::alarm;
use crate::platform::timers::{self, Timer};
use crate::sync::{IrqLock, Rank};
use crate::time::NS_PER_SECOND;
use crate::time::calibrate::{Coarse, Sample, TRIES};
use crate::time::choice::{self, Choice, Found, Tsc};
use crate::time::counter::Source;
use crate::time::rate::Rate;
use crate::time::refine::Refiner;
use crate::time::watchdog::{Verdict, Watchdog};
use core::fmt;
use core::num::NonZeroU64;
use log::{debug, warn};

/// When the rate is refined, after the first sample; then it is good to a few millionths.
const REFINE_NS: [u64; 2] = [NS_PER_SECOND, 10 * NS_PER_SECOND];
/// Looks of which the refinement's sample keeps the best.
const REFINE_TRIES: u32 = 4 * TRIES;
/// How long after somebody else's change of the clock it is tried again.
const BUSY_NS: u64 = 1_000_000;
/// Counters that last longer than this are not looked at.
const YEAR_NS: u64 = 365 * 86_400 * NS_PER_SECOND;

struct State {
    /// What there is to choose from, should the TSC stray.
    found: Option<Found>,
    /// The measurement of the TSC, going on, and by whom.
    refiner: Option<(Refiner, Source)>,
    watchdog: Option<(Watchdog, Source)>,
    watching: Option<Timer>,
    refreshing: Option<Timer>,
}

static STATE: IrqLock<State> = IrqLock::new(
    Rank::ClockUpkeep,
    State { found: None, refiner: None, watchdog: None, watching: None, refreshing: None },
);

/// Notes what there will be to do. The clock has been started; timers are not there yet.
pub fn prepare(found: Found, choice: &Choice, measured: Option<Coarse>) {
    let mut state = STATE.lock();
    state.found = Some(found);
    if let (Some(coarse), Some(by)) = (measured, measured_by(choice)) {
        let chip = Chip::of(by);
        state.refiner = chip.rate.map(|rate| (Refiner::new(&coarse, rate, chip.width_bits), by));
    }
    if let Some(by) = choice.watched_by {
        let chip = Chip::of(by);
        state.watchdog = chip.rate.map(|rate| (Watchdog::new(rate, chip.width_bits), by));
    }
}

/// Begins. There is an alarm.
pub fn begin() {
    if STATE.lock().refiner.is_some() {
        let _ = timers::at(now_ns() + REFINE_NS[0], refine, 0);
    }
    if STATE.lock().watchdog.is_some() {
        watch(0);
    }
    keep_fresh();
}

/// Has the clock's counter read before it comes round, from now on.
fn keep_fresh() {
    // The first time is as far from here as the others are apart, and has to lie within the counter's reach.
    refresh(0);
    let mut state = STATE.lock();
    if let Some(id) = state.refreshing.take() {
        timers::cancel(id);
    }
    let Some(gap) = CLOCK.timebase().map(|timebase| timebase.max_gap_ns()) else { return };
    // Of a short one, two thirds: what it can be late by without harm is short as well.
    let gap = if gap < NS_PER_SECOND { gap / 3 * 2 } else { gap };
    if let Some(period) = NonZeroU64::new(gap).filter(|_| gap < YEAR_NS) {
        state.refreshing = timers::every(period, refresh, 0).ok();
    }
}

/// Reads the clock's counter before it comes round. Should somebody else just be changing the clock: that does as well.
pub fn refresh(_: usize) {
    let _ = change(|clock| clock.refresh(&CHIPS));
}

/// One step of the refinement.
fn refine(step: usize) {
    let mut state = STATE.lock();
    let Some((refiner, by)) = &mut state.refiner else { return };
    let sample = Sample::take(&Chip::of(Source::Tsc), &Chip::of(*by), REFINE_TRIES);
    if let Err(unusable) = refiner.add(&sample) {
        // The clock keeps the rate that it has; whether the TSC is steady is the watchdog's question.
        debug!(target: "clock", "TSC, measured by {by} again: {unusable:?}");
        state.refiner = None;
        return;
    }
    let estimate = refiner.estimate();
    if tsc_rate().is_none() {
        return;
    }
    if change(|clock| clock.set_rate(&CHIPS, estimate.rate)).is_err() {
        let _ = timers::at(now_ns() + BUSY_NS, refine, step);
        return;
    }
    debug!(target: "clock", "TSC {} Hz, measured by {by}, within {} ppm", estimate.rate.hz(), estimate.error_ppm());
    if let Some(next) = REFINE_NS.get(step + 1) {
        let _ = timers::at(now_ns() + next - REFINE_NS[step], refine, step + 1);
    }
    drop(state);
    alarm::rate_changed();
}

/// One look of the watchdog.
fn watch(_: usize) {
    let mut state = STATE.lock();
    let (Some((dog, by)), Some(rate)) = (&mut state.watchdog, tsc_rate()) else { return };
    let by = *by;
    let sample = Sample::take(&Chip::of(Source::Tsc), &Chip::of(by), TRIES);
    let verdict = dog.check(&sample, rate);
    let mut next_ns = dog.next_in_ns();
    match verdict {
        Verdict::Drop { ppm } => {
            let dropped = match ppm {
                Some(ppm) => drop_tsc(&mut state, Tsc::Strayed, format_args!(", {ppm} ppm off {by}")),
                None => drop_tsc(&mut state, Tsc::Strayed, format_args!(", leaping past {by}")),
            };
            if dropped {
                drop(state);
                go_on_otherwise();
                return;
            }
            next_ns = BUSY_NS;
        }
        Verdict::Suspect { ppm } => debug!(target: "clock", "TSC {ppm} ppm off {by}: once more, and it goes"),
        _ => {}
    }
    if let Some(id) = state.watching.take() {
        timers::cancel(id);
    }
    state.watching = timers::at(now_ns() + next_ns, watch, 0).ok();
}

/// The next best counter becomes the clock, and a line says so. False if there is none, or the clock was just being
/// changed.
fn drop_tsc(state: &mut State, why: Tsc, words: fmt::Arguments<'_>) -> bool {
    let Some(found) = &mut state.found else { return false };
    found.tsc = why;
    let Some(choice) = choice::choose(found) else { return false };
    let Some(timebase) = Chip::of(choice.clock).timebase() else { return false };
    if change(|clock| clock.switch(&CHIPS, timebase)).is_err() {
        return false;
    }
    (state.watchdog, state.refiner) = (None, None);
    warn!(target: "clock", "{choice}{words}");
    true
}

/// Another counter is the clock.
fn go_on_otherwise() {
    keep_fresh();
    alarm::clock_changed();
}

/// The CPUs' TSCs do not show one time: another counter becomes the clock. False if there is none.
pub fn skewed() -> bool {
    let dropped = drop_tsc(&mut STATE.lock(), Tsc::Skewed, format_args!(""));
    if dropped {
        go_on_otherwise();
    }
    dropped
}

/// The alarm came long before the clock says that it should have: perhaps the clock stands. It is watched at once,
/// instead of at a time that may never come.
pub fn doubt() {
    watch(0);
}

/// For tests of the watchdog: the clock takes the TSC for slower than it is (faster, if negative), by `ppm` of what it
/// really is. It is what a TSC that has changed its rate looks like. False if the TSC is not the clock.
pub fn stray(ppm: i64) -> bool {
    let mut state = STATE.lock();
    state.refiner = None;
    let Some(rate) = tsc_rate() else { return false };
    let hz = i128::from(rate.hz()) * 1_000_000 / (1_000_000 + i128::from(ppm)).max(1);
    let wrong = u64::try_from(hz).ok().and_then(Rate::from_hz);
    wrong.is_some_and(|wrong| change(|clock| clock.set_rate(&CHIPS, wrong)).is_ok())
}
