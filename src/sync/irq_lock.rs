//! A spin lock for data that interrupt handlers use as well.
//!
//! While it is held, this CPU takes no interrupts: a handler that wanted the same lock would wait for code that
//! it has itself interrupted. So whatever is done under it must be short. An NMI or a machine check comes
//! anyway: their handlers use [`IrqLock::try_lock`].

use crate::arch::x86_64::{interrupts, preempt};
use core::ops::{Deref, DerefMut};
use spin::{Mutex, MutexGuard};

/// The lock.
pub struct IrqLock<T> {
    inner: Mutex<T>,
}

/// Access to the data. Interrupts are back as they were when it is dropped.
pub struct IrqGuard<'a, T> {
    /// Dropped by hand, before interrupts come back.
    guard: core::mem::ManuallyDrop<MutexGuard<'a, T>>,
    were_on: bool,
}

impl<T> IrqLock<T> {
    pub const fn new(value: T) -> Self {
        Self { inner: Mutex::new(value) }
    }

    /// Waits for the lock.
    pub fn lock(&self) -> IrqGuard<'_, T> {
        let were_on = interrupts::disable();
        IrqGuard { guard: core::mem::ManuallyDrop::new(self.inner.lock()), were_on }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<IrqGuard<'_, T>> {
        let were_on = interrupts::disable();
        let Some(guard) = self.inner.try_lock() else {
            interrupts::restore(were_on);
            return None;
        };
        Some(IrqGuard { guard: core::mem::ManuallyDrop::new(guard), were_on })
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

impl<T> Deref for IrqGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for IrqGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T> Drop for IrqGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: dropped once, here.
        unsafe { core::mem::ManuallyDrop::drop(&mut self.guard) };
        interrupts::restore(self.were_on);
        if self.were_on {
            // A thread that was woken under the lock may be more urgent than this one.
            preempt::check();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let lock = IrqLock::new(1);
        let mut guard = lock.lock();
        *guard += 1;
        assert!(lock.try_lock().is_none());
        drop(guard);
        assert_eq!(*lock.try_lock().expect("free again"), 2);
    }
}
