//! Sending a signal: what it does at once, whether anybody would notice, and who is to take it.
//!
//! What a sender does, under the lock of the process it sends to:
//!
//! 1. [`Effect::of`]: stopping signals and SIGCONT take each other out of every queue of the process; SIGCONT lets it go
//!    on, even if it is blocked, ignored or handled.
//! 2. [`is_ignored`]: done, if so.
//! 3. Into the thread's queue or the process's ([`super::pending`]).
//! 4. [`pick`]: which thread is to look. None, if all of them block it: whoever unblocks it will.
//! 5. If it will end the process all the same ([`is_fatal`]), every thread of it is told at once.
//!
//! Source: Linux, kernel/signal.c (`prepare_signal`, `sig_ignored`, `wants_signal`, `complete_signal`,
//! `force_sig_info_to_task`).

use super::action::Actions;
use super::mask::Mask;
use super::number::{Default, Signal};
use super::set::SigSet;

/// What sending does before anything is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Thrown away in the process's queue and in every thread's.
    pub discard: SigSet,
    /// A stopped process goes on, and is to tell its parent.
    pub continues: bool,
}

impl Effect {
    pub const fn of(signal: Signal) -> Self {
        match signal.default() {
            Default::Stop => Self { discard: SigSet::of(&[Signal::CONT]), continues: false },
            Default::Continue => Self { discard: SigSet::STOPS, continues: true },
            _ => Self { discard: SigSet::EMPTY, continues: false },
        }
    }
}

/// Whether a signal would change nothing and need not be queued.
///
/// `mask` is that of the thread it is sent to, the first one's for a process. One that is blocked is kept: its action may
/// be another when it is let through. `is_init`: the first process, which is ended only by itself: it gets what it has
/// handlers for.
pub const fn is_ignored(signal: Signal, actions: &Actions, mask: &Mask, is_init: bool) -> bool {
    let action = actions.get(signal);
    if mask.blocks(signal) {
        return false;
    }
    if is_init && action.is_default() {
        return true;
    }
    action.ignores(signal)
}

/// A thread, as [`pick`] sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub mask: Mask,
    /// It is on its way out.
    pub is_exiting: bool,
    /// It is stopped.
    pub is_stopped: bool,
    /// It is on a CPU now.
    pub is_running: bool,
    /// It has been told to look at its signals and has not yet.
    pub is_alerted: bool,
}

impl Candidate {
    /// Whether it is a good one to take this.
    pub const fn wants(&self, signal: Signal) -> bool {
        if self.mask.now().contains(signal) || self.is_exiting {
            return false;
        }
        signal.number() == Signal::KILL.number()
            || (!self.is_stopped && (self.is_running || !self.is_alerted))
    }
}

/// Which thread is to be told of a signal that was sent to a process: the first of these that wants it. The process's
/// first thread comes first, then the others.
pub fn pick(signal: Signal, threads: impl IntoIterator<Item = Candidate>) -> Option<usize> {
    threads.into_iter().position(|thread| thread.wants(signal))
}

/// Whether a signal that has found a thread ends the process without a further look at it: then SIGKILL is set for all
/// of its threads. One that leaves a core takes the long way.
pub fn is_fatal(signal: Signal, actions: &Actions, mask: &Mask, is_init: bool) -> bool {
    let terminates = actions.default_of(signal) == Some(Default::Terminate);
    terminates && !mask.blocks(signal) && (!is_init || signal == Signal::KILL)
}

/// Makes sure that a thread takes a signal about what it did itself: one that it blocks or ignores would let it do the
/// same thing for ever, so then the signal does what it does by itself, that is, ends it. True if the first process
/// loses its protection by that: what it did would come again.
pub fn force(signal: Signal, actions: &mut Actions, mask: &mut Mask) -> bool {
    if mask.blocks(signal) || actions.get(signal).is_ignore() {
        actions.reset(signal);
        mask.unblock(signal);
    }
    actions.get(signal).is_default()
}

#[cfg(test)]
mod tests {
    use super::super::action::Action;
    use super::*;

    const IGNORE: Action = Action { handler: 1, ..Action::DEFAULT };
    const HANDLER: Action = Action { handler: 0x40_0000, ..Action::DEFAULT };

    fn actions(list: &[(Signal, Action)]) -> Actions {
        let mut actions = Actions::new();
        for (signal, action) in list {
            actions.set(*signal, *action).unwrap();
        }
        actions
    }

