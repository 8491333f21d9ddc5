//! Cases that have a name.

use super::super::gather::{BATCH, LIMIT};
use super::super::*;
use super::machine::{Event, Machine, Space, count_tables, new_space};
use crate::boot::layout::{HEAP_BASE, USER_END};
use core::ops::Range;
use std::vec;
use std::vec::Vec;

const PAGE: u64 = 4096;
const RW: Attributes = Attributes::user(Rights::Write);
const KERNEL_RW: Attributes = Attributes::kernel(Rights::Write);
const USER: core::ops::Range<u64> = 0..USER_END;

/// Maps `pages` from `virt` on, and has the processor touch each.
fn map_and_touch(machine: &Machine, space: &Space<'_>, virt: u64, pages: u64) {
    space.map(virt, 1 << 32, pages * PAGE, RW, 1).unwrap();
    for page in 0..pages {
        assert_eq!(machine.cpu(space).access(virt + page * PAGE, true), Some((1 << 32) + page * PAGE));
    }
    machine.events();
}

fn unmap(machine: &Machine, space: &mut Space<'_>, range: core::ops::Range<u64>, room: Room) {
    let (cpu, root) = (machine.cpu(space), space.root());
    space.edit(&cpu, |removed| machine.release(root, removed)).unmap(range, room).unwrap();
}

/// Takes a page, and notes its address.
fn note(taken: &mut Vec<u64>, virt: u64) -> bool {
    taken.push(virt);
    true
}

#[test]
fn a_frame_comes_back_behind_the_flush_of_its_page() {
    let machine = Machine::default();
    let (_kernel, mut space) = new_space(&machine);
    map_and_touch(&machine, &space, 0x1000, 2);
    unmap(&machine, &mut space, 0x1000..0x3000, Room::Known(USER));
    let phys = 1 << 32;
    // Two pages and three tables; one flush for each, and only then the first release.
    let events = machine.events();
    let first = events.iter().position(|event| matches!(event, Event::Released(_) | Event::TableFreed));
    assert_eq!(first, Some(5), "{events:x?}");
    let released = [Event::Released(phys), Event::Released(phys + PAGE)];
    assert_eq!(events[5..], [&released[..], &[Event::TableFreed; 3]].concat());
    assert_eq!(machine.cpu(&space).access(0x1000, false), None);
}

#[test]
fn many_pages_are_one_flush() {
    for pages in [LIMIT as u64, LIMIT as u64 + 1] {
        let machine = Machine::default();
        let (_kernel, mut space) = new_space(&machine);
        map_and_touch(&machine, &space, 0, pages + 1);
        // The last page stays, so no table goes.
        unmap(&machine, &mut space, 0..pages * PAGE, Room::Look);
        let mut events = machine.events();
        events.retain(|event| !matches!(event, Event::Released(_)));
        if pages <= LIMIT as u64 {
            assert_eq!(events, (0..pages).map(|page| Event::FlushPage(page * PAGE)).collect::<Vec<_>>());
        } else {
            assert_eq!(events, [Event::FlushAll]);
        }
    }
}

#[test]
fn what_waits_is_bounded() {
    let machine = Machine::default();
    let (_kernel, mut space) = new_space(&machine);
    let pages = 3 * BATCH as u64 + 5;
    map_and_touch(&machine, &space, 0, pages);
    unmap(&machine, &mut space, 0..pages * PAGE, Room::Known(USER));
    let events = machine.events();
    assert_eq!(events.iter().filter(|event| **event == Event::FlushAll).count(), 3);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Released(_))).count() as u64, pages);
    assert_eq!(count_tables(&space), 1);
}

#[test]
fn nothing_mapped_is_nothing_to_flush() {
    let machine = Machine::default();
    let (_kernel, mut space) = new_space(&machine);
    unmap(&machine, &mut space, USER, Room::Look);
    assert_eq!(machine.events(), []);
}

