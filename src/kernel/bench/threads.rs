//! Rows about threads.

use super::OPERATIONS;
use crate::arch::x86_64::percpu;
use crate::arch::x86_64::preempt::NoPreemption;
use crate::arch::x86_64::tsc;
use crate::task::{self, Policy};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);

/// Two threads of one urgency that yield to each other. A figure is that of one switch.
pub fn switch() -> Option<u64> {
    fn yields(_: usize) -> usize {
        while !STOP.load(Ordering::Relaxed) {
            task::yield_now();
        }
        0
    }
    /// Both of them: this one measures.
    fn measures(_: usize) -> usize {
        let per_pair = super::per_operation(task::yield_now);
        // By this one: as long as the partner yields, nobody less urgent has the CPU.
        STOP.store(true, Ordering::Relaxed);
        (per_pair / 2) as usize
    }
    // Both begin before either runs.
    let keeps_cpu = NoPreemption::new();
    let partner = task::spawn_on(percpu::number(), "bench", Policy::Fifo(10), yields, 0).ok()?;
    let measured = task::spawn_on(percpu::number(), "bench", Policy::Fifo(10), measures, 0);
    STOP.store(measured.is_err(), Ordering::Relaxed);
    drop(keeps_cpu);
    let measured = measured.map(|thread| thread.join() as u64);
    partner.join();
    measured.ok()
}

/// When the sleeper was woken; and ticks from there to the sleeper's next instruction, all in all.
static WOKEN_AT: AtomicU64 = AtomicU64::new(0);
static SUM: AtomicU64 = AtomicU64::new(0);

/// From the call that wakes a thread of higher priority to that thread's next instruction.
pub fn wake_up() -> Option<u64> {
    fn sleeper(_: usize) -> usize {
        loop {
            task::park();
            let now = tsc::read();
            if STOP.load(Ordering::Relaxed) {
                return 0;
            }
            SUM.fetch_add(now - WOKEN_AT.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
    STOP.store(false, Ordering::Relaxed);
    SUM.store(0, Ordering::Relaxed);
    let sleeper = task::spawn_on(percpu::number(), "bench", Policy::Fifo(10), sleeper, 0).ok()?;
    for _ in 0..OPERATIONS {
        WOKEN_AT.store(tsc::read(), Ordering::Relaxed);
        task::unpark(sleeper.thread());
    }
    STOP.store(true, Ordering::Relaxed);
    task::unpark(sleeper.thread());
    sleeper.join();
    Some(SUM.load(Ordering::Relaxed) * 100 / OPERATIONS)
}

/// A thread begins, ends at once, and is waited for; its stack comes from those that are kept.
pub fn spawn_and_join() -> Option<u64> {
    let start = tsc::read();
    for _ in 0..OPERATIONS {
        task::spawn_on(percpu::number(), "bench", Policy::Normal(0), |_| 0, 0).ok()?.join();
    }
    Some((tsc::read() - start) * 100 / OPERATIONS)
}
