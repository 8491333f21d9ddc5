//! Numbers that bound an address space, and the sums that are held against them.
//!
//! Used by every call that makes a mapping larger. `None` of a limit is Linux's `RLIM_INFINITY`.

use super::super::Error;
use super::super::area::{Area, Flags};
use super::super::span::{Span, page_up};
use crate::boot::layout::{PAGE_SIZE, USER_END};

/// Most areas of one address space, as on Linux (`vm.max_map_count`).
pub const MAP_COUNT_MAX: usize = 65_530;

/// Where things are placed when the program does not say. Page-aligned addresses.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Nothing is mapped below, so that a null pointer with an offset faults, in the kernel too (`vm.mmap_min_addr`).
    pub lowest: u64,
    /// Mappings go below this, from the top down; above it are the stack and the room that it has to grow.
    pub top: u64,
    /// If nothing is free there, from here on upwards.
    pub bottom: u64,
    /// Nothing is mapped from here on.
    pub end: u64,
}

impl Layout {
    /// Without randomness, for a stack that may grow to `stack_limit` bytes: Linux leaves at least 128 MiB and at most
    /// five sixths of everything for it.
    pub fn with_stack(stack_limit: Option<u64>) -> Self {
        let room = stack_limit.unwrap_or(u64::MAX).clamp(128 << 20, USER_END / 6 * 5);
        let room = page_up(room).unwrap_or(USER_END / 6 * 5 / PAGE_SIZE * PAGE_SIZE);
        let bottom = page_up(USER_END / 3).unwrap_or(USER_END);
        Self { lowest: 0x1_0000, top: (USER_END - room) / PAGE_SIZE * PAGE_SIZE, bottom, end: USER_END }
    }

    /// `len` bytes at `start`, if a program may have them. `len` is page-aligned.
    pub fn span(&self, start: u64, len: u64) -> Option<Span> {
        Span::at(start, len).filter(|span| span.end <= self.end)
    }
}

/// What a process may have, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `RLIMIT_AS`: everything that is mapped.
    pub address_space: Option<u64>,
    /// `RLIMIT_DATA`: private writable mappings but stacks, and the heap.
    pub data: Option<u64>,
    /// `RLIMIT_STACK`: one stack.
    pub stack: Option<u64>,
    /// How many areas.
    pub map_count: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { address_space: None, data: None, stack: Some(8 << 20), map_count: MAP_COUNT_MAX }
    }
}

/// Sums over areas, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    pub mapped: u64,
    /// As [`Area::is_data`] has it.
    pub data: u64,
    pub stack: u64,
    pub shared: u64,
    /// Charged to the commit account.
    pub charged: u64,
}

impl Totals {
    pub const NONE: Self = Self { mapped: 0, data: 0, stack: 0, shared: 0, charged: 0 };

    pub(super) fn add<F>(&mut self, span: Span, area: &Area<F>) {
        let pages = span.pages();
        self.mapped += pages;
        self.data += if area.is_data() { pages } else { 0 };
        self.stack += if area.flags.contains(Flags::GROWS_DOWN) { pages } else { 0 };
        self.shared += if area.is_private() { 0 } else { pages };
        self.charged += area.charged_pages(span);
    }

    pub(super) fn sub<F>(&mut self, span: Span, area: &Area<F>) {
        let mut less = Self::NONE;
        less.add(span, area);
        self.mapped -= less.mapped;
        self.data -= less.data;
        self.stack -= less.stack;
        self.shared -= less.shared;
        self.charged -= less.charged;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.mapped += other.mapped;
        self.data += other.data;
        self.stack += other.stack;
        self.shared += other.shared;
        self.charged += other.charged;
    }

    /// Whether `pages` that are mapped already may become data.
    pub(super) fn allow_data(&self, pages: u64, limits: &Limits) -> Result<(), Error> {
        let fits = limits.data.is_none_or(|bytes| self.data + pages <= bytes / PAGE_SIZE);
        if fits { Ok(()) } else { Err(Error::NoMemory) }
    }

    /// Whether `pages` more of an area like this are within the limits, once `gone` has been taken out.
    pub(super) fn allow(&self, pages: u64, data: bool, gone: &Self, limits: &Limits) -> Result<(), Error> {
        let fits = |now: u64, limit: Option<u64>| {
            limit.is_none_or(|bytes| now.checked_add(pages).is_some_and(|sum| sum <= bytes / PAGE_SIZE))
        };
        if !fits(self.mapped - gone.mapped, limits.address_space) {
            return Err(Error::NoMemory);
        }
        if data && !fits(self.data - gone.data, limits.data) {
            return Err(Error::NoMemory);
        }
        Ok(())
    }
}