#[test]
fn a_page_that_was_not_present_needs_no_flush() {
    let machine = Machine::default();
    let (_kernel, mut space) = new_space(&machine);
    space.map(0, 0x5000, 2 * PAGE, Attributes::user(Rights::None), 1).unwrap();
    assert_eq!(machine.cpu(&space).access(0, false), None);
    unmap(&machine, &mut space, 0..PAGE, Room::Look);
    assert_eq!(machine.events(), [Event::Released(0x5000)]);
}

#[test]
fn a_large_page_is_split_where_the_range_ends() {
    for (level, cache) in [(2, Cache::WriteThrough), (3, Cache::WriteThrough), (3, Cache::WriteBack)] {
        let machine = Machine::default();
        let (_kernel, mut space) = new_space(&machine);
        let size = page_size(level);
        space.map(size, 4 * size, size, RW.cached(cache), 3).unwrap();
        let cpu = machine.cpu(&space);
        assert_eq!(cpu.access(size + 5, true), Some(4 * size + 5));
        assert_eq!(space.find(size).level, level);
        machine.events();
        // From the second page on, short of the last.
        space.edit(&cpu, |_| ()).protect(size + PAGE..2 * size - PAGE, Rights::Read).unwrap();
        // Before any small page could differ from the large one.
        assert_eq!(machine.events()[0], Event::FlushAll);
        for (virt, write) in
            [(size, true), (size + PAGE, false), (2 * size - 2 * PAGE, false), (2 * size - PAGE, true)]
        {
            let slot = space.find(virt);
            assert_eq!(slot.load().cache_index(slot.level), if cache == Cache::WriteBack { 0 } else { 7 });
            assert_eq!(cpu.access(virt, false), Some(3 * size + virt));
            assert_eq!(cpu.access(virt, true).is_some(), write, "{virt:#x}");
        }
        assert_eq!(space.find(size).level, 1);
        // Only what had to be small is.
        assert_eq!(space.find(size + size / 2).level, if level == 3 { 2 } else { 1 });
    }
}

/// One page changes, and one INVLPG would do for that; but first the large page has to leave the TLB for good.
#[test]
fn everything_is_flushed_between_a_split_and_the_change() {
    for level in [2, 3] {
        let machine = Machine::default();
        let (_kernel, mut space) = new_space(&machine);
        let size = page_size(level);
        space.map(0, 0, size, RW, level).unwrap();
        let cpu = machine.cpu(&space);
        space.edit(&cpu, |_| ()).protect(PAGE..2 * PAGE, Rights::Read).unwrap();
        let splits = level as usize - 1;
        assert_eq!(
            machine.events(),
            [&vec![Event::FlushAll; splits][..], &[Event::FlushPage(PAGE)]].concat()
        );
        // Nothing present, nothing to flush.
        space.edit(&cpu, |_| ()).protect(0..size, Rights::None).unwrap();
        let parked = Attributes::user(Rights::None);
        space.map(size, 0, size, parked, level).unwrap();
        machine.events();
        space.edit(&cpu, |_| ()).protect(size..size + PAGE, Rights::Read).unwrap();
        assert_eq!(machine.events(), []);
    }
}

#[test]
fn no_memory_for_a_split_changes_nothing() {
    let machine = Machine::default();
    let (_kernel, mut space) = new_space(&machine);
    let size = page_size(2);
    space.map(0, 0, 2 * size, RW, 2).unwrap();
    let cpu = machine.cpu(&space);
    // Enough for one end, not for the other.
    machine.limit(Some(1));
    let mut edit = space.edit(&cpu, |removed| panic!("{removed:x?}"));
    assert_eq!(edit.unmap(PAGE..2 * size - PAGE, Room::Look), Err(MapError::NoMemory));
    assert_eq!(edit.protect(PAGE..2 * size - PAGE, Rights::Read), Err(MapError::NoMemory));
    drop(edit);
    for page in 0..2 * size / PAGE {
        assert_eq!(cpu.access(page * PAGE, true), Some(page * PAGE));
    }
}

