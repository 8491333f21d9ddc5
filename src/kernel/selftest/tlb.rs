//! No translation outlives its mapping: pages of the kernel's are mapped, unmapped and protected, and the processor asked
//! each time. Also measures what `paging::gather::LIMIT` is chosen by.

use super::{Outcome, check};
use crate::arch::x86_64::paging::live::KernelTlb;
use crate::arch::x86_64::paging::{Attributes, MapError, Rights, Room, Tlb, live};
use crate::arch::x86_64::{interrupts, probe};
use crate::boot::layout::{HEAP_BASE, PAGE_SIZE};
use crate::kernel::image;
use crate::platform::{Machine, Platform, kernel_tables};
use log::info;

/// At the end of vmalloc's part of the region, where it comes last.
const START: u64 = HEAP_BASE + (510 << 30);
/// Once few enough for one flush each, once more.
const COUNTS: [u64; 2] = [8, 200];

/// A page of the kernel's text: the n-th, from the beginning again behind the last.
fn text_page(n: u64) -> u64 {
    let text = image::text();
    let pages = (text.end - text.start) / PAGE_SIZE;
    text.start + n % pages * PAGE_SIZE
}

/// Maps `pages` pages: those of the kernel's text, from the page `first` on.
fn map(first: u64, pages: u64) -> Result<(), MapError> {
    for (offset, page) in (0..pages * PAGE_SIZE).step_by(PAGE_SIZE as usize).zip(first..) {
        let virt = text_page(page);
        let phys = live::translate(virt).ok_or(MapError::BadRange)?.phys;
        let attributes = Attributes::kernel(Rights::Read);
        kernel_tables::lock().map(START + offset, phys, PAGE_SIZE, attributes, 1)?;
    }
    Ok(())
}

/// Whether the first `pages` pages read as text does from the page `first` on.
fn reads(first: u64, pages: u64) -> bool {
    (0..pages).all(|page| {
        let virt = text_page(first + page);
        (0..PAGE_SIZE).step_by(512).all(|at| {
            let wanted = probe::read_u64(virt + at);
            wanted.is_some() && probe::read_u64(START + page * PAGE_SIZE + at) == wanted
        })
    })
}

fn none_reads(pages: u64) -> bool {
    (0..pages).all(|page| probe::read_u64(START + page * PAGE_SIZE).is_none())
}

fn unmap(pages: u64) -> Result<(), MapError> {
    let range = START..START + pages * PAGE_SIZE;
    kernel_tables::lock().edit(&KernelTlb, |_| ()).unmap(range, Room::Look)
}

pub fn run() -> Outcome {
    for pages in COUNTS {
        let range = START..START + pages * PAGE_SIZE;
        let protect = |rights| kernel_tables::lock().edit(&KernelTlb, |_| ()).protect(range.clone(), rights);
        let change = |result: Result<(), MapError>| result.map_err(|_| "the page tables refuse");
        change(map(0, pages))?;
        check(reads(0, pages), "a page that was mapped reads wrong")?;
        change(protect(Rights::None))?;
        check(none_reads(pages), "a page can still be read after its rights were taken")?;
        change(protect(Rights::Read))?;
        check(reads(0, pages), "a page that got its rights back reads wrong")?;
        change(unmap(pages))?;
        check(none_reads(pages), "a page can still be read after it was unmapped")?;
        // Other frames at the same addresses.
        change(map(1, pages))?;
        check(reads(1, pages), "a page reads as what was there before")?;
        change(unmap(pages))?;
    }
    measure();
    Ok(())
}

/// Nanoseconds that `operation` takes, a hundred times over, with interrupts off.
fn nanoseconds(mut operation: impl FnMut(u64)) -> u64 {
    const TIMES: u64 = 100;
    let were_on = interrupts::disable();
    let start = Machine::now_ns();
    (0..TIMES).for_each(&mut operation);
    let end = Machine::now_ns();
    interrupts::restore(were_on);
    (end - start) / TIMES
}

/// What one page costs, and what all do with a working set that has to be looked up again.
fn measure() {
    const WORKING_SET: usize = 64;
    let touch = || {
        image::text().step_by(PAGE_SIZE as usize).take(WORKING_SET).for_each(|page| _ = probe::read_u8(page))
    };
    let page = nanoseconds(|n| KernelTlb.flush_page(START + n * PAGE_SIZE)).max(1);
    let touched = nanoseconds(|_| touch());
    let all = nanoseconds(|_| {
        KernelTlb.flush_all();
        touch();
    });
    let all = all.saturating_sub(touched);
    info!(target: "selftest", "tlb: one page {page} ns, everything {all} ns, which is {} pages", all / page);
}
