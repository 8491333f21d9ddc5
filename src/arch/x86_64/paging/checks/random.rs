//! Everything, in any order, against a model with one cell a page.
//!
//! `SIS_FUZZ` sets the number of operations (110,000 without it), `SIS_FUZZ_SEED` another sequence.

use super::super::*;
use super::machine::{Machine, Space, count_tables, new_space};
use crate::boot::layout::USER_END;
use crate::testing::Random;
use std::ops::Range;
use std::vec;
use std::vec::Vec;

const PAGE: u64 = 4096;
/// Pages in a page table.
const CHUNK: u64 = ENTRIES as u64;
const RIGHTS: [Rights; 4] = [Rights::None, Rights::Read, Rights::Write, Rights::Execute];

/// Where pages are: around the ends of tables of every level.
const WINDOWS: [Range<u64>; 3] =
    [0..3 << 30, (511 << 30)..(514 << 30), (USER_END & !0x1F_FFFF) - (64 << 20)..USER_END];
/// Offsets in a window that are chosen over and over, so that operations meet.
const CENTRES: [u64; 6] = [0, 1 << 20, 2 << 20, 63 << 20, 1 << 30, (2 << 30) + (5 << 20)];

/// What a page is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    phys: u64,
    rights: Rights,
    /// Was given the right to be written, and has not lost it since.
    writable: bool,
    cache: u8,
}

/// An address space, page by page.
#[derive(Clone)]
struct Model {
    cells: Vec<Vec<Option<Cell>>>,
    /// Pages in each stretch that one page table covers.
    counts: Vec<Vec<u32>>,
}

impl Model {
    fn new() -> Self {
        let pages = |window: &Range<u64>| (window.end - window.start) / PAGE;
        Self {
            cells: WINDOWS.iter().map(|window| vec![None; pages(window) as usize]).collect(),
            counts: WINDOWS.iter().map(|window| vec![0; pages(window).div_ceil(CHUNK) as usize]).collect(),
        }
    }

    fn place(virt: u64) -> Option<(usize, usize)> {
        let window = WINDOWS.iter().position(|window| window.contains(&virt))?;
        Some((window, ((virt - WINDOWS[window].start) / PAGE) as usize))
    }

    fn get(&self, virt: u64) -> Option<Cell> {
        Self::place(virt).and_then(|(window, page)| self.cells[window][page])
    }

    fn set(&mut self, virt: u64, cell: Option<Cell>) {
        let (window, page) = Self::place(virt).expect("within a window");
        let count = &mut self.counts[window][page / CHUNK as usize];
        *count -= u32::from(self.cells[window][page].is_some());
        *count += u32::from(cell.is_some());
        self.cells[window][page] = cell;
    }

    fn change(&mut self, range: Range<u64>, mut to: impl FnMut(Cell) -> Option<Cell>) {
        for virt in range.step_by(PAGE as usize) {
            if let Some(cell) = self.get(virt) {
                self.set(virt, to(cell));
            }
        }
    }

    fn is_empty(&self, range: Range<u64>) -> bool {
        range.step_by(PAGE as usize).all(|virt| self.get(virt).is_none())
    }

    fn pages(&self) -> u64 {
        self.counts.iter().flatten().map(|&count| u64::from(count)).sum()
    }

    /// The gap around a range, as a VMA tree would know it.
    fn room(&self, range: &Range<u64>) -> Range<u64> {
        let (window, first) = Self::place(range.start).unwrap();
        let after = first + ((range.end - range.start) / PAGE) as usize;
        let chunk = CHUNK as usize;
        let cells = &self.cells[window];
        let counts = &self.counts[window];
        let mut low = first;
        while low > 0 {
            if low % chunk == 0 && counts[low / chunk - 1] == 0 {
                low -= chunk;
            } else if cells[low - 1].is_none() {
                low -= 1;
            } else {
                break;
            }
        }
        let mut high = after;
        while high < cells.len() {
            if high % chunk == 0 && counts[high / chunk] == 0 {
                high = (high + chunk).min(cells.len());
            } else if cells[high].is_none() {
                high += 1;
            } else {
                break;
            }
        }
        let address = |page: usize| WINDOWS[window].start + page as u64 * PAGE;
        let empty = |window: usize| self.counts[window].iter().all(|&count| count == 0);
        // On to the next window with something in it.
        let start = if low > 0 {
            address(low)
        } else {
            (0..window).rev().find(|&at| !empty(at)).map_or(0, |at| WINDOWS[at].end)
        };
        let end = if high < cells.len() {
            address(high)
        } else {
            (window + 1..WINDOWS.len()).find(|&at| !empty(at)).map_or(USER_END, |at| WINDOWS[at].start)
        };
        start..end
    }
}

