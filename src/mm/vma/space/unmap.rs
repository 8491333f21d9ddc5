//! `munmap`: nothing of a range is mapped afterwards, whatever was there before.

use super::super::span::{Span, aligned, page_up};
use super::super::{Commit, Error, Pages};
use super::Space;

impl<F: Clone + PartialEq, C: Commit> Space<F, C> {
    /// `munmap`. EINVAL for a range that is empty, not aligned or not a program's; ENOMEM if cutting a hole would need
    /// one area too many, or memory that is not there, and then nothing has changed. Holes in the range are no error.
    pub fn unmap(&mut self, addr: u64, len: u64, pages: &mut impl Pages<F>) -> Result<(), Error> {
        let span = self.argument(addr, len)?;
        self.room_for(self.pieces_more(span))?;
        self.tree.reserve(1)?;
        self.take_out(span, pages);
        Ok(())
    }

    /// A range to unmap, as a program gives it.
    pub(super) fn argument(&self, addr: u64, len: u64) -> Result<Span, Error> {
        let len = page_up(len).filter(|&len| len != 0 && aligned(addr)).ok_or(Error::Invalid)?;
        self.layout.span(addr, len).ok_or(Error::Invalid)
    }
}
