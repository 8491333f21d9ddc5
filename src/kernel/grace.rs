//! The collector: frees what was retired to the kernel's epochs, when its readers are gone.
//!
//! Whoever retires something has it begin, if it has not. It looks every 10 ms, from a timer by way of the worker, as
//! freeing may take a while, until nothing is left; and from its second look on has CPUs nudged that keep it waiting.

use super::watchdog;
use crate::platform::pc::ipi;
use crate::platform::{Machine, Platform, timers};
use crate::sync::grace::{EPOCHS, Helpers, register};
use core::sync::atomic::{AtomicBool, Ordering};

/// Between two looks.
const PERIOD_NS: u64 = 10_000_000;

/// It has begun, and a timer is set or a look waits for its turn.
static GOING: AtomicBool = AtomicBool::new(false);

static HELPERS: Helpers = Helpers { nudge: ipi::nudge, collect: begin };

/// Registers it. There are timers and threads.
pub fn init() {
    ipi::on_nudge(watchdog::nudged);
    register(&HELPERS);
}

fn begin() {
    if !GOING.load(Ordering::Relaxed) && !GOING.swap(true, Ordering::AcqRel) {
        again(0);
    }
}

fn again(look: usize) {
    if timers::at(Machine::now_ns() + PERIOD_NS, later, look).is_err() {
        // No timer is free: whoever retires something next has it begin again.
        GOING.store(false, Ordering::Release);
    }
}

/// The timer.
fn later(look: usize) {
    if !Machine::defer(collect, look) {
        again(look);
    }
}

fn collect(look: usize) {
    EPOCHS.collect();
    if EPOCHS.has_retired() {
        if look > 0 {
            EPOCHS.hurry_up();
        }
        again(1);
        return;
    }
    GOING.store(false, Ordering::SeqCst);
    // What was retired since the look found it going on.
    if EPOCHS.has_retired() {
        begin();
    }
}
