//! The kernel's first page tables, by the layout in `boot::layout`.
//!
//! The image by its segments' permissions; RAM in the direct map with the largest pages that fit, less the right
//! to write where the image's text and constants are (a page that is executable here must not be writable
//! there); the framebuffer; and one page onto itself: that with the kernel's first instructions, which run while
//! CR3 changes.
//! Source: Intel SDM vol. 3 §4.5.

use super::super::elf::{Image, SegmentFlags};
use super::super::info::{Framebuffer, MemoryRegion};
use super::super::layout::{DIRECT_MAP_BASE, DIRECT_MAP_SIZE, MMIO_BASE, PAGE_SIZE};
use super::super::memmap::EFI_MEMORY_WB;
use super::error::{Failure, Reason};
use super::firmware::Firmware;
use crate::arch::x86_64::cpu::Features;
use crate::arch::x86_64::paging::map::{MapError, map_page, map_range, tables_needed};
use crate::arch::x86_64::paging::{Entry, Flags, Tables};
use uefi_raw::Status;
use uefi_raw::table::boot::MemoryType;

/// What is to be mapped.
pub struct Plan<'a> {
    pub image: &'a Image<'a>,
    /// Where the image was loaded.
    pub kernel_phys: u64,
    /// Where its first instruction is.
    pub entry_phys: u64,
    pub framebuffer: Framebuffer,
    pub regions: &'a [MemoryRegion],
    /// The largest page of the direct map, as a level.
    pub top_level: u32,
}

/// Data: not executable. Global, because it is the same in every address space.
const DATA: Flags = Flags::WRITE.union(Flags::NO_EXECUTE).union(Flags::GLOBAL);

/// Page tables from a run of pages that was set aside; memory is mapped one to one.
struct Pool {
    next: u64,
    end: u64,
}

impl Tables for Pool {
    fn allocate(&mut self) -> Option<u64> {
        let table = self.next;
        self.next += PAGE_SIZE;
        (table < self.end).then_some(table)
    }

    fn get(&self, table: u64, index: usize) -> Entry {
        // SAFETY: tables come from the pool alone, and an index is below 512.
        unsafe { (table as *const Entry).add(index).read() }
    }

    fn set(&mut self, table: u64, index: usize, entry: Entry) {
        // SAFETY: as above.
        unsafe { (table as *mut Entry).add(index).write(entry) };
    }
}

impl<'a> Plan<'a> {
    pub fn new(
        image: &'a Image<'a>,
        kernel_phys: u64,
        framebuffer: Framebuffer,
        regions: &'a [MemoryRegion],
        features: Features,
    ) -> Self {
        let entry_phys = kernel_phys + (image.entry() - image.base());
        let top_level = if features.contains(Features::PAGE_1G) { 3 } else { 2 };
        Self { image, kernel_phys, entry_phys, framebuffer, regions, top_level }
    }

