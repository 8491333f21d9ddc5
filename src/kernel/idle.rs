//! What the CPU does when there is nothing to do: prints what waits, paints the screen, sleeps.

use super::traps;
use crate::arch::x86_64::percpu::{self, copies};
use crate::arch::x86_64::{idle, interrupts};
use crate::log;
use crate::platform::pc::ipi;
use crate::sync::checks;
use crate::tty::console;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// What the other CPUs do: nothing, until something comes. Called with interrupts off.
pub fn run() -> ! {
    let mut seen = 0;
    loop {
        idle::prepare();
        interrupts::disable();
        let now = ERRANDS.load(Ordering::Acquire);
        if now == seen {
            idle::wait();
            continue;
        }
        seen = now;
        interrupts::enable();
        // SAFETY: `run_on_others` alone stores there, and what it stores is such a function.
        let errand = unsafe { core::mem::transmute::<*mut (), fn()>(ERRAND.load(Ordering::Relaxed)) };
        errand();
        LEFT.fetch_sub(1, Ordering::Release);
    }
}

/// What idle CPUs are to do once; how often there was such a thing; and on how many CPUs it is not done yet.
static ERRAND: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static ERRANDS: AtomicUsize = AtomicUsize::new(0);
static LEFT: AtomicUsize = AtomicUsize::new(0);

/// Has every other CPU call `errand` once, with interrupts on: for tests, as long as there are no threads. By the boot
/// CPU alone. It is over when [`errand_is_over`] says so.
pub fn run_on_others(errand: fn()) {
    LEFT.store(copies::online_count() - 1, Ordering::Relaxed);
    ERRAND.store(errand as *mut (), Ordering::Relaxed);
    ERRANDS.fetch_add(1, Ordering::Release);
    copies::online().iter().filter(|&cpu| cpu != percpu::number()).for_each(ipi::reschedule);
}

/// Whether all others are through.
pub fn errand_is_over() -> bool {
    LEFT.load(Ordering::Acquire) == 0
}

/// Sleeps until `ready` says so. It is asked with interrupts off, after each interrupt.
#[cfg_attr(debug_assertions, track_caller)]
pub fn wait_until(mut ready: impl FnMut() -> bool) {
    checks::may_sleep();
    loop {
        traps::report_missed_nmi();
        console::idle();
        idle::prepare();
        interrupts::disable();
        if ready() {
            interrupts::enable();
            return;
        }
        // Lines that came while others were painted.
        if log::is_waiting() || traps::nmi_is_missed() || console::must_poll() {
            interrupts::enable();
            core::hint::spin_loop();
        } else {
            idle::wait();
        }
    }
}
