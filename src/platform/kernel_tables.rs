//! The page tables of the kernel's half, and the lock that they are behind.
//!
//! Whoever maps something there comes through [`lock`], and keeps to his own range of addresses. Not in interrupt
//! handlers: mapping many pages takes long, and interrupts stay on meanwhile. Under the lock the frame allocator's may be
//! taken, for tables.
//!
//! Every address space has a copy of the upper half's top entries. Those that will be needed are made at the first use:
//! later ones would be missing in the copies, and are refused (`paging::table`).

use super::page_source;
use crate::arch::x86_64::pages;
use crate::arch::x86_64::paging::{LEVELS, Owner, PageTables, Table, TableMemory, live, page_size};
use crate::boot::layout::{DIRECT_MAP_BASE, ECAM_BASE, HEAP_BASE, MMIO_BASE, PERCPU_BASE};
use crate::sync::{PreemptGuard, PreemptLock};
use spin::Once;

/// Memory for tables, through the direct map.
#[derive(Clone, Copy, Debug)]
pub struct TablePages;

impl TableMemory for TablePages {
    unsafe fn table(&self, phys: u64) -> &Table {
        // SAFETY: the caller's promise, and tables are in RAM.
        unsafe { live::table(phys) }
    }

    fn allocate(&self) -> Option<u64> {
        let page = page_source::page()?;
        // SAFETY: a page of RAM that is nobody else's now, in the direct map.
        unsafe { pages::clear((DIRECT_MAP_BASE + page) as *mut u8) };
        Some(page)
    }

    unsafe fn free(&self, phys: u64) {
        page_source::free(phys);
    }
}

static TABLES: Once<PreemptLock<PageTables<TablePages>>> = Once::new();

/// Regions that grow, and how many top entries they get, of 512 GiB each. Machines with 40 address bits put large
/// windows of devices into the second.
const REGIONS: [(u64, u64); 4] = [(HEAP_BASE, 1), (MMIO_BASE, 2), (ECAM_BASE, 1), (PERCPU_BASE, 1)];

/// The tables, to oneself.
pub fn lock() -> PreemptGuard<'static, PageTables<TablePages>> {
    TABLES.call_once(|| PreemptLock::new(take_over())).lock()
}

fn take_over() -> PageTables<TablePages> {
    // SAFETY: the loader's tables, which nobody gives back; all who map something in the upper half come through here.
    let tables = unsafe { PageTables::from_root(TablePages, live::root(), Owner::Kernel) };
    for (base, entries) in REGIONS {
        // Without memory the first mapping there fails and says so.
        let _ = tables.reserve(base..base + entries * page_size(LEVELS));
    }
    tables
}
