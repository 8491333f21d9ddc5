//! Plans for machines of all sizes, as OVMF describes them, then for random maps: each frame of the map has to be in
//! one place, and the zones that are filled must be what the map says.

use super::super::info::FrameInfo;
use super::super::model::{PieceTable, frame, operations, random};
use super::super::zones::{DMA32_END, Request, Zone};
use super::*;
use crate::arch::x86_64::paging::map::map_page;
use crate::arch::x86_64::paging::model::Memory;
use crate::arch::x86_64::paging::{Flags, Tables};
use crate::testing::Random;
use MemoryKind::*;

const fn region(first: u64, end: u64, kind: MemoryKind) -> MemoryRegion {
    MemoryRegion { start: first * PAGE_SIZE, pages: end - first, kind, reserved: 0, attributes: 0xF }
}

/// A map of the usual form: the low megabyte, RAM with the kernel in it, firmware's own at the upper end of what is
/// below 4 GiB, and RAM above it. Arguments and numbers in pages.
fn machine(low_end: u64, high: u64) -> Vec<MemoryRegion> {
    let mut map = vec![
        region(0, 1, Reserved),
        region(1, 0x87, BootServices),
        region(0x87, 0x88, Trampoline),
        region(0x88, 0xA0, Usable),
        region(0x100, 0x800, Usable),
        region(0x800, 0x808, AcpiNvs),
        region(0x808, 0x80B, Usable),
        region(0x80B, 0x80C, AcpiNvs),
        region(0x80C, 0x810, Usable),
        region(0x810, 0x900, AcpiNvs),
        region(0x900, 0x1780, BootServices),
        region(0x1780, low_end - 0x1500, Usable),
        region(low_end - 0x1500, low_end - 0x1000, Initrd),
        region(low_end - 0x1000, low_end - 0xF00, Kernel),
        region(low_end - 0xF00, low_end - 0xEF0, PageTables),
        region(low_end - 0xEF0, low_end - 0xEEE, BootInfo),
        region(low_end - 0xEEE, low_end - 0x900, BootServices),
        region(low_end - 0x900, low_end - 0x800, Runtime),
        region(low_end - 0x800, low_end - 0x790, Reserved),
        region(low_end - 0x790, low_end - 0x780, AcpiReclaim),
        region(low_end - 0x780, low_end - 0x700, AcpiNvs),
        region(low_end - 0x700, low_end - 0x80, BootServices),
        region(low_end - 0x80, low_end, Runtime),
        region(0xE_0000, 0xF_0000, Reserved),
        region(0xF_FC00, 0x10_0000, Mmio),
    ];
    if high > 0 {
        map.push(region(0x10_0000, 0x10_0000 + high, Usable));
    }
    // Where no device may be mapped either: a reserved piece far above.
    map.push(region(0xFD_0000_0000 >> 12, 0x100_0000_0000 >> 12, Reserved));
    map
}

/// What a frame of the map turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Free,
    Held(Owner),
}

