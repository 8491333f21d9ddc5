//! What the tests of this folder share: tables of bounded pieces, and a model of RAM with one cell a frame.

use super::Table;
use super::buddy::{MAX_ORDER, SECTION};
use super::info::FrameInfo;
use super::owner::Owner;
use crate::mm::addr::{Frame, FrameRange};
use crate::testing::Random;

/// Operations of each random test: `SIS_FUZZ`, or 100,000 and some.
pub fn operations() -> u64 {
    std::env::var("SIS_FUZZ").map_or(110_000, |text| text.parse().expect("SIS_FUZZ"))
}

/// A generator for the test of that number; `SIS_FUZZ_SEED` gives another sequence.
pub fn random(test: u64) -> Random {
    let seed = std::env::var("SIS_FUZZ_SEED").map_or(0, |text| text.parse().expect("SIS_FUZZ_SEED"));
    Random::new(test + (seed << 8))
}

pub fn frame(number: u32) -> Frame {
    Frame::from_u32(number).unwrap()
}

/// The data of some runs of sections. Asking for any other frame's is a failure, as it would be a page fault.
#[derive(Debug)]
pub struct PieceTable(Vec<(FrameRange, Vec<FrameInfo>)>);

impl PieceTable {
    /// As the memory behind it may be: anything but zeroes, and much of it like free blocks and frames in use.
    pub fn garbage(pieces: impl IntoIterator<Item = FrameRange>) -> Self {
        let mut random = Random::new(1);
        let mut info = || {
            let info = FrameInfo::new();
            let (order, flags) = (random.below(11) as u32, random.next_u64() as u16);
            info.set_head(random.pick(&Owner::ALL), order, flags, random.below(3) as u32);
            info.set_links(random.next_u64() as u32, random.next_u64() as u32);
            info
        };
        Self(pieces.into_iter().map(|range| (range, range.iter().map(|_| info()).collect())).collect())
    }

    /// The sections that these frames are in, cleared where they are not free as a whole.
    pub fn for_ram(ram: &[FrameRange]) -> Self {
        let sections: std::collections::BTreeSet<u32> =
            ram.iter().flat_map(|range| range.first() / SECTION..=(range.end() - 1) / SECTION).collect();
        let range = |section: &u32| FrameRange::between(section * SECTION, (section + 1) * SECTION);
        let table = Self::garbage(sections.iter().map(range));
        for section in sections.iter().map(range) {
            if !ram.iter().any(|range| range.intersection(section) == section) {
                section.iter().for_each(|frame| table.info(frame).clear());
            }
        }
        table
    }
}

impl Table for PieceTable {
    fn info(&self, frame: Frame) -> &FrameInfo {
        let at = self.0.partition_point(|(range, _)| range.end() <= frame.number());
        let (range, infos) = &self.0[at];
        assert!(range.contains(frame), "{frame:?} has no data");
        &infos[(frame.number() - range.first()) as usize]
    }
}

/// What a frame is to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    Hole,
    Free,
    /// In use: the first frame of the block, and its order.
    Held(u32, u32),
}

/// RAM, frame by frame.
pub struct Model {
    first: u32,
    cells: Vec<Cell>,
    pub free: u32,
}

impl Model {
    pub fn new(span: FrameRange, ram: &[FrameRange]) -> Self {
        let is_ram = |frame| ram.iter().any(|range| range.contains(frame));
        let cells: Vec<_> =
            span.iter().map(|frame| if is_ram(frame) { Cell::Free } else { Cell::Hole }).collect();
        let free = cells.iter().filter(|&&cell| cell == Cell::Free).count() as u32;
        Self { first: span.first(), cells, free }
    }

    pub fn get(&self, number: u32) -> Cell {
        self.cells[(number - self.first) as usize]
    }

    /// Somebody gets a block: all of it must be free.
    pub fn hold(&mut self, first: u32, order: u32) {
        assert_eq!(first % (1 << order), 0, "{first:#x} is not aligned to order {order}");
        for number in first..first + (1 << order) {
            assert_eq!(
                self.get(number),
                Cell::Free,
                "{number:#x} given out in block {first:#x} of order {order}"
            );
            self.cells[(number - self.first) as usize] = Cell::Held(first, order);
        }
        self.free -= 1 << order;
    }

    pub fn release(&mut self, first: u32, order: u32) {
        for number in first..first + (1 << order) {
            assert_eq!(self.get(number), Cell::Held(first, order));
            self.cells[(number - self.first) as usize] = Cell::Free;
        }
        self.free += 1 << order;
    }

    /// Gets a run as the allocator says that it is made of blocks.
    pub fn hold_exact(&mut self, table: &impl Table, range: FrameRange) {
        let mut at = range.first();
        while at < range.end() {
            let order = table.info(frame(at)).order();
            self.hold(at, order);
            at += 1 << order;
        }
        assert_eq!(at, range.end());
    }

    pub fn release_exact(&mut self, range: FrameRange) {
        let mut at = range.first();
        while at < range.end() {
            let Cell::Held(first, order) = self.get(at) else { panic!("{at:#x} is free") };
            assert_eq!(first, at);
            self.release(at, order);
            at += 1 << order;
        }
    }

    /// Whether an aligned block of 2^`order` frames is free, below the number `end` and within `span`.
    pub fn has_block(&self, span: FrameRange, order: u32, end: u32) -> bool {
        let size = 1usize << order;
        let is_free = |(block, cells): (usize, &[Cell])| {
            let first = self.first + (block * size) as u32;
            let is_inside = span.first() <= first && first + size as u32 <= end.min(span.end());
            is_inside && cells.iter().all(|&cell| cell == Cell::Free)
        };
        assert_eq!(self.first % (1 << MAX_ORDER), 0);
        order <= MAX_ORDER && self.cells.chunks_exact(size).enumerate().any(is_free)
    }

    /// A frame picked among all, holes too.
    pub fn any(&self, random: &mut Random) -> u32 {
        self.first + random.index(self.cells.len()) as u32
    }
}
