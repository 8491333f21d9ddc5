//! Memory: who owns which byte of RAM, and what is mapped where.
//!
//! Pure parts, tested on the host against models: [`addr`] (addresses that do not mix), [`frame`] (the buddy allocator
//! and its per-CPU caches), [`slab`] (the heap), [`vma`] (what an address space is meant to hold).
//! At work on the machine: `frames`, `heap` and `vmalloc`; and `pressure`, when there is too little.

pub mod addr;
pub mod frame;
#[cfg(target_os = "none")]
pub mod frames;
#[cfg(target_os = "none")]
pub mod heap;
#[cfg(any(test, target_os = "none"))]
pub mod pressure;
#[cfg(any(test, target_os = "none"))]
pub mod slab;
#[cfg(any(test, target_os = "none"))]
pub mod space;
#[cfg(any(test, target_os = "none"))]
pub mod vma;
#[cfg(target_os = "none")]
pub mod vmalloc;

/// Takes over all RAM, and the heap on it. Once, before anything else asks for memory; see
/// [`frames::init`] for what must not be in use any more.
#[cfg(target_os = "none")]
pub fn init(regions: &'static [crate::boot::info::MemoryRegion]) {
    frames::init(regions);
    heap::add_cpu(0);
    pressure::init();
    assert!(space::live::init(), "not one frame is left for the page of zeroes");
}
