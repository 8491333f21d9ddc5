//! From the firmware's memory map to the list of regions in `BootInfo`.
//!
//! The loader calls [`normalise`] with the descriptors that came with the last GetMemoryMap, and with the
//! ranges that it allocated for us. Firmware gives descriptors in any order, and some of it gives empty,
//! unaligned, overlapping or absurd ones. The list that comes out is ascending and without overlap, in
//! whole pages below 2^52, neighbours of equal kind and attributes merged, and where descriptors
//! contradict each other it believes the more restrictive one. What no descriptor covers is in no region.
//!
//! The algorithm is one sweep from address 0 upwards: at each boundary of any range, every descriptor is
//! asked whether it covers the run up to the next boundary. That is quadratic, needs no storage, and a
//! real map has some hundred descriptors.
//!
//! Source: UEFI 2.10 §7.2.3 GetMemoryMap() and table 7.10 "Memory Type Usage after ExitBootServices()".

use core::fmt;

use super::info::{MemoryKind, MemoryRegion};
use super::layout::PAGE_SIZE;

/// First address that no x86_64 processor can put on its bus (Intel SDM vol. 3 §4.1.4: MAXPHYADDR is at
/// most 52).
pub const PHYS_END: u64 = 1 << 52;

/// EFI_MEMORY_WB: the memory may be cached write-back.
pub const EFI_MEMORY_WB: u64 = 1 << 3;
/// EFI_MEMORY_SP: meant for a specific purpose.
pub const EFI_MEMORY_SP: u64 = 1 << 18;
/// EFI_MEMORY_RUNTIME: the runtime services need it mapped.
pub const EFI_MEMORY_RUNTIME: u64 = 1 << 63;
/// EFI_MEMORY_UC, WC, WT, WB and UCE: what the memory can do, rather than what it must.
const EFI_CACHEABILITY_MASK: u64 = 0x1F;

/// What counts of an EFI_MEMORY_DESCRIPTOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// EFI_MEMORY_TYPE.
    pub efi_type: u32,
    /// Physical address.
    pub phys_start: u64,
    /// Number of 4 KiB pages.
    pub pages: u64,
    /// EFI_MEMORY_* bits.
    pub attributes: u64,
}

/// Pages that the loader allocated, and what it put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnRange {
    /// Physical address, page-aligned.
    pub start: u64,
    /// Number of 4 KiB pages; a range of none is passed over.
    pub pages: u64,
    /// One of `Kernel`, `PageTables`, `BootInfo`, `Initrd` and `Trampoline`.
    pub kind: MemoryKind,
}

/// What [`normalise`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Regions written.
    pub len: usize,
    /// Descriptors that had to be dropped, clipped or rounded to whole pages.
    pub mended: usize,
    /// Runs of pages that several descriptors claim.
    pub overlaps: usize,
}

/// Why there is no list. `index` counts the own ranges from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// More regions than fit; what was written is of no use. [`max_regions`] is always enough.
    TooManyRegions { capacity: usize },
    /// An own range with a kind that is the firmware's.
    OwnKind { index: usize, kind: MemoryKind },
    /// An own range that is not page-aligned, or reaches past [`PHYS_END`].
    OwnBounds { index: usize, start: u64, pages: u64 },
    /// Two own ranges claim the page at `address`.
    OwnOverlap { first: usize, second: usize, address: u64 },
    /// An own range holds a page that the loader cannot have been given: of that kind according to the
    /// firmware, or of none.
    OwnNotFree { index: usize, address: u64, kind: Option<MemoryKind> },
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooManyRegions { capacity } => write!(f, "more than {capacity} regions"),
            Self::OwnKind { index, kind } => {
                write!(f, "own range {index} cannot be of the kind \"{}\"", kind.name())
            }
            Self::OwnBounds { index, start, pages } => {
                write!(f, "own range {index}: {pages} pages at {start:#x} are not a run of pages")
            }
            Self::OwnOverlap { first, second, address } => {
                write!(f, "own ranges {first} and {second} overlap at {address:#x}")
            }
            Self::OwnNotFree { index, address, kind } => {
                let kind = kind.map_or("not in the memory map", MemoryKind::name);
                write!(f, "own range {index}: the firmware says that {address:#x} is {kind}")
            }
        }
    }
}

