//! Locks. What needs none because each CPU has its own is in `arch::x86_64::percpu`.
//!
//! | lock | who waits | for |
//! | --- | --- | --- |
//! | [`SpinLock`] | spins | short work that no interrupt handler shares |
//! | [`IrqLock`] | spins, interrupts off | short work that handlers share |
//! | [`RwLock`] | spins | many readers, few writers |
//! | [`SeqLock`] | reads once more | a few words, read very often |
//! | [`epoch`] | the writer | tables, read on every call |
//! | [`Mutex`], [`RwMutex`] | sleeps | long work |
//! | [`WaitQueue`], [`Completion`], [`Semaphore`] | sleeps | something to happen |
//!
//! Who may be interrupted by a signal waits as [`interrupt`] says. Which may be taken under which is in [`rank`]; a debug build checks it ([`checks`]).

pub mod checks;
pub mod completion;
#[cfg(any(test, target_os = "none"))]
pub mod epoch;
#[cfg(target_os = "none")]
pub mod grace;
#[cfg(test)]
#[path = "grace_host.rs"]
pub mod grace;
pub mod hooks;
#[cfg(any(test, target_os = "none"))]
pub mod interrupt;
pub mod irq_lock;
pub mod mutex;
pub mod parker;
pub mod rank;
pub mod rw_lock;
pub mod rw_mutex;
pub mod semaphore;
pub mod seq_lock;
pub mod spin_lock;
pub mod ticket;
#[cfg(test)]
mod torture;
pub mod wait_queue;
pub mod waiters;
pub mod watchdog;

pub use completion::Completion;
pub use irq_lock::{IrqGuard, IrqLock};
pub use mutex::Mutex;
pub use rank::Rank;
pub use rw_lock::RwLock;
pub use rw_mutex::RwMutex;
pub use semaphore::Semaphore;
pub use seq_lock::SeqLock;
pub use spin_lock::SpinLock;
pub use wait_queue::WaitQueue;
