//! Physical memory, as the kernel may touch it: RAM by the direct map, devices where somebody maps them.

use crate::acpi::PhysicalMemory;
use crate::arch::x86_64::cr;
use crate::arch::x86_64::paging::live::{self, DirectMap};
use crate::arch::x86_64::paging::map::map_page;
use crate::arch::x86_64::paging::{Entry, Flags, Tables};
use crate::boot::info::MemoryRegion;
use crate::boot::layout::{DIRECT_MAP_BASE, ECAM_BASE, MMIO_BASE, PAGE_SIZE};
use crate::platform::{Cache, MapError, page_source};
use crate::sync::IrqLock;

static MAP: IrqLock<&[MemoryRegion]> = IrqLock::new(&[]);

/// Takes the firmware's map. Once.
pub fn init(regions: &'static [MemoryRegion]) {
    *MAP.lock() = regions;
}

/// The firmware's map.
pub fn map() -> &'static [MemoryRegion] {
    *MAP.lock()
}

/// The live tables, with new ones from whoever manages memory.
struct LiveTables;

impl Tables for LiveTables {
    fn allocate(&mut self) -> Option<u64> {
        let page = page_source::page()?;
        for index in 0..crate::arch::x86_64::paging::ENTRIES {
            DirectMap.set(page, index, Entry::default());
        }
        Some(page)
    }

    fn get(&self, table: u64, index: usize) -> Entry {
        DirectMap.get(table, index)
    }

    fn set(&mut self, table: u64, index: usize, entry: Entry) {
        DirectMap.set(table, index, entry);
    }
}

/// Maps device memory, not executable; returns where. What is mapped already stays as it is.
pub fn map_device(phys: u64, len: u64, cache: Cache) -> Result<u64, MapError> {
    let end = phys.checked_add(len).filter(|&end| len > 0 && end <= ECAM_BASE - MMIO_BASE);
    let end = end.ok_or(MapError::BadRange)?;
    let cache_type = match cache {
        // Entry 3 of the PAT, strictly uncached.
        Cache::Uncached => Flags::PWT | Flags::PCD,
        // Entry 1.
        Cache::WriteCombining => Flags::PWT,
    };
    let flags = Flags::WRITE | Flags::NO_EXECUTE | Flags::GLOBAL | cache_type;
    let first = phys & !(PAGE_SIZE - 1);
    for page in (first..end).step_by(PAGE_SIZE as usize) {
        let virt = MMIO_BASE + page;
        if live::translate(virt).is_none() {
            let mapped = map_page(&mut LiveTables, live::root(), virt, page, flags, 1);
            mapped.map_err(|_| MapError::NoMemory)?;
            cr::flush_tlb_page(virt);
        }
    }
    Ok(MMIO_BASE + phys)
}

/// The firmware's tables: in RAM, or in the BIOS area below 1 MiB.
pub struct Firmware;

impl PhysicalMemory for Firmware {
    fn read(&self, phys: u64, len: usize) -> Option<&[u8]> {
        /// The EBDA and the BIOS, where a machine without UEFI keeps its root pointer.
        const BIOS_AREA: core::ops::Range<u64> = 0x8_0000..0x10_0000;
        let end = phys.checked_add(len as u64)?;
        let pages = || (phys & !(PAGE_SIZE - 1)..end).step_by(PAGE_SIZE as usize);
        let is_mapped = |base: u64| pages().all(|page| live::translate(base + page).is_some());
        let base = if end <= crate::boot::layout::DIRECT_MAP_SIZE && is_mapped(DIRECT_MAP_BASE) {
            DIRECT_MAP_BASE
        } else if BIOS_AREA.contains(&phys) && end <= BIOS_AREA.end {
            map_device(phys, len as u64, Cache::Uncached).ok()?;
            MMIO_BASE
        } else {
            return None;
        };
        // SAFETY: every page has just been found mapped, or was mapped; firmware tables do not change.
        Some(unsafe { core::slice::from_raw_parts((base + phys) as *const u8, len) })
    }
}
