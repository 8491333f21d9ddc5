//! Timers: "call me at this time".
//!
//! `time::queue` keeps them in order, and [`Platform::set_alarm`] is set for the earliest and for nothing else: a
//! kernel with nothing to do takes no interrupt at all. An alarm is not taken back when its timer is: it costs one
//! early call of [`fire`], where taking it back would cost every cancelling.
//! A callback runs in the interrupt handler, with interrupts off.

use super::{Machine, Platform};
use crate::sync::{IrqLock, Rank};
use crate::time::queue::{Armed, Callback, Full, TimerId, TimerQueue};
use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU64, Ordering};
use log::{info, warn};

/// Timers that may be armed at one time.
const TIMERS: usize = 256;
/// What the alarm is set for if it is not set: the end of time.
const NEVER: u64 = u64::MAX;

struct State {
    queue: TimerQueue<TIMERS>,
    /// What the alarm is set for.
    set_for: u64,
}

static STATE: IrqLock<State> = IrqLock::new(Rank::Timers, State { queue: TimerQueue::new(), set_for: NEVER });

impl State {
    /// Sets the alarm for the earliest deadline, unless it comes by then anyway.
    #[inline]
    fn set_alarm(&mut self) {
        let next = self.queue.next_deadline().unwrap_or(NEVER);
        if next < self.set_for {
            self.set_for = next;
            Machine::set_alarm(next);
        }
    }
}

/// The alarm: calls what is due. With interrupts off.
pub fn fire(_: usize) {
    loop {
        let mut state = STATE.lock();
        let Some(expired) = state.queue.pop_expired(Machine::now_ns()) else {
            // The chip has stopped, whatever it was set for.
            state.set_for = NEVER;
            state.set_alarm();
            return;
        };
        drop(state);
        expired.call();
    }
}

/// Calls `callback(context)` at a time of [`Platform::now_ns`], or at once if that has passed.
pub fn at(deadline_ns: u64, callback: Callback, context: usize) -> Result<TimerId, Full> {
    let mut state = STATE.lock();
    let id = state.queue.arm(deadline_ns, callback, context)?;
    state.set_alarm();
    Ok(id)
}

/// Calls `callback(context)` every `period`, without drift.
pub fn every(period_ns: NonZeroU64, callback: Callback, context: usize) -> Result<TimerId, Full> {
    let first_ns = Machine::now_ns().saturating_add(period_ns.get());
    let mut state = STATE.lock();
    let id = state.queue.arm_periodic(first_ns, period_ns, callback, context)?;
    state.set_alarm();
    Ok(id)
}

/// Takes a timer back. False if it has fired.
pub fn cancel(id: TimerId) -> bool {
    STATE.lock().queue.cancel(id)
}

/// Ticks of [`start_ticks`], and since when they are counted.
static TICKS: AtomicU64 = AtomicU64::new(0);
static TICKS_SINCE_NS: AtomicU64 = AtomicU64::new(0);

/// Counts `hz` ticks a second from now on, for whoever wants to see them: nothing needs them.
pub fn start_ticks(hz: u64) {
    let period = 1_000_000_000u64.checked_div(hz).and_then(NonZeroU64::new);
    let armed = period.map(|period| every(period, tick, 0));
    match armed {
        Some(Ok(_)) => {
            TICKS_SINCE_NS.store(Machine::now_ns(), Ordering::Relaxed);
            info!(target: "timers", "{hz} ticks a second");
        }
        _ => warn!(target: "timers", "hz={hz}: not possible"),
    }
}

fn tick(_: usize) {
    TICKS.fetch_add(1, Ordering::Relaxed);
}

/// How many ticks there were, and in how many nanoseconds; `None` if nobody wants them. One that was missed altogether, as interrupts were off for
/// longer than a period, is not among them.
pub fn ticks() -> Option<(u64, u64)> {
    let since_ns = Some(TICKS_SINCE_NS.load(Ordering::Relaxed)).filter(|&ns| ns > 0)?;
    Some((TICKS.load(Ordering::Relaxed), Machine::now_ns().saturating_sub(since_ns)))
}

/// The armed timers, earliest first: for display.
pub fn for_each(visit: &mut dyn FnMut(Armed)) {
    let mut previous = None;
    loop {
        let next = STATE.lock().queue.after(previous.as_ref());
        let Some(armed) = next else { return };
        visit(armed);
        previous = Some(armed);
    }
}

#[cfg(test)]
mod tests;
