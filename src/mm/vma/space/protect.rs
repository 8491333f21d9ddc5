//! `mprotect`: other rights for a range that is mapped.
//!
//! Area by area, upwards. Where there is a hole, or an area that may not have such rights, the call ends with an error
//! and what it has done below stays done: so it is on Linux, and a program cannot tell more from POSIX either.

use super::super::area::{Flags, Prot};
use super::super::span::{Span, aligned, page_up};
use super::super::{Commit, Error, Pages};
use super::{Space, charge, to_charge};

impl<F: Clone + PartialEq, C: Commit> Space<F, C> {
    /// `mprotect`. `from_area_start` is `PROT_GROWSDOWN`: from the start of the stack on that `addr` is in. EINVAL for
    /// an address that is not aligned, ENOMEM for holes and limits, EACCES for more than the mapping may have. If the
    /// heap refuses, nothing has changed.
    pub fn protect(
        &mut self,
        addr: u64,
        len: u64,
        prot: Prot,
        from_area_start: bool,
        pages: &mut impl Pages<F>,
    ) -> Result<(), Error> {
        if !aligned(addr) {
            return Err(Error::Invalid);
        }
        if len == 0 {
            return Ok(());
        }
        let end = page_up(len).and_then(|len| addr.checked_add(len)).ok_or(Error::NoMemory)?;
        let mut at = addr;
        if from_area_start {
            let first = self.tree.at_or_above(addr).filter(|first| first.span.start < end);
            let first = first.ok_or(Error::NoMemory)?;
            if !first.attr.flags.contains(Flags::GROWS_DOWN) {
                return Err(Error::Invalid);
            }
            at = first.span.start;
        }
        // Only the two ends of the range can cut an area, so this is enough for all of it.
        self.tree.reserve(2)?;
        while at < end {
            let entry = self.tree.find(at).ok_or(Error::NoMemory)?;
            let piece = Span::new(at, end.min(entry.span.end));
            self.protect_piece(piece, prot, pages)?;
            at = piece.end;
        }
        Ok(())
    }

    /// The same for a piece of one area.
    fn protect_piece(&mut self, piece: Span, prot: Prot, pages: &mut impl Pages<F>) -> Result<(), Error> {
        let entry = self.tree.find(piece.start).ok_or(Error::NoMemory)?;
        let (whole, old) = (entry.span, entry.attr);
        if !old.max_prot.contains(prot) {
            return Err(Error::Access);
        }
        if old.prot == prot {
            return Ok(());
        }
        let writable = prot.contains(Prot::WRITE);
        let mut flags = old.flags;
        // What was writable once stays charged: its pages are still there.
        flags.set(Flags::CHARGED, old.flags.contains(Flags::CHARGED) || to_charge(flags, writable));
        flags.set(Flags::OWN_PAGES, old.flags.contains(Flags::OWN_PAGES) || (writable && old.is_private()));
        let stack = flags.contains(Flags::GROWS_DOWN);
        if writable && old.is_private() && !stack && !old.is_data() {
            self.totals.allow_data(piece.pages(), &self.limits)?;
        }
        self.room_for(usize::from(piece.start > whole.start) + usize::from(piece.end < whole.end))?;
        if flags.contains(Flags::CHARGED) && !old.flags.contains(Flags::CHARGED) {
            charge(&self.commit, piece.pages())?;
        }
        let totals = &mut self.totals;
        self.tree.change(piece, |span, area| {
            totals.sub(span, area);
            (area.prot, area.flags) = (prot, flags);
            totals.add(span, area);
        });
        pages.protect(piece, prot);
        Ok(())
    }
}
