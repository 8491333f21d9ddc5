//! Changes to whole ranges: unmap, protect, move, share.
//!
//! One walker does all of them. It visits entries that hold something and skips the rest a table at a time, so that its
//! cost is that of the pages present and of the tables over them, whatever the range's length: an absent top entry is
//! 512 GiB in one step.
//!
//! An [`Edit`] has the tables to itself ([`PageTables::edit`] takes `&mut`) until it has flushed, which it does at the
//! latest when it is dropped. So nobody can map something else at an address whose old translation is still in a TLB.
//!
//! A page that sticks out of the range is split first, at both ends, before anything is changed: what can fail for
//! want of memory fails there. A split page's frame is then released piece by piece.
//!
//! **Which tables are given back.** A table without an entry is not worth a search through its 512 entries, so the
//! caller says how much around the range is empty too ([`Room`]). For a user's address space that is the gap between
//! the neighbouring VMAs, which the tree has at hand; the table goes if all that it can translate lies in the
//! gap. This misses none: a table was made for a page of some VMA, and whoever unmaps the last VMA that reaches into
//! it has a gap around it that covers it.
//! Source: Intel SDM vol. 3 §4.10.2.3, §4.10.4.2.

use super::gather::{Gather, Removed, Tlb};
use super::table::{Cursor, MapError, Owner, PageTables, Slot, Table, TableMemory};
use super::{Entry, Flags, LEVELS, Rights, index, page_size};
use crate::boot::layout::USER_END;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

/// How much around a range is unmapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// In these addresses nothing is mapped but what is taken away now.
    Known(Range<u64>),
    /// Nobody knows: tables that the range covers partly are searched.
    Look,
}

/// How a copied address space has the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Each its own, once it writes: write-protected in both.
    Private,
    /// Both the same.
    Shared,
}

/// A page, or one that is held, as the walker meets it.
struct Leaf<'t> {
    virt: u64,
    cell: &'t AtomicU64,
    entry: Entry,
    level: u32,
}

impl Leaf<'_> {
    fn last(&self) -> u64 {
        self.virt + (page_size(self.level) - 1)
    }
}

/// What to do with what the walker finds.
trait Visit<'t> {
    /// A page. With a table as answer the walker goes on in that.
    fn leaf(&mut self, leaf: Leaf<'t>) -> Result<Option<&'t Table>, MapError>;

    /// Behind the last entry of `table` in the range. `cell`, an entry of a table at `level`, points to it, and its
    /// first entry translates `virt`.
    fn left(&mut self, _virt: u64, _cell: &'t AtomicU64, _level: u32, _table: &'t Table) {}
}

/// Visits what `range` holds, from the first address to the last. A page that sticks out is visited whole.
fn walk<'t, M: TableMemory>(
    tables: &'t PageTables<M>,
    range: &Range<u64>,
    visit: &mut impl Visit<'t>,
) -> Result<(), MapError> {
    if range.is_empty() { Ok(()) } else { walk_table(tables, tables.top(), LEVELS, range, visit) }
}

/// The same in one table, `range` being what of it this table translates, and not empty.
fn walk_table<'t, M: TableMemory>(
    tables: &'t PageTables<M>,
    table: &'t Table,
    level: u32,
    range: &Range<u64>,
    visit: &mut impl Visit<'t>,
) -> Result<(), MapError> {
    let base = range.start & !(page_size(level + 1) - 1);
    let (mut from, end) = (index(level, range.start), index(level, range.end - 1) + 1);
    while let Some(number) = next_used(table, from, end) {
        from = number + 1;
        let cell = &table[number];
        let entry = Entry(cell.load(Ordering::Acquire));
        if entry.is_empty() {
            continue;
        }
        let virt = base + number as u64 * page_size(level);
        let below = if !entry.is_leaf(level) {
            tables.below(entry)
        } else if let Some(pieces) = visit.leaf(Leaf { virt, cell, entry, level })? {
            pieces
        } else {
            continue;
        };
        let last = (virt + (page_size(level) - 1)).min(range.end - 1);
        walk_table(tables, below, level - 1, &(virt.max(range.start)..last + 1), visit)?;
        visit.left(virt, cell, level, below);
    }
    Ok(())
}

