//! The buddy allocator: blocks of 2^0 to 2^10 frames, each aligned to its size.
//!
//! ```text
//! order 3   [ 0 1 2 3 4 5 6 7 ]       asked for one frame, with only this block free:
//! order 2   [ 0 1 2 3 | 4 5 6 7 ]     halve it, put the upper half into the list of order 2 …
//! order 1   [ 0 1 | 2 3 ]             … 2 and 3 into that of order 1 …
//! order 0   [ 0 | 1 ]                 … 1 into that of order 0, and give out 0.
//! ```
//!
//! Freeing goes the other way: the other half of the pair a block comes from, its buddy, is found by flipping one
//! bit of the number. If it is free and whole, the two become one, and so on upwards. So free memory is always in the
//! largest blocks it can be, and what is refused for want of a block is refused rightly.
//!
//! The lists run through the frames' own data, in both directions, so that a buddy is taken out of the middle of its
//! list without a search. Invariants, all of them checked by [`Buddy::verify`]:
//!
//! - the first frame of a free block says "free" and its order; the others of the block say nothing (state 0), and so
//!   do the others of a block in use. Thus a frame that says "free" is in a list, and one that is given back twice
//!   is found out by its state;
//! - no free block below the highest order has a free buddy of its own order;
//! - blocks never leave their section (see [`super::table`]), so there is data for every buddy that can be asked.
//!
//! One instance a zone, under the lock of [`super::Zones`].
//! Source: D. E. Knuth, The Art of Computer Programming, vol. 1 §2.5, algorithms R and S.

#[cfg(test)]
mod tests;

use super::error::{Corrupt, FreeError};
use super::info::{FrameInfo, NONE, UNTOUCHED};
use super::owner::Owner;
use super::table::Table;
use crate::mm::addr::{Frame, FrameRange};

/// Order of the largest blocks: 1,024 frames, 4 MiB.
pub const MAX_ORDER: u32 = 10;
/// How many orders there are.
pub const ORDERS: usize = MAX_ORDER as usize + 1;
/// Frames in a section.
pub const SECTION: u32 = 1 << MAX_ORDER;

/// Entries of one list that a search for a low block looks at.
pub const SEARCH_MAX: usize = 256;

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Blocks given out.
    pub allocated: u64,
    /// Blocks taken back.
    pub freed: u64,
    /// Blocks halved, and pairs put together.
    pub split: u64,
    pub merged: u64,
}

/// The free blocks of one zone.
#[derive(Debug)]
pub struct Buddy {
    span: FrameRange,
    /// First block of each list.
    heads: [u32; ORDERS],
    /// Blocks in each list.
    blocks: [u32; ORDERS],
    /// Bit n: the list of order n is not empty.
    present: u32,
    free: u32,
    managed: u32,
    /// Past the highest frame there is.
    top: u32,
    counters: Counters,
}

impl Buddy {
    /// Nothing, in a zone that frames of `span` may be added to.
    pub const fn new(span: FrameRange) -> Self {
        let counters = Counters { allocated: 0, freed: 0, split: 0, merged: 0 };
        let (heads, blocks) = ([NONE; ORDERS], [0; ORDERS]);
        Self { span, heads, blocks, present: 0, free: 0, managed: 0, top: span.first(), counters }
    }

    /// The frames that can be in this zone.
    pub const fn span(&self) -> FrameRange {
        self.span
    }

    /// Number past the highest frame that was added.
    pub const fn top(&self) -> u32 {
        self.top
    }

    /// Free frames.
    pub const fn free_frames(&self) -> u32 {
        self.free
    }

    /// Frames that were added, free or in use.
    pub const fn managed_frames(&self) -> u32 {
        self.managed
    }

    /// Free blocks of each order.
    pub const fn blocks(&self) -> [u32; ORDERS] {
        self.blocks
    }

    /// Order of the largest free block; `None` if nothing is free.
    pub const fn largest_order(&self) -> Option<u32> {
        self.present.checked_ilog2()
    }

    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes over frames that nobody has. For each whole section among them one entry is written, whatever its data
    /// holds; the data of other sections must have been cleared once, or be in use by this allocator.
    pub fn add(&mut self, table: &impl Table, range: FrameRange) {
        let range = range.intersection(self.span);
        let (mut at, end) = (range.first(), range.end());
        while at < end {
            let order = (end - at).ilog2().min(at.trailing_zeros()).min(MAX_ORDER);
            if order == MAX_ORDER {
                self.push(table, at, order, UNTOUCHED);
            } else {
                self.merge(table, at, order);
            }
            at += 1 << order;
        }
        self.managed += range.pages();
        self.top = self.top.max(range.end());
    }

    /// A block of 2^`order` frames: the first of its frames.
    pub fn allocate(&mut self, table: &impl Table, order: u32, owner: Owner) -> Option<Frame> {
        let fitting = self.present.checked_shr(order).filter(|&lists| lists != 0)?;
        let found = order + fitting.trailing_zeros();
        Some(self.take(table, self.heads[found as usize], found, order, owner))
    }

