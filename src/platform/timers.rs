//! Timers: "call me at this time".
//!
//! `time::queue` keeps them in order; the chip that interrupts is the local APIC's timer, or the 8254 on a machine
//! without. It is armed for the earliest deadline and for nothing else: a kernel with nothing to do takes no
//! interrupt at all (but for the refreshing of a clock whose counter is narrow).
//! A callback runs in the interrupt handler, with interrupts off.

use super::{clock, interrupts, vectors};
use crate::arch::x86_64::access::RealPorts;
use crate::arch::x86_64::apic::timer::{Divider, TimerMode};
use crate::arch::x86_64::cpu::Features;
use crate::arch::x86_64::pit::Pit;
use crate::arch::x86_64::{pit, tsc};
use crate::sync::IrqLock;
use crate::time::queue::{Armed, Callback, Full, TimerId, TimerQueue};
use crate::time::rate::Rate;
use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU64, Ordering};
use log::{info, warn};

/// Timers that may be armed at one time.
const TIMERS: usize = 256;
/// How long the local APIC's timer is measured.
const MEASURE_NS: u64 = 5_000_000;

/// Of the local APIC's timer: 32 bits at a gigahertz or so last four seconds, which would be an interrupt every four
/// seconds with nothing to do. A sixteenth of that is still finer than anybody's deadline.
const DIVIDER: Divider = Divider::By16;

/// The chip that interrupts at a deadline.
enum Alarm {
    /// None yet.
    None,
    /// The local APIC's timer, at this rate.
    OneShot(Rate),
    /// The local APIC compares with the TSC, which runs at this rate.
    Deadline(Rate),
    /// The 8254.
    Pit(Pit<RealPorts>),
}

struct State {
    queue: TimerQueue<TIMERS>,
    alarm: Alarm,
    /// What the alarm is set for.
    set_for: Option<u64>,
}

static STATE: IrqLock<State> =
    IrqLock::new(State { queue: TimerQueue::new(), alarm: Alarm::None, set_for: None });

impl State {
    /// Sets the alarm for the earliest deadline, if it is not set so already.
    fn set_alarm(&mut self) {
        let next = self.queue.next_deadline();
        if next == self.set_for {
            return;
        }
        self.set_for = next;
        let lapic = interrupts::local_apic();
        let Some(deadline) = next else {
            match (&mut self.alarm, lapic) {
                (Alarm::OneShot(_) | Alarm::Deadline(_), Some(lapic)) => lapic.timer_disarm(),
                (Alarm::Pit(pit), _) => pit.stop(),
                _ => {}
            }
            return;
        };
        let left = deadline.saturating_sub(clock::now_ns());
        match (&mut self.alarm, lapic) {
            // Longer than the chip can count: it fires early, and is set again.
            (Alarm::OneShot(rate), Some(lapic)) => {
                lapic.timer_arm(u32::try_from(rate.to_counts(left)).unwrap_or(u32::MAX));
            }
            (Alarm::Deadline(rate), Some(lapic)) => {
                lapic.timer_arm_deadline(tsc::read().saturating_add(rate.to_counts(left)));
            }
            (Alarm::Pit(chip), _) => {
                let ticks = Rate::from_hz(pit::rate().hz()).map_or(u64::MAX, |rate| rate.to_counts(left));
                chip.one_shot(u32::try_from(ticks).unwrap_or(u32::MAX));
            }
            _ => {}
        }
    }
}

/// Finds the chip. The clock runs.
pub fn init() {
    let alarm = match interrupts::local_apic() {
        Some(_) => by_local_apic(),
        None => by_pit(),
    };
    STATE.lock().alarm = alarm;
    // A counter that comes round in less than a minute is looked at in time, others not at all.
    const MINUTE: u64 = 60_000_000_000;
    if let Some(period) = clock::max_gap_ns().filter(|&gap| gap < MINUTE).and_then(NonZeroU64::new) {
        let _ = every(period, |_| clock::refresh(), 0);
    }
}

