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

/// Whether an experiment is running.
pub fn is_running() -> bool {
    RUNNING.load(Ordering::Relaxed)
}

/// Turns the frame of an exception into a return to the end of the experiment that is running. Not for a
/// double fault, after which the interrupted state is not to be trusted.
pub fn resume(frame: &mut TrapFrame) {
    RUNNING.store(false, Ordering::Relaxed);
    frame.rip = recover_landing as *const () as u64;
    frame.cs = KERNEL_CS;
    frame.ss = KERNEL_DS;
    frame.rflags = CLEAN_RFLAGS;
    // Until the landing loads the saved one. IRETQ takes any canonical value.
    frame.rsp = 0;
}
