//! Timers: "call me at this time".
//!
//! `time::queue` keeps them in order, and [`Platform::set_alarm`] is set for the earliest and for nothing else: a
//! kernel with nothing to do takes no interrupt at all. An alarm is not taken back when its timer is: it costs one
//! early call of [`fire`], where taking it back would cost every cancelling.
//! A callback runs in the interrupt handler, with interrupts off.
//!
//! Every CPU with an alarm of its own has a queue of its own: a timer fires on the CPU that armed it, and no lock is
//! shared but with who takes a timer back from afar. Where CPUs have none, the boot CPU serves them
//! ([`serve_here`]).

use super::{Machine, Platform};
use crate::sync::{IrqGuard, IrqLock};
use crate::time::queue::{Armed, Callback, Full, TimerId, TimerQueue};
use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU64, Ordering};
use log::{info, warn};

/// Timers that may be armed at one time, on each CPU.
const TIMERS: usize = 256;
/// What the alarm is set for if it is not set: the end of time.
const NEVER: u64 = u64::MAX;

struct State {
    queue: TimerQueue<TIMERS>,
    /// What the alarm is set for.
    set_for: u64,
}

impl State {
    const fn new() -> Self {
        Self { queue: TimerQueue::new(), set_for: NEVER }
    }

    /// Sets the alarm for a deadline that is new or the earliest, unless it comes by then anyway.
    #[inline]
    fn set_alarm(&mut self, deadline_ns: u64) {
        if deadline_ns < self.set_for {
            self.set_for = deadline_ns;
            Machine::set_alarm(deadline_ns);
        }
    }
}

/// Names an armed timer, and none after it.
#[derive(Clone, Copy)]
pub struct Timer {
    /// Where it is.
    queue: &'static IrqLock<State>,
    id: TimerId,
}

/// This CPU has an alarm of its own from now on, and its timers are in a queue of its own. With interrupts off.
pub fn serve_here() {
    queues::serve_here();
}

#[cfg(target_os = "none")]
mod queues {
    use super::State;
    use crate::arch::x86_64::percpu::{InterruptsOff, copies, per_cpu};
    use crate::sync::{IrqLock, Rank};
    use core::ptr;

    per_cpu! {
        static STATE: IrqLock<State> = IrqLock::new(Rank::Timers, State::new());

        /// Where the queue is that this CPU's timers are in; 0: it is the boot CPU's.
        static MINE: u64 = 0;
    }

    /// From now on it is this CPU's.
    pub fn serve_here() {
        let pin = InterruptsOff::new();
        MINE.set(ptr::from_ref(STATE.here(&pin)) as u64);
    }

    /// The queue that this CPU's timers are in, as an address: by one instruction.
    #[inline]
    pub fn mine() -> u64 {
        MINE.get()
    }

    /// What [`mine`] means.
    #[inline]
    pub fn at(mine: u64) -> &'static IrqLock<State> {
        if mine == 0 {
            return of(0).expect("the boot CPU has its variables");
        }
        // SAFETY: of a CPU's copy, as `serve_here` has set it, and copies are there for good.
        unsafe { &*(mine as *const IrqLock<State>) }
    }

    pub fn count() -> usize {
        copies()
    }

    #[inline]
    pub fn of(cpu: usize) -> Option<&'static IrqLock<State>> {
        STATE.on(cpu)
    }
}

/// The host's machine is one CPU.
#[cfg(not(target_os = "none"))]
mod queues {
    use super::State;
    use crate::sync::{IrqLock, Rank};

    static STATE: IrqLock<State> = IrqLock::new(Rank::Timers, State::new());

    pub fn serve_here() {}

    pub fn mine() -> u64 {
        0
    }

    pub fn at(_: u64) -> &'static IrqLock<State> {
        &STATE
    }

    pub fn count() -> usize {
        1
    }

    pub fn of(cpu: usize) -> Option<&'static IrqLock<State>> {
        (cpu == 0).then_some(&STATE)
    }
}

/// The queue in which this CPU's timers are, and the same locked.
#[inline(always)]
fn mine() -> (&'static IrqLock<State>, IrqGuard<'static, State>) {
    loop {
        let mine = queues::mine();
        let queue = queues::at(mine);
        let state = queue.lock();
        // Interrupts are off now. Before, this may have been moved to another CPU.
        if mine == queues::mine() {
            return (queue, state);
        }
    }
}

/// The alarm: calls what is due on this CPU. With interrupts off.
pub fn fire(_: usize) {
    let queue = queues::at(queues::mine());
    loop {
        let mut state = queue.lock();
        let Some(expired) = state.queue.pop_expired(Machine::now_ns()) else {
            // The chip has stopped, whatever it was set for.
            state.set_for = NEVER;
            let next = state.queue.next_deadline().unwrap_or(NEVER);
            state.set_alarm(next);
            return;
        };
        drop(state);
        expired.call();
    }
}

/// Calls `callback(context)` at a time of [`Platform::now_ns`], or at once if that has passed.
#[inline]
pub fn at(deadline_ns: u64, callback: Callback, context: usize) -> Result<Timer, Full> {
    let (queue, mut state) = mine();
    let id = state.queue.arm(deadline_ns, callback, context)?;
    state.set_alarm(deadline_ns);
    Ok(Timer { queue, id })
}

/// Calls `callback(context)` every `period`, without drift.
pub fn every(period_ns: NonZeroU64, callback: Callback, context: usize) -> Result<Timer, Full> {
    let first_ns = Machine::now_ns().saturating_add(period_ns.get());
    let (queue, mut state) = mine();
    let id = state.queue.arm_periodic(first_ns, period_ns, callback, context)?;
    state.set_alarm(first_ns);
    Ok(Timer { queue, id })
}

/// Takes a timer back. False if it has fired: then its callback may be running now, on the CPU that armed it.
#[inline]
pub fn cancel(timer: Timer) -> bool {
    timer.queue.lock().queue.cancel(timer.id)
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

/// The armed timers of each CPU, earliest first, with the CPU's number: for display.
pub fn for_each(visit: &mut dyn FnMut(usize, Armed)) {
    for (cpu, queue) in (0..queues::count()).filter_map(|cpu| queues::of(cpu).map(|queue| (cpu, queue))) {
        let mut previous = None;
        loop {
            let next = queue.lock().queue.after(previous.as_ref());
            let Some(armed) = next else { break };
            visit(cpu, armed);
            previous = Some(armed);
        }
    }
}

#[cfg(test)]
mod tests;
