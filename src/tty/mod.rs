//! Terminals: the kernel's own console, and what programs know as one.
//!
//! From the inside out: [`termios`] the settings, [`n_tty`] the line discipline, [`job`] who may use a terminal,
//! [`ioctl`] the orders, [`terminal`] these together, all of it pure. [`pty`] is a pair of two programs' ends. Those who
//! sleep come last: [`device`] on a driver's line, [`pair`] between programs.
//!
//! As devices: `serial` puts the machine's ports below [`device`], by the settings that [`line`] makes; [`ptys`] numbers the
//! pairs, [`devpts`] is their directory; [`nodes`](self) has the names and numbers under which files open them.

pub mod options;

#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
pub mod controlling;

#[cfg(any(test, target_os = "none"))]
pub mod device;
#[cfg(any(test, target_os = "none"))]
pub mod devpts;
#[cfg(any(test, target_os = "none"))]
pub mod error;
#[cfg(any(test, target_os = "none"))]
pub mod ioctl;
#[cfg(any(test, target_os = "none"))]
pub mod job;
#[cfg(any(test, target_os = "none"))]
pub mod line;
#[cfg(any(test, target_os = "none"))]
pub mod n_tty;
#[cfg(target_os = "none")]
pub mod nodes;
#[cfg(any(test, target_os = "none"))]
pub mod pair;
#[cfg(any(test, target_os = "none"))]
pub mod pty;
#[cfg(any(test, target_os = "none"))]
pub mod ptys;
#[cfg(test)]
mod recorded;
#[cfg(target_os = "none")]
pub mod serial;
#[cfg(any(test, target_os = "none"))]
pub mod terminal;
#[cfg(any(test, target_os = "none"))]
pub mod termios;
#[cfg(any(test, target_os = "none"))]
pub mod waiting;

#[cfg(any(test, target_os = "none"))]
pub use device::{Driver, Surroundings, Tty};
