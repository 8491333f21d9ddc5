//! Tasks that wait for one thing, first come first served: what every lock that sleeps is built on.
//!
//! A waiter's node lies on its own stack, so waiting needs no memory. That is safe by one rule: **a node is touched with
//! the list's lock held, and its task does not leave before it has had that lock once more.** So a list never leads to
//! a stack that is gone, and who wakes may use the task's token for as long as he holds the lock.
//!
//! What is waited for is handed over: who gives it back picks the first in the list, gives it to him and wakes him. He
//! has it already when he runs; nobody who comes in between can take it away, and everybody's turn comes.
//! Each piece of work under the lock is bounded: whoever wakes many lets go of it in between.

use super::irq_lock::{IrqGuard, IrqLock};
use super::parker::Parker;
use core::cell::Cell;
use core::marker::PhantomPinned;
use core::pin::Pin;
use core::ptr::null;
use core::sync::atomic::{AtomicBool, Ordering};

/// Tasks that are woken before the lock is let go of.
pub const BATCH: usize = 8;

/// One who waits.
pub struct Waiter<P: Parker> {
    task: P::Token,
    /// What he waits for, by a number of the lock's.
    wish: u32,
    /// Whether he is to go on.
    granted: AtomicBool,
    linked: Cell<bool>,
    next: Cell<*const Self>,
    previous: Cell<*const Self>,
    /// Position among all that have ever waited here.
    number: Cell<u64>,
    _pinned: PhantomPinned,
}

impl<P: Parker> Waiter<P> {
    /// This task, not waiting yet.
    pub fn new(wish: u32) -> Self {
        Self {
            task: P::current(),
            wish,
            granted: AtomicBool::new(false),
            linked: Cell::new(false),
            next: Cell::new(null()),
            previous: Cell::new(null()),
            number: Cell::new(0),
            _pinned: PhantomPinned,
        }
    }

    /// Sleeps until somebody has granted the wish; false if that has not happened at `deadline_ns`. The list's lock is
    /// not held; the caller takes it next, in any case.
    pub fn sleep(&self, deadline_ns: u64) -> bool {
        P::park(&|| self.granted.load(Ordering::Acquire), deadline_ns)
    }

    /// The same, but it also gives up when `stop` says so: when a signal has come, say. Whoever makes that true has this
    /// task woken.
    pub fn sleep_unless(&self, stop: &dyn Fn() -> bool, deadline_ns: u64) -> bool {
        P::park(&|| self.granted.load(Ordering::Acquire) || stop(), deadline_ns)
    }

    /// Whether it was granted. Who is not going to leave for it needs no lock.
    pub fn was_granted(&self) -> bool {
        self.granted.load(Ordering::Acquire)
    }

    /// Whether it was granted. With the list's lock held.
    pub fn is_granted(&self) -> bool {
        self.granted.load(Ordering::Relaxed)
    }
}

/// The list. It is used with a lock held that it shares with all its waiters.
pub struct Waiters<P: Parker> {
    first: *const Waiter<P>,
    last: *const Waiter<P>,
    /// The number of the next one who comes.
    numbers: u64,
}

// SAFETY: what it points at is reached with the lock alone, as the rule above says.
unsafe impl<P: Parker> Send for Waiters<P> {}

impl<P: Parker> Waiters<P> {
    pub const fn new() -> Self {
        Self { first: null(), last: null(), numbers: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// How many have come so far.
    pub fn numbers(&self) -> u64 {
        self.numbers
    }

    /// The first.
    pub fn first_task(&self) -> Option<P::Token> {
        // SAFETY: a linked node is there, and we have the lock.
        unsafe { self.first.as_ref() }.map(|first| first.task)
    }

    /// What the first waits for.
    pub fn first_wish(&self) -> Option<u32> {
        // SAFETY: a linked node is there, and we have the lock.
        unsafe { self.first.as_ref() }.map(|first| first.wish)
    }

    /// Whether the first came before the one with this number.
    pub fn first_is_before(&self, number: u64) -> bool {
        // SAFETY: as above.
        unsafe { self.first.as_ref() }.is_some_and(|first| first.number.get() < number)
    }

    /// Adds one at the end.
    ///
    /// # Safety
    /// The list's lock is held, and is taken once more before the waiter goes away; with it held, either
    /// [`Waiter::is_granted`] is true then, or [`Self::remove`] is called.
    pub unsafe fn add(&mut self, waiter: Pin<&Waiter<P>>) {
        let waiter = waiter.get_ref();
        debug_assert!(!waiter.linked.get());
        waiter.granted.store(false, Ordering::Relaxed);
        waiter.linked.set(true);
        waiter.number.set(self.numbers);
        self.numbers += 1;
        waiter.previous.set(self.last);
        waiter.next.set(null());
        // SAFETY: a linked node is there, and we have the lock.
        match unsafe { self.last.as_ref() } {
            Some(last) => last.next.set(waiter),
            None => self.first = waiter,
        }
        self.last = waiter;
    }

    /// Takes one out, if it is in.
    pub fn remove(&mut self, waiter: &Waiter<P>) {
        if !waiter.linked.replace(false) {
            return;
        }
        let (previous, next) = (waiter.previous.get(), waiter.next.get());
        // SAFETY: linked nodes are there, and we have the lock.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.set(next),
            None => self.first = next,
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(next) => next.previous.set(previous),
            None => self.last = previous,
        }
    }

    /// Grants the first one's wish and wakes him; false if nobody waits. He takes the lock, which the caller holds,
    /// before he goes away.
    pub fn grant_first(&mut self) -> bool {
        // SAFETY: a linked node is there, and we have the lock.
        let Some(first) = (unsafe { self.first.as_ref() }) else { return false };
        self.remove(first);
        first.granted.store(true, Ordering::Release);
        // SAFETY: the task waits for the lock, if it runs already, and so has not ended.
        unsafe { P::unpark(first.task) };
        true
    }
}

impl<P: Parker> Default for Waiters<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// Something with a list of waiters in it, behind its lock.
pub trait HasWaiters<P: Parker> {
    fn waiters(&mut self) -> &mut Waiters<P>;
}

impl<P: Parker> HasWaiters<P> for Waiters<P> {
    fn waiters(&mut self) -> &mut Waiters<P> {
        self
    }
}

/// Waits in the list behind `lock`, whose guard is given, until the wish is granted. False if it was not at
/// `deadline_ns`, and then the task is in the list no more.
#[cfg_attr(debug_assertions, track_caller)]
pub fn wait<P: Parker, L: HasWaiters<P> + Send>(
    lock: &IrqLock<L>,
    guard: IrqGuard<'_, L>,
    wish: u32,
    deadline_ns: u64,
) -> bool {
    wait_unless(lock, guard, wish, &|| false, deadline_ns)
}

/// The same, but it also gives up when `stop` says so: see [`Waiter::sleep_unless`].
#[cfg_attr(debug_assertions, track_caller)]
pub fn wait_unless<P: Parker, L: HasWaiters<P> + Send>(
    lock: &IrqLock<L>,
    mut guard: IrqGuard<'_, L>,
    wish: u32,
    stop: &dyn Fn() -> bool,
    deadline_ns: u64,
) -> bool {
    let waiter = core::pin::pin!(Waiter::<P>::new(wish));
    // SAFETY: the lock is held, and taken again below.
    unsafe { guard.waiters().add(waiter.as_ref()) };
    drop(guard);
    waiter.sleep_unless(stop, deadline_ns);
    let mut guard = lock.lock();
    guard.waiters().remove(&waiter);
    waiter.is_granted()
}
