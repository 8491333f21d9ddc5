//! The page tables of one address space, used by many at once.
//!
//! There is no lock in here. Two rules take its place, and the borrow checker holds whoever calls to them:
//!
//! * **Tables are given back only by who has the whole to itself**: through [`PageTables::edit`], which takes `&mut`.
//!   The address space keeps its `PageTables` behind a lock for readers and writers; `munmap` and the like take it for
//!   writing. Whoever holds a [`Slot`] borrows the tables, so the table under it stays.
//! * **Entries are put in by compare-and-exchange** by everybody else: through `&`. Page faults take the lock for
//!   reading, run side by side, even for the same page, and one of them wins: an empty entry becomes a page
//!   ([`Slot::install`]), a page becomes its copy ([`Slot::replace`]), an empty entry becomes a table
//!   ([`PageTables::ensure`]; whoever comes second gives his table back and goes on with the first's).
//!
//! The processor takes part as well: it sets ACCESSED and DIRTY whenever it likes, with a locked operation, so
//! entries are changed by locked operations only. Once an entry was exchanged for 0 no processor sets DIRTY in it any
//! more, not even by a translation that it still has: a write through one that is not yet dirty goes to the entry
//! first, and finds it gone.
//!
//! An entry that was empty needs no flush when it is filled: translations that fail are not kept.
//!
//! The kernel's half is the same in every address space, because all copy the 256 upper entries of the kernel's top
//! table. From the first copy on they must not change: [`PageTables::reserve`] fills what will be needed, later calls
//! that would need another are refused, and the tables under them are never given back.
//!
//! Reached through [`TableMemory`]: the loader (memory one to one), the kernel (direct map) and the host's tests (a
//! model that frees nothing twice) run the same lines. Five levels are not supported, see `super`.
//! Source: Intel SDM vol. 3 §4.5, §4.8 (accessed and dirty flags), §4.10.2.3 (what is cached), §4.10.4.3 (when no
//! flush is needed).

use super::{Attributes, ENTRIES, Entry, Flags, LEVELS, index, is_canonical, page_size};
use crate::boot::layout::USER_END;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A table, at any level.
pub type Table = [AtomicU64; ENTRIES];

/// Where tables live. They are named by their physical address.
pub trait TableMemory {
    /// # Safety
    /// `phys` is a table: from [`allocate`](Self::allocate) and not freed as long as the reference lives, or from whom
    /// made the top table.
    unsafe fn table(&self, phys: u64) -> &Table;

    /// A new table, all zero; `None` when memory is out.
    fn allocate(&self) -> Option<u64>;

    /// Takes a table back.
    ///
    /// # Safety
    /// It was allocated here, and neither an entry nor a processor knows of it any more.
    unsafe fn free(&self, phys: u64);
}

/// Why something could not be mapped or changed. Nothing has changed then, except that there may be more tables, all
/// empty, or smaller pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No memory for another table.
    NoMemory,
    /// Not whole pages, or not within one half of the address space, or not in the user's where it must be.
    BadRange,
    /// Something is mapped there already.
    Occupied,
    /// It needs a new entry in the kernel's half of the top table, and address spaces have copies of that.
    TopIsFixed,
}

/// Whose tables they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Every address space's upper half, and what little the lower one holds before there are users.
    Kernel,
    /// A user's lower half. The upper one is the kernel's and closed to changes from here.
    User,
}

impl Owner {
    /// Flags of an entry that points to a table: permissions are the leaves' business.
    pub(super) const fn table_flags(self) -> Flags {
        match self {
            Self::Kernel => Flags::TABLE,
            Self::User => Flags::USER_TABLE,
        }
    }

    /// Whether pages may be mapped in that range.
    pub(super) fn check(self, range: &Range<u64>) -> Result<(), MapError> {
        let last = if range.is_empty() { range.start } else { range.end - 1 };
        let aligned = (range.start | range.end) & (page_size(1) - 1) == 0;
        let one_half = is_canonical(range.start) && is_canonical(last) && (range.start ^ last) >> 63 == 0;
        let allowed = self == Self::Kernel || range.end <= USER_END;
        // The last page of all ends at 0, which is no end; nobody misses it.
        let good = aligned && one_half && allowed && range.start <= range.end;
        good.then_some(()).ok_or(MapError::BadRange)
    }

    /// Whether the page that `virt` is in may be mapped.
    fn check_page(self, virt: u64) -> Result<(), MapError> {
        let good = if self == Self::User { virt < USER_END } else { is_canonical(virt) };
        good.then_some(()).ok_or(MapError::BadRange)
    }
}

