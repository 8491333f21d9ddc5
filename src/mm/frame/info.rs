//! What is known of one frame: 32 bytes.
//!
//! ```text
//!  0 ┌──────────────┬──────────────┐
//!    │ count        │ state        │ owner: bits 0–7, order: 8–15, flags: 16–31
//!  8 ├──────────────┼──────────────┤
//!    │ next         │ prev         │ numbers of frames: the free list; once it has an owner, a list of the owner's
//! 16 ├──────────────┴──────────────┤
//!    │ mapping                     │ the owner's: whose page this is …
//! 24 ├─────────────────────────────┤
//!    │ index                       │ … and which of its pages
//! 32 └─────────────────────────────┘
//! ```
//!
//! Two to a cache line, never across one. All fields are atomics, since a frame's data is reached by page tables,
//! from any CPU, without a lock that would be common to them. Which lock or rule protects which field depends on the
//! owner; for free frames it is the zones' lock, for all fields.
//!
//! A block of several frames is described by its first. The others are "inside": their state is 0. All zeroes is
//! also what a frame has that is not RAM, so a table that has just been cleared claims nothing.

#[cfg(test)]
mod tests;

use super::owner::Owner;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Link to no frame.
pub const NONE: u32 = u32::MAX;

/// What became of a reference that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Dropped {
    /// Others have the frame still.
    Shared,
    /// That was the last: who gets this answer frees the frame.
    Last,
    /// There was none to give back: somebody has counted wrong. The count stays 0.
    NotHeld,
}

/// The data of one frame.
#[derive(Debug)]
#[repr(C, align(32))]
pub struct FrameInfo {
    count: AtomicU32,
    state: AtomicU32,
    next: AtomicU32,
    prev: AtomicU32,
    mapping: AtomicU64,
    index: AtomicU64,
}

const _: () = assert!(size_of::<FrameInfo>() == FrameInfo::SIZE as usize);

const OWNER_MASK: u32 = 0xFF;
const ORDER_SHIFT: u32 = 8;
const FLAGS_SHIFT: u32 = 16;
/// Owner and order.
const BLOCK_MASK: u32 = (1 << FLAGS_SHIFT) - 1;

/// Of a free block of the highest order: the data of the frames inside it has never been written and may be
/// anything. They are cleared when the block is first given out or split; until then nobody looks at them.
pub(super) const UNTOUCHED: u16 = 1 << 15;

impl FrameInfo {
    /// Bytes.
    pub const SIZE: u64 = 32;

    /// References a frame can have. Beyond it a count is refused, long before it could come round to 0, which
    /// would free a page that is in use.
    pub const COUNT_MAX: u32 = i32::MAX as u32;

    /// Nobody's.
    pub const fn new() -> Self {
        Self {
            count: AtomicU32::new(0),
            state: AtomicU32::new(0),
            next: AtomicU32::new(0),
            prev: AtomicU32::new(0),
            mapping: AtomicU64::new(0),
            index: AtomicU64::new(0),
        }
    }

    // ---- references ----

