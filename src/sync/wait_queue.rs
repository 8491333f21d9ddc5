//! Waiting until a condition holds, for whatever condition and whoever makes it true.
//!
//! ```text
//! who waits                                  who makes it true
//!   QUEUE.wait_until(|| buffer has a byte)     put a byte into the buffer
//!                                              QUEUE.wake_one()
//! ```
//!
//! No wake-up is lost: who waits is in the list before he looks at the condition for the last time. So either he sees
//! what was changed, or whoever changes it afterwards finds him in the list. The condition needs a lock or atomics of
//! its own; it is asked with no lock of the queue's held. Waking works in interrupt handlers.

use super::checks;
#[cfg(any(test, target_os = "none"))]
use super::interrupt::{self, Interrupted};
use super::irq_lock::IrqLock;
use super::parker::{Kernel, NEVER, Parker};
use super::rank::Rank;
use super::waiters::{BATCH, Waiter, Waiters};

/// The queue.
pub struct WaitQueue<P: Parker = Kernel> {
    waiters: IrqLock<Waiters<P>>,
}

impl<P: Parker> WaitQueue<P> {
    pub const fn new() -> Self {
        Self { waiters: IrqLock::new(Rank::WaitList, Waiters::new()) }
    }

    /// Sleeps until `condition` holds, as it may at once. It is asked again after every wake-up.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn wait_until(&self, condition: impl FnMut() -> bool) {
        self.wait_until_deadline(condition, NEVER);
    }

    /// The same, not for longer than to `deadline_ns`; returns whether the condition held.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn wait_until_deadline(&self, condition: impl FnMut() -> bool, deadline_ns: u64) -> bool {
        self.wait_until_or(condition, || false, deadline_ns)
    }

    /// The same, but it ends too when a signal comes for this task. If the condition holds then, that is what counts.
    ///
    /// # Errors
    /// [`Interrupted`]: the condition does not hold.
    #[cfg(any(test, target_os = "none"))]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn wait_or_signal(
        &self,
        condition: impl FnMut() -> bool,
        deadline_ns: u64,
    ) -> Result<bool, Interrupted> {
        let holds = self.wait_until_or(condition, interrupt::is_pending, deadline_ns);
        if holds || !interrupt::is_pending() { Ok(holds) } else { Err(Interrupted) }
    }

    /// The same as [`Self::wait_until_deadline`], but it gives up too when `stop` says so. Whoever makes that true has this
    /// task woken, not by the queue but for itself ([`Parker::unpark`], `task::interrupt`). Returns whether the condition
    /// held.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn wait_until_or(
        &self,
        mut condition: impl FnMut() -> bool,
        stop: impl Fn() -> bool,
        deadline_ns: u64,
    ) -> bool {
        checks::may_sleep();
        if condition() {
            return true;
        }
        let waiter = core::pin::pin!(Waiter::<P>::new(0));
        loop {
            // SAFETY: the lock is taken again on both ways on, and the waiter taken out.
            unsafe { self.waiters.lock().add(waiter.as_ref()) };
            let mut holds = condition();
            let in_time = holds || waiter.sleep_unless(&stop, deadline_ns);
            let woken = {
                let mut waiters = self.waiters.lock();
                waiters.remove(&waiter);
                waiter.is_granted()
            };
            if holds {
                // What it saw was there before; whoever woke it has brought something else, for the next.
                if woken {
                    self.wake_one();
                }
                return true;
            }
            holds = condition();
            if holds || !(in_time || woken) || stop() {
                return holds;
            }
        }
    }

    /// Has the first who waits look at his condition again; false if nobody waits.
    pub fn wake_one(&self) -> bool {
        self.waiters.lock().grant_first()
    }

    /// The same for all who wait now; returns how many. Who comes meanwhile is not among them.
    pub fn wake_all(&self) -> usize {
        let mut woken = 0;
        let end = self.waiters.lock().numbers();
        loop {
            let mut waiters = self.waiters.lock();
            for _ in 0..BATCH {
                if !waiters.first_is_before(end) {
                    return woken;
                }
                woken += usize::from(waiters.grant_first());
            }
        }
    }

    /// For who waits in several queues at once: from here on a wake-up grants `waiter`. Queues that are waited on so are
    /// woken by [`Self::wake_all`], as a wake-up meant for one may go to somebody who only looks.
    ///
    /// # Safety
    /// [`Self::delist`] is called before the waiter goes away.
    pub unsafe fn enlist(&self, waiter: core::pin::Pin<&Waiter<P>>) {
        // SAFETY: `delist` takes the lock and the waiter out.
        unsafe { self.waiters.lock().add(waiter) };
    }

    /// Takes it out again, if no wake-up has.
    pub fn delist(&self, waiter: &Waiter<P>) {
        self.waiters.lock().remove(waiter);
    }

    /// Whether somebody waits; a moment later that may be different.
    pub fn is_empty(&self) -> bool {
        self.waiters.lock().is_empty()
    }
}

impl<P: Parker> Default for WaitQueue<P> {
    fn default() -> Self {
        Self::new()
    }
}
