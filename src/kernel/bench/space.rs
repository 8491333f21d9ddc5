//! What address spaces cost: calls and page faults, without the way from ring 3 and back.
//!
//! The address space is a program's without a program: nobody puts it into CR3, so no TLB has anything of it. What a flush
//! costs is in the row `map`.

use super::{OPERATIONS, per_operation};
use crate::arch::x86_64::{interrupts, tsc};
use crate::boot::layout::PAGE_SIZE;
use crate::mm::space::Outcome;
use crate::mm::space::live::{KernelEnv, UserSpace};
use crate::mm::vma::area::Prot;
use crate::mm::vma::space::{Access, Layout, Limits, MapFlags, Mapping};

const RW: Prot = Prot::READ.union(Prot::WRITE);

/// Where mappings are put that have to lie somewhere.
const START: u64 = 1 << 32;

fn empty() -> Option<UserSpace> {
    UserSpace::new(KernelEnv, Layout::with_stack(None), Limits::default()).ok()
}

/// Anonymous memory; at 0, wherever there is room. Its address.
fn map(space: &UserSpace, addr: u64, pages: u64) -> Option<u64> {
    let fixed = if addr == 0 { MapFlags::empty() } else { MapFlags::FIXED };
    let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | fixed;
    let mapped = space.map(Mapping { addr, len: pages * PAGE_SIZE, prot: RW, flags, file: None });
    Some(mapped.ok()?.span.start)
}

fn write(space: &UserSpace, page: u64) -> bool {
    space.handle_fault(page, Access::Write, true) == Outcome::Done
}

/// 64 pages, mapped where there is room and unmapped. There are other areas, as in any program.
pub fn mmap() -> Option<u64> {
    const PAGES: u64 = 64;
    let space = areas()?;
    let mut good = true;
    let result = per_operation(|| {
        let start = map(&space, 0, PAGES);
        good &= start.is_some_and(|start| space.unmap(start, PAGES * PAGE_SIZE).is_ok());
    });
    good.then_some(result)
}

/// The first write to a page, for one page after the other.
pub fn fault() -> Option<u64> {
    let space = areas()?;
    let mut page = map(&space, START, OPERATIONS)?;
    let mut good = true;
    let result = per_operation(|| {
        good &= write(&space, page);
        page += PAGE_SIZE;
    });
    good.then_some(result)
}

/// The first write to a page that a child has as well.
pub fn copy_on_write() -> Option<u64> {
    let space = areas()?;
    let mut page = map(&space, START, OPERATIONS)?;
    let mut good = (0..OPERATIONS).all(|number| write(&space, page + number * PAGE_SIZE));
    let child = space.fork().ok()?;
    let result = per_operation(|| {
        good &= write(&space, page);
        page += PAGE_SIZE;
    });
    drop(child);
    good.then_some(result)
}

/// Areas of a program of some size, and pages of each.
const AREAS: u64 = 100;
const PAGES: u64 = 10;

/// The start of an area; between two of them there is a gap, or they would be one.
fn area(number: u64) -> u64 {
    START / 2 + number * 2 * PAGES * PAGE_SIZE
}

/// An address space with that many areas.
fn areas() -> Option<UserSpace> {
    let space = empty()?;
    (0..AREAS).all(|number| map(&space, area(number), PAGES).is_some()).then_some(space)
}

pub fn fork() -> Option<u64> {
    Some(fork_and_exit()?.0)
}

pub fn exit() -> Option<u64> {
    Some(fork_and_exit()?.1)
}

/// The mean of some forks, and of as many ends. Before each, the parent has written to all its pages.
fn fork_and_exit() -> Option<(u64, u64)> {
    const ROUNDS: u64 = 10;
    let space = areas()?;
    let (mut fork, mut exit) = (0, 0);
    for _ in 0..ROUNDS {
        for number in 0..AREAS * PAGES {
            let page = area(number / PAGES) + number % PAGES * PAGE_SIZE;
            write(&space, page).then_some(())?;
        }
        let were_on = !cfg!(debug_assertions) && interrupts::disable();
        let start = tsc::read_ordered();
        let child = space.fork();
        let forked = tsc::read_ordered();
        let good = child.is_ok();
        drop(child);
        let ended = tsc::read_ordered();
        interrupts::restore(were_on);
        good.then_some(())?;
        (fork, exit) = (fork + forked - start, exit + ended - forked);
    }
    Some((fork * 100 / ROUNDS, exit * 100 / ROUNDS))
}
