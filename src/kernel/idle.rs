//! What a CPU does when there is nothing to do: prints what waits, paints the screen, sleeps.
//!
//! It is a thread like others, but for its class: it runs when nobody else wants to. An interrupt that wakes a thread
//! switches to it from within HLT (asm/interrupts.S), so nothing is to be looked for afterwards.

use super::traps;
use crate::arch::x86_64::{idle, interrupts, percpu};
use crate::log;
use crate::sync::grace;
use crate::task::{self, schedule};
use crate::tty::console;

/// What a CPU other than the first does, which has no other thread to begin with: called with interrupts off.
pub fn run_other() -> ! {
    interrupts::enable();
    run(0);
    unreachable!("an idle thread does not end")
}

/// An idle thread.
pub fn run(_: usize) -> usize {
    loop {
        tidy();
        idle::prepare();
        interrupts::disable();
        // Lines that came while others were painted; and threads: should an interrupt have woken one just before, or
        // should another CPU have more of them than it can run.
        if log::is_waiting() || traps::nmi_is_missed() || schedule::is_wanted() || schedule::pull() {
            interrupts::enable();
            task::yield_now();
        } else {
            grace::rest(idle::wait);
        }
    }
}

/// Says what handlers could not say.
fn tidy() {
    if traps::nmi_is_missed() {
        traps::report_missed_nmi();
    }
    console::idle();
    if percpu::number() == 0 {
        console::idle_painter();
    }
}

/// Waits for something typed, or for `or` to come true, whoever makes it so wakes the console's readers. The screen is painted first, for
/// the idle thread may not have its turn for long.
pub fn wait_for_input_or(or: &dyn Fn() -> bool) {
    tidy();
    if console::must_poll() {
        // No sleep is short enough for a port without a FIFO.
        core::hint::spin_loop();
        task::yield_now();
    } else {
        console::READERS.wait_until(|| console::has_input() || or());
    }
}
