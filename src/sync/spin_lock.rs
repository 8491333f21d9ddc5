//! A fair spin lock, for data that no interrupt handler touches.
//!
//! Preemption is off while it is held, interrupts are as they were. So a handler must not want it: this CPU may be the
//! one that holds it, and then waits for itself. Handlers' data is behind an [`IrqLock`](super::IrqLock). What is done
//! under it is bounded, and does not sleep.

use super::checks::{self, Tag};
use super::hooks;
use super::rank::Rank;
use super::ticket::Ticket;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// The lock.
pub struct SpinLock<T> {
    ticket: Ticket,
    tag: Tag,
    data: UnsafeCell<T>,
}

// SAFETY: one holder at a time, to whom the data is sent.
unsafe impl<T: Send> Sync for SpinLock<T> {}

/// Access to the data. It stays on its CPU.
pub struct SpinGuard<'a, T> {
    lock: &'a SpinLock<T>,
    not_send: PhantomData<*mut ()>,
}

// SAFETY: shared it gives `&T` alone.
unsafe impl<T: Sync> Sync for SpinGuard<'_, T> {}

impl<T> SpinLock<T> {
    /// A free one, with its place in the order of locks.
    pub const fn new(rank: Rank, value: T) -> Self {
        Self { ticket: Ticket::new(), tag: Tag::new(rank), data: UnsafeCell::new(value) }
    }

    /// Waits for the lock.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        hooks::disable_preemption();
        self.tag.wanted();
        self.ticket.lock(self.tag.stuck());
        self.tag.taken();
        SpinGuard { lock: self, not_send: PhantomData }
    }

    /// Takes the lock if it is free.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        hooks::disable_preemption();
        if !self.ticket.try_lock() {
            hooks::enable_preemption();
            return None;
        }
        self.tag.taken();
        Some(SpinGuard { lock: self, not_send: PhantomData })
    }

    /// Takes the lock away from its holder.
    ///
    /// # Safety
    /// The holder will never go on: the kernel is dying.
    pub unsafe fn force_unlock(&self) {
        checks::give_up();
        // SAFETY: as the caller says.
        unsafe { self.ticket.force_unlock() };
    }

    /// For who has the lock itself alone.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the one holder, until this is dropped.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and borrowed for writing.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.tag.released();
        // SAFETY: a guard is a lock that was taken.
        unsafe { self.lock.ticket.unlock() };
        hooks::enable_preemption();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_no_preemption() {
        let lock = SpinLock::new(Rank::SpinInner, 1);
        let before = hooks::preemption_depth();
        let mut guard = lock.lock();
        *guard += 1;
        assert_eq!(hooks::preemption_depth(), before + 1);
        assert!(lock.try_lock().is_none());
        drop(guard);
        assert_eq!(*lock.try_lock().expect("free again"), 2);
        assert_eq!(hooks::preemption_depth(), before);
    }
}