#[test]
fn map_is_all_or_nothing() {
    let machine = Machine::default();
    let (_kernel, space) = new_space(&machine);
    let size = page_size(2);
    // The third of three page tables is one too many.
    machine.limit(Some(4));
    assert_eq!(space.map(size - PAGE, 0, size + 2 * PAGE, RW, 1), Err(MapError::NoMemory));
    let mut found = 0;
    space.for_each_leaf(USER, |_, _| found += 1).unwrap();
    assert_eq!(found, 0);
    machine.limit(None);
    space.map(3 * PAGE, 0, PAGE, RW, 1).unwrap();
    assert_eq!(space.map(0, 0, 4 * PAGE, RW, 1), Err(MapError::Occupied));
    assert_eq!(space.map(0, 0, size, RW, 2), Err(MapError::Occupied));
    assert!(space.find(0).load().is_empty());
}

#[test]
fn refuses_what_cannot_be_mapped() {
    let machine = Machine::default();
    let (kernel, mut space) = new_space(&machine);
    let hole = 1 << 47;
    for (virt, phys, len) in [
        (1, 0, PAGE),
        (0, 1, PAGE),
        (0, 0, 1),
        (hole - PAGE, 0, PAGE),
        (hole - PAGE, 0, 2 * PAGE),
        (0, 1 << 52, PAGE),
    ] {
        assert_eq!(
            space.map(virt, phys, len, RW, 3),
            Err(MapError::BadRange),
            "{virt:#x} {phys:#x} {len:#x}"
        );
    }
    let last = PAGE.wrapping_neg();
    assert_eq!(space.map(HEAP_BASE, 0, PAGE, RW, 1), Err(MapError::BadRange));
    assert_eq!(kernel.map(last, 0, PAGE, KERNEL_RW, 1), Err(MapError::BadRange));
    assert_eq!(kernel.map(last - PAGE, 0, 2 * PAGE, KERNEL_RW, 1), Err(MapError::BadRange));
    assert!(matches!(space.ensure(HEAP_BASE, 1), Err(MapError::BadRange)));
    assert!(matches!(space.ensure(USER_END, 1), Err(MapError::BadRange)));
    assert!(matches!(Cursor::new(&space).ensure(USER_END, 1), Err(MapError::BadRange)));
    assert!(matches!(kernel.ensure(hole, 1), Err(MapError::BadRange)));
    let cpu = machine.cpu(&space);
    let mut edit = space.edit(&cpu, |_| ());
    assert_eq!(edit.unmap(0..hole, Room::Look), Err(MapError::BadRange));
    assert_eq!(edit.unmap(Range { start: PAGE, end: 0 }, Room::Look), Err(MapError::BadRange));
    assert_eq!(edit.protect(HEAP_BASE..HEAP_BASE + PAGE, Rights::Read), Err(MapError::BadRange));
    assert_eq!(edit.relocate(0..2 * PAGE, PAGE), Err(MapError::BadRange));
    assert_eq!(edit.unmap(0..0, Room::Look), Ok(()));
}

#[test]
fn tables_at_the_end_of_the_users_half_are_given_back() {
    let machine = Machine::default();
    let (_kernel, mut space) = new_space(&machine);
    space.map(USER_END - PAGE, 0, PAGE, RW, 1).unwrap();
    unmap(&machine, &mut space, USER, Room::Known(USER));
    assert_eq!(count_tables(&space), 1);
}

#[test]
fn a_table_stays_while_a_neighbour_is_in_it() {
    let machine = Machine::default();
    let (_kernel, mut space) = new_space(&machine);
    space.map(0, 0, 3 * PAGE, RW, 1).unwrap();
    unmap(&machine, &mut space, PAGE..2 * PAGE, Room::Look);
    unmap(&machine, &mut space, 0..PAGE, Room::Known(0..2 * PAGE));
    assert_eq!(machine.cpu(&space).access(2 * PAGE, true), Some(2 * PAGE));
    unmap(&machine, &mut space, 2 * PAGE..3 * PAGE, Room::Look);
    assert_eq!(count_tables(&space), 1);
}

