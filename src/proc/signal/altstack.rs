//! The alternate stack: where a handler runs whose program's own stack may be the problem.
//!
//! A thread names one (`sigaltstack`); handlers with `SA_ONSTACK` begin at its top, unless the thread is on it already.
//! Whether it is, rsp says. A program that leaves a handler by a jump (longjmp, swapcontext) may lead that astray, so it
//! may ask for `SS_AUTODISARM`: then the stack is forgotten when a handler is called and named again by its frame.
//!
//! Source: sigaltstack(2); Linux, kernel/signal.c (`do_sigaltstack`), include/linux/sched/signal.h (`sas_ss_flags`).

use crate::errno::Errno;

/// rsp is on it.
pub const SS_ONSTACK: u32 = 1;
/// There is none.
pub const SS_DISABLE: u32 = 2;
/// Forgotten while a handler runs.
pub const SS_AUTODISARM: u32 = 1 << 31;
/// Bytes of a `stack_t`: 0 sp, 8 flags, 16 size.
pub const STACK_BYTES: usize = 24;
/// The least that any program may name (`MINSIGSTKSZ`).
pub const SIZE_MIN: u64 = 2048;

/// A `stack_t`, as it is in memory. What a thread has named is one, too: without a stack its size is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AltStack {
    pub sp: u64,
    pub flags: u32,
    pub size: u64,
}

impl AltStack {
    /// A new thread's, and a new program's.
    pub const NONE: Self = Self { sp: 0, flags: SS_DISABLE, size: 0 };

    pub fn from_bytes(bytes: &[u8; STACK_BYTES]) -> Self {
        let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| bytes[at + i]));
        Self { sp: word(0), flags: word(8) as u32, size: word(16) }
    }

    pub fn to_bytes(&self) -> [u8; STACK_BYTES] {
        let mut bytes = [0; STACK_BYTES];
        bytes[..8].copy_from_slice(&self.sp.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.flags.to_le_bytes());
        bytes[16..].copy_from_slice(&self.size.to_le_bytes());
        bytes
    }

    /// Whether an address is on it, as a stack pointer: its top is, its lowest byte is not.
    pub const fn holds(&self, sp: u64) -> bool {
        sp > self.sp && sp - self.sp <= self.size
    }

    /// The same, as far as it keeps a handler from beginning at the top.
    const fn is_in_use(&self, sp: u64) -> bool {
        self.flags & SS_AUTODISARM == 0 && self.holds(sp)
    }

    /// What `sigaltstack` says of it to a thread with this stack pointer.
    pub const fn told(&self, sp: u64) -> Self {
        let state = if self.size == 0 {
            SS_DISABLE
        } else if self.is_in_use(sp) {
            SS_ONSTACK
        } else {
            0
        };
        Self { sp: self.sp, flags: state | (self.flags & SS_AUTODISARM), size: self.size }
    }

    /// `sigaltstack`, by a thread with this stack pointer.
    ///
    /// [`Errno::Eperm`] while it is in use, [`Errno::Einval`] for flags that are none, [`Errno::Enomem`] for one shorter
    /// than `size_min` ([`SIZE_MIN`], or what a frame takes on this machine if that is more).
    pub const fn set(&mut self, new: &Self, sp: u64, size_min: u64) -> Result<(), Errno> {
        if self.is_in_use(sp) {
            return Err(Errno::Eperm);
        }
        match new.flags & !SS_AUTODISARM {
            SS_DISABLE => *self = Self { sp: 0, flags: new.flags, size: 0 },
            0 | SS_ONSTACK if new.size < size_min => return Err(Errno::Enomem),
            0 | SS_ONSTACK => *self = *new,
            _ => return Err(Errno::Einval),
        }
        Ok(())
    }

    /// The top, for a handler that wants it and a thread that is not on it.
    pub const fn top_for(&self, sp: u64) -> Option<u64> {
        if self.size == 0 || self.is_in_use(sp) { None } else { Some(self.sp.wrapping_add(self.size)) }
    }

    /// A frame has been written that has this stack in it.
    pub const fn enter_handler(&mut self) {
        if self.flags & SS_AUTODISARM != 0 {
            *self = Self::NONE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: AltStack = AltStack { sp: 0x10_0000, flags: 0, size: 0x4000 };
    const OUTSIDE: u64 = 0x20_0000;

    #[test]
    fn named_told_and_disabled() {
        let mut stack = AltStack::NONE;
        assert_eq!(stack.told(OUTSIDE), AltStack { sp: 0, flags: SS_DISABLE, size: 0 });
        assert_eq!(stack.top_for(OUTSIDE), None);
        assert_eq!(stack.set(&AltStack { flags: SS_ONSTACK, ..STACK }, OUTSIDE, SIZE_MIN), Ok(()));
        assert_eq!(stack.told(OUTSIDE), STACK);
        assert_eq!(stack.told(0x10_4000), AltStack { flags: SS_ONSTACK, ..STACK });
        assert_eq!(stack.told(0x10_0000), STACK, "below its lowest byte");
        assert_eq!((stack.top_for(OUTSIDE), stack.top_for(0x10_1000)), (Some(0x10_4000), None));
        assert_eq!(stack.set(&AltStack::NONE, 0x10_1000, SIZE_MIN), Err(Errno::Eperm));
        assert_eq!(stack.set(&AltStack::NONE, OUTSIDE, SIZE_MIN), Ok(()));
        assert_eq!(stack, AltStack::NONE);
        assert_eq!(AltStack::from_bytes(&STACK.to_bytes()), STACK);
    }

    #[test]
    fn what_is_refused() {
        let mut stack = AltStack::NONE;
        assert_eq!(stack.set(&AltStack { size: 2047, ..STACK }, OUTSIDE, SIZE_MIN), Err(Errno::Enomem));
        for flags in [4, 3, 1 << 30] {
            assert_eq!(stack.set(&AltStack { flags, ..STACK }, OUTSIDE, SIZE_MIN), Err(Errno::Einval));
        }
        assert_eq!(stack, AltStack::NONE);
    }

    #[test]
    fn one_that_is_forgotten_in_handlers() {
        let mut stack = AltStack::NONE;
        let auto = AltStack { flags: SS_AUTODISARM, ..STACK };
        stack.set(&auto, OUTSIDE, SIZE_MIN).unwrap();
        assert_eq!(stack.told(0x10_1000), auto, "it never counts as in use");
        assert_eq!(stack.top_for(0x10_1000), Some(0x10_4000));
        stack.enter_handler();
        assert_eq!(stack, AltStack::NONE);
        let mut kept = STACK;
        kept.enter_handler();
        assert_eq!(kept, STACK);
    }

    #[test]
    fn no_stack_wraps() {
        let mut stack = AltStack::NONE;
        let end = AltStack { sp: u64::MAX - 10, flags: 0, size: u64::MAX };
        stack.set(&end, OUTSIDE, SIZE_MIN).unwrap();
        assert_eq!(stack.top_for(OUTSIDE), Some(u64::MAX - 11));
        assert!(stack.holds(u64::MAX) && !stack.holds(OUTSIDE));
    }
}
