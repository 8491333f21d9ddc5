//! Memory that several address spaces share without a file: what `MAP_SHARED | MAP_ANONYMOUS` maps.
//!
//! A count, and a tree of frames: tables of 512 entries like page tables, as many levels as the size needs, each table
//! and each frame made when it is first asked for. Entries are put in by compare-and-exchange and stay until the last
//! clone goes, so finding a page takes no lock, and nothing depends on how large the object claims to be.

extern crate alloc;

use super::super::addr::{Frame, PhysAddr};
use super::super::vma::room::{self, NoMemory};
use super::super::vma::{Commit, Object};
use super::env::{Content, Env, NoPage, Promises, Provided};
use crate::arch::x86_64::paging::ENTRIES;
use crate::boot::layout::PAGE_SIZE;
use alloc::boxed::Box;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

/// One of them; a clone is the same memory.
pub struct Memory<E: Env> {
    inner: NonNull<Inner<E>>,
}

struct Inner<E: Env> {
    clones: AtomicUsize,
    env: E,
    pages: u64,
    /// Whether the account is to get `pages` back.
    charged: bool,
    /// Levels of tables; 0 for a single page, which `root` then is.
    height: u32,
    /// The uppermost table, or 0.
    root: AtomicU64,
}

// SAFETY: what is inside is shared by atomics, and by an `Env` that all CPUs may use.
unsafe impl<E: Env + Send + Sync> Send for Memory<E> {}
// SAFETY: as above.
unsafe impl<E: Env + Send + Sync> Sync for Memory<E> {}

const BITS: u32 = ENTRIES.trailing_zeros();

impl<E: Env> Memory<E> {
    fn new(env: E, pages: u64, charged: bool) -> Result<Self, NoMemory> {
        let bits = u64::BITS - pages.saturating_sub(1).leading_zeros();
        let height = bits.div_ceil(BITS);
        // A box that can be refused: a vector of one.
        let mut vec = room::with_room(1)?;
        let root = AtomicU64::new(0);
        vec.push(Inner { clones: AtomicUsize::new(1), env, pages, charged, height, root });
        let inner = Box::leak(vec.into_boxed_slice()).as_mut_ptr();
        Ok(Self { inner: NonNull::new(inner).ok_or(NoMemory)? })
    }

    /// Memory of `pages` pages that is nobody's yet and is not charged: to be filled, and then shown like a file.
    pub fn of_len(env: E, pages: u64) -> Result<Self, NoMemory> {
        Self::new(env, pages, false)
    }

    /// Puts bytes there, `offset` bytes from the beginning. Only before anybody maps it. It must be long enough.
    pub fn fill(&self, offset: u64, bytes: &[u8]) -> Result<(), NoMemory> {
        let (mut at, mut left) = (offset, bytes);
        while !left.is_empty() {
            let room = (PAGE_SIZE - at % PAGE_SIZE) as usize;
            let (now, later) = left.split_at(left.len().min(room));
            let Ok(Some(frame)) = self.inner().page(at & !(PAGE_SIZE - 1), true) else {
                return Err(NoMemory);
            };
            let env = &self.inner().env;
            // SAFETY: the frame is there while this has a reference on it, and its words are as good as a table's.
            let words = unsafe { env.table(frame.start().as_u64()) };
            for (&byte, place) in now.iter().zip(at % PAGE_SIZE..) {
                words[place as usize / 8].fetch_or(u64::from(byte) << (place % 8 * 8), Ordering::Relaxed);
            }
            env.put(frame);
            (at, left) = (at + now.len() as u64, later);
        }
        Ok(())
    }

    /// The frame of a page of it, made if it is missing; the same one as long as a clone is there.
    pub fn frame(&self, offset: u64) -> Result<Frame, NoMemory> {
        let Ok(Some(frame)) = self.inner().page(offset, true) else { return Err(NoMemory) };
        self.inner().env.put(frame);
        Ok(frame)
    }

    fn inner(&self) -> &Inner<E> {
        // SAFETY: there as long as a clone is.
        unsafe { self.inner.as_ref() }
    }
}

impl<E: Env> Inner<E> {
    /// The entry for a page of it; with `make`, through tables that are made if they are missing.
    fn entry(&self, page: u64, make: bool) -> Option<&AtomicU64> {
        let mut entry = &self.root;
        for level in (0..self.height).rev() {
            let mut table = entry.load(Ordering::Acquire);
            if table == 0 {
                table = make.then(|| self.add_table(entry))??;
            }
            let index = (page >> (level * BITS)) as usize % ENTRIES;
            // SAFETY: entries above the last level are 0 or tables of ours, given back with the last clone.
            entry = &unsafe { self.env.table(table) }[index];
        }
        Some(entry)
    }

