//! System calls: the table, and the thin handlers that check arguments and call down.
//!
//! ```text
//! asm/syscall.S ─► task::context ─► proc::run ─► dispatch ─► TABLE[number] ─► a handler ─► fs, mm, proc, …
//! ```
//!
//! [`table`] is the one list: number, name, what the arguments are called, who serves it. Dispatch, the `strace` option and
//! the documents are made from it. A number that is not served is -ENOSYS, and one line of the log for each program: nothing
//! pretends.
//!
//! A handler gets the six registers as numbers, and the thread ([`Call`]). What it returns goes into rax.

pub mod flat;
pub mod table;

#[cfg(target_os = "none")]
mod attributes;
#[cfg(target_os = "none")]
mod clocks;
#[cfg(target_os = "none")]
mod descriptors;
#[cfg(target_os = "none")]
mod dispatch;
#[cfg(target_os = "none")]
mod files;
#[cfg(target_os = "none")]
mod ids;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod processes;
#[cfg(target_os = "none")]
mod ready;
#[cfg(target_os = "none")]
mod scheduling;
#[cfg(target_os = "none")]
mod signals;
#[cfg(target_os = "none")]
mod syslog;
#[cfg(target_os = "none")]
pub mod system;
#[cfg(target_os = "none")]
mod transfer;

#[cfg(target_os = "none")]
pub use dispatch::{Call, init, trace};

/// rdi, rsi, rdx, r10, r8, r9.
pub type Arguments = [u64; 6];