    /// Allocates the tables and fills them. They begin with the PML4.
    pub fn build(&self, firmware: &Firmware) -> Result<&'static mut [u8], Failure> {
        let bytes = self.tables_needed() * PAGE_SIZE;
        // Below 4 GiB if possible: another processor loads CR3 in 32-bit mode.
        let pages = firmware
            .allocate_below(u32::MAX.into(), MemoryType::LOADER_DATA, bytes)
            .or_else(|_: Status| firmware.allocate(MemoryType::LOADER_DATA, bytes))
            .map_err(|status| Failure::firmware("page tables", "no memory for them", status))?;
        pages.fill(0);
        let pml4 = pages.as_ptr() as u64;
        let mut pool = Pool { next: pml4 + PAGE_SIZE, end: pml4 + bytes };
        self.fill(&mut pool, pml4).map_err(|error| Failure::new("page tables", Reason::PageTables(error)))?;
        Ok(pages)
    }

    /// An upper bound, the PML4 included.
    fn tables_needed(&self) -> u64 {
        let image = self.image;
        let fb = self.framebuffer;
        let ram: u64 = ram_runs(self.regions)
            .map(|(start, len)| tables_needed(DIRECT_MAP_BASE + start, len, self.top_level))
            .sum();
        1 + ram
            // The image's stretch of the direct map has small pages, which can split two large ones of each size.
            + tables_needed(DIRECT_MAP_BASE + self.kernel_phys, image.len_bytes(), 1)
            + 4
            + tables_needed(image.base(), image.len_bytes(), 1)
            + tables_needed(MMIO_BASE + fb.base, fb.len + PAGE_SIZE, 2)
            + tables_needed(self.entry_phys, PAGE_SIZE, 1)
    }

    fn fill(&self, pool: &mut Pool, pml4: u64) -> Result<(), MapError> {
        let image = self.image;
        let image_end = self.kernel_phys + image.len_bytes();
        for (start, len) in ram_runs(self.regions) {
            let end = start + len;
            // The run before the image, the image page by page, and the run behind it.
            let cut = start.max(self.kernel_phys).min(end)..end.min(image_end).max(start);
            if cut.is_empty() {
                map_range(pool, pml4, DIRECT_MAP_BASE + start, start, len, DATA, self.top_level)?;
                continue;
            }
            map_range(pool, pml4, DIRECT_MAP_BASE + start, start, cut.start - start, DATA, self.top_level)?;
            for page in (cut.start..cut.end).step_by(PAGE_SIZE as usize) {
                map_page(pool, pml4, DIRECT_MAP_BASE + page, page, self.alias_flags(page), 1)?;
            }
            map_range(pool, pml4, DIRECT_MAP_BASE + cut.end, cut.end, end - cut.end, DATA, self.top_level)?;
        }
        for segment in image.segments() {
            let mut flags = Flags::GLOBAL;
            if segment.flags.contains(SegmentFlags::W) {
                flags |= Flags::WRITE;
            }
            if !segment.flags.contains(SegmentFlags::X) {
                flags |= Flags::NO_EXECUTE;
            }
            let start = segment.page_start();
            let phys = self.kernel_phys + (start - image.base());
            // Small pages, so that the kernel can take single ones away (stack guards).
            map_range(pool, pml4, start, phys, segment.page_end() - start, flags, 1)?;
        }
        let fb = self.framebuffer;
        if fb.base != 0 {
            let start = fb.base & !(PAGE_SIZE - 1);
            let len = (fb.base + fb.len).next_multiple_of(PAGE_SIZE) - start;
            // Write-through until the kernel makes cache type 1 write-combining.
            map_range(pool, pml4, MMIO_BASE + start, start, len, DATA | Flags::PWT, 2)?;
        }
        let page = self.entry_phys & !(PAGE_SIZE - 1);
        map_page(pool, pml4, page, page, Flags::empty(), 1)
    }

    /// How a page of the image is mapped a second time, in the direct map: writable only if it is in the image.
    fn alias_flags(&self, phys: u64) -> Flags {
        let virt = self.image.base() + (phys - self.kernel_phys);
        let read_only = self
            .image
            .segments()
            .any(|s| !s.flags.contains(SegmentFlags::W) && (s.page_start()..s.page_end()).contains(&virt));
        if read_only { DATA - Flags::WRITE } else { DATA }
    }
}

/// Start and length of each stretch of RAM, whatever its kinds: they share one mapping. Only write-back memory:
/// some firmware calls its flash "runtime data", and nobody may read ahead there.
pub fn ram_runs(regions: &[MemoryRegion]) -> impl Iterator<Item = (u64, u64)> + '_ {
    let is_ram = |region: &&MemoryRegion| region.kind.is_ram() && region.attributes & EFI_MEMORY_WB != 0;
    let mut ram = regions.iter().filter(is_ram).peekable();
    core::iter::from_fn(move || {
        let first = ram.next()?;
        let mut end = first.end();
        while let Some(next) = ram.next_if(|next| next.start == end) {
            end = next.end();
        }
        Some((first.start, end))
    })
    // What the direct map has no room for stays unmapped.
    .map(|(start, end)| (start, end.min(DIRECT_MAP_SIZE).saturating_sub(start)))
    .filter(|&(_, len)| len > 0)
}
