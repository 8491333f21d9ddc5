//! Into ring 3 and out of it (asm/user.S).
//!
//! One program at a time, on the boot CPU, on the task's kernel stack (asm/stacks.S). The kernel has no use for the
//! FPU and saves none of it, so while a program runs CR0.TS is set: its first floating-point or SSE instruction is #NM.

use super::cr::Cr0;
use super::frame::TrapFrame;
use super::percpu;
use super::selectors::{USER_CS, USER_DS};
use super::{stacks, syscall};

unsafe extern "sysv64" {
    fn user_enter(frame: *mut TrapFrame) -> u64;
    fn user_leave(how: u64) -> !;
    fn user_segments(gs_base: u64);
}

/// RFLAGS of a program's first instruction: interrupts on, and the bit that is always one.
const RFLAGS: u64 = 1 << 9 | 1 << 1;

/// Runs a program from `rip` on, with `argument` in rdi and every other register zero, until somebody calls [`leave`].
/// Returns what that was given. Interrupts are as they were.
///
/// # Safety
/// The lower half of the address space is the program's. No other program runs.
pub unsafe fn enter(rip: u64, rsp: u64, argument: u64) -> u64 {
    let top = stacks::task_top();
    let start = TrapFrame {
        rip,
        rsp,
        rdi: argument,
        cs: USER_CS,
        ss: USER_DS,
        rflags: RFLAGS,
        ..TrapFrame::default()
    };
    let frame = (top - size_of::<TrapFrame>() as u64) as *mut TrapFrame;
    // SAFETY: nobody uses that stack; what is loaded into the segment registers is null; TS is cleared again below.
    let how = unsafe {
        frame.write(start);
        syscall::set_kernel_stack(top);
        clean_segments();
        (Cr0::read() | Cr0::TS).write();
        user_enter(frame)
    };
    // SAFETY: as above; user_leave has brought the caller's stack back.
    unsafe {
        (Cr0::read() - Cr0::TS).write();
        clean_segments();
    }
    how
}

/// Ends the program: [`enter`] returns `how`.
///
/// # Safety
/// A program runs, this is a trap or a system call of its, interrupts are off, and nothing on this kernel stack is
/// needed any more (no lock is held).
pub unsafe fn leave(how: u64) -> ! {
    // SAFETY: the caller's promise.
    unsafe { user_leave(how) }
}

/// # Safety
/// No program runs.
unsafe fn clean_segments() {
    let were_on = super::interrupts::disable();
    // SAFETY: the base that GS has now.
    unsafe { user_segments(percpu::gs_base()) };
    super::interrupts::restore(were_on);
}
