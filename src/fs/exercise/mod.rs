//! Exercisers: calls at random, as many as wanted, on files that can be said to be right or wrong.
//!
//! [`fsx`] has one file, and knows each byte of it. [`stress`] has many threads in one tree, where nobody knows what is
//! there; but each byte of each file is either zero or the one that belongs there, and in the end all can be taken away.
//! Both run in the host's tests and on the machine; the same seeds give the same calls.
//! [`disk`] is what a file may lie on for them, so that its pages come and go.

pub mod disk;
pub mod fsx;
pub mod stress;
