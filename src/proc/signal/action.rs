//! What a process wants done about each signal.
//!
//! A process has one table ([`Actions`]) for all its threads; a child begins with a copy, and a new program keeps of it
//! only what is ignored. In a program's memory an action has 32 bytes ([`Action::from_bytes`]):
//!
//! ```text
//!   0  handler: an address, 0 (default) or 1 (ignore)    8  flags    16  restorer    24  mask
//! ```
//!
//! Source: Linux, kernel/signal.c (`do_sigaction`, `flush_signal_handlers`).

use bitflags::bitflags;

use super::number::{Default, SIGNALS, Signal};
use super::set::SigSet;
use crate::errno::Errno;

/// Bytes of an action in a program's memory.
pub const ACTION_BYTES: usize = 32;
const SIG_DFL: u64 = 0;
const SIG_IGN: u64 = 1;

bitflags! {
    /// `SA_*`. What is not here is taken out of what a program asks for, so that it can find out.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u64 {
        /// SIGCHLD: not for children that stop or go on.
        const NOCLDSTOP = 1;
        /// SIGCHLD: children that end leave nothing to wait for.
        const NOCLDWAIT = 2;
        /// The handler gets three arguments.
        const SIGINFO = 4;
        /// Asked for so that all bits of an address are seen; they always are.
        const EXPOSE_TAGBITS = 0x800;
        /// There is a restorer. Without one no handler can be called on x86_64.
        const RESTORER = 0x0400_0000;
        /// On the alternate stack, if there is one.
        const ONSTACK = 0x0800_0000;
        /// The call that was interrupted begins again.
        const RESTART = 0x1000_0000;
        /// The signal itself is not blocked in its handler.
        const NODEFER = 0x4000_0000;
        /// Once; then it is the default.
        const RESETHAND = 0x8000_0000;
    }
}

/// What is to be done about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// An address in the program, or what 0 and 1 stand for.
    pub handler: u64,
    pub flags: Flags,
    /// Where the handler returns to, which calls sigreturn.
    pub restorer: u64,
    /// To be blocked besides while the handler runs.
    pub mask: SigSet,
}

impl Action {
    pub const DEFAULT: Self =
        Self { handler: SIG_DFL, flags: Flags::empty(), restorer: 0, mask: SigSet::EMPTY };

    pub const fn is_default(&self) -> bool {
        self.handler == SIG_DFL
    }

    /// Explicitly.
    pub const fn is_ignore(&self) -> bool {
        self.handler == SIG_IGN
    }

    /// Whether a signal with this action would change nothing.
    pub const fn ignores(&self, signal: Signal) -> bool {
        self.is_ignore() || (self.is_default() && signal.is_ignored_by_default())
    }

    /// What is blocked besides while the handler runs.
    pub fn blocked_during(&self, signal: Signal) -> SigSet {
        if self.flags.contains(Flags::NODEFER) { self.mask } else { self.mask.with(SigSet::of(&[signal])) }
    }

    pub fn from_bytes(bytes: &[u8; ACTION_BYTES]) -> Self {
        let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| bytes[at + i]));
        Self {
            handler: word(0),
            flags: Flags::from_bits_truncate(word(8)),
            restorer: word(16),
            mask: SigSet::mask(word(24)),
        }
    }

    pub fn to_bytes(&self) -> [u8; ACTION_BYTES] {
        let mut bytes = [0; ACTION_BYTES];
        let words = [self.handler, self.flags.bits(), self.restorer, self.mask.bits()];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// What a parent is told and what is left of a child that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildRules {
    /// The child is gone at once: nobody can wait for it.
    pub reap: bool,
    /// SIGCHLD is sent when it ends.
    pub tell_end: bool,
    /// SIGCHLD is sent when it stops or goes on.
    pub tell_stop: bool,
}

/// A process's.
#[derive(Clone, Debug)]
pub struct Actions([Action; SIGNALS]);

impl Actions {
    /// Nothing has been said about any.
    pub const fn new() -> Self {
        Self([Action::DEFAULT; SIGNALS])
    }

    pub const fn get(&self, signal: Signal) -> &Action {
        &self.0[signal.index()]
    }

    /// `sigaction`. Returns the old one, and whether what is pending of this signal is to be thrown away, in the process
    /// and in every thread of it: an ignored signal is not kept until it may matter again.
    pub fn set(&mut self, signal: Signal, action: Action) -> Result<(Action, bool), Errno> {
        if signal.is_unconditional() {
            return Err(Errno::Einval);
        }
        let old = core::mem::replace(&mut self.0[signal.index()], action);
        Ok((old, action.ignores(signal)))
    }

    /// Of a signal that is taken: what was asked for, and a handler done away with if it was for once.
    pub fn take(&mut self, signal: Signal) -> Action {
        let action = &mut self.0[signal.index()];
        let taken = *action;
        if taken.flags.contains(Flags::RESETHAND) && !taken.is_ignore() {
            action.handler = SIG_DFL;
        }
        taken
    }

    /// Back to the default, for a signal that must not be missed.
    pub fn reset(&mut self, signal: Signal) {
        self.0[signal.index()].handler = SIG_DFL;
    }

