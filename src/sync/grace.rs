//! The kernel's epochs, and how its CPUs report to them: what is read on every call, directory entries and the like, is
//! read under [`EPOCHS`].
//!
//! ```text
//! schedule, on every switch     pass                   two instructions
//! the idle loop, before HLT     rest                   noted as idle: nobody waits for this CPU
//! an interrupt out of HLT       interrupted            it counts again, before its handler reads anything
//! ```
//!
//! So a grace period ends on CPUs that switch and on CPUs that sleep without anybody's help. One that runs a single thread
//! for long does neither: who waits has it nudged ([`Cpus::hurry`]), so that it goes through its scheduler once. What was
//! retired is freed by a collector, which is told of it and comes back until nothing is left.
//! The layers above register both ([`register`]); before they have, `synchronize` waits without nudging, and what is
//! retired stays.
//!
//! "At rest" is exact: a CPU is so from just before HLT until an interrupt or an NMI has ended that. The watchdog asks for
//! it too, for a CPU at rest has not stopped; and it wants to know when one leaves its idle thread ([`on_busy`]).

use super::epoch::{Cpus, Epochs};
use super::hooks;
use crate::arch::x86_64::interrupts;
use crate::arch::x86_64::percpu::{self, per_cpu};
use core::sync::atomic::{AtomicPtr, Ordering};

pub const CPUS_MAX: usize = percpu::MAX_CPUS;

/// The kernel's.
pub static EPOCHS: Epochs<Here, CPUS_MAX> = Epochs::new();

/// A read section of them.
pub type Reading<'a> = super::epoch::Reading<'a, Here, CPUS_MAX>;

/// This machine's CPUs.
pub struct Here;

impl Cpus for Here {
    /// Those that have not begun are idle as far as epochs are concerned.
    fn count() -> usize {
        percpu::copies()
    }

    #[inline(always)]
    fn current() -> usize {
        hooks::cpu()
    }

    #[inline(always)]
    fn disable_preemption() {
        hooks::disable_preemption();
    }

    #[inline(always)]
    fn enable_preemption() {
        hooks::enable_preemption();
    }

    fn preemption_depth() -> u32 {
        hooks::preemption_depth()
    }

    fn relax() {
        hooks::pause();
    }

    fn passed(cpu: usize) -> u64 {
        PASSED.value_on(cpu).unwrap_or(0)
    }

    fn hurry(cpu: usize) {
        if let Some(helpers) = helpers() {
            (helpers.nudge)(cpu);
        }
    }

    fn retired() {
        if let Some(helpers) = helpers() {
            (helpers.collect)();
        }
    }
}

/// What the layers above do for the epochs.
pub struct Helpers {
    /// Has a CPU go through its scheduler.
    pub nudge: fn(usize),
    /// Has [`Epochs::collect`] called again and again, from now on, until nothing is left. Called wherever something is
    /// retired.
    pub collect: fn(),
}

static HELPERS: AtomicPtr<Helpers> = AtomicPtr::new(core::ptr::null_mut());

/// Registers them.
pub fn register(helpers: &'static Helpers) {
    HELPERS.store(core::ptr::from_ref(helpers).cast_mut(), Ordering::Release);
}

fn helpers() -> Option<&'static Helpers> {
    // SAFETY: only `register` stores there, and what it stores lives for ever.
    unsafe { HELPERS.load(Ordering::Acquire).as_ref() }
}

per_cpu! {
    /// The epoch that this CPU's last switch has seen.
    static PASSED: u64 = 0;

    /// 1 while this CPU is at rest.
    static AT_REST: u8 = 0;

    /// 1 from a rest until this CPU switches to a thread: then it is busy.
    static RESTED: u8 = 0;
}

/// This CPU is in a quiescent state: it gives itself to another thread, or might. With interrupts off.
#[inline(always)]
pub fn pass() {
    PASSED.set(EPOCHS.current());
}

/// Calls `wait`, which turns interrupts on and sleeps; this CPU is at rest meanwhile. For the idle thread, with interrupts
/// off; they are on when it returns.
#[inline]
pub fn rest(wait: fn()) {
    EPOCHS.enter_idle();
    AT_REST.set(1);
    RESTED.set(1);
    wait();
    // An interrupt has seen to this, but not an NMI.
    interrupts::disable();
    interrupted();
    interrupts::enable();
}

/// At the beginning of an interrupt: if this CPU was at rest, it no longer is. Interrupts are off.
#[inline(always)]
pub fn interrupted() {
    if AT_REST.get() != 0 {
        AT_REST.set(0);
        EPOCHS.leave_idle();
    }
}

/// Whether CPU `cpu` is at rest, as of a moment ago.
pub fn is_at_rest(cpu: usize) -> bool {
    AT_REST.value_on(cpu) != Some(0)
}

/// Who is told when a CPU becomes busy: `fn()`.
static BUSY: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Has `told` called by each CPU that leaves its idle thread after a rest: with interrupts off and its run queue locked.
pub fn on_busy(told: fn()) {
    BUSY.store(told as *mut (), Ordering::Release);
}

/// A thread is switched to. With interrupts off.
#[inline(always)]
pub fn busy() {
    if RESTED.get() != 0 {
        tell_busy();
    }
}

#[cold]
#[inline(never)]
fn tell_busy() {
    RESTED.set(0);
    let told = BUSY.load(Ordering::Acquire);
    if !told.is_null() {
        // SAFETY: `on_busy` alone stores there, and what it stores is such a function.
        unsafe { core::mem::transmute::<*mut (), fn()>(told)() };
    }
}
