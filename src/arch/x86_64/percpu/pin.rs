//! What keeps code on its CPU: proof that a reference to "this CPU's" data stays right.
//!
//! Two ways, with a guard for each. Interrupts off: nothing at all comes in between. Preemption off: handlers do, but
//! no other thread, and this one stays where it is. The latter is a per-CPU count: nobody schedules away from code
//! while it is above 0.

use super::super::interrupts;
pub use super::super::preempt::NoPreemption;
use core::marker::PhantomData;

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

// SAFETY: the scheduler leaves a thread alone, and where it is, while the count is above 0; as above.
unsafe impl Pinned for NoPreemption {}