    /// The same, all of it below the number `end`. At most [`SEARCH_MAX`] blocks of each order are looked at: it may
    /// fail although there is one.
    pub fn allocate_below(
        &mut self,
        table: &impl Table,
        order: u32,
        end: u32,
        owner: Owner,
    ) -> Option<Frame> {
        let last = end.checked_sub(1u32.checked_shl(order)?)?;
        for found in order..=MAX_ORDER {
            let mut at = self.heads[found as usize];
            for _ in 0..SEARCH_MAX {
                if at == NONE {
                    break;
                }
                if at <= last {
                    return Some(self.take(table, at, found, order, owner));
                }
                at = info(table, at).next();
            }
        }
        None
    }

    /// `pages` frames in a row, at most [`SECTION`], out of a block of the next order; the rest of it stays free.
    /// `end` is the limit, if there is one. What is given out are several blocks, and may be freed as such too.
    pub fn allocate_exact(
        &mut self,
        table: &impl Table,
        pages: u32,
        end: Option<u32>,
        owner: Owner,
    ) -> Option<FrameRange> {
        let order = order_for(pages)?;
        let first = match end {
            None => self.allocate(table, order, owner)?,
            Some(end) => self.allocate_below(table, order, end, owner)?,
        };
        let mut at = first.number();
        for piece in (0..=order).rev().filter(|piece| pages >> piece & 1 == 1) {
            hold(table, at, piece, owner);
            at += 1 << piece;
        }
        let end = first.number() + (1 << order);
        while at < end {
            let piece = at.trailing_zeros();
            self.push(table, at, piece, 0);
            at += 1 << piece;
        }
        FrameRange::new(first, pages)
    }

    /// Makes 2^`order` single frames of a block in use, each with one reference and the block's owner.
    pub fn split_held(&mut self, table: &impl Table, frame: Frame, order: u32) -> Result<(), FreeError> {
        let owner = FrameInfo::owner_in(self.check(table, frame, order)?);
        for number in frame.number()..frame.number() + (1 << order) {
            hold(table, number, 0, owner);
        }
        Ok(())
    }

    /// Takes a block back from its only holder.
    pub fn free(&mut self, table: &impl Table, frame: Frame, order: u32) -> Result<(), FreeError> {
        self.check(table, frame, order)?;
        self.release(table, frame, order);
        Ok(())
    }

    /// Takes back a run of whole blocks of any orders: all of it, or nothing if something is wrong with one.
    pub fn free_exact(&mut self, table: &impl Table, range: FrameRange) -> Result<(), FreeError> {
        for is_checked in [false, true] {
            let mut at = range.first();
            while at < range.end() {
                let frame = Frame::from_link(at);
                if !self.span.contains(frame) || at >= self.top {
                    return Err(FreeError::NoSuchBlock { frame, order: 0 });
                }
                let order = info(table, at).order().min(MAX_ORDER);
                if is_checked {
                    self.release(table, frame, order);
                } else {
                    self.check(table, frame, order)?;
                    if range.end() - at < 1 << order {
                        return Err(FreeError::NoSuchBlock { frame, order });
                    }
                }
                at += 1 << order;
            }
        }
        Ok(())
    }

    /// The block that a frame is in, free or in use: its first frame, its order, its owner. `None` for what was
    /// never added and has no owner. There must be data for the frame.
    pub fn block_of(&self, table: &impl Table, frame: Frame) -> Option<(Frame, u32, Owner)> {
        // From the section downwards, since of an untouched block only the first entry can be read.
        (0..=MAX_ORDER).rev().find_map(|order| {
            let first = frame.number() >> order << order;
            let info = info(table, first);
            let is_block = info.owner() != Owner::Reserved && info.order() >= order;
            is_block.then(|| (Frame::from_link(first), info.order(), info.owner()))
        })
    }

    /// What [`Self::free`] wants of a block; returns its state.
    fn check(&self, table: &impl Table, frame: Frame, order: u32) -> Result<u32, FreeError> {
        let number = frame.number();
        let is_block = order <= MAX_ORDER && number & ((1 << order) - 1) == 0;
        if !is_block || !self.span.contains(frame) || number >= self.top {
            return Err(FreeError::NoSuchBlock { frame, order });
        }
        let section = info(table, number & !(SECTION - 1));
        if section.is_free_block(MAX_ORDER) {
            return Err(FreeError::NotHeld { frame, owner: Owner::Free });
        }
        let info = info(table, number);
        let state = info.state();
        if !FrameInfo::is_held_in(state) {
            return Err(FreeError::NotHeld { frame, owner: info.owner() });
        }
        if FrameInfo::order_in(state) != order {
            return Err(FreeError::Order { frame, order: FrameInfo::order_in(state), freed_as: order });
        }
        if info.count() > 1 {
            return Err(FreeError::Shared { frame, count: info.count() });
        }
        Ok(state)
    }

