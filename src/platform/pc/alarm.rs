//! The chip that interrupts at a deadline: the best one there is.
//!
//! ```text
//! local APIC, TSC deadline   where the CPU can, and the TSC is the clock     as far away as need be
//! local APIC, one-shot       else                                            a minute or so
//! HPET, comparator 0         no local APIC, or its timer does not count      20 s to minutes, by the HPET's rate
//! 8254                       no HPET either                                  55 ms
//! ```
//!
//! Invariants: what is set fires, be it early: an alarm is a hint to look at the clock. The rate of the local APIC's
//! timer is measured at boot, and again by each long alarm: it counts what it was set to in what the clock says has
//! passed. An interrupt can be late and never early, and the clock is read before the chip is set: so what disturbs
//! makes the timer look slower, and the fastest rate seen is the one to believe.

use super::clock::{self, chips, upkeep};
use super::interrupts::{self, LocalApic};
use super::{ipi, ipi::call, vectors};
use crate::arch::x86_64::access::RealPorts;
use crate::arch::x86_64::apic::timer::{Divider, TimerMode};
use crate::arch::x86_64::cpu::Features;
use crate::arch::x86_64::hpet::Armed;
use crate::arch::x86_64::percpu::{self, InterruptsOff, copies, per_cpu};
use crate::arch::x86_64::pit::{self, Pit};
use crate::arch::x86_64::tsc;
use crate::platform::{Line, timers};
use crate::sync::{IrqLock, Rank};
use crate::time::NS_PER_SECOND;
use crate::time::calibrate::{Estimate, coarse};
use crate::time::counter::Counter;
use crate::time::rate::{Inverse, Rate};
use core::sync::atomic::{AtomicU8, Ordering};
use log::{debug, info, warn};

/// How long the local APIC's timer is measured at boot.
const COARSE_NS: u64 = 5_000_000;
/// From alarms of this length on it is measured again.
const LONG_NS: u64 = NS_PER_SECOND / 2;
/// What the clock itself may have been off by at boot, in parts per billion.
const CLOCK_PPB: u64 = 1_000_000;
/// Of the local APIC's timer: 32 bits at a gigahertz or so last four seconds, which would be an interrupt every four
/// seconds with nothing to do. A sixteenth of that is still finer than anybody's deadline.
const DIVIDER: Divider = Divider::By16;
/// A comparator that was set too late is set again, twice as far ahead each time.
const HPET_AHEAD: u64 = 128;
const HPET_TRIES: u32 = 16;

