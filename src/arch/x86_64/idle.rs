//! Sleeping until something happens (asm/idle.S).
//!
//! By MWAIT where the CPU has it, since that may sleep deeper than HLT. Not on a virtual machine: a hypervisor takes HLT
//! as the sign that this CPU's time is free for others, and most do nothing of the kind for MWAIT; QEMU's software CPU
//! spins.

use super::cpu::Features;
use super::frame::TrapFrame;
use super::percpu::{self, PerCpu};
use core::sync::atomic::{AtomicU32, Ordering};

unsafe extern "sysv64" {
    fn idle_wait(by_mwait: u32);
    fn idle_look();
    fn idle_done();
}

/// Whether [`wait`] uses MWAIT.
static BY_MWAIT: AtomicU32 = AtomicU32::new(0);

/// Chooses how to sleep; `wanted` is what the command line asks for, by MWAIT or not. Returns whether it is by MWAIT.
/// Before the other CPUs are started, which have what this one has.
pub fn choose(wanted: Option<bool>) -> bool {
    let features = Features::detect();
    let default = !features.contains(Features::HYPERVISOR);
    let by_mwait = features.contains(Features::MONITOR) && wanted.unwrap_or(default);
    BY_MWAIT.store(by_mwait.into(), Ordering::Relaxed);
    by_mwait
}

/// Before the last look for work: a wake-up from here on ends the [`wait`] that follows.
pub fn prepare() {
    percpu::current().woken.store(false, Ordering::Relaxed);
}

/// Called with interrupts off, after [`prepare`] and a look for work that found none: turns interrupts on and sleeps
/// until something comes. Returns with interrupts on.
pub fn wait() {
    // SAFETY: GS is this CPU's; the IDT is complete before Rust runs, and a handler returns to where it came from.
    unsafe { idle_wait(BY_MWAIT.load(Ordering::Relaxed)) };
}

/// For handlers of what IF does not hold back: ends this CPU's [`wait`], also one that is about to begin.
pub fn wake(cpu: &PerCpu, frame: &mut TrapFrame) {
    cpu.woken.store(true, Ordering::Relaxed);
    let [look, done] = [idle_look as *const () as u64, idle_done as *const () as u64];
    if (look..done).contains(&frame.rip) {
        frame.rip = look;
    }
}