    /// How many there are. It may have changed by the time one looks at it, unless it is 1 and one's own.
    #[inline]
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// One more, for somebody who has one already. Returns whether it was counted: not if there are too many.
    #[inline]
    #[must_use]
    pub fn get(&self) -> bool {
        // Adding first and taking back on refusal is exact as long as fewer than 2^31 CPUs do it in one moment.
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        debug_assert!(before != 0, "a reference to a free frame");
        if before < Self::COUNT_MAX {
            return true;
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// One more, unless there is none: for somebody who has found the frame without holding it, say in a page
    /// cache. What it has got hold of may have become another's since; it must look again.
    #[must_use]
    pub fn try_get(&self) -> bool {
        let more = |count| (count != 0 && count < Self::COUNT_MAX).then_some(count + 1);
        self.count.fetch_update(Ordering::Acquire, Ordering::Relaxed, more).is_ok()
    }

    /// One less. What was written to the frame before is seen by the one who frees it.
    #[inline]
    pub fn put(&self) -> Dropped {
        let before = self.count.fetch_sub(1, Ordering::Release);
        if before > 1 && before <= Self::COUNT_MAX {
            return Dropped::Shared;
        }
        if before == 1 {
            fence(Ordering::Acquire);
            return Dropped::Last;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        Dropped::NotHeld
    }

    /// Whether the caller, who has one, has the only one: copy-on-write need not copy then.
    #[inline]
    pub fn is_unique(&self) -> bool {
        self.count() == 1
    }

    // ---- owner, order, flags ----

    /// Whose it is.
    #[inline]
    pub fn owner(&self) -> Owner {
        Self::owner_in(self.state())
    }

    /// Of the block that begins here: 2^order frames.
    #[inline]
    pub fn order(&self) -> u32 {
        Self::order_in(self.state())
    }

    /// The owner's own bits. All are 0 when it gets the frame; the uppermost is the allocator's.
    #[inline]
    pub fn flags(&self) -> u16 {
        Self::flags_in(self.state())
    }

    /// Sets flags; returns what they were.
    pub fn set_flags(&self, flags: u16) -> u16 {
        debug_assert!(flags & UNTOUCHED == 0);
        Self::flags_in(self.state.fetch_or(u32::from(flags) << FLAGS_SHIFT, Ordering::AcqRel))
    }

    /// Clears flags; returns what they were.
    pub fn clear_flags(&self, flags: u16) -> u16 {
        Self::flags_in(self.state.fetch_and(!(u32::from(flags) << FLAGS_SHIFT), Ordering::AcqRel))
    }

    /// The frame changes hands without becoming free, as when a page of a file becomes a program's own.
    /// For its only holder.
    pub fn set_owner(&self, owner: Owner) {
        debug_assert!(owner.is_holder() && self.owner().is_holder());
        let change = |state| Some(state & !OWNER_MASK | owner as u32);
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, change);
    }

    #[inline]
    pub(super) fn state(&self) -> u32 {
        self.state.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn owner_in(state: u32) -> Owner {
        // A number that is none of ours is only ever read where nothing was written yet.
        Owner::ALL.get((state & OWNER_MASK) as usize).copied().unwrap_or(Owner::Reserved)
    }

    #[inline]
    pub(super) fn order_in(state: u32) -> u32 {
        state >> ORDER_SHIFT & 0xFF
    }

    #[inline]
    pub(super) fn flags_in(state: u32) -> u16 {
        (state >> FLAGS_SHIFT) as u16
    }

    /// Whether somebody has the frame or the block that begins here, by its state.
    #[inline]
    pub(super) fn is_held_in(state: u32) -> bool {
        (Owner::Firmware as u32..Owner::ALL.len() as u32).contains(&(state & OWNER_MASK))
    }

    /// Whether somebody has it, and it alone: owner and order in one comparison.
    #[inline]
    pub(super) fn is_held_single(&self) -> bool {
        (Owner::Firmware as u32..Owner::ALL.len() as u32).contains(&(self.state() & BLOCK_MASK))
    }

    /// Makes it the first of a block.
    #[inline]
    pub(super) fn set_head(&self, owner: Owner, order: u32, flags: u16, count: u32) {
        let state = owner as u32 | order << ORDER_SHIFT | u32::from(flags) << FLAGS_SHIFT;
        self.state.store(state, Ordering::Relaxed);
        self.count.store(count, Ordering::Release);
    }

    /// Whether this is the first of a free block of that order.
    #[inline]
    pub(super) fn is_free_block(&self, order: u32) -> bool {
        self.state() & BLOCK_MASK == Owner::Free as u32 | order << ORDER_SHIFT
    }

    /// Makes it a frame inside of a block, or nobody's.
    #[inline]
    pub(super) fn set_inside(&self) {
        self.state.store(0, Ordering::Relaxed);
        self.count.store(0, Ordering::Relaxed);
    }

    /// As it was in a new table.
    pub(super) fn clear(&self) {
        self.set_inside();
        self.set_links(0, 0);
        self.set_mapping(0);
        self.set_index(0);
    }

    // ---- links and the owner's two words ----

    /// Number of the next frame in whatever list it is in, or [`NONE`]. For the owner, under the list's lock.
    #[inline]
    pub fn next(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }

    #[inline]
    pub fn prev(&self) -> u32 {
        self.prev.load(Ordering::Relaxed)
    }

    #[inline]
    pub fn set_next(&self, number: u32) {
        self.next.store(number, Ordering::Relaxed);
    }

    #[inline]
    pub fn set_prev(&self, number: u32) {
        self.prev.store(number, Ordering::Relaxed);
    }

    #[inline]
    pub fn set_links(&self, prev: u32, next: u32) {
        self.set_prev(prev);
        self.set_next(next);
    }

    /// Reverse use, first half: of an anonymous page the address space or the group that shares it, of a page of the
    /// cache the file, of a slab its cache. Whatever was there last, for a new owner.
    #[inline]
    pub fn mapping(&self) -> u64 {
        self.mapping.load(Ordering::Acquire)
    }

    #[inline]
    pub fn set_mapping(&self, value: u64) {
        self.mapping.store(value, Ordering::Release);
    }

    /// Reverse use, second half: which page of that it is.
    #[inline]
    pub fn index(&self) -> u64 {
        self.index.load(Ordering::Acquire)
    }

    #[inline]
    pub fn set_index(&self, value: u64) {
        self.index.store(value, Ordering::Release);
    }
}

impl Default for FrameInfo {
    fn default() -> Self {
        Self::new()
    }
}