/// The chip.
enum Chip {
    /// None yet.
    None,
    OneShot(LocalApic, OneShot),
    /// The local APIC compares with the TSC.
    Deadline(LocalApic, Inverse),
    Hpet(&'static chips::Hpet, Inverse),
    Pit(Pit<RealPorts>, Inverse),
}

/// The local APIC's timer, as it was measured.
struct OneShot {
    coarse: Estimate,
    /// Seen since; `None` before the first time, and again after the clock's own rate was corrected.
    seen: Option<Rate>,
    inverse: Inverse,
    /// What the clock showed when it was set, and to how many counts.
    armed: Option<(u64, u32)>,
}

per_cpu! {
    /// This CPU's chip. The HPET and the 8254 are the boot CPU's.
    static ALARM: IrqLock<Chip> = IrqLock::new(Rank::Alarm, Chip::None);

    /// The CPU whose alarm serves this one: itself, or the boot CPU.
    static SERVED_BY: u32 = 0;
}

/// The local APIC timer's vector; 0 for none.
static VECTOR: AtomicU8 = AtomicU8::new(0);

/// Finds the chip. The clock runs.
pub fn init() {
    timers::init();
    let alarm = interrupts::local_apic().and_then(by_local_apic).or_else(by_hpet).or_else(by_pit);
    match alarm {
        Some(alarm) => put(alarm),
        None => warn!(target: "timers", "no chip that interrupts: nothing will happen in time"),
    }
    upkeep::begin();
}

/// This CPU's.
fn put(chip: Chip) {
    let pin = InterruptsOff::new();
    SERVED_BY.set(percpu::number() as u32);
    timers::serve_here();
    *ALARM.here(&pin).lock() = chip;
}

/// Another CPU's own timer, the same as the boot CPU's, which was measured. Once on each, with interrupts off.
pub fn init_local() {
    // All local APICs count one clock.
    let chip = match ALARM.on(0).map(|boot| boot.lock()).as_deref() {
        Some(Chip::OneShot(lapic, timer)) => set_up(*lapic, TimerMode::OneShot, DIVIDER)
            .then(|| Chip::OneShot(*lapic, OneShot::new(timer.coarse))),
        Some(Chip::Deadline(lapic, inverse)) => {
            set_up(*lapic, TimerMode::TscDeadline, Divider::By1).then_some(Chip::Deadline(*lapic, *inverse))
        }
        _ => None,
    };
    if let Some(chip) = chip {
        put(chip);
    }
}

fn set_up(lapic: LocalApic, mode: TimerMode, divider: Divider) -> bool {
    lapic.timer_setup(mode, VECTOR.load(Ordering::Relaxed), divider).is_ok()
}

/// See [`Platform::set_alarm`](crate::platform::Platform::set_alarm).
pub fn set(deadline_ns: u64) {
    // It looks for itself what is the earliest deadline by now.
    if SERVED_BY.get() as usize != percpu::number() {
        ipi::alarm();
        return;
    }
    let now_ns = clock::now_ns();
    let left = deadline_ns.saturating_sub(now_ns);
    let pin = InterruptsOff::new();
    match &mut *ALARM.here(&pin).lock() {
        Chip::OneShot(lapic, timer) => {
            // Longer than the chip can count: it fires early, and is set again.
            let count = u32::try_from(timer.inverse.to_counts(late(left))).unwrap_or(u32::MAX);
            timer.armed = Some((now_ns, count));
            lapic.timer_arm(count);
        }
        Chip::Deadline(lapic, inverse) => {
            lapic.timer_arm_deadline(tsc::read().saturating_add(inverse.to_counts(left)));
        }
        Chip::Hpet(hpet, inverse) => {
            let counts = inverse.to_counts(late(left));
            let mut ahead = counts.max(HPET_AHEAD);
            // At 100 MHz the last is 42 ms ahead: no write to a chip takes that long.
            for _ in 0..HPET_TRIES {
                if hpet.arm(0, ahead) != Ok(Armed::Now) {
                    break;
                }
                ahead = ahead.saturating_mul(2);
            }
        }
        Chip::Pit(pit, inverse) => {
            pit.one_shot(u32::try_from(inverse.to_counts(left)).unwrap_or(u32::MAX));
        }
        Chip::None => {}
    }
}

/// A little more than what is left, at most 50 µs: two rates that are known to some millionths would otherwise make
/// half of all alarms come a moment early, and be set again.
const fn late(ns: u64) -> u64 {
    const MOST_NS: u64 = 50_000;
    let more = ns >> 14;
    ns.saturating_add(if more < MOST_NS { more } else { MOST_NS })
}

/// The interrupt.
fn fired(_: usize) {
    let pin = InterruptsOff::new();
    if let Chip::OneShot(_, timer) = &mut *ALARM.here(&pin).lock() {
        if timer.is_doubtful(clock::now_ns()) {
            // Not from within: it may set the alarm.
            vectors::defer(|_| upkeep::doubt(), 0);
        }
    }
    timers::fire(0);
}

impl OneShot {
    fn new(coarse: Estimate) -> Self {
        Self { coarse, seen: None, inverse: coarse.rate.inverse(), armed: None }
    }

    /// It has fired. True if by the clock it has done so long before it could.
    fn is_doubtful(&mut self, now_ns: u64) -> bool {
        let Some((armed_ns, count)) = self.armed.take() else { return false };
        let passed_ns = now_ns.saturating_sub(armed_ns);
        if passed_ns >= LONG_NS {
            self.learn(u64::from(count), passed_ns);
        }
        let set_for_ns = self.coarse.rate.to_ns(count.into());
        set_for_ns >= LONG_NS && passed_ns < set_for_ns / 2
    }