#[test]
fn the_kernels_half_is_everybodys() {
    let machine = Machine::default();
    let root = (&machine).allocate().unwrap();
    // SAFETY: a new table, and nobody else knows it.
    let mut kernel = unsafe { PageTables::from_root(&machine, root, Owner::Kernel) };
    let region = HEAP_BASE..HEAP_BASE + 2 * page_size(4);
    kernel.reserve(region.clone()).unwrap();
    let before = machine.tables();
    let space = PageTables::new_user(&machine, &kernel).unwrap();
    // What comes later is seen by both.
    kernel.map(region.start, 0x7000, PAGE, KERNEL_RW, 1).unwrap();
    kernel.map(region.end - PAGE, 0x9000, PAGE, KERNEL_RW, 1).unwrap();
    assert_eq!(machine.cpu(&space).access(region.start, true), Some(0x7000));
    assert_eq!(machine.cpu(&space).access(region.end - PAGE, true), Some(0x9000));
    // What a copy would miss is refused.
    assert_eq!(kernel.map(region.end, 0, PAGE, KERNEL_RW, 1), Err(MapError::TopIsFixed));
    assert_eq!(kernel.reserve(region.start..region.end + PAGE), Err(MapError::TopIsFixed));
    // The tables that the copies name stay, those below go.
    let cpu = machine.cpu(&space);
    kernel.edit(&cpu, |_| ()).unmap(region.clone(), Room::Known(region.clone())).unwrap();
    assert_eq!(machine.tables(), before + 1);
    kernel.map(region.start, 0xB000, PAGE, KERNEL_RW, 1).unwrap();
    assert_eq!(machine.cpu(&space).access(region.start, false), Some(0xB000));
}

#[test]
fn a_users_tables_admit_users_and_the_kernels_do_not() {
    let machine = Machine::default();
    let (kernel, space) = new_space(&machine);
    space.map(0, 0, PAGE, RW, 1).unwrap();
    kernel.map(0, 0, PAGE, KERNEL_RW, 1).unwrap();
    for (tables, user) in [(&space, true), (&kernel, false)] {
        let top = Entry(tables.top()[0].load(core::sync::atomic::Ordering::Relaxed));
        assert_eq!(top.flags().contains(Flags::USER), user);
        assert!(top.flags().contains(Flags::WRITE) && !top.flags().contains(Flags::NO_EXECUTE));
        assert_eq!(tables.find(0).load().flags().contains(Flags::GLOBAL), !user);
    }
}

#[test]
fn a_fork_write_protects_both() {
    let machine = Machine::default();
    let (kernel, mut space) = new_space(&machine);
    map_and_touch(&machine, &space, 0, 3);
    let far = 5 << 39;
    space.map(far, 0x9000, PAGE, Attributes::user(Rights::Execute), 1).unwrap();
    let mut child = PageTables::new_user(&machine, &kernel).unwrap();
    let cpu = machine.cpu(&space);
    let mut taken = Vec::new();
    let mut edit = space.edit(&cpu, |_| ());
    edit.share(0..2 * PAGE, &mut child, Share::Private, |virt, _, _| note(&mut taken, virt)).unwrap();
    edit.share(2 * PAGE..3 * PAGE, &mut child, Share::Shared, |virt, _, _| note(&mut taken, virt)).unwrap();
    edit.share(3 * PAGE..USER_END, &mut child, Share::Private, |virt, _, _| note(&mut taken, virt)).unwrap();
    drop(edit);
    assert_eq!(taken, [0, PAGE, 2 * PAGE, far]);
    assert_eq!(machine.events(), [Event::FlushPage(0), Event::FlushPage(PAGE)]);
    for tables in [&space, &child] {
        let cpu = machine.cpu(tables);
        for page in 0..3 {
            assert_eq!(cpu.access(page * PAGE, false), Some((1 << 32) + page * PAGE));
            assert_eq!(cpu.access(page * PAGE, true).is_some(), page == 2);
        }
        assert_eq!(cpu.access(far, false), Some(0x9000));
    }
    let dirty =
        |tables: &Space<'_>, page: u64| tables.find(page * PAGE).load().flags().contains(Flags::DIRTY);
    assert!(dirty(&space, 0) && dirty(&space, 2));
    // Both spaces have the same tables: as many as pages ask for, not more.
    assert_eq!(count_tables(&child), count_tables(&space));
}

