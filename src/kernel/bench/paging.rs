//! What page tables cost.

use super::per_operation;
use crate::arch::x86_64::paging::live::KernelTlb;
use crate::arch::x86_64::paging::{Attributes, Rights, Room};
use crate::boot::layout::{HEAP_BASE, PAGE_SIZE};
use crate::platform::kernel_tables;

/// Pages of the mapping.
const PAGES: u64 = 64;
/// In a part of the heap's region that nobody uses.
const START: u64 = HEAP_BASE + (511 << 30);

/// Maps pages and takes them out again, tables and all. Nobody touches them.
pub fn map() -> Option<u64> {
    const END: u64 = START + PAGES * PAGE_SIZE;
    let mut good = true;
    let result = per_operation(|| {
        let mut tables = kernel_tables::lock();
        let mapped = tables.map(START, 0, END - START, Attributes::kernel(Rights::Read), 1);
        let room = Room::Known(START..START + (1 << 30));
        good &= mapped.and(tables.edit(&KernelTlb, |_| ()).unmap(START..END, room)).is_ok();
    });
    good.then_some(result)
}
