//! Address spaces: what a program may use ([`vma`](super::vma)) and the page tables that the processor reads, behind one
//! lock.
//!
//! ```text
//! mmap, munmap, fork, …  writing ─┐  ┌─ vma::Space    which addresses, for what        pure
//!                                RwMutex
//! page faults, usercopy  reading ─┘  └─ UserPages     tables and references on frames  Env: frames, TLBs
//! ```
//!
//! Many faults of one space run side by side; calls that change mappings run alone. [`fault`] says why that is safe. The
//! lock is one that sleeps, for a fault may wait for a disk with it.
//!
//! **Lock order.** A space's lock comes before everything it calls: heap, frames, objects' own locks. Two spaces' locks
//! are never held at once (a child is nobody else's while it is made). Whoever holds one touches no user memory.
//!
//! **References.** Each present or held entry has one on its frame, but for the page of zeroes. It is taken before the
//! entry is there and given back after all TLBs have forgotten it.
//!
//! Used by system calls, the page-fault handler, and `exec`. Generic over the machine ([`Env`]) and over what can be
//! mapped ([`Content`]), so that the host's tests run all of it, with threads, on memory of their own.

pub mod env;
mod fault;
pub mod listed;
#[cfg(target_os = "none")]
pub mod live;
mod memory;
mod object;
mod pages;
#[cfg(target_os = "none")]
pub mod poison;
pub mod shown;
#[cfg(test)]
pub(crate) mod tests;

pub use env::{Account, Content, Env, NoPage, Promises, Provided, Store};
pub use fault::Outcome;
pub use memory::Memory;
pub use shown::{Foreign, ForeignRef, Shown};

use super::vma::Error;
use super::vma::area::Backing;
use super::vma::space::{Advice, Layout, Limits, Mapped, Mapping, RemapFlags, Space};
use crate::arch::x86_64::paging::MapError;
use crate::sync::{Rank, RwMutex};
use core::mem::ManuallyDrop;
use pages::UserPages;

/// One program's memory. Dropping it gives back everything, the top table too.
pub struct AddressSpace<E: Env, F: Content<E>> {
    lock: RwMutex<Inner<E, F>>,
    root: u64,
}

struct Inner<E: Env, F: Content<E>> {
    space: Space<F, Promises<E>>,
    /// Taken out by `drop` alone.
    pages: ManuallyDrop<UserPages<E>>,
}

impl From<MapError> for Error {
    fn from(_: MapError) -> Self {
        // Ranges were checked before they came to page tables.
        Self::NoMemory
    }
}

impl<E: Env, F: Content<E>> AddressSpace<E, F> {
    /// An empty one.
    pub fn new(env: E, layout: Layout, limits: Limits) -> Result<Self, Error> {
        let space = Space::new(layout, limits, Promises(env.clone()));
        Ok(Self::of(space, UserPages::new(env)?))
    }

    fn of(space: Space<F, Promises<E>>, pages: UserPages<E>) -> Self {
        let root = pages.tables.root();
        Self { lock: RwMutex::new(Rank::Space, Inner { space, pages: ManuallyDrop::new(pages) }), root }
    }

    /// Physical address of its top table, for CR3.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Shows the areas, limits and sums. `look` must not touch user memory.
    pub fn look<R>(&self, look: impl FnOnce(&Space<F, Promises<E>>) -> R) -> R {
        look(&self.lock.read().space)
    }

    /// What is shared at an address: the object ([`Content::number`]), and where in it that is. `None`: nothing, or what is
    /// there is this space's own.
    pub fn shared_at(&self, address: u64) -> Option<(usize, u64)> {
        self.look(|space| {
            let entry = space.areas().find(address).filter(|entry| !entry.attr.is_private())?;
            match &entry.attr.backing {
                Backing::Object { object, offset } => {
                    Some((object.number(), offset + (address - entry.span.start)))
                }
                Backing::Zero => None,
            }
        })
    }

    /// Pages that it has in RAM, the page of zeroes not among them. Looks at every entry.
    pub fn resident(&self) -> u64 {
        let inner = self.lock.read();
        let (zero, mut pages) = (inner.pages.env.zero_page(), 0);
        let all = 0..inner.space.layout().end;
        let looked = inner.pages.tables.for_each_leaf(all, |_, slot| {
            pages += u64::from(env::frame_of(slot.load()) != zero);
        });
        debug_assert!(looked.is_ok(), "the user's half can be looked at");
        pages
    }

