//! Maps whose regions are known, then random maps and own ranges against a table of single pages.

use super::kinds::BY_RESTRICTION;
use super::*;
use crate::testing::Random;

const WB: u64 = 0xF;
const EMPTY: MemoryRegion = region(0, 0, MemoryKind::Reserved, 0);

const fn region(page: u64, pages: u64, kind: MemoryKind, attributes: u64) -> MemoryRegion {
    MemoryRegion { start: page * PAGE_SIZE, pages, kind, reserved: 0, attributes }
}

const fn desc(efi_type: u32, page: u64, pages: u64) -> Descriptor {
    Descriptor { efi_type, phys_start: page * PAGE_SIZE, pages, attributes: WB }
}

const fn own(kind: MemoryKind, page: u64, pages: u64) -> OwnRange {
    OwnRange { start: page * PAGE_SIZE, pages, kind }
}

fn run(map: &[Descriptor], own: &[OwnRange]) -> Result<Vec<MemoryRegion>, MapError> {
    let mut out = vec![EMPTY; max_regions(map.len(), own.len())];
    let summary = normalise(map.iter().copied(), own, &mut out)?;
    out.truncate(summary.len);
    Ok(out)
}

fn summary(map: &[Descriptor]) -> Summary {
    let mut out = vec![EMPTY; max_regions(map.len(), 0)];
    normalise(map.iter().copied(), &[], &mut out).unwrap()
}

#[test]
fn kinds_by_type_and_attributes() {
    use MemoryKind::*;
    let plain = [
        Reserved,
        BootServices,
        BootServices,
        BootServices,
        BootServices,
        Runtime,
        Runtime,
        Usable,
        Unusable,
        AcpiReclaim,
        AcpiNvs,
        Mmio,
        Mmio,
        Reserved,
        Persistent,
        Reserved,
        Reserved,
    ];
    for (efi_type, kind) in (0..).zip(plain) {
        assert_eq!(kind_of(efi_type, WB), kind, "type {efi_type}");
        let runtime = if kind.is_ram() { Runtime } else { kind };
        assert_eq!(kind_of(efi_type, WB | EFI_MEMORY_RUNTIME), runtime, "type {efi_type}");
        let special = if is_free(kind) { Reserved } else { kind };
        assert_eq!(kind_of(efi_type, WB | EFI_MEMORY_SP), special, "type {efi_type}");
        assert_eq!(kind_of(efi_type, WB & !EFI_MEMORY_WB), special, "type {efi_type}");
    }
    for efi_type in [0x6FFF_FFFF, 0x7000_0000, 0x8000_0000, u32::MAX] {
        assert_eq!(kind_of(efi_type, WB), Reserved);
    }
}

#[test]
fn the_tables_hold_each_kind_once() {
    for (i, &kind) in ALL_KINDS.iter().enumerate() {
        assert_eq!(kind as usize, i + 1);
        assert_eq!(BY_RESTRICTION.iter().filter(|&&k| k == kind).count() == 1, !is_own(kind));
    }
    // What is no RAM outranks all that is.
    let is_ram: Vec<_> = BY_RESTRICTION.iter().map(|kind| kind.is_ram()).collect();
    assert!(is_ram.is_sorted_by_key(|ram| !ram));
}

#[test]
fn sorted_and_merged() {
    use MemoryKind::*;
    let map = [desc(7, 0x100, 16), desc(3, 0, 4), desc(4, 4, 4), desc(7, 0x110, 1), desc(1, 8, 8)];
    assert_eq!(
        run(&map, &[]).unwrap(),
        [region(0, 1, Reserved, WB), region(1, 15, BootServices, WB), region(0x100, 17, Usable, WB)]
    );
    // Neighbours that differ in their attributes stay apart.
    let uncached = Descriptor { attributes: 1, ..desc(11, 20, 1) };
    assert_eq!(
        run(&[uncached, desc(11, 21, 1)], &[]).unwrap(),
        [region(20, 1, Mmio, 1), region(21, 1, Mmio, WB)]
    );
    assert_eq!(run(&[], &[]).unwrap(), []);
    let max = PHYS_END / PAGE_SIZE;
    assert_eq!(run(&[desc(0, 0, max)], &[]).unwrap(), [region(0, max, Reserved, WB)]);
}