    fn add_table(&self, entry: &AtomicU64) -> Option<u64> {
        let new = self.env.allocate()?;
        match entry.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(new),
            Err(other) => {
                // SAFETY: just allocated, and nobody has seen it.
                unsafe { self.env.free(new) };
                Some(other)
            }
        }
    }

    /// The page, with a reference for the caller.
    fn page(&self, offset: u64, make: bool) -> Result<Option<Frame>, NoPage> {
        let page = offset / PAGE_SIZE;
        if page >= self.pages {
            return Err(NoPage::Bus);
        }
        let Some(entry) = self.entry(page, make) else {
            return if make { Err(NoPage::NoMemory) } else { Ok(None) };
        };
        let mut found = frame_at(entry.load(Ordering::Acquire));
        if found.is_none() && make {
            let new = self.env.allocate_frame(true).ok_or(NoPage::NoMemory)?;
            let phys = new.start().as_u64();
            found = match entry.compare_exchange(0, phys | TAKEN, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => Some(new),
                Err(other) => {
                    self.env.put(new);
                    frame_at(other)
                }
            };
        }
        match found {
            Some(frame) if !self.env.get(frame) => Err(NoPage::NoMemory),
            found => Ok(found),
        }
    }

    /// Gives back a table of that level, or a frame, and all below it.
    fn give_back(&self, entry: u64, level: u32) {
        if entry == 0 {
            return;
        }
        if level == 0 {
            frame_at(entry).into_iter().for_each(|frame| self.env.put(frame));
            return;
        }
        // SAFETY: a table of ours; the last clone is gone, so nobody else looks at it.
        let table = unsafe { self.env.table(entry) };
        table.iter().for_each(|entry| self.give_back(entry.load(Ordering::Relaxed), level - 1));
        // SAFETY: allocated there, and no more used.
        unsafe { self.env.free(entry) };
    }
}

/// In an entry for a page: frame 0 is one like any other.
const TAKEN: u64 = 1;

fn frame_at(entry: u64) -> Option<Frame> {
    if entry == 0 { None } else { PhysAddr::new(entry & !TAKEN).and_then(Frame::containing) }
}

impl<E: Env> Drop for Inner<E> {
    fn drop(&mut self) {
        self.give_back(self.root.load(Ordering::Relaxed), self.height);
        if self.charged {
            Promises(self.env.clone()).uncharge(self.pages);
        }
    }
}

impl<E: Env> Clone for Memory<E> {
    fn clone(&self) -> Self {
        // As many as there are areas of all programs, at 64 bytes each: memory ends before the count does.
        self.inner().clones.fetch_add(1, Ordering::Relaxed);
        Self { inner: self.inner }
    }
}

impl<E: Env> Drop for Memory<E> {
    fn drop(&mut self) {
        if self.inner().clones.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: it came from a box of a slice of one, and this was the last who knew it.
            drop(unsafe { Box::from_raw(core::ptr::slice_from_raw_parts_mut(self.inner.as_ptr(), 1)) });
        }
    }
}

impl<E: Env> PartialEq for Memory<E> {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl<E: Env> Object<Promises<E>> for Memory<E> {
    fn shared_memory(commit: &Promises<E>, pages: u64, charge: bool) -> Result<Self, NoMemory> {
        if charge {
            commit.charge(pages)?;
        }
        Self::new(commit.0.clone(), pages, charge).inspect_err(|_| {
            if charge {
                commit.uncharge(pages);
            }
        })
    }
}

impl<E: Env> Content<E> for Memory<E> {
    fn page(&self, offset: u64, _write: bool) -> Result<Provided, NoPage> {
        let frame = self.inner().page(offset, true)?.ok_or(NoPage::NoMemory)?;
        Ok(Provided { frame, writable: true })
    }

    fn cached(&self, offset: u64, wanted: u64, found: &mut [Option<Frame>]) {
        for (place, slot) in found.iter_mut().enumerate().filter(|(place, _)| wanted >> place & 1 != 0) {
            *slot = self.inner().page(offset + place as u64 * PAGE_SIZE, false).ok().flatten();
        }
    }

    fn written(&self, _offset: u64) -> Result<(), NoPage> {
        Ok(())
    }

    fn read_ahead(&self, _offset: u64, _len: u64) {}

    fn number(&self) -> usize {
        self.inner.addr().get()
    }
}