impl core::error::Error for MapError {}

/// The kinds that the firmware can tell us of, from the least restrictive. Where descriptors contradict
/// each other, the later kind wins, because the damage done by believing the other one is greater:
///
/// 1. `Usable`, `BootServices`: believing it wrongly means to write there. The second comes after the
///    first because it must wait until the kernel stands on its own.
/// 2. `AcpiReclaim`, `AcpiNvs`, `Runtime`: RAM whose content somebody needs: for a while; for ever;
///    for ever, and executed by us.
/// 3. `Persistent`, `Mmio`, `Reserved`: not to be in the direct map at all. The first two have an owner
///    who may map them, a disk driver and a device driver (where even reading has effects); the third
///    is mapped only if some other table names an address in it.
/// 4. `Unusable`: nobody may map it for any reason. A machine check is not to be reasoned with.
const BY_RESTRICTION: [MemoryKind; 9] = [
    MemoryKind::Usable,
    MemoryKind::BootServices,
    MemoryKind::AcpiReclaim,
    MemoryKind::AcpiNvs,
    MemoryKind::Runtime,
    MemoryKind::Persistent,
    MemoryKind::Mmio,
    MemoryKind::Reserved,
    MemoryKind::Unusable,
];

fn restriction(kind: MemoryKind) -> usize {
    BY_RESTRICTION.iter().position(|&k| k == kind).unwrap_or(BY_RESTRICTION.len())
}

/// Whether the kernel's allocator will get such memory at some time.
const fn is_free(kind: MemoryKind) -> bool {
    matches!(kind, MemoryKind::Usable | MemoryKind::BootServices)
}

const fn is_own(kind: MemoryKind) -> bool {
    matches!(
        kind,
        MemoryKind::Kernel
            | MemoryKind::PageTables
            | MemoryKind::BootInfo
            | MemoryKind::Initrd
            | MemoryKind::Trampoline
    )
}

/// The kind of one descriptor, by EFI_MEMORY_TYPE and attributes.
pub const fn kind_of(efi_type: u32, attributes: u64) -> MemoryKind {
    let kind = match efi_type {
        // EfiLoaderCode and EfiLoaderData: the loader itself, and what it has allocated. What of that is
        // to last is an own range; the rest goes the way of EfiBootServicesCode and EfiBootServicesData.
        1..=4 => MemoryKind::BootServices,
        5 | 6 => MemoryKind::Runtime,
        7 => MemoryKind::Usable,
        8 => MemoryKind::Unusable,
        9 => MemoryKind::AcpiReclaim,
        10 => MemoryKind::AcpiNvs,
        11 | 12 => MemoryKind::Mmio,
        14 => MemoryKind::Persistent,
        // EfiReservedMemoryType, EfiPalCode (of another architecture), EfiUnacceptedMemoryType (in a
        // confidential guest, touching it before accepting it ends the guest), and the ranges of OEMs
        // and of other systems' loaders, from 0x7000_0000.
        _ => MemoryKind::Reserved,
    };
    if kind.is_ram() && attributes & EFI_MEMORY_RUNTIME != 0 {
        return MemoryKind::Runtime;
    }
    // The allocator's pages are mapped write-back, so memory that cannot be is none of them. And memory
    // for a specific purpose is fast or large memory beside the machine's own that waits for a driver
    // who knows what it is for: the first kernel page that lands in it would keep it from that driver
    // for good. Linux decides both the same way, for the same types.
    let is_general = attributes & EFI_MEMORY_WB != 0 && attributes & EFI_MEMORY_SP == 0;
    if is_free(kind) && !is_general { MemoryKind::Reserved } else { kind }
}

/// A descriptor as the sweep sees it: `start < end <= PHYS_END`, page-aligned.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
    kind: MemoryKind,
    attributes: u64,
}

