//! An address space: its areas, its limits, and what it has been charged for.
//!
//! The calls on it are one file each, in the folder. All work alike: check the arguments, check the limits, get memory
//! for the worst case, charge the commit account, and only then change the tree, after which nothing can fail. What
//! takes pages away tells [`Pages`] last.
//!
//! Invariants, checked by the tests after each step: the sums in [`Totals`] are those over the areas; what this space
//! was charged is the pages of its charged areas; no area reaches past [`Layout::end`] or, unless placed there by
//! `MAP_FIXED` of a privileged caller, below [`Layout::lowest`].

mod advise;
mod brk;
mod fault;
mod fork;
mod limits;
mod map;
mod protect;
mod remap;
mod sync;
#[cfg(test)]
mod tests;
mod unmap;

pub use advise::Advice;
pub use fault::{Access, Decision, Fault, Present, Source};
pub use limits::{Layout, Limits, MAP_COUNT_MAX, Totals};
pub use map::{MapFlags, Mapped, Mapping, OpenFile};
pub use remap::RemapFlags;
pub use sync::SyncStep;

use super::area::{Area, Backing, Flags};
use super::room::NoMemory;
use super::span::Span;
use super::tree::VmaTree;
use super::{Commit, Error, Pages};

/// One program's addresses. `F` stands for files, `C` for the system's commit account.
#[derive(Debug)]
pub struct Space<F, C> {
    tree: VmaTree<Area<F>>,
    layout: Layout,
    /// Set by `setrlimit`; what is mapped already stays.
    pub limits: Limits,
    totals: Totals,
    commit: C,
    /// Where the heap of `brk` begins and ends, to the byte.
    brk_start: u64,
    brk_end: u64,
    /// Bytes of the program's data segment.
    program_data: u64,
}

impl<F: Clone + PartialEq, C: Commit> Space<F, C> {
    pub const fn new(layout: Layout, limits: Limits, commit: C) -> Self {
        let totals = Totals::NONE;
        Self {
            tree: VmaTree::new(),
            layout,
            limits,
            totals,
            commit,
            brk_start: 0,
            brk_end: 0,
            program_data: 0,
        }
    }

    /// All areas, in order, for whoever shows them.
    pub const fn areas(&self) -> &VmaTree<Area<F>> {
        &self.tree
    }

    pub const fn totals(&self) -> &Totals {
        &self.totals
    }

    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Gives everything back: for `exit`, for `exec` and for a `fork` that did not come off.
    pub fn clear(&mut self, pages: &mut impl Pages<F>) {
        if self.totals.charged != 0 {
            self.commit.uncharge(self.totals.charged);
        }
        self.totals = Totals::NONE;
        // The whole tree goes at once: nobody needs it balanced on the way.
        self.tree = VmaTree::new();
        pages.unmap(Span::new(0, self.layout.end));
    }

    /// Whether `more` areas are within the limit.
    const fn room_for(&self, more: usize) -> Result<(), Error> {
        if self.tree.len() + more > self.limits.map_count { Err(Error::NoMemory) } else { Ok(()) }
    }

    /// Puts an area into a free place and into the totals. A node is reserved, and it is charged.
    fn put_in(&mut self, span: Span, area: Area<F>) {
        self.totals.add(span, &area);
        self.tree.insert(span, area);
    }

    /// Takes out whatever lies in `span`, areas, charges and pages. A node is reserved if an area reaches over both
    /// its ends.
    fn take_out(&mut self, span: Span, pages: &mut impl Pages<F>) {
        self.take_out_keeping(span, 0, pages);
    }

    /// The same, with `kept` of the charges left for what comes instead.
    fn take_out_keeping(&mut self, span: Span, kept: u64, pages: &mut impl Pages<F>) {
        let (totals, mut any, mut charged) = (&mut self.totals, false, 0);
        self.tree.remove(span, |piece, area| {
            totals.sub(piece, &area);
            charged += area.charged_pages(piece);
            any = true;
        });
        if charged > kept {
            self.commit.uncharge(charged - kept);
        }
        if any {
            pages.unmap(span);
        }
    }

    /// What taking out `span` would set free: pages in all, of data, and charged.
    fn within(&self, span: Span) -> Totals {
        let mut sum = Totals::NONE;
        for entry in self.tree.overlapping(span) {
            sum.add(entry.span.common(span), entry.attr);
        }
        sum
    }

    /// How many areas more there are after a hole `span`: one if a single area reaches over both its ends.
    fn pieces_more(&self, span: Span) -> usize {
        let whole = self.tree.find(span.start).map(|entry| entry.span);
        usize::from(whole.is_some_and(|whole| whole.start < span.start && whole.end > span.end))
    }
}

/// Whether the pages of such an area are to be charged: private ones that can be written, unless the program has said
/// that it does without.
const fn to_charge(flags: Flags, writable: bool) -> bool {
    writable && !flags.intersects(Flags::SHARED.union(Flags::NO_RESERVE))
}

/// Charges, or says that there is no memory.
fn charge<C: Commit>(commit: &C, pages: u64) -> Result<(), NoMemory> {
    if pages == 0 { Ok(()) } else { commit.charge(pages) }
}

/// The byte of the object at `addr` of an area that begins at `start`, for areas that have an object.
fn object_at<F>(backing: &Backing<F>, start: u64, addr: u64) -> Option<(&F, u64)> {
    match backing {
        Backing::Zero => None,
        Backing::Object { object, offset } => Some((object, offset + (addr - start))),
    }
}
