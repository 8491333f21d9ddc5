//! `fork`: a second address space, the same as the first.
//!
//! The tree is copied as it lies. Of page tables, only those of areas that can hold pages of their own are looked at:
//! whatever else is mapped, shared memory and a program's text above all, the child finds again in its object by faults.

use super::super::area::{Area, Flags};
use super::super::room::NoMemory;
use super::super::span::Span;
use super::super::{Commit, Error, Pages};
use super::{Space, Totals, charge};

impl<F: Clone + PartialEq, C: Commit> Space<F, C> {
    /// A copy, with the pages of this space, which become copy-on-write in both. Nobody else may use either meanwhile.
    /// ENOMEM if the account or the heap refuses; this space is then as it was, and `child_pages` empty.
    pub fn fork<P: Pages<F>>(&mut self, pages: &mut P, child_pages: &mut P) -> Result<Self, Error> {
        let mut child = Self {
            tree: self.tree.try_clone()?,
            layout: self.layout,
            limits: self.limits,
            totals: Totals::NONE,
            commit: self.commit.clone(),
            ..*self
        };
        if child.charge_all()? {
            child.drop_unforked();
        }
        for entry in child.tree.iter().filter(|entry| has_own_pages(entry.attr)) {
            if let Err(refused) = pages.copy_on_write(child_pages, entry.span) {
                child.clear(child_pages);
                return Err(refused.into());
            }
        }
        Ok(child)
    }

    /// Takes out the areas that a child does not get. They are whole, so no node is needed.
    fn drop_unforked(&mut self) {
        let mut rest = Span::new(0, self.layout.end);
        loop {
            let next = self.tree.overlapping(rest).find(|entry| entry.attr.flags.contains(Flags::NO_FORK));
            let Some(span) = next.map(|entry| entry.span) else { return };
            self.tree.remove(span, |_, _| ());
            rest.start = span.end;
        }
    }

    /// Charges for every area that the child gets, or for none, and sums them up. True if there are others.
    fn charge_all(&mut self) -> Result<bool, NoMemory> {
        let (mut sum, mut others) = (Totals::NONE, false);
        for entry in self.tree.iter() {
            if entry.attr.flags.contains(Flags::NO_FORK) {
                others = true;
                continue;
            }
            if let Err(refused) = charge(&self.commit, entry.attr.charged_pages(entry.span)) {
                if sum.charged != 0 {
                    self.commit.uncharge(sum.charged);
                }
                return Err(refused);
            }
            sum.add(entry.span, entry.attr);
        }
        self.totals = sum;
        Ok(others)
    }
}

/// Whether the page tables of such an area hold anything that a child could not find elsewhere, and is to have.
const fn has_own_pages<F>(area: &Area<F>) -> bool {
    area.flags.contains(Flags::OWN_PAGES) && !area.flags.contains(Flags::WIPE_ON_FORK)
}
