//! What a CPU does when there is nothing to do: prints what waits, paints the screen, sleeps.
//!
//! It is a thread like others, but for its class: it runs when nobody else wants to. An interrupt that wakes a thread
//! switches to it from within HLT (asm/interrupts.S), so nothing is to be looked for afterwards.

use super::traps;
use crate::arch::x86_64::percpu::{self, copies};
use crate::arch::x86_64::{idle, interrupts};
use crate::log;
use crate::platform::pc::ipi;
use crate::task::{self, schedule};
use crate::tty::console;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// What a CPU other than the first does, which has no other thread to begin with: called with interrupts off.
pub fn run_other() -> ! {
    task::init_cpu();
    let mut seen = 0;
    loop {
        idle::prepare();
        interrupts::disable();
        let now = ERRANDS.load(Ordering::Acquire);
        if now != seen {
            seen = now;
            interrupts::enable();
            // SAFETY: `run_on_others` alone stores there, and what it stores is such a function.
            let errand = unsafe { core::mem::transmute::<*mut (), fn()>(ERRAND.load(Ordering::Relaxed)) };
            errand();
            LEFT.fetch_sub(1, Ordering::Release);
        } else if schedule::is_wanted() {
            interrupts::enable();
            task::yield_now();
        } else {
            idle::wait();
        }
    }
}

/// What idle CPUs are to do once; how often there was such a thing; and on how many CPUs it is not done yet.
static ERRAND: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static ERRANDS: AtomicUsize = AtomicUsize::new(0);
static LEFT: AtomicUsize = AtomicUsize::new(0);

/// Has every other CPU's idle thread call `errand` once, with interrupts on: for tests. By the boot CPU alone. It is over
/// when [`errand_is_over`] says so.
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

/// An idle thread.
pub fn run(_: usize) -> usize {
    loop {
        tidy();
        idle::prepare();
        interrupts::disable();
        // Lines that came while others were painted; and threads, should an interrupt have woken one just before.
        if log::is_waiting() || traps::nmi_is_missed() || schedule::is_wanted() {
            interrupts::enable();
            task::yield_now();
        } else {
            idle::wait();
        }
    }
}

/// Says what handlers could not say.
fn tidy() {
    traps::report_missed_nmi();
    console::idle();
}

/// Waits for something typed. The screen is painted first, for the idle thread may not have its turn for long.
pub fn wait_for_input() {
    tidy();
    if console::must_poll() {
        // No sleep is short enough for a port without a FIFO.
        core::hint::spin_loop();
        task::yield_now();
    } else {
        console::READERS.wait_until(console::has_input);
    }
}