/// Makes sense of one descriptor; the flag tells whether that took any mending.
///
/// Doubt goes against using memory: a free range shrinks to the whole pages in it, and is dropped if it
/// reaches beyond what can exist, since its length is then a lie; others grow to whole pages, and are
/// clipped.
fn span_of(d: Descriptor) -> (Option<Span>, bool) {
    const MASK: u64 = PAGE_SIZE - 1;
    let kind = kind_of(d.efi_type, d.attributes);
    let span =
        |start, end| (start < end).then_some(Span { start, end, kind, attributes: d.attributes });
    let wide_end = u128::from(d.phys_start) + u128::from(d.pages) * u128::from(PAGE_SIZE);
    let end = u64::try_from(wide_end).unwrap_or(u64::MAX);
    let is_fit = d.pages != 0 && end <= PHYS_END;
    if is_fit && d.phys_start & MASK == 0 {
        return (span(d.phys_start, end), false);
    }
    if d.pages == 0 || (is_free(kind) && !is_fit) {
        return (None, true);
    }
    // The addresses below are at most PHYS_END, so rounding up cannot wrap.
    let (start, end) = (d.phys_start.min(PHYS_END), end.min(PHYS_END));
    let (down, up) = (|a: u64| a & !MASK, |a: u64| (a + MASK) & !MASK);
    let mended =
        if is_free(kind) { span(up(start), down(end)) } else { span(down(start), up(end)) };
    (mended, true)
}

/// Two claims on the same pages. Of the same kind, the memory can do what both say, and must what either
/// says.
fn join((a, x): (MemoryKind, u64), (b, y): (MemoryKind, u64)) -> (MemoryKind, u64) {
    if a == b {
        (a, (x & y & EFI_CACHEABILITY_MASK) | ((x | y) & !EFI_CACHEABILITY_MASK))
    } else if restriction(a) > restriction(b) {
        (a, x)
    } else {
        (b, y)
    }
}

/// Regions that [`normalise`] needs at most: each start and end of a range is one more boundary, so is the
/// end of page 0, and there is one region less than boundaries.
pub const fn max_regions(descriptors: usize, own_ranges: usize) -> usize {
    descriptors.saturating_add(own_ranges).saturating_mul(2)
}

/// Writes the regions to `out`, ascending.
///
/// The iterator is walked once for each boundary and must give the same each time. Own ranges take the
/// place of what the firmware calls free by then (conventional, loader and boot services memory) and keep
/// its attributes; on anything else they are an error, for then either the map or the loader is wrong.
/// Page 0 is never free, so that physical address 0 can mean "none".
pub fn normalise<I>(
    descriptors: I,
    own: &[OwnRange],
    out: &mut [MemoryRegion],
) -> Result<Summary, MapError>
where
    I: Iterator<Item = Descriptor> + Clone,
{
    check_own(own)?;
    let mended = descriptors.clone().filter(|&d| span_of(d).1).count();
    let spans = descriptors.filter_map(|d| span_of(d).0);
    let mut summary = Summary { len: 0, mended, overlaps: 0 };

    let mut at = 0;
    while at < PHYS_END {
        // What covers `at`, and how far that stays the same.
        let mut next = if at == 0 { PAGE_SIZE } else { PHYS_END };
        let mut found: Option<(MemoryKind, u64)> = None;
        let mut claims = 0usize;
        for span in spans.clone().filter(|span| span.end > at) {
            if span.start > at {
                next = next.min(span.start);
                continue;
            }
            next = next.min(span.end);
            claims = claims.saturating_add(1);
            let claim = (span.kind, span.attributes);
            found = Some(found.map_or(claim, |other| join(other, claim)));
        }
        summary.overlaps += usize::from(claims > 1);
        if at == 0 {
            found = found.map(|(kind, attributes)| {
                if is_free(kind) { (MemoryKind::Reserved, attributes) } else { (kind, attributes) }
            });
        }

        let mut owner: Option<(usize, MemoryKind)> = None;
        for (index, range) in own.iter().enumerate().filter(|(_, range)| range.pages != 0) {
            let end = own_end(range).unwrap_or(0);
            if range.start > at {
                next = next.min(range.start);
            } else if end > at {
                next = next.min(end);
                if let Some((first, _)) = owner {
                    return Err(MapError::OwnOverlap { first, second: index, address: at });
                }
                owner = Some((index, range.kind));
            }
        }
        if let Some((index, kind)) = owner {
            match found {
                Some((below, attributes)) if is_free(below) => found = Some((kind, attributes)),
                _ => {
                    let kind = found.map(|(kind, _)| kind);
                    return Err(MapError::OwnNotFree { index, address: at, kind });
                }
            }
        }

        if let Some((kind, attributes)) = found {
            append(out, &mut summary.len, at, next, kind, attributes)?;
        }
        at = next;
    }
    Ok(summary)
}

