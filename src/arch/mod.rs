//! Processor architectures. One so far.

pub mod x86_64;
