//! Waiting until a terminal has changed.
//!
//! Whether a reader can go on is known only under the terminal's lock, and nobody sleeps with that held. So each kind of
//! change is counted: he notes the count under the lock, finds that he has to wait, lets go, and sleeps until the count
//! is another one. What happens in between is counted too, and so not missed.

use crate::sync::WaitQueue;
use core::sync::atomic::{AtomicU64, Ordering};

/// Who waits for one kind of change.
#[derive(Default)]
pub struct Waiting {
    queue: WaitQueue,
    changes: AtomicU64,
}

impl Waiting {
    pub const fn new() -> Self {
        Self { queue: WaitQueue::new(), changes: AtomicU64::new(0) }
    }

    /// The count so far.
    pub fn seen(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Something has changed. Also in interrupt handlers.
    pub fn notify(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        self.queue.wake_all();
    }

    /// Sleeps until something has changed since `seen`, or it is `until_ns`, or `stop` says so; whoever makes that
    /// true wakes the task, as `task::interrupt` does.
    pub fn wait(&self, seen: u64, until_ns: u64, stop: &dyn Fn() -> bool) {
        self.queue.wait_until_or(|| self.seen() != seen, stop, until_ns);
    }

    /// Sleepers, for poll(2) and whoever else has reasons of his own to be woken.
    pub fn queue(&self) -> &WaitQueue {
        &self.queue
    }
}
