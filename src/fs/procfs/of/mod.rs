//! A process's files.

pub mod fdinfo;
pub mod limits;
pub mod maps;
pub mod mounts;
pub mod stat;
pub mod status;

/// Bytes of the longest name that a program can have.
pub const NAME_BYTES: usize = 15;