/// The plan's own statements against the map, frame by frame.
fn check(plan: &Plan) -> Vec<Option<Found>> {
    let end = plan.regions.iter().map(frames_of).filter(|range| range.first() < 0x1000_0000);
    let mut frames = vec![None; end.map(|range| range.end()).max().unwrap_or(0) as usize];
    let mut put = |range: FrameRange, found| {
        assert!(range.iter().all(|frame| plan.has_info(frame)), "{range:?} {found:?}");
        for cell in &mut frames[range.first() as usize..range.end() as usize] {
            assert_eq!(*cell, None, "{range:?} {found:?}");
            *cell = Some(found);
        }
    };
    let mut last = 0;
    for range in plan.free() {
        assert!(range.first() >= last.max(1) && !range.is_empty(), "{range:?}");
        last = range.end();
        put(range, Found::Free);
    }
    plan.held().for_each(|(range, owner)| put(range, Found::Held(owner)));

    // What the map says of each, as long as there is data for it.
    let mut without_data = 0u64;
    for region in plan.regions {
        for frame in frames_of(region).iter() {
            let cell = frames.get(frame.number() as usize).copied().flatten();
            if !plan.has_info(frame) {
                assert_eq!(cell, None);
                without_data += u64::from(region.kind.is_ram());
                continue;
            }
            let expected = match region.kind {
                Usable | BootServices if plan.early.contains(frame) => Some(Found::Held(Owner::PageTable)),
                Usable | BootServices if plan.tables.contains(frame) => Some(Found::Held(Owner::PageTable)),
                Usable | BootServices if plan.pieces().iter().any(|piece| piece.storage.contains(frame)) => {
                    Some(Found::Held(Owner::FrameTable))
                }
                Usable | BootServices => Some(Found::Free),
                Kernel => Some(Found::Held(Owner::KernelImage)),
                PageTables => Some(Found::Held(Owner::PageTable)),
                BootInfo | Trampoline => Some(Found::Held(Owner::Boot)),
                Initrd => Some(Found::Held(Owner::Initrd)),
                AcpiReclaim => Some(Found::Held(Owner::Acpi)),
                AcpiNvs | Runtime => Some(Found::Held(Owner::Firmware)),
                _ => None,
            };
            assert_eq!(cell, expected, "{frame:?} {region:x?}");
        }
    }
    assert_eq!(plan.left_out() == 0, without_data == 0, "{without_data}");

    let mut last = 0;
    for piece in plan.pieces() {
        assert!(piece.frames.first() >= last && piece.frames.first() % SECTION == 0);
        assert!(piece.frames.pages() % SECTION == 0 && !piece.frames.is_empty());
        assert_eq!(piece.storage.bytes(), u64::from(piece.frames.pages()) * FrameInfo::SIZE);
        last = piece.frames.end();
    }
    frames
}

/// Maps the table page by page in a model, and compares the number of page tables with what is set aside.
fn check_tables(plan: &Plan) {
    let mut memory = Memory::default();
    let root = memory.allocate().unwrap();
    for piece in plan.pieces() {
        let pages = piece.pages().unwrap();
        assert_eq!(pages.pages(), u64::from(piece.storage.pages()));
        for (page, frame) in pages.iter().zip(piece.storage.iter()) {
            let (virt, phys) = (page.start().as_u64(), frame.start().as_u64());
            map_page(&mut memory, root, virt, phys, Flags::WRITE, 1).unwrap();
        }
    }
    assert_eq!(memory.tables() as u32 - 1, plan.tables().pages());
}

/// Fills zones over a table full of garbage, and asks every frame what it is.
fn check_filled(plan: &Plan, frames: &[Option<Found>]) -> Zones<PieceTable> {
    let mut zones = Zones::new(PieceTable::garbage(plan.pieces().iter().map(|piece| piece.frames)));
    plan.fill(&mut zones);
    zones.verify().unwrap();
    let free = frames.iter().filter(|&&cell| cell == Some(Found::Free)).count();
    assert_eq!((zones.free_frames(), zones.managed_frames()), (free as u64, free as u64));
    for (number, cell) in frames.iter().enumerate() {
        let frame = frame(number as u32);
        if !plan.has_info(frame) {
            continue;
        }
        let found = zones.block_of(frame).map(|(first, order, owner)| match owner {
            Owner::Free => Found::Free,
            owner => {
                assert_eq!((first, order, zones.table().info(frame).count()), (frame, 0, 1));
                Found::Held(owner)
            }
        });
        assert_eq!(found, *cell, "{frame:?}");
    }
    zones
}

#[test]
fn with_128_mib_the_table_takes_1_mib_and_everything_is_given_out() {
    let map = machine(0x8000, 0);
    let early = FrameRange::between(0x6A00, 0x6B00);
    let plan = Plan::new(&map, early);
    let frames = check(&plan);
    check_tables(&plan);
    assert_eq!((plan.pieces().len(), plan.table_bytes(), plan.left_out()), (1, 1 << 20, 0));
    assert_eq!(plan.tables().pages(), 3);
    let mut zones = check_filled(&plan, &frames);
    assert_eq!(zones.zone(Zone::Normal).managed_frames(), 0);
    let mut given = 0;
    while let Some(frame) = zones.allocate(Request::new(Owner::Kernel).critical()) {
        assert_eq!(frames[frame.number() as usize], Some(Found::Free));
        given += 1;
    }
    assert_eq!(given, zones.managed_frames());
}

