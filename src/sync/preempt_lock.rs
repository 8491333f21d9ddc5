//! A spin lock for data that threads share and interrupt handlers leave alone.
//!
//! Its holder keeps the CPU: were it taken away, who wants the lock would spin for a holder that has no CPU to go on
//! with. Interrupts stay on, so it may be held for longer than an [`IrqLock`](super::IrqLock). Nothing sleeps under it.

use crate::arch::x86_64::preempt::NoPreemption;
use core::ops::{Deref, DerefMut};
use spin::{Mutex, MutexGuard};

/// The lock.
pub struct PreemptLock<T> {
    inner: Mutex<T>,
}

/// Access to the data. Fields are dropped in their order: first the lock is free, then the CPU may go.
pub struct PreemptGuard<'a, T> {
    guard: MutexGuard<'a, T>,
    _keeps_cpu: NoPreemption,
}

impl<T> PreemptLock<T> {
    pub const fn new(value: T) -> Self {
        Self { inner: Mutex::new(value) }
    }

    /// Waits for the lock.
    pub fn lock(&self) -> PreemptGuard<'_, T> {
        let keeps_cpu = NoPreemption::new();
        PreemptGuard { guard: self.inner.lock(), _keeps_cpu: keeps_cpu }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<PreemptGuard<'_, T>> {
        let keeps_cpu = NoPreemption::new();
        Some(PreemptGuard { guard: self.inner.try_lock()?, _keeps_cpu: keeps_cpu })
    }

    /// Takes the lock away from its holder.
    ///
    /// # Safety
    /// The holder will never go on: the kernel is dying.
    pub unsafe fn force_unlock(&self) {
        // SAFETY: as the caller says.
        unsafe { self.inner.force_unlock() };
    }
}

impl<T> Deref for PreemptGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for PreemptGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let lock = PreemptLock::new(1);
        let mut guard = lock.lock();
        *guard += 1;
        assert!(lock.try_lock().is_none());
        drop(guard);
        assert_eq!(lock.try_lock().as_deref(), Some(&2));
    }
}
