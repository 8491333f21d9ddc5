//! Threads, and which of them runs.
//!
//! ```text
//! spawn ──► ready ◄────────────── unpark, a timer ──── parked
//!             │ ▲                                        ▲
//!             ▼ │ its slice is over, or it yields        │ park, sleep_until, WaitQueue
//!           running ─────────────────────────────────────┘
//!             │ exit
//!             ▼
//!           dead ──► buried by the next thread on that CPU ──► join returns
//! ```
//!
//! - [`thread`]: what is kept of a thread, and who may hold it. [`stack`]: what it runs on.
//! - [`sched`]: the policy, pure: who runs next on which CPU, and for how long.
//! - [`trace`]: what happened to whom and when, to be drawn as a time line. [`recorder`] takes it down.
//! - [`schedule`]: the switch, and what asks for it. [`life`]: beginning, end and burial.
//! - `parker`: how [`sync`](crate::sync)'s locks and wait queues put threads to sleep. [`fpu`]: floating-point state.
//! - [`context`]: what a thread has of a CPU beside its stack: that state, the lower half, ring 3's segments.
//! - [`fault`]: page faults of the program that a thread runs.
//! - [`worker`]: the threads that do what interrupt handlers leave for later.
//!
//! Every CPU has a run queue of its own behind a lock of its own. A thread is in the queue of its home CPU, or was last,
//! and its state is changed under that queue's lock. The lock is held *across* a switch and let go by the thread that
//! goes on: so whoever has it finds that a thread which is not running is really off its stack.
//!
//! Lock order: a wait queue's, then a run queue's, then the timers'. Nobody holds two run queues' locks.

pub mod sched;
pub mod trace;

#[cfg(target_os = "none")]
pub mod context;
#[cfg(target_os = "none")]
pub mod fault;
#[cfg(target_os = "none")]
pub mod fpu;
#[cfg(target_os = "none")]
pub mod life;
#[cfg(target_os = "none")]
mod parker;
#[cfg(target_os = "none")]
pub mod recorder;
#[cfg(target_os = "none")]
pub mod schedule;
#[cfg(target_os = "none")]
pub mod stack;
#[cfg(target_os = "none")]
pub mod thread;
#[cfg(target_os = "none")]
pub mod worker;

pub use sched::{CpuSet, Policy};

#[cfg(target_os = "none")]
pub use life::{JoinHandle, NoThread, exit, init, init_cpu, init_workers, spawn, spawn_on, spawn_within};
#[cfg(target_os = "none")]
pub use schedule::{park, prod as interrupt, sleep_until, unpark, yield_now};
#[cfg(target_os = "none")]
pub use thread::{Name, Thread, ThreadRef, current};