fn own_end(range: &OwnRange) -> Option<u64> {
    range.pages.checked_mul(PAGE_SIZE)?.checked_add(range.start)
}

fn check_own(own: &[OwnRange]) -> Result<(), MapError> {
    for (index, range) in own.iter().enumerate() {
        let OwnRange { start, pages, kind } = *range;
        if !is_own(kind) {
            return Err(MapError::OwnKind { index, kind });
        }
        let fits = own_end(range).is_some_and(|end| end <= PHYS_END);
        if pages != 0 && !(fits && start % PAGE_SIZE == 0) {
            return Err(MapError::OwnBounds { index, start, pages });
        }
    }
    Ok(())
}

/// Adds a run of pages, or makes the last region longer by it.
fn append(
    out: &mut [MemoryRegion],
    len: &mut usize,
    start: u64,
    end: u64,
    kind: MemoryKind,
    attributes: u64,
) -> Result<(), MapError> {
    let capacity = out.len();
    let pages = (end - start) / PAGE_SIZE;
    if let Some(last) = len.checked_sub(1).and_then(|i| out.get_mut(i)) {
        if last.end() == start && last.kind == kind && last.attributes == attributes {
            last.pages += pages;
            return Ok(());
        }
    }
    let slot = out.get_mut(*len).ok_or(MapError::TooManyRegions { capacity })?;
    *slot = MemoryRegion { start, pages, kind, reserved: 0, attributes };
    *len += 1;
    Ok(())
}

/// Pages of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pages: [u64; MemoryKind::Reserved as usize],
}

impl Totals {
    /// Pages of one kind.
    pub const fn pages(&self, kind: MemoryKind) -> u64 {
        self.pages[kind as usize - 1]
    }

    /// Pages of all the kinds that are RAM.
    pub fn ram_pages(&self) -> u64 {
        ALL_KINDS
            .iter()
            .filter(|kind| kind.is_ram())
            .fold(0, |sum, &kind| sum.saturating_add(self.pages(kind)))
    }
}

/// Every kind, in the order of their numbers.
pub const ALL_KINDS: [MemoryKind; MemoryKind::Reserved as usize] = [
    MemoryKind::Usable,
    MemoryKind::BootServices,
    MemoryKind::Kernel,
    MemoryKind::PageTables,
    MemoryKind::BootInfo,
    MemoryKind::Initrd,
    MemoryKind::Trampoline,
    MemoryKind::AcpiReclaim,
    MemoryKind::AcpiNvs,
    MemoryKind::Runtime,
    MemoryKind::Unusable,
    MemoryKind::Persistent,
    MemoryKind::Mmio,
    MemoryKind::Reserved,
];

/// How many pages there are of each kind.
pub fn totals(regions: &[MemoryRegion]) -> Totals {
    let mut totals = Totals::default();
    for region in regions {
        let sum = &mut totals.pages[region.kind as usize - 1];
        *sum = sum.saturating_add(region.pages);
    }
    totals
}

/// First address past the last RAM, 0 without any: how far a direct map has to reach.
pub fn ram_end(regions: &[MemoryRegion]) -> u64 {
    let ram = regions.iter().filter(|region| region.kind.is_ram());
    ram.map(|r| r.pages.saturating_mul(PAGE_SIZE).saturating_add(r.start)).max().unwrap_or(0)
}