#[test]
fn page_tables_that_were_not_needed_are_free() {
    let map = machine(0x8000, 0);
    let mut plan = Plan::new(&map, FrameRange::EMPTY);
    let (all, free) = (plan.tables(), plan.free().map(|range| range.pages()).sum::<u32>());
    plan.keep_tables(2);
    assert_eq!((plan.tables().first(), plan.tables().pages()), (all.first(), 2));
    assert_eq!(plan.free().map(|range| range.pages()).sum::<u32>(), free + all.pages() - 2);
    check(&plan);
    plan.keep_tables(99);
    assert_eq!(plan.tables().pages(), 2);
}

#[test]
fn with_3_gib_all_is_below_the_hole() {
    let map = machine(0x8_0000 + 0x4_0000, 0);
    let plan = Plan::new(&map, FrameRange::EMPTY);
    let frames = check(&plan);
    check_tables(&plan);
    assert_eq!((plan.table_bytes(), plan.left_out()), (24 << 20, 0));
    let zones = check_filled(&plan, &frames);
    assert_eq!(zones.zone(Zone::Normal).managed_frames(), 0);
}

#[test]
fn with_5_gib_the_table_lies_above_4_gib() {
    let map = machine(0x8_0000, 0xC_0000);
    let plan = Plan::new(&map, FrameRange::EMPTY);
    let frames = check(&plan);
    check_tables(&plan);
    assert_eq!((plan.pieces().len(), plan.table_bytes()), (2, 40 << 20));
    assert!(plan.pieces().iter().all(|piece| piece.storage.first() >= DMA32_END));
    let zones = check_filled(&plan, &frames);
    assert_eq!(
        zones.managed_frames(),
        u64::from(zones.zone(Zone::Normal).managed_frames()) + frames_below_4_gib(&frames)
    );
    // What has to be cleared does not grow with RAM.
    assert!(plan.to_clear().map(|range| range.pages() / SECTION).sum::<u32>() < 24);
}

fn frames_below_4_gib(frames: &[Option<Found>]) -> u64 {
    frames[..DMA32_END as usize].iter().filter(|&&cell| cell == Some(Found::Free)).count() as u64
}

#[test]
fn with_96_gib_large_pages_map_the_table() {
    // The end of RAM is not where a large page could end.
    let map = machine(0x8_0000, (94 << 18) - 77);
    let plan = Plan::new(&map, FrameRange::EMPTY);
    check_tables(&plan);
    assert_eq!((plan.pieces().len(), plan.table_bytes(), plan.left_out()), (2, 768 << 20, 0));
    for piece in plan.pieces() {
        let page = piece.pages().unwrap().start().unwrap();
        assert!(page.is_aligned(PageSize::Large));
        assert!(piece.storage.start().unwrap().is_aligned(PageSize::Large), "{piece:?}");
    }
    let ram: u64 = map.iter().filter(|region| region.kind.is_ram()).map(|region| region.pages).sum();
    let free: u64 = plan.free().map(|range| u64::from(range.pages())).sum();
    let held: u64 = plan.held().map(|(range, _)| u64::from(range.pages())).sum();
    assert_eq!(free + held, ram);
    // Of 24,576 sections, those of the table's own storage and a few more.
    assert!(plan.to_clear().map(|range| range.pages() / SECTION).sum::<u32>() < 192 + 24);
}

