//! Each promise of the address space by itself.

use super::super::env::frame_of;
use super::super::fault::Outcome;
use super::machine::Host;
use super::objects::{File, Thing, assert_all_back};
use super::program::{BASE, RW, Space, anonymous, machine, new_space, of_file, page};
use crate::arch::x86_64::paging::Flags;
use crate::boot::layout::{PAGE_SIZE, USER_END};
use crate::mm::vma::Error;
use crate::mm::vma::area::Prot;
use crate::mm::vma::space::{Access, Advice, MapFlags, RemapFlags};
use std::sync::atomic::Ordering;
use std::vec::Vec;

const DENIED: Outcome = Outcome::Segv { mapped: true };
const NOTHING: Outcome = Outcome::Segv { mapped: false };
const NO_FLAGS: MapFlags = MapFlags::empty();

/// Runs `test` with a fresh space, and looks whether all frames come back.
fn with_space(test: impl FnOnce(Host, &Space)) {
    let host = machine();
    let before = host.free_frames();
    let space = new_space(host);
    test(host, &space);
    drop(space);
    assert_all_back(host, before);
}

#[test]
fn reading_nothing_costs_no_frame() {
    with_space(|host, space| {
        space.map(anonymous(BASE, 4, RW, NO_FLAGS)).unwrap();
        assert_eq!(space.read(page(0)), Ok(0));
        let free = host.free_frames();
        assert_eq!((space.read(page(1)), space.read(page(3))), (Ok(0), Ok(0)));
        assert_eq!(host.free_frames(), free);
        assert_eq!(space.write(page(1), 7), Ok(()));
        assert_eq!(space.write(page(2), 8), Ok(()));
        assert_eq!([0, 1, 2, 3].map(|n| space.read(page(n)).unwrap()), [0, 7, 8, 0]);
        assert_eq!(host.free_frames(), free - 2);
    });
}

#[test]
fn accesses_are_refused_by_name() {
    with_space(|_, space| {
        space.map(anonymous(BASE, 2, Prot::READ, NO_FLAGS)).unwrap();
        space.map(anonymous(page(4), 1, Prot::empty(), NO_FLAGS)).unwrap();
        space.map(anonymous(page(5), 1, Prot::READ | Prot::EXEC, NO_FLAGS)).unwrap();
        assert_eq!(space.write(page(1), 1), Err(DENIED));
        assert_eq!(space.read(page(2)), Err(NOTHING));
        assert_eq!(space.read(page(4)), Err(DENIED));
        assert_eq!(space.handle_fault(page(0), Access::Execute, true), DENIED);
        assert_eq!(space.handle_fault(page(5), Access::Execute, true), Outcome::Done);
        assert_eq!(space.handle_fault(page(5), Access::Execute, false), DENIED);
        for beyond in [USER_END, 0x8000_0000_0000, 0xFFFF_8000_0000_0000, u64::MAX] {
            assert_eq!(space.handle_fault(beyond, Access::Read, true), NOTHING, "{beyond:#x}");
        }
    });
}

#[test]
fn what_may_not_be_touched_is_kept() {
    with_space(|_, space| {
        space.map(anonymous(BASE, 3, RW, NO_FLAGS)).unwrap();
        space.write(page(1), 5).unwrap();
        space.protect(BASE, 3 * PAGE_SIZE, Prot::empty(), false).unwrap();
        assert_eq!((space.read(page(1)), space.read(page(2))), (Err(DENIED), Err(DENIED)));
        space.protect(BASE, 3 * PAGE_SIZE, Prot::READ, false).unwrap();
        assert_eq!((space.read(page(1)), space.write(page(1), 6)), (Ok(5), Err(DENIED)));
        space.protect(BASE, 3 * PAGE_SIZE, RW, false).unwrap();
        assert_eq!((space.write(page(1), 6), space.read(page(1))), (Ok(()), Ok(6)));
    });
}

#[test]
fn memory_may_be_both_if_the_program_wants() {
    with_space(|_, space| {
        space.map(anonymous(BASE, 2, Prot::all(), NO_FLAGS)).unwrap();
        space.map(anonymous(page(2), 1, RW, NO_FLAGS)).unwrap();
        (0..3).for_each(|n| space.write(page(n), 1).unwrap());
        let executable = |space: &Space| -> Vec<bool> {
            space.leaves().iter().map(|(_, entry)| !entry.flags().contains(Flags::NO_EXECUTE)).collect()
        };
        assert_eq!(executable(space), [true, true, false]);
        space.protect(page(1), PAGE_SIZE, RW, false).unwrap();
        assert_eq!(executable(space), [true, false, false]);
        space.protect(page(1), 2 * PAGE_SIZE, Prot::READ | Prot::EXEC, false).unwrap();
        assert_eq!(executable(space), [true, true, true]);
        assert_eq!(space.write(page(1), 2), Err(DENIED));
    });
}

