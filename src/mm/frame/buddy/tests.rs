//! The buddy allocator against the model.

use super::super::model::{Cell, Model, PieceTable, frame, operations, random};
use super::*;
use crate::testing::Random;

/// Nine sections, with holes of all kinds: one page, half a section, a section without RAM, ragged ends.
const SPAN: FrameRange = FrameRange::between(0x4000, 0x4000 + 9 * SECTION);
const RAM: [FrameRange; 5] = [
    FrameRange::between(0x4003, 0x4000 + SECTION - 5),
    FrameRange::between(0x4000 + SECTION, 0x4000 + 3 * SECTION),
    FrameRange::between(0x4000 + 3 * SECTION + 512, 0x4000 + 4 * SECTION + 77),
    FrameRange::between(0x4000 + 4 * SECTION + 78, 0x4000 + 5 * SECTION + 1),
    FrameRange::between(0x4000 + 6 * SECTION, 0x4000 + 9 * SECTION),
];

struct Bench {
    table: PieceTable,
    buddy: Buddy,
    model: Model,
}

fn bench(ram: &[FrameRange]) -> Bench {
    let (table, mut buddy) = (PieceTable::for_ram(ram), Buddy::new(SPAN));
    for &range in ram {
        buddy.add(&table, range);
    }
    buddy.verify(&table).unwrap();
    Bench { table, buddy, model: Model::new(SPAN, ram) }
}

impl Bench {
    /// Every frame's own word against the model.
    fn compare(&self) {
        self.buddy.verify(&self.table).unwrap();
        for frame in SPAN.iter().filter(|frame| RAM.iter().any(|ram| ram.contains(*frame))) {
            let found = self.buddy.block_of(&self.table, frame).map(|(first, order, owner)| match owner {
                Owner::Free => Cell::Free,
                _ => Cell::Held(first.number(), order),
            });
            assert_eq!(found.unwrap_or(Cell::Hole), self.model.get(frame.number()), "{frame:?}");
        }
    }

    /// Something that must be refused by name, and change nothing.
    fn misuse(&mut self, random: &mut Random) {
        let (number, order) = (self.model.any(random), random.below(12) as u32);
        let is_known = self.model.get(number) != Cell::Hole;
        let target = frame(number);
        if !is_known && !(SPAN.first() + 5 * SECTION + 1..SPAN.first() + 6 * SECTION).contains(&number) {
            // A hole in a section that has data.
            assert!(matches!(self.buddy.free(&self.table, target, 0), Err(FreeError::NotHeld { .. })));
            return;
        }
        if !is_known || self.model.get(number) == Cell::Held(number, order) {
            return;
        }
        match (self.model.get(number), self.buddy.free(&self.table, target, order)) {
            (_, Err(FreeError::NoSuchBlock { .. })) => {
                assert!(order > MAX_ORDER || number % (1 << order) != 0);
            }
            (Cell::Free, Err(FreeError::NotHeld { owner, .. })) => {
                assert!([Owner::Free, Owner::Reserved].contains(&owner));
            }
            (Cell::Held(first, held), Err(FreeError::NotHeld { owner, .. })) => {
                assert!(first != number && owner == Owner::Reserved, "{held}");
            }
            (Cell::Held(first, held), Err(error)) => {
                assert_eq!(error, FreeError::Order { frame: target, order: held, freed_as: order });
                assert!(first == number && held != order);
            }
            (cell, found) => panic!("{cell:?}, {found:?}"),
        }
    }
}

