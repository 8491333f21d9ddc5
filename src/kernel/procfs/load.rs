//! The load, sampled: every five seconds as long as a CPU is busy, and not at all while the machine is at rest.
//!
//! A CPU that leaves its idle thread has the sampling begin, if it does not go on. What was missed until then were steps
//! with nobody running, which are made up for at once.

use crate::fs::procfs::global::load::{ONE, STEP_NS, decay};
use crate::platform::{Machine, Platform, timers};
use crate::sync::{IrqLock, Rank};
use crate::task::schedule;
use core::sync::atomic::{AtomicBool, Ordering};

struct Means {
    means: [u64; 3],
    /// Up to when.
    until_ns: u64,
}

static MEANS: IrqLock<Means> = IrqLock::new(Rank::LoadMeans, Means { means: [0; 3], until_ns: 0 });

/// A timer is set.
static GOING: AtomicBool = AtomicBool::new(false);

impl Means {
    /// Steps that have passed, with so many threads each.
    fn catch_up(&mut self, now_ns: u64, threads: u64) {
        let steps = now_ns.saturating_sub(self.until_ns) / STEP_NS;
        if steps > 0 {
            self.means = decay(self.means, threads * ONE, steps);
            self.until_ns += steps * STEP_NS;
        }
    }
}

/// Begins, as the boot CPU is busy. There are timers.
pub fn init() {
    MEANS.lock().until_ns = Machine::now_ns();
    begin();
}

/// A CPU has become busy: its run queue is locked, and interrupts are off.
pub fn begin() {
    if GOING.load(Ordering::Relaxed) || GOING.swap(true, Ordering::AcqRel) {
        return;
    }
    MEANS.lock().catch_up(Machine::now_ns(), 0);
    again();
}

fn again() {
    let next = MEANS.lock().until_ns + STEP_NS;
    if timers::at(next, sample, 0).is_err() {
        // No timer is free: whoever is busy next tries again.
        GOING.store(false, Ordering::Release);
    }
}

/// The timer.
fn sample(_: usize) {
    let threads = schedule::active();
    MEANS.lock().catch_up(Machine::now_ns(), threads);
    if threads > 0 {
        again();
    } else {
        GOING.store(false, Ordering::Release);
    }
}

/// The means of 1, 5 and 15 minutes, in 2,048ths of a thread.
pub fn means() -> [u64; 3] {
    let mut means = MEANS.lock();
    if !GOING.load(Ordering::Relaxed) {
        means.catch_up(Machine::now_ns(), 0);
    }
    means.means
}
