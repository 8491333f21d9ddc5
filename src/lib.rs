//! The SIS kernel for x86_64, as a library.
//!
//! Two programs are made of it: the UEFI loader (`src/bin/loader.rs`) and the kernel (`src/bin/kernel.rs`).
//! On the host the same code runs under `cargo test --lib`: all that needs neither ring 0 nor firmware.
//! `docs/reading-order` says where to begin.
//!
//! A layer uses those below it only; `make check` reads the `use` lines. From the hardware up:
//! `boot` (what both programs share), `arch`, `log`, `random`, `platform`, `mm`, `task`, `drivers`, `fs`, `proc` (programs), `tty`, `kernel` (traps, panics,
//! self-tests), `monitor`, and `start`, which brings all of them up.

#![cfg_attr(not(test), no_std)]

#[cfg(any(test, target_os = "none"))]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acpi;
pub mod arch;
pub mod avl;
pub mod boot;
pub mod cpu_set;
pub mod drivers;
pub mod errno;
#[cfg(any(test, target_os = "none"))]
pub mod fs;
pub mod kernel;
pub mod log;
pub mod mm;
pub mod monitor;
pub mod platform;
#[cfg(any(test, target_os = "none"))]
pub mod proc;
pub mod random;
#[cfg(target_os = "none")]
pub mod start;
pub mod sync;
#[cfg(any(test, target_os = "none"))]
pub mod syscall;
#[cfg(any(test, target_os = "none"))]
pub mod task;
#[cfg(any(test, target_os = "none"))]
mod testing;
pub mod time;
pub mod tty;
pub mod utf8;