fn by_local_apic() -> Alarm {
    let (Some(lapic), Ok(vector)) = (interrupts::local_apic(), vectors::allocate("APIC timer", fire, 0))
    else {
        return Alarm::None;
    };
    let tsc_rate = clock::tsc_rate();
    if let (true, Some(rate)) = (Features::detect().contains(Features::TSC_DEADLINE), tsc_rate) {
        if lapic.timer_setup(TimerMode::TscDeadline, vector, Divider::By1).is_ok() {
            info!(target: "timers", "local APIC, by TSC deadline");
            return Alarm::Deadline(rate);
        }
    }
    let measured = lapic.timer_free_run(DIVIDER).ok().and_then(|()| {
        let (start_ns, start) = sample(&lapic);
        while clock::now_ns() - start_ns < MEASURE_NS {}
        let (end_ns, end) = sample(&lapic);
        Rate::from_counts(end - start, end_ns - start_ns)
    });
    let set_up = lapic.timer_setup(TimerMode::OneShot, vector, DIVIDER).is_ok();
    match measured.filter(|_| set_up) {
        Some(rate) => {
            info!(target: "timers", "local APIC, one-shot, {} Hz", rate.hz());
            Alarm::OneShot(rate)
        }
        None => {
            warn!(target: "timers", "the local APIC's timer does not count");
            Alarm::None
        }
    }
}

/// The clock and the timer at one moment: of a few tries that with the shortest way from one to the other. An SMI or
/// a busy host in between would pass for a fast timer.
fn sample(lapic: &interrupts::LocalApic) -> (u64, u64) {
    const TRIES: usize = 8;
    let attempt = |_| {
        let before = clock::now_ns();
        let count = lapic.timer_elapsed();
        let after = clock::now_ns();
        (after - before, before + (after - before) / 2, count)
    };
    let (_, ns, count) = (0..TRIES).map(attempt).min().unwrap_or_default();
    (ns, count)
}

fn by_pit() -> Alarm {
    // SAFETY: the 8254 is this module's alone.
    let mut pit = Pit::new(unsafe { RealPorts::new() });
    pit.stop();
    match interrupts::request_isa(0, "PIT", fire, 0) {
        Ok(()) => {
            info!(target: "timers", "8254, one-shot, {} Hz", pit::rate().hz());
            Alarm::Pit(pit)
        }
        Err(_) => {
            warn!(target: "timers", "no line for the 8254");
            Alarm::None
        }
    }
}

/// The alarm's interrupt: calls what is due.
fn fire(_: usize) {
    loop {
        let now = clock::now_ns();
        let mut state = STATE.lock();
        let Some(expired) = state.queue.pop_expired(now) else {
            // The chip has stopped, whatever it was set for.
            state.set_for = None;
            state.set_alarm();
            return;
        };
        drop(state);
        expired.call();
    }
}

/// Calls `callback(context)` at a time of `clock::now_ns`, or at once if that has passed.
pub fn at(deadline_ns: u64, callback: Callback, context: usize) -> Result<TimerId, Full> {
    let mut state = STATE.lock();
    let id = state.queue.arm(deadline_ns, callback, context)?;
    state.set_alarm();
    Ok(id)
}

/// Calls `callback(context)` every `period`, without drift.
pub fn every(period_ns: NonZeroU64, callback: Callback, context: usize) -> Result<TimerId, Full> {
    let mut state = STATE.lock();
    let id = state.queue.arm_periodic(clock::now_ns() + period_ns.get(), period_ns, callback, context)?;
    state.set_alarm();
    Ok(id)
}

/// Ticks of [`start_ticks`].
static TICKS: AtomicU64 = AtomicU64::new(0);

/// Counts `hz` ticks a second from now on, for whoever wants to see them: nothing needs them.
pub fn start_ticks(hz: u64) {
    let period = 1_000_000_000u64.checked_div(hz).and_then(NonZeroU64::new);
    let armed = period.map(|period| every(period, |_| _ = TICKS.fetch_add(1, Ordering::Relaxed), 0));
    match armed {
        Some(Ok(_)) => info!(target: "timers", "{hz} ticks a second"),
        _ => warn!(target: "timers", "hz={hz}: not possible"),
    }
}

/// How many ticks there were.
pub fn ticks() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

/// Takes a timer back. False if it has fired.
pub fn cancel(id: TimerId) -> bool {
    let mut state = STATE.lock();
    let was_armed = state.queue.cancel(id);
    state.set_alarm();
    was_armed
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
