//! Threads, and which of them runs.
//!
//! - [`sched`]: the policy, pure: who runs next on which CPU, and for how long.
//! - [`trace`]: what happened to whom and when, to be drawn as a time line.

pub mod sched;
pub mod trace;
