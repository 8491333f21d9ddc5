//! Sleeping until something happens, or a signal comes.
//!
//! ```text
//! who waits                                      who has a signal for him
//!   queue.wait_or_signal(|| a byte is there, …)    note the signal
//!     asked after every wake-up:                   task::interrupt(thread)
//!     is the byte there? has a signal come?
//! ```
//!
//! A signal wakes its thread whatever that waits for; so it need not be known where. Who waits for something that comes in
//! any case (a lock, a page from a disk) goes on sleeping. Who waits for what may never come, for a program's or a
//! person's next step, sleeps by one of the calls that ask [`is_pending`] as well, and gives up: [`Interrupted`].
//!
//! No signal is missed. Whether one has come is asked inside of [`Parker::park`], when the task is already known as
//! sleeping: it is noted before that and seen, or its wake-up ends the sleep. That a wake-up may be used up by another,
//! shorter sleep on the way does no harm, since each sleep begins with the question.
//!
//! Signals are the business of a layer far above, which registers the question. Until then there are none.

use super::parker::{Kernel, Parker};
use crate::errno::Errno;

/// A signal has come before what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

impl From<Interrupted> for Errno {
    fn from(_: Interrupted) -> Self {
        Self::Erestart
    }
}

/// Sleeps until a signal comes, at most until `deadline_ns`, which then has passed.
///
/// # Errors
/// [`Interrupted`], also at once if one is there.
#[cfg_attr(debug_assertions, track_caller)]
pub fn sleep_until(deadline_ns: u64) -> Result<(), Interrupted> {
    super::checks::may_sleep();
    if Kernel::park(&is_pending, deadline_ns) { Err(Interrupted) } else { Ok(()) }
}

#[cfg(not(test))]
pub use live::{Question, is_pending, register};

#[cfg(not(test))]
mod live {
    use core::sync::atomic::{AtomicPtr, Ordering};

    /// Whether the task that runs this has a signal to see to.
    pub type Question = fn() -> bool;

    static QUESTION: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

    /// From here on signals come: `question` is asked by whoever is about to sleep, in his own task, with preemption on
    /// or under whatever lock he has, so it reads a few words and waits for nothing. Returns the question before.
    pub fn register(question: Option<Question>) -> Option<Question> {
        let new = question.map_or(core::ptr::null_mut(), |question| question as *mut ());
        question_at(QUESTION.swap(new, Ordering::AcqRel))
    }

    fn question_at(pointer: *mut ()) -> Option<Question> {
        // SAFETY: `register` alone stores there: nothing, or such a function.
        (!pointer.is_null()).then(|| unsafe { core::mem::transmute::<*mut (), Question>(pointer) })
    }

    /// Whether the task that runs this has a signal to see to, and so is not to sleep for long.
    pub fn is_pending() -> bool {
        question_at(QUESTION.load(Ordering::Acquire)).is_some_and(|question| question())
    }
}

#[cfg(test)]
pub use host::{Signals, interrupted, is_pending};

/// On the host each thread has a flag, which stands for a signal.
#[cfg(test)]
mod host {
    use crate::sync::parker::PARKED;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::Thread;

    std::thread_local! {
        static PENDING: Arc<AtomicBool> = Arc::default();
    }

    /// One thread's, for others to use.
    #[derive(Clone)]
    pub struct Signals {
        pending: Arc<AtomicBool>,
        thread: Thread,
    }

    impl Signals {
        /// Those of this thread.
        pub fn mine() -> Self {
            Self { pending: PENDING.with(Arc::clone), thread: std::thread::current() }
        }

        /// A signal comes.
        pub fn send(&self) {
            self.pending.store(true, Ordering::Release);
            self.thread.unpark();
        }

        /// It was seen to.
        pub fn clear(&self) {
            self.pending.store(false, Ordering::Release);
        }
    }

    pub fn is_pending() -> bool {
        PENDING.with(|pending| pending.load(Ordering::Acquire))
    }

    /// Has `work` done by a thread to which a signal comes, when it sleeps if it does.
    pub fn interrupted<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let (tell, told) = std::sync::mpsc::channel();
            let before = PARKED.load(Ordering::Relaxed);
            let thread = scope.spawn(move || {
                tell.send(Signals::mine()).unwrap();
                work()
            });
            let signals = told.recv().unwrap();
            // Others sleep too, so this may be too soon: then it is there when it is asked for.
            while PARKED.load(Ordering::Relaxed) == before && !thread.is_finished() {
                std::thread::yield_now();
            }
            signals.send();
            thread.join().unwrap()
        })
    }
}

#[cfg(test)]
mod tests;
