//! The chip that interrupts at a deadline: the local APIC's timer, or the 8254 on a machine without.

use super::interrupts::{self, LocalApic};
use super::{clock, vectors};
use crate::arch::x86_64::access::RealPorts;
use crate::arch::x86_64::apic::timer::{Divider, TimerMode};
use crate::arch::x86_64::cpu::Features;
use crate::arch::x86_64::pit::Pit;
use crate::arch::x86_64::{pit, tsc};
use crate::platform::{Line, timers};
use crate::sync::IrqLock;
use crate::time::rate::Rate;
use core::num::NonZeroU64;
use log::{info, warn};

/// How long the local APIC's timer is measured.
const MEASURE_NS: u64 = 5_000_000;

/// Of the local APIC's timer: 32 bits at a gigahertz or so last four seconds, which would be an interrupt every four
/// seconds with nothing to do. A sixteenth of that is still finer than anybody's deadline.
const DIVIDER: Divider = Divider::By16;

/// The chip.
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

static ALARM: IrqLock<Alarm> = IrqLock::new(Alarm::None);

/// Finds the chip. The clock runs.
pub fn init() {
    let alarm = match interrupts::local_apic() {
        Some(lapic) => by_local_apic(lapic),
        None => by_pit(),
    };
    *ALARM.lock() = alarm;
    // A counter that comes round in less than a minute is looked at in time, others not at all.
    const MINUTE: u64 = 60_000_000_000;
    if let Some(period) = clock::max_gap_ns().filter(|&gap| gap < MINUTE).and_then(NonZeroU64::new) {
        let _ = timers::every(period, |_| clock::refresh(), 0);
    }
}

/// See [`Platform::set_alarm`](crate::platform::Platform::set_alarm).
pub fn set(deadline_ns: u64) {
    let left = deadline_ns.saturating_sub(clock::now_ns());
    match (&mut *ALARM.lock(), interrupts::local_apic()) {
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

fn by_local_apic(lapic: LocalApic) -> Alarm {
    let Ok(vector) = vectors::allocate("APIC timer", timers::fire, 0) else { return Alarm::None };
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
fn sample(lapic: &LocalApic) -> (u64, u64) {
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
    match interrupts::request_line(Line::Isa(0), "PIT", timers::fire, 0) {
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
