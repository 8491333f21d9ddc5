//! What becomes of an object's pages while they are mapped: a file gets shorter, or is written back.
//!
//! Whoever has the list of address spaces calls these on each. The space is locked for writing, so faults that were under
//! way have ended, and what they found is here to be taken away.

use super::super::addr::Frame;
use super::super::vma::area::Backing;
use super::super::vma::span::Span;
use super::AddressSpace;
use super::env::{Content, Env, frame_of};
use crate::arch::x86_64::paging::{Entry, Flags, Room};
use crate::boot::layout::PAGE_SIZE;
use core::ops::Range;

/// Pages that are looked for before they are taken out.
const BATCH: usize = 32;

/// The addresses in `span` at which bytes of an object lie that is shown from `offset` on.
fn shown_at(span: Span, offset: u64, bytes: &Range<u64>) -> Option<Range<u64>> {
    let first = bytes.start.max(offset) - offset;
    let end = bytes.end.min(offset.saturating_add(span.len())).checked_sub(offset)?;
    // Whole pages: the last one that has a byte of it as well.
    let end = end.checked_next_multiple_of(PAGE_SIZE)?.min(span.len());
    (first < end).then(|| span.start + first / PAGE_SIZE * PAGE_SIZE..span.start + end)
}

impl<E: Env, F: Content<E>> AddressSpace<E, F> {
    /// Lets go of pages of an object: those at `bytes` of it for which `which` says so, asked with their offset and their
    /// frame. A private mapping's copies are among them. Who touches such a page again asks the object.
    pub fn unmap_object(
        &self,
        is_it: impl Fn(&F) -> bool,
        bytes: Range<u64>,
        which: &dyn Fn(u64, Frame) -> bool,
    ) {
        self.for_each_shown(is_it, &bytes, |pages, range, offset, _| {
            let mut at = range.start;
            loop {
                let (mut found, mut count) = ([0; BATCH], 0);
                let looked = pages.tables.for_each_leaf(at..range.end, |virt, slot| {
                    if count < BATCH && which(offset + (virt - range.start), frame_of(slot.load())) {
                        found[count] = virt;
                        count += 1;
                    }
                });
                debug_assert!(looked.is_ok(), "the user's half can be looked at");
                pages.edit(|edit| {
                    for &virt in &found[..count] {
                        let unmapped = edit.unmap(virt..virt + PAGE_SIZE, Room::Look);
                        debug_assert!(unmapped.is_ok(), "pages of 4 KiB can be taken out");
                    }
                });
                if count < BATCH {
                    return;
                }
                at = found[BATCH - 1] + PAGE_SIZE;
            }
        });
    }

    /// Lets nobody write to pages of an object any more who has not asked it again ([`Content::written`]).
    pub fn write_protect_object(&self, is_it: impl Fn(&F) -> bool, bytes: Range<u64>) {
        self.for_each_shown(is_it, &bytes, |pages, range, _, private| {
            if !private {
                let read_only = |_, entry: Entry| Entry(entry.0 & !Flags::WRITE.bits());
                let changed = pages.edit(|edit| edit.change(range, read_only));
                debug_assert!(changed.is_ok(), "pages of 4 KiB can be changed");
            }
        });
    }

    /// Calls `work` with the addresses at which an area shows some of the bytes, the first one's offset, and whether the
    /// area is private.
    fn for_each_shown(
        &self,
        is_it: impl Fn(&F) -> bool,
        bytes: &Range<u64>,
        mut work: impl FnMut(&mut super::pages::UserPages<E>, Range<u64>, u64, bool),
    ) {
        // Most show nothing of it, and need not be stopped. One that begins to from now on asks the object as it is now.
        let shows = |inner: &super::Inner<E, F>| {
            let all = Span::new(0, inner.space.layout().end);
            inner
                .space
                .areas()
                .overlapping(all)
                .any(|area| matches!(&area.attr.backing, Backing::Object { object, .. } if is_it(object)))
        };
        if !shows(&self.lock.read()) {
            return;
        }
        let super::Inner { space, pages } = &mut *self.lock.write();
        for area in space.areas().overlapping(Span::new(0, space.layout().end)) {
            let Backing::Object { object, offset } = &area.attr.backing else { continue };
            if !is_it(object) {
                continue;
            }
            if let Some(range) = shown_at(area.span, *offset, bytes) {
                let first = offset + (range.start - area.span.start);
                work(pages, range, first, area.attr.is_private());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_bytes_are_shown() {
        let span = Span::new(0x10_0000, 0x10_4000);
        for (offset, bytes, expected) in [
            (0, 0..u64::MAX, Some(0x10_0000..0x10_4000)),
            (0, 0x1000..0x2000, Some(0x10_1000..0x10_2000)),
            (0, 0x1001..0x1002, Some(0x10_1000..0x10_2000)),
            (0, 0x4000..u64::MAX, None),
            (0x8000, 0..0x8000, None),
            (0x8000, 0..0x8001, Some(0x10_0000..0x10_1000)),
            (0x8000, 0xB000..0xD000, Some(0x10_3000..0x10_4000)),
            (0x8000, 0xC000..0xD000, None),
            (u64::MAX - 0xFFF, 0..u64::MAX, Some(0x10_0000..0x10_1000)),
            (0, 0x2000..0x2000, None),
        ] {
            assert_eq!(shown_at(span, offset, &bytes), expected, "{offset:#x} {bytes:x?}");
        }
    }
}
