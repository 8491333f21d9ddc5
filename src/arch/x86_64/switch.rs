//! Rust's side of asm/switch.S: the stack of a thread that has not begun, and the switch.

use super::percpu::{CPU, PerCpu};
use core::arch::asm;
use core::mem::{offset_of, size_of};

unsafe extern "sysv64" {
    fn switch_stacks(kept: *mut u64, to: u64);
    fn thread_start();
}

/// What asm/switch.S pops, lowest address first, and above it where that leads.
#[repr(C)]
struct FirstFrame {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    rbx: u64,
    rbp: u64,
    rip: u64,
    /// Where a walk by frame pointers would look for a caller; and RSP is a multiple of 16 at the first call.
    end: [u64; 2],
}

/// Prepares an empty stack, so that the first switch to it calls `thread_main(argument)`. Returns the stack pointer to
/// switch to.
///
/// # Safety
/// `top` is the end of a mapped stack, a multiple of 16, that nobody uses.
pub unsafe fn prepare(top: u64, argument: u64) -> u64 {
    let frame = top - size_of::<FirstFrame>() as u64;
    let rip = thread_start as *const () as u64;
    let first = FirstFrame { r15: 0, r14: 0, r13: 0, r12: argument, rbx: 0, rbp: 0, rip, end: [0; 2] };
    // SAFETY: the caller's promise.
    unsafe { (frame as *mut FirstFrame).write(first) };
    frame
}

/// Keeps this thread's stack pointer in `kept` and goes on with the thread whose was `to`. Returns when somebody
/// switches back, perhaps on another CPU.
///
/// # Safety
/// With interrupts off. `to` is from [`prepare`], or was kept here, and has not been used since; its stack is mapped.
/// `kept` is read only after this thread is off its stack, which the lock of its run queue sees to.
#[inline]
pub unsafe fn switch(kept: *mut u64, to: u64) {
    // SAFETY: the caller's promise. For the compiler it is a call that may change all of memory, as it may.
    unsafe { switch_stacks(kept, to) };
}

/// What [`set_current_thread`] was told: this is one instruction, so it is right whichever CPU executes it. 0 at first.
#[inline]
pub fn current_thread() -> u64 {
    let thread: u64;
    // SAFETY: GS is this CPU's since the first lines of the kernel.
    unsafe {
        asm!("mov {}, qword ptr gs:[{} + {}]", out(reg) thread, sym CPU, const offset_of!(PerCpu, thread),
            options(nostack, preserves_flags, readonly));
    }
    thread
}

/// Says which thread this CPU runs. With interrupts off.
#[inline]
pub fn set_current_thread(thread: u64) {
    // SAFETY: as above.
    unsafe {
        asm!("mov qword ptr gs:[{} + {}], {}", sym CPU, const offset_of!(PerCpu, thread), in(reg) thread,
            options(nostack, preserves_flags));
    }
}
