//! The thread that does what interrupt handlers leave for later.
//!
//! A thread, so that its work may wait for a lock, and sleep: on top of interrupted code it could not, since that may
//! be what holds the lock. It is a real-time one: what an interrupt has left comes before all that is not urgent, as
//! it did when it ran at the interrupt's end. There is one, so pieces of work never run side by side.

use super::sched::Policy;
use super::schedule;
use super::thread::{Thread, ThreadRef};
use crate::platform::{Machine, Platform};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// The worker, once there is one; it never ends.
static WORKER: AtomicPtr<Thread> = AtomicPtr::new(ptr::null_mut());

const PRIORITY: u8 = 50;

/// Begins it, and takes the work over from the ends of interrupts.
pub(super) fn init() {
    match super::spawn("worker", Policy::Fifo(PRIORITY), run, 0) {
        Ok(handle) => {
            let worker: ThreadRef = handle.thread().clone();
            WORKER.store(worker.into_raw() as *mut Thread, Ordering::Release);
            Machine::defer_to(wake);
        }
        Err(_) => {
            log::warn!(target: "task", "no memory for the worker: deferred work stays with the interrupts")
        }
    }
}

/// There is something to do.
fn wake() {
    // SAFETY: it never ends, and a reference was left behind for this.
    if let Some(worker) = unsafe { WORKER.load(Ordering::Acquire).as_ref() } {
        schedule::unpark(worker);
    }
}

fn run(_: usize) -> usize {
    loop {
        while Machine::run_deferred() {}
        schedule::park();
    }
}
