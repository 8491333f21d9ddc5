//! A slab's own account, and lists of slabs, both kept in the [`FrameInfo`] of the slab's first page.
//!
//! A slab is `capacity` slots, one behind the other. Those that were given out and came back form a list, each
//! holding in its first word the place of the next; those that were never given out need no list, they are the
//! slots from `fresh` on, so that a new slab's pages are touched one by one as they are needed.
//!
//! ```text
//! index      63      48 47      32 31      16 15       0
//!              0        slots out    fresh      free       free = place of a free slot, in units of 8 bytes,
//!                                                          or FFFF
//! ```
//!
//! All of this is read and written under the cache's lock only.

use super::source::PageSource;
use crate::mm::frame::info::{FrameInfo, NONE};
use core::ptr::NonNull;

const NO_SLOT: u16 = u16::MAX;
const UNIT: usize = 8;

/// The index of the slab's first page, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    free: u16,
    pub fresh: u16,
    pub out: u16,
}

impl Account {
    /// Nothing given out yet.
    pub const NEW: Self = Self { free: NO_SLOT, fresh: 0, out: 0 };

    pub fn load(info: &FrameInfo) -> Self {
        let word = info.index();
        Self { free: word as u16, fresh: (word >> 16) as u16, out: (word >> 32) as u16 }
    }

    pub fn store(self, info: &FrameInfo) {
        let word = self.free as u64 | (self.fresh as u64) << 16 | (self.out as u64) << 32;
        info.set_index(word);
    }

    /// Takes a slot of `stride` bytes out of the slab at `base`.
    ///
    /// # Safety
    /// The account is that of the slab, the cache's lock is held, and fewer slots are out than there are.
    pub unsafe fn take(&mut self, base: NonNull<u8>, stride: usize) -> NonNull<u8> {
        self.out += 1;
        if self.free == NO_SLOT {
            self.fresh += 1;
            // SAFETY: slots are either out, in the list, or from `fresh` on; one is not out, and the list is empty.
            return unsafe { base.add((self.fresh - 1) as usize * stride) };
        }
        // SAFETY: a place in the list is that of a slot, whose first word was written by `give`.
        unsafe {
            let slot = base.add(self.free as usize * UNIT);
            self.free = slot.cast::<u64>().read() as u16;
            slot
        }
    }

    /// Takes a slot back.
    ///
    /// # Safety
    /// It came from `take` of the slab at `base`, nobody uses it any more, and the cache's lock is held.
    pub unsafe fn give(&mut self, base: NonNull<u8>, slot: NonNull<u8>) {
        self.out -= 1;
        // SAFETY: a slot is at least 8 bytes, aligned to 8, and ours now.
        unsafe { slot.cast::<u64>().write(self.free as u64) };
        self.free = ((slot.addr().get() - base.addr().get()) / UNIT) as u16;
    }
}

/// Slabs, linked both ways by the numbers of their first pages.
#[derive(Debug)]
pub struct List {
    pub head: u32,
    pub len: usize,
}

impl List {
    pub const fn new() -> Self {
        Self { head: NONE, len: 0 }
    }

    /// Puts a slab, which is in no list, in front.
    pub fn push(&mut self, source: &impl PageSource, slab: u32) {
        source.info(slab).set_links(NONE, self.head);
        if self.head != NONE {
            source.info(self.head).set_prev(slab);
        }
        self.head = slab;
        self.len += 1;
    }

    /// Takes a slab out, which is in this list.
    pub fn remove(&mut self, source: &impl PageSource, slab: u32) {
        let (prev, next) = (source.info(slab).prev(), source.info(slab).next());
        match prev {
            NONE => self.head = next,
            prev => source.info(prev).set_next(next),
        }
        if next != NONE {
            source.info(next).set_prev(prev);
        }
        self.len -= 1;
    }

    /// Takes the first one out.
    pub fn pop(&mut self, source: &impl PageSource) -> Option<u32> {
        let slab = self.head;
        (slab != NONE).then(|| {
            self.remove(source, slab);
            slab
        })
    }

    /// All of them, from the first on.
    pub fn iter<S: PageSource>(&self, source: &S) -> impl Iterator<Item = u32> {
        let after = |slab: u32| (slab != NONE).then_some(slab);
        core::iter::successors(after(self.head), move |&slab| after(source.info(slab).next()))
    }
}
