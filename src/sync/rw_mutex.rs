//! A lock that many may hold for reading, or one for writing, and whose waiters sleep.
//!
//! All are served in the order in which they came: readers that come while somebody waits wait as well, and readers
//! that stand behind one another in the list go in together. As with the spinning [`RwLock`](super::RwLock), a holder
//! never asks for it again, not for reading either. Taking it when nobody is in the way is one compare-and-exchange.
//!
//! Not in interrupt handlers, nor under a lock that spins.

use super::checks::Tag;
use super::irq_lock::{IrqGuard, IrqLock};
use super::parker::{Kernel, NEVER, Parker};
use super::rank::{Group, Rank};
use super::waiters::{self, BATCH, Waiters};
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

/// The lock.
pub struct RwMutex<T, P: Parker = Kernel> {
    /// [`WRITER`] if one has it, [`WAITED_FOR`] while the list is not empty, and the number of readers that have it.
    state: AtomicU32,
    tag: Tag,
    waiters: IrqLock<Waiters<P>>,
    data: UnsafeCell<T>,
}

const WRITER: u32 = 1 << 31;
const WAITED_FOR: u32 = 1 << 30;

/// What a waiter wants.
const TO_READ: u32 = 0;
const TO_WRITE: u32 = 1;

// SAFETY: readers get `&T` side by side, and a writer `&mut T`, which sends it.
unsafe impl<T: Send + Sync, P: Parker> Sync for RwMutex<T, P> {}
// SAFETY: nobody waits for what is being moved.
unsafe impl<T: Send, P: Parker> Send for RwMutex<T, P> {}

/// Access for reading.
pub struct ReadGuard<'a, T, P: Parker = Kernel> {
    lock: &'a RwMutex<T, P>,
    not_send: PhantomData<*mut ()>,
}

/// Access for writing.
pub struct WriteGuard<'a, T, P: Parker = Kernel> {
    lock: &'a RwMutex<T, P>,
    not_send: PhantomData<*mut ()>,
}

// SAFETY: shared they give `&T` alone.
unsafe impl<T: Sync, P: Parker> Sync for ReadGuard<'_, T, P> {}
// SAFETY: as above.
unsafe impl<T: Sync, P: Parker> Sync for WriteGuard<'_, T, P> {}

impl<T, P: Parker> RwMutex<T, P> {
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

    /// Waits until it may read.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn read(&self) -> ReadGuard<'_, T, P> {
        self.tag.wanted();
        if !self.take_to_read() {
            self.wait(TO_READ);
        }
        self.tag.taken_shared();
        ReadGuard { lock: self, not_send: PhantomData }
    }

    /// Takes it for reading, if that is possible at once.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_read(&self) -> Option<ReadGuard<'_, T, P>> {
        if !self.take_to_read() {
            return None;
        }
        self.tag.taken_shared();
        Some(ReadGuard { lock: self, not_send: PhantomData })
    }

    /// Waits until it has it alone.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn write(&self) -> WriteGuard<'_, T, P> {
        self.tag.wanted();
        if self.state.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.wait(TO_WRITE);
        }
        self.tag.taken();
        WriteGuard { lock: self, not_send: PhantomData }
    }

    /// Takes it for writing, if that is possible at once.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_write(&self) -> Option<WriteGuard<'_, T, P>> {
        self.state.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).ok()?;
        self.tag.taken();
        Some(WriteGuard { lock: self, not_send: PhantomData })
    }

    #[inline]
    fn take_to_read(&self) -> bool {
        let more = |state: u32| (state & (WRITER | WAITED_FOR) == 0).then_some(state + 1);
        self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, more).is_ok()
    }

    #[cold]
    #[inline(never)]
    fn wait(&self, wish: u32) {
        let waiters = self.waiters.lock();
        // From here on nobody takes it in passing, and the last one who gives it back comes for the list's lock.
        let state = self.state.fetch_or(WAITED_FOR, Ordering::Acquire) & !WAITED_FOR;
        if waiters.is_empty() {
            if wish == TO_READ && state & WRITER == 0 {
                // One more, and the mark away.
                self.state.fetch_sub(WAITED_FOR - 1, Ordering::Acquire);
                return;
            }
            if wish == TO_WRITE && state == 0 {
                self.state.store(WRITER, Ordering::Relaxed);
                return;
            }
        }
        waiters::wait(&self.waiters, waiters, wish, NEVER);
    }

    /// Hands the lock to those whose turn it is, if it is free for them.
    fn hand_over<'a>(&'a self, mut waiters: IrqGuard<'a, Waiters<P>>) {
        let mut batch = 0;
        loop {
            let state = self.state.load(Ordering::Acquire);
            match waiters.first_wish() {
                None => {
                    self.state.fetch_and(!WAITED_FOR, Ordering::Relaxed);
                    return;
                }
                Some(TO_WRITE) if state & !WAITED_FOR == 0 => {
                    self.state.fetch_or(WRITER, Ordering::Relaxed);
                    waiters.grant_first();
                    if waiters.is_empty() {
                        self.state.fetch_and(!WAITED_FOR, Ordering::Relaxed);
                    }
                    return;
                }
                Some(TO_READ) if state & WRITER == 0 => {
                    self.state.fetch_add(1, Ordering::Relaxed);
                    waiters.grant_first();
                }
                // Whoever has it will come here.
                Some(_) => return,
            }
            batch += 1;
            if batch % BATCH == 0 {
                drop(waiters);
                waiters = self.waiters.lock();
            }
        }
    }

    /// For who has the lock itself alone.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

impl<T, P: Parker> Deref for ReadGuard<'_, T, P> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: nobody writes while this exists.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T, P: Parker> Drop for ReadGuard<'_, T, P> {
    #[inline]
    fn drop(&mut self) {
        let lock = self.lock;
        lock.tag.released();
        if lock.state.fetch_sub(1, Ordering::Release) == WAITED_FOR + 1 {
            lock.hand_over(lock.waiters.lock());
        }
    }
}

impl<T, P: Parker> Deref for WriteGuard<'_, T, P> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this is the only guard.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T, P: Parker> DerefMut for WriteGuard<'_, T, P> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this is the only guard, and borrowed for writing.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T, P: Parker> Drop for WriteGuard<'_, T, P> {
    #[inline]
    fn drop(&mut self) {
        let lock = self.lock;
        lock.tag.released();
        if lock.state.compare_exchange(WRITER, 0, Ordering::Release, Ordering::Relaxed).is_err() {
            let waiters = lock.waiters.lock();
            lock.state.fetch_and(!WRITER, Ordering::Release);
            lock.hand_over(waiters);
        }
    }
}