/// The first entry from `from` on, and before `end`, that is not empty. Most of a small program's tables are, and the end of
/// its address space looks at all of them: eight at once, in twenty instructions, since that was half of what fork and exit took.
fn next_used(table: &Table, from: usize, end: usize) -> Option<usize> {
    let is_used = |cell: &AtomicU64| cell.load(Ordering::Relaxed) != 0;
    let mut rest = table.get(from..end)?;
    if is_used(rest.first()?) {
        return Some(from);
    }
    while let Some((some, more)) = rest.split_first_chunk::<8>() {
        if some.iter().fold(0, |all, cell| all | cell.load(Ordering::Relaxed)) != 0 {
            break;
        }
        rest = more;
    }
    rest.iter().position(is_used).map(|number| end - rest.len() + number)
}

impl<M: TableMemory> PageTables<M> {
    /// Calls `visit` with each page in the range, upwards: its first address, and its entry. Pages that are held, and
    /// not present, are among them.
    pub fn for_each_leaf<'t>(
        &'t self,
        range: Range<u64>,
        visit: impl FnMut(u64, Slot<'t>),
    ) -> Result<(), MapError> {
        struct Each<F>(F);
        impl<'t, F: FnMut(u64, Slot<'t>)> Visit<'t> for Each<F> {
            fn leaf(&mut self, leaf: Leaf<'t>) -> Result<Option<&'t Table>, MapError> {
                (self.0)(leaf.virt, Slot { cell: leaf.cell, level: leaf.level });
                Ok(None)
            }
        }
        self.owner.check(&range)?;
        walk(self, &range, &mut Each(visit))
    }

    /// Begins changes. `release` is called with each page that was taken out, once no processor has its translation.
    pub fn edit<'t, T: Tlb, F: FnMut(Removed)>(&'t mut self, tlb: &'t T, release: F) -> Edit<'t, M, T, F> {
        Edit { tables: self, gather: Gather::new(&self.memory, tlb, release) }
    }
}

/// Changes under way.
pub struct Edit<'t, M: TableMemory, T: Tlb, F: FnMut(Removed)> {
    /// Borrowed for writing where this was made: nobody else has it.
    tables: &'t PageTables<M>,
    gather: Gather<'t, M, T, F>,
}

impl<'t, M: TableMemory, T: Tlb, F: FnMut(Removed)> Edit<'t, M, T, F> {
    /// Takes out all pages in the range, and the tables that are empty then.
    pub fn unmap(&mut self, range: Range<u64>, room: Room) -> Result<(), MapError> {
        self.split_ends(&range)?;
        let owner = self.tables.owner;
        walk(self.tables, &range, &mut Unmap { gather: &mut self.gather, owner, range: &range, room: &room })
    }

    /// Gives all pages in the range these rights.
    pub fn protect(&mut self, range: Range<u64>, rights: Rights) -> Result<(), MapError> {
        self.change(range, |_, entry| entry.with_rights(rights))
    }

    /// The same, but none becomes writable that was not: see [`Entry::limited_to`].
    pub fn limit(&mut self, range: Range<u64>, rights: Rights) -> Result<(), MapError> {
        self.change(range, |_, entry| entry.limited_to(rights))
    }

    /// Puts what `new` makes of an address and an entry in that entry's place. ACCESSED and DIRTY stay as they
    /// are.
    pub fn change(
        &mut self,
        range: Range<u64>,
        new: impl FnMut(u64, Entry) -> Entry,
    ) -> Result<(), MapError> {
        self.split_ends(&range)?;
        walk(self.tables, &range, &mut Change { gather: &mut self.gather, new })
    }

    /// Moves the pages in the range to `to`, where nothing is mapped, for `mremap`. Tables on the old side stay: unmap it
    /// afterwards.
    pub fn relocate(&mut self, range: Range<u64>, to: u64) -> Result<(), MapError> {
        let end = to.checked_add(range.end.wrapping_sub(range.start)).ok_or(MapError::BadRange)?;
        self.tables.owner.check(&range)?;
        self.tables.owner.check(&(to..end))?;
        if range.start < end && to < range.end {
            return Err(MapError::BadRange);
        }
        let distance = to.wrapping_sub(range.start);
        let (owner, gather) = (self.tables.owner, &mut self.gather);
        walk(self.tables, &range, &mut Split { gather, owner, range: &range, distance })?;
        // As with `map`: what can fail comes first.
        for last_pass in [false, true] {
            let target = Cursor::new(self.tables);
            let gather = &mut self.gather;
            walk(self.tables, &range, &mut Relocate { gather, target, distance, last_pass })?;
        }
        Ok(())
    }

