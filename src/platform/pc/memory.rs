//! Physical memory, as the kernel may touch it: RAM by the direct map, devices where somebody maps them.

use crate::acpi::PhysicalMemory;
use crate::arch::x86_64::paging::{self, Attributes, Rights, live};
use crate::boot::info::MemoryRegion;
use crate::boot::layout::{DIRECT_MAP_BASE, ECAM_BASE, MMIO_BASE, PAGE_SIZE};
use crate::platform::{Cache, MapError, kernel_tables};
use crate::sync::{IrqLock, Rank};

static MAP: IrqLock<&[MemoryRegion]> = IrqLock::new(Rank::MemoryMap, &[]);

/// Takes the firmware's map. Once.
pub fn init(regions: &'static [MemoryRegion]) {
    *MAP.lock() = regions;
}

/// The firmware's map.
pub fn map() -> &'static [MemoryRegion] {
    *MAP.lock()
}

/// Maps device memory, not executable; returns where. What is mapped already stays as it is.
pub fn map_device(phys: u64, len: u64, cache: Cache) -> Result<u64, MapError> {
    let end = phys.checked_add(len).filter(|&end| len > 0 && end <= ECAM_BASE - MMIO_BASE);
    let end = end.ok_or(MapError::BadRange)?;
    let cache = match cache {
        Cache::Uncached => paging::Cache::Uncached,
        Cache::WriteCombining => paging::Cache::WriteCombining,
    };
    let first = phys & !(PAGE_SIZE - 1);
    map_pages(MMIO_BASE + first, first, end - first, cache)?;
    Ok(MMIO_BASE + phys)
}

/// Maps `len` bytes of PCI's configuration space, uncached, at an address in its region. What is mapped already stays
/// as it is. Whole pages.
pub fn map_ecam(virt: u64, phys: u64, len: u64) -> Result<(), MapError> {
    map_pages(virt, phys, len, paging::Cache::Uncached)
}

fn map_pages(virt: u64, phys: u64, len: u64, cache: paging::Cache) -> Result<(), MapError> {
    let attributes = Attributes::kernel(Rights::Write).cached(cache);
    for offset in (0..len).step_by(PAGE_SIZE as usize) {
        let tables = kernel_tables::lock();
        match tables.map(virt + offset, phys + offset, PAGE_SIZE, attributes, 1) {
            Ok(()) => {}
            Err(paging::MapError::Occupied) => {
                let there = tables.find(virt + offset);
                if there.load().cache_index(there.level) != cache.index() {
                    return Err(MapError::OtherCache);
                }
            }
            Err(paging::MapError::NoMemory) => return Err(MapError::NoMemory),
            Err(paging::MapError::BadRange | paging::MapError::TopIsFixed) => return Err(MapError::BadRange),
        }
    }
    Ok(())
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
