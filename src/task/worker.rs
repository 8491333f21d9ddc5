//! The thread that does what interrupt handlers leave for later.
//!
//! A thread, so that its work may wait for a lock, and sleep: on top of interrupted code it could not, since that may
//! be what holds the lock. It is a real-time one: what an interrupt has left comes before all that is not urgent, as
//! it did when it ran at the interrupt's end. Each CPU has one, which stays there: so pieces of work that one CPU's
//! handlers have left never run side by side.

use super::sched::Policy;
use super::schedule;
use super::thread::{Name, Thread};
use crate::arch::x86_64::percpu::{self, per_cpu};
use crate::platform::{Machine, Platform};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

per_cpu! {
    /// This CPU's worker, once there is one; it never ends.
    static WORKER: AtomicPtr<Thread> = AtomicPtr::new(ptr::null_mut());
}

const PRIORITY: u8 = 50;

/// Begins a CPU's worker, which takes the work over from the ends of interrupts.
pub(super) fn init(cpu: usize) {
    let name = Name::numbered("worker/", cpu);
    match super::life::spawn_on(cpu, name.as_str(), Policy::Fifo(PRIORITY), run, 0) {
        // It never ends, so the handle is not needed to wait for that.
        Ok(handle) => drop(handle),
        Err(_) => {
            log::warn!(target: "task", "no memory for the worker of CPU {cpu}: deferred work stays with the interrupts")
        }
    }
}

/// There is something to do on that CPU.
fn wake(cpu: usize) {
    let worker = WORKER.on(cpu).map_or(ptr::null_mut(), |worker| worker.load(Ordering::Acquire));
    // SAFETY: it never ends, and it left a reference behind for this.
    if let Some(worker) = unsafe { worker.as_ref() } {
        schedule::unpark(worker);
    }
}

fn run(_: usize) -> usize {
    let cpu = percpu::number();
    if let Some(place) = WORKER.on(cpu) {
        place.store(super::current().into_raw() as *mut Thread, Ordering::Release);
        Machine::defer_to(wake);
    }
    loop {
        while Machine::run_deferred() {}
        schedule::park();
    }
}