#[test]
fn one_frame_out_of_a_large_block() {
    let mut b = bench(&[FrameRange::between(0x4000, 0x4400)]);
    assert_eq!(b.buddy.allocate(&b.table, 0, Owner::Slab), Some(frame(0x4000)));
    assert_eq!(b.buddy.blocks(), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
    assert_eq!((b.buddy.largest_order(), b.buddy.free_frames()), (Some(9), 1023));
    let info = b.table.info(frame(0x4000));
    assert_eq!((info.owner(), info.order(), info.count(), info.flags()), (Owner::Slab, 0, 1, 0));
    assert_eq!(b.buddy.block_of(&b.table, frame(0x4201)), Some((frame(0x4200), 9, Owner::Free)));
    b.buddy.free(&b.table, frame(0x4000), 0).unwrap();
    assert_eq!(b.buddy.blocks(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(b.buddy.counters(), Counters { allocated: 1, freed: 1, split: 10, merged: 10 });
    assert_eq!(
        (b.buddy.allocate(&b.table, 11, Owner::Slab), b.buddy.allocate(&b.table, 99, Owner::Slab)),
        (None, None)
    );
}

#[test]
fn adding_touches_one_entry_a_section() {
    let ram = FrameRange::between(0x4000, 0x4000 + 4 * SECTION);
    let table = PieceTable::garbage([ram]);
    let words = || -> Vec<_> {
        let word = |frame| (table.info(frame).state(), table.info(frame).next(), table.info(frame).prev());
        ram.iter().map(word).collect()
    };
    let before = words();
    Buddy::new(SPAN).add(&table, ram);
    let changed = before.iter().zip(words()).enumerate().filter(|(_, (old, new))| *old != new);
    assert_eq!(Vec::from_iter(changed.map(|(at, _)| at)), [0, 1024, 2048, 3072]);
}

#[test]
fn neighbours_that_are_added_apart_become_one() {
    let mut b = bench(&[FrameRange::between(0x4000, 0x4123)]);
    b.buddy.add(&b.table, FrameRange::between(0x4123, 0x4400));
    assert_eq!((b.buddy.blocks()[10], b.buddy.managed_frames(), b.buddy.free_frames()), (1, 1024, 1024));
    b.buddy.verify(&b.table).unwrap();
}

#[test]
fn misuse_has_a_name() {
    let mut b = bench(&RAM);
    let one = b.buddy.allocate(&b.table, 3, Owner::Dma).unwrap();
    let text = |b: &mut Bench, frame, order| b.buddy.free(&b.table, frame, order).unwrap_err().to_string();
    let (inner, outside) = (one.checked_add(1).unwrap(), frame(7));
    let at = one.start().as_u64();
    assert_eq!(
        text(&mut b, inner, 0),
        format!("free of frame {:#x}, which nobody was given: reserved", at + 4096)
    );
    assert_eq!(text(&mut b, inner, 1), format!("frame {:#x} freed with order 1: no such block", at + 4096));
    assert_eq!(text(&mut b, outside, 0), "frame 0x7000 freed with order 0: no such block");
    assert_eq!(text(&mut b, one, 2), format!("frame {at:#x} freed with order 2, but it has order 3"));
    assert!(b.table.info(one).get());
    assert_eq!(text(&mut b, one, 3), format!("free of frame {at:#x}, to which there are 2 references"));
    assert_eq!(b.table.info(one).put(), super::super::Dropped::Shared);
    b.buddy.free(&b.table, one, 3).unwrap();
    assert!(text(&mut b, one, 3).starts_with("double free of frame"), "{}", text(&mut b, one, 3));
    // Never given out, and its data is anything.
    let untouched = FreeError::NotHeld { frame: frame(0x4401), owner: Owner::Free };
    assert_eq!(b.buddy.free(&b.table, frame(0x4401), 0), Err(untouched));
    b.compare();
}

#[test]
fn a_run_is_freed_by_whole_blocks_or_not_at_all() {
    let mut b = bench(&RAM);
    let before = b.buddy.blocks();
    // 77 is 64, 8, 4 and 1.
    let run = b.buddy.allocate_exact(&b.table, 77, None, Owner::Dma).unwrap();
    let free = b.buddy.free_frames();
    assert_eq!((run.pages(), free), (77, b.buddy.managed_frames() - 77));
    let part = |first, end| FrameRange::between(run.first() + first, run.first() + end);
    for (first, end) in [(1, 77), (0, 80), (0, 70), (64, 71)] {
        assert!(b.buddy.free_exact(&b.table, part(first, end)).is_err(), "{first} {end}");
        assert_eq!(b.buddy.free_frames(), free);
    }
    b.buddy.free_exact(&b.table, part(0, 76)).unwrap();
    assert!(b.buddy.free_exact(&b.table, run).is_err());
    assert_eq!(b.buddy.free_frames(), free + 76);
    b.buddy.free(&b.table, frame(run.end() - 1), 0).unwrap();
    assert_eq!(b.buddy.blocks(), before);
    for pages in [0, SECTION + 1] {
        assert_eq!(b.buddy.allocate_exact(&b.table, pages, None, Owner::Dma), None);
    }
    assert!(b.buddy.allocate_exact(&b.table, SECTION, None, Owner::Dma).is_some());
}

#[test]
fn verify_finds_what_is_wrong() {
    for damage in 0..5 {
        let mut b = bench(&[FrameRange::between(0x4000, 0x4400)]);
        let first = b.buddy.allocate(&b.table, 0, Owner::Slab).unwrap();
        let buddy = frame(first.number() ^ 1);
        match damage {
            0 => b.table.info(buddy).set_head(Owner::Slab, 0, 0, 1),
            1 => b.table.info(first).set_head(Owner::Free, 0, 0, 0),
            2 => b.table.info(buddy).set_prev(first.number()),
            3 => b.buddy.blocks[0] += 1,
            _ => b.buddy.free += 1,
        }
        assert!(b.buddy.verify(&b.table).is_err(), "{damage}");
    }
}

#[test]
fn random_operations_are_what_the_model_says() {
    let mut random = random(21);
    let mut b = bench(&RAM);
    let initial = b.buddy.blocks();
    let mut live: Vec<FrameRange> = vec![];
    let (mut refused, mut given, mut limited) = (0u64, 0u64, 0u64);
    for operation in 0..operations() {
        // Up to where nothing is left, and down again.
        let is_growing = operation / 1500 % 2 == 0;
        let dice = random.below(100);
        let is_freeing = if is_growing { dice < 20 } else { dice < 70 };
        if is_freeing && !live.is_empty() {
            let run = live.swap_remove(random.index(live.len()));
            let Cell::Held(first, order) = b.model.get(run.first()) else { unreachable!() };
            if first == run.first() && run.pages() == 1 << order && random.below(2) == 0 {
                b.buddy.free(&b.table, frame(first), order).unwrap();
                b.model.release(first, order);
                let again = b.buddy.free(&b.table, frame(first), order);
                assert!(matches!(again, Err(FreeError::NotHeld { .. })), "{again:?}");
            } else if first == run.first() && order > 0 && order < 6 && run.pages() == 1 << order {
                b.buddy.split_held(&b.table, frame(first), order).unwrap();
                b.model.release(first, order);
                for frame in run.iter() {
                    b.model.hold(frame.number(), 0);
                    live.push(FrameRange::new(frame, 1).unwrap());
                }
            } else {
                b.buddy.free_exact(&b.table, run).unwrap();
                b.model.release_exact(run);
            }
        } else if dice >= 97 {
            b.misuse(&mut random);
        } else {
            let order = [0, 0, 0, 1, 2, 3, random.below(11) as u32][random.index(7)];
            let end = (dice % 8 == 0).then(|| b.model.any(&mut random));
            let pages = if dice % 5 == 0 { 1 + random.below(1 << order) as u32 } else { 1 << order };
            let order = order_for(pages).unwrap();
            let found = if pages == 1 << order {
                let found = match end {
                    None => b.buddy.allocate(&b.table, order, Owner::Anonymous),
                    Some(end) => b.buddy.allocate_below(&b.table, order, end, Owner::Anonymous),
                };
                found.map(|first| FrameRange::new(first, pages).unwrap())
            } else {
                b.buddy.allocate_exact(&b.table, pages, end, Owner::Anonymous)
            };
            match found {
                Some(run) => {
                    assert_eq!(run.pages(), pages);
                    assert!(end.is_none_or(|end| run.end() <= end), "{run:?} {end:x?}");
                    b.model.hold_exact(&b.table, run);
                    live.push(run);
                    given += 1;
                    limited += u64::from(end.is_some());
                }
                None => {
                    let is_searched_in_part =
                        end.is_some() && b.buddy.blocks().iter().any(|&n| n as usize > SEARCH_MAX);
                    let could = b.model.has_block(SPAN, order, end.unwrap_or(SPAN.end()));
                    assert!(is_searched_in_part || !could, "order {order} below {end:x?} refused");
                    refused += 1;
                }
            }
        }
        assert_eq!(b.buddy.free_frames(), b.model.free, "operation {operation}");
        if operation % 2000 == 0 {
            b.compare();
        }
    }
    b.compare();
    for run in live {
        b.buddy.free_exact(&b.table, run).unwrap();
    }
    assert_eq!((b.buddy.blocks(), b.buddy.free_frames()), (initial, b.buddy.managed_frames()));
    b.buddy.verify(&b.table).unwrap();
    let least = operations() / 200;
    assert!(refused > least && given > least && limited > least, "{refused} {given} {limited}");
}

#[test]
fn exhausted_by_single_frames_and_back() {
    let mut b = bench(&RAM);
    let initial = b.buddy.blocks();
    let ram: u32 = RAM.iter().map(|range| range.pages()).sum();
    let mut all = vec![];
    while let Some(frame) = b.buddy.allocate(&b.table, 0, Owner::PageCache) {
        b.model.hold(frame.number(), 0);
        all.push(frame);
    }
    assert_eq!((all.len() as u32, b.buddy.free_frames(), b.buddy.largest_order()), (ram, 0, None));
    assert_eq!(b.buddy.allocate_below(&b.table, 0, SPAN.end(), Owner::Dma), None);
    // Every second first: nothing can be put together until the others come.
    for parity in [0, 1] {
        for frame in all.iter().filter(|frame| frame.number() % 2 == parity) {
            b.buddy.free(&b.table, *frame, 0).unwrap();
        }
        if parity == 0 {
            assert_eq!(b.buddy.largest_order(), Some(0));
        }
    }
    assert_eq!(b.buddy.blocks(), initial);
}
