//! Changing ranges: in, out, other attributes. Each leaves no two neighbours that could be one.
//!
//! None of these allocates: [`VmaTree::reserve`] has been asked before, for one range by `insert` and by `remove` (of
//! a hole's two sides one is new), for two by `change`. Attributes of the caller's are called in between and must not
//! panic, or nodes are lost.

use super::{Attributes, EMPTY, NONE, VmaTree};
use crate::avl::{Nodes, Side};
use crate::mm::vma::span::Span;

impl<A: Attributes> VmaTree<A> {
    /// Puts in a range where there is none. Uses one reserved node at most, none if it continues a neighbour.
    ///
    /// # Panics
    /// In debug builds, if something of `span` is taken.
    pub fn insert(&mut self, span: Span, attr: A) {
        debug_assert!(!span.is_empty(), "an empty range");
        let next = self.first_ending_above(span.start);
        debug_assert!(next == NONE || self.node(next).start >= span.end, "taken");
        let before = if next != NONE { self.before(next) } else { self.outermost(Side::Right) };
        let joins_next =
            next != NONE && self.node(next).start == span.end && attr.continues(span.len(), self.attr(next));
        let joins_before = before != NONE
            && self.node(before).end == span.start
            && self.attr(before).continues(self.span(before).len(), &attr);
        match (joins_before, joins_next) {
            (true, true) => {
                let end = self.node(next).end;
                self.discard(next);
                self.resize(before, Span { end, ..self.span(before) });
            }
            (true, false) => self.resize(before, Span { end: span.end, ..self.span(before) }),
            (false, true) => {
                self.attrs[next as usize] = Some(attr);
                self.resize(next, Span { start: span.start, ..self.span(next) });
            }
            (false, false) => self.add(span, attr),
        }
    }

    /// Takes out all that lies in `span`, cutting ranges at its edges, and gives each piece to `taken`, in order. Uses
    /// one reserved node at most.
    pub fn remove(&mut self, span: Span, mut taken: impl FnMut(Span, A)) {
        let mut at = if span.is_empty() { NONE } else { self.first_ending_above(span.start) };
        while at != NONE && self.node(at).start < span.end {
            let whole = self.span(at);
            let piece = whole.common(span);
            let next = self.after(at);
            let head = piece.start > whole.start;
            let tail = piece.end < whole.end;
            if !head && !tail {
                taken(piece, self.discard(at));
                at = next;
                continue;
            }
            let gone = self.attr(at).from(piece.start - whole.start);
            let rest = tail.then(|| self.attr(at).from(piece.end - whole.start));
            match rest {
                Some(rest) if head => {
                    self.resize(at, Span { end: piece.start, ..whole });
                    self.add(Span { start: piece.end, ..whole }, rest);
                }
                Some(rest) => {
                    self.attrs[at as usize] = Some(rest);
                    self.resize(at, Span { start: piece.end, ..whole });
                }
                None => self.resize(at, Span { end: piece.start, ..whole }),
            }
            taken(piece, gone);
            at = next;
        }
    }

    /// Lets `edit` change the attributes of all that lies in `span`, cutting ranges at its edges and joining what has
    /// become the same. Uses two reserved nodes at most.
    pub fn change(&mut self, span: Span, mut edit: impl FnMut(Span, &mut A)) {
        debug_assert!(!span.is_empty(), "an empty range");
        self.cut(span.start);
        self.cut(span.end);
        let first = self.first_ending_above(span.start);
        let mut at = first;
        while at != NONE && self.node(at).start < span.end {
            let piece = self.span(at);
            if let Some(attr) = &mut self.attrs[at as usize] {
                edit(piece, attr);
            }
            self.resize(at, piece);
            at = self.after(at);
        }
        // The last to be joined is what begins at the end of `span`.
        let mut at = first;
        while at != NONE && self.node(at).start <= span.end {
            at = self.join(at);
        }
    }

    /// Moves the lower end of the range that begins at `from` down to `to`; what lies between must be free. Needs no
    /// node.
    pub fn extend_down(&mut self, from: u64, to: u64) {
        let at = self.first_ending_above(from);
        debug_assert!(at != NONE && self.node(at).start == from && to < from, "no range begins there");
        self.resize(at, Span { start: to, ..self.span(at) });
        self.join(at);
    }

    /// Makes two ranges of one that `addr` lies inside of.
    fn cut(&mut self, addr: u64) {
        let at = self.first_ending_above(addr);
        if at == NONE || self.node(at).start >= addr {
            return;
        }
        let whole = self.span(at);
        let rest = self.attr(at).from(addr - whole.start);
        self.resize(at, Span { end: addr, ..whole });
        self.add(Span { start: addr, ..whole }, rest);
    }

    /// Makes one range of `at` and the one before it, if it continues that. Gives the range after `at`.
    fn join(&mut self, at: u32) -> u32 {
        let (before, next) = (self.before(at), self.after(at));
        if before == NONE {
            return next;
        }
        let (lower, upper) = (self.span(before), self.span(at));
        if lower.end == upper.start && self.attr(before).continues(lower.len(), self.attr(at)) {
            self.discard(at);
            self.resize(before, Span { end: upper.end, ..lower });
        }
        next
    }

    /// A range of its own, in a node that was reserved.
    fn add(&mut self, span: Span, attr: A) {
        let at = if self.free != NONE {
            let at = self.free;
            self.free = self.node(at).left;
            at
        } else {
            assert!(
                self.nodes.len() < self.nodes.capacity().min(self.attrs.capacity()),
                "a node not reserved"
            );
            self.nodes.push(EMPTY);
            self.attrs.push(None);
            (self.nodes.len() - 1) as u32
        };
        let low = span.start.saturating_sub(attr.guard());
        let node = self.node_mut(at);
        (node.start, node.end, node.low) = (span.start, span.end, low);
        self.attrs[at as usize] = Some(attr);
        self.link(at);
        self.len += 1;
    }

    /// Takes a node out and gives it back.
    fn discard(&mut self, at: u32) -> A {
        self.unlink(at);
        self.len -= 1;
        self.node_mut(at).left = self.free;
        self.free = at;
        self.attrs[at as usize].take().expect("a node in the tree has attributes")
    }

    /// Another range for a node that stays where it is in order. Its guard is looked at anew.
    fn resize(&mut self, at: u32, span: Span) {
        let low = span.start.saturating_sub(self.attr(at).guard());
        let node = self.node_mut(at);
        (node.start, node.end, node.low) = (span.start, span.end, low);
        self.repair(at, NONE);
    }
}