#[test]
fn a_fork_copies_what_is_written_and_the_last_owner_none() {
    with_space(|host, space| {
        space.map(anonymous(BASE, 8, RW, NO_FLAGS)).unwrap();
        (0..8).for_each(|n| space.write(page(n), n + 1).unwrap());
        let child = space.fork().unwrap();
        let free = host.free_frames();
        space.write(page(2), 20).unwrap();
        assert_eq!(host.free_frames(), free - 1, "a page is copied for whoever writes first");
        child.write(page(2), 30).unwrap();
        assert_eq!(host.free_frames(), free - 1, "the last owner's page is not");
        assert_eq!((space.read(page(2)), child.read(page(2))), (Ok(20), Ok(30)));
        assert_eq!((space.read(page(3)), child.read(page(3))), (Ok(4), Ok(4)));
        drop(child);
        let free = host.free_frames();
        (0..8).for_each(|n| space.write(page(n), 50).unwrap());
        assert_eq!(host.free_frames(), free, "nobody else has them any more");
    });
}

#[test]
fn a_grandchild_sees_what_its_parent_had() {
    with_space(|_, space| {
        space.map(anonymous(BASE, 2, RW, NO_FLAGS)).unwrap();
        space.write(page(0), 1).unwrap();
        let child = space.fork().unwrap();
        child.write(page(0), 2).unwrap();
        let grandchild = child.fork().unwrap();
        child.write(page(0), 3).unwrap();
        space.write(page(0), 4).unwrap();
        let found = [space, &child, &grandchild].map(|space| space.read(page(0)).unwrap());
        assert_eq!(found, [4, 3, 2]);
    });
}

#[test]
fn shared_memory_is_shared() {
    with_space(|host, space| {
        let promised = space.promised();
        space.map(anonymous(BASE, 600, RW, MapFlags::SHARED)).unwrap();
        assert_eq!(space.promised(), promised + 600);
        space.write(page(0), 1).unwrap();
        let child = space.fork().unwrap();
        assert_eq!(child.leaves().len(), 0, "what an object has is not copied");
        child.write(page(599), 2).unwrap();
        child.write(page(0), 3).unwrap();
        assert_eq!((space.read(page(599)), space.read(page(0))), (Ok(2), Ok(3)));
        space.unmap(BASE, 600 * PAGE_SIZE).unwrap();
        assert_eq!(space.promised(), promised + 600, "the child has it still");
        assert_eq!(child.read(page(0)), Ok(3));
        let free = host.free_frames();
        drop(child);
        // A top table, the child's three below it with two leaf tables, the object's three, and two pages.
        assert_eq!(host.free_frames(), free + 1 + 4 + 3 + 2);
        assert_eq!(space.promised(), promised);
    });
}

#[test]
fn memory_that_grew_beyond_its_object_is_a_bus_error() {
    with_space(|_, space| {
        space.map(anonymous(BASE, 2, RW, MapFlags::SHARED)).unwrap();
        let flags = RemapFlags::MAY_MOVE;
        let to = space.remap(BASE, 2 * PAGE_SIZE, 4 * PAGE_SIZE, flags, 0).unwrap();
        assert_eq!((space.read(to + PAGE_SIZE), space.read(to + 2 * PAGE_SIZE)), (Ok(0), Err(Outcome::Bus)));
    });
}

#[test]
fn files_are_copied_when_written_in_private() {
    with_space(|host, space| {
        let file = File::new(host, 1, 40, false);
        let thing = Thing::File(file.clone());
        space.map(of_file(BASE, 40, RW, MapFlags::PRIVATE, &thing, 2)).unwrap();
        let content = |n: u64| File::word(1, (n + 2) * PAGE_SIZE, super::program::WORD);
        assert_eq!(space.read(page(3)), Ok(content(3)));
        space.write(page(3), 5).unwrap();
        space.write(page(4), 6).unwrap();
        assert_eq!(
            space.access(page(4), 0, None),
            Ok(File::word(1, 6 * PAGE_SIZE, 0)),
            "the rest is the file's"
        );
        assert_eq!((space.read(page(3)), space.read(page(4))), (Ok(5), Ok(6)));
        space.advise(page(3), PAGE_SIZE, Advice::DontNeed).unwrap();
        assert_eq!(space.read(page(3)), Ok(content(3)));
        assert!(file.written.lock().unwrap().is_empty());
        assert_eq!((space.read(page(38)), space.write(page(39), 1)), (Err(Outcome::Bus), Err(Outcome::Bus)));
        // The cache gives a page up that is mapped here: then it is the program's, and is not copied.
        assert_eq!(space.read(page(7)), Ok(content(7)));
        file.evict(9 * PAGE_SIZE);
        let free = host.free_frames();
        space.write(page(7), 70).unwrap();
        assert_eq!((space.read(page(7)), host.free_frames()), (Ok(70), free));
    });
}

