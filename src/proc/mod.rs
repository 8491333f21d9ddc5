//! Processes: programs that nobody here wrote.

pub mod tree;

/// The signal that tells a parent of its child.
pub const SIGCHLD: u8 = 17;
