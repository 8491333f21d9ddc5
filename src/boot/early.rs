//! Pages for the time before there is a memory manager: a bump allocator.
//!
//! It takes pages off the top of the largest usable region below 4 GiB, zeroed, and never gives one back. Page
//! tables for device registers come from here. The memory manager to come asks [`Bump::taken`] what is gone.

use super::info::{MemoryKind, MemoryRegion};
use super::layout::PAGE_SIZE;

/// The allocator: pages between `start` and `next` are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bump {
    start: u64,
    next: u64,
    end: u64,
}

impl Bump {
    /// Nothing to give.
    pub const EMPTY: Self = Self { start: 0, next: 0, end: 0 };

    /// Over the largest usable region below 4 GiB.
    pub fn new(regions: &[MemoryRegion]) -> Self {
        const LIMIT: u64 = 1 << 32;
        let usable = regions.iter().filter(|r| r.kind == MemoryKind::Usable && r.start < LIMIT);
        let largest = usable.map(|r| (r.start, r.end().min(LIMIT))).max_by_key(|(start, end)| end - start);
        largest.map_or(Self::EMPTY, |(start, end)| Self { start, next: end, end })
    }

    /// Physical address of a page; `None` when all are gone. Its content is whatever was there.
    pub fn allocate(&mut self) -> Option<u64> {
        if self.next - self.start < PAGE_SIZE {
            return None;
        }
        self.next -= PAGE_SIZE;
        Some(self.next)
    }

    /// The pages given out so far: start and end.
    pub fn taken(&self) -> (u64, u64) {
        (self.next, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn region(start: u64, pages: u64, kind: MemoryKind) -> MemoryRegion {
        MemoryRegion { start, pages, kind, reserved: 0, attributes: 8 }
    }

    #[test]
    fn takes_from_the_top_of_the_largest_region_below_4_gib() {
        let regions = [
            region(0x1000, 8, MemoryKind::Usable),
            region(0x10_0000, 3, MemoryKind::Usable),
            region(0x20_0000, 100, MemoryKind::BootServices),
            region(1 << 32, 1000, MemoryKind::Usable),
        ];
        let mut bump = Bump::new(&regions);
        assert_eq!(bump.allocate(), Some(0x8000));
        assert_eq!(bump.allocate(), Some(0x7000));
        assert_eq!(bump.taken(), (0x7000, 0x9000));
        for _ in 2..8 {
            assert!(bump.allocate().is_some());
        }
        assert_eq!(bump.allocate(), None);
    }

    #[test]
    fn a_region_across_4_gib_is_cut_there() {
        let mut bump = Bump::new(&[region((1 << 32) - 0x2000, 16, MemoryKind::Usable)]);
        assert_eq!(bump.allocate(), Some((1 << 32) - 0x1000));
        assert_eq!(bump.allocate(), Some((1 << 32) - 0x2000));
        assert_eq!(bump.allocate(), None);
        assert_eq!(Bump::new(&[]).allocate(), None);
    }
}