#[test]
fn shared_files_are_told_before_they_are_written() {
    with_space(|host, space| {
        let file = File::new(host, 1, 8, false);
        let thing = Thing::File(file.clone());
        space.map(of_file(BASE, 8, RW, MapFlags::SHARED, &thing, 0)).unwrap();
        space.read(page(2)).unwrap();
        assert!(file.written.lock().unwrap().is_empty());
        space.write(page(2), 5).unwrap();
        space.write(page(2), 6).unwrap();
        space.write(page(3), 7).unwrap();
        assert_eq!(*file.written.lock().unwrap(), [2 * PAGE_SIZE, 3 * PAGE_SIZE]);
        let other = new_space(host);
        other.map(of_file(BASE, 1, Prot::READ, MapFlags::PRIVATE, &thing, 2)).unwrap();
        assert_eq!(other.read(BASE), Ok(6));
        file.broken.store(true, Ordering::SeqCst);
        assert_eq!((space.read(page(3)), space.read(page(5))), (Ok(7), Err(Outcome::Bus)));
        assert_eq!(other.write(BASE, 1), Err(DENIED));
    });
}

#[test]
fn cached_pages_come_sixteen_at_a_time() {
    with_space(|host, space| {
        let file = File::new(host, 1, 64, false);
        let thing = Thing::File(file.clone());
        // Everything into the cache, by another program.
        let other = new_space(host);
        let mut all = of_file(BASE, 64, Prot::READ, MapFlags::SHARED | MapFlags::POPULATE, &thing, 0);
        other.map(all.clone()).unwrap();
        assert_eq!((file.cached_pages(), file.asked.load(Ordering::SeqCst)), (64, 64));
        all.flags.remove(MapFlags::POPULATE);
        all.len = 20 * PAGE_SIZE;
        space.map(all).unwrap();
        assert_eq!(space.read(page(5)), Ok(File::word(1, 5 * PAGE_SIZE, super::program::WORD)));
        assert_eq!(space.leaves().len(), 16);
        space.read(page(18)).unwrap();
        assert_eq!(space.leaves().len(), 20, "not beyond the mapping");
        assert_eq!(file.asked.load(Ordering::SeqCst), 66);
        for n in 0..20 {
            assert_eq!(space.read(page(n)), Ok(File::word(1, n * PAGE_SIZE, super::program::WORD)));
        }
        assert_eq!(file.asked.load(Ordering::SeqCst), 66);
        space.map(of_file(page(32), 4, Prot::READ, MapFlags::PRIVATE, &thing, 0)).unwrap();
        file.evict(PAGE_SIZE);
        space.read(page(34)).unwrap();
        assert_eq!(space.leaves().len(), 23, "what is not at hand is not fetched");
    });
}

#[test]
fn stacks_grow_and_keep_their_distance() {
    with_space(|_, space| {
        let stack = anonymous(page(1000), 4, RW, MapFlags::GROWSDOWN);
        space.map(stack).unwrap();
        assert_eq!(space.write(page(999), 1), Ok(()));
        assert_eq!(space.write(page(700), 2), Ok(()));
        assert_eq!(
            (space.read(page(999)), space.read(page(700)), space.read(page(850))),
            (Ok(1), Ok(2), Ok(0))
        );
        space.map(anonymous(page(100), 1, RW, NO_FLAGS)).unwrap();
        assert_eq!(space.write(page(356), 1), Err(NOTHING), "within the guard");
        assert_eq!(space.write(page(357), 1), Ok(()));
    });
}

#[test]
fn populated_mappings_are_there_at_once() {
    with_space(|host, space| {
        space.map(anonymous(BASE, 20, RW, MapFlags::POPULATE)).unwrap();
        let leaves = space.leaves();
        assert_eq!(leaves.len(), 20);
        assert!(leaves.iter().all(|(_, entry)| entry.flags().contains(Flags::PRESENT | Flags::WRITE)));
        // It is no error if there is not enough.
        host.fail_after(10);
        space.map(anonymous(page(40), 20, RW, MapFlags::POPULATE)).unwrap();
        assert!(!host.fail_never());
        assert_eq!(space.leaves().len(), 30);
        (0..20).for_each(|n| space.write(page(40 + n), n).unwrap());
    });
}

