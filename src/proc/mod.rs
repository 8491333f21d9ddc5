//! Processes: what a program is, how it begins, what is sent to it, and what is left of it.
//!
//! The parts that compute and decide are pure: they read files and memory through small traits, know addresses as numbers,
//! and are tested on the host.
//!
//! - [`elf`]: from the bytes of a file to a plan of what is to be mapped where.
//! - [`exec`]: `#!`, the arguments, the stack that a program finds, and where its memory lies.
//! - [`signal`]: what is sent to a program, what becomes of it, and how a handler is called and left.
//! - [`tree`]: who descends from whom, who belongs together, who waits for whose end.
//! - [`ids`]: who it is and may become; [`limits`]: how much it may have.
//! - [`vdso`]: the code that a program is given to tell the time.

pub mod elf;
pub mod exec;
pub mod ids;
pub mod limits;
pub mod memory;
pub mod signal;
pub mod tree;
pub mod vdso;

/// The signal that tells a parent of its child.
pub const SIGCHLD: u8 = signal::Signal::CHLD.number();

#[cfg(target_os = "none")]
pub mod alarm;
#[cfg(target_os = "none")]
pub mod clone;
#[cfg(target_os = "none")]
pub mod cpu_time;
#[cfg(target_os = "none")]
pub mod deliver;
#[cfg(target_os = "none")]
pub mod end;
#[cfg(target_os = "none")]
pub mod futex;
#[cfg(target_os = "none")]
pub mod hog;
#[cfg(target_os = "none")]
pub mod load;
#[cfg(target_os = "none")]
pub mod process;
#[cfg(target_os = "none")]
pub mod run;
#[cfg(target_os = "none")]
pub mod send;
#[cfg(target_os = "none")]
pub mod user;
#[cfg(target_os = "none")]
pub mod wait;
