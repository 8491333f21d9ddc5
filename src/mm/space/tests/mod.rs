//! Address spaces on the host: frames and a TLB that notice misuse, objects to map, and programs that are checked byte
//! by byte.

mod fuzz;
pub(crate) mod machine;
mod objects;
pub(crate) mod program;
mod refusals;
mod single;
mod threads;
