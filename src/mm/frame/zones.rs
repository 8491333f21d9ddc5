//! Zones: which memory for whom, and how far down it may be used up.
//!
//! | zone | frames | first choice of |
//! | --- | --- | --- |
//! | Normal | from 4 GiB up | everybody without a limit |
//! | Dma32 | below 4 GiB | devices with 32-bit addresses; all others once Normal has no more |
//!
//! Each zone keeps something back. A request that could be refused is, when the zone's free memory would fall below
//! the mark that its kind of request has:
//!
//! ```text
//! free ──────────── high ────────── low ────────── min ─────────────── 0
//!                    │               │              │                  │
//!   Dma32, for those without         │      all the others          critical: who frees memory
//!   a limit, if there is Normal      │                              must be able to begin
//!                          time to give caches back (`Zones::level`)
//! ```
//!
//! The kernel has one instance, behind a lock that interrupt handlers may take.

use super::buddy::{Buddy, ORDERS, SECTION, order_for};
use super::error::{Corrupt, FreeError};
use super::owner::Owner;
use super::table::Table;
use crate::boot::layout::{DIRECT_MAP_SIZE, PAGE_SIZE};
use crate::mm::addr::{Frame, FrameRange, PhysAddr};

#[cfg(test)]
mod tests;

/// Frames below 4 GiB.
pub const DMA32_END: u32 = ((1u64 << 32) / PAGE_SIZE) as u32;
const DIRECT_END: u32 = (DIRECT_MAP_SIZE / PAGE_SIZE) as u32;

// A block never lies in two zones.
const _: () = assert!(DMA32_END % SECTION == 0);

/// A zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Below 4 GiB.
    Dma32 = 0,
    /// The rest.
    Normal = 1,
}

impl Zone {
    /// In the order in which they are asked.
    pub const ALL: [Self; 2] = [Self::Normal, Self::Dma32];

    /// The zone that a frame is in.
    pub const fn of(frame: Frame) -> Self {
        if frame.number() < DMA32_END { Self::Dma32 } else { Self::Normal }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Dma32 => "Dma32",
            Self::Normal => "Normal",
        }
    }
}

/// The marks of one zone, in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    pub min: u32,
    pub low: u32,
    pub high: u32,
}

impl Watermarks {
    /// A 256th of the zone, within 128 KiB and 16 MiB, but never more than an eighth; twice and three times that.
    pub const fn for_zone(managed: u32) -> Self {
        let wanted = if managed / 256 > 4096 { 4096 } else { managed / 256 };
        let least = if managed / 8 < 32 { managed / 8 } else { 32 };
        let min = if wanted < least { least } else { wanted };
        Self { min, low: 2 * min, high: 3 * min }
    }
}

/// How much is left in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// At min or below: only critical requests are met.
    Exhausted,
    /// At low or below: whoever keeps memory in reserve should give it back until it is High.
    Low,
    /// Between low and high.
    Fair,
    /// Above high.
    High,
}

impl Level {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Low => "low",
            Self::Fair => "fair",
            Self::High => "high",
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    owner: Owner,
    order: u32,
    /// Number of the first frame that will not do; `None` if all do.
    end: Option<u32>,
    is_critical: bool,
}

impl Request {
    /// One frame, anywhere.
    pub const fn new(owner: Owner) -> Self {
        Self { owner, order: 0, end: None, is_critical: false }
    }

    /// 2^`order` frames in a row, aligned to as many.
    pub const fn order(self, order: u32) -> Self {
        Self { order, ..self }
    }

    /// All of it below an address, for a device that cannot reach higher. Any address is allowed; 4 GiB is the one
    /// that is always met if there is memory. For others some blocks of each order are tried
    /// ([`super::buddy::SEARCH_MAX`]), and the answer may be no although there is one.
    pub const fn below(self, limit: PhysAddr) -> Self {
        let number = limit.as_u64() / PAGE_SIZE;
        let end = if number < Frame::END as u64 { number as u32 } else { Frame::END };
        Self { end: Some(end), ..self }
    }

    /// May use the last frames as well: without it, memory cannot be freed.
    pub const fn critical(self) -> Self {
        Self { is_critical: true, ..self }
    }
}

/// All frames that the kernel gives out.
#[derive(Debug)]
pub struct Zones<T> {
    table: T,
    zones: [Buddy; 2],
    marks: [Watermarks; 2],
    refused: u64,
}

impl<T: Table> Zones<T> {
    /// Without any frames; [`super::Plan::fill`] adds them.
    pub const fn new(table: T) -> Self {
        let zones = [
            Buddy::new(FrameRange::between(1, DMA32_END)),
            Buddy::new(FrameRange::between(DMA32_END, DIRECT_END)),
        ];
        Self { table, zones, marks: [Watermarks { min: 0, low: 0, high: 0 }; 2], refused: 0 }
    }

    /// The frames' data.
    pub const fn table(&self) -> &T {
        &self.table
    }

    /// A zone's lists and counters.
    pub const fn zone(&self, zone: Zone) -> &Buddy {
        &self.zones[zone as usize]
    }

    pub const fn watermarks(&self, zone: Zone) -> Watermarks {
        self.marks[zone as usize]
    }

    /// Requests that were not met.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Free frames, less those in CPUs' caches.
    pub fn free_frames(&self) -> u64 {
        self.zones.iter().map(|zone| u64::from(zone.free_frames())).sum()
    }

    /// Frames that were added, free or in use.
    pub fn managed_frames(&self) -> u64 {
        self.zones.iter().map(|zone| u64::from(zone.managed_frames())).sum()
    }

    /// Free blocks of each order, in all zones.
    pub fn blocks(&self) -> [u32; ORDERS] {
        let [low, high] = [&self.zones[0], &self.zones[1]].map(Buddy::blocks);
        core::array::from_fn(|order| low[order] + high[order])
    }

