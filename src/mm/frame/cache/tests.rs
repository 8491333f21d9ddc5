//! CPUs' caches in front of one set of zones, against the model.

use super::super::model::{Cell, Model, PieceTable, frame, operations, random};
use super::super::zones::{DMA32_END, Request, Zone};
use super::*;
use crate::mm::addr::FrameRange;
use std::rc::Rc;

/// A table that zones and test can both look at.
impl<T: Table> Table for Rc<T> {
    fn info(&self, frame: Frame) -> &FrameInfo {
        (**self).info(frame)
    }
}

type Shared = Rc<PieceTable>;

const SPAN: FrameRange = FrameRange::between(DMA32_END - SECTION, DMA32_END + SECTION);
const RAM: [FrameRange; 2] = [
    FrameRange::between(DMA32_END - SECTION, DMA32_END - 17),
    FrameRange::between(DMA32_END, DMA32_END + SECTION),
];

fn zones() -> (Shared, Zones<Shared>) {
    let table = Rc::new(PieceTable::for_ram(&RAM));
    let mut zones = Zones::new(table.clone());
    RAM.iter().for_each(|&range| zones.add(range));
    (table, zones)
}

#[test]
fn the_zones_are_asked_for_32_at_a_time() {
    let (table, mut zones) = zones();
    let mut cache = FrameCache::new();
    let all = zones.free_frames();
    let first = cache.allocate(&table, Owner::Anonymous, || &mut zones).unwrap();
    assert_eq!((cache.len(), zones.free_frames(), cache.trips()), (31, all - 32, (1, 0)));
    let info = table.info(first);
    assert_eq!((info.owner(), info.order(), info.flags(), info.count()), (Owner::Anonymous, 0, 0, 1));
    // Frames come one after the other, and the one freed last comes back first.
    let no_lock = || -> &mut Zones<Shared> { panic!("asked without need") };
    let second = cache.allocate(&table, Owner::Slab, no_lock).unwrap();
    assert_eq!(second.number(), first.number() + 1);
    cache.free(&table, first, no_lock).unwrap();
    assert_eq!((table.info(first).owner(), table.info(first).count()), (Owner::CpuCache, 0));
    assert!(!table.info(first).try_get());
    assert_eq!(cache.allocate(&table, Owner::Slab, no_lock), Some(first));
    cache.free(&table, first, no_lock).unwrap();
    cache.free(&table, second, no_lock).unwrap();
    cache.flush(&mut zones);
    assert_eq!((cache.len(), zones.free_frames(), zones.blocks()[10]), (0, all, 1));
}

#[test]
fn a_full_cache_gives_back_its_oldest_half() {
    let (table, mut zones) = zones();
    let mut cache = FrameCache::new();
    let mut take = || zones.allocate(Request::new(Owner::Stack)).unwrap();
    let frames: Vec<_> = (0..=CAPACITY).map(|_| take()).collect();
    let free = zones.free_frames();
    for &frame in &frames {
        cache.free(&table, frame, || &mut zones).unwrap();
    }
    assert_eq!((cache.len(), zones.free_frames(), cache.trips()), (33, free + 32, (0, 1)));
    let owners: Vec<_> = frames.iter().map(|&frame| table.info(frame).owner()).collect();
    assert!(owners[..BATCH].iter().all(|&owner| [Owner::Free, Owner::Reserved].contains(&owner)));
    assert!(owners[BATCH..].iter().all(|&owner| owner == Owner::CpuCache));
    for &frame in frames[BATCH..].iter().rev() {
        assert_eq!(cache.allocate(&table, Owner::Stack, || &mut zones), Some(frame));
    }
}

