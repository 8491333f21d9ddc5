//! A range of user addresses: from `start` up to, but not with, `end`; both at page boundaries.
//!
//! The lowest thing in this folder, without knowledge of the others. User programs choose addresses and lengths, so
//! whatever makes a span of their numbers says `None` where they wrap or do not fit.

use core::fmt;

use crate::boot::layout::PAGE_SIZE;

/// `start..end` in bytes, page-aligned, not empty unless said so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: u64,
    pub end: u64,
}

impl Span {
    pub const fn new(start: u64, end: u64) -> Self {
        debug_assert!(start <= end && start % PAGE_SIZE == 0 && end % PAGE_SIZE == 0);
        Self { start, end }
    }

    /// `len` bytes from `start` on, if that does not wrap. Both must be page-aligned.
    pub fn at(start: u64, len: u64) -> Option<Self> {
        Some(Self::new(start, start.checked_add(len)?))
    }

    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    pub const fn pages(self) -> u64 {
        self.len() / PAGE_SIZE
    }

    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub const fn contains(self, addr: u64) -> bool {
        self.start <= addr && addr < self.end
    }

    pub const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// What both have; empty, at some place, if that is nothing.
    pub fn common(self, other: Self) -> Self {
        let start = self.start.max(other.start);
        Self::new(start, self.end.min(other.end).max(start))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{:#x}..{:#x}", self.start, self.end)
    }
}

/// Whether an address or a length is a multiple of the page size.
pub const fn aligned(value: u64) -> bool {
    value % PAGE_SIZE == 0
}

/// The next page boundary at or below.
pub const fn page_down(value: u64) -> u64 {
    value - value % PAGE_SIZE
}

/// The next page boundary at or above, if there is one below 2^64.
pub fn page_up(value: u64) -> Option<u64> {
    value.checked_next_multiple_of(PAGE_SIZE)
}
