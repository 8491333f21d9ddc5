//! Ranges of addresses in order, each with attributes: a balanced tree in which to find one, or a gap between two.
//!
//! An AVL tree. Its nodes lie in one array and name each other by index, for three reasons: an address space is
//! copied by `fork` with one copy of that array instead of an allocation for each range; a node is one cache line, and
//! looking up an address touches nothing else; and an index stays what it is when the array grows, so there is no
//! pointer to keep right and no `unsafe`. Attributes stand in a second array under the same index.
//!
//! A node also sums up the subtree under it: where that begins and ends, and how large the largest gap in it is
//! (`gaps.rs` searches by this).
//!
//! Invariants, all of them checked by [`VmaTree::check`] in tests:
//! - ranges are page-aligned, not empty, in order, and do not overlap;
//! - no range continues the one before it (see [`Attributes::continues`]): the two would have been made one;
//! - the heights of a node's children differ by one at most: 65,530 ranges are 23 levels or less;
//! - every entry of the arrays is either in the tree or in the list of free ones.
//!
//! No operation fails half-way: [`VmaTree::reserve`] gets the nodes that the next ones can need, and those then
//! cannot fail. `src/avl.rs` keeps the tree balanced, through `balance.rs`; `edit.rs` has what changes ranges, `gaps.rs`
//! the search for free ones.

mod balance;
mod edit;
mod gaps;
#[cfg(test)]
mod tests;

use super::room::{self, NoMemory, Vec};
use super::span::Span;

pub use gaps::Wanted;

/// Nobody: the index of a node that stands where there is none. It is never in the tree; its height is 0.
const NONE: u32 = 0;

/// What a range has besides its addresses.
pub trait Attributes: Clone {
    /// Attributes of what is left of the range when its first `offset` bytes are cut off: a file's offset moves.
    fn from(&self, offset: u64) -> Self;

    /// Whether a range with attributes `next` that begins where this one of `len` bytes ends is the same thing going
    /// on, so that one range can stand for both.
    fn continues(&self, len: u64, next: &Self) -> bool;

    /// Bytes below the range that are to stay free, because it may grow into them.
    fn guard(&self) -> u64 {
        0
    }
}

/// A range in the tree, as it is shown.
#[derive(Debug)]
pub struct Entry<'a, A> {
    pub span: Span,
    pub attr: &'a A,
}

impl<A> Clone for Entry<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<A> Copy for Entry<'_, A> {}

/// What a subtree comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sum {
    /// `low` of its first range.
    low: u64,
    /// End of its last range.
    end: u64,
    /// The largest gap between two of its ranges, their guards taken off.
    gap: u64,
    /// Levels.
    height: u32,
}

/// One range and its place in the tree: 64 bytes.
#[derive(Clone, Copy, Debug)]
struct Node {
    start: u64,
    end: u64,
    sum: Sum,
    /// Where the range begins, its guard included.
    low: u64,
    parent: u32,
    /// In a free node: the next free one.
    left: u32,
    right: u32,
}

const EMPTY: Node = Node {
    start: 0,
    end: 0,
    sum: Sum { low: 0, end: 0, gap: 0, height: 0 },
    low: 0,
    parent: NONE,
    left: NONE,
    right: NONE,
};

/// See the head of this file.
#[derive(Debug)]
pub struct VmaTree<A> {
    /// Empty, or nobody at index [`NONE`] and then the nodes.
    nodes: Vec<Node>,
    /// Of the node at the same index; nothing for nobody and for free ones.
    attrs: Vec<Option<A>>,
    root: u32,
    /// Head of the list of free nodes.
    free: u32,
    /// Nodes in the tree.
    len: u32,
}

impl<A: Attributes> VmaTree<A> {
    pub const fn new() -> Self {
        Self { nodes: Vec::new(), attrs: Vec::new(), root: NONE, free: NONE, len: 0 }
    }

