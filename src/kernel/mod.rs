//! What ties the layers together: start-up, traps, panics, self-tests, and the kernel's own symbols.

pub mod symbols;

#[cfg(target_os = "none")]
pub mod backtrace;
#[cfg(target_os = "none")]
pub mod image;
#[cfg(target_os = "none")]
pub mod panic;
#[cfg(target_os = "none")]
pub mod selftest;
#[cfg(target_os = "none")]
pub mod start;
#[cfg(target_os = "none")]
pub mod traps;
