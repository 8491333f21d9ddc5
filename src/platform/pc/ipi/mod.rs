//! Interrupts from one CPU to another.
//!
//! | what          | how            | for                                                               |
//! |---------------|----------------|-------------------------------------------------------------------|
//! | reschedule    | its own vector | a CPU is to look at its run queue; also, to leave HLT             |
//! | call          | its own vector | a function is to run there: [`call`]; TLB shootdown is one: [`tlb`] |
//! | alarm         | its own vector | the boot CPU's timer is to be set anew                            |
//! | nudge         | its own vector | a CPU is to show that it can switch, and does: [`nudge`]          |
//! | NMI           |                | stop, and "where are you?": `kernel::stop` and `kernel::trace`     |
//!
//! In xAPIC mode a command is two writes, and the one before has to have been accepted: so interrupts are off around
//! it. `apic::Lapic::send` does the rest, for both modes.
//! Source: Intel SDM vol. 3 §10.6 (issuing IPIs), §10.12.9 (x2APIC's ICR).

pub mod call;
pub mod tlb;

use super::{cpus, interrupts, vectors};
use crate::arch::x86_64::apic::{Ipi, IpiError, Target};
use crate::arch::x86_64::percpu::{InterruptsOff, copies};
use crate::platform::{Handler, timers};
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};
use log::error;

static RESCHEDULE: AtomicU8 = AtomicU8::new(0);
static CALL: AtomicU8 = AtomicU8::new(0);
static ALARM: AtomicU8 = AtomicU8::new(0);
static NUDGE: AtomicU8 = AtomicU8::new(0);

/// What a reschedule interrupt calls: a [`Handler`].
static RESCHEDULED: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
/// What a nudge calls, likewise.
static NUDGED: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Takes the vectors. Once, before the first CPU is started.
pub fn init() {
    let take = |place: &AtomicU8, name, handler: Handler| match vectors::allocate(name, handler, 0) {
        Ok(vector) => place.store(vector, Ordering::Release),
        Err(_) => error!(target: "smp", "no vector for {name}"),
    };
    take(&RESCHEDULE, "reschedule", |_| call_registered(&RESCHEDULED));
    take(&NUDGE, "nudge", |_| call_registered(&NUDGED));
    take(&CALL, "call", |_| call::serve());
    take(&ALARM, "alarm", timers::fire);
    tlb::init();
}

fn call_registered(place: &AtomicPtr<()>) {
    let handler = place.load(Ordering::Acquire);
    if !handler.is_null() {
        // SAFETY: `on_reschedule` and `on_nudge` alone store there, and what they store is a Handler.
        let handler = unsafe { core::mem::transmute::<*mut (), Handler>(handler) };
        handler(0);
    }
}

/// Has the reschedule interrupt call `handler`, with interrupts off.
pub fn on_reschedule(handler: Handler) {
    RESCHEDULED.store(handler as *mut (), Ordering::Release);
}

/// Has a nudge call `handler`, with interrupts off.
pub fn on_nudge(handler: Handler) {
    NUDGED.store(handler as *mut (), Ordering::Release);
}

/// Asks a CPU to go through its scheduler as soon as it can. It waits for nothing.
pub fn nudge(cpu: usize) {
    send(Target::Cpu(cpus::apic_id(cpu)), Ipi::Fixed(NUDGE.load(Ordering::Relaxed)));
}

/// Asks a CPU to look at its run queue. One that is idle leaves its HLT.
pub fn reschedule(cpu: usize) {
    send(Target::Cpu(cpus::apic_id(cpu)), Ipi::Fixed(RESCHEDULE.load(Ordering::Relaxed)));
}

/// The boot CPU has the alarm.
pub fn alarm() {
    send(Target::Cpu(cpus::apic_id(0)), Ipi::Fixed(ALARM.load(Ordering::Relaxed)));
}

/// An NMI for one CPU.
pub fn nmi(cpu: usize) {
    send(Target::Cpu(cpus::apic_id(cpu)), Ipi::Nmi);
}

/// The interrupt that has [`call`] look.
fn call_one(cpu: usize) {
    send(Target::Cpu(cpus::apic_id(cpu)), Ipi::Fixed(CALL.load(Ordering::Relaxed)));
}

/// The same for all CPUs but this one.
fn call_others() {
    send(Target::Others, Ipi::Fixed(CALL.load(Ordering::Relaxed)));
}

fn send(target: Target, ipi: Ipi) {
    let Some(lapic) = interrupts::local_apic() else { return };
    let _pin = InterruptsOff::new();
    // The one before has not been accepted for a long time: its receiver is slow, or its hypervisor. To give up would be
    // to lose this one, and whoever waits for an answer would wait for ever.
    while let Err(problem) = lapic.send(ipi, target) {
        if problem != IpiError::Busy {
            error!(target: "smp", "{problem}");
            return;
        }
    }
}

/// Whether there is anybody to send to.
#[inline]
pub fn is_alone() -> bool {
    copies::online_count() <= 1
}
