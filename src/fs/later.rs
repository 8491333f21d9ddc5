//! References that are let go of where nothing may end.
//!
//! The last reference to a value ends it ([`Ref`]), and an end may wait: a file without names gives its pages and its number
//! back, under locks that sleep. Who is asked for memory may not do that. Whoever wants the memory may have one of those locks,
//! or any other. So he leaves the end to a thread that has none:
//!
//! ```text
//!   a request for memory ──► shrinker ──► let_go: count 1 ──► 0, into the chain      a thread
//!                                                             wake ─────────────────► end_all: last(), retired
//! ```
//!
//! What is memory of the value's own goes no later than otherwise, since that waits for its readers anyway.

use super::refs::{Left, Ref};
use crate::sync::epoch::Chain;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Ends that somebody has left to another.
struct Endings {
    chain: Chain,
    /// Those that are still to come, what somebody is at now among them.
    to_come: AtomicUsize,
    /// Who has them come: `fn()`.
    wake: AtomicPtr<()>,
}

/// All of the kernel's.
static ENDINGS: Endings = Endings::new();

impl Endings {
    const fn new() -> Self {
        Self {
            chain: Chain::new(),
            to_come: AtomicUsize::new(0),
            wake: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    fn leave_to(&self, wake: fn()) {
        self.wake.store(wake as *mut (), Ordering::Release);
    }

    fn let_go<T: ?Sized>(&self, reference: Ref<T>) {
        let Some(left) = reference.give_up() else { return };
        let wake = self.wake.load(Ordering::Acquire);
        if wake.is_null() {
            left.end();
            return;
        }
        self.to_come.fetch_add(1, Ordering::Relaxed);
        // SAFETY: nobody refers to it.
        let is_first = unsafe { self.chain.push(left.into_link()) };
        // Who put the first one in has seen to the others.
        if is_first {
            // SAFETY: `leave_to` alone stores there, and what it stores is such a function.
            unsafe { core::mem::transmute::<*mut (), fn()>(wake)() };
        }
    }

    fn end_all(&self) {
        self.chain.take_all(|link| {
            // SAFETY: `let_go` put it in, and it was taken out.
            unsafe { Left::from_link(link) }.end();
            self.to_come.fetch_sub(1, Ordering::Release);
        });
    }
}

/// From now on ends are left to a thread, which `wake` has call [`end_all`]. `wake` is called with any lock held.
pub fn leave_to(wake: fn()) {
    ENDINGS.leave_to(wake);
}

/// Drops a reference. If it was the last, the value's end is the thread's; before there is one, it comes at once.
pub fn let_go<T: ?Sized>(reference: Ref<T>) {
    ENDINGS.let_go(reference);
}

/// Ends what was left. For who has no locks.
pub fn end_all() {
    ENDINGS.end_all();
}

/// Whether all that was left has ended.
pub fn is_done() -> bool {
    ENDINGS.to_come.load(Ordering::Acquire) == 0
}

#[cfg(test)]
mod tests {
    use super::super::refs::Last;
    use super::*;
    use std::sync::Arc;
    use std::thread;

    /// Counts its ends.
    struct Counted(Arc<AtomicUsize>);

    impl Last for Counted {
        fn last(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn some(ends: &Arc<AtomicUsize>) -> Ref<Counted> {
        Ref::with_last(Counted(ends.clone())).expect("there is memory")
    }

    #[test]
    fn only_the_last_reference_is_left_to_the_thread() {
        static WOKEN: AtomicUsize = AtomicUsize::new(0);
        let ends = Arc::new(AtomicUsize::new(0));
        let count = || (WOKEN.load(Ordering::Relaxed), ends.load(Ordering::Relaxed));
        let endings = Endings::new();
        endings.let_go(some(&ends));
        assert_eq!(count(), (0, 1), "there is no thread: at once");
        endings.leave_to(|| {
            WOKEN.fetch_add(1, Ordering::Relaxed);
        });
        let another = some(&ends);
        endings.let_go(another.clone());
        assert_eq!(count(), (0, 1), "there is another reference");
        endings.let_go(another);
        endings.let_go(some(&ends));
        assert_eq!(count(), (1, 1), "for the two of them it is woken once, and nothing ends before it comes");
        assert_eq!(endings.to_come.load(Ordering::Relaxed), 2);
        endings.end_all();
        assert_eq!((count(), endings.to_come.load(Ordering::Relaxed)), ((1, 3), 0));
        endings.let_go(some(&ends));
        assert_eq!(count(), (2, 3), "it had gone to sleep");
        endings.end_all();
        assert_eq!(count(), (2, 4));
    }

    /// Nothing is lost, and the thread is woken whenever it has gone to sleep with something to come.
    #[test]
    fn many_leave_ends_to_one() {
        const THREADS: usize = 4;
        const EACH: usize = 5_000;
        static ENDINGS: Endings = Endings::new();
        static TOKEN: AtomicUsize = AtomicUsize::new(0);
        let ends = Arc::new(AtomicUsize::new(0));
        ENDINGS.leave_to(|| TOKEN.store(1, Ordering::Release));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..EACH).for_each(|_| ENDINGS.let_go(some(&ends))));
            }
            while ends.load(Ordering::Relaxed) < THREADS * EACH {
                if TOKEN.swap(0, Ordering::Acquire) == 1 {
                    ENDINGS.end_all();
                } else {
                    thread::yield_now();
                }
            }
        });
        assert_eq!(
            (ends.load(Ordering::Relaxed), ENDINGS.to_come.load(Ordering::Relaxed)),
            (THREADS * EACH, 0)
        );
    }
}