/// An entry where it stands.
#[derive(Clone, Copy)]
pub struct Slot<'t> {
    pub(super) cell: &'t AtomicU64,
    /// Of the table that it is in.
    pub level: u32,
}

impl Slot<'_> {
    pub fn load(&self) -> Entry {
        Entry(self.cell.load(Ordering::Acquire))
    }

    /// Puts a page into an empty entry. If somebody was faster: what is there now.
    pub fn install(&self, new: Entry) -> Result<(), Entry> {
        self.replace(Entry::default(), new)
    }

    /// Exchanges what was seen for something else; the caller flushes. If it has changed: what is there now, which may
    /// differ by no more than a flag that the processor has set.
    pub fn replace(&self, old: Entry, new: Entry) -> Result<(), Entry> {
        let done = self.cell.compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Acquire);
        done.map(drop).map_err(Entry)
    }

    /// Takes flags away (a processor may still act by what it has seen: flush), and returns what was there.
    pub fn clear(&self, flags: Flags) -> Entry {
        Entry(self.cell.fetch_and(!flags.bits(), Ordering::AcqRel))
    }
}

/// The tables of an address space.
pub struct PageTables<M: TableMemory> {
    pub(super) memory: M,
    root: u64,
    pub(super) owner: Owner,
    /// The kernel's: there are copies of the top entries.
    copied: AtomicBool,
}

impl<M: TableMemory> PageTables<M> {
    /// Tables that are there already.
    ///
    /// # Safety
    /// `root` is a top table in `memory`, all tables below are there as well, nobody else changes them, and none is
    /// given back while this is in use. For a user's, the upper half is the kernel's.
    pub const unsafe fn from_root(memory: M, root: u64, owner: Owner) -> Self {
        Self { memory, root, owner, copied: AtomicBool::new(false) }
    }

    /// An empty address space for a user: the kernel's half, and nothing in the lower one.
    pub fn new_user(memory: M, kernel: &PageTables<impl TableMemory>) -> Result<Self, MapError> {
        let root = memory.allocate().ok_or(MapError::NoMemory)?;
        kernel.copied.store(true, Ordering::SeqCst);
        // SAFETY: just allocated, and all its tables come from `memory`.
        let new = unsafe { Self::from_root(memory, root, Owner::User) };
        let upper = kernel.top()[ENTRIES / 2..].iter().zip(&new.top()[ENTRIES / 2..]);
        upper.for_each(|(from, to)| to.store(from.load(Ordering::Acquire), Ordering::Release));
        Ok(new)
    }

    /// Gives the top table of a user's address space back.
    ///
    /// # Safety
    /// No processor has it in CR3, or translations by it.
    pub unsafe fn free(self) {
        debug_assert!(self.owner == Owner::User);
        let user = self.top()[..ENTRIES / 2].iter();
        debug_assert!(user.into_iter().all(|slot| slot.load(Ordering::Relaxed) == 0), "something is mapped");
        // SAFETY: it came from `memory`; the rest is the caller's promise.
        unsafe { self.memory.free(self.root) };
    }

    /// What they live in.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Physical address of the top table, for CR3.
    pub fn root(&self) -> u64 {
        self.root
    }

    pub(super) fn top(&self) -> &Table {
        // SAFETY: the promise of `from_root`; the reference ends with the borrow of `self`.
        unsafe { self.memory.table(self.root) }
    }

    /// The table that an entry of one of these tables points to.
    pub(super) fn below(&self, entry: Entry) -> &Table {
        // SAFETY: entries that point to tables are made by `ensure` and `split` alone. Tables are given back only
        // through `&mut self`, after no entry points to them.
        unsafe { self.memory.table(entry.address(LEVELS)) }
    }

