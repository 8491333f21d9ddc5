//! Sleeping until something happens (asm/idle.S).

use super::frame::TrapFrame;
use super::percpu::{self, PerCpu};
use core::sync::atomic::Ordering;

unsafe extern "sysv64" {
    fn idle_wait();
    fn idle_look();
    fn idle_done();
}

/// Before the last look for work: a wake-up from here on ends the [`wait`] that follows.
pub fn prepare() {
    percpu::current().woken.store(false, Ordering::Relaxed);
}

/// Called with interrupts off, after [`prepare`] and a look for work that found none: turns interrupts on and sleeps
/// until something comes. Returns with interrupts on.
pub fn wait() {
    // SAFETY: GS is this CPU's; the IDT is complete before Rust runs, and a handler returns to where it came from.
    unsafe { idle_wait() };
}

/// For handlers of what IF does not hold back: ends this CPU's [`wait`], also one that is about to begin.
pub fn wake(cpu: &PerCpu, frame: &mut TrapFrame) {
    cpu.woken.store(true, Ordering::Relaxed);
    let [look, done] = [idle_look as *const () as u64, idle_done as *const () as u64];
    if (look..done).contains(&frame.rip) {
        frame.rip = look;
    }
}
