//! `mremap`: a mapping becomes longer or shorter, or goes elsewhere, with its pages.
//!
//! In place where the next addresses are free, else, if the program allows it, to a place that is large enough: then
//! page-table entries move and no byte is copied. All checks are made, and all memory is had, before the first change,
//! also where Linux has already unmapped the destination when it finds out that it cannot go on.

use bitflags::bitflags;

use super::super::area::{Area, Backing};
use super::super::span::{Span, aligned, page_up};
use super::super::tree::{Attributes, Entry};
use super::super::{Commit, Error, Pages};
use super::{Space, Totals, charge};
use crate::boot::layout::PAGE_SIZE;

bitflags! {
    /// `MREMAP_*`, with Linux's numbers.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RemapFlags: u32 {
        const MAY_MOVE = 1;
        /// To the address given, in the place of what is there.
        const FIXED = 2;
        /// The old addresses stay mapped, without their pages.
        const DONT_UNMAP = 4;
    }
}

/// Areas that must be left over within the limit, for the worst that a move can do; Linux keeps as many.
const MOVE_ROOM: usize = 4;
const MOVE_FIXED_ROOM: usize = 6;

/// A move, all of whose checks have been made.
struct Move<F> {
    /// What goes; empty if a second mapping of the same object is wanted.
    from: Span,
    to: Span,
    /// The attributes at `to`.
    area: Area<F>,
    /// The old addresses stay mapped.
    keep: bool,
}

impl<F: Clone + PartialEq, C: Commit> Space<F, C> {
    /// `mremap`. Gives the address of the mapping. EINVAL for arguments, EFAULT where not all of the old range is one
    /// area, ENOMEM for limits or where there is no room. On any error nothing has changed.
    pub fn remap(
        &mut self,
        addr: u64,
        old_len: u64,
        new_len: u64,
        flags: RemapFlags,
        new_addr: u64,
        pages: &mut impl Pages<F>,
    ) -> Result<u64, Error> {
        let dont_unmap = flags.contains(RemapFlags::DONT_UNMAP);
        let chosen = flags.intersects(RemapFlags::FIXED | RemapFlags::DONT_UNMAP);
        if !RemapFlags::all().contains(flags)
            || (chosen && !flags.contains(RemapFlags::MAY_MOVE))
            || (dont_unmap && old_len != new_len)
            || !aligned(addr)
        {
            return Err(Error::Invalid);
        }
        let old_len = page_up(old_len).ok_or(Error::Invalid)?;
        let new_len = page_up(new_len).filter(|&len| len != 0).ok_or(Error::Invalid)?;
        self.tree.find(addr).ok_or(Error::Fault)?;
        if chosen {
            return self.remap_to(addr, old_len, new_len, flags, new_addr, pages);
        }
        if old_len >= new_len {
            if old_len > new_len {
                let rest = addr.checked_add(new_len).ok_or(Error::Invalid)?;
                self.unmap(rest, old_len - new_len, pages)?;
            }
            return Ok(addr);
        }
        let more = new_len - old_len;
        let entry = self.movable(addr, old_len, new_len)?;
        let (whole, area) = (entry.span, entry.attr.from(addr - entry.span.start));
        self.totals.allow(more / PAGE_SIZE, area.is_data(), &Totals::NONE, &self.limits)?;
        let next = self.layout.span(whole.end, more).filter(|&next| self.tree.is_free(next));
        match next {
            Some(next) if whole.end - addr == old_len => {
                self.tree.reserve(1)?;
                charge(&self.commit, area.charged_pages(next))?;
                self.put_in(next, area.from(old_len));
                Ok(addr)
            }
            _ if flags.contains(RemapFlags::MAY_MOVE) => {
                let to = self.place(0, new_len, None)?;
                self.room_for(MOVE_ROOM)?;
                let from = Span::new(addr, addr + old_len);
                self.relocate(Move { from, to, area, keep: false }, &Totals::NONE, None, pages)
            }
            _ => Err(Error::NoMemory),
        }
    }

