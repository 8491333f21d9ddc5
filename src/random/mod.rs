//! Random numbers that nobody can guess: for addresses, for /dev/random, for getrandom.
//!
//! ```text
//! RDSEED, RDRAND ─┐
//! interrupts      ├─► pool (hash, account) ──256 bits──► base key ──► a generator on each CPU ──► fill
//! CPU jitter     ─┘
//! ```
//!
//! Until 256 bits are credited the generator is not *ready*: [`fill`] gives bytes all the same, from what there is, and
//! [`fill_ready`] and [`try_fill`] do not. That is the difference between /dev/urandom and getrandom; from then on all are
//! the same and none ever waits again. With RDSEED or RDRAND it is ready before there is a second thread. Without, it
//! takes some ten thousand interrupts, or the first who needs it: [`fill_ready`] then lets the CPU run against its own
//! clock until that is enough, some milliseconds.
//!
//! What the CPU's generator says is believed (it is credited) where it is not obviously broken, and it is only ever one of
//! several inputs of a hash: if it lies, the others still count.

pub mod blake2s;
pub mod chacha;
pub mod generator;
pub mod jitter;
#[cfg(target_os = "none")]
mod live;
pub mod pool;

#[cfg(target_os = "none")]
pub use live::*;