    fn blocking(signals: &[Signal]) -> Mask {
        let mut mask = Mask::default();
        mask.set(SigSet::of(signals));
        mask
    }

    #[test]
    fn stops_and_continue_take_each_other_back() {
        assert_eq!(
            Effect::of(Signal::TSTP),
            Effect { discard: SigSet::of(&[Signal::CONT]), continues: false }
        );
        assert_eq!(Effect::of(Signal::CONT), Effect { discard: SigSet::STOPS, continues: true });
        assert_eq!(Effect::of(Signal::TERM), Effect { discard: SigSet::EMPTY, continues: false });
    }

    #[test]
    fn what_nobody_would_notice() {
        let none = Mask::default();
        let is_ignored = |signal, actions: &Actions, mask: &Mask| is_ignored(signal, actions, mask, false);
        let usual = actions(&[(Signal::INT, IGNORE), (Signal::CHLD, HANDLER)]);
        assert!(is_ignored(Signal::INT, &usual, &none));
        assert!(
            !is_ignored(Signal::INT, &usual, &blocking(&[Signal::INT])),
            "the action may change before it is let in"
        );
        assert!(is_ignored(Signal::URG, &usual, &none) && is_ignored(Signal::CONT, &usual, &none));
        assert!(!is_ignored(Signal::CHLD, &usual, &none) && !is_ignored(Signal::TERM, &usual, &none));
        let mut waiting = blocking(&[Signal::INT]);
        waiting.begin_wait(SigSet::of(&[Signal::INT]));
        assert!(!is_ignored(Signal::INT, &usual, &waiting), "sigtimedwait is to get it");
    }

    #[test]
    fn the_first_process_gets_what_it_has_handlers_for() {
        let mask = Mask::default();
        let actions = actions(&[(Signal::TERM, HANDLER)]);
        assert!(!is_ignored(Signal::TERM, &actions, &mask, true));
        assert!(is_ignored(Signal::INT, &actions, &mask, true));
        assert!(is_ignored(Signal::KILL, &actions, &mask, true));
        assert!(
            !is_fatal(Signal::INT, &actions, &mask, true) && is_fatal(Signal::INT, &actions, &mask, false)
        );
    }

    #[test]
    fn who_is_picked() {
        let idle = Candidate {
            mask: Mask::default(),
            is_exiting: false,
            is_stopped: false,
            is_running: false,
            is_alerted: false,
        };
        let blocked = Candidate { mask: blocking(&[Signal::TERM]), ..idle };
        let exiting = Candidate { is_exiting: true, ..idle };
        let busy = Candidate { is_alerted: true, ..idle };
        let stopped = Candidate { is_stopped: true, ..idle };
        assert_eq!(pick(Signal::TERM, [blocked, exiting, busy, stopped, idle]), Some(4));
        assert_eq!(pick(Signal::TERM, [blocked, Candidate { is_running: true, ..busy }]), Some(1));
        assert_eq!(pick(Signal::TERM, [blocked, exiting]), None);
        assert_eq!(pick(Signal::KILL, [exiting, stopped]), Some(1), "even one that is stopped");
    }

    #[test]
    fn what_ends_a_process_at_once() {
        let actions = actions(&[(Signal::TERM, HANDLER), (Signal::HUP, IGNORE)]);
        let fatal = |signal, mask: &Mask| is_fatal(signal, &actions, mask, false);
        let none = Mask::default();
        assert!(fatal(Signal::KILL, &none) && fatal(Signal::INT, &none) && fatal(Signal::RT_MAX, &none));
        assert!(!fatal(Signal::TERM, &none) && !fatal(Signal::HUP, &none) && !fatal(Signal::CHLD, &none));
        assert!(!fatal(Signal::SEGV, &none), "there is a core to be written first");
        assert!(!fatal(Signal::STOP, &none) && !fatal(Signal::INT, &blocking(&[Signal::INT])));
    }

    #[test]
    fn a_fault_is_not_missed() {
        for (action, blocks, stays) in
            [(HANDLER, false, true), (HANDLER, true, false), (IGNORE, false, false)]
        {
            let mut actions = actions(&[(Signal::SEGV, action)]);
            let mut mask = if blocks { blocking(&[Signal::SEGV, Signal::INT]) } else { Mask::default() };
            assert_eq!(force(Signal::SEGV, &mut actions, &mut mask), !stays);
            assert_eq!(!actions.get(Signal::SEGV).is_default(), stays);
            assert!(!mask.blocks(Signal::SEGV) && mask.blocks(Signal::INT) == blocks);
        }
    }
}
