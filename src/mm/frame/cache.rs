//! A CPU's own store of single frames, in front of the zones and their lock.
//!
//! Most requests are for one frame, and most of them come soon after another was freed. Here that is a stack of 64
//! numbers: the frame freed last is given out first, since its bytes may still be in the CPU's caches. Only when the
//! stack is empty, or full, are 32 frames at a time fetched from the zones, or given back: the oldest ones.
//!
//! Of a frame's data two words are written on each way, count and state; they are what tells a double free.
//!
//! Belongs to one CPU. The caller keeps interrupts off, or whatever else could get in between, for the call.

#[cfg(test)]
mod tests;

use super::buddy::SECTION;
use super::error::FreeError;
use super::info::{FrameInfo, UNTOUCHED};
use super::owner::Owner;
use super::table::Table;
use super::zones::Zones;
use crate::mm::addr::Frame;
use core::ops::DerefMut;

/// Frames it has room for.
pub const CAPACITY: usize = 64;
/// Frames that are fetched or given back at a time.
pub const BATCH: usize = 32;

/// The stack.
#[derive(Debug)]
pub struct FrameCache {
    len: usize,
    frames: [u32; CAPACITY],
    refills: u64,
    drains: u64,
}

impl FrameCache {
    /// Empty.
    pub const fn new() -> Self {
        Self { len: 0, frames: [0; CAPACITY], refills: 0, drains: 0 }
    }

    /// Frames in it. They are free, though the zones do not count them.
    pub const fn len(&self) -> usize {
        self.len
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How often it went to the zones to fetch frames, and to give some back.
    pub const fn trips(&self) -> (u64, u64) {
        (self.refills, self.drains)
    }

    /// One frame with one reference; `None` if the zones have none either. `lock` yields the zones, and is called
    /// only if the stack is empty.
    #[inline]
    pub fn allocate<T, G>(&mut self, table: &T, owner: Owner, lock: impl FnOnce() -> G) -> Option<Frame>
    where
        T: Table,
        G: DerefMut<Target = Zones<T>>,
    {
        debug_assert!(owner.is_holder());
        match self.pop(table, owner) {
            None => self.refill(table, owner, lock),
            found => found,
        }
    }

    /// Takes a single frame back from its only holder. `lock` is called only if the stack is full.
    #[inline]
    pub fn free<T, G>(&mut self, table: &T, frame: Frame, lock: impl FnOnce() -> G) -> Result<(), FreeError>
    where
        T: Table,
        G: DerefMut<Target = Zones<T>>,
    {
        let info = table.info(frame);
        let is_wild = cfg!(debug_assertions) && is_untouched(table, frame);
        if !info.is_held_single() || info.count() > 1 || is_wild {
            return Err(why_not(table, frame));
        }
        if !self.push(table, frame) {
            self.drain(table, frame, lock);
        }
        Ok(())
    }

    #[inline]
    fn pop(&mut self, table: &impl Table, owner: Owner) -> Option<Frame> {
        // Without any, the index wraps and is out of range.
        let last = self.len.wrapping_sub(1);
        let frame = Frame::from_link(*self.frames.get(last)?);
        self.len = last;
        table.info(frame).set_head(owner, 0, 0, 1);
        Some(frame)
    }

    /// Whether there was room.
    #[inline]
    fn push(&mut self, table: &impl Table, frame: Frame) -> bool {
        let Some(slot) = self.frames.get_mut(self.len) else { return false };
        *slot = frame.number();
        self.len += 1;
        table.info(frame).set_head(Owner::CpuCache, 0, 0, 0);
        true
    }

    /// The slow way of [`Self::allocate`]. A function of its own, so that the fast one needs no registers saved.
    #[cold]
    #[inline(never)]
    fn refill<T, G>(&mut self, table: &T, owner: Owner, lock: impl FnOnce() -> G) -> Option<Frame>
    where
        T: Table,
        G: DerefMut<Target = Zones<T>>,
    {
        let batch = &mut self.frames[..BATCH];
        self.len = lock().fill_cache(batch);
        // What was fetched first has the lowest numbers, mostly; it is to be given out first.
        batch[..self.len].reverse();
        self.refills += 1;
        self.pop(table, owner)
    }

    /// The slow way of [`Self::free`].
    #[cold]
    #[inline(never)]
    fn drain<T, G>(&mut self, table: &T, frame: Frame, lock: impl FnOnce() -> G)
    where
        T: Table,
        G: DerefMut<Target = Zones<T>>,
    {
        lock().take_cache(&self.frames[..BATCH]);
        self.frames.copy_within(BATCH.., 0);
        self.len -= BATCH;
        self.drains += 1;
        let has_room = self.push(table, frame);
        debug_assert!(has_room);
    }

    /// Gives everything back, when memory is short or the CPU goes away. The next request fetches anew.
    pub fn flush<T: Table>(&mut self, zones: &mut Zones<T>) {
        zones.take_cache(&self.frames[..self.len]);
        self.len = 0;
    }
}

impl Default for FrameCache {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether the frame's data was never written, and so may say anything. A look at another cache line, which only a
/// debug build takes: a frame that nobody was given is freed by a wild caller only, and in fresh RAM its data is
/// seldom like that of a frame in use.
fn is_untouched(table: &impl Table, frame: Frame) -> bool {
    let section = table.info(Frame::from_link(frame.number() & !(SECTION - 1)));
    FrameInfo::flags_in(section.state()) & UNTOUCHED != 0
}

#[cold]
#[inline(never)]
fn why_not(table: &impl Table, frame: Frame) -> FreeError {
    let info = table.info(frame);
    let state = info.state();
    if is_untouched(table, frame) {
        FreeError::NotHeld { frame, owner: Owner::Free }
    } else if !FrameInfo::is_held_in(state) {
        FreeError::NotHeld { frame, owner: info.owner() }
    } else if info.order() != 0 {
        FreeError::Order { frame, order: info.order(), freed_as: 0 }
    } else {
        FreeError::Shared { frame, count: info.count() }
    }
}