    /// Takes back what needs no check: a block in use, or a frame out of a CPU's cache.
    pub(super) fn release(&mut self, table: &impl Table, frame: Frame, order: u32) {
        self.counters.freed += 1;
        self.merge(table, frame.number(), order);
    }

    /// Takes a block out of its list, and of it the lowest 2^`order` frames.
    fn take(&mut self, table: &impl Table, at: u32, found: u32, order: u32, owner: Owner) -> Frame {
        let is_untouched = FrameInfo::flags_in(info(table, at).state()) & UNTOUCHED != 0;
        self.unlink(table, at, found);
        if is_untouched {
            for number in at + 1..at + SECTION {
                info(table, number).set_inside();
            }
        }
        for half in (order..found).rev() {
            self.push(table, at + (1 << half), half, 0);
            self.counters.split += 1;
        }
        hold(table, at, order, owner);
        self.counters.allocated += 1;
        Frame::from_link(at)
    }

    /// Makes a block free, and one with its buddy as long as that is free as well.
    fn merge(&mut self, table: &impl Table, mut at: u32, mut order: u32) {
        while order < MAX_ORDER {
            let buddy = at ^ 1 << order;
            if !info(table, buddy).is_free_block(order) {
                break;
            }
            self.unlink(table, buddy, order);
            self.counters.merged += 1;
            info(table, at.max(buddy)).set_inside();
            at = at.min(buddy);
            order += 1;
        }
        self.push(table, at, order, 0);
    }

    /// Puts a block at the front of its list.
    fn push(&mut self, table: &impl Table, at: u32, order: u32, flags: u16) {
        let first = &mut self.heads[order as usize];
        let block = info(table, at);
        block.set_head(Owner::Free, order, flags, 0);
        block.set_links(NONE, *first);
        if *first != NONE {
            info(table, *first).set_prev(at);
        }
        *first = at;
        self.blocks[order as usize] += 1;
        self.present |= 1 << order;
        self.free += 1 << order;
    }

    /// Takes a block out of its list.
    fn unlink(&mut self, table: &impl Table, at: u32, order: u32) {
        let first = &mut self.heads[order as usize];
        let (prev, next) = (info(table, at).prev(), info(table, at).next());
        debug_assert!(info(table, at).is_free_block(order));
        if prev == NONE {
            debug_assert!(*first == at);
            *first = next;
        } else {
            debug_assert!(info(table, prev).next() == at);
            info(table, prev).set_next(next);
        }
        if next != NONE {
            debug_assert!(info(table, next).prev() == at);
            info(table, next).set_prev(prev);
        }
        self.blocks[order as usize] -= 1;
        if *first == NONE {
            self.present &= !(1 << order);
        }
        self.free -= 1 << order;
    }

    /// Walks every list and checks the invariants; for tests, and for a self-test with little else running.
    pub fn verify(&self, table: &impl Table) -> Result<(), Corrupt> {
        let mut free = 0;
        for order in 0..=MAX_ORDER {
            let (mut at, mut prev, mut blocks) = (self.heads[order as usize], NONE, 0);
            while at != NONE {
                let found = |what| Err(Corrupt { number: at, what });
                let is_inside = self.span.first() <= at && at < self.top;
                if !is_inside || at & ((1 << order) - 1) != 0 {
                    return found("no place for a block of this order");
                }
                let block = info(table, at);
                if !block.is_free_block(order) || block.count() != 0 {
                    return found("in a free list, and not free");
                }
                if block.prev() != prev {
                    return found("does not know who comes before it");
                }
                if order < MAX_ORDER && info(table, at ^ 1 << order).is_free_block(order) {
                    return found("free beside its free buddy");
                }
                blocks += 1;
                if blocks > self.blocks[order as usize] {
                    return found("the list is longer than its count");
                }
                (prev, at) = (at, block.next());
            }
            let is_present = self.present >> order & 1 == 1;
            if blocks != self.blocks[order as usize] || is_present != (blocks != 0) {
                return Err(Corrupt { number: prev, what: "the list is shorter than its count" });
            }
            free += blocks << order;
        }
        if free != self.free || self.free > self.managed {
            return Err(Corrupt { number: NONE, what: "the lists do not add up to the free frames" });
        }
        Ok(())
    }
}

/// The order of the smallest block with so many frames; `None` for none, and for too many.
pub const fn order_for(pages: u32) -> Option<u32> {
    if pages == 0 || pages > SECTION { None } else { Some(pages.next_power_of_two().trailing_zeros()) }
}

#[inline]
fn info(table: &impl Table, number: u32) -> &FrameInfo {
    table.info(Frame::from_link(number))
}

/// Gives a block to somebody, with one reference; a CPU's cache has none.
fn hold(table: &impl Table, at: u32, order: u32, owner: Owner) {
    info(table, at).set_head(owner, order, 0, u32::from(owner.is_holder()));
}
