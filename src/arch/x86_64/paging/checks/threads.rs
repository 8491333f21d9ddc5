//! Page faults side by side.

use super::super::*;
use super::machine::{Machine, count_tables, new_space};
use crate::boot::layout::USER_END;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

const THREADS: u64 = 4;
const PAGE: u64 = 4096;
const RW: Attributes = Attributes::user(Rights::Write);

/// All threads fault on the same new pages, in places that have no table yet. Each page and each table exists once.
#[test]
fn one_of_many_faults_on_a_page_wins() {
    let machine = Machine::default();
    let (_kernel, mut space) = new_space(&machine);
    // 40 pages in each of 20 places, 300 GiB apart: new tables at every level.
    let pages = || (0..20).flat_map(|place| (0..40).map(move |page| place * (300 << 30) + page * PAGE));
    let (won, lost) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (space, won, lost) = (&space, &won, &lost);
            scope.spawn(move || {
                let mut cursor = Cursor::new(space);
                for virt in pages() {
                    let mine = Entry::leaf(virt + (thread << 44), RW, 1);
                    let slot = if thread % 2 == 0 { space.ensure(virt, 1) } else { cursor.ensure(virt, 1) };
                    match slot.unwrap().install(mine) {
                        Ok(()) => won.fetch_add(1, Ordering::Relaxed),
                        Err(there) => {
                            assert!(there.present() && there != mine);
                            lost.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
    });
    let count = pages().count() as u64;
    assert_eq!((won.into_inner(), lost.into_inner()), (count, (THREADS - 1) * count));
    // The losers' tables are back: what is live is reachable. The kernel's top table is the one more.
    assert_eq!(machine.tables(), count_tables(&space) + 1);
    let (cpu, mut released) = (machine.cpu(&space), 0);
    let room = Room::Known(0..USER_END);
    space.edit(&cpu, |_| released += 1).unmap(0..USER_END, room).unwrap();
    assert_eq!((released, count_tables(&space)), (count, 1));
}

/// A rival makes its tables for the same address whenever one is asked for here: so this one always comes second.
struct Rival<'m> {
    machine: &'m Machine,
    root: u64,
    virt: u64,
}

impl TableMemory for Rival<'_> {
    unsafe fn table(&self, phys: u64) -> &Table {
        // SAFETY: the caller's promise.
        unsafe { self.machine.table(phys) }
    }

    fn allocate(&self) -> Option<u64> {
        // SAFETY: both exchange entries, and neither gives back what the other has seen.
        let rival = unsafe { PageTables::from_root(self.machine, self.root, Owner::User) };
        rival.ensure(self.virt, 1).unwrap();
        (&self.machine).allocate()
    }

    unsafe fn free(&self, phys: u64) {
        // SAFETY: the caller's promise.
        unsafe { (&self.machine).free(phys) };
    }
}

#[test]
fn who_comes_second_with_a_table_gives_it_back() {
    let machine = Machine::default();
    let (_kernel, space) = new_space(&machine);
    let virt = 77 << 30;
    let memory = Rival { machine: &machine, root: space.root(), virt };
    // SAFETY: as above.
    let mine = unsafe { PageTables::from_root(memory, space.root(), Owner::User) };
    mine.ensure(virt, 1).unwrap().install(Entry::leaf(0x5000, RW, 1)).unwrap();
    assert_eq!(space.find(virt).load().address(1), 0x5000);
    // Top, three below it, and the kernel's top.
    assert_eq!((count_tables(&space), machine.tables()), (4, 5));
}

/// All threads write to the same shared pages. Each is copied once, and no copy is lost.
#[test]
fn one_of_many_copies_of_a_page_stays() {
    const PAGES: u64 = 500;
    let machine = Machine::default();
    let (_kernel, space) = new_space(&machine);
    space.map(0, 1 << 40, PAGES * PAGE, Attributes::user(Rights::Read), 1).unwrap();
    let won = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 1..=THREADS {
            let (space, won, machine) = (&space, &won, &machine);
            scope.spawn(move || {
                let cpu = machine.cpu(space);
                for virt in (0..PAGES).map(|page| page * PAGE) {
                    while cpu.access(virt, true).is_none() {
                        let slot = space.find(virt);
                        let old = slot.load();
                        if !old.present() || old.flags().contains(Flags::WRITE) {
                            continue; // Another is at it, or was.
                        }
                        assert_eq!(old.address(1), (1 << 40) + virt);
                        let copy = Entry::leaf((thread << 41) + virt, RW, 1);
                        if replace_by_copy(slot, virt, old, copy, &cpu) {
                            won.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(won.into_inner(), PAGES);
    for virt in (0..PAGES).map(|page| page * PAGE) {
        let entry = space.find(virt).load();
        assert!(entry.flags().contains(Flags::WRITE) && entry.address(1) & ((1 << 41) - 1) == virt);
    }
}
