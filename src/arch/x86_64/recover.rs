//! Running code that is meant to fault, and coming back from it (asm/recover.S).
//!
//! While an experiment runs, the trap handler reports the exception and then asks [`resume`] to continue
//! after it, whatever the registers have become. One at a time, on the boot CPU.

use super::frame::TrapFrame;
use super::selectors::{KERNEL_CS, KERNEL_DS};
use core::sync::atomic::{AtomicBool, Ordering};

/// Something to run, with two arguments.
pub type Provoke = unsafe extern "sysv64" fn(u64, u64);

unsafe extern "sysv64" {
    fn recover_call(provoke: Provoke, a: u64, b: u64) -> u64;
    fn recover_landing();
    fn capture_registers(frame: *mut TrapFrame);
}

/// The registers as they are, for a report of something that is no trap. RIP is where this was called.
#[inline(always)]
pub fn registers() -> TrapFrame {
    let mut frame = TrapFrame::default();
    // SAFETY: it writes the frame and nothing else.
    unsafe { capture_registers(&mut frame) };
    frame
}

static RUNNING: AtomicBool = AtomicBool::new(false);

/// RFLAGS with nothing but the bit that is always one: no interrupts, no trap flag.
const CLEAN_RFLAGS: u64 = 1 << 1;

/// Calls `provoke(a, b)`; true if an exception ended it.
///
/// # Safety
/// Between its start and its exception `provoke` changes nothing that the kernel relies on, beyond
/// registers and what the caller repairs.
pub unsafe fn call(provoke: Provoke, a: u64, b: u64) -> bool {
    RUNNING.store(true, Ordering::Relaxed);
    // SAFETY: recover_call saves what a System V caller may expect back; the rest is the caller's promise.
    let trapped = unsafe { recover_call(provoke, a, b) } != 0;
    RUNNING.store(false, Ordering::Relaxed);
    trapped
}

/// Ends the experiment, if one was running: from here on another exception is a bug.
pub fn finish() -> bool {
    RUNNING.swap(false, Ordering::Relaxed)
}

/// Turns the frame of an exception into a return to the end of the experiment that has just been finished.
pub fn resume(frame: &mut TrapFrame) {
    frame.rip = recover_landing as *const () as u64;
    frame.cs = KERNEL_CS;
    frame.ss = KERNEL_DS;
    frame.rflags = CLEAN_RFLAGS;
    // Until the landing loads the saved one. IRETQ takes any canonical value.
    frame.rsp = 0;
}