#[test]
fn a_copy_takes_a_shared_pages_place() {
    let machine = Machine::default();
    let (_kernel, mut space) = new_space(&machine);
    map_and_touch(&machine, &space, 0, 1);
    let cpu = machine.cpu(&space);
    space.edit(&cpu, |_| ()).protect(0..PAGE, Rights::Read).unwrap();
    let slot = space.find(0);
    let old = Entry(slot.load().0 & !Flags::ACCESSED.bits());
    assert_eq!(cpu.access(0, false), Some(1 << 32));
    let copy = Entry::leaf(0x5000, RW, 1);
    // The processor has set ACCESSED since the entry was read: that is no difference.
    assert!(replace_by_copy(slot, 0, old, copy, &cpu));
    assert_eq!(cpu.access(0, false), Some(0x5000));
    assert_eq!(cpu.access(0, true), Some(0x5000));
    // The entry is another by now: that is one.
    assert!(!replace_by_copy(slot, 0, old, Entry::leaf(0x6000, RW, 1), &cpu));
    assert_eq!(cpu.access(0, true), Some(0x5000));
}

/// While some processors still have the old page, none gets at the copy.
#[test]
fn a_copy_is_not_there_before_the_old_page_is_forgotten() {
    struct Watch<'t>(Slot<'t>);
    impl Tlb for Watch<'_> {
        fn flush_page(&self, _virt: u64) {
            let entry = self.0.load();
            assert!(!entry.present() && !entry.is_empty(), "{entry:x?}");
        }

        fn flush_all(&self) {
            self.flush_page(0);
        }
    }
    let machine = Machine::default();
    let (_kernel, space) = new_space(&machine);
    space.map(0, 0x1000, PAGE, Attributes::user(Rights::Read), 1).unwrap();
    let slot = space.find(0);
    assert!(replace_by_copy(slot, 0, slot.load(), Entry::leaf(0x5000, RW, 1), &Watch(slot)));
    assert_eq!(slot.load().address(1), 0x5000);
}

#[test]
fn a_move_takes_large_pages_along_as_far_as_they_fit() {
    let machine = Machine::default();
    let (_kernel, mut space) = new_space(&machine);
    let size = page_size(2);
    for (to, level) in [(600 * size, 2), (600 * size + PAGE, 1)] {
        let from = 8 * size;
        space.map(from, 0, 2 * size, RW, 2).unwrap();
        let cpu = machine.cpu(&space);
        assert_eq!(cpu.access(from, true), Some(0));
        // Not even one table: nothing moves.
        machine.limit(Some(0));
        let failed = space.edit(&cpu, |_| ()).relocate(from..from + 2 * size, to);
        assert_eq!(failed, Err(MapError::NoMemory));
        assert_eq!(cpu.access(from, true), Some(0));
        machine.limit(None);
        space.edit(&cpu, |removed| panic!("{removed:x?}")).relocate(from..from + 2 * size, to).unwrap();
        assert_eq!(space.find(to).level, level);
        assert_eq!(cpu.access(from, false), None);
        for offset in (0..2 * size).step_by(PAGE as usize) {
            assert_eq!(cpu.access(to + offset, true), Some(offset));
        }
        assert_eq!(space.edit(&cpu, |_| ()).relocate(to..to + PAGE, to + PAGE), Err(MapError::Occupied));
        unmap(&machine, &mut space, USER, Room::Known(USER));
        assert_eq!(count_tables(&space), 1);
    }
}
