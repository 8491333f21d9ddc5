//! The tables that are in CR3 now, reached through the direct map.
//!
//! Until the kernel manages memory itself these are the loader's; the changes made here are those that
//! need no new table.

use super::walk::{self, Run, Translation};
use super::{Entry, Flags, Table, Tables, Tlb};
use crate::arch::x86_64::percpu::NoPreemption;
use crate::arch::x86_64::{cr, probe};
use crate::boot::layout::{DIRECT_MAP_BASE, PAGE_SIZE};
use core::sync::atomic::{AtomicPtr, Ordering};

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

/// How other processors are told: `Some` pages, or everything.
pub type TellOthers = fn(Option<&[u64]>);

static TELL_OTHERS: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Has flushes of the kernel's half told to `tell`, which returns when all other processors have done the same.
pub fn on_kernel_flush(tell: TellOthers) {
    TELL_OTHERS.store(tell as *mut (), Ordering::Release);
}

fn tell_others(pages: Option<&[u64]>) {
    let tell = TELL_OTHERS.load(Ordering::Acquire);
    if !tell.is_null() {
        // SAFETY: `on_kernel_flush` alone stores there, and what it stores is such a function.
        unsafe { core::mem::transmute::<*mut (), TellOthers>(tell)(pages) }
    }
}

/// How the kernel's half leaves the TLB of every processor.
pub struct KernelTlb;

impl Tlb for KernelTlb {
    fn flush_page(&self, virt: u64) {
        self.flush_pages(&[virt], false);
    }

    fn flush_pages(&self, pages: &[u64], _: bool) {
        // On whichever processor that is: the others are all but the one that tells them, so nobody may move in between.
        let _pin = NoPreemption::new();
        pages.iter().for_each(|&virt| cr::flush_tlb_page(virt));
        tell_others(Some(pages));
    }

    fn flush_all(&self) {
        let _pin = NoPreemption::new();
        cr::flush_tlb_all();
        tell_others(None);
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