    /// How much a zone has left. One without any frames wants nothing back.
    pub const fn level(&self, zone: Zone) -> Level {
        let (free, marks) = (self.zone(zone).free_frames(), self.watermarks(zone));
        if self.zone(zone).managed_frames() == 0 {
            Level::High
        } else if free <= marks.min {
            Level::Exhausted
        } else if free <= marks.low {
            Level::Low
        } else if free <= marks.high {
            Level::Fair
        } else {
            Level::High
        }
    }

    /// Takes over frames that nobody has; see [`Buddy::add`] for what their data must be. Page 0 is never among
    /// them, nor what the direct map does not reach.
    pub fn add(&mut self, range: FrameRange) {
        for (zone, marks) in self.zones.iter_mut().zip(&mut self.marks) {
            zone.add(&self.table, range);
            *marks = Watermarks::for_zone(zone.managed_frames());
        }
    }

    /// Takes over frames that somebody had since the start: an initrd that has been unpacked, tables that have been
    /// read. All of them, or none if one is not of that owner.
    pub fn add_from(&mut self, range: FrameRange, owner: Owner) -> Result<(), FreeError> {
        for frame in range.iter() {
            let info = self.table.info(frame);
            if info.owner() != owner || !owner.is_holder() {
                return Err(FreeError::NotHeld { frame, owner: info.owner() });
            }
            if info.count() > 1 {
                return Err(FreeError::Shared { frame, count: info.count() });
            }
        }
        range.iter().for_each(|frame| self.table.info(frame).set_inside());
        self.add(range);
        Ok(())
    }

    /// Frames in a row; the first of them. Each request comes from one zone.
    pub fn allocate(&mut self, request: Request) -> Option<Frame> {
        debug_assert!(request.owner.is_holder());
        let Request { order, owner, .. } = request;
        let pages = 1u32.checked_shl(order)?;
        self.choose(request, pages, |zone, table, end| match end {
            None => zone.allocate(table, order, owner),
            Some(end) => zone.allocate_below(table, order, end, owner),
        })
    }

    /// `pages` frames in a row, aligned to the next power of two and at most [`SECTION`]; the request's order does not
    /// count. To be freed with [`Self::free_exact`].
    pub fn allocate_exact(&mut self, request: Request, pages: u32) -> Option<FrameRange> {
        debug_assert!(request.owner.is_holder());
        order_for(pages)?;
        self.choose(request, pages, |zone, table, end| zone.allocate_exact(table, pages, end, request.owner))
    }

    /// Fills `numbers` with single frames for a CPU's cache; returns how many it got.
    pub(super) fn fill_cache(&mut self, numbers: &mut [u32]) -> usize {
        let request = Request::new(Owner::CpuCache);
        for (count, number) in numbers.iter_mut().enumerate() {
            let found = self.choose(request, 1, |zone, table, _| zone.allocate(table, 0, Owner::CpuCache));
            let Some(frame) = found else { return count };
            *number = frame.number();
        }
        numbers.len()
    }

    /// Takes back what [`Self::fill_cache`] gave.
    pub(super) fn take_cache(&mut self, numbers: &[u32]) {
        for &number in numbers {
            let frame = Frame::from_link(number);
            debug_assert!(self.table.info(frame).owner() == Owner::CpuCache);
            self.zones[Zone::of(frame) as usize].release(&self.table, frame, 0);
        }
    }

    fn choose<R>(
        &mut self,
        request: Request,
        pages: u32,
        from: impl Fn(&mut Buddy, &T, Option<u32>) -> Option<R>,
    ) -> Option<R> {
        for zone in Zone::ALL {
            let marks = self.marks[zone as usize];
            let is_fallback = request.end.is_none()
                && zone == Zone::Dma32
                && self.zones[Zone::Normal as usize].managed_frames() > 0;
            let keep = match (request.is_critical, is_fallback) {
                (true, _) => 0,
                (false, true) => marks.high,
                (false, false) => marks.min,
            };
            let buddy = &mut self.zones[zone as usize];
            if buddy.free_frames() < pages.saturating_add(keep) {
                continue;
            }
            // Where the limit lies beyond all that the zone has, there is nothing to search.
            let end = request.end.filter(|&end| end < buddy.top());
            if let Some(found) = from(buddy, &self.table, end) {
                return Some(found);
            }
        }
        self.refused += 1;
        None
    }

    /// Takes a block back from its only holder.
    pub fn free(&mut self, frame: Frame, order: u32) -> Result<(), FreeError> {
        self.zones[Zone::of(frame) as usize].free(&self.table, frame, order)
    }

    /// Takes back a run of whole blocks: all of it, or nothing if something is wrong with one.
    pub fn free_exact(&mut self, range: FrameRange) -> Result<(), FreeError> {
        let Some(start) = range.start() else { return Ok(()) };
        self.zones[Zone::of(start) as usize].free_exact(&self.table, range)
    }

    /// Makes 2^`order` single frames of a block in use.
    pub fn split_held(&mut self, frame: Frame, order: u32) -> Result<(), FreeError> {
        self.zones[Zone::of(frame) as usize].split_held(&self.table, frame, order)
    }

    /// The block that a frame is in: its first frame, its order, its owner; see [`Buddy::block_of`].
    pub fn block_of(&self, frame: Frame) -> Option<(Frame, u32, Owner)> {
        self.zone(Zone::of(frame)).block_of(&self.table, frame)
    }

    /// Checks every invariant; see [`Buddy::verify`].
    pub fn verify(&self) -> Result<(), Corrupt> {
        self.zones.iter().try_for_each(|zone| zone.verify(&self.table))
    }
}
