//! Something that will have happened: who wants to know that sleeps until then.
//!
//! It may lie on the stack of the one who waits: who completes it holds its lock until he is done with it, and who waits
//! takes that lock last of all. It works in interrupt handlers, except for the waiting.

use super::checks;
use super::irq_lock::IrqLock;
use super::parker::{Kernel, NEVER, Parker};
use super::rank::Rank;
use super::waiters::{self, BATCH, HasWaiters, Waiters};

/// The completion.
pub struct Completion<P: Parker = Kernel> {
    state: IrqLock<State<P>>,
}

struct State<P: Parker> {
    /// How many more may go on without waiting; [`ALL`] for everybody.
    done: u32,
    waiters: Waiters<P>,
}

const ALL: u32 = u32::MAX;

impl<P: Parker> HasWaiters<P> for State<P> {
    fn waiters(&mut self) -> &mut Waiters<P> {
        &mut self.waiters
    }
}

impl<P: Parker> Completion<P> {
    /// It has not happened yet.
    pub const fn new() -> Self {
        Self { state: IrqLock::new(Rank::WaitList, State { done: 0, waiters: Waiters::new() }) }
    }

    /// It has happened, once: one who waits goes on, or the next who would wait.
    pub fn complete(&self) {
        let mut state = self.state.lock();
        if state.done != ALL && !state.waiters.grant_first() {
            state.done = (state.done + 1).min(ALL - 1);
        }
    }

    /// It has happened, for good: all who wait go on, and nobody will wait.
    pub fn complete_all(&self) {
        let mut state = self.state.lock();
        state.done = ALL;
        // Nobody joins the list any more.
        loop {
            for _ in 0..BATCH {
                if !state.waiters.grant_first() {
                    return;
                }
            }
            drop(state);
            state = self.state.lock();
        }
    }

    /// Sleeps until it has happened.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn wait(&self) {
        self.wait_until(NEVER);
    }

    /// The same, not for longer than to `deadline_ns`; returns whether it has happened.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn wait_until(&self, deadline_ns: u64) -> bool {
        checks::may_sleep();
        let mut state = self.state.lock();
        match state.done {
            0 => waiters::wait(&self.state, state, 0, deadline_ns),
            ALL => true,
            _ => {
                state.done -= 1;
                true
            }
        }
    }

    /// Whether one who waited now would go on at once.
    pub fn is_done(&self) -> bool {
        self.state.lock().done > 0
    }
}

impl<P: Parker> Default for Completion<P> {
    fn default() -> Self {
        Self::new()
    }
}
