//! What must leave the TLB, and what may be freed once it has.
//!
//! Taking a page away has three steps, in this order: its entry is cleared, every processor forgets the translation, the
//! frame is given back. In another order a program writes into a frame that belongs to somebody else by then. The
//! middle step is dear, above all with many processors, so it is done once for many pages: a [`Gather`] collects the
//! pages to be flushed and what is to be freed behind that, and does both when it is told to, when it is dropped, or
//! when it is full. Nothing is allocated for it, so that memory can be freed when there is none.
//!
//! Up to [`LIMIT`] pages go by INVLPG, more by a flush of everything. A table that is given back counts as a page: the
//! processor may have the way to it in its paging-structure caches, which any INVLPG empties.
//!
//! [`Tlb`] is how the flush is done; with many processors it sends the interrupts and waits for the answers.
//! Source: Intel SDM vol. 3 §4.10.4 (invalidation), §4.10.5 (many processors).

use super::table::{MapError, Owner, Table, TableMemory};
use super::{Entry, LEVELS};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU64, Ordering};

/// Most pages that are flushed one by one. Under TCG an INVLPG takes 0.18 to 0.28 µs, and a flush of everything 10 µs with
/// what has to be looked up again for a working set of 64 pages: as much as 35 to 55 pages (the self-test `tlb`
/// measures it).
pub const LIMIT: usize = 40;

/// Most pages and tables that wait to be freed.
pub const BATCH: usize = 64;

/// Makes processors forget translations: all of those that may use the address space in question. Returns when they
/// have.
pub trait Tlb {
    /// The page that `virt` is in, whatever its size, and all that is cached of the way to any page.
    fn flush_page(&self, virt: u64);
    /// The same for each of them, at the price of one request to other processors. `tables`: some of them stand for
    /// tables that are about to be given back.
    fn flush_pages(&self, pages: &[u64], tables: bool) {
        let _ = tables;
        pages.iter().for_each(|&virt| self.flush_page(virt));
    }
    /// Everything that belongs to the address space; for the kernel's that is everything.
    fn flush_all(&self);
}

/// A page that is not mapped any more, and in no TLB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    pub virt: u64,
    /// What mapped it, with DIRTY if it was written to.
    pub entry: Entry,
    /// 1 = 4 KiB, 2 = 2 MiB, 3 = 1 GiB.
    pub level: u32,
}

impl Removed {
    pub const fn phys(&self) -> u64 {
        self.entry.address(self.level)
    }
}

/// A few values, in place.
struct Few<T: Copy, const N: usize> {
    len: usize,
    values: [MaybeUninit<T>; N],
}

impl<T: Copy, const N: usize> Few<T, N> {
    const EMPTY: Self = Self { len: 0, values: [MaybeUninit::uninit(); N] };

    /// False if there is no room.
    fn push(&mut self, value: T) -> bool {
        let Some(place) = self.values.get_mut(self.len) else { return false };
        place.write(value);
        self.len += 1;
        true
    }

    /// All of them, in the order in which they came.
    fn drain(&mut self) -> impl Iterator<Item = T> {
        self.take().iter().copied()
    }

    /// The same as a slice.
    fn take(&mut self) -> &[T] {
        let len = core::mem::take(&mut self.len);
        // SAFETY: the first `len` were written by `push`, and a MaybeUninit<T> is laid out as a T.
        unsafe { core::slice::from_raw_parts(self.values.as_ptr().cast(), len) }
    }
}

/// What waits to be freed: the entry that was removed, and its address with, in the low bits, the level of the page. 0
/// stands for a table.
#[derive(Clone, Copy)]
struct Dead {
    place: u64,
    entry: Entry,
}

/// What was taken out of the tables and is still in a TLB.
pub(super) struct Gather<'t, M: TableMemory, T: Tlb, F: FnMut(Removed)> {
    memory: &'t M,
    tlb: &'t T,
    release: F,
    pages: Few<u64, LIMIT>,
    /// More than `pages` has room for.
    all: bool,
    /// Some of `dead` are tables.
    has_tables: bool,
    dead: Few<Dead, BATCH>,
}

impl<'t, M: TableMemory, T: Tlb, F: FnMut(Removed)> Gather<'t, M, T, F> {
    pub fn new(memory: &'t M, tlb: &'t T, release: F) -> Self {
        Self { memory, tlb, release, pages: Few::EMPTY, all: false, has_tables: false, dead: Few::EMPTY }
    }

    /// The translation of that page has changed.
    pub fn page(&mut self, virt: u64) {
        self.all = self.all || !self.pages.push(virt);
    }

    /// That entry was taken out of the tables.
    pub fn removed(&mut self, virt: u64, entry: Entry, level: u32) {
        if entry.present() {
            self.page(virt);
        }
        self.dies(Dead { place: virt | u64::from(level), entry });
    }

    /// That table was taken out; `virt` is the first address that it translated.
    pub fn table(&mut self, virt: u64, entry: Entry) {
        self.page(virt);
        self.has_tables = true;
        self.dies(Dead { place: virt, entry });
    }

    fn dies(&mut self, dead: Dead) {
        if !self.dead.push(dead) {
            self.finish();
            self.dead.push(dead);
            // Its translation was among those just flushed.
        }
    }

    /// Flushes, then frees.
    pub fn finish(&mut self) {
        if core::mem::take(&mut self.all) {
            self.pages.drain().for_each(drop);
            self.tlb.flush_all();
        } else {
            let tables = self.has_tables;
            match self.pages.take() {
                [] => {}
                pages => self.tlb.flush_pages(pages, tables),
            }
        }
        self.has_tables = false;
        for Dead { place, entry } in self.dead.drain() {
            let level = (place & 7) as u32;
            if level == 0 {
                // SAFETY: `table` is called with tables of this memory that no entry names any more, and the flush has
                // made the processors forget them.
                unsafe { self.memory.free(entry.address(LEVELS)) };
            } else {
                (self.release)(Removed { virt: place - u64::from(level), entry, level });
            }
        }
    }

    /// Puts a table in a large page's place that says the same, in smaller pages; returns it.
    ///
    /// The processor may now have both in its TLB, and if they came to differ it might use either. So everything is
    /// flushed before anyone can change an entry of the new table: one INVLPG need not find all pieces in which a
    /// TLB keeps a page of 1 GiB.
    pub fn split(&mut self, cell: &'t AtomicU64, level: u32, owner: Owner) -> Result<&'t Table, MapError> {
        let new = self.memory.allocate().ok_or(MapError::NoMemory)?;
        // SAFETY: just allocated. It is given back through a later `Edit`, or where `owner` ends.
        let table = unsafe { self.memory.table(new) };
        let mut old = Entry(cell.load(Ordering::Acquire));
        loop {
            for (slot, index) in table.iter().zip(0..) {
                slot.store(old.piece(level, index).0, Ordering::Relaxed);
            }
            let entry = Entry::new(new, owner.table_flags());
            // The processor may have set a flag since.
            match cell.compare_exchange(old.0, entry.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => old = Entry(now),
            }
        }
        if old.present() {
            self.all = true;
            self.finish();
        }
        Ok(table)
    }
}

impl<M: TableMemory, T: Tlb, F: FnMut(Removed)> Drop for Gather<'_, M, T, F> {
    fn drop(&mut self) {
        self.finish();
    }
}
