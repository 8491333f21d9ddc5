//! A lock whose waiters sleep: for data that is worked on for long, or across a sleep.
//!
//! Taking it when it is free and giving it back when nobody waits is one compare-and-exchange each. Whoever finds it
//! taken queues up behind a spin lock and sleeps; whoever gives it back with somebody waiting hands it over to the first:
//! it does not become free in between. So nobody starves, and nobody is woken to find it gone.
//!
//! Not in interrupt handlers, nor under a lock that spins.

use super::checks::Tag;
use super::irq_lock::IrqLock;
use super::parker::{Kernel, NEVER, Parker};
use super::rank::{Group, Rank};
use super::waiters::{self, Waiters};
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

/// The lock.
pub struct Mutex<T, P: Parker = Kernel> {
    /// 0, [`TAKEN`], or [`TAKEN`] and [`WAITED_FOR`].
    state: AtomicU32,
    tag: Tag,
    waiters: IrqLock<Waiters<P>>,
    data: UnsafeCell<T>,
}

const TAKEN: u32 = 1;
const WAITED_FOR: u32 = 2;

// SAFETY: one holder at a time, to whom the data is sent.
unsafe impl<T: Send, P: Parker> Sync for Mutex<T, P> {}
// SAFETY: nobody waits for what is being moved.
unsafe impl<T: Send, P: Parker> Send for Mutex<T, P> {}

/// Access to the data. It stays with its task.
pub struct MutexGuard<'a, T, P: Parker = Kernel> {
    lock: &'a Mutex<T, P>,
    not_send: PhantomData<*mut ()>,
}

// SAFETY: shared it gives `&T` alone.
unsafe impl<T: Sync, P: Parker> Sync for MutexGuard<'_, T, P> {}

impl<T, P: Parker> Mutex<T, P> {
    /// A free one, with its place in the order of locks, which must be one of those that sleep.
    pub const fn new(rank: Rank, value: T) -> Self {
        assert!(matches!(rank.group(), Group::Sleep), "the rank is that of a lock that spins");
        Self {
            state: AtomicU32::new(0),
            tag: Tag::new(rank),
            waiters: IrqLock::new(Rank::WaitList, Waiters::new()),
            data: UnsafeCell::new(value),
        }
    }

    /// Waits for the lock.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock(&self) -> MutexGuard<'_, T, P> {
        self.tag.wanted();
        if self.state.compare_exchange(0, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.wait();
        }
        self.tag.taken();
        MutexGuard { lock: self, not_send: PhantomData }
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) {
        let waiters = self.waiters.lock();
        // From here on whoever gives it back comes for the list's lock.
        if self.state.fetch_or(WAITED_FOR, Ordering::Acquire) & TAKEN == 0 {
            // It has become free, so that nobody waits: with others waiting it is handed over.
            self.state.store(TAKEN, Ordering::Relaxed);
            return;
        }
        waiters::wait(&self.waiters, waiters, 0, NEVER);
    }

    /// Takes the lock if it is free.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T, P>> {
        self.state.compare_exchange(0, TAKEN, Ordering::Acquire, Ordering::Relaxed).ok()?;
        self.tag.taken();
        Some(MutexGuard { lock: self, not_send: PhantomData })
    }

    #[cold]
    #[inline(never)]
    fn hand_over(&self) {
        let mut waiters = self.waiters.lock();
        let granted = waiters.grant_first();
        // Free if the one who set the mark has not come to the list yet, which it does with the lock held: never.
        let state = match (granted, waiters.is_empty()) {
            (false, _) => 0,
            (true, true) => TAKEN,
            (true, false) => TAKEN | WAITED_FOR,
        };
        self.state.store(state, Ordering::Release);
    }

    /// For who has the lock itself alone.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    /// The data, of a lock that is needed no more.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T, P: Parker> Deref for MutexGuard<'_, T, P> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the one holder, until this is dropped.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T, P: Parker> DerefMut for MutexGuard<'_, T, P> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and borrowed for writing.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T, P: Parker> Drop for MutexGuard<'_, T, P> {
    #[inline]
    fn drop(&mut self) {
        let lock = self.lock;
        lock.tag.released();
        if lock.state.compare_exchange(TAKEN, 0, Ordering::Release, Ordering::Relaxed).is_err() {
            lock.hand_over();
        }
    }
}