#[test]
fn own_ranges_are_carved_out() {
    use MemoryKind::*;
    let map = [desc(7, 16, 48), desc(2, 8, 8), desc(4, 64, 4)];
    let ranges = [
        own(Kernel, 8, 2),
        own(Initrd, 30, 36),
        own(BootInfo, 10, 1),
        own(Kernel, 11, 1),
        own(Trampoline, 9, 0),
    ];
    assert_eq!(
        run(&map, &ranges).unwrap(),
        [
            region(8, 2, Kernel, WB),
            region(10, 1, BootInfo, WB),
            region(11, 1, Kernel, WB),
            region(12, 4, BootServices, WB),
            region(16, 14, Usable, WB),
            region(30, 36, Initrd, WB),
            region(66, 2, BootServices, WB),
        ]
    );
}

#[test]
fn own_ranges_are_checked() {
    use MemoryKind::*;
    let map = [desc(7, 0, 16), desc(10, 16, 4), desc(7, 32, 4)];
    let error = |range| run(&map, &[own(PageTables, 33, 1), range]).unwrap_err();
    let not_free = |page, kind| MapError::OwnNotFree { index: 1, address: page * PAGE_SIZE, kind };
    assert_eq!(error(own(Kernel, 14, 3)), not_free(16, Some(AcpiNvs)));
    assert_eq!(error(own(Kernel, 30, 3)), not_free(30, None));
    assert_eq!(error(own(Kernel, 35, 2)), not_free(36, None));
    assert_eq!(error(own(Trampoline, 0, 1)), not_free(0, Some(Reserved)));
    assert_eq!(error(own(Usable, 1, 1)), MapError::OwnKind { index: 1, kind: Usable });
    assert_eq!(
        error(own(Kernel, 32, 2)),
        MapError::OwnOverlap { first: 0, second: 1, address: 33 * PAGE_SIZE }
    );
    for (start, pages) in [(0x1001, 1), (PHYS_END, 1), (0x1000, u64::MAX), (!0xFFF, 1)] {
        let range = OwnRange { start, pages, kind: Kernel };
        assert_eq!(error(range), MapError::OwnBounds { index: 1, start, pages });
    }
    let uncached = Descriptor { attributes: 1, ..desc(2, 1, 1) };
    let found = run(&[uncached], &[own(Kernel, 1, 1)]);
    assert_eq!(found, Err(MapError::OwnNotFree { index: 0, address: PAGE_SIZE, kind: Some(Reserved) }));
}

#[test]
fn contradictions_end_in_the_more_restrictive_kind() {
    use MemoryKind::*;
    let map = [desc(0, 12, 2), desc(7, 8, 8), desc(9, 10, 8)];
    assert_eq!(
        run(&map, &[]).unwrap(),
        [
            region(8, 2, Usable, WB),
            region(10, 2, AcpiReclaim, WB),
            region(12, 2, Reserved, WB),
            region(14, 4, AcpiReclaim, WB),
        ]
    );
    assert_eq!(summary(&map), Summary { len: 4, mended: 0, overlaps: 3 });
    // The same kind twice: what both can do, what either demands.
    let a = Descriptor { attributes: WB | 1 << 14, ..desc(7, 1, 1) };
    let b = Descriptor { attributes: 9 | 1 << 16, ..desc(7, 1, 1) };
    for map in [[a, b], [b, a]] {
        assert_eq!(run(&map, &[]).unwrap(), [region(1, 1, Usable, 9 | 1 << 14 | 1 << 16)]);
    }
}

#[test]
fn absurd_descriptors_are_mended() {
    use MemoryKind::*;
    let at = |efi_type, phys_start, pages| Descriptor { phys_start, ..desc(efi_type, 0, pages) };
    let top = PHYS_END / PAGE_SIZE;
    for (d, expected) in [
        (at(7, 0x1000, 0), None),
        (at(0, 0x1000, 0), None),
        // Usable shrinks, the rest grows.
        (at(7, 0x1800, 3), Some(region(2, 2, Usable, WB))),
        (at(7, 0x1800, 1), None),
        (at(0, 0x1800, 3), Some(region(1, 4, Reserved, WB))),
        // Beyond what exists, and around the end of 64 bits.
        (at(7, PHYS_END - 0x1000, 2), None),
        (at(0, PHYS_END - 0x1000, 2), Some(region(top - 1, 1, Reserved, WB))),
        (at(0, PHYS_END, 1), None),
        (at(7, 0x1000, u64::MAX), None),
        (at(11, 0x1000, u64::MAX), Some(region(1, top - 1, Mmio, WB))),
        (at(7, !0xFFF, 2), None),
        (at(0, !0, 2), None),
    ] {
        assert_eq!(run(&[d], &[]).unwrap(), Vec::from_iter(expected), "{d:x?}");
        assert_eq!(summary(&[d]).mended, 1, "{d:x?}");
    }
}

