//! From the loader's memory map to frames that can be given out: what is free, what is whose, and where the table of
//! [`FrameInfo`]s goes. Pure arithmetic; nothing is mapped or written before [`Plan::fill`].
//!
//! ```text
//! RAM by the map     ███ ███████ ███████████            ███████████
//! sections of 4 MiB  |   |   |   |   |   |   |   |   |   |   |   |
//! data wanted for    ├───────────────────────┤           ├───────────┤     two pieces of the table, each
//!                     from the free memory furthest up ────► ▒▒            behind it one run of frames
//! ```
//!
//! The table takes 8 frames a section, a 128th of RAM. Its storage is taken from the top of the highest free memory
//! that has room, so that what devices can reach stays free, and at a place where 2 MiB pages can map it.
//!
//! What becomes of each kind of memory:
//!
//! | kind | |
//! | --- | --- |
//! | usable; boot services | free: CR3, GDT, IDT and stack are the kernel's own by now |
//! | kernel, page tables, boot info, initrd, trampoline, ACPI, runtime services | somebody's, with data and an owner |
//! | the rest | not RAM to us, and without data unless the section has some |
//!
//! A map that is worse than any real one (hundreds of islands of RAM) is not an error: what the plan has no piece
//! for is left out and counted.

#[cfg(test)]
mod tests;

use super::buddy::SECTION;
use super::info::FrameInfo;
use super::owner::Owner;
use super::table::{Table, place};
use super::zones::Zones;
use crate::boot::info::{MemoryKind, MemoryRegion};
use crate::boot::layout::{DIRECT_MAP_SIZE, PAGE_SIZE};
use crate::mm::addr::{Frame, FrameRange, Page, PageRange, PageSize};

/// Pieces that a plan can have; a PC has two or three.
pub const PIECES_MAX: usize = 64;

/// Frames that the data of one section takes.
pub const SECTION_STORAGE: u32 = (SECTION as u64 * FrameInfo::SIZE / PAGE_SIZE) as u32;

/// A part of the table that is one run of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The frames whose data it is: whole sections.
    pub frames: FrameRange,
    /// Where it is kept.
    pub storage: FrameRange,
}

impl Piece {
    const NONE: Self = Self { frames: FrameRange::EMPTY, storage: FrameRange::EMPTY };

    /// The pages at which it is to be mapped, writable, not executable, global.
    pub fn pages(&self) -> Option<PageRange> {
        PageRange::new(Page::containing(place(self.frames.start()?)), u64::from(self.storage.pages()))
    }
}

/// The plan.
#[derive(Clone, Debug)]
pub struct Plan<'m> {
    regions: &'m [MemoryRegion],
    /// What the early allocator has given out for page tables.
    early: FrameRange,
    pieces: [Piece; PIECES_MAX],
    len: usize,
    /// For the page tables that map the pieces.
    tables: FrameRange,
    left_out: u32,
}

impl<'m> Plan<'m> {
    /// For an ascending list of regions. `early` is what has been taken out of free memory since the loader made it.
    pub fn new(regions: &'m [MemoryRegion], early: FrameRange) -> Self {
        let mut plan = Self {
            regions,
            early,
            pieces: [Piece::NONE; PIECES_MAX],
            len: 0,
            tables: FrameRange::EMPTY,
            left_out: 0,
        };
        let mut run = FrameRange::EMPTY;
        for region in regions.iter().filter(|region| region.kind.is_ram()) {
            let ram = frames_of(region);
            if ram.is_empty() {
                continue;
            }
            let sections = sections_around(ram);
            if run.is_empty() || sections.first() > run.end() {
                plan.cover(run);
                run = sections;
            } else {
                run = FrameRange::between(run.first(), run.end().max(sections.end()));
            }
        }
        plan.cover(run);
        plan.tables = plan.place_for(plan.tables_needed()).unwrap_or(FrameRange::EMPTY);
        if plan.tables.is_empty() {
            // Without page tables there is no table.
            plan.left_out += plan.pieces().iter().map(|piece| piece.frames.pages()).sum::<u32>();
            plan.len = 0;
        }
        plan
    }

