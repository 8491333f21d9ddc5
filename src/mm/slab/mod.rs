//! The heap: memory in pieces smaller or larger than pages, for the kernel's own structures.
//!
//! ```text
//!   allocate, free            no lock, a few instructions
//!     │
//!   magazine                  this CPU's, one a cache: up to 31 free objects        magazine.rs
//!     │ half of it at a time, under the cache's lock
//!   cache                     slabs of one object size: partial, full, empty        cache.rs, list.rs
//!     │ 1 to 8 pages at a time
//!   PageSource                the frame allocator                                   source.rs
//! ```
//!
//! A [`Heap`] is 19 caches of sizes from 16 bytes to 8 KiB (`classes.rs`), which serve `GlobalAlloc`, and any
//! number of named ones, `static`s of type [`Cache`], for a structure that deserves its own. What is larger than
//! 8 KiB gets pages of its own from a [`LargeSource`], at addresses that [`Ranges`] keeps account of.
//!
//! With [`CHECKED`] each object stands between red zones and knows who allocated it, a freed one is filled with
//! poison, and what goes wrong is named to the [`Alarm`] (`checks.rs`). The type parameter is there so that one
//! test run sees both kinds.
//!
//! Nothing in here panics for want of memory: who asks gets `None`.
//!
//! Sources: J. Bonwick, "The Slab Allocator: An Object-Caching Kernel Memory Allocator" (USENIX Summer 1994);
//! J. Bonwick, J. Adams, "Magazines and Vmem: Extending the Slab Allocator to Many CPUs and Arbitrary Resources"
//! (USENIX 2001).

mod cache;
mod checks;
mod classes;
mod fail;
mod heap;
mod list;
mod magazine;
pub mod ranges;
mod source;

#[cfg(test)]
mod tests;

pub use cache::{Cache, Stats};
pub use checks::{Fault, Live, POISON, Violation};
pub use classes::{CLASSES, MAX_SIZE};
pub use fail::FailAlloc;
pub use heap::Heap;
pub use magazine::{CpuMagazines, MAGAZINES, Mine};
pub use ranges::Ranges;
pub use source::{Alarm, LargeSource, PageSource, Site};

/// Whether this build's heap looks for misuse.
pub const CHECKED: bool = cfg!(debug_assertions);
