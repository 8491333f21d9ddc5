//! What an address space stands on: frames and the processor ([`Env`]), what is mapped ([`Content`]), the account of
//! promised memory, and where its page tables come from.

use super::super::addr::{Frame, PhysAddr};
use super::super::vma::room::NoMemory;
use super::super::vma::{Commit, Object};
use crate::arch::x86_64::paging::{Entry, MapError, PageTables, Table, TableMemory, Tlb};
use core::sync::atomic::{AtomicU64, Ordering};

/// The machine. A clone is the same machine. Each call may come from many CPUs at once, with the space's lock held.
pub trait Env: TableMemory + Clone {
    /// A frame with one reference: zeroes, or whatever was in it.
    fn allocate_frame(&self, zeroed: bool) -> Option<Frame>;

    /// Copies the bytes. `from` may be changed, or given back and reused, meanwhile; then nobody will use the copy.
    fn copy_frame(&self, from: Frame, to: Frame);

    /// One reference more, for who has one. False if there are too many.
    #[must_use]
    fn get(&self, frame: Frame) -> bool;

    /// One less; with the last the frame is free.
    fn put(&self, frame: Frame);

    /// Whether the caller's reference is the only one. Any answer will do if the caller has none any more.
    fn is_unique(&self, frame: Frame) -> bool;

    /// The only reference is a program's now, whatever the frame was before.
    fn becomes_anonymous(&self, frame: Frame);

    /// The page of zeroes that all may read and nobody may write. Its references are not counted.
    fn zero_page(&self) -> Frame;

    /// Page tables with the kernel's half, and an empty lower one.
    fn new_tables(&self) -> Result<PageTables<Store<Self>>, MapError>;

    /// Makes all CPUs that have the top table `root` forget that page, and the way to any page.
    fn flush_page(&self, root: u64, virt: u64);

    /// The same for all pages of that address space.
    fn flush_all(&self, root: u64);
    /// As `flush_page`, for each of them, at once. `tables`: page tables are about to be given back.
    fn flush_pages(&self, root: u64, pages: &[u64], tables: bool) {
        let _ = tables;
        pages.iter().for_each(|&virt| self.flush_page(root, virt));
    }

    /// When it returns, no CPU has that top table, which maps nothing any more and is given back next.
    fn retire(&self, root: u64);

    /// A fault at that address finds no memory, whatever was given back for it. True if another program goes instead,
    /// so that the access may be tried again. No lock is held.
    fn make_room(&self, _address: u64) -> bool {
        false
    }

    /// The system's account of memory promised to programs.
    fn account(&self) -> &Account;

    /// As [`put`](Self::put), for a frame that was mapped, which the page of zeroes may be.
    fn put_mapped(&self, frame: Frame) {
        if frame != self.zero_page() {
            self.put(frame);
        }
    }
}

/// The frame that a page of a user's is in.
pub(super) fn frame_of(entry: Entry) -> Frame {
    let frame = PhysAddr::new(entry.address(1)).and_then(Frame::containing);
    frame.expect("a user's pages are frames, mapped one by one")
}

/// A page of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provided {
    /// With a reference for who asked.
    pub frame: Frame,
    /// A shared mapping may write to it without [`Content::written`].
    pub writable: bool,
}

/// Why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPage {
    NoMemory,
    /// Past the end of the object, or it cannot be read: SIGBUS.
    Bus,
}

/// An object that is mapped: a file, through the page cache, or memory without one. Offsets are page-aligned.
///
/// [`page`](Self::page) and [`written`](Self::written) may wait for a disk. The address space's lock is held for reading
/// then, so other faults go on and calls that change mappings wait. The other functions do not wait.
pub trait Content<E: Env>: Object<Promises<E>> {
    /// The page, brought if it is not there. `write`: it is going to be written to, by a shared mapping.
    fn page(&self, offset: u64, write: bool) -> Result<Provided, NoPage>;

    /// Those of the pages from `offset` on whose bits are set in `wanted` and that are at hand, to be read: each in its place
    /// in `found`, where nothing is yet.
    fn cached(&self, offset: u64, wanted: u64, found: &mut [Option<Frame>]);

    /// A shared mapping that had the page for reading is going to write to it.
    fn written(&self, offset: u64) -> Result<(), NoPage>;

    /// These bytes are going to be read.
    fn read_ahead(&self, offset: u64, len: u64);

