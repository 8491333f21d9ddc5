//! What the CPU does when there is nothing to do: prints what waits, paints the screen, sleeps.

use super::traps;
use crate::arch::x86_64::{idle, interrupts};
use crate::log;
use crate::sync::checks;
use crate::tty::console;

/// What the other CPUs do: nothing, until something comes. Called with interrupts off.
pub fn run() -> ! {
    loop {
        idle::prepare();
        interrupts::disable();
        idle::wait();
    }
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