    /// For a new program, which has none of the old one's handlers, and for a child that is to have none
    /// (`CLONE_CLEAR_SIGHAND`); what is ignored stays so.
    pub fn exec(&mut self) {
        for action in &mut self.0 {
            let handler = if action.is_ignore() { SIG_IGN } else { SIG_DFL };
            *action = Action { handler, ..Action::DEFAULT };
        }
    }

    /// What this process wants of its children's ends.
    pub const fn child_rules(&self) -> ChildRules {
        let action = self.get(Signal::CHLD);
        let ignored = action.is_ignore();
        ChildRules {
            reap: ignored || action.flags.contains(Flags::NOCLDWAIT),
            tell_end: !ignored,
            tell_stop: !ignored && !action.flags.contains(Flags::NOCLDSTOP),
        }
    }

    /// What is ignored, and what has a handler: two lines of `/proc/PID/status`.
    pub fn ignored_and_caught(&self) -> (SigSet, SigSet) {
        let mut sets = (SigSet::EMPTY, SigSet::EMPTY);
        for signal in SigSet::from_bits(u64::MAX).iter() {
            let action = self.get(signal);
            if action.is_ignore() {
                sets.0.insert(signal);
            } else if !action.is_default() {
                sets.1.insert(signal);
            }
        }
        sets
    }

    /// What a signal does that is neither ignored nor handled.
    pub(super) fn default_of(&self, signal: Signal) -> Option<Default> {
        self.get(signal).is_default().then(|| signal.default())
    }
}

impl core::default::Default for Actions {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn handler(flags: Flags) -> Action {
        Action { handler: 0x40_0000, flags, ..Action::DEFAULT }
    }

    #[test]
    fn actions_as_bytes() {
        let mut bytes = [0; ACTION_BYTES];
        bytes[0] = 0x78;
        bytes[8..16].copy_from_slice(&0xFFFF_FFFF_0400_0404u64.to_le_bytes());
        bytes[16] = 0x9A;
        bytes[24..].fill(0xFF);
        let action = Action::from_bytes(&bytes);
        assert_eq!((action.handler, action.restorer), (0x78, 0x9A));
        assert_eq!(action.flags, Flags::RESTORER | Flags::SIGINFO, "0x400 is for asking whether it is known");
        assert_eq!(action.mask, SigSet::mask(u64::MAX));
        assert_eq!(Action::from_bytes(&action.to_bytes()), action);
    }

    #[test]
    fn what_is_set_is_got_but_for_two() {
        let mut actions = Actions::new();
        let ignore = Action { handler: SIG_IGN, ..Action::DEFAULT };
        for signal in [Signal::KILL, Signal::STOP] {
            assert_eq!(actions.set(signal, ignore), Err(Errno::Einval));
        }
        assert_eq!(actions.set(Signal::TERM, ignore), Ok((Action::DEFAULT, true)));
        let once = handler(Flags::RESETHAND);
        assert_eq!(actions.set(Signal::TERM, once), Ok((ignore, false)));
        assert_eq!(actions.set(Signal::CHLD, Action::DEFAULT), Ok((Action::DEFAULT, true)));
        assert_eq!(actions.set(Signal::CONT, Action::DEFAULT), Ok((Action::DEFAULT, true)));
        assert_eq!(actions.take(Signal::TERM), once);
        assert!(actions.get(Signal::TERM).is_default());
        actions.set(Signal::TERM, Action { flags: Flags::RESETHAND, ..ignore }).unwrap();
        actions.take(Signal::TERM);
        assert!(actions.get(Signal::TERM).is_ignore(), "to be ignored once makes no sense");
    }

    #[test]
    fn what_a_handler_blocks() {
        let mask = SigSet::of(&[Signal::INT]);
        let blocked = |flags| Action { mask, ..handler(flags) }.blocked_during(Signal::TERM);
        assert_eq!(blocked(Flags::empty()), SigSet::of(&[Signal::INT, Signal::TERM]));
        assert_eq!(blocked(Flags::NODEFER), mask);
    }

    #[test]
    fn a_new_program_keeps_what_is_ignored() {
        let mut actions = Actions::new();
        actions
            .set(Signal::HUP, Action { handler: SIG_IGN, flags: Flags::RESTART, ..Action::DEFAULT })
            .unwrap();
        actions.set(Signal::INT, handler(Flags::RESTART)).unwrap();
        let sets = actions.ignored_and_caught();
        assert_eq!(sets, (SigSet::of(&[Signal::HUP]), SigSet::of(&[Signal::INT])));
        actions.exec();
        assert_eq!(*actions.get(Signal::HUP), Action { handler: SIG_IGN, ..Action::DEFAULT });
        assert_eq!(*actions.get(Signal::INT), Action::DEFAULT);
    }

    #[test]
    fn what_a_parent_wants_of_children() {
        let rules = |action| {
            let mut actions = Actions::new();
            actions.set(Signal::CHLD, action).unwrap();
            let ChildRules { reap, tell_end, tell_stop } = actions.child_rules();
            [reap, tell_end, tell_stop]
        };
        assert_eq!(rules(Action::DEFAULT), [false, true, true]);
        assert_eq!(rules(Action { handler: SIG_IGN, ..Action::DEFAULT }), [true, false, false]);
        assert_eq!(rules(handler(Flags::NOCLDSTOP)), [false, true, false]);
        assert_eq!(rules(handler(Flags::NOCLDWAIT)), [true, true, true]);
    }
}
