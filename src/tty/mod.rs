//! Terminals. So far the kernel's own console, and the options that choose it.

pub mod options;

#[cfg(target_os = "none")]
pub mod console;
