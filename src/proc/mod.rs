//! Processes: what a program is, how it begins, what is sent to it.
//!
//! The parts here compute and decide. They are pure: they read files and memory through small traits, know addresses as
//! numbers, and are tested on the host.
//!
//! - [`elf`]: from the bytes of a file to a plan of what is to be mapped where.
//! - [`exec`]: `#!`, the arguments, the stack that a program finds, and where its memory lies.
//! - [`signal`]: what is sent to a program, what becomes of it, and how a handler is called and left.

pub mod elf;
pub mod exec;
pub mod memory;
pub mod signal;