    /// The parts of the table, by ascending frames.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces[..self.len]
    }

    /// Bytes of the table.
    pub fn table_bytes(&self) -> u64 {
        self.pieces().iter().map(|piece| piece.storage.bytes()).sum()
    }

    /// Frames for the page tables that map the pieces: as many as it takes with small pages only.
    pub fn tables(&self) -> FrameRange {
        self.tables
    }

    /// Of [`Self::tables`], only the first `used` frames were needed: the others are free.
    pub fn keep_tables(&mut self, used: u32) {
        let first = self.tables.first();
        self.tables = FrameRange::between(first, self.tables.end().min(first.saturating_add(used)));
    }

    /// Frames of sections that have RAM, for which there is no data. 0 on any sane machine.
    pub fn left_out(&self) -> u32 {
        self.left_out
    }

    /// Whether there is data for a frame.
    pub fn has_info(&self, frame: Frame) -> bool {
        self.pieces().iter().any(|piece| piece.frames.contains(frame))
    }

    /// What is free once the table stands: ascending, neighbours put together within a piece.
    pub fn free(&self) -> impl Iterator<Item = FrameRange> {
        Free { plan: self, index: 0, at: 0, is_covered: true }
    }

    /// What is in use, and whose it is; in no order, without overlap.
    pub fn held(&self) -> impl Iterator<Item = (FrameRange, Owner)> {
        let own = [(self.early, Owner::PageTable), (self.tables, Owner::PageTable)];
        let storage = self.pieces().iter().map(|piece| (piece.storage, Owner::FrameTable));
        let kept = self.regions.iter().filter_map(|region| Some((frames_of(region), owner_of(region.kind)?)));
        let covered = |(range, owner): (FrameRange, Owner)| {
            let parts = self.pieces().iter().map(move |piece| (range.intersection(piece.frames), owner));
            parts.filter(|(range, _)| !range.is_empty())
        };
        own.into_iter().chain(storage).chain(kept).flat_map(covered)
    }

    /// The runs of frames whose data [`Self::fill`] clears: sections that are not free as a whole.
    pub fn to_clear(&self) -> impl Iterator<Item = FrameRange> {
        self.pieces().iter().flat_map(|piece| {
            let mut whole = self.free().map(|range| sections_inside(range).intersection(piece.frames));
            let (mut at, end) = (piece.frames.first(), piece.frames.end());
            core::iter::from_fn(move || {
                while at < end {
                    let next = whole.by_ref().find(|whole| !whole.is_empty());
                    let next = next.unwrap_or(FrameRange::between(end, end + 1));
                    let before = FrameRange::between(at, next.first());
                    at = next.end();
                    if !before.is_empty() {
                        return Some(before);
                    }
                }
                None
            })
        })
    }

    /// Puts everything into the zones, whose table must be mapped by now: clears what must be clear, writes down
    /// owners, and adds what is free. Costs some instructions for each section, and for each frame that is held.
    pub fn fill<T: Table>(&self, zones: &mut Zones<T>) {
        for range in self.to_clear() {
            range.iter().for_each(|frame| zones.table().info(frame).clear());
        }
        for (range, owner) in self.held() {
            range.iter().for_each(|frame| zones.table().info(frame).set_head(owner, 0, 0, 1));
        }
        self.free().for_each(|range| zones.add(range));
    }

    /// Adds pieces for a run of sections.
    fn cover(&mut self, run: FrameRange) {
        let mut rest = run;
        while !rest.is_empty() {
            let sections = rest.pages() / SECTION;
            let wanted = sections * SECTION_STORAGE;
            let found = self.place_for(wanted).or_else(|| {
                let largest = self.unplanned().max_by_key(|range| range.pages())?;
                self.place_for(largest.pages() / SECTION_STORAGE * SECTION_STORAGE)
            });
            let Some(mut storage) = found.filter(|_| self.len < PIECES_MAX) else {
                self.left_out += rest.pages();
                return;
            };
            let frames = storage.pages() / SECTION_STORAGE * SECTION;
            let frames = FrameRange::between(rest.first(), rest.first() + frames);
            if let Some(better) = self.aligned(frames, storage) {
                storage = better;
            }
            self.pieces[self.len] = Piece { frames, storage };
            self.len += 1;
            rest = FrameRange::between(frames.end(), rest.end());
        }
    }

    /// `pages` frames at the top of the highest free memory that has so many.
    fn place_for(&self, pages: u32) -> Option<FrameRange> {
        let fitting = self.unplanned().filter(|range| pages > 0 && range.pages() >= pages);
        fitting.last().map(|range| FrameRange::between(range.end() - pages, range.end()))
    }

    /// The same storage moved down so that large pages can map it, if it is long enough and there is room.
    fn aligned(&self, frames: FrameRange, storage: FrameRange) -> Option<FrameRange> {
        let large = PageSize::Large.pages();
        let page = Page::containing(place(frames.start()?)).number();
        let down = ((u64::from(storage.first()) + large - page % large) % large) as u32;
        let start = storage.first().checked_sub(down)?;
        let moved = FrameRange::between(start, start + storage.pages());
        let has_room = self.unplanned().any(|range| range.intersection(moved) == moved);
        (u64::from(storage.pages()) >= large && has_room).then_some(moved)
    }

    /// How many tables it takes to map the pieces by small pages: of each level those that one of the pages needs.
    fn tables_needed(&self) -> u32 {
        let mut needed = 0;
        for pages_per_table in [1u64 << 9, 1 << 18, 1 << 27] {
            let mut next = 0;
            for pages in self.pieces().iter().filter_map(Piece::pages) {
                let (first, end) = (pages.first() / pages_per_table, (pages.end() - 1) / pages_per_table + 1);
                needed += end - first.max(next).min(end);
                next = end;
            }
        }
        needed as u32
    }

    /// Free memory that the plan has not taken, whether it will have data or not.
    fn unplanned(&self) -> impl Iterator<Item = FrameRange> {
        Free { plan: self, index: 0, at: 0, is_covered: false }
    }

    /// What the plan, or somebody before it, has taken out of free memory.
    fn taken(&self) -> impl Iterator<Item = FrameRange> {
        [self.early, self.tables].into_iter().chain(self.pieces().iter().map(|piece| piece.storage))
    }
}

