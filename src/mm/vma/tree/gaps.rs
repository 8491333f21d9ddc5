//! Where there is room: the lowest or the highest free place of some length.
//!
//! A gap is what lies between the end of a range and the `low` of the next one, so never a place in another's guard. A
//! subtree is left out when neither a gap inside of it nor one at its two sides is long enough. With page alignment
//! only the two gaps that the window's edges cut can look long enough and not be, so the search walks down a bounded
//! number of paths: O(log n). A coarser alignment can fail in any gap that is shorter than length plus alignment; only
//! those are visited in vain.

use super::{Attributes, NONE, VmaTree};
use crate::mm::vma::span::Span;

/// What is looked for: `len` bytes within `window`, at a multiple of `align`, a power of two of a page or more.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub len: u64,
    pub align: u64,
    pub window: Span,
}

impl<A: Attributes> VmaTree<A> {
    /// The lowest address at which what is wanted fits.
    pub fn lowest_gap(&self, wanted: &Wanted) -> Option<u64> {
        self.lowest(self.root, wanted, 0, u64::MAX)
    }

    /// The highest address at which what is wanted fits.
    pub fn highest_gap(&self, wanted: &Wanted) -> Option<u64> {
        self.highest(self.root, wanted, 0, u64::MAX)
    }

    /// The same for the gaps of the subtree `at`, of which the first begins at `start` and the last ends at `end`.
    fn lowest(&self, at: u32, wanted: &Wanted, start: u64, end: u64) -> Option<u64> {
        if at == NONE {
            let found = start.max(wanted.window.start).checked_next_multiple_of(wanted.align)?;
            return (found.checked_add(wanted.len)? <= end.min(wanted.window.end)).then_some(found);
        }
        if !self.promising(at, wanted, start, end) {
            return None;
        }
        let node = self.node(at);
        let left = || self.lowest(node.left, wanted, start, node.low);
        let right = || self.lowest(node.right, wanted, node.end, end);
        // A guard belongs to the gap right below it and no other, so it is `start` that says what is out of the window.
        (node.start > wanted.window.start)
            .then(left)
            .flatten()
            .or_else(|| (node.end < wanted.window.end).then(right).flatten())
    }

    fn highest(&self, at: u32, wanted: &Wanted, start: u64, end: u64) -> Option<u64> {
        if at == NONE {
            let found = end.min(wanted.window.end).checked_sub(wanted.len)? & !(wanted.align - 1);
            return (found >= start.max(wanted.window.start)).then_some(found);
        }
        if !self.promising(at, wanted, start, end) {
            return None;
        }
        let node = self.node(at);
        let left = || self.highest(node.left, wanted, start, node.low);
        let right = || self.highest(node.right, wanted, node.end, end);
        (node.end < wanted.window.end)
            .then(right)
            .flatten()
            .or_else(|| (node.start > wanted.window.start).then(left).flatten())
    }

    /// Whether some gap is long enough, as far as the sum shows.
    fn promising(&self, at: u32, wanted: &Wanted, start: u64, end: u64) -> bool {
        let sum = &self.node(at).sum;
        let longest = sum.gap.max(sum.low.saturating_sub(start)).max(end.saturating_sub(sum.end));
        longest >= wanted.len
    }
}
