//! `brk`: the end of the heap that `malloc` has used since the seventies.
//!
//! An ordinary private area, from where `exec` has put its start. The call knows no error: it answers with where the
//! end is now, and a program sees that it is not what it asked for.

use super::super::area::{Area, Backing, Flags, Prot};
use super::super::span::{Span, page_up};
use super::super::{Commit, Pages};
use super::{Space, Totals, charge};
use crate::boot::layout::PAGE_SIZE;

impl<F: Clone + PartialEq, C: Commit> Space<F, C> {
    /// Where the heap begins, and how many bytes of the program's own data count with it for `RLIMIT_DATA`. By `exec`.
    pub fn set_heap(&mut self, start: u64, program_data: u64) {
        (self.brk_start, self.brk_end, self.program_data) = (start, start, program_data);
    }

    /// Where it begins and ends.
    pub const fn heap(&self) -> (u64, u64) {
        (self.brk_start, self.brk_end)
    }

    /// `brk`: moves the end of the heap to `to`, if it can, and says where it is.
    pub fn brk(&mut self, to: u64, pages: &mut impl Pages<F>) -> u64 {
        if self.try_brk(to, pages).is_some() {
            self.brk_end = to;
        }
        self.brk_end
    }

    /// `None` if it stays where it is.
    fn try_brk(&mut self, to: u64, pages: &mut impl Pages<F>) -> Option<()> {
        let heap = to.checked_sub(self.brk_start)?;
        let size = heap.checked_add(self.program_data)?;
        if self.limits.data.is_some_and(|limit| size > limit) {
            return None;
        }
        let (old, new) = (page_up(self.brk_end)?, page_up(to)?);
        if new < old {
            // The program may have unmapped its heap, or mapped something else in its place: that stays.
            let first = self.tree.at_or_above(new).filter(|first| first.span.start < old);
            first?;
            return self.unmap(new, old - new, pages).ok();
        }
        if new == old {
            return Some(());
        }
        let span = self.layout.span(old, new - old).filter(|span| span.start >= self.layout.lowest)?;
        // A page more stays free, so that heap and what follows it do not touch.
        if !self.tree.is_free(Span::new(span.start, span.end + PAGE_SIZE)) {
            return None;
        }
        let area = Area {
            prot: Prot::READ | Prot::WRITE,
            max_prot: Prot::all(),
            flags: Flags::CHARGED | Flags::OWN_PAGES,
            backing: Backing::Zero,
        };
        self.totals.allow(span.pages(), true, &Totals::NONE, &self.limits).ok()?;
        self.room_for(1).ok()?;
        self.tree.reserve(1).ok()?;
        charge(&self.commit, span.pages()).ok()?;
        self.put_in(span, area);
        Some(())
    }
}