/// The tables and what they should say.
struct Both<'m> {
    space: Space<'m>,
    model: Model,
}

/// What the tables make of a page.
fn seen(space: &Space<'_>, virt: u64) -> Option<Cell> {
    let slot = space.find(virt);
    let (entry, level) = (slot.load(), slot.level);
    if entry.is_empty() {
        return None;
    }
    let flags = entry.flags();
    assert!(flags.contains(Flags::USER) && entry.is_leaf(level));
    let writable = flags.contains(Flags::WRITE);
    let rights = match (entry.present(), writable, flags.contains(Flags::NO_EXECUTE)) {
        (false, ..) => Rights::None,
        (true, false, true) => Rights::Read,
        (true, true, true) => Rights::Write,
        (true, false, false) => Rights::Execute,
        (true, true, false) => panic!("writable and executable: {virt:#x}"),
    };
    let phys = entry.address(level) + (virt & (page_size(level) - 1) & !(PAGE - 1));
    Some(Cell { phys, rights, writable, cache: entry.cache_index(level) as u8 })
}

impl Both<'_> {
    fn check(&self, virt: u64) {
        assert_eq!(seen(&self.space, virt), self.model.get(virt), "{virt:#x}");
    }

    /// Every page, and no page more.
    fn check_all(&self) {
        let mut pages = 0;
        let visit = |virt: u64, slot: Slot<'_>| {
            for page in (virt..virt + page_size(slot.level)).step_by(PAGE as usize) {
                self.check(page);
                pages += 1;
            }
        };
        self.space.for_each_leaf(0..USER_END, visit).unwrap();
        assert_eq!(pages, self.model.pages());
    }

    /// The TLB may know less than the tables allow, never more, and nothing else.
    fn check_tlb(&self, machine: &Machine) {
        let cpu = machine.cpu(&self.space);
        let all = cpu.cached();
        for &(virt, level, cached) in &all {
            for page in [virt, (virt + page_size(level) / 2) & !(PAGE - 1), virt + page_size(level) - PAGE] {
                let now = self.model.get(page).unwrap_or_else(|| panic!("{page:#x} is gone, but in the TLB"));
                assert!(now.rights != Rights::None, "{page:#x}");
                assert_eq!(now.phys, cached.phys + (page - virt), "{page:#x}");
                assert!(!cached.write || now.rights == Rights::Write, "{page:#x}");
                assert!(!cached.execute || now.rights == Rights::Execute, "{page:#x}");
            }
        }
        if all.len() > 200 {
            cpu.flush_all();
        }
    }
}

/// A range in a window: mostly a few pages around one of the centres, sometimes large pages.
fn range(random: &mut Random) -> Range<u64> {
    let window = random.pick(&[0, 0, 1, 2]);
    let Range { start, end } = WINDOWS[window].clone();
    let centre = start + random.pick(&CENTRES).min(end - start - PAGE);
    let (from, len) = match random.below(1000) {
        0 => (centre & !((1 << 30) - 1), 1 << 30),
        1..40 => (centre & !((2 << 20) - 1), (1 + random.below(3)) * (2 << 20)),
        40..100 => (centre + random.below(1024) * PAGE, (1 + random.below(1200)) * PAGE),
        _ => (centre + random.below(1024) * PAGE, (1 + random.below(32)) * PAGE),
    };
    let from = from.saturating_sub(random.pick(&[0, 0, 512]) * PAGE).clamp(start, end - PAGE);
    from..(from + len).min(end)
}

struct Test<'m> {
    machine: &'m Machine,
    random: Random,
    parent: Both<'m>,
    next_phys: u64,
    refused: u64,
}

impl<'m> Test<'m> {
    fn new(machine: &'m Machine, random: Random) -> (Space<'m>, Self) {
        let (kernel, space) = new_space(machine);
        let parent = Both { space, model: Model::new() };
        (kernel, Self { machine, random, parent, next_phys: 1 << 30, refused: 0 })
    }

    /// Whether that succeeded; memory may be out, and nothing else.
    fn outcome(&mut self, result: Result<(), MapError>) -> bool {
        self.machine.limit(None);
        self.refused += u64::from(result.is_err());
        assert!(matches!(result, Ok(()) | Err(MapError::NoMemory)), "{result:?}");
        result.is_ok()
    }

    fn room(&mut self, range: &Range<u64>) -> Room {
        if self.random.below(2) == 0 { Room::Look } else { Room::Known(self.parent.model.room(range)) }
    }

