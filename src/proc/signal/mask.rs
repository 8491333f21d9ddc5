//! Which signals a thread does not want now.
//!
//! Three calls change the mask for a while, and each remembers another thing:
//!
//! - a handler runs with more blocked; what was before is in its frame;
//! - `sigsuspend`, `ppoll` and `pselect` wait with another mask, and the handler that ends the wait is to go back to the
//!   one before: it is [`saved`](Mask::saved) until the frame is built, or until it turns out that there is no handler;
//! - `sigtimedwait` waits for signals that are blocked: they are let through meanwhile, but still are to be treated as
//!   blocked by who sends one, since nobody's handler is to get them ([`real`](Mask::real)).
//!
//! Source: Linux, kernel/signal.c (`sigprocmask`, `sigsuspend`, `do_sigtimedwait`).

use super::number::Signal;
use super::set::SigSet;
use crate::errno::Errno;

/// A thread's mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    now: SigSet,
    saved: Option<SigSet>,
    real: SigSet,
}

/// `how` of `sigprocmask`.
const SIG_BLOCK: u64 = 0;
const SIG_UNBLOCK: u64 = 1;
const SIG_SETMASK: u64 = 2;

impl Mask {
    /// A new thread's: its maker's.
    pub const fn inherited(other: &Self) -> Self {
        Self { now: other.now, saved: None, real: SigSet::EMPTY }
    }

    /// What is blocked now.
    pub const fn now(&self) -> SigSet {
        self.now
    }

    /// Whether somebody who sends a signal is to take it for blocked.
    pub const fn blocks(&self, signal: Signal) -> bool {
        self.now.contains(signal) || self.real.contains(signal)
    }

    /// `sigprocmask`: `bits` as the program has them. [`Errno::Einval`] for another `how`.
    pub const fn change(&mut self, how: u64, bits: u64) -> Result<(), Errno> {
        let set = SigSet::mask(bits);
        self.now = match how {
            SIG_BLOCK => self.now.with(set),
            SIG_UNBLOCK => self.now.without(set),
            SIG_SETMASK => set,
            _ => return Err(Errno::Einval),
        };
        Ok(())
    }

    /// What a frame had.
    pub const fn set(&mut self, mask: SigSet) {
        self.now = mask.without(SigSet::UNCONDITIONAL);
    }

    /// `sigsuspend` and its like begin: this mask until [`restore`](Self::restore) or a handler.
    pub fn suspend(&mut self, bits: u64) {
        self.saved.get_or_insert(self.now);
        self.now = SigSet::mask(bits);
    }

    /// They are over without a handler: to be called on the way back to ring 3.
    pub const fn restore(&mut self) {
        if let Some(saved) = self.saved.take() {
            self.now = saved;
        }
    }

    /// What a handler's frame is to say, and sigreturn to bring back.
    pub fn to_save(&self) -> SigSet {
        self.saved.unwrap_or(self.now)
    }

    /// A handler's frame has been written: from here on these are blocked besides.
    pub const fn enter_handler(&mut self, blocked: SigSet) {
        self.saved = None;
        self.now = self.now.with(blocked).without(SigSet::UNCONDITIONAL);
    }

    /// `sigtimedwait` sleeps: these wake it up.
    pub const fn begin_wait(&mut self, wanted: SigSet) {
        self.real = self.now;
        self.now = self.now.without(wanted);
    }

    /// It has woken up.
    pub const fn end_wait(&mut self) {
        self.now = self.real;
        self.real = SigSet::EMPTY;
    }

    /// Lets one through that must not be missed.
    pub const fn unblock(&mut self, signal: Signal) {
        self.now.remove(signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u64 = 1 << 9;
    const B: u64 = 1 << 11;

    #[test]
    fn block_unblock_set() {
        let mut mask = Mask::default();
        mask.change(SIG_BLOCK, A | B).unwrap();
        mask.change(SIG_UNBLOCK, B).unwrap();
        assert_eq!(mask.now().bits(), A);
        mask.change(SIG_SETMASK, u64::MAX).unwrap();
        assert!(mask.blocks(Signal::RT_MAX) && !mask.blocks(Signal::KILL) && !mask.blocks(Signal::STOP));
        assert_eq!(mask.change(3, 0), Err(Errno::Einval));
    }

    #[test]
    fn a_wait_with_another_mask() {
        let mut mask = Mask::default();
        mask.change(SIG_SETMASK, A).unwrap();
        mask.suspend(B);
        assert_eq!((mask.now().bits(), mask.to_save().bits()), (B, A));
        // Without a handler it is as it was, once.
        mask.restore();
        mask.restore();
        assert_eq!(mask.now().bits(), A);
        // With one it is what the wait had and the handler's own, and the frame has what was before.
        mask.suspend(B);
        let saved = mask.to_save();
        mask.enter_handler(SigSet::of(&[Signal::TERM]));
        assert_eq!((saved.bits(), mask.now().bits()), (A, B | 1 << 14));
        mask.restore();
        assert_eq!(mask.now().bits(), B | 1 << 14, "the frame has it now");
    }

    #[test]
    fn a_wait_for_what_is_blocked() {
        let mut mask = Mask::default();
        mask.change(SIG_SETMASK, A | B).unwrap();
        mask.begin_wait(SigSet::of(&[Signal::USR1]));
        assert_eq!(mask.now().bits(), B);
        assert!(mask.blocks(Signal::USR1), "whoever sends it is not to find it ignored");
        mask.end_wait();
        assert_eq!((mask.now().bits(), mask.blocks(Signal::HUP)), (A | B, false));
    }
}
