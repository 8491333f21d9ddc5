//! Numbers of pages: [`Frame`] for physical memory, [`Page`] for an address space, and runs of both.
//!
//! A frame's number has 32 bits, so that a link between two frames has four bytes. That is 16 TiB, twice what the
//! direct map reaches. The last number is no frame: in a link it means "none", and the end of a range fits too.

use super::{PageSize, PhysAddr, VirtAddr};
use crate::boot::layout::{DIRECT_MAP_BASE, DIRECT_MAP_SIZE, PAGE_SIZE};

/// A page of physical memory, by its number: the address divided by 4096.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Frame(u32);

impl Frame {
    /// First number that is no frame.
    pub const END: u32 = u32::MAX;

    /// `None` from [`Frame::END`] on.
    pub const fn new(number: u64) -> Option<Self> {
        if number < Self::END as u64 { Some(Self(number as u32)) } else { None }
    }

    /// The same for a number that is short enough already.
    pub const fn from_u32(number: u32) -> Option<Self> {
        if number < Self::END { Some(Self(number)) } else { None }
    }

    /// For a number that was a frame's before, or is between two such.
    #[inline]
    pub(in crate::mm) const fn from_link(number: u32) -> Self {
        debug_assert!(number < Self::END);
        Self(number)
    }

    /// The frame that the address is in; `None` from 16 TiB on.
    pub const fn containing(address: PhysAddr) -> Option<Self> {
        Self::new(address.as_u64() / PAGE_SIZE)
    }

    pub const fn number(self) -> u32 {
        self.0
    }

    /// Address of its first byte.
    pub const fn start(self) -> PhysAddr {
        PhysAddr(self.0 as u64 * PAGE_SIZE)
    }

    /// Where the direct map has it. All that the allocator gives out is within its reach.
    pub const fn to_direct(self) -> VirtAddr {
        debug_assert!((self.0 as u64) < DIRECT_MAP_SIZE / PAGE_SIZE);
        VirtAddr(DIRECT_MAP_BASE + self.0 as u64 * PAGE_SIZE)
    }

    pub const fn checked_add(self, pages: u32) -> Option<Self> {
        match self.0.checked_add(pages) {
            Some(sum) => Self::from_u32(sum),
            None => None,
        }
    }

    pub const fn checked_sub(self, pages: u32) -> Option<Self> {
        match self.0.checked_sub(pages) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// Whether a page of that size can begin here.
    pub const fn is_aligned(self, size: PageSize) -> bool {
        self.start().is_aligned(size)
    }
}

/// Frames one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRange {
    start: u32,
    end: u32,
}

impl FrameRange {
    pub const EMPTY: Self = Self { start: 0, end: 0 };

    /// `pages` frames from `start` on; `None` if some of them do not exist.
    pub const fn new(start: Frame, pages: u32) -> Option<Self> {
        match start.0.checked_add(pages) {
            Some(end) => Some(Self { start: start.0, end }),
            None => None,
        }
    }

    /// From the number `start` to before the number `end`; empty if that is no way up.
    pub const fn between(start: u32, end: u32) -> Self {
        if start < end { Self { start, end } } else { Self::EMPTY }
    }

    /// The whole frames between two addresses, as far as frames go.
    pub const fn inside(start: u64, end: u64) -> Self {
        let first = start.div_ceil(PAGE_SIZE);
        let past = end / PAGE_SIZE;
        let limit = Frame::END as u64;
        Self::between(
            if first < limit { first as u32 } else { Frame::END },
            if past < limit { past as u32 } else { Frame::END },
        )
    }

    /// Number of the first frame.
    pub const fn first(self) -> u32 {
        self.start
    }

    /// Number past the last frame.
    pub const fn end(self) -> u32 {
        self.end
    }

    /// The first frame; `None` if there is none.
    pub const fn start(self) -> Option<Frame> {
        if self.is_empty() { None } else { Some(Frame(self.start)) }
    }

    pub const fn pages(self) -> u32 {
        self.end - self.start
    }

