//! The monitor: the kernel's own shell, and a window on everything below it.
//!
//! A command is one entry of a table and one function ([`commands`]); [`parse`] reads its words and
//! [`editor`] the keys. `shell` puts them together.

pub mod editor;
pub mod parse;

#[cfg(target_os = "none")]
pub mod commands;

#[cfg(target_os = "none")]
mod shell;

#[cfg(target_os = "none")]
pub use shell::{init, print_history, run};
