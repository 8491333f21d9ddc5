//! What keeps code on its CPU: proof that a reference to "this CPU's" data stays right.
//!
//! Two ways, with a guard for each. Interrupts off: nothing at all comes in between. Preemption off: handlers do, but
//! no other thread, and this one stays where it is. The latter is a per-CPU count: nobody schedules away from code
//! while it is above 0.

use super::super::interrupts;
use crate::arch::x86_64::percpu::per_cpu;
use core::marker::PhantomData;

per_cpu! {
    /// How many guards forbid preemption on this CPU.
    #[unsafe(export_name = "preempt_count")]
    pub static PREEMPT_COUNT: u32 = 0;
}

/// Proof that this code stays on this CPU as long as the proof lives.
///
/// # Safety
/// Whoever implements it sees to that, and is no Send.
pub unsafe trait Pinned {}

/// Interrupts are off, and back as they were when it is dropped.
pub struct InterruptsOff {
    were_on: bool,
    not_send: PhantomData<*mut ()>,
}

impl InterruptsOff {
    #[inline]
    #[must_use]
    pub fn new() -> Self {
        Self { were_on: interrupts::disable(), not_send: PhantomData }
    }
}

impl Default for InterruptsOff {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for InterruptsOff {
    #[inline]
    fn drop(&mut self) {
        interrupts::restore(self.were_on);
    }
}

// SAFETY: without interrupts there is no scheduler; the raw pointer keeps it from being sent.
unsafe impl Pinned for InterruptsOff {}

/// Preemption is off until it is dropped.
pub struct NoPreemption(PhantomData<*mut ()>);

impl NoPreemption {
    #[inline]
    #[must_use]
    pub fn new() -> Self {
        PREEMPT_COUNT.add(1);
        Self(PhantomData)
    }
}

impl Default for NoPreemption {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for NoPreemption {
    #[inline]
    fn drop(&mut self) {
        // What was held back until now is done here, once there are threads: this is the place to look.
        PREEMPT_COUNT.sub_is_zero(1);
    }
}

// SAFETY: the scheduler leaves a thread alone, and where it is, while the count is above 0; as above.
unsafe impl Pinned for NoPreemption {}
