//! Address spaces on the live machine: page faults, copy on write, and what no TLB may remember. The processor is asked by
//! copies to and from user memory, and by programs in ring 3. Each test ends with as many free frames as it began with.

use super::mm::balanced;
use super::{Outcome, check};
use crate::arch::x86_64::paging::{Flags, live};
use crate::arch::x86_64::usercopy::{self, Fault};
use crate::boot::layout::{PAGE_SIZE, USER_END};
use crate::kernel::user::space::{DATA, STACK_SIZE, STACK_TOP, Space, TEXT};
use crate::kernel::user::{self, End, programs};
use crate::mm::frames;
use crate::mm::vma::Error;
use crate::mm::vma::area::Prot;
use crate::mm::vma::space::{Advice, MapFlags, Mapping, RemapFlags};

/// Bytes of the program that nobody runs: a page, so that the next one is not mapped.
const IMAGE: &[u8] = &[0x90; PAGE_SIZE as usize];

const RW: Prot = Prot::READ.union(Prot::WRITE);

impl From<Error> for super::Trouble {
    fn from(_: Error) -> Self {
        Self::Failed("an address space refuses what it should not")
    }
}

/// Runs `test` with the memory of a program that does not run.
fn with_space(test: fn(&Space) -> Outcome) -> Outcome {
    balanced(|| {
        let space = Space::new("self-test", IMAGE, false)?;
        let active = space.activate();
        let outcome = test(&space);
        drop(active);
        outcome
    })
}

fn anonymous(space: &Space, pages: u64, prot: Prot, more: MapFlags) -> Result<u64, Error> {
    let kind = if more.contains(MapFlags::SHARED) { MapFlags::empty() } else { MapFlags::PRIVATE };
    let flags = kind | MapFlags::ANONYMOUS | more;
    let mapped = space.space().map(Mapping { addr: 0, len: pages * PAGE_SIZE, prot, flags, file: None })?;
    Ok(mapped.span.start)
}

fn reads(at: u64, value: u64) -> bool {
    usercopy::read::<u64>(at) == Ok(value)
}

fn faults(at: u64) -> bool {
    usercopy::read::<u64>(at) == Err(Fault) && usercopy::write(at, &0u64) == Err(Fault)
}

fn writes(at: u64, value: u64) -> bool {
    usercopy::write(at, &value) == Ok(()) && reads(at, value)
}

/// Pages come when they are touched, zero, one frame each, and none for those that are only read.
pub fn demand_zero() -> Outcome {
    with_space(|space| {
        const PAGES: u64 = 100;
        let start = anonymous(space, PAGES, RW, MapFlags::empty())?;
        // The first touch makes tables as well.
        check(reads(start, 0), "a page that was never touched is not zero")?;
        let before = frames::free_frames();
        for page in 1..PAGES {
            check(reads(start + page * PAGE_SIZE, 0), "a page that was never touched is not zero")?;
        }
        check(before - frames::free_frames() <= 1, "reading zeroes takes a frame a page")?;
        for page in 0..PAGES {
            check(writes(start + page * PAGE_SIZE + 8, page), "a page does not keep what was written")?;
            check(reads(start + page * PAGE_SIZE, 0), "a page is not zero beside what was written")?;
        }
        let taken = before - frames::free_frames();
        check((PAGES..=PAGES + 2).contains(&taken), "writing takes another number of frames than pages")?;
        check((0..PAGES).all(|page| reads(start + page * PAGE_SIZE + 8, page)), "two pages share a frame")?;
        check(faults(start - 8) && faults(start + PAGES * PAGE_SIZE), "there is something beside a mapping")
    })
}

/// After each change the processor sees the new state, and nothing of the old.
pub fn changes() -> Outcome {
    with_space(|space| {
        // Fewer pages than are flushed one by one, and more.
        for pages in [4, 200] {
            let start = anonymous(space, pages, RW, MapFlags::empty())?;
            let len = pages * PAGE_SIZE;
            let at = |page: u64| start + page * PAGE_SIZE;
            let all = |test: &dyn Fn(u64) -> bool| (0..pages).all(test);
            check(all(&|page| writes(at(page), page + 1)), "a new page cannot be written")?;
            space.space().protect(start, len, Prot::READ, false)?;
            check(all(&|page| reads(at(page), page + 1)), "a page lost its content with its rights")?;
            check(
                all(&|page| usercopy::write(at(page), &0u64) == Err(Fault)),
                "a page can be written to after mprotect",
            )?;
            space.space().protect(start, len, Prot::empty(), false)?;
            check(all(&|page| faults(at(page))), "a page can be read that has no rights left")?;
            space.space().protect(start, len, RW, false)?;
            check(all(&|page| reads(at(page), page + 1)), "rights came back without the content")?;
            // To another place: entries move, and nothing is left behind.
            let to = space.space().remap(start, len, len * 2, RemapFlags::MAY_MOVE, 0)?;
            if to != start {
                check(all(&|page| faults(at(page))), "a page that moved is still where it was")?;
            }
            check(
                all(&|page| reads(to + page * PAGE_SIZE, page + 1)),
                "a page that moved has other content",
            )?;
            space.space().advise(to, len, Advice::DontNeed)?;
            check(all(&|page| reads(to + page * PAGE_SIZE, 0)), "a page that was given up is not zero")?;
            check(all(&|page| writes(to + page * PAGE_SIZE, !page)), "it cannot be written again")?;
            space.space().unmap(to, len * 2)?;
            check(all(&|page| faults(to + page * PAGE_SIZE)), "a page is there after munmap")?;
            // The same addresses, other frames.
            let again = anonymous(space, pages, RW, MapFlags::empty())?;
            check(all(&|page| reads(again + page * PAGE_SIZE, 0)), "a new page shows what an old one held")?;
            space.space().unmap(again, len)?;
        }
        Ok(())
    })
}