#[test]
fn storage_is_not_moved_onto_what_is_in_use() {
    // 65 sections want 520 frames; the next place for a large page is 261 frames below, in the kernel.
    let map =
        [region(1, 0x1_0000, Usable), region(0x1_0000, 0x1_0100, Kernel), region(0x1_0100, 0x1_030D, Usable)];
    let plan = Plan::new(&map, FrameRange::EMPTY);
    check(&plan);
    assert_eq!(plan.pieces().len(), 1);
    assert_eq!(plan.pieces()[0].storage, FrameRange::between(0x1_0105, 0x1_030D));
}

#[test]
fn maps_that_leave_nothing_to_do() {
    for map in [&[][..], &[region(1, 99, Reserved)], &[region(1, 9, Kernel)], &[region(0, 1, Usable)]] {
        let plan = Plan::new(map, FrameRange::EMPTY);
        assert_eq!((plan.pieces().len(), plan.free().count(), plan.held().count()), (0, 0, 0));
        assert_eq!(plan.left_out() > 0, map.iter().any(|region| region.kind == Kernel));
    }
    // Beyond what the direct map reaches, and absurd.
    let far = [region(DIRECT_MAP_SIZE / PAGE_SIZE, DIRECT_MAP_SIZE / PAGE_SIZE + 5000, Usable)];
    assert_eq!(Plan::new(&far, FrameRange::EMPTY).pieces(), []);
    let wild = [MemoryRegion { pages: u64::MAX, ..region(1 << 40, 1 << 41, Usable) }];
    assert_eq!(Plan::new(&wild, FrameRange::EMPTY).pieces(), []);
}

#[test]
fn more_islands_than_pieces_are_left_out() {
    let islands = |count: u64| -> Vec<_> {
        (1..=count).map(|island| region(island * 4096, island * 4096 + 100, Usable)).collect()
    };
    let map = islands(PIECES_MAX as u64);
    let plan = Plan::new(&map, FrameRange::EMPTY);
    assert_eq!((plan.pieces().len(), plan.left_out()), (PIECES_MAX, 0));
    check(&plan);
    let map = islands(PIECES_MAX as u64 + 3);
    let plan = Plan::new(&map, FrameRange::EMPTY);
    assert_eq!((plan.pieces().len(), plan.left_out()), (PIECES_MAX, 3 * SECTION));
    check(&plan);
}

fn random_map(random: &mut Random) -> Vec<MemoryRegion> {
    const KINDS: [MemoryKind; 16] = [
        Usable,
        Usable,
        Usable,
        Usable,
        Usable,
        BootServices,
        BootServices,
        Kernel,
        PageTables,
        BootInfo,
        Initrd,
        Trampoline,
        AcpiReclaim,
        AcpiNvs,
        Runtime,
        Reserved,
    ];
    let (mut map, mut at) = (vec![], random.below(3));
    while at < u64::from(8 * SECTION) {
        let pages = 1 + match random.below(4) {
            0 => random.below(4),
            1 | 2 => random.below(300),
            _ => random.below(4000),
        };
        map.push(region(at, at + pages, random.pick(&KINDS)));
        at += pages + if random.below(3) == 0 { random.below(2500) } else { 0 };
    }
    map
}

#[test]
fn random_maps_are_divided_without_rest() {
    let mut random = random(24);
    let (mut regions, mut round, mut in_pieces, mut left_out) = (0, 0u64, 0u64, 0u64);
    while regions < operations() {
        let map = random_map(&mut random);
        regions += map.len() as u64;
        let largest = map.iter().filter(|region| region.kind == Usable).max_by_key(|region| region.pages);
        let early = largest.map_or(FrameRange::EMPTY, |region| {
            let end = (region.end() / PAGE_SIZE) as u32;
            FrameRange::between(end - random.below(region.pages.min(40) + 1) as u32, end)
        });
        let plan = Plan::new(&map, early);
        let frames = check(&plan);
        in_pieces += u64::from(plan.pieces().len() > 1);
        left_out += u64::from(plan.left_out() > 0);
        if round % 8 == 0 {
            check_tables(&plan);
            check_filled(&plan, &frames);
        }
        round += 1;
    }
    assert!(in_pieces > round / 8 && left_out > 0 && left_out < round / 8, "{round} {in_pieces} {left_out}");
}
