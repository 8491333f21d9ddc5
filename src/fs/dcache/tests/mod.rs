//! The cache under all interleavings of its steps, and its bound.

pub mod explore;
mod interleave;
