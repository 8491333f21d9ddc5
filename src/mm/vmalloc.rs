//! Memory for the kernel in whole pages, one behind the other in virtual memory and anywhere in RAM, with a page that
//! is not mapped behind each piece.
//!
//! For what is larger than the heap's classes, and for stacks. Not in interrupt handlers.

use super::addr::Frame;
use super::frame::Owner;
use super::slab::ranges::{Node, Range, Ranges};
use super::slab::{Cache, Site};
use super::{frames, heap};
use crate::arch::x86_64::paging::live::KernelTlb;
use crate::arch::x86_64::paging::{Attributes, MapError, PageTables, Removed, Rights, Room};
use crate::boot::layout::{HEAP_BASE, PAGE_SIZE};
use crate::platform::kernel_tables::{self, TablePages};
use crate::sync::{IrqLock, Rank};
use core::ptr::NonNull;

/// Bytes of the area: what one entry of the top table translates, so that all address spaces see the same.
pub const SIZE: u64 = 1 << 39;

static RANGES: IrqLock<Ranges> =
    IrqLock::new(Rank::Vmalloc, Ranges::new(HEAP_BASE / PAGE_SIZE, (HEAP_BASE + SIZE) / PAGE_SIZE));

/// What the account is kept in.
static NODES: Cache = Cache::new("vmalloc", size_of::<Node>(), align_of::<Node>());

/// At least `size` bytes at a multiple of `align`, of no content in particular; `None` if memory or room is out.
pub fn allocate(size: usize, align: usize, site: Site) -> Option<NonNull<u8>> {
    let pages = (size as u64).div_ceil(PAGE_SIZE);
    let align = (align as u64).div_ceil(PAGE_SIZE).max(1);
    let node = heap::allocate_from(&NODES)?.cast::<Node>();
    // SAFETY: the node is fresh memory of its size.
    let start = unsafe { RANGES.lock().allocate(node, pages, align, site) };
    let Some(start) = start else {
        // SAFETY: from there, just now, and not used.
        unsafe { heap::free_to(&NODES, node.cast()) };
        return None;
    };
    let virt = start * PAGE_SIZE;
    if map_fresh(virt, pages * PAGE_SIZE).is_err() {
        forget(start);
        return None;
    }
    NonNull::new(virt as *mut u8)
}

/// Gives a piece back.
///
/// # Safety
/// It came from [`allocate`], and nobody uses it any more.
pub unsafe fn free(at: NonNull<u8>, site: Site) {
    let start = at.as_ptr() as u64 / PAGE_SIZE;
    let Some(Range { pages, .. }) = RANGES.lock().find(start).filter(|range| range.start == start) else {
        panic!("free of {at:p}, which is no piece of the vmalloc area, by {site:#x}");
    };
    // First the pages, then the addresses: nobody gets these before no CPU has their translations.
    unmap(&mut kernel_tables::lock(), start * PAGE_SIZE, pages * PAGE_SIZE);
    forget(start);
}

/// Maps fresh frames at `len` bytes from `virt`: all of them or none.
fn map_fresh(virt: u64, len: u64) -> Result<(), MapError> {
    let mut tables = kernel_tables::lock();
    for at in (virt..virt + len).step_by(PAGE_SIZE as usize) {
        let mapped = frames::allocate(Owner::Vmalloc).ok_or(MapError::NoMemory).and_then(|frame| {
            let done =
                tables.map(at, frame.start().as_u64(), PAGE_SIZE, Attributes::kernel(Rights::Write), 1);
            done.inspect_err(|_| frames::free(frame))
        });
        if let Err(error) = mapped {
            unmap(&mut tables, virt, at - virt);
            return Err(error);
        }
    }
    Ok(())
}

/// Takes `len` bytes from `virt` away, and gives their frames back.
fn unmap(tables: &mut PageTables<TablePages>, virt: u64, len: u64) {
    let release = |removed: Removed| {
        if let Some(frame) = Frame::new(removed.phys() / PAGE_SIZE) {
            frames::free(frame);
        }
    };
    let done = tables.edit(&KernelTlb, release).unmap(virt..virt + len, Room::Look);
    debug_assert!(done.is_ok(), "pages of 4 KiB need no splitting");
}

fn forget(start: u64) {
    let freed = RANGES.lock().free(start);
    if let Some((node, _)) = freed {
        // SAFETY: the account gives it back, and has no use for it any more.
        unsafe { heap::free_to(&NODES, node.cast()) };
    }
}

/// The piece that an address lies in, or in whose guard page: for reports and displays.
pub fn find(virt: u64) -> Option<Range> {
    RANGES.lock().find(virt / PAGE_SIZE)
}

/// Calls `visit` with each piece, upwards.
pub fn for_each(visit: &mut dyn FnMut(Range)) {
    let mut from = 0;
    loop {
        let next = RANGES.lock().next_from(from);
        let Some(range) = next else { return };
        visit(range);
        from = range.start + 1;
    }
}

/// Pieces, and pages in them.
pub fn totals() -> (usize, u64) {
    let ranges = RANGES.lock();
    (ranges.count(), ranges.pages())
}