#[test]
fn a_short_slice_is_an_error() {
    let map = [desc(7, 1, 1), desc(0, 2, 1), desc(7, 3, 1)];
    for capacity in 0..5 {
        let mut out = [EMPTY; 5];
        let found = normalise(map.iter().copied(), &[], &mut out[..capacity]).map(|s| s.len);
        let expected = if capacity < 3 { Err(MapError::TooManyRegions { capacity }) } else { Ok(3) };
        assert_eq!(found, expected);
    }
}

#[test]
fn sums_over_regions() {
    use MemoryKind::*;
    let regions = [
        region(1, 7, Usable, WB),
        region(8, 2, Kernel, WB),
        region(16, 9, Usable, WB),
        region(32, 9, Usable, WB),
        region(64, 3, AcpiNvs, WB),
        region(128, 100, Reserved, WB),
    ];
    let sums = totals(&regions);
    assert_eq!((sums.pages(Usable), sums.pages(Reserved), sums.pages(Mmio)), (25, 100, 0));
    assert_eq!(sums.ram_pages(), 30);
    assert_eq!(ram_end(&regions), 67 * PAGE_SIZE);
    assert_eq!(largest_usable(&regions), Some(&regions[2]));
    assert_eq!((ram_end(&[]), largest_usable(&[]), totals(&[])), (0, None, Totals::default()));
    let wild = MemoryRegion { start: u64::MAX, pages: u64::MAX, ..EMPTY };
    let wild = [MemoryRegion { kind: Usable, ..wild }; 2];
    assert_eq!((ram_end(&wild), totals(&wild).ram_pages()), (u64::MAX, u64::MAX));
}

#[test]
fn errors_are_words() {
    let shown = |e: MapError| e.to_string();
    let kind = Some(MemoryKind::AcpiNvs);
    assert_eq!(
        shown(MapError::OwnNotFree { index: 2, address: 0x5000, kind }),
        "own range 2: the firmware says that 0x5000 is ACPI NVS"
    );
    assert_eq!(
        shown(MapError::OwnOverlap { first: 0, second: 1, address: 0x1000 }),
        "own ranges 0 and 1 overlap at 0x1000"
    );
}

fn random_descriptor(random: &mut Random) -> Descriptor {
    const TYPES: [u32; 16] = [7, 7, 7, 7, 7, 2, 2, 4, 9, 10, 6, 0, 11, 14, 8, 0x7000_0000];
    const ATTRIBUTES: [u64; 8] = [WB, WB, WB, WB, 9, 1, WB | EFI_MEMORY_SP, WB | EFI_MEMORY_RUNTIME];
    let mut d = desc(random.pick(&TYPES), random.below(LOW), random.below(8));
    d.attributes = random.pick(&ATTRIBUTES);
    match random.below(24) {
        0 => d.phys_start += random.below(2 * PAGE_SIZE),
        1 => d.phys_start = PHYS_END - random.below(16) * PAGE_SIZE - random.below(2),
        2 => d.pages = random.next_u64() >> random.below(30),
        3 => d.phys_start = random.next_u64(),
        _ => {}
    }
    d
}

// The model: a table of the lowest and the highest pages, and one page between them.
const LOW: u64 = 40;
const HIGH: u64 = 16;
const LAST: u64 = PHYS_END / PAGE_SIZE;

fn modelled_pages() -> impl Iterator<Item = u64> {
    (0..LOW + 16).chain([LAST / 2]).chain(LAST - HIGH..LAST)
}