#[test]
fn misuse_has_a_name() {
    let (table, mut zones) = zones();
    let (mut cache, mut other) = (FrameCache::new(), FrameCache::new());
    let one = cache.allocate(&table, Owner::Slab, || &mut zones).unwrap();
    let pair = zones.allocate(Request::new(Owner::Slab).order(1)).unwrap();
    let fails = |cache: &mut FrameCache, frame: Frame, zones: &mut Zones<Shared>| {
        let before = cache.len();
        let error = cache.free(&table, frame, || &mut *zones).unwrap_err();
        assert_eq!(cache.len(), before);
        error
    };
    assert_eq!(fails(&mut cache, pair, &mut zones), FreeError::Order { frame: pair, order: 1, freed_as: 0 });
    let inner = pair.checked_add(1).unwrap();
    assert_eq!(
        fails(&mut cache, inner, &mut zones),
        FreeError::NotHeld { frame: inner, owner: Owner::Reserved }
    );
    assert!(table.info(one).get());
    assert_eq!(fails(&mut cache, one, &mut zones), FreeError::Shared { frame: one, count: 2 });
    assert_eq!(table.info(one).put(), super::super::Dropped::Shared);
    cache.free(&table, one, || &mut zones).unwrap();
    let twice = FreeError::NotHeld { frame: one, owner: Owner::CpuCache };
    assert_eq!((fails(&mut cache, one, &mut zones), fails(&mut other, one, &mut zones)), (twice, twice));
    assert_eq!(zones.free(one, 0), Err(twice));
    assert_eq!(
        twice.to_string(),
        format!("double free of frame {:#x}: it is in a CPU's cache already", one.start())
    );
    cache.flush(&mut zones);
    let twice = fails(&mut cache, one, &mut zones);
    assert!(matches!(twice, FreeError::NotHeld { .. }), "{twice:?}");
    // A whole section that nobody was ever given, whatever its data says.
    let wild = frame(DMA32_END - SECTION + 5);
    assert_eq!(zones.block_of(wild).map(|(_, _, owner)| owner), Some(Owner::Free));
    assert!(matches!(fails(&mut cache, wild, &mut zones), FreeError::NotHeld { .. }));
}

/// Four CPUs take frames and free each other's; other code takes blocks straight from the zones.
#[test]
fn random_operations_on_four_cpus() {
    let mut random = random(23);
    let (table, mut zones) = zones();
    let initial = zones.blocks();
    let mut model = Model::new(SPAN, &RAM);
    let mut caches: [FrameCache; 4] = Default::default();
    let mut live: Vec<(Frame, u32)> = vec![];
    let (mut refused, mut twice) = (0u64, 0u64);
    for operation in 0..operations() {
        let cache = &mut caches[random.index(4)];
        let is_growing = operation / 4000 % 2 == 0;
        let dice = random.below(100);
        let is_freeing = dice < if is_growing { 30 } else { 65 };
        match live.len() {
            1.. if is_freeing => {
                let (frame, order) = live.swap_remove(random.index(live.len()));
                model.release(frame.number(), order);
                if order == 0 {
                    // As the last of several holders would.
                    if dice % 4 == 0 {
                        assert_eq!(table.info(frame).put(), super::super::Dropped::Last);
                    }
                    cache.free(&table, frame, || &mut zones).unwrap();
                } else {
                    zones.free(frame, order).unwrap();
                }
                if dice % 8 == 0 {
                    assert!(cache.free(&table, frame, || &mut zones).is_err());
                    assert!(zones.free(frame, order).is_err());
                    twice += 1;
                }
            }
            _ if dice == 99 => cache.flush(&mut zones),
            _ if dice > 95 => {
                let order = random.below(5) as u32;
                if let Some(frame) = zones.allocate(Request::new(Owner::PageTable).order(order)) {
                    model.hold(frame.number(), order);
                    live.push((frame, order));
                }
            }
            _ => match cache.allocate(&table, Owner::Anonymous, || &mut zones) {
                Some(frame) => {
                    model.hold(frame.number(), 0);
                    assert_eq!(table.info(frame).count(), 1);
                    live.push((frame, 0));
                }
                None => {
                    // Only when the zones are down to their marks.
                    assert!(cache.is_empty() && zones.free_frames() <= 32 + 96);
                    refused += 1;
                }
            },
        }
        let cached: usize = caches.iter().map(FrameCache::len).sum();
        assert_eq!(zones.free_frames() + cached as u64, u64::from(model.free), "operation {operation}");
        if operation % 5000 == 0 {
            zones.verify().unwrap();
            let held = SPAN.iter().filter(|frame| matches!(model.get(frame.number()), Cell::Held(..)));
            assert_eq!(held.count(), live.iter().map(|(_, order)| 1 << order).sum::<usize>());
        }
    }
    caches.iter_mut().for_each(|cache| cache.flush(&mut zones));
    for (frame, order) in live {
        zones.free(frame, order).unwrap();
    }
    zones.verify().unwrap();
    assert_eq!((zones.blocks(), zones.free_frames()), (initial, zones.managed_frames()));
    assert_eq!(zones.zone(Zone::Normal).free_frames(), SECTION);
    assert!(refused > operations() / 500 && twice > operations() / 500, "{refused} {twice}");
}