    /// `setrlimit`: what is mapped already stays.
    pub fn set_limits(&self, limits: Limits) {
        self.lock.write().space.limits = limits;
    }

    /// `mmap`. With `MAP_POPULATE` the pages are there when it returns, as far as there was memory.
    pub fn map(&self, want: Mapping<F>) -> Result<Mapped, Error> {
        let mapped = {
            let Inner { space, pages } = &mut *self.lock.write();
            space.map(want, &mut **pages)?
        };
        if mapped.populate {
            self.populate(mapped.span);
        }
        Ok(mapped)
    }

    /// `munmap`.
    pub fn unmap(&self, addr: u64, len: u64) -> Result<(), Error> {
        let Inner { space, pages } = &mut *self.lock.write();
        space.unmap(addr, len, &mut **pages)
    }

    /// `mprotect`; `from_area_start` is `PROT_GROWSDOWN`.
    pub fn protect(
        &self,
        addr: u64,
        len: u64,
        prot: super::vma::area::Prot,
        from_area_start: bool,
    ) -> Result<(), Error> {
        let Inner { space, pages } = &mut *self.lock.write();
        space.protect(addr, len, prot, from_area_start, &mut **pages)
    }

    /// `mremap`.
    pub fn remap(
        &self,
        addr: u64,
        old_len: u64,
        new_len: u64,
        flags: RemapFlags,
        new_addr: u64,
    ) -> Result<u64, Error> {
        let Inner { space, pages } = &mut *self.lock.write();
        space.remap(addr, old_len, new_len, flags, new_addr, &mut **pages)
    }

    /// Where the heap of [`brk`](Self::brk) begins, and how many bytes of data the program has besides. By `exec`.
    pub fn set_heap(&self, start: u64, program_data: u64) {
        self.lock.write().space.set_heap(start, program_data);
    }

    /// `brk`.
    pub fn brk(&self, to: u64) -> u64 {
        let Inner { space, pages } = &mut *self.lock.write();
        space.brk(to, &mut **pages)
    }

    /// `madvise`.
    pub fn advise(&self, addr: u64, len: u64, advice: Advice) -> Result<(), Error> {
        let Inner { space, pages } = &mut *self.lock.write();
        if advice.marks() {
            space.mark(addr, len, advice)
        } else {
            space.advise(addr, len, advice, &mut **pages)
        }
    }

    /// `msync`: calls `write` with each piece of an object that the range shows and shares: from which byte on, and how
    /// many. No lock is held then. ENOMEM, in the end, if not all of it is mapped.
    pub fn sync(&self, addr: u64, len: u64, mut write: impl FnMut(F, u64, u64)) -> Result<(), Error> {
        let span = Space::<F, Promises<E>>::sync_range(addr, len)?;
        let (mut at, mut hole) = (span.start, false);
        while at < span.end {
            let step = self.lock.read().space.sync_step(at, span.end);
            (at, hole) = (step.next, hole | step.hole);
            if let Some((object, offset, len)) = step.write {
                write(object, offset, len);
            }
        }
        if hole { Err(Error::NoMemory) } else { Ok(()) }
    }

    /// `fork`: a second one, with the same pages until one of the two writes.
    pub fn fork(&self) -> Result<Self, Error> {
        let Inner { space, pages } = &mut *self.lock.write();
        let mut child_pages = UserPages::new(pages.env.clone())?;
        match space.fork(&mut **pages, &mut child_pages) {
            Ok(child) => Ok(Self::of(child, child_pages)),
            Err(error) => {
                // SAFETY: it has never been in CR3. `Space::fork` leaves it empty if it is refused.
                unsafe { child_pages.tables.free() };
                Err(error)
            }
        }
    }

    /// Takes everything out, for `exec`.
    pub fn clear(&self) {
        let Inner { space, pages } = &mut *self.lock.write();
        space.clear(&mut **pages);
    }
}

impl<E: Env, F: Content<E>> Drop for AddressSpace<E, F> {
    fn drop(&mut self) {
        let Inner { space, pages } = self.lock.get_mut();
        space.clear(&mut **pages);
        pages.env.retire(self.root);
        // SAFETY: taken once, here.
        let pages = unsafe { ManuallyDrop::take(pages) };
        // SAFETY: `retire` has taken it out of every CR3.
        unsafe { pages.tables.free() };
    }
}
