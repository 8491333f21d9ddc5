//! Who runs next, on which CPU, for how long: the scheduler's policy. Pure code; nothing here switches, sleeps or
//! takes a lock.
//!
//! Each thread has an [`Entity`], each CPU a [`RunQueue`]. The thread layer calls a run queue with what has happened
//! (a thread woke up, sleeps, yields, time has passed) and the time, and is told who is to run and when to look again.
//! The parts, from the bottom up:
//!
//! - [`cell`]: words that several CPUs may look at. [`weight`]: nice values, virtual time.
//! - [`entity`]: what is kept of a thread.
//! - [`fair`]: the fair class, EEVDF. [`real_time`]: the classes FIFO and RR.
//! - [`queue`]: a CPU's run queue: both classes, the idle thread, the thread that runs.
//! - [`board`]: what each CPU shows the others of its load. [`topology`]: which CPUs are near each other.
//! - [`place`]: on which CPU a thread is to wake up or begin. [`balance`]: when to move one.
//!
//! # Locking
//!
//! A run queue belongs to one lock, of its CPU, that keeps interrupts out; every method with `&mut self` runs under it.
//! An entity is changed under the lock of the run queue in which it is; while it is in none, by whoever has taken it
//! out or is about to put it in, one at a time: the thread layer's own lock or state word sees to that. The board and
//! the topology need no lock. Should somebody break these rules, queues are wrong, but nothing is undefined: all that
//! is shared is made of atomic words, relaxed, which on this machine are plain loads and stores.

pub mod balance;
pub mod board;
pub mod cell;
pub mod entity;
pub mod fair;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod model;
pub mod place;
pub mod queue;
pub mod real_time;
#[cfg(test)]
mod sim;
pub mod topology;
pub mod weight;

pub use crate::cpu_set::CpuSet;
pub use board::Board;
pub use entity::{Entity, Policy};
pub use queue::{Arrival, Leaving, RunQueue};
pub use topology::Topology;
