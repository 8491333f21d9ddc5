//! The VFS on tmpfs, as programs would see it: single calls with their errors, random ones against a model, and many
//! threads at once.

mod calls;
mod counted;
mod exercisers;
mod fds;
mod filelocks;
mod memory;
mod model;
mod mounted;
mod permissions;
mod threads;
mod unpacking;
pub(in crate::fs) mod world;