    pub const fn bytes(self) -> u64 {
        self.pages() as u64 * PAGE_SIZE
    }

    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub const fn contains(self, frame: Frame) -> bool {
        self.start <= frame.0 && frame.0 < self.end
    }

    /// What both have.
    pub const fn intersection(self, other: Self) -> Self {
        let start = if self.start > other.start { self.start } else { other.start };
        let end = if self.end < other.end { self.end } else { other.end };
        Self::between(start, end)
    }

    pub const fn overlaps(self, other: Self) -> bool {
        !self.intersection(other).is_empty()
    }

    /// What is left of it before and behind `other`.
    pub const fn without(self, other: Self) -> [Self; 2] {
        let common = self.intersection(other);
        if common.is_empty() {
            return [self, Self::EMPTY];
        }
        [Self::between(self.start, common.start), Self::between(common.end, self.end)]
    }

    /// Frame by frame, upwards.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Frame> + ExactSizeIterator {
        (self.start..self.end).map(Frame)
    }
}

/// A page of an address space, by its number: the address divided by 4096, so the upper half's numbers begin with
/// ones as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Page(u64);

impl Page {
    /// The page that the address is in.
    pub const fn containing(address: VirtAddr) -> Self {
        Self(address.0 / PAGE_SIZE)
    }

    pub const fn number(self) -> u64 {
        self.0
    }

    /// Address of its first byte.
    pub const fn start(self) -> VirtAddr {
        VirtAddr(self.0 * PAGE_SIZE)
    }

    /// `None` if that is not in the same half any more.
    pub const fn checked_add(self, pages: u64) -> Option<Self> {
        match pages.checked_mul(PAGE_SIZE) {
            Some(bytes) => match self.start().checked_add(bytes) {
                Some(sum) => Some(Self::containing(sum)),
                None => None,
            },
            None => None,
        }
    }

    /// `None` if that is not in the same half any more.
    pub const fn checked_sub(self, pages: u64) -> Option<Self> {
        match pages.checked_mul(PAGE_SIZE) {
            Some(bytes) => match self.start().checked_sub(bytes) {
                Some(difference) => Some(Self::containing(difference)),
                None => None,
            },
            None => None,
        }
    }

    /// Whether a page of that size can begin here.
    pub const fn is_aligned(self, size: PageSize) -> bool {
        self.start().is_aligned(size)
    }
}

/// Pages one after the other, all in one half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRange {
    start: u64,
    end: u64,
}

impl PageRange {
    /// `pages` pages from `start` on; `None` if they do not fit into the half.
    pub const fn new(start: Page, pages: u64) -> Option<Self> {
        let range = Self { start: start.0, end: start.0.saturating_add(pages) };
        // The end of a half is a number that is not a page's.
        let fits = pages == 0 || start.checked_add(pages - 1).is_some();
        if fits { Some(range) } else { None }
    }

    /// The pages that `len` bytes from `address` on are in; `None` if they do not fit into the half.
    pub const fn covering(address: VirtAddr, len: u64) -> Option<Self> {
        let first = Page::containing(address);
        if len == 0 {
            return Self::new(first, 0);
        }
        match address.checked_add(len - 1) {
            Some(last) => Self::new(first, Page::containing(last).0 - first.0 + 1),
            None => None,
        }
    }

    /// Number of the first page.
    pub const fn first(self) -> u64 {
        self.start
    }

    /// Number past the last page.
    pub const fn end(self) -> u64 {
        self.end
    }

    /// The first page; `None` if there is none.
    pub const fn start(self) -> Option<Page> {
        if self.is_empty() { None } else { Some(Page(self.start)) }
    }

    pub const fn pages(self) -> u64 {
        self.end - self.start
    }

    pub const fn bytes(self) -> u64 {
        self.pages() * PAGE_SIZE
    }

    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub const fn contains(self, page: Page) -> bool {
        self.start <= page.0 && page.0 < self.end
    }

    pub const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Page by page, upwards.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Page> {
        (self.start..self.end).map(Page)
    }
}
