//! Calling a function on other CPUs.
//!
//! Each CPU has one request slot, for what it asks of others, and one set of CPUs that ask something of it:
//!
//! ```text
//! CPU 2 wants f(x) on 0 and 5          CPU 5, when the interrupt comes, or while it waits itself
//!   SLOT[2] = f, x, left 2               takes 2 out of PENDING[5]
//!   PENDING[0] += 2, PENDING[5] += 2     f(x); SLOT[2].left -= 1
//!   interrupts to 0 and 5
//!   waits for left == 0
//! ```
//!
//! Nothing is allocated and no list has to be locked; many requests for one CPU are served by one interrupt. A CPU
//! whose slot is in use waits for that first.
//!
//! **Storms do not deadlock**: whoever waits serves the others meanwhile, whether its interrupts are on or not. What
//! does is to wait here while holding a lock that somebody spins for with interrupts off: so nobody does.
//!
//! Functions run with interrupts off, in an interrupt handler or while their CPU waits. They must be short, take no lock
//! that is ever held with interrupts on, and not call anybody themselves and wait.

use crate::arch::x86_64::percpu::per_cpu;
use crate::arch::x86_64::percpu::{self, InterruptsOff, NoPreemption, copies};
use crate::arch::x86_64::{interrupts, preempt};
use crate::cpu_set::{CpuSet, SharedCpuSet};
use crate::platform::Handler;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// What a CPU asks of others.
struct Slot {
    /// A [`Handler`].
    function: AtomicPtr<()>,
    argument: AtomicUsize,
    /// CPUs that have yet to do it. 0: the slot is free.
    left: AtomicUsize,
}

per_cpu! {
    static SLOT: Slot = Slot {
        function: AtomicPtr::new(core::ptr::null_mut()),
        argument: AtomicUsize::new(0),
        left: AtomicUsize::new(0),
    };

    /// Who asks something of this CPU.
    static PENDING: SharedCpuSet = SharedCpuSet::new(CpuSet::EMPTY);
}

/// Does what others ask of this CPU.
pub fn serve() {
    let pin = InterruptsOff::new();
    for asker in PENDING.here(&pin).take() {
        let Some(slot) = SLOT.on(asker) else { continue };
        // SAFETY: `post` alone stores there, a Handler, before it made the request known.
        let function =
            unsafe { core::mem::transmute::<*mut (), Handler>(slot.function.load(Ordering::Relaxed)) };
        function(slot.argument.load(Ordering::Relaxed));
        // The last thing that is done with the slot, and with what the argument may point to.
        slot.left.fetch_sub(1, Ordering::Release);
    }
}

/// Waits until this CPU's slot is free, and serves others meanwhile.
fn wait_until_free(slot: &Slot) {
    while slot.left.load(Ordering::Acquire) != 0 {
        serve();
        core::hint::spin_loop();
    }
}

/// Makes the request known to those of `targets` that run, this CPU excepted.
fn post(pin: &NoPreemption, targets: &CpuSet, function: Handler, argument: usize) {
    let slot = SLOT.here(pin);
    loop {
        wait_until_free(slot);
        let _off = InterruptsOff::new();
        // A handler may have used it in between.
        if slot.left.load(Ordering::Acquire) != 0 {
            continue;
        }
        let own = percpu::number();
        let mut targets = targets.and(&copies::online());
        targets.remove(own);
        let count = targets.len();
        slot.function.store(function as *mut (), Ordering::Relaxed);
        slot.argument.store(argument, Ordering::Relaxed);
        slot.left.store(count, Ordering::Release);
        let by_broadcast = count > 1 && count + 1 == copies::online_count();
        for cpu in targets.iter() {
            // Who finds others in the set need not send: whoever was first does.
            let is_asked = PENDING.on(cpu).is_some_and(|pending| pending.insert(own));
            if !is_asked && !by_broadcast {
                super::call_one(cpu);
            }
        }
        if by_broadcast {
            super::call_others();
        }
        return;
    }
}

/// Calls `function(argument)` on each of `targets` but this CPU, and does not wait: at the most for an earlier request
/// of this CPU's.
pub fn send(targets: &CpuSet, function: Handler, argument: usize) {
    post(&NoPreemption::new(), targets, function, argument);
}

/// Calls `function` on each of `targets` but this CPU, and waits until all have done it.
pub fn run<F: Fn() + Sync>(targets: &CpuSet, function: &F) {
    fn call<F: Fn()>(argument: usize) {
        // SAFETY: `run` passes the address of such a function, and waits until we are done.
        unsafe { (*(argument as *const F))() }
    }
    let pin = NoPreemption::new();
    post(&pin, targets, call::<F>, core::ptr::from_ref(function) as usize);
    wait_until_free(SLOT.here(&pin));
}

/// Calls `function` on one CPU, which may be this one, and waits. False if it does not run.
pub fn run_on<F: Fn() + Sync>(cpu: usize, function: &F) -> bool {
    let pin = NoPreemption::new();
    if cpu == percpu::number() {
        let _off = InterruptsOff::new();
        function();
        return true;
    }
    let is_online = copies::is_online(cpu);
    if is_online {
        run(&CpuSet::one(cpu), function);
    }
    drop(pin);
    is_online
}

/// Calls `function` on every CPU, this one last, and waits.
pub fn run_on_all<F: Fn() + Sync>(function: &F) {
    let pin = NoPreemption::new();
    run(&copies::online(), function);
    {
        let _off = InterruptsOff::new();
        function();
    }
    drop(pin);
}

/// The same where that is allowed: with interrupts and preemption on, this code holds nothing that others spin for. Else it
/// is called on this CPU alone.
pub fn run_on_all_or_here<F: Fn() + Sync>(function: &F) {
    if interrupts::are_on() && preempt::depth() == 0 {
        run_on_all(function);
    } else {
        let _off = InterruptsOff::new();
        function();
    }
}
