//! What becomes of a system call that a signal has interrupted.
//!
//! A call that could not finish says how it feels about it ([`Interrupted`]). If a handler is called, the program is told
//! EINTR behind it, or the call begins again behind it; if none is (the signal was ignored, or the process was stopped and
//! goes on), it begins again as if nothing had been. Beginning again means to go back to the instruction, which is two
//! bytes long (`0F 05`, or `CD 80`), with the number in rax again; the arguments are still in their registers.
//!
//! ```text
//!                       no handler          handler, SA_RESTART    handler without
//!   Always              again               again                  again
//!   IfAsked             again               again                  EINTR
//!   WithoutHandler      again               EINTR                  EINTR
//!   ByRest              restart_syscall     EINTR                  EINTR
//! ```
//!
//! `ByRest` is for calls with a time span: begun again they would wait for all of it again. What is left of it is noted,
//! and `restart_syscall` goes on with that.
//!
//! Source: Linux, arch/x86/kernel/signal.c (`handle_signal`, `arch_do_signal_or_restart`); signal(7).

use crate::errno::Errno;

/// How a call that was interrupted wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// `ERESTARTSYS`: begins again unless the handler was set up without `SA_RESTART`. Reads, writes, waits.
    IfAsked,
    /// `ERESTARTNOINTR`: always begins again.
    Always,
    /// `ERESTARTNOHAND`: begins again only if there was no handler. `pause`, `sigsuspend`, `poll`, `select`.
    WithoutHandler,
    /// `ERESTART_RESTARTBLOCK`: goes on with what was noted, if there was no handler. `nanosleep`.
    ByRest,
}

/// Number of `restart_syscall`.
pub const RESTART_SYSCALL: u64 = 219;
/// Bytes of both instructions.
const INSTRUCTION: u64 = 2;

/// What the program sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The call fails with EINTR.
    Eintr,
    /// The instruction is executed again, with this number.
    Again(u64),
}

impl Interrupted {
    /// `number` is that of the call. `handler`: whether one is called, and if so, whether with `SA_RESTART`.
    pub const fn outcome(self, number: u64, handler: Option<bool>) -> Outcome {
        match (self, handler) {
            (Self::ByRest, None) => Outcome::Again(RESTART_SYSCALL),
            (_, None) | (Self::Always, _) | (Self::IfAsked, Some(true)) => Outcome::Again(number),
            (Self::IfAsked, Some(false)) | (Self::WithoutHandler | Self::ByRest, Some(_)) => Outcome::Eintr,
        }
    }
}

impl Outcome {
    /// Into the registers that the program goes on with; before a handler's frame is built of them.
    pub const fn apply(self, rax: &mut u64, rip: &mut u64) {
        match self {
            Self::Eintr => *rax = Errno::Eintr.to_result(),
            Self::Again(number) => {
                *rax = number;
                *rip = rip.wrapping_sub(INSTRUCTION);
            }
        }
    }
}

#[test]
fn every_case_of_the_table() {
    use Interrupted::{Always, ByRest, IfAsked, WithoutHandler};
    let again = Outcome::Again(35);
    let table = [
        (Always, [again; 3]),
        (IfAsked, [again, again, Outcome::Eintr]),
        (WithoutHandler, [again, Outcome::Eintr, Outcome::Eintr]),
        (ByRest, [Outcome::Again(219), Outcome::Eintr, Outcome::Eintr]),
    ];
    for (interrupted, expected) in table {
        let found = [None, Some(true), Some(false)].map(|handler| interrupted.outcome(35, handler));
        assert_eq!(found, expected, "{interrupted:?}");
    }
    let (mut rax, mut rip) = (0, 0x40_1002);
    Outcome::Again(35).apply(&mut rax, &mut rip);
    assert_eq!((rax, rip), (35, 0x40_1000));
    Outcome::Eintr.apply(&mut rax, &mut rip);
    assert_eq!((rax as i64, rip), (-4, 0x40_1000));
}
