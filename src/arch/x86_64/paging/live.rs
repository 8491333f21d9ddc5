//! The tables that are in CR3 now, reached through the direct map.
//!
//! Until the kernel manages memory itself these are the loader's; the changes made here are those that
//! need no new table.

use super::walk::{self, Run, Translation};
use super::{Entry, Flags, Table, Tables, Tlb};
use crate::arch::x86_64::{cr, probe};
use crate::boot::layout::{DIRECT_MAP_BASE, PAGE_SIZE};

/// Page tables through the direct map.
pub struct DirectMap;

impl DirectMap {
    fn slot(table: u64, index: usize) -> *mut u64 {
        (DIRECT_MAP_BASE + table + index as u64 * 8) as *mut u64
    }
}

impl Tables for DirectMap {
    fn allocate(&mut self) -> Option<u64> {
        None
    }

    fn get(&self, table: u64, index: usize) -> Entry {
        // A table that a broken entry names may lie outside RAM: probe, and read a hole as not present.
        Entry(probe::read_u64(Self::slot(table, index) as u64).unwrap_or(0))
    }

    fn set(&mut self, table: u64, index: usize, entry: Entry) {
        // SAFETY: callers pass tables of the live hierarchy, which the loader put into RAM that the direct
        // map covers and nobody else writes.
        unsafe { Self::slot(table, index).write_volatile(entry.0) };
    }
}

/// A table through the direct map: how the kernel's own [`super::TableMemory`] reaches it.
///
/// # Safety
/// At that physical address, in RAM, is a table for as long as the reference is used.
pub unsafe fn table(phys: u64) -> &'static Table {
    // SAFETY: the direct map covers RAM; the rest is the caller's promise. Entries are atomic.
    unsafe { &*((DIRECT_MAP_BASE + phys) as *const Table) }
}

/// How the kernel's half leaves the TLB of this processor.
pub struct KernelTlb;

impl Tlb for KernelTlb {
    fn flush_page(&self, virt: u64) {
        cr::flush_tlb_page(virt);
    }

    fn flush_all(&self) {
        cr::flush_tlb_all();
    }
}

/// How a user's half leaves it: its pages are not global, so the kernel's stay.
pub struct UserTlb;

impl Tlb for UserTlb {
    fn flush_page(&self, virt: u64) {
        cr::flush_tlb_page(virt);
    }

    fn flush_all(&self) {
        cr::flush_tlb_user();
    }
}

/// Physical address of the PML4 in use.
pub fn root() -> u64 {
    cr::cr3() & 0x000F_FFFF_FFFF_F000
}

/// What an address leads to.
pub fn translate(virt: u64) -> Option<Translation> {
    walk::translate(&DirectMap, root(), virt)
}

/// Everything that is mapped, run by run.
pub fn for_each_run(visit: &mut dyn FnMut(Run)) {
    walk::for_each_run(&DirectMap, root(), visit);
}

/// Takes the lower half of the address space away: the page that entry.S ran on by its physical address.
///
/// # Safety
/// Nothing uses a lower-half address any more.
pub unsafe fn drop_lower_half() {
    let root = root();
    for index in 0..super::ENTRIES / 2 {
        if DirectMap.get(root, index).present() {
            DirectMap.set(root, index, Entry::default());
        }
    }
    cr::flush_tlb_all();
}

/// Takes one 4 KiB page of the kernel image away, for good. False if it was not mapped as such.
///
/// # Safety
/// Nothing uses that page.
pub unsafe fn unmap_page(virt: u64) -> bool {
    let Some(step) = walk::path(&DirectMap, root(), virt).last() else { return false };
    if !step.entry.present() || step.level != 1 {
        return false;
    }
    DirectMap.set(step.table, step.index, Entry::default());
    cr::flush_tlb_page(virt);
    true
}

/// What breaks "no page is both writable and executable, none belongs to user mode, and none of the lower
/// half is left"; `None` if all is well.
pub fn find_violation() -> Option<Run> {
    let mut bad = None;
    for_each_run(&mut |run| {
        let writable_code = run.flags.contains(Flags::WRITE) && !run.flags.contains(Flags::NO_EXECUTE);
        if writable_code || run.flags.contains(Flags::USER) || run.virt < 1 << 63 {
            bad.get_or_insert(run);
        }
    });
    bad
}

/// Whether `[virt, virt + len)` is mapped throughout with these permissions.
pub fn is_mapped(virt: u64, len: u64, wanted: Flags, forbidden: Flags) -> bool {
    (virt..virt + len).step_by(PAGE_SIZE as usize).all(|page| {
        translate(page).is_some_and(|t| t.flags.contains(wanted) && !t.flags.intersects(forbidden))
    })
}
