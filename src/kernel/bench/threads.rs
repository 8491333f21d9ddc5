//! Rows about threads.

use super::OPERATIONS;
use crate::arch::x86_64::percpu;
use crate::arch::x86_64::preempt::NoPreemption;
use crate::arch::x86_64::tsc;
use crate::kernel::user::{self, programs};
use crate::task::{self, Policy, fpu};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);

/// Two threads of one urgency that yield to each other. A figure is that of one switch.
pub fn switch() -> Option<u64> {
    switch_between(|work| work())
}

/// The same of two that have floating-point state and a program's memory, each its own.
pub fn switch_owners() -> Option<u64> {
    switch_between(|work| {
        let space = programs::find("count").and_then(|program| user::load(program).ok());
        let Some(space) = space.filter(|_| fpu::own().is_ok()) else { return 0 };
        let _active = space.activate();
        work()
    })
}

/// What prepares one of the two, and calls what it is given.
type Prepared = fn(&dyn Fn() -> usize) -> usize;

/// How the two are prepared. Theirs, as they get one argument only.
static PREPARED: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

fn prepared(work: &dyn Fn() -> usize) -> usize {
    // SAFETY: `switch_between` alone stores there, and what it stores is such a function.
    let prepare = unsafe { core::mem::transmute::<*mut (), Prepared>(PREPARED.load(Ordering::Acquire)) };
    prepare(work)
}

fn switch_between(prepare: Prepared) -> Option<u64> {
    PREPARED.store(prepare as *mut (), Ordering::Release);
    fn yields(_: usize) -> usize {
        prepared(&|| {
            while !STOP.load(Ordering::Relaxed) {
                task::yield_now();
            }
            0
        })
    }
    /// Both of them: this one measures.
    fn measures(_: usize) -> usize {
        let per_pair = prepared(&|| super::per_operation(task::yield_now) as usize);
        // By this one: as long as the partner yields, nobody less urgent has the CPU.
        STOP.store(true, Ordering::Relaxed);
        per_pair / 2
    }
    // Both begin before either runs.
    let keeps_cpu = NoPreemption::new();
    let partner = task::spawn_on(percpu::number(), "bench", Policy::Fifo(10), yields, 0).ok()?;
    let measured = task::spawn_on(percpu::number(), "bench", Policy::Fifo(10), measures, 0);
    STOP.store(measured.is_err(), Ordering::Relaxed);
    drop(keeps_cpu);
    let measured = measured.map(|thread| thread.join() as u64);
    partner.join();
    measured.ok().filter(|&ticks| ticks > 0)
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