    /// Gives another address space what is in the range of this one, for `fork`. Tables are made there only where
    /// pages are. `take` is asked about each page, takes a reference on its frame and says true, or says false, and
    /// the page is left out.
    ///
    /// On an error part of it may be there; the caller takes that address space apart again. Pages of this one that
    /// are write-protected by then become writable again one by one, when somebody writes to them.
    pub fn share(
        &mut self,
        range: Range<u64>,
        to: &mut PageTables<M>,
        share: Share,
        take: impl FnMut(u64, Entry, u32) -> bool,
    ) -> Result<(), MapError> {
        to.owner.check(&range)?;
        self.split_ends(&range)?;
        let gather = &mut self.gather;
        walk(self.tables, &range, &mut Copy { gather, target: Cursor::new(to), share, take })
    }

    /// Flushes and frees what has come together so far.
    pub fn flush(&mut self) {
        self.gather.finish();
    }

    /// Checks a range, and splits the pages that stick out of it.
    fn split_ends(&mut self, range: &Range<u64>) -> Result<(), MapError> {
        let owner = self.tables.owner;
        owner.check(range)?;
        if range.is_empty() {
            return Ok(());
        }
        for page in [range.start, range.end - page_size(1)] {
            let mut split = Split { gather: &mut self.gather, owner, range, distance: 0 };
            walk(self.tables, &(page..page + page_size(1)), &mut split)?;
        }
        Ok(())
    }
}

/// Splits pages until none sticks out of `range`, or could not be that large `distance` further on.
struct Split<'a, 't, M: TableMemory, T: Tlb, F: FnMut(Removed)> {
    gather: &'a mut Gather<'t, M, T, F>,
    owner: Owner,
    range: &'a Range<u64>,
    distance: u64,
}

