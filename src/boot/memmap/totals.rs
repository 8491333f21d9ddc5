//! Sums over the finished list of regions: for the start-up line, the `memmap` command and the direct map.
//!
//! The list may come from a loader of another build, so every sum saturates: a wild number shows, and breaks
//! nothing.

use super::super::info::{MemoryKind, MemoryRegion};
use super::super::layout::PAGE_SIZE;

/// Every kind, in the order of their numbers.
pub const ALL_KINDS: [MemoryKind; MemoryKind::Reserved as usize] = [
    MemoryKind::Usable,
    MemoryKind::BootServices,
    MemoryKind::Kernel,
    MemoryKind::PageTables,
    MemoryKind::BootInfo,
    MemoryKind::Initrd,
    MemoryKind::Trampoline,
    MemoryKind::AcpiReclaim,
    MemoryKind::AcpiNvs,
    MemoryKind::Runtime,
    MemoryKind::Unusable,
    MemoryKind::Persistent,
    MemoryKind::Mmio,
    MemoryKind::Reserved,
];

/// Pages of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pages: [u64; MemoryKind::Reserved as usize],
}

impl Totals {
    /// Pages of one kind.
    pub const fn pages(&self, kind: MemoryKind) -> u64 {
        self.pages[kind as usize - 1]
    }

    /// Pages of all the kinds that are RAM.
    pub fn ram_pages(&self) -> u64 {
        ALL_KINDS
            .iter()
            .filter(|kind| kind.is_ram())
            .fold(0, |sum, &kind| sum.saturating_add(self.pages(kind)))
    }
}

/// How many pages there are of each kind.
pub fn totals(regions: &[MemoryRegion]) -> Totals {
    let mut totals = Totals::default();
    for region in regions {
        let sum = &mut totals.pages[region.kind as usize - 1];
        *sum = sum.saturating_add(region.pages);
    }
    totals
}

/// First address past the last RAM, 0 without any: how far a direct map has to reach.
pub fn ram_end(regions: &[MemoryRegion]) -> u64 {
    let ram = regions.iter().filter(|region| region.kind.is_ram());
    ram.map(|r| r.pages.saturating_mul(PAGE_SIZE).saturating_add(r.start)).max().unwrap_or(0)
}

/// The longest usable region; of several the lowest.
pub fn largest_usable(regions: &[MemoryRegion]) -> Option<&MemoryRegion> {
    let usable = regions.iter().filter(|region| region.kind == MemoryKind::Usable);
    usable.max_by_key(|region| (region.pages, !region.start))
}
