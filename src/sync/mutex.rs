//! A lock whose waiters sleep: for data that is worked on for long, or across a sleep.
//!
//! Taking it when it is free and giving it back when nobody waits is one compare-and-exchange each. Whoever finds it
//! taken queues up behind a spin lock and sleeps; whoever gives it back with somebody waiting hands it over to the first:
//! it does not become free in between. So nobody starves, and nobody is woken to find it gone.
//!
//! Sleeping and being woken takes longer than most work under such a lock. So whoever finds it taken looks at it for a
//! while first, as long as nobody waits yet and its holder runs on another CPU, and so may be about to give it back.
//! Whether he does is asked of that CPU: which task runs there stands in its per-CPU data, which is never freed. The
//! holder's task may end at any time; its number is compared and never followed. Where he took it is no more than a hint:
//! if he has been moved since, whoever waits sleeps a little too early.
//!
//! Not in interrupt handlers, nor under a lock that spins.

use super::checks::Tag;
use super::hooks;
use super::irq_lock::IrqLock;
use super::parker::{Kernel, NEVER, Parker};
use super::rank::{Group, Rank};
use super::waiters::{self, Waiters};
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// The lock.
pub struct Mutex<T, P: Parker = Kernel> {
    /// 0 if it is free; else the holder's number with [`TAKEN`], and [`WAITED_FOR`] while the list is not empty.
    state: AtomicUsize,
    /// The CPU that he took it on.
    cpu: AtomicU32,
    tag: Tag,
    waiters: IrqLock<Waiters<P>>,
    data: UnsafeCell<T>,
}

const TAKEN: usize = 1;
const WAITED_FOR: usize = 2;

/// Looks at a lock whose holder runs, with a pause each: some ten microseconds, several times what a switch takes.
const LOOKS: usize = 400;

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
            state: AtomicUsize::new(0),
            cpu: AtomicU32::new(0),
            tag: Tag::new(rank),
            waiters: IrqLock::new(Rank::WaitList, Waiters::new()),
            data: UnsafeCell::new(value),
        }
    }

    /// What the lock shows while this task has it and nobody waits.
    #[inline]
    fn mine() -> usize {
        P::number(P::current()) | TAKEN
    }

    /// Waits for the lock.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock(&self) -> MutexGuard<'_, T, P> {
        self.tag.wanted();
        let mine = Self::mine();
        if self.state.compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.wait(mine, &|| false);
        }
        self.held()
    }

    /// Waits for the lock, unless `stop` says that something is more important: `None` then. Whoever makes that true has
    /// this task woken. For locks that are held while their holder waits for others.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock_unless(&self, stop: &dyn Fn() -> bool) -> Option<MutexGuard<'_, T, P>> {
        self.tag.wanted();
        let mine = Self::mine();
        let is_free = self.state.compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed).is_ok();
        (is_free || self.wait(mine, stop)).then(|| self.held())
    }

    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    fn held(&self) -> MutexGuard<'_, T, P> {
        self.cpu.store(hooks::cpu() as u32, Ordering::Relaxed);
        self.tag.taken();
        MutexGuard { lock: self, not_send: PhantomData }
    }

    /// Looks whether it becomes free soon; true if this task has got it.
    fn spin(&self, mine: usize) -> bool {
        for _ in 0..LOOKS {
            let state = self.state.load(Ordering::Relaxed);
            if state == 0 {
                if self.state.compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    return true;
                }
            } else if state & WAITED_FOR != 0
                || !P::runs_on(state & !TAKEN, self.cpu.load(Ordering::Relaxed) as usize)
                || hooks::is_wanted()
            {
                // It would be handed to others; or nobody is about to give it back; or this CPU has better things to do.
                return false;
            }
            hooks::pause();
        }
        false
    }

    #[cold]
    #[inline(never)]
    fn wait(&self, mine: usize, stop: &dyn Fn() -> bool) -> bool {
        if self.spin(mine) {
            return true;
        }
        let waiters = self.waiters.lock();
        // From here on whoever gives it back comes for the list's lock.
        if self.state.fetch_or(WAITED_FOR, Ordering::Acquire) & TAKEN == 0 {
            // It has become free, so that nobody waits: with others waiting it is handed over.
            self.state.store(mine, Ordering::Relaxed);
            return true;
        }
        waiters::wait_unless(&self.waiters, waiters, 0, stop, NEVER)
    }

    /// Takes the lock if it is free.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T, P>> {
        self.state.compare_exchange(0, Self::mine(), Ordering::Acquire, Ordering::Relaxed).ok()?;
        Some(self.held())
    }

    #[cold]
    #[inline(never)]
    fn hand_over(&self) {
        let mut waiters = self.waiters.lock();
        // None if all who waited have given up.
        let next = waiters.first_task().map_or(0, |task| P::number(task) | TAKEN);
        waiters.grant_first();
        let mark = if waiters.is_empty() { 0 } else { WAITED_FOR };
        self.state.store(next | mark, Ordering::Release);
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
        let mine = Mutex::<T, P>::mine();
        if lock.state.compare_exchange(mine, 0, Ordering::Release, Ordering::Relaxed).is_err() {
            lock.hand_over();
        }
    }
}

#[cfg(test)]
mod tests;