/// The longest usable region; of several the lowest.
pub fn largest_usable(regions: &[MemoryRegion]) -> Option<&MemoryRegion> {
    let usable = regions.iter().filter(|region| region.kind == MemoryKind::Usable);
    usable.max_by_key(|region| (region.pages, !region.start))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let map =
            [desc(7, 0x100, 16), desc(3, 0, 4), desc(4, 4, 4), desc(7, 0x110, 1), desc(1, 8, 8)];
        assert_eq!(
            run(&map, &[]).unwrap(),
            [
                region(0, 1, Reserved, WB),
                region(1, 15, BootServices, WB),
                region(0x100, 17, Usable, WB)
            ]
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
        let not_free =
            |page, kind| MapError::OwnNotFree { index: 1, address: page * PAGE_SIZE, kind };
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
        assert_eq!(
            found,
            Err(MapError::OwnNotFree { index: 0, address: PAGE_SIZE, kind: Some(Reserved) })
        );
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
        let at =
            |efi_type, phys_start, pages| Descriptor { phys_start, ..desc(efi_type, 0, pages) };
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
            let expected =
                if capacity < 3 { Err(MapError::TooManyRegions { capacity }) } else { Ok(3) };
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

    /// SplitMix64.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }

        fn below(&mut self, n: u64) -> u64 {
            self.next() % n
        }

        fn descriptor(&mut self) -> Descriptor {
            const TYPES: [u32; 16] = [7, 7, 7, 7, 7, 2, 2, 4, 9, 10, 6, 0, 11, 14, 8, 0x7000_0000];
            const ATTRIBUTES: [u64; 8] =
                [WB, WB, WB, WB, 9, 1, WB | EFI_MEMORY_SP, WB | EFI_MEMORY_RUNTIME];
            let mut d = desc(TYPES[self.below(16) as usize], self.below(LOW), self.below(8));
            d.attributes = ATTRIBUTES[self.below(8) as usize];
            match self.below(24) {
                0 => d.phys_start += self.below(2 * PAGE_SIZE),
                1 => d.phys_start = PHYS_END - self.below(16) * PAGE_SIZE - self.below(2),
                2 => d.pages = self.next() >> self.below(30),
                3 => d.phys_start = self.next(),
                _ => {}
            }
            d
        }
    }

    // The model: a table of the lowest and the highest pages, and one page between them.
    const LOW: u64 = 40;
    const HIGH: u64 = 16;
    const LAST: u64 = PHYS_END / PAGE_SIZE;

    fn modelled_pages() -> impl Iterator<Item = u64> {
        (0..LOW + 16).chain([LAST / 2]).chain(LAST - HIGH..LAST)
    }

    /// What `page` is to be, or which own range is at fault there.
    fn model(
        page: u64,
        map: &[Descriptor],
        own: &[OwnRange],
    ) -> Result<Option<(MemoryKind, u64)>, ()> {
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
        let order = [
            Unusable,
            Reserved,
            Mmio,
            Persistent,
            Runtime,
            AcpiNvs,
            AcpiReclaim,
            BootServices,
            Usable,
        ];
        let mut result = None;
        for kind in order {
            let same = || found.iter().filter(|(k, _)| *k == kind).map(|(_, a)| *a);
            if same().next().is_some() {
                let (all, any) = (same().fold(!0, |x, y| x & y), same().fold(0, |x, y| x | y));
                result = Some((kind, all & 0x1F | any & !0x1F));
                break;
            }
        }
        if page == 0 && matches!(result, Some((Usable | BootServices, _))) {
            result = result.map(|(_, attributes)| (Reserved, attributes));
        }
        let owners: Vec<_> = own
            .iter()
            .filter(|o| (o.start / 4096..o.start / 4096 + o.pages).contains(&page))
            .collect();
        match (&owners[..], result) {
            ([], result) => Ok(result),
            ([owner], Some((Usable | BootServices, a))) => Ok(Some((owner.kind, a))),
            _ => Err(()),
        }
    }

    #[test]
    fn random_maps_are_what_the_model_says() {
        const OWN: [MemoryKind; 3] =
            [MemoryKind::Kernel, MemoryKind::Initrd, MemoryKind::PageTables];
        let mut random = Random(8);
        let (mut good, mut bad, mut carved, mut descriptors) = (0u32, 0u32, 0u32, 0u32);
        while descriptors < 110_000 {
            let map: Vec<_> = (0..random.below(10)).map(|_| random.descriptor()).collect();
            descriptors += map.len() as u32;
            // Most own ranges are laid where they are allowed, as a loader's would be.
            let mut ranges = vec![];
            for _ in 0..random.below(12) {
                let kind = OWN[random.below(3) as usize];
                let Some(d) = map.get(random.below(10) as usize) else { continue };
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

            let expected: Result<Vec<_>, ()> =
                modelled_pages().map(|page| model(page, &map, &ranges)).collect();
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
                let alike =
                    (pair[0].kind, pair[0].attributes) == (pair[1].kind, pair[1].attributes);
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
}
