//! What the kernel knows and says of itself: its image and symbols, traps, panics, self-tests.

pub mod symbols;

#[cfg(target_os = "none")]
pub mod backtrace;
#[cfg(target_os = "none")]
pub mod bench;
#[cfg(target_os = "none")]
pub mod boot_info;
#[cfg(target_os = "none")]
pub mod files;
#[cfg(target_os = "none")]
pub mod first;
#[cfg(target_os = "none")]
pub mod grace;
#[cfg(target_os = "none")]
pub mod idle;
#[cfg(target_os = "none")]
pub mod image;
#[cfg(target_os = "none")]
pub mod locks;
#[cfg(target_os = "none")]
pub mod others;
#[cfg(target_os = "none")]
pub mod panic;
#[cfg(target_os = "none")]
pub mod processes;
#[cfg(target_os = "none")]
pub mod procfs;
#[cfg(target_os = "none")]
pub mod selftest;
#[cfg(target_os = "none")]
pub mod traps;
#[cfg(target_os = "none")]
pub mod user;
#[cfg(target_os = "none")]
pub mod watchdog;
