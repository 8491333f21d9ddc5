//! How a task sleeps and is woken, as the locks that sleep see it.
//!
//! The scheduler is above this layer. [`Parker`] is all that they want of it; [`Kernel`] is the one that the kernel's
//! locks use, and it asks functions that the scheduler registers when there are threads. Until then there is one task,
//! which cannot sleep: it spins until whatever it waits for is there, brought by an interrupt.
//! On the host, threads of the standard library sleep.

/// Sleeps and wakes.
pub trait Parker: 'static {
    /// Names a task that sleeps, to who wakes it.
    type Token: Copy;

    /// This task.
    fn current() -> Self::Token;

    /// A task as a number: a multiple of 4, and no other living task's.
    fn number(task: Self::Token) -> usize;

    /// Whether the task with that number runs on CPU `cpu`, as of a moment ago. The task may have ended.
    fn runs_on(number: usize, cpu: usize) -> bool;

    /// Sleeps until `ready` says so; true then. At `deadline_ns` of the monotonic clock, or soon after, it gives up and
    /// returns what `ready` says at last. [`NEVER`] is no deadline.
    ///
    /// `ready` is asked again after each [`Self::unpark`], and the first time when this task is already known as
    /// sleeping, so that one who makes it ready and wakes it in between is not missed. It waits for nothing.
    fn park(ready: &dyn Fn() -> bool, deadline_ns: u64) -> bool;

    /// Has a task ask `ready` again, if it sleeps. Called with a spinning lock held and interrupts off.
    ///
    /// # Safety
    /// The task has not ended.
    unsafe fn unpark(task: Self::Token);
}

/// No deadline.
pub const NEVER: u64 = u64::MAX;

/// The kernel's tasks.
pub struct Kernel;

#[cfg(not(test))]
mod live {
    use super::{Kernel, NEVER, Parker};
    use crate::sync::checks::TaskLocks;
    use crate::sync::hooks;
    use core::sync::atomic::{AtomicPtr, Ordering};

    /// What a scheduler has to offer; see [`Parker`].
    pub struct Scheduler {
        /// Where this task's locks are listed, in builds that do; `None` before it is one.
        pub locks: fn() -> Option<&'static TaskLocks>,
        pub park: fn(&dyn Fn() -> bool, u64) -> bool,
        pub unpark: unsafe fn(usize),
    }

    static SCHEDULER: AtomicPtr<Scheduler> = AtomicPtr::new(core::ptr::null_mut());

    /// From here on there are threads. Nobody waits yet.
    pub fn register(scheduler: &'static Scheduler) {
        SCHEDULER.store(core::ptr::from_ref(scheduler).cast_mut(), Ordering::Release);
    }

    fn scheduler() -> Option<&'static Scheduler> {
        // SAFETY: only `register` stores there, and what it stores lives for ever.
        unsafe { SCHEDULER.load(Ordering::Acquire).as_ref() }
    }

    /// This task's list of locks, once there are tasks.
    pub fn task_locks() -> Option<&'static TaskLocks> {
        scheduler().and_then(|scheduler| (scheduler.locks)())
    }

    impl Parker for Kernel {
        type Token = usize;

        #[inline]
        fn current() -> usize {
            hooks::task()
        }

        #[inline]
        fn number(task: usize) -> usize {
            task
        }

        fn runs_on(number: usize, cpu: usize) -> bool {
            hooks::runs_on(number, cpu)
        }

        fn park(ready: &dyn Fn() -> bool, deadline_ns: u64) -> bool {
            if let Some(scheduler) = scheduler() {
                return (scheduler.park)(ready, deadline_ns);
            }
            // Nobody measures time for the only task: a deadline has passed when it is asked for.
            while !ready() && deadline_ns == NEVER {
                hooks::pause();
            }
            ready()
        }

        unsafe fn unpark(task: usize) {
            if let Some(scheduler) = scheduler() {
                // SAFETY: the caller's promise.
                unsafe { (scheduler.unpark)(task) };
            }
        }
    }
}

#[cfg(not(test))]
pub use live::{Scheduler, register, task_locks};

#[cfg(test)]
pub use host::{PARKED, now_ns};

#[cfg(test)]
mod host {
    use super::{Kernel, NEVER, Parker};
    use core::sync::atomic::{AtomicU64, Ordering};
    use std::sync::LazyLock;
    use std::thread::Thread;
    use std::time::{Duration, Instant};

    std::thread_local! {
        static ME: Thread = std::thread::current();
    }

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    /// How often somebody has slept: tests look at it to see that another waits.
    pub static PARKED: AtomicU64 = AtomicU64::new(0);

    /// The clock of the deadlines.
    pub fn now_ns() -> u64 {
        START.elapsed().as_nanos() as u64
    }

    impl Parker for Kernel {
        /// A thread waits until who wakes it is done, so its handle is still there.
        type Token = *const Thread;

        fn current() -> *const Thread {
            ME.with(core::ptr::from_ref)
        }

        fn number(task: *const Thread) -> usize {
            task.addr()
        }

        /// The host does not say.
        fn runs_on(_: usize, _: usize) -> bool {
            false
        }

        fn park(ready: &dyn Fn() -> bool, deadline_ns: u64) -> bool {
            while !ready() {
                PARKED.fetch_add(1, Ordering::Relaxed);
                if deadline_ns == NEVER {
                    std::thread::park();
                    continue;
                }
                let left = deadline_ns.saturating_sub(now_ns());
                if left == 0 {
                    return ready();
                }
                std::thread::park_timeout(Duration::from_nanos(left));
            }
            true
        }

        unsafe fn unpark(task: *const Thread) {
            // SAFETY: the caller's promise.
            unsafe { (*task).unpark() };
        }
    }
}