    fn learn(&mut self, counts: u64, passed_ns: u64) {
        let Some(rate) = Rate::from_counts(counts, passed_ns) else { return };
        // Late by more than the rate was ever in doubt by: it says nothing.
        let is_likely = rate.ppb_from(self.coarse.rate).unsigned_abs() <= self.coarse.error_ppb + CLOCK_PPB;
        let is_best = self.seen.is_none_or(|seen| rate.ppb_from(seen) < 0);
        if is_likely && is_best {
            if self.seen.replace(rate).is_none() {
                debug!(target: "timers", "local APIC, {} Hz in {} ms", rate.hz(), passed_ns / 1_000_000);
            }
            self.inverse = rate.inverse();
        }
    }
}

/// The clock's rate has been corrected.
pub fn rate_changed() {
    for alarm in (0..copies()).filter_map(|cpu| ALARM.on(cpu)) {
        match &mut *alarm.lock() {
            Chip::OneShot(_, timer) => (timer.seen, timer.armed) = (None, None),
            Chip::Deadline(_, inverse) => *inverse = clock::tsc_rate().map_or(*inverse, Rate::inverse),
            _ => {}
        }
    }
}

/// The TSC is the clock no more: it does not serve for deadlines either.
pub fn clock_changed() {
    rate_changed();
    if ALARM.on(0).is_some_and(|alarm| matches!(&*alarm.lock(), Chip::Deadline(..))) {
        // To be measured, which takes its time, so not here in the interrupt.
        vectors::defer(|_| leave_deadline(), 0);
    }
}

/// In deferred work, which stays on its CPU.
fn leave_deadline() {
    let Some(chip) =
        interrupts::local_apic().and_then(|lapic| one_shot(lapic, VECTOR.load(Ordering::Relaxed)))
    else {
        return;
    };
    let Chip::OneShot(lapic, timer) = &chip else { return };
    let (lapic, coarse) = (*lapic, timer.coarse);
    let leave = || {
        if set_up(lapic, TimerMode::OneShot, DIVIDER) {
            put(Chip::OneShot(lapic, OneShot::new(coarse)));
        }
        // Whatever it was set for, it is not any more.
        timers::fire(0);
    };
    call::run_on_all(&leave);
}

/// The local APIC's timer, running free, as a counter.
struct FreeRun<'a>(&'a LocalApic);

impl Counter for FreeRun<'_> {
    fn read(&self) -> u64 {
        self.0.timer_elapsed()
    }

    fn rate(&self) -> Option<Rate> {
        None
    }

    fn width_bits(&self) -> u32 {
        32
    }
}

/// The clock as a counter of nanoseconds.
struct Nanoseconds;

impl Counter for Nanoseconds {
    fn read(&self) -> u64 {
        clock::now_ns()
    }

    fn rate(&self) -> Option<Rate> {
        Rate::from_hz(NS_PER_SECOND)
    }

    fn width_bits(&self) -> u32 {
        64
    }
}

fn by_local_apic(lapic: LocalApic) -> Option<Chip> {
    let vector = vectors::allocate("APIC timer", fired, 0).ok()?;
    VECTOR.store(vector, Ordering::Relaxed);
    if let (true, Some(rate)) = (Features::detect().contains(Features::TSC_DEADLINE), clock::tsc_rate()) {
        if lapic.timer_setup(TimerMode::TscDeadline, vector, Divider::By1).is_ok() {
            info!(target: "timers", "local APIC, by TSC deadline");
            return Some(Chip::Deadline(lapic, rate.inverse()));
        }
    }
    one_shot(lapic, vector)
}

fn one_shot(lapic: LocalApic, vector: u8) -> Option<Chip> {
    // The PIT, should that be the clock, comes round in 55 ms: some have passed.
    upkeep::refresh(0);
    let measured = match lapic.timer_free_run(DIVIDER) {
        Ok(()) => coarse(&FreeRun(&lapic), &Nanoseconds, COARSE_NS).map(|coarse| coarse.estimate),
        Err(_) => return None,
    };
    if lapic.timer_setup(TimerMode::OneShot, vector, DIVIDER).is_err() {
        return None;
    }
    match measured {
        Ok(estimate) => {
            let (hz, ppm) = (estimate.rate.hz(), estimate.error_ppm());
            info!(target: "timers", "local APIC, one-shot, {hz} Hz, within {ppm} ppm");
            Some(Chip::OneShot(lapic, OneShot::new(estimate)))
        }
        Err(error) => {
            warn!(target: "timers", "the local APIC's timer: {error}");
            None
        }
    }
}

fn by_hpet() -> Option<Chip> {
    let hpet = clock::hpet()?;
    if let Err(error) = hpet.replace_legacy() {
        info!(target: "timers", "{error}");
        return None;
    }
    let rate = hpet.rate()?;
    interrupts::request_line(Line::Isa(0), "HPET", fired, 0).ok()?;
    info!(target: "timers", "HPET, comparator 0 in the 8254's place, {} Hz", rate.hz());
    Some(Chip::Hpet(hpet, rate.inverse()))
}

fn by_pit() -> Option<Chip> {
    // SAFETY: the 8254's counter 0 is this module's alone.
    let mut pit = Pit::new(unsafe { RealPorts::new() });
    pit.stop();
    interrupts::request_line(Line::Isa(0), "PIT", fired, 0).ok()?;
    info!(target: "timers", "8254, one-shot, {} Hz", pit::rate().hz());
    Some(Chip::Pit(pit, pit::rate().inverse()))
}
