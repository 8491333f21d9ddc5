//! Calls about the program itself.

use super::{Arguments, Outcome, Process};

/// getpid()
pub fn getpid(process: &mut dyn Process, _: &Arguments) -> Outcome {
    Outcome::Return(process.pid().into())
}

/// exit(status), exit_group(status): while a program is one thread, they are the same. Eight bits of the status count.
pub fn exit(_: &mut dyn Process, &[status, ..]: &Arguments) -> Outcome {
    Outcome::Exit(status as u8)
}
