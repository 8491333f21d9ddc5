//! Memory: who owns which byte of RAM, and what is mapped where.
//!
//! Pure parts, tested on the host against models: [`addr`] (addresses that do not mix), [`frame`] (the buddy allocator
//! and its per-CPU caches), [`slab`] (the heap), [`vma`] (what an address space is meant to hold).

pub mod addr;
pub mod frame;
#[cfg(target_os = "none")]
pub mod frames;
#[cfg(test)]
pub mod slab;
#[cfg(test)]
pub mod vma;