    /// Tells its bytes from other objects': the same for all that show the same, as long as one of them is there.
    fn number(&self) -> usize;
}

/// Memory that has been promised, in pages.
///
/// Linux's heuristic (`vm.overcommit_memory` 0): what is promised in all is counted, for display, but only a request
/// that could never be kept is refused, one for more than there is.
#[derive(Debug)]
pub struct Account {
    promised: AtomicU64,
    limit: AtomicU64,
}

impl Account {
    /// `limit`: the largest request, which is all the RAM that there is to give out.
    pub const fn new(limit: u64) -> Self {
        Self { promised: AtomicU64::new(0), limit: AtomicU64::new(limit) }
    }

    pub fn set_limit(&self, pages: u64) {
        self.limit.store(pages, Ordering::Relaxed);
    }

    /// Pages promised now (`Committed_AS`).
    pub fn promised(&self) -> u64 {
        self.promised.load(Ordering::Relaxed)
    }

    fn charge(&self, pages: u64) -> Result<(), NoMemory> {
        if pages > self.limit.load(Ordering::Relaxed) {
            return Err(NoMemory);
        }
        self.promised.fetch_add(pages, Ordering::Relaxed);
        Ok(())
    }

    fn uncharge(&self, pages: u64) {
        let before = self.promised.fetch_sub(pages, Ordering::Relaxed);
        debug_assert!(before >= pages, "more is given back than was promised");
    }
}

/// The machine, as who keeps its account.
#[derive(Clone, Debug)]
pub struct Promises<E>(pub E);

impl<E: Env> Commit for Promises<E> {
    fn charge(&self, pages: u64) -> Result<(), NoMemory> {
        self.0.account().charge(pages)
    }

    fn uncharge(&self, pages: u64) {
        self.0.account().uncharge(pages);
    }
}

/// Where an address space's tables come from: the machine, but first those that were put aside.
///
/// `mremap` puts some aside when it can still be refused, and uses them when it cannot any more. They form a list through
/// their first entries. Only who has the address space for writing makes one, and uses it up before it lets go.
pub struct Store<E> {
    env: E,
    /// First of the list; 0 for none.
    aside: AtomicU64,
}

impl<E: Env> Store<E> {
    pub const fn new(env: E) -> Self {
        Self { env, aside: AtomicU64::new(0) }
    }

    /// Puts `tables` more aside, or none. The caller has the address space for writing.
    pub(super) fn put_aside(&self, tables: u64) -> Result<(), NoMemory> {
        for _ in 0..tables {
            let Some(new) = self.env.allocate() else {
                self.give_back();
                return Err(NoMemory);
            };
            // SAFETY: just allocated, and nobody else's.
            let table = unsafe { self.env.table(new) };
            table[0].store(self.aside.load(Ordering::Relaxed), Ordering::Relaxed);
            self.aside.store(new, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Gives back those that were not used.
    pub(super) fn give_back(&self) {
        while let Some(table) = self.take() {
            // SAFETY: allocated there, all zero again, and no entry has ever named it.
            unsafe { self.env.free(table) };
        }
    }

    #[inline]
    fn take(&self) -> Option<u64> {
        let table = self.aside.load(Ordering::Relaxed);
        if table == 0 {
            return None;
        }
        // SAFETY: in the list, so allocated and not given back.
        let next = unsafe { self.env.table(table) }[0].swap(0, Ordering::Relaxed);
        self.aside.store(next, Ordering::Relaxed);
        Some(table)
    }
}

impl<E: Env> TableMemory for Store<E> {
    unsafe fn table(&self, phys: u64) -> &Table {
        // SAFETY: the caller's promise.
        unsafe { self.env.table(phys) }
    }

    fn allocate(&self) -> Option<u64> {
        self.take().or_else(|| self.env.allocate())
    }

    unsafe fn free(&self, phys: u64) {
        // SAFETY: the caller's promise.
        unsafe { self.env.free(phys) };
    }
}

/// The TLBs, as far as one address space is concerned.
pub(super) struct SpaceTlb<'e, E> {
    pub env: &'e E,
    pub root: u64,
}

impl<E: Env> Tlb for SpaceTlb<'_, E> {
    fn flush_page(&self, virt: u64) {
        self.env.flush_page(self.root, virt);
    }

    fn flush_pages(&self, pages: &[u64], tables: bool) {
        self.env.flush_pages(self.root, pages, tables);
    }

    fn flush_all(&self) {
        self.env.flush_all(self.root);
    }
}
