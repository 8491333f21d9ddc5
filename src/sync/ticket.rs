//! Whose turn it is: the part of every spinning lock that is not about data.
//!
//! As at a counter with a number dispenser: who comes draws a ticket and waits until it is called. So they are served in
//! the order in which they came, and nobody starves, whichever CPU's cache the lock happens to be in.
//!
//! The other fair kind is a queue (MCS), where each waiter spins on a line of his own and a handover costs one transfer
//! however many wait, instead of one for each of them. It costs a node for each CPU and depth of nesting (thread,
//! handler, NMI), which must be there before the first lock is taken, and a compare-and-exchange to unlock. Locks here are
//! held for some hundred instructions and meant not to be fought for; what is hot is per CPU or read without a lock
//! (`epoch`). So it is tickets, and waiters look the less often the further back they stand.
//!
//! Uncontended, in instructions: taking is MOV, LOCK XADD, CMP, JNE; giving back is one INC of memory without LOCK, as
//! only the holder writes there.
//!
//! Source: J. M. Mellor-Crummey, M. L. Scott, "Algorithms for scalable synchronization on shared-memory multiprocessors"
//! (1991), §2.2 (ticket lock with proportional backoff).

use super::hooks;
use core::sync::atomic::{AtomicU32, Ordering};

/// The dispenser and the call. Tickets wrap around: with fewer than 2^32 waiters that harms nothing.
pub struct Ticket {
    /// The next ticket to be drawn.
    next: AtomicU32,
    /// The ticket that is served. Free if nobody has drawn it.
    served: AtomicU32,
}

/// Pauses for each one who stands before: about what the shortest critical section takes.
const PAUSES: u32 = 8;
/// Looks no less often than that.
const PAUSES_MOST: u32 = 256;

impl Ticket {
    pub const fn new() -> Self {
        Self { next: AtomicU32::new(0), served: AtomicU32::new(0) }
    }

    /// Waits for its turn. `stuck` is called from time to time meanwhile.
    #[inline(always)]
    pub fn lock(&self, stuck: impl FnMut()) {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        if self.served.load(Ordering::Acquire) != ticket {
            self.wait(ticket, stuck);
        }
    }

    #[cold]
    #[inline(never)]
    fn wait(&self, ticket: u32, mut stuck: impl FnMut()) {
        loop {
            let before = ticket.wrapping_sub(self.served.load(Ordering::Acquire));
            if before == 0 {
                return;
            }
            for _ in 0..before.saturating_mul(PAUSES).min(PAUSES_MOST) {
                core::hint::spin_loop();
            }
            hooks::pause();
            stuck();
        }
    }

    /// Takes it if it is free. Waits for nothing, so an NMI may come in between anything here and do the same.
    #[inline]
    pub fn try_lock(&self) -> bool {
        // Acquire: what the one before did under the lock, he published with this number.
        let served = self.served.load(Ordering::Acquire);
        let drawn = served.wrapping_add(1);
        // Nobody has drawn the ticket that is served: drawing it is having the lock.
        self.next.compare_exchange(served, drawn, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Calls the next.
    ///
    /// # Safety
    /// The caller has the lock.
    #[inline(always)]
    pub unsafe fn unlock(&self) {
        self.served.store(self.served.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// Makes it free, whoever has it or waits.
    ///
    /// # Safety
    /// Neither holder nor waiters will ever go on.
    pub unsafe fn force_unlock(&self) {
        self.served.store(self.next.load(Ordering::Relaxed), Ordering::Release);
    }

    /// How many have it or wait.
    pub fn drawn(&self) -> u32 {
        self.next.load(Ordering::Relaxed).wrapping_sub(self.served.load(Ordering::Relaxed))
    }
}

impl Default for Ticket {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::vec::Vec;

    /// Each draws when the one before has drawn; they are served in that order.
    #[test]
    fn first_come_first_served() {
        let (ticket, order) = (Ticket::new(), Mutex::new(Vec::new()));
        for round in 0..20 {
            ticket.lock(|| ());
            std::thread::scope(|scope| {
                for n in 0..6 {
                    let (ticket, order) = (&ticket, &order);
                    scope.spawn(move || {
                        ticket.lock(|| ());
                        order.lock().unwrap().push(n);
                        // SAFETY: taken two lines above.
                        unsafe { ticket.unlock() };
                    });
                    while ticket.drawn() != n + 2 {
                        std::thread::yield_now();
                    }
                }
                // SAFETY: taken above.
                unsafe { ticket.unlock() };
            });
            assert_eq!(core::mem::take(&mut *order.lock().unwrap()), [0, 1, 2, 3, 4, 5], "round {round}");
        }
    }

    #[test]
    fn numbers_may_wrap() {
        let ticket = Ticket { next: AtomicU32::new(u32::MAX), served: AtomicU32::new(u32::MAX) };
        for _ in 0..3 {
            ticket.lock(|| panic!("it is free"));
            assert!(!ticket.try_lock());
            // SAFETY: taken above.
            unsafe { ticket.unlock() };
        }
        assert!(ticket.try_lock());
        assert_eq!((ticket.drawn(), ticket.next.into_inner()), (1, 3));
    }

    #[test]
    fn force_unlock_makes_it_free() {
        let ticket = Ticket::new();
        ticket.lock(|| ());
        // Somebody waits for ever.
        ticket.next.fetch_add(1, Ordering::Relaxed);
        // SAFETY: nobody goes on.
        unsafe { ticket.force_unlock() };
        assert!(ticket.try_lock() && !ticket.try_lock());
    }
}
