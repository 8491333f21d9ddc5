//! What the heap stands on: pages, larger ranges, and somebody to tell of misuse. Implemented by the kernel with
//! frames and page tables, by the tests with memory of the host.

use super::checks::Violation;
use crate::mm::frame::info::FrameInfo;
use core::ptr::NonNull;

/// Who asks: a return address in the kernel, for which the monitor knows a symbol. 0 says nothing.
pub type Site = usize;

/// Pages of 4 KiB, in blocks of a power of two.
///
/// # Safety
/// A block is `4096 << order` bytes, begins at a multiple of that, may be read and written, and is nobody else's
/// until it is freed. `number` and `page` are each other's inverse for pages of the source, and `info` gives each
/// page its own. While the heap has a block, the links, the mapping and the index of its first page are the heap's;
/// and no page that it does not have has the address of a [`Cache`](super::Cache) for its mapping.
pub unsafe trait PageSource {
    /// A block whose bytes may be anything. No lock of the heap is held.
    fn allocate(&self, order: u32) -> Option<NonNull<u8>>;

    /// Takes a block back.
    ///
    /// # Safety
    /// It came from `allocate` with the same order, and nobody uses it any more.
    unsafe fn free(&self, first: NonNull<u8>, order: u32);

    /// The number of the page that `at` lies in; `None` where the source has no page. `u32::MAX` is no number.
    fn number(&self, at: NonNull<u8>) -> Option<u32>;

    /// The page of a number that `number` has given.
    fn page(&self, number: u32) -> NonNull<u8>;

    /// What is known of that page.
    fn info(&self, number: u32) -> &FrameInfo;
}

/// Memory for what is larger than [`MAX_SIZE`](super::MAX_SIZE): whole pages in the vmalloc area, one that is not
/// mapped behind each.
///
/// # Safety
/// What is given is at least `size` bytes at a multiple of `align`, and nobody else's until it is freed.
pub unsafe trait LargeSource {
    fn allocate_large(&self, size: usize, align: usize, site: Site) -> Option<NonNull<u8>>;

    /// Takes it back. What was never given, or is freed already, is a violation, and the source reports it.
    ///
    /// # Safety
    /// `at` came from `allocate_large` with the same size, and nobody uses it any more.
    unsafe fn free_large(&self, at: NonNull<u8>, size: usize, site: Site);
}

/// Is told of misuse.
pub trait Alarm {
    /// The kernel panics. Where this returns, the heap goes on as well as it can: what is freed twice stays
    /// free, what has overflowed is freed.
    fn violation(&self, found: &Violation);
}