    /// To an address that the program names, or, with `DONT_UNMAP` alone, near it.
    fn remap_to(
        &mut self,
        addr: u64,
        old_len: u64,
        new_len: u64,
        flags: RemapFlags,
        new_addr: u64,
        pages: &mut impl Pages<F>,
    ) -> Result<u64, Error> {
        if !aligned(new_addr) {
            return Err(Error::Invalid);
        }
        let target = self.layout.span(new_addr, new_len).ok_or(Error::Invalid)?;
        let old = Span::at(addr, old_len).ok_or(Error::Invalid)?;
        if old.overlaps(target) || target.contains(addr) {
            return Err(Error::Invalid);
        }
        // What the new length leaves over is unmapped, be it of one area or of several.
        let tail = (old_len > new_len).then(|| Span::new(addr + new_len, old.end));
        if let Some(tail) = tail {
            self.argument(tail.start, tail.len())?;
        }
        let moved_len = old_len.min(new_len);
        let entry = self.movable(addr, moved_len, new_len)?;
        let area = entry.attr.from(addr - entry.span.start);
        let keep = flags.contains(RemapFlags::DONT_UNMAP);
        let to = if flags.contains(RemapFlags::FIXED) {
            self.fixed(new_addr, new_len)?
        } else {
            self.place(new_addr, new_len, None)?
        };
        let mut gone = self.within(to);
        if let Some(tail) = tail {
            gone.merge(&self.within(tail));
        }
        let from = Span::new(addr, addr + moved_len);
        let more = if keep { to.pages() } else { to.pages() - from.pages() };
        if more != 0 {
            self.totals.allow(more, area.is_data(), &gone, &self.limits)?;
        }
        self.room_for(MOVE_FIXED_ROOM)?;
        self.relocate(Move { from, to, area, keep }, &gone, tail, pages)
    }

    /// The area that `addr` is in, if `old_len` bytes of it from there on may become `new_len`.
    fn movable(&self, addr: u64, old_len: u64, new_len: u64) -> Result<Entry<'_, Area<F>>, Error> {
        let entry = self.tree.find(addr).ok_or(Error::Fault)?;
        if old_len == 0 && entry.attr.is_private() {
            return Err(Error::Invalid);
        }
        if old_len > entry.span.end - addr {
            return Err(Error::Fault);
        }
        if let Backing::Object { offset, .. } = &entry.attr.backing {
            let end = (offset + (addr - entry.span.start)).checked_add(new_len);
            end.filter(|&end| end <= i64::MAX as u64).ok_or(Error::Invalid)?;
        }
        Ok(entry)
    }

    /// Makes the move, in the place of what sums up to `gone`: what lies at its destination, and in `tail`.
    fn relocate(
        &mut self,
        this: Move<F>,
        gone: &Totals,
        tail: Option<Span>,
        pages: &mut impl Pages<F>,
    ) -> Result<u64, Error> {
        let Move { from, to, area, keep } = this;
        // A hole for the tail, one for the destination, one for what goes, and the new area.
        self.tree.reserve(4)?;
        let goes = if keep { 0 } else { area.charged_pages(from) };
        let needed = area.charged_pages(to) - goes;
        charge(&self.commit, needed)?;
        if let Err(refused) = if from.is_empty() { Ok(()) } else { pages.prepare(from, to.start) } {
            if needed != 0 {
                self.commit.uncharge(needed);
            }
            return Err(refused.into());
        }
        if gone.mapped != 0 {
            self.take_out(to, pages);
            if let Some(tail) = tail {
                self.take_out(tail, pages);
            }
        }
        if !from.is_empty() {
            pages.relocate(from, to.start);
        }
        if !keep {
            let totals = &mut self.totals;
            self.tree.remove(from, |piece, area| totals.sub(piece, &area));
        }
        self.put_in(to, area);
        Ok(to.start)
    }
}
