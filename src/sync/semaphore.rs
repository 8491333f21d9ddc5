//! A number of permits: who takes one when there is none sleeps until somebody brings one.
//!
//! Permits belong to nobody: one may be brought by another task than the one that took it, also by an interrupt handler.
//! They are handed out in the order in which they were asked for.

use super::checks;
use super::irq_lock::IrqLock;
use super::parker::{Kernel, NEVER, Parker};
use super::rank::Rank;
use super::waiters::{self, HasWaiters, Waiters};

/// The semaphore.
pub struct Semaphore<P: Parker = Kernel> {
    state: IrqLock<State<P>>,
}

struct State<P: Parker> {
    /// Permits that nobody has. None while somebody waits.
    permits: u32,
    waiters: Waiters<P>,
}

impl<P: Parker> HasWaiters<P> for State<P> {
    fn waiters(&mut self) -> &mut Waiters<P> {
        &mut self.waiters
    }
}

impl<P: Parker> Semaphore<P> {
    /// One with so many permits.
    pub const fn new(permits: u32) -> Self {
        Self { state: IrqLock::new(Rank::WaitList, State { permits, waiters: Waiters::new() }) }
    }

    /// Takes a permit, and sleeps until it has one.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn take(&self) {
        self.take_until(NEVER);
    }

    /// The same, if there is one at `deadline_ns` at the latest; false if there is not.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn take_until(&self, deadline_ns: u64) -> bool {
        checks::may_sleep();
        let mut state = self.state.lock();
        if state.permits > 0 {
            state.permits -= 1;
            return true;
        }
        waiters::wait(&self.state, state, 0, deadline_ns)
    }

    /// Takes a permit if there is one.
    pub fn try_take(&self) -> bool {
        let mut state = self.state.lock();
        let left = state.permits.checked_sub(1);
        state.permits = left.unwrap_or(0);
        left.is_some()
    }

    /// Brings one, to the first who waits for it.
    ///
    /// # Panics
    /// If there are 2^32 of them.
    pub fn give(&self) {
        let mut state = self.state.lock();
        if !state.waiters.grant_first() {
            state.permits =
                state.permits.checked_add(1).expect("somebody gives more permits than were taken");
        }
    }

    /// Permits that nobody has; a moment later it may be another number.
    pub fn permits(&self) -> u32 {
        self.state.lock().permits
    }
}
