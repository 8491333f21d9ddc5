//! Zones against the model: limits, marks, and which zone is asked first.

use super::super::info::Dropped;
use super::super::model::{Model, PieceTable, frame, operations, random};
use super::*;

/// Four sections on each side of 4 GiB, and a hole in between.
const SPAN: FrameRange = FrameRange::between(DMA32_END - 4 * SECTION, DMA32_END + 5 * SECTION);
const RAM: [FrameRange; 3] = [
    FrameRange::between(DMA32_END - 4 * SECTION, DMA32_END - 3 * SECTION - 100),
    FrameRange::between(DMA32_END - 2 * SECTION, DMA32_END + SECTION - 1),
    FrameRange::between(DMA32_END + 2 * SECTION + 7, DMA32_END + 5 * SECTION),
];

fn zones(ram: &[FrameRange]) -> Zones<PieceTable> {
    let mut zones = Zones::new(PieceTable::for_ram(ram));
    ram.iter().for_each(|&range| zones.add(range));
    zones.verify().unwrap();
    zones
}

fn below(request: Request, end: u32) -> Request {
    request.below(PhysAddr::new(u64::from(end) * PAGE_SIZE).unwrap())
}

#[test]
fn a_range_across_4_gib_is_in_both_zones() {
    let zones = zones(&RAM);
    let of = |zone| zones.zone(zone).managed_frames();
    assert_eq!((of(Zone::Dma32), of(Zone::Normal)), (3 * SECTION - 100, 4 * SECTION - 8));
    assert_eq!(zones.managed_frames(), u64::from(7 * SECTION - 108));
    assert_eq!(zones.free_frames(), zones.managed_frames());
    assert_eq!(zones.blocks()[10], 4);
    let all = SPAN.iter().filter(|&frame| Zone::of(frame) == Zone::Dma32).count();
    assert_eq!(all as u32, 4 * SECTION);
}

#[test]
fn page_0_and_what_the_direct_map_does_not_reach_are_never_added() {
    let table = PieceTable::for_ram(&[
        FrameRange::between(0, 2),
        FrameRange::between(DIRECT_END - 1, DIRECT_END + 1),
    ]);
    let mut zones = Zones::new(table);
    zones.add(FrameRange::between(0, 2));
    zones.add(FrameRange::between(DIRECT_END - 1, DIRECT_END + 1));
    assert_eq!(zones.managed_frames(), 2);
    let mut take = || zones.allocate(Request::new(Owner::Kernel).critical()).map(Frame::number);
    assert_eq!([take(), take(), take()], [Some(DIRECT_END - 1), Some(1), None]);
    assert_eq!(zones.refused(), 1);
}

#[test]
fn marks_are_kept_for_whom_they_are_meant() {
    let mut zones = zones(&RAM);
    let marks = [Zone::Dma32, Zone::Normal].map(|zone| zones.watermarks(zone));
    assert_eq!(marks, [Watermarks { min: 32, low: 64, high: 96 }; 2]);
    assert_eq!(zones.level(Zone::Normal), Level::High);
    let (plain, low) = (Request::new(Owner::Slab), below(Request::new(Owner::Dma), DMA32_END));
    let free =
        |zones: &Zones<PieceTable>| [Zone::Normal, Zone::Dma32].map(|zone| zones.zone(zone).free_frames());
    let dma32 = zones.zone(Zone::Dma32).managed_frames();
    // Normal first, down to its min; then Dma32, down to high.
    while zones.zone(Zone::Normal).free_frames() > 32 {
        assert_eq!(Zone::of(zones.allocate(plain).unwrap()), Zone::Normal);
    }
    assert_eq!((zones.level(Zone::Normal), free(&zones)), (Level::Exhausted, [32, dma32]));
    while let Some(frame) = zones.allocate(plain) {
        assert_eq!(Zone::of(frame), Zone::Dma32);
    }
    assert_eq!((zones.level(Zone::Dma32), free(&zones)), (Level::Fair, [32, 96]));
    // Devices below 4 GiB: down to min.
    while zones.allocate(low).is_some() {}
    assert_eq!((zones.level(Zone::Dma32), free(&zones)), (Level::Exhausted, [32, 32]));
    while zones.allocate(plain.critical()).is_some() {}
    assert_eq!(free(&zones), [0, 0]);
    zones.free(frame(DMA32_END - 1), 0).unwrap();
    assert_eq!((zones.allocate(low), zones.allocate(low.critical())), (None, Some(frame(DMA32_END - 1))));
}

#[test]
fn a_machine_without_memory_above_4_gib_uses_dma32_down_to_min() {
    let mut zones = zones(&RAM[..1]);
    while zones.allocate(Request::new(Owner::Slab)).is_some() {}
    assert_eq!(zones.zone(Zone::Dma32).free_frames(), zones.watermarks(Zone::Dma32).min);
    assert_eq!(zones.level(Zone::Normal), Level::High);
}

#[test]
fn marks_of_zones_of_all_sizes() {
    let min = |managed| Watermarks::for_zone(managed).min;
    assert_eq!(
        [0, 7, 100, 256, 8192, 30_000, 1 << 20, 1 << 24].map(min),
        [0, 0, 12, 32, 32, 117, 4096, 4096]
    );
    assert_eq!(Watermarks::for_zone(30_000), Watermarks { min: 117, low: 234, high: 351 });
}

