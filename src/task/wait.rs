//! Waiting for something that is not there yet: threads in a queue, woken in the order in which they came.
//!
//! A waiter links itself in *before* it looks, so whoever makes the thing true after that look finds it in the queue:
//!
//! ```text
//! waiter                                  waker
//!   link in, under the lock                 make it true
//!   is it true? ──yes──► link out, go on    wake: link out and unpark, under the lock
//!   park
//! ```
//!
//! What is linked stands on the waiter's stack: there is no memory to run out of. It leaves the queue before the waiter
//! does, whoever takes it out.

use super::schedule;
use super::thread::ThreadRef;
use crate::sync::{IrqLock, Rank};
use core::cell::Cell;
use core::ptr;

/// A waiter; used under the queue's lock.
struct Waiter {
    thread: ThreadRef,
    next: Cell<*const Waiter>,
    is_linked: Cell<bool>,
}

struct List {
    first: *const Waiter,
    last: *const Waiter,
}

// SAFETY: used under the lock.
unsafe impl Send for List {}

/// A queue of threads that wait.
pub struct WaitQueue {
    waiters: IrqLock<List>,
}

impl WaitQueue {
    pub const fn new() -> Self {
        Self { waiters: IrqLock::new(Rank::Waiters, List { first: ptr::null(), last: ptr::null() }) }
    }

    /// Waits until `ready` says so. It is asked with interrupts on, at least once, and again after each wake-up.
    pub fn wait_until(&self, mut ready: impl FnMut() -> bool) {
        if ready() {
            return;
        }
        let waiter =
            Waiter { thread: super::current(), next: Cell::new(ptr::null()), is_linked: Cell::new(false) };
        loop {
            self.link(&waiter);
            if ready() {
                break;
            }
            schedule::park();
        }
        self.unlink(&waiter);
    }

    /// Wakes all that wait. Callable in interrupt handlers.
    pub fn wake_all(&self) {
        while self.wake_one() {}
    }

    /// Wakes the one that has waited longest; false if nobody waits.
    pub fn wake_one(&self) -> bool {
        let thread = {
            let mut list = self.waiters.lock();
            // SAFETY: what is linked is alive: a waiter links itself out before it goes.
            let Some(first) = (unsafe { list.first.as_ref() }) else { return false };
            list.first = first.next.get();
            first.is_linked.set(false);
            first.thread.clone()
        };
        schedule::unpark(&thread);
        true
    }

    fn link(&self, waiter: &Waiter) {
        let mut list = self.waiters.lock();
        if waiter.is_linked.replace(true) {
            return;
        }
        waiter.next.set(ptr::null());
        if list.first.is_null() {
            list.first = waiter;
        } else {
            // SAFETY: as above.
            unsafe { &*list.last }.next.set(waiter);
        }
        list.last = waiter;
    }

    fn unlink(&self, waiter: &Waiter) {
        let mut list = self.waiters.lock();
        if !waiter.is_linked.replace(false) {
            return;
        }
        let (mut at, mut before) = (list.first, ptr::null::<Waiter>());
        while !ptr::eq(at, waiter) {
            before = at;
            // SAFETY: as above, and this waiter is among them.
            at = unsafe { &*at }.next.get();
        }
        // SAFETY: as above.
        match unsafe { before.as_ref() } {
            Some(before) => before.next.set(waiter.next.get()),
            None => list.first = waiter.next.get(),
        }
        if ptr::eq(list.last, waiter) {
            list.last = before;
        }
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}