/// Private mappings of one object, and a child made by fork: whoever writes has a copy of his own.
pub fn copy_on_write() -> Outcome {
    with_space(|space| {
        const PATTERN: u64 = 0x9090_9090_9090_9090;
        check(reads(DATA, PATTERN) && reads(TEXT, PATTERN), "the program's bytes are not there")?;
        check(writes(DATA, 1) && reads(TEXT, PATTERN), "a write is seen in the other mapping")?;
        check(usercopy::write(TEXT, &0u64) == Err(Fault), "text can be written to")?;
        let start = anonymous(space, 10, RW, MapFlags::empty())?;
        let shared = anonymous(space, 1, RW, MapFlags::SHARED)?;
        for page in 0..10 {
            check(writes(start + page * PAGE_SIZE, page), "a page does not keep what was written")?;
        }
        check(writes(shared, 7), "shared memory cannot be written")?;
        let before = frames::free_frames();
        let child = space.fork()?;
        let cost = before - frames::free_frames();
        check(cost < 10, "fork copies pages")?;
        check(writes(start, 100), "the parent cannot write after fork")?;
        check(before - frames::free_frames() == cost + 1, "one write after fork does not take one frame")?;
        let active = child.activate();
        let seen = seen_by_child(start, shared);
        drop(active);
        seen?;
        drop(child);
        check(reads(start, 100) && reads(start + PAGE_SIZE, 1), "the parent sees what the child wrote")?;
        check(reads(shared, 8), "the parent does not see what the child wrote to shared memory")?;
        // The last owner of a page keeps it: no copy.
        let before = frames::free_frames();
        check(writes(start + 2 * PAGE_SIZE, 200), "the last owner cannot write")?;
        check(frames::free_frames() == before, "the last owner of a page copies it")
    })
}

fn seen_by_child(start: u64, shared: u64) -> Outcome {
    check(reads(start, 0), "the child sees what the parent wrote after fork")?;
    check((1..10).all(|page| reads(start + page * PAGE_SIZE, page)), "the child lacks a page")?;
    check(writes(start + PAGE_SIZE, 55), "the child cannot write")?;
    check(reads(shared, 7) && writes(shared, 8), "memory is not shared with the child")?;
    check(reads(DATA, 1) && writes(DATA, 2), "the child lacks the program's data")
}

/// The stack grows by being touched, down to its limit, and no further; the guard gap is kept.
pub fn stacks() -> Outcome {
    with_space(|space| {
        let bottom = STACK_TOP - STACK_SIZE;
        check(faults(STACK_TOP), "there is something above the stack")?;
        check(writes(bottom, 1), "the stack does not grow to its limit")?;
        check(faults(bottom - 8), "the stack grows beyond its limit")?;
        check(reads(STACK_TOP - 8, 0) && reads(bottom, 1), "a grown stack has lost something")?;
        // Another stack, with a neighbour below it.
        let grows = MapFlags::GROWSDOWN | MapFlags::FIXED;
        let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | grows;
        let at = 0x1000_0000;
        space.space().map(Mapping { addr: at, len: PAGE_SIZE, prot: RW, flags, file: None })?;
        let below = at - 260 * PAGE_SIZE;
        let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED;
        space.space().map(Mapping { addr: below, len: PAGE_SIZE, prot: RW, flags, file: None })?;
        check(writes(at - PAGE_SIZE, 1), "a stack does not grow at all")?;
        check(faults(at - 6 * PAGE_SIZE), "a stack grows into the gap above its neighbour")
    })
}

/// What the tables say: in the user's half each entry is ring 3's, and no other is; nothing is writable and executable
/// that was not asked for so.
pub fn tables() -> Outcome {
    with_space(|space| {
        let start = anonymous(space, 3, RW, MapFlags::POPULATE)?;
        check(writes(start, 1) && writes(STACK_TOP - 8, 1) && writes(DATA, 1), "a page cannot be written")?;
        check(usercopy::read::<u8>(TEXT).is_ok(), "text cannot be read")?;
        let (mut pages, mut bad) = (0, None);
        live::for_each_run(&mut |run| {
            let is_users = run.virt < USER_END;
            pages += if is_users { run.len / PAGE_SIZE } else { 0 };
            let both = run.flags.contains(Flags::WRITE) && !run.flags.contains(Flags::NO_EXECUTE);
            let global = is_users && run.flags.contains(Flags::GLOBAL);
            if both || global || run.flags.contains(Flags::USER) != is_users {
                bad.get_or_insert(run);
            }
        });
        if let Some(run) = bad {
            log::error!(target: "selftest", "{:#018x}, {:#x} bytes, {}", run.virt, run.len, run.flags);
        }
        check(bad.is_none(), "an entry breaks the rule")?;
        check(pages == 6, "another number of the user's pages is mapped than was touched")
    })
}

/// A program that counts its runs, and its copies, which go on counting for themselves.
pub fn fork() -> Outcome {
    balanced(|| {
        let program = programs::find("count").ok_or("the program is missing")?;
        let run = |space: &Space, wanted: u8| {
            let end = user::run_in(space)?;
            check(matches!(end, End::Exit(count) if count == wanted), "a program has counted otherwise")
        };
        let parent = Space::new(program.name, program.image(), false)?;
        run(&parent, 1)?;
        let child = parent.fork()?;
        run(&child, 2)?;
        run(&child, 3)?;
        run(&parent, 2)?;
        let grandchild = child.fork()?;
        drop(child);
        run(&grandchild, 4)?;
        run(&parent, 3)?;
        drop(parent);
        run(&grandchild, 5)
    })
}
