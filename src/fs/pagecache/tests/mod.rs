//! Tests of the page cache, on frames and a TLB that notice misuse and a disk that is slow and fails.

pub mod disk;
mod limits;
mod model;
mod program;
mod races;
mod rules;