#[test]
fn a_move_takes_tables_by_what_is_there() {
    with_space(|host, space| {
        const TIB: u64 = 1 << 40;
        let (from, to) = (1 << 42, 1 << 45);
        let lazy = MapFlags::NORESERVE;
        space.map(anonymous(from, TIB / PAGE_SIZE, RW, lazy)).unwrap();
        let places: Vec<u64> = (0..9).map(|n| n * (TIB / 9 / PAGE_SIZE * PAGE_SIZE)).collect();
        places.iter().for_each(|at| space.write(from + at, at + 1).unwrap());
        space.map(anonymous(to, 4, RW, NO_FLAGS)).unwrap();
        space.write(to, 9).unwrap();
        let free = host.free_frames();
        let flags = RemapFlags::MAY_MOVE | RemapFlags::FIXED;
        assert_eq!(space.remap(from, TIB, TIB, flags, to), Ok(to));
        places.iter().for_each(|at| assert_eq!(space.read(to + at), Ok(at + 1)));
        assert_eq!(space.read(from), Err(NOTHING));
        // The page that was there went, and the tables over it, or they are used by what came; no other is left.
        assert!(host.free_frames() > free, "{} {free}", host.free_frames());
        assert_eq!(space.leaves().len(), 9);
        let frames: Vec<_> = space.leaves().iter().map(|&(_, entry)| frame_of(entry)).collect();
        assert!(frames.iter().all(|&frame| host.references(frame) == 1));
    });
}

#[test]
fn advice_is_taken() {
    with_space(|host, space| {
        let file = File::new(host, 1, 8, false);
        space.map(anonymous(BASE, 4, RW, NO_FLAGS)).unwrap();
        (0..4).for_each(|n| space.write(page(n), 1).unwrap());
        space.advise(page(0), PAGE_SIZE, Advice::DontNeed).unwrap();
        space.advise(page(1), PAGE_SIZE, Advice::Free).unwrap();
        space.advise(page(2), PAGE_SIZE, Advice::WipeOnFork).unwrap();
        space.advise(page(3), PAGE_SIZE, Advice::DontFork).unwrap();
        assert_eq!([0, 1, 2, 3].map(|n| space.read(page(n)).unwrap()), [0, 0, 1, 1]);
        let child = space.fork().unwrap();
        assert_eq!([0, 1, 2, 3].map(|n| child.read(page(n))), [Ok(0), Ok(0), Ok(0), Err(NOTHING)]);
        space.map(of_file(page(8), 4, RW, MapFlags::SHARED, &Thing::File(file.clone()), 2)).unwrap();
        space.advise(page(9), 2 * PAGE_SIZE, Advice::WillNeed).unwrap();
        assert_eq!(*file.read_ahead.lock().unwrap(), [(3 * PAGE_SIZE, 2 * PAGE_SIZE)]);
        let mut written = Vec::new();
        let answer =
            space.sync(page(7), 4 * PAGE_SIZE, |thing, at, len| written.push((thing.number(), at, len)));
        assert_eq!((answer, written), (Err(Error::NoMemory), std::vec![(1, 2 * PAGE_SIZE, 3 * PAGE_SIZE)]));
    });
}

#[test]
fn promises_that_cannot_be_kept_are_not_made() {
    with_space(|host, space| {
        let too_much = |more| space.map(anonymous(BASE, 2001, RW, more)).map(|mapped| mapped.span.start);
        assert_eq!(too_much(NO_FLAGS), Err(Error::NoMemory));
        assert_eq!(too_much(MapFlags::SHARED), Err(Error::NoMemory));
        assert_eq!(space.promised(), 0);
        assert_eq!(too_much(MapFlags::NORESERVE), Ok(BASE));
        assert_eq!(space.promised(), 0);
        let free = host.free_frames();
        space.map(anonymous(BASE, 2000, RW, NO_FLAGS)).unwrap();
        assert_eq!((space.promised(), host.free_frames()), (2000, free));
        let child = space.fork().unwrap();
        assert_eq!(space.promised(), 4000);
        drop(child);
        space.clear();
        assert_eq!(space.promised(), 0);
        assert_eq!(space.read(BASE), Err(NOTHING));
    });
}

#[test]
fn the_heap_grows_and_shrinks() {
    with_space(|_, space| {
        space.set_heap(BASE, 0);
        assert_eq!(space.brk(page(3) + 5), page(3) + 5);
        space.write(page(3), 4).unwrap();
        assert_eq!(space.read(page(4)), Err(NOTHING));
        assert_eq!(space.brk(page(3)), page(3));
        assert_eq!(space.brk(page(4)), page(4));
        assert_eq!(space.read(page(3)), Ok(0));
    });
}