#[test]
fn frames_that_somebody_had_from_the_start_are_added_later() {
    let ram = [FrameRange::between(DMA32_END, DMA32_END + SECTION)];
    let mut zones = Zones::new(PieceTable::garbage(ram));
    let initrd = FrameRange::between(DMA32_END + 10, DMA32_END + 20);
    ram[0].iter().for_each(|frame| zones.table().info(frame).clear());
    initrd.iter().for_each(|frame| zones.table().info(frame).set_head(Owner::Initrd, 0, 0, 1));
    ram[0].without(initrd).into_iter().for_each(|range| zones.add(range));
    let with_one_more = FrameRange::between(initrd.first(), initrd.end() + 1);
    assert!(zones.add_from(with_one_more, Owner::Initrd).is_err());
    assert!(zones.add_from(initrd, Owner::Boot).is_err() && zones.add_from(ram[0], Owner::Free).is_err());
    let last = zones.table().info(frame(initrd.end() - 1));
    assert!(last.get());
    assert!(matches!(zones.add_from(initrd, Owner::Initrd), Err(FreeError::Shared { count: 2, .. })));
    assert_eq!(zones.table().info(frame(initrd.end() - 1)).put(), Dropped::Shared);
    zones.verify().unwrap();
    zones.add_from(initrd, Owner::Initrd).unwrap();
    assert_eq!((zones.blocks()[10], zones.managed_frames()), (1, 1024));
    assert!(zones.add_from(initrd, Owner::Initrd).is_err());
    zones.verify().unwrap();
}

/// Random requests of all kinds: what is given obeys limit, marks and order of zones, and what is refused must be.
#[test]
fn random_requests_are_what_the_model_says() {
    let mut random = random(22);
    let mut zones = zones(&RAM);
    let initial = zones.blocks();
    let mut model = Model::new(SPAN, &RAM);
    let mut live: Vec<(FrameRange, bool)> = vec![];
    let spans = [FrameRange::between(SPAN.first(), DMA32_END), FrameRange::between(DMA32_END, SPAN.end())];
    let (mut given, mut refused, mut fallen_back) = ([0u64; 2], [0u64; 2], 0u64);
    for operation in 0..operations() {
        let is_growing = operation / 2000 % 2 == 0;
        if random.below(100) < if is_growing { 25 } else { 70 } {
            if let Some(at) = live.len().checked_sub(1).map(|last| random.index(last + 1)) {
                let (run, is_exact) = live.swap_remove(at);
                model.release_exact(run);
                if is_exact {
                    zones.free_exact(run).unwrap();
                } else {
                    zones.free(run.start().unwrap(), run.pages().ilog2()).unwrap();
                }
                let again = zones.free(run.start().unwrap(), 0);
                assert!(matches!(again, Err(FreeError::NotHeld { .. })), "{again:?}");
            }
        } else {
            let order = [0, 0, 1, 2, random.below(12) as u32][random.index(5)];
            let mut request = Request::new(Owner::Dma).order(order);
            let end = match random.below(4) {
                0 => Some(DMA32_END),
                1 => Some(model.any(&mut random)),
                _ => None,
            };
            request = end.map_or(request, |end| below(request, end));
            let is_critical = random.below(8) == 0;
            request = if is_critical { request.critical() } else { request };
            let is_exact = order > 1 && order <= 10 && random.below(3) == 0;
            let pages =
                if is_exact { (1 << order) - random.below(1 << (order - 1)) as u32 } else { 1 << order };

            // What each zone could do, in the order in which they are asked.
            let is_searched_in_part = zones.blocks().iter().any(|&blocks| blocks > 256);
            let could = Zone::ALL.map(|zone| {
                let marks = zones.watermarks(zone);
                let keep = match (is_critical, end.is_none() && zone == Zone::Dma32) {
                    (true, _) => 0,
                    (_, true) => marks.high,
                    _ => marks.min,
                };
                zones.zone(zone).free_frames() >= pages + keep
                    && model.has_block(spans[zone as usize], order, end.unwrap_or(SPAN.end()))
            });
            let found = if is_exact {
                zones.allocate_exact(request, pages)
            } else {
                zones.allocate(request).map(|first| FrameRange::new(first, pages).unwrap())
            };
            let zone = found.map(|run| Zone::of(run.start().unwrap()));
            let expected = Zone::ALL.into_iter().zip(could).find(|&(_, could)| could).map(|(zone, _)| zone);
            assert!(
                zone == expected || end.is_some() && is_searched_in_part,
                "{request:?} {zone:?} {expected:?}"
            );
            match found {
                Some(run) => {
                    assert!(end.is_none_or(|end| run.end() <= end), "{run:?} is not below {end:x?}");
                    assert_eq!(run.pages(), pages);
                    model.hold_exact(zones.table(), run);
                    live.push((run, is_exact));
                    given[usize::from(end.is_some())] += 1;
                    fallen_back += u64::from(end.is_none() && zone == Some(Zone::Dma32));
                }
                None => refused[usize::from(end.is_some())] += 1,
            }
        }
        assert_eq!(zones.free_frames(), u64::from(model.free), "operation {operation}");
        if operation % 2000 == 0 {
            zones.verify().unwrap();
        }
    }
    for (run, _) in live {
        zones.free_exact(run).unwrap();
    }
    zones.verify().unwrap();
    assert_eq!((zones.blocks(), zones.free_frames()), (initial, zones.managed_frames()));
    let least = operations() / 500;
    assert!(
        given.iter().chain(&refused).chain([&fallen_back]).all(|&count| count > least),
        "{given:?} {refused:?} {fallen_back}"
    );
}
