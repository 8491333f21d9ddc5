//! Threads, as the locks that sleep want them ([`crate::sync::parker`]): a layer above them, which says here how a thread
//! sleeps and is woken.

use super::schedule;
use super::thread::{Thread, try_current};
use crate::platform::{Machine, Platform};
use crate::sync::checks::TaskLocks;
use crate::sync::parker::{NEVER, Scheduler, register};

static SCHEDULER: Scheduler = Scheduler { locks, park, unpark };

/// From here on locks put threads to sleep. Once, when there are some.
pub(super) fn init() {
    register(&SCHEDULER);
}

/// What this thread holds of the locks that sleep; it goes with it from CPU to CPU.
fn locks() -> Option<&'static TaskLocks> {
    try_current().map(|thread| &thread.locks)
}

/// What [`Scheduler::park`] promises. Who makes it ready in between has left a token, by which the next park returns at
/// once.
fn park(ready: &dyn Fn() -> bool, deadline_ns: u64) -> bool {
    loop {
        if ready() {
            return true;
        }
        if deadline_ns == NEVER {
            schedule::park();
        } else if Machine::now_ns() >= deadline_ns {
            return ready();
        } else {
            schedule::park_until(deadline_ns);
        }
    }
}

/// # Safety
/// It is a thread's address, what `arch::switch` has for the current one, and that thread has not ended: as long as it
/// waits, it has not.
unsafe fn unpark(thread: usize) {
    // SAFETY: the caller's promise.
    if let Some(thread) = unsafe { (thread as *const Thread).as_ref() } {
        schedule::unpark(thread);
    }
}