    fn map(&mut self, range: Range<u64>) {
        if !self.parent.model.is_empty(range.clone()) {
            let result = self.parent.space.map(
                range.start,
                0,
                range.end - range.start,
                Attributes::user(Rights::Read),
                1,
            );
            assert!(matches!(result, Err(MapError::Occupied | MapError::NoMemory)));
            self.machine.limit(None);
            return self.tidy(range);
        }
        let len = range.end - range.start;
        // As its address is aligned, or anyhow; each frame once.
        let align = self.random.pick(&[PAGE, 2 << 20, 1 << 30]);
        let phys = self.next_phys.next_multiple_of(align) + (range.start & (align - 1));
        self.next_phys = phys + len;
        let (rights, cache) = (self.random.pick(&RIGHTS), self.random.pick(&Cache::ALL));
        let attributes = Attributes::user(rights).cached(cache);
        let largest = 1 + self.random.below(3) as u32;
        let result = self.parent.space.map(range.start, phys, len, attributes, largest);
        if !self.outcome(result) {
            return self.tidy(range);
        }
        let cache = match cache {
            Cache::WriteBack => 0,
            Cache::WriteCombining => 1,
            Cache::Uncached => 3,
            Cache::WriteThrough => 7,
        };
        for offset in (0..len).step_by(PAGE as usize) {
            let cell = Cell { phys: phys + offset, rights, writable: rights == Rights::Write, cache };
            self.parent.model.set(range.start + offset, Some(cell));
        }
    }

    /// As after a `map` that failed: takes back tables that were made for nothing, but no page of others.
    fn tidy(&mut self, range: Range<u64>) {
        let mut start = range.start;
        while start < range.end {
            let model = &self.parent.model;
            let is_empty = |virt: &u64| model.get(*virt).is_none();
            let end =
                (start..range.end).step_by(PAGE as usize).find(|virt| !is_empty(virt)).unwrap_or(range.end);
            if start < end {
                self.unmap(start..end);
            }
            start = end + PAGE;
        }
    }

    fn unmap(&mut self, range: Range<u64>) {
        let room = self.room(&range);
        let (machine, root) = (self.machine, self.parent.space.root());
        let cpu = machine.cpu(&self.parent.space);
        let mut released = Vec::new();
        let mut edit = self.parent.space.edit(&cpu, |removed| {
            machine.release(root, removed);
            for offset in (0..page_size(removed.level)).step_by(PAGE as usize) {
                released.push((removed.virt + offset, removed.phys() + offset));
            }
        });
        let result = edit.unmap(range.clone(), room);
        drop(edit);
        if !self.outcome(result) {
            assert!(released.is_empty());
            return;
        }
        released.sort_unstable();
        let mut released = released.into_iter();
        self.parent.model.change(range.clone(), |cell| {
            assert_eq!(released.next().map(|(_, phys)| phys), Some(cell.phys));
            None
        });
        assert_eq!(released.next(), None);
    }

    fn protect(&mut self, range: Range<u64>) {
        let rights = self.random.pick(&RIGHTS);
        let limit = self.random.below(2) == 0;
        let cpu = self.machine.cpu(&self.parent.space);
        let mut edit = self.parent.space.edit(&cpu, |removed| panic!("{removed:x?}"));
        let result =
            if limit { edit.limit(range.clone(), rights) } else { edit.protect(range.clone(), rights) };
        drop(edit);
        if self.outcome(result) {
            self.parent.model.change(range, |cell| {
                let rights =
                    if limit && rights == Rights::Write && !cell.writable { Rights::Read } else { rights };
                let writable = match rights {
                    Rights::None => cell.writable,
                    Rights::Write => true,
                    Rights::Read | Rights::Execute => false,
                };
                Some(Cell { rights, writable, ..cell })
            });
        }
    }

    fn relocate(&mut self, range: Range<u64>) {
        let len = range.end - range.start;
        let Range { start, .. } = self::range(&mut self.random);
        let window = WINDOWS.iter().find(|window| window.contains(&start)).unwrap();
        if start + len > window.end || !self.parent.model.is_empty(start..start + len) {
            return;
        }
        if start < range.end && range.start < start + len {
            return;
        }
        let cpu = self.machine.cpu(&self.parent.space);
        let result =
            self.parent.space.edit(&cpu, |removed| panic!("{removed:x?}")).relocate(range.clone(), start);
        if self.outcome(result) {
            for offset in (0..len).step_by(PAGE as usize) {
                let cell = self.parent.model.get(range.start + offset);
                self.parent.model.set(range.start + offset, None);
                self.parent.model.set(start + offset, cell);
            }
            self.unmap(range);
        } else {
            self.tidy(start..start + len);
        }
    }

