//! Page faults of programs: what ring 3 touched that is not there yet, or the kernel on its behalf.
//!
//! The page-fault handler comes to [`page_fault`], and that to
//! [`AddressSpace::handle_fault`](crate::mm::space::AddressSpace::handle_fault) of whoever's memory the thread works in.

use super::context;
use crate::arch::x86_64::frame::TrapFrame;
use crate::arch::x86_64::interrupts::{self, RFLAGS_IF};
use crate::arch::x86_64::usercopy;
use crate::boot::layout::USER_END;
use crate::mm::space::Outcome;
use crate::mm::space::live::UserSpace;
use crate::mm::vma::space::Access;

/// The memory of the program on whose behalf this thread is at work.
pub fn current() -> Option<&'static UserSpace> {
    // SAFETY: whoever gives a thread a lower half keeps it for as long as it has it; who asks is the thread's own system
    // call or page fault, or a copy of its to or from there, which ends before.
    unsafe { context::lower_owner().cast::<UserSpace>().as_ref() }
}

/// What has come of a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The page is there: the instruction may run again.
    Done,
    /// The program has no right to it: SIGSEGV, or EFAULT. Whether there is a mapping at all.
    Refused { mapped: bool },
    /// There is no memory left to serve it.
    OutOfMemory,
    /// A mapping reaches further than what it shows.
    Bus,
    /// It is no program's: a bug in the kernel.
    NotOurs,
}

/// In a page fault's error code.
const ERROR_WRITE: u64 = 1 << 1;
const ERROR_RESERVED: u64 = 1 << 3;
const ERROR_FETCH: u64 = 1 << 4;

/// A page fault, before anybody calls it an error.
///
/// Only what ring 3 touched, or the kernel on its behalf in asm/usercopy.S: a user address anywhere else is a bug.
/// Interrupts are on meanwhile if they were: bringing a page can take long. Called with them off, returns so.
pub fn page_fault(frame: &TrapFrame, cr2: u64) -> Answer {
    let user = frame.cs & 3 != 0;
    if !user && !usercopy::contains(frame.rip) || cr2 >= USER_END || frame.error & ERROR_RESERVED != 0 {
        return Answer::NotOurs;
    }
    let Some(space) = current() else { return Answer::Refused { mapped: false } };
    let access = match frame.error {
        error if error & ERROR_WRITE != 0 => Access::Write,
        error if error & ERROR_FETCH != 0 => Access::Execute,
        _ => Access::Read,
    };
    if frame.rflags & RFLAGS_IF != 0 {
        interrupts::enable();
    }
    let outcome = space.handle_fault(cr2, access, user);
    interrupts::disable();
    match outcome {
        Outcome::Done => Answer::Done,
        Outcome::Segv { mapped } => Answer::Refused { mapped },
        Outcome::OutOfMemory => Answer::OutOfMemory,
        Outcome::Bus => Answer::Bus,
    }
}
