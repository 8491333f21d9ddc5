//! Waiting for one of several files: what `poll` and `select` are built on.
//!
//! A file that can be waited for has queues that it wakes anyway. Who waits makes a [`Watch`] with room for all of them;
//! each file adds its own ([`Watch::add`]) and then looks at its state. So either the state was seen, or the wake-up that
//! follows a later change finds the watch in the queue.

use super::Result;
use crate::errno::Errno;
use crate::mm::vma::room;
use crate::sync::WaitQueue;
use crate::sync::interrupt;
use crate::sync::parker::{Kernel, NEVER, Parker};
use crate::sync::waiters::Waiter;
use alloc::vec::Vec;
use bitflags::bitflags;
use core::pin::Pin;

bitflags! {
    /// `POLL*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Events: u16 {
        const IN = 0x001;
        const PRI = 0x002;
        const OUT = 0x004;
        const ERR = 0x008;
        const HUP = 0x010;
        const NVAL = 0x020;
        const RDNORM = 0x040;
        const RDBAND = 0x080;
        const WRNORM = 0x100;
        const WRBAND = 0x200;
        const RDHUP = 0x2000;
    }
}

/// One queue that is waited on.
struct Place {
    waiter: Waiter<Kernel>,
    queue: *const WaitQueue,
}

/// Who waits, in all the queues at once. Stays with its task.
pub struct Watch {
    /// Of its full capacity from the beginning: what is in it does not move.
    places: Vec<Place>,
    overflowed: bool,
    /// When to look again, woken or not.
    again_ns: u64,
}

impl Watch {
    /// Room for so many queues; each file adds two at most.
    pub fn new(queues: usize) -> Result<Self> {
        let places = room::with_room(queues).map_err(|_| Errno::Enomem)?;
        Ok(Self { places, overflowed: false, again_ns: NEVER })
    }

    /// Waits there too.
    ///
    /// # Safety
    /// The queue outlives the watch: who polls keeps the file until the watch is gone.
    pub unsafe fn add(&mut self, queue: &WaitQueue) {
        if self.places.len() == self.places.capacity() {
            self.overflowed = true;
            return;
        }
        self.places.push(Place { waiter: Waiter::new(0), queue });
        let place = &self.places[self.places.len() - 1];
        // SAFETY: the vector never grows, so the waiter stays where it is until `clear`, which takes it out.
        unsafe { queue.enlist(Pin::new_unchecked(&place.waiter)) };
    }

    /// For what nobody wakes: looks again at that time at the latest.
    pub fn look_again_at(&mut self, at_ns: u64) {
        self.again_ns = self.again_ns.min(at_ns);
    }

    /// Sleeps until one of the queues has woken it or it is time to look again, or the deadline has passed; false then. Not at
    /// all if there was no room for a queue: who waits looks again at once.
    ///
    /// # Errors
    /// [`Errno::Eintr`] if a signal has come, and nothing else: `poll` and `select` are not done again.
    pub fn sleep(&self, deadline_ns: u64) -> Result<bool> {
        let was_woken = || self.places.iter().any(|place| place.waiter.was_granted());
        if self.overflowed {
            return Ok(true);
        }
        let until_ns = deadline_ns.min(self.again_ns);
        if Kernel::park(&|| was_woken() || interrupt::is_pending(), until_ns) {
            return if was_woken() { Ok(true) } else { Err(Errno::Eintr) };
        }
        Ok(until_ns < deadline_ns)
    }

    /// Leaves all queues, to begin again.
    pub fn clear(&mut self) {
        for place in &self.places {
            // SAFETY: alive, as `add` was promised.
            unsafe { (*place.queue).delist(&place.waiter) };
        }
        self.places.clear();
        self.overflowed = false;
        self.again_ns = NEVER;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::interrupt::{Signals, interrupted};
    use crate::sync::parker::now_ns;

    #[test]
    fn a_signal_ends_polling() {
        let queue = WaitQueue::<Kernel>::new();
        let poll = |deadline_ns| {
            let mut watch = Watch::new(1).unwrap();
            // SAFETY: the queue outlives the watch.
            unsafe { watch.add(&queue) };
            watch.sleep(deadline_ns)
        };
        assert_eq!(interrupted(|| poll(NEVER)), Err(Errno::Eintr));
        assert_eq!(poll(now_ns() + 1_000_000), Ok(false));
        let signals = Signals::mine();
        signals.send();
        let mut watch = Watch::new(1).unwrap();
        // SAFETY: as above.
        unsafe { watch.add(&queue) };
        queue.wake_all();
        assert_eq!(watch.sleep(NEVER), Ok(true), "it was woken, too");
        signals.clear();
    }
}