    fn fork(&mut self, kernel: &Space<'m>, range: Range<u64>) {
        self.machine.limit(None);
        let mut child = PageTables::new_user(self.machine, kernel).unwrap();
        let tables = self.random.below(12);
        self.machine.limit((self.random.below(3) == 0).then_some(tables));
        let share = self.random.pick(&[Share::Private, Share::Shared]);
        let cpu = self.machine.cpu(&self.parent.space);
        let mut taken = 0;
        let result = self.parent.space.edit(&cpu, |removed| panic!("{removed:x?}")).share(
            range.clone(),
            &mut child,
            share,
            |_, _, level| {
                taken += page_size(level) / PAGE;
                true
            },
        );
        if self.outcome(result) {
            self.parent.model.change(range.clone(), |cell| {
                let rights = if cell.rights == Rights::Write { Rights::Read } else { cell.rights };
                let protected = Cell { rights, writable: false, ..cell };
                Some(if share == Share::Private { protected } else { cell })
            });
        } else if share == Share::Private {
            // Some pages of the parent may be write-protected by now: as many as had their turn.
            let mut left = taken;
            self.parent.model.change(range.clone(), |cell| {
                let rights = if cell.rights == Rights::Write { Rights::Read } else { cell.rights };
                let protected = Cell { rights, writable: false, ..cell };
                let turn = left > 0;
                left = left.saturating_sub(1);
                Some(if turn { protected } else { cell })
            });
        }
        let mut left = taken;
        for virt in range.step_by(PAGE as usize) {
            let cell = self.parent.model.get(virt).filter(|_| left > 0);
            left -= u64::from(cell.is_some());
            assert_eq!(seen(&child, virt), cell, "{virt:#x}");
        }
        let mut pages = 0;
        child.for_each_leaf(0..USER_END, |_, slot| pages += page_size(slot.level) / PAGE).unwrap();
        assert_eq!(pages, taken);
        // It ends, and gives back each reference.
        let cpu = self.machine.cpu(&child);
        let mut released = 0;
        let count = |removed: Removed| released += page_size(removed.level) / PAGE;
        child.edit(&cpu, count).unmap(0..USER_END, Room::Known(0..USER_END)).unwrap();
        assert_eq!(released, taken);
        // SAFETY: this processor has forgotten it.
        unsafe { child.free() };
    }

    fn step(&mut self, kernel: &Space<'m>) {
        let range = range(&mut self.random);
        let cpu = self.machine.cpu(&self.parent.space);
        for _ in 0..4 {
            let virt = range.start + self.random.below((range.end - range.start) / PAGE) * PAGE;
            let write = self.random.below(2) == 0;
            let cell = self.parent.model.get(virt);
            let allowed =
                cell.filter(|cell| cell.rights != Rights::None && (!write || cell.rights == Rights::Write));
            assert_eq!(cpu.access(virt, write), allowed.map(|cell| cell.phys), "{virt:#x}");
        }
        if self.random.below(4) == 0 {
            self.machine.limit(Some(self.random.below(4)));
        }
        match self.random.below(100) {
            0..40 => self.map(range.clone()),
            40..70 => self.unmap(range.clone()),
            70..90 => self.protect(range.clone()),
            90..97 => self.relocate(range.clone()),
            _ => self.fork(kernel, range.clone()),
        }
        self.machine.limit(None);
        for virt in [range.start.saturating_sub(PAGE), range.start, range.end - PAGE, range.end] {
            self.parent.check(virt);
        }
        for _ in 0..4 {
            self.parent.check(range.start + self.random.below((range.end - range.start) / PAGE) * PAGE);
        }
        self.parent.check_tlb(self.machine);
        self.machine.events();
    }
}

#[test]
fn agrees_with_a_model_of_one_cell_a_page() {
    let number = |name, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().expect(name));
    let machine = Machine::default();
    let (kernel, mut test) = Test::new(&machine, Random::new(number("SIS_FUZZ_SEED", 7)));
    let before = machine.tables();
    for round in 0..number("SIS_FUZZ", 110_000) {
        test.step(&kernel);
        if round % 4000 == 0 {
            test.parent.check_all();
            // Those that are live can be reached, and none is empty; the kernel's top table is the one more.
            assert_eq!(machine.tables(), count_tables(&test.parent.space) + 1, "round {round}");
        }
    }
    assert!(test.refused > 0);
    for window in WINDOWS {
        test.unmap(window);
    }
    assert_eq!(test.parent.model.pages(), 0);
    assert_eq!(machine.tables(), before);
}
