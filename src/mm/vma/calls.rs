//! Calls with random arguments, most of them at or near an edge of something that is mapped.
//!
//! Used by `fuzz.rs` alone. One argument in sixty makes no sense at all.

use super::area::{Area, Prot};
use super::machine::Thing;
use super::model::PAGES;
use super::space::{Advice, MapFlags, Mapping, OpenFile, RemapFlags};
use super::tree::VmaTree;
use crate::boot::layout::PAGE_SIZE;
use crate::testing::Random;

pub fn page(n: usize) -> u64 {
    n as u64 * PAGE_SIZE
}

/// One call, its arguments chosen.
#[derive(Debug)]
pub enum Call {
    Map(Mapping<Thing>),
    Unmap(u64, u64),
    Protect(u64, u64, Prot, bool),
    Remap(u64, u64, u64, RemapFlags, u64),
    Brk(u64),
    Advise(u64, u64, Advice),
}

impl Call {
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Map(..) => "map",
            Self::Unmap(..) => "unmap",
            Self::Protect(..) => "protect",
            Self::Remap(..) => "remap",
            Self::Brk(..) => "brk",
            Self::Advise(..) => "advise",
        }
    }
}

pub fn some_page(random: &mut Random, areas: &VmaTree<Area<Thing>>) -> u64 {
    let random_page = page(random.index(PAGES + 2));
    match (random.below(4), areas.at_or_above(random_page)) {
        // An edge of something, or near one.
        (0 | 1, Some(entry)) => entry.span.start,
        (2, Some(entry)) => entry.span.end.wrapping_sub(page(random.index(3))),
        _ => random_page,
    }
}

fn some_len(random: &mut Random) -> u64 {
    match random.below(40) {
        0 => random.pick(&[0, u64::MAX, u64::MAX - 5000, page(PAGES), 1 << 47, page(600)]),
        1..=6 => page(random.index(300)),
        n => page(1 + random.index(24)) - if n == 7 { 100 } else { 0 },
    }
}

pub fn some_call(random: &mut Random, areas: &VmaTree<Area<Thing>>, heap: u64, files: &[Thing]) -> Call {
    let odd = if random.below(60) == 0 { 8 } else { 0 };
    let (addr, len) = (some_page(random, areas) + odd, some_len(random));
    let prot = Prot::from_bits_truncate(random.pick(&[0, 1, 1, 3, 3, 3, 5, 7]));
    match random.below(20) {
        0..=6 => {
            let mut flags = if random.below(3) == 0 { MapFlags::SHARED } else { MapFlags::PRIVATE };
            flags.set(MapFlags::ANONYMOUS, random.below(3) != 0);
            for (odds, flag) in [
                (3, MapFlags::FIXED),
                (10, MapFlags::FIXED_NOREPLACE),
                (12, MapFlags::GROWSDOWN),
                (8, MapFlags::NORESERVE),
                (6, MapFlags::POPULATE),
                (20, MapFlags::NONBLOCK),
                (60, MapFlags::LOW_32),
            ] {
                flags.set(flag, random.below(odds) == 0);
            }
            let offset =
                if random.below(2) == 0 { addr / PAGE_SIZE * PAGE_SIZE } else { page(random.index(50)) };
            let file = OpenFile {
                file: files[random.index(files.len())].clone(),
                offset,
                readable: random.below(20) != 0,
                writable: random.below(3) != 0,
                no_exec: random.below(8) == 0,
            };
            let file = (!flags.contains(MapFlags::ANONYMOUS)).then_some(file);
            let addr = if random.below(3) == 0 && odd == 0 { 0 } else { addr };
            Call::Map(Mapping { addr, len, prot, flags, file })
        }
        7..=9 => Call::Unmap(addr, len),
        10..=12 => Call::Protect(addr, len, prot, random.below(12) == 0),
        13..=15 => {
            let flags = RemapFlags::from_bits_truncate(random.pick(&[0, 1, 1, 1, 3, 3, 5, 7, 2]));
            let whole = areas.find(addr).map_or(len, |entry| entry.span.end - addr);
            let old = random.pick(&[len, whole, whole, 0]);
            let new = if flags.contains(RemapFlags::DONT_UNMAP) { old } else { some_len(random) };
            Call::Remap(addr, old, new, flags, some_page(random, areas))
        }
        16 | 17 => Call::Brk(heap.wrapping_add(random.below(page(80))).wrapping_sub(100)),
        _ => {
            let number = random.pick(&[0, 3, 4, 4, 4, 8, 10, 11, 18, 19]);
            Call::Advise(addr, len, Advice::from_number(number).expect("a number of madvise"))
        }
    }
}
