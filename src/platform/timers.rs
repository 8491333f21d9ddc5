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
//!
//! A queue that is half full has its room doubled, by deferred work. Programs, who may sleep by the thousand, leave some of it to
//! the kernel ([`at_leaving_some`]): without a timer nobody's turn would end.

use super::{Machine, Platform};
use crate::sync::{IrqGuard, IrqLock};
use crate::time::queue::{Armed, Callback, Full, Room, TimerId, TimerQueue};
use core::num::NonZeroU64;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};
use log::{info, warn};

/// Timers that may be armed at one time, on each CPU: at first, and as memory allows. To move them all takes 0.1 ms.
const TIMERS: usize = 256;
const TIMERS_MOST: usize = 16_384;
/// What is left to the kernel.
const RESERVED: usize = 64;
/// What the alarm is set for if it is not set: the end of time.
const NEVER: u64 = u64::MAX;

struct State {
    queue: TimerQueue,
    /// What the alarm is set for.
    set_for: u64,
    /// Somebody is about to make more room, or there is to be no more.
    has_asked: bool,
}

impl State {
    const fn new() -> Self {
        Self { queue: TimerQueue::new(), set_for: NEVER, has_asked: false }
    }

    /// Whether more room is to be made now.
    #[inline]
    fn is_short(&self) -> bool {
        self.queue.len() >= self.queue.room() / 2 && !self.has_asked
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

/// There may be timers from now on: the boot CPU's queue, which all CPUs use that have no alarm. Once, before any.
pub fn init() {
    give_room(queues::at(0), TIMERS);
}

/// This CPU has an alarm of its own from now on, and its timers are in a queue of its own. With interrupts off.
pub fn serve_here() {
    queues::serve_here(|queue| give_room(queue, TIMERS));
}

/// So much, if it is more than there is and there is memory for it.
fn give_room(queue: &IrqLock<State>, timers: usize) {
    let Some(new) = Room::new(timers) else { return };
    let old = queue.lock().queue.move_into(new);
    drop(old);
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

    /// From now on it is this CPU's, once `prepare` has been called with it.
    pub fn serve_here(prepare: impl FnOnce(&IrqLock<State>)) {
        let pin = InterruptsOff::new();
        let state = STATE.here(&pin);
        prepare(state);
        MINE.set(ptr::from_ref(state) as u64);
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

    pub fn serve_here(prepare: impl FnOnce(&IrqLock<State>)) {
        prepare(&STATE);
    }

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

/// The same for who arms as many as a program wants: `Full` as well where what is left is the kernel's. More room is being made
/// then, if there can be; by a thread, for which the caller has to let go of the CPU.
#[inline]
pub fn at_leaving_some(deadline_ns: u64, callback: Callback, context: usize) -> Result<Timer, Full> {
    let (mut queue, mut state) = mine();
    if state.is_short() {
        drop(state);
        ask_for_room(queue);
        (queue, state) = mine();
    }
    if state.queue.len() + RESERVED >= state.queue.room() {
        return Err(Full);
    }
    let id = state.queue.arm(deadline_ns, callback, context)?;
    state.set_alarm(deadline_ns);
    Ok(Timer { queue, id })
}

/// Has more room made. Without the queue's lock: to wake who does it may arm a timer.
#[cold]
fn ask_for_room(queue: &'static IrqLock<State>) {
    let asks = {
        let mut state = queue.lock();
        let asks = !state.has_asked && state.queue.room() < TIMERS_MOST;
        state.has_asked = true;
        asks
    };
    if asks && !Machine::defer(make_room, ptr::from_ref(queue) as usize) {
        queue.lock().has_asked = false;
    }
}

/// Doubles a queue's room, as far as there is memory for it. Deferred work.
fn make_room(queue: usize) {
    let queue = queues::at(queue as u64);
    let wanted = queue.lock().queue.room() * 2;
    give_room(queue, wanted.max(TIMERS));
    queue.lock().has_asked = false;
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
