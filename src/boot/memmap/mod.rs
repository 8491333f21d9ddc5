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

mod kinds;
#[cfg(test)]
mod tests;
mod totals;

use core::fmt;

use super::info::{MemoryKind, MemoryRegion};
use super::layout::{DIRECT_MAP_SIZE, PAGE_SIZE};
use kinds::{EFI_CACHEABILITY_MASK, is_free, is_own, restriction};
pub use kinds::{EFI_MEMORY_RUNTIME, EFI_MEMORY_SP, EFI_MEMORY_WB, kind_of};
pub use totals::{ALL_KINDS, Totals, largest_usable, ram_end, totals};

/// First address that no x86_64 processor can put on its bus (Intel SDM vol. 3 §4.1.4: MAXPHYADDR is at
/// most 52).
pub const PHYS_END: u64 = 1 << 52;

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
    let span = |start, end| (start < end).then_some(Span { start, end, kind, attributes: d.attributes });
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
    let mended = if is_free(kind) { span(up(start), down(end)) } else { span(down(start), up(end)) };
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

/// Regions that [`normalise`] needs at most: each start and end of a range is one more boundary, and so are the
/// ends of page 0 and of the direct map.
pub const fn max_regions(descriptors: usize, own_ranges: usize) -> usize {
    descriptors.saturating_add(own_ranges).saturating_mul(2).saturating_add(1)
}

/// Writes the regions to `out`, ascending.
///
/// The iterator is walked once for each boundary and must give the same each time. Own ranges take the
/// place of what the firmware calls free by then (conventional, loader and boot services memory) and keep
/// its attributes; on anything else they are an error, for then either the map or the loader is wrong.
/// Page 0 is never free, so that physical address 0 can mean "none"; nor is what the direct map has no room
/// for.
pub fn normalise<I>(descriptors: I, own: &[OwnRange], out: &mut [MemoryRegion]) -> Result<Summary, MapError>
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
        let mut next = match at {
            0 => PAGE_SIZE,
            1..DIRECT_MAP_SIZE => DIRECT_MAP_SIZE,
            _ => PHYS_END,
        };
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
        if at == 0 || at >= DIRECT_MAP_SIZE {
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