    /// How many ranges there are.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Gets memory for `more` ranges. While there are no more than that, nothing in here can fail for memory.
    pub fn reserve(&mut self, more: usize) -> Result<(), NoMemory> {
        let nobody = usize::from(self.nodes.is_empty());
        let spare = self.nodes.len() + nobody - 1 - self.len();
        let needed = nobody + more.saturating_sub(spare);
        room::reserve(&mut self.nodes, needed)?;
        room::reserve(&mut self.attrs, needed)?;
        if nobody == 1 {
            self.nodes.push(EMPTY);
            self.attrs.push(None);
        }
        Ok(())
    }

    /// A copy, in as many bytes as are needed. Attributes are cloned, which must not allocate.
    pub fn try_clone(&self) -> Result<Self, NoMemory> {
        let mut nodes = room::with_room(self.nodes.len())?;
        nodes.extend_from_slice(&self.nodes);
        let mut attrs = room::with_room(self.attrs.len())?;
        attrs.extend_from_slice(&self.attrs);
        Ok(Self { nodes, attrs, ..*self })
    }

    /// The range with `addr` in it.
    pub fn find(&self, addr: u64) -> Option<Entry<'_, A>> {
        let mut at = self.root;
        while at != NONE {
            let node = self.node(at);
            if addr < node.start {
                at = node.left;
            } else if addr >= node.end {
                at = node.right;
            } else {
                return Some(self.entry(at));
            }
        }
        None
    }

    /// The range with `addr` in it, or else the next one above.
    pub fn at_or_above(&self, addr: u64) -> Option<Entry<'_, A>> {
        self.shown(self.first_ending_above(addr))
    }

    /// The last range that ends at `addr` or below.
    pub fn below(&self, addr: u64) -> Option<Entry<'_, A>> {
        let mut best = NONE;
        let mut at = self.root;
        while at != NONE {
            let node = self.node(at);
            if node.end <= addr {
                best = at;
                at = node.right;
            } else {
                at = node.left;
            }
        }
        self.shown(best)
    }

    /// Whether nothing of `span` is taken, nor any guard of the range above it.
    pub fn is_free(&self, span: Span) -> bool {
        let next = self.first_ending_above(span.start);
        next == NONE || self.node(next).low >= span.end
    }

    /// All ranges, in order.
    pub fn iter(&self) -> Iter<'_, A> {
        self.overlapping(Span { start: 0, end: u64::MAX })
    }

    /// The ranges of which something lies in `span`, whole, in order.
    pub fn overlapping(&self, span: Span) -> Iter<'_, A> {
        let next = if span.is_empty() { NONE } else { self.first_ending_above(span.start) };
        Iter { tree: self, next, end: span.end }
    }

    /// The first node whose end is above `addr`.
    fn first_ending_above(&self, addr: u64) -> u32 {
        let mut best = NONE;
        let mut at = self.root;
        while at != NONE {
            let node = self.node(at);
            if node.end > addr {
                best = at;
                at = node.left;
            } else {
                at = node.right;
            }
        }
        best
    }

    fn node(&self, at: u32) -> &Node {
        &self.nodes[at as usize]
    }

    fn node_mut(&mut self, at: u32) -> &mut Node {
        &mut self.nodes[at as usize]
    }

    fn span(&self, at: u32) -> Span {
        Span { start: self.node(at).start, end: self.node(at).end }
    }

    fn attr(&self, at: u32) -> &A {
        self.attrs[at as usize].as_ref().expect("a node in the tree has attributes")
    }

    fn entry(&self, at: u32) -> Entry<'_, A> {
        Entry { span: self.span(at), attr: self.attr(at) }
    }

    fn shown(&self, at: u32) -> Option<Entry<'_, A>> {
        (at != NONE).then(|| self.entry(at))
    }
}

impl<A: Attributes> Default for VmaTree<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// See [`VmaTree::overlapping`].
#[derive(Debug)]
pub struct Iter<'a, A> {
    tree: &'a VmaTree<A>,
    next: u32,
    /// Ranges from here on are not meant.
    end: u64,
}

impl<'a, A: Attributes> Iterator for Iter<'a, A> {
    type Item = Entry<'a, A>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == NONE || self.tree.node(self.next).start >= self.end {
            return None;
        }
        let at = self.next;
        self.next = self.tree.after(at);
        Some(self.tree.entry(at))
    }
}
