//! A spin lock for data that interrupt handlers use as well.
//!
//! While it is held, this CPU takes no interrupts: a handler that wanted the same lock would wait for code that
//! it has itself interrupted. So whatever is done under it must be short. An NMI or a machine check comes
//! anyway: their handlers use [`IrqLock::try_lock`].
//!
//! It is as fair as a [`SpinLock`](super::SpinLock). Who waits does so with interrupts off: he has drawn his ticket, and a
//! handler in between would make all behind him wait for it.

use super::checks::{self, Tag};
use super::hooks;
use super::rank::Rank;
use super::ticket::Ticket;
use crate::arch::x86_64::interrupts;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// The lock.
pub struct IrqLock<T> {
    ticket: Ticket,
    tag: Tag,
    data: UnsafeCell<T>,
}

// SAFETY: one holder at a time, to whom the data is sent.
unsafe impl<T: Send> Sync for IrqLock<T> {}

/// Access to the data. Interrupts are back as they were when it is dropped.
pub struct IrqGuard<'a, T> {
    lock: &'a IrqLock<T>,
    were_on: bool,
    not_send: PhantomData<*mut ()>,
}

// SAFETY: shared it gives `&T` alone.
unsafe impl<T: Sync> Sync for IrqGuard<'_, T> {}

impl<T> IrqLock<T> {
    /// A free one, with its place in the order of locks.
    pub const fn new(rank: Rank, value: T) -> Self {
        Self { ticket: Ticket::new(), tag: Tag::new(rank), data: UnsafeCell::new(value) }
    }

    /// Waits for the lock.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock(&self) -> IrqGuard<'_, T> {
        let were_on = interrupts::disable();
        checks::interrupts_off(were_on);
        hooks::disable_preemption();
        self.tag.wanted();
        self.ticket.lock(self.tag.stuck());
        self.tag.taken();
        IrqGuard { lock: self, were_on, not_send: PhantomData }
    }

    /// Takes the lock if it is free.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_lock(&self) -> Option<IrqGuard<'_, T>> {
        let were_on = interrupts::disable();
        if !self.ticket.try_lock() {
            interrupts::restore(were_on);
            return None;
        }
        checks::interrupts_off(were_on);
        hooks::disable_preemption();
        self.tag.taken();
        Some(IrqGuard { lock: self, were_on, not_send: PhantomData })
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
}

impl<T> Deref for IrqGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the one holder, until this is dropped.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for IrqGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and borrowed for writing.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for IrqGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.tag.released();
        // SAFETY: a guard is a lock that was taken.
        unsafe { self.lock.ticket.unlock() };
        // From here on the lock may be gone: who waited for it may have been the one to free it.
        let too_long = checks::interrupts_on(self.were_on);
        if self.were_on {
            interrupts::enable();
            hooks::enable_preemption();
        } else {
            hooks::enable_preemption_later();
        }
        too_long.report();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let lock = IrqLock::new(Rank::IrqInner, 1);
        let mut guard = lock.lock();
        *guard += 1;
        assert!(lock.try_lock().is_none());
        drop(guard);
        assert_eq!(*lock.try_lock().expect("free again"), 2);
    }
}