    /// Where the translation of `virt` ends: at a page, or at an entry that is not present.
    pub fn find(&self, virt: u64) -> Slot<'_> {
        let (mut table, mut level) = (self.top(), LEVELS);
        loop {
            let slot = Slot { cell: &table[index(level, virt)], level };
            let entry = slot.load();
            if !entry.present() || entry.is_leaf(level) {
                return slot;
            }
            table = self.below(entry);
            level -= 1;
        }
    }

    /// The entry for `virt` in a table of `level`, with the tables above it made where they are missing.
    pub fn ensure(&self, virt: u64, level: u32) -> Result<Slot<'_>, MapError> {
        self.owner.check_page(virt)?;
        let table = self.ensure_table(virt, level)?;
        Ok(Slot { cell: &table[index(level, virt)], level })
    }

    /// The table of `level` that holds the entry for `virt`, a checked address.
    fn ensure_table(&self, virt: u64, level: u32) -> Result<&Table, MapError> {
        let mut table = self.top();
        for at in (level + 1..=LEVELS).rev() {
            let slot = Slot { cell: &table[index(at, virt)], level: at };
            let mut entry = slot.load();
            if entry.is_empty() {
                entry = self.add_table(slot, virt)?;
            }
            if entry.is_leaf(at) {
                return Err(MapError::Occupied);
            }
            table = self.below(entry);
        }
        Ok(table)
    }

    /// Puts a new table where nothing was; what is there then may be another's.
    #[cold]
    fn add_table(&self, slot: Slot<'_>, virt: u64) -> Result<Entry, MapError> {
        if slot.level == LEVELS && virt >> 63 == 1 && self.copied.load(Ordering::SeqCst) {
            return Err(MapError::TopIsFixed);
        }
        let new = self.memory.allocate().ok_or(MapError::NoMemory)?;
        let entry = Entry::new(new, self.owner.table_flags());
        Ok(match slot.install(entry) {
            Ok(()) => entry,
            Err(other) => {
                // SAFETY: just allocated, and nobody has seen it.
                unsafe { self.memory.free(new) };
                other
            }
        })
    }

    /// Fills the entries of the kernel's top table for a range, before the first [`new_user`](Self::new_user).
    pub fn reserve(&self, range: Range<u64>) -> Result<(), MapError> {
        self.owner.check(&range)?;
        let mut virt = range.start;
        while virt < range.end {
            self.ensure_table(virt, LEVELS - 1)?;
            virt = (virt | (page_size(LEVELS) - 1)).saturating_add(1);
        }
        Ok(())
    }

    /// Maps `len` bytes at `virt` to `phys`, with the largest pages that alignment allows up to those of `largest`
    /// (1 = 4 KiB, 2 = 2 MiB, 3 = 1 GiB). All of it or nothing.
    pub fn map(
        &self,
        virt: u64,
        phys: u64,
        len: u64,
        attributes: Attributes,
        largest: u32,
    ) -> Result<(), MapError> {
        const PHYS_END: u64 = 1 << 52;
        self.owner.check(&(virt..virt.checked_add(len).ok_or(MapError::BadRange)?))?;
        let phys_end = phys.checked_add(len).filter(|&end| end <= PHYS_END);
        if phys & (page_size(1) - 1) != 0 || phys_end.is_none() {
            return Err(MapError::BadRange);
        }
        // Twice over the range: first whatever can fail.
        for last_pass in [false, true] {
            let (mut done, mut cursor) = (0, Cursor::new(self));
            while done < len {
                let (v, p) = (virt + done, phys + done);
                let fits =
                    |&level: &u32| (v | p) & (page_size(level) - 1) == 0 && len - done >= page_size(level);
                let level = (2..=largest).rev().find(fits).unwrap_or(1);
                let slot = cursor.ensure(v, level)?;
                if last_pass {
                    slot.install(Entry::leaf(p, attributes, level)).map_err(|_| MapError::Occupied)?;
                } else if !slot.load().is_empty() {
                    return Err(MapError::Occupied);
                }
                done += page_size(level);
            }
        }
        Ok(())
    }
}

/// Looks up one address after the other, and remembers the last table: the next page's entry is mostly in it too.
/// That table stays because the cursor borrows the tables.
pub struct Cursor<'t, M: TableMemory> {
    tables: &'t PageTables<M>,
    /// The table, its level, and the first address that it translates.
    last: Option<(&'t Table, u32, u64)>,
}

impl<'t, M: TableMemory> Cursor<'t, M> {
    pub const fn new(tables: &'t PageTables<M>) -> Self {
        Self { tables, last: None }
    }

    /// As [`PageTables::ensure`].
    pub fn ensure(&mut self, virt: u64, level: u32) -> Result<Slot<'t>, MapError> {
        self.tables.owner.check_page(virt)?;
        let first = virt & !(page_size(level + 1) - 1);
        let table = match self.last {
            Some((table, of, at)) if (of, at) == (level, first) => table,
            _ => self.tables.ensure_table(virt, level)?,
        };
        self.last = Some((table, level, first));
        Ok(Slot { cell: &table[index(level, virt)], level })
    }
}