/// Walks what is free.
struct Free<'p> {
    plan: &'p Plan<'p>,
    /// Regions before this one end at or before `at`.
    index: usize,
    at: u32,
    /// Only frames that have data.
    is_covered: bool,
}

impl Iterator for Free<'_> {
    type Item = FrameRange;

    fn next(&mut self) -> Option<FrameRange> {
        let plan = self.plan;
        loop {
            let region = free_in(plan.regions.get(self.index)?);
            self.at = self.at.max(region.first());
            if self.at >= region.end() {
                self.index += 1;
                continue;
            }
            if let Some(taken) = plan.taken().find(|taken| taken.first() <= self.at && self.at < taken.end())
            {
                self.at = taken.end();
                continue;
            }
            // To the end of the last free region that follows without a gap, or to where something begins.
            let mut end = region.end();
            for next in plan.regions[self.index + 1..].iter().map(free_in) {
                if next.is_empty() || next.first() != end {
                    break;
                }
                end = next.end();
            }
            let begins = plan.taken().map(FrameRange::first).filter(|&first| first > self.at);
            end = begins.fold(end, u32::min);
            if self.is_covered {
                // Pieces are ascending: the one that this is in, or the next above.
                let piece = plan.pieces().iter().find(|piece| piece.frames.end() > self.at)?;
                if piece.frames.first() > self.at {
                    self.at = piece.frames.first();
                    continue;
                }
                end = end.min(piece.frames.end());
            }
            let found = FrameRange::between(self.at, end);
            self.at = end;
            return Some(found);
        }
    }
}

/// The frames of a region, as far as the direct map reaches. Page 0 is nobody's.
fn frames_of(region: &MemoryRegion) -> FrameRange {
    let end = region.pages.saturating_mul(PAGE_SIZE).saturating_add(region.start);
    FrameRange::inside(region.start.max(PAGE_SIZE), end.min(DIRECT_MAP_SIZE))
}

/// The same if the region is free, else nothing.
fn free_in(region: &MemoryRegion) -> FrameRange {
    let is_free = matches!(region.kind, MemoryKind::Usable | MemoryKind::BootServices);
    if is_free { frames_of(region) } else { FrameRange::EMPTY }
}

/// Whose a kind of memory is; `None` if it is free, or no RAM.
fn owner_of(kind: MemoryKind) -> Option<Owner> {
    match kind {
        MemoryKind::Kernel => Some(Owner::KernelImage),
        MemoryKind::PageTables => Some(Owner::PageTable),
        MemoryKind::BootInfo | MemoryKind::Trampoline => Some(Owner::Boot),
        MemoryKind::Initrd => Some(Owner::Initrd),
        MemoryKind::AcpiReclaim => Some(Owner::Acpi),
        MemoryKind::AcpiNvs | MemoryKind::Runtime => Some(Owner::Firmware),
        MemoryKind::Usable | MemoryKind::BootServices => None,
        MemoryKind::Unusable | MemoryKind::Persistent | MemoryKind::Mmio | MemoryKind::Reserved => None,
    }
}

/// The sections that have a frame of the range.
fn sections_around(range: FrameRange) -> FrameRange {
    FrameRange::between(range.first() & !(SECTION - 1), range.end().next_multiple_of(SECTION))
}

/// The sections that are in the range as a whole.
fn sections_inside(range: FrameRange) -> FrameRange {
    FrameRange::between(range.first().next_multiple_of(SECTION), range.end() & !(SECTION - 1))
}