/// What `page` is to be, or which own range is at fault there.
fn model(page: u64, map: &[Descriptor], own: &[OwnRange]) -> Result<Option<(MemoryKind, u64)>, ()> {
    use MemoryKind::*;
    let (first, past) = (i128::from(page * 4096), i128::from((page + 1) * 4096));
    let mut found: Vec<(MemoryKind, u64)> = vec![];
    for d in map {
        let (start, len) = (i128::from(d.phys_start), i128::from(d.pages) * 4096);
        let runtime = d.attributes >> 63 == 1;
        let general = d.attributes & 0x40008 == 8;
        let (kind, is_free) = match d.efi_type {
            1..=10 if d.efi_type != 8 && runtime => (Runtime, false),
            1..=4 if general => (BootServices, true),
            7 if general => (Usable, true),
            5 | 6 => (Runtime, false),
            8 => (Unusable, false),
            9 => (AcpiReclaim, false),
            10 => (AcpiNvs, false),
            11 | 12 => (Mmio, false),
            14 => (Persistent, false),
            _ => (Reserved, false),
        };
        let covers = if is_free {
            start <= first && past <= start + len && start + len <= 1 << 52
        } else {
            len > 0 && start < past && first < start + len
        };
        if covers {
            found.push((kind, d.attributes));
        }
    }
    let order = [Unusable, Reserved, Mmio, Persistent, Runtime, AcpiNvs, AcpiReclaim, BootServices, Usable];
    let mut result = None;
    for kind in order {
        let same = || found.iter().filter(|(k, _)| *k == kind).map(|(_, a)| *a);
        if same().next().is_some() {
            let (all, any) = (same().fold(!0, |x, y| x & y), same().fold(0, |x, y| x | y));
            result = Some((kind, all & 0x1F | any & !0x1F));
            break;
        }
    }
    let unusable = page == 0 || page >= DIRECT_MAP_SIZE / PAGE_SIZE;
    if unusable && matches!(result, Some((Usable | BootServices, _))) {
        result = result.map(|(_, attributes)| (Reserved, attributes));
    }
    let owners: Vec<_> =
        own.iter().filter(|o| (o.start / 4096..o.start / 4096 + o.pages).contains(&page)).collect();
    match (&owners[..], result) {
        ([], result) => Ok(result),
        ([owner], Some((Usable | BootServices, a))) => Ok(Some((owner.kind, a))),
        _ => Err(()),
    }
}

#[test]
fn random_maps_are_what_the_model_says() {
    const OWN: [MemoryKind; 3] = [MemoryKind::Kernel, MemoryKind::Initrd, MemoryKind::PageTables];
    let mut random = Random::new(8);
    let (mut good, mut bad, mut carved, mut descriptors) = (0u32, 0u32, 0u32, 0u32);
    while descriptors < 110_000 {
        let map: Vec<_> = (0..random.below(10)).map(|_| random_descriptor(&mut random)).collect();
        descriptors += map.len() as u32;
        // Most own ranges are laid where they are allowed, as a loader's would be.
        let mut ranges = vec![];
        for _ in 0..random.below(12) {
            let kind = random.pick(&OWN);
            let Some(d) = map.get(random.index(10)) else { continue };
            let range = own(kind, d.phys_start / PAGE_SIZE % LOW, random.below(4));
            let fits = (0..range.pages).all(|i| {
                matches!(
                    model(range.start / PAGE_SIZE + i, &map, &ranges),
                    Ok(Some((MemoryKind::Usable | MemoryKind::BootServices, _)))
                )
            });
            if fits || random.below(48) == 0 {
                ranges.push(range);
            }
        }

        let expected: Result<Vec<_>, ()> = modelled_pages().map(|page| model(page, &map, &ranges)).collect();
        let (Ok(expected), Ok(found)) = (&expected, run(&map, &ranges)) else {
            assert_eq!(expected.is_err(), run(&map, &ranges).is_err(), "{map:x?} {ranges:x?}");
            bad += 1;
            continue;
        };
        good += 1;
        carved += u32::from(ranges.iter().any(|range| range.pages > 0));
        for (page, &expected) in modelled_pages().zip(expected) {
            let address = page * PAGE_SIZE;
            let mut holding = found.iter().filter(|r| r.start <= address && address < r.end());
            let found = holding.next().map(|r| (r.kind, r.attributes));
            assert_eq!(found, expected, "page {page:#x} of {map:x?} {ranges:x?}");
            assert_eq!(holding.next(), None);
        }
        for pair in found.windows(2) {
            assert!(pair[0].end() <= pair[1].start);
            let alike = (pair[0].kind, pair[0].attributes) == (pair[1].kind, pair[1].attributes);
            assert!(!alike || pair[0].end() < pair[1].start, "not merged: {pair:x?}");
        }
        for r in &found {
            assert!(r.pages > 0 && r.end() <= PHYS_END && r.start % PAGE_SIZE == 0);
            assert!(r.reserved == 0 && !(r.start == 0 && is_free(r.kind)));
        }
    }
    // Each outcome was put to the test.
    assert!(good > 10_000 && bad > 500 && carved > 3_000, "{good} {bad} {carved}");
}
