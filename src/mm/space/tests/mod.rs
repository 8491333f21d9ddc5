//! Address spaces on the host: frames and a TLB that notice misuse, objects to map, and programs that are checked byte
//! by byte.

mod fuzz;
mod machine;
mod objects;
mod program;
mod refusals;
mod single;
mod threads;
