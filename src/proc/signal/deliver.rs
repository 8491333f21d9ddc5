//! Taking a signal: on the way back to ring 3, which one, and what is to be done about it.
//!
//! A thread takes first what its own last instruction did, then what was sent to it, then what was sent to its process.
//! What is ignored is dropped on the way, so [`next`] says `None` only when nothing is left that is not blocked.
//!
//! Source: Linux, kernel/signal.c (`get_signal`, `dequeue_signal`).

use super::action::{Action, Actions};
use super::info::Info;
use super::number::Default;
use super::pending::Pending;
use super::set::SigSet;

/// What is to be done about a signal that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Call a handler.
    Handle { info: Info, action: Action },
    /// The process ends.
    End { info: Info },
    /// All its threads stop; with anything but SIGSTOP, unless their group is orphaned: nobody outside could let them go
    /// on.
    Stop { info: Info },
}

/// Who takes it, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taker {
    /// The thread's mask.
    pub blocked: SigSet,
    /// Its process is the first one, whom a signal without a handler does not end.
    pub is_init: bool,
}

/// The next signal that is to be done something about, taken out of the thread's queue or its process's.
pub fn next<C>(
    own: &mut Pending<C>,
    shared: &mut Pending<C>,
    actions: &mut Actions,
    taker: Taker,
) -> Option<Delivery> {
    while let Some(info) = dequeue(own, shared, taker.blocked) {
        let signal = info.signal();
        let action = actions.take(signal);
        if action.is_ignore() {
            continue;
        }
        if !action.is_default() {
            return Some(Delivery::Handle { info, action });
        }
        // What sending has let through to the first process: what the kernel itself insists on.
        if taker.is_init && !info.is_synchronous() && !signal.is_unconditional() {
            continue;
        }
        match signal.default() {
            Default::Terminate | Default::Core => return Some(Delivery::End { info }),
            Default::Stop => return Some(Delivery::Stop { info }),
            Default::Ignore | Default::Continue => {}
        }
    }
    None
}

/// What is taken next; also what `sigtimedwait` takes, which blocks all but what it waits for.
pub fn dequeue<C>(own: &mut Pending<C>, shared: &mut Pending<C>, blocked: SigSet) -> Option<Info> {
    if let Some(signal) = own.first_synchronous(blocked) {
        return own.take(signal);
    }
    if let Some(signal) = own.first(blocked) {
        return own.take(signal);
    }
    shared.first(blocked).and_then(|signal| shared.take(signal))
}

/// Whether a thread is to look at its signals before it goes back to ring 3.
pub const fn is_needed<C>(own: &Pending<C>, shared: &Pending<C>, blocked: SigSet) -> bool {
    !own.set().with(shared.set()).without(blocked).is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::action::Flags;
    use super::super::info::code;
    use super::super::number::Signal;
    use super::*;

    const TAKER: Taker = Taker { blocked: SigSet::EMPTY, is_init: false };

    struct Process {
        own: Pending<()>,
        shared: Pending<()>,
        actions: Actions,
    }

    impl Process {
        fn new() -> Self {
            Self { own: Pending::new(), shared: Pending::new(), actions: Actions::new() }
        }

        fn next(&mut self, taker: Taker) -> Option<Delivery> {
            next(&mut self.own, &mut self.shared, &mut self.actions, taker)
        }

        fn sent(mut self, signals: &[Signal]) -> Self {
            for signal in signals {
                self.shared.push(Info::kill(*signal, 1, 0), None, false).unwrap();
            }
            self
        }
    }

    #[test]
    fn defaults() {
        let end = |signal| Some(Delivery::End { info: Info::kill(signal, 1, 0) });
        let mut process = Process::new().sent(&[Signal::CHLD, Signal::CONT, Signal::TERM, Signal::QUIT]);
        assert_eq!(process.next(TAKER), end(Signal::QUIT));
        assert_eq!(process.next(TAKER), end(Signal::TERM));
        assert_eq!(process.next(TAKER), None);
        assert!(process.shared.set().is_empty(), "what is ignored is gone");
    }

    #[test]
    fn handlers_and_blocked_ones() {
        let mut process = Process::new().sent(&[Signal::INT, Signal::TERM]);
        let once = Action { handler: 0x40_0000, flags: Flags::RESETHAND, ..Action::DEFAULT };
        process.actions.set(Signal::TERM, once).unwrap();
        let taker = Taker { blocked: SigSet::of(&[Signal::INT]), ..TAKER };
        let info = Info::kill(Signal::TERM, 1, 0);
        assert!(is_needed(&process.own, &process.shared, taker.blocked));
        assert_eq!(process.next(taker), Some(Delivery::Handle { info, action: once }));
        assert_eq!(process.next(taker), None);
        assert!(!is_needed(&process.own, &process.shared, taker.blocked));
        let mut again = process.sent(&[Signal::TERM]);
        assert_eq!(again.next(taker), Some(Delivery::End { info }));
    }

    #[test]
    fn a_fault_then_the_threads_own_then_the_processs() {
        let mut process = Process::new().sent(&[Signal::HUP]);
        process.own.push(Info::tkill(Signal::TERM, 1, 0), None, false).unwrap();
        process.own.push(Info::fault(Signal::SEGV, code::SEGV_MAPERR, 0), None, false).unwrap();
        let order: std::vec::Vec<u8> = core::iter::from_fn(|| process.next(TAKER))
            .map(|delivery| match delivery {
                Delivery::End { info } => info.signal().number(),
                _ => 0,
            })
            .collect();
        assert_eq!(order, [11, 15, 1]);
    }

    #[test]
    fn the_first_process_is_ended_by_its_own_faults_alone() {
        let init = Taker { is_init: true, ..TAKER };
        assert_eq!(Process::new().sent(&[Signal::TERM, Signal::SEGV, Signal::TSTP]).next(init), None);
        let mut process = Process::new();
        let info = Info::fault(Signal::SEGV, code::SEGV_MAPERR, 0);
        process.own.push(info, None, false).unwrap();
        assert_eq!(process.next(init), Some(Delivery::End { info }));
    }
}
