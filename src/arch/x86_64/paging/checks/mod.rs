//! Tests of `table`, `range` and `gather` on a machine of the imagination.
//!
//! [`machine`] has memory for tables, which notices use after it was freed, and a TLB, which keeps what it has seen as long
//! as it is allowed to. [`single`] holds the cases one can name, [`threads`] page faults side by side, and
//! [`random`] everything against a model with one cell a page.

mod machine;
mod random;
mod single;
mod threads;