impl<'t, M: TableMemory, T: Tlb, F: FnMut(Removed)> Visit<'t> for Split<'_, 't, M, T, F> {
    fn leaf(&mut self, leaf: Leaf<'t>) -> Result<Option<&'t Table>, MapError> {
        let inside = self.range.start <= leaf.virt && leaf.last() < self.range.end;
        let aligned = self.distance & (page_size(leaf.level) - 1) == 0;
        if inside && aligned {
            return Ok(None);
        }
        self.gather.split(leaf.cell, leaf.level, self.owner).map(Some)
    }
}

struct Unmap<'a, 't, M: TableMemory, T: Tlb, F: FnMut(Removed)> {
    gather: &'a mut Gather<'t, M, T, F>,
    owner: Owner,
    range: &'a Range<u64>,
    room: &'a Room,
}

impl<'t, M: TableMemory, T: Tlb, F: FnMut(Removed)> Visit<'t> for Unmap<'_, 't, M, T, F> {
    fn leaf(&mut self, leaf: Leaf<'t>) -> Result<Option<&'t Table>, MapError> {
        // The exchange returns the DIRTY that a processor may have set since the load.
        let entry = Entry(leaf.cell.swap(0, Ordering::AcqRel));
        self.gather.removed(leaf.virt, entry, leaf.level);
        Ok(None)
    }

    fn left(&mut self, virt: u64, cell: &'t AtomicU64, level: u32, table: &'t Table) {
        if level == LEVELS && self.owner == Owner::Kernel {
            return; // Other address spaces have copies of this entry.
        }
        let mut last = virt + (page_size(level) - 1);
        if self.owner == Owner::User {
            last = last.min(USER_END - 1);
        }
        let covers = |range: &Range<u64>| range.start <= virt && last < range.end;
        let has_nothing = || table.iter().all(|slot| slot.load(Ordering::Relaxed) == 0);
        let empty = covers(self.range)
            || match self.room {
                Room::Known(room) => covers(room),
                Room::Look => has_nothing(),
            };
        if empty {
            debug_assert!(has_nothing(), "a page in what was said to be empty, around {virt:#x}");
            self.gather.table(virt, Entry(cell.swap(0, Ordering::AcqRel)));
        }
    }
}

struct Change<'a, 't, M: TableMemory, T: Tlb, F: FnMut(Removed), N> {
    gather: &'a mut Gather<'t, M, T, F>,
    new: N,
}

impl<'t, M: TableMemory, T: Tlb, F: FnMut(Removed), N: FnMut(u64, Entry) -> Entry> Visit<'t>
    for Change<'_, 't, M, T, F, N>
{
    fn leaf(&mut self, leaf: Leaf<'t>) -> Result<Option<&'t Table>, MapError> {
        const SEEN: u64 = Flags::ACCESSED.bits() | Flags::DIRTY.bits();
        let slot = Slot { cell: leaf.cell, level: leaf.level };
        let wanted = (self.new)(leaf.virt, leaf.entry);
        let mut old = leaf.entry;
        loop {
            let new = Entry(wanted.0 & !SEEN | old.0 & SEEN);
            if new == old {
                return Ok(None);
            }
            match slot.replace(old, new) {
                Ok(()) => break,
                // Only a processor can have come between, with one of its two flags.
                Err(now) => old = now,
            }
        }
        if old.outdated_by(wanted) {
            self.gather.page(leaf.virt);
        }
        Ok(None)
    }
}

struct Relocate<'a, 't, M: TableMemory, T: Tlb, F: FnMut(Removed)> {
    gather: &'a mut Gather<'t, M, T, F>,
    target: Cursor<'t, M>,
    distance: u64,
    last_pass: bool,
}

impl<'t, M: TableMemory, T: Tlb, F: FnMut(Removed)> Visit<'t> for Relocate<'_, 't, M, T, F> {
    fn leaf(&mut self, leaf: Leaf<'t>) -> Result<Option<&'t Table>, MapError> {
        let slot = self.target.ensure(leaf.virt.wrapping_add(self.distance), leaf.level)?;
        if !slot.load().is_empty() {
            return Err(MapError::Occupied);
        }
        if self.last_pass {
            let entry = Entry(leaf.cell.swap(0, Ordering::AcqRel));
            if entry.present() {
                self.gather.page(leaf.virt);
            }
            slot.install(entry).map_err(|_| MapError::Occupied)?;
        }
        Ok(None)
    }
}

struct Copy<'a, 't, 'c, M: TableMemory, T: Tlb, F: FnMut(Removed), N> {
    gather: &'a mut Gather<'t, M, T, F>,
    target: Cursor<'c, M>,
    share: Share,
    take: N,
}

impl<'t, M: TableMemory, T: Tlb, F: FnMut(Removed), N: FnMut(u64, Entry, u32) -> bool> Visit<'t>
    for Copy<'_, 't, '_, M, T, F, N>
{
    fn leaf(&mut self, leaf: Leaf<'t>) -> Result<Option<&'t Table>, MapError> {
        let slot = self.target.ensure(leaf.virt, leaf.level)?;
        if !slot.load().is_empty() {
            return Err(MapError::Occupied);
        }
        if !(self.take)(leaf.virt, leaf.entry, leaf.level) {
            return Ok(None);
        }
        let from = Slot { cell: leaf.cell, level: leaf.level };
        let without = |entry: Entry, flags: Flags| Entry(entry.0 & !flags.bits());
        let entry = match self.share {
            Share::Private if leaf.entry.flags().contains(Flags::WRITE) => {
                let old = from.clear(Flags::WRITE);
                if old.present() {
                    self.gather.page(leaf.virt);
                }
                without(old, Flags::WRITE)
            }
            Share::Private => leaf.entry,
            // The parent's entry tells of what was written so far.
            Share::Shared => without(leaf.entry, Flags::DIRTY),
        };
        // Nobody else has that address space yet: no exchange needed.
        slot.cell.store(entry.0, Ordering::Release);
        Ok(None)
    }
}

/// Puts a copy in the place of a page that must not be written to. The old frame may be given back afterwards. False if
/// the entry has changed meanwhile: then the fault is looked at anew.
///
/// In between the page is held, not present, so that at no time one processor writes to the copy while another still
/// reads the old one; whoever faults on it then tries again.
pub fn replace_by_copy(slot: Slot<'_>, virt: u64, old: Entry, copy: Entry, tlb: &impl Tlb) -> bool {
    const ACCESSED: u64 = Flags::ACCESSED.bits();
    let mut seen = old;
    while let Err(now) = slot.replace(seen, seen.with_rights(Rights::None)) {
        if (now.0 ^ seen.0) & !ACCESSED != 0 {
            return false;
        }
        seen = now;
    }
    tlb.flush_page(virt);
    slot.cell.store(copy.0, Ordering::Release);
    true
}
