//! The tree's nodes as [`crate::avl`] sees them: entries of an array, in order of their addresses, summed up by gaps.
//!
//! A node taken out keeps its index, and so does every other one.

use super::{Attributes, NONE, Sum, VmaTree};
use crate::avl::{Nodes, Side};

impl<A: Attributes> VmaTree<A> {
    /// The node after `at` in order.
    pub(super) fn after(&self, at: u32) -> u32 {
        self.neighbour(at, Side::Right)
    }

    /// The node before `at` in order.
    pub(super) fn before(&self, at: u32) -> u32 {
        self.neighbour(at, Side::Left)
    }
}

impl<A: Attributes> Nodes for VmaTree<A> {
    type Link = u32;
    type Sum = Sum;

    const NOBODY: u32 = NONE;

    fn root(&self) -> u32 {
        self.root
    }

    fn set_root(&mut self, root: u32) {
        self.root = root;
    }

    fn child(&self, at: u32, side: Side) -> u32 {
        match side {
            Side::Left => self.node(at).left,
            Side::Right => self.node(at).right,
        }
    }

    fn put_child(&mut self, at: u32, side: Side, child: u32) {
        match side {
            Side::Left => self.node_mut(at).left = child,
            Side::Right => self.node_mut(at).right = child,
        }
    }

    fn parent(&self, at: u32) -> u32 {
        self.node(at).parent
    }

    fn put_parent(&mut self, at: u32, parent: u32) {
        self.node_mut(at).parent = parent;
    }

    fn sum(&self, at: u32) -> Sum {
        self.node(at).sum
    }

    fn put_sum(&mut self, at: u32, sum: Sum) {
        self.node_mut(at).sum = sum;
    }

    fn precedes(&self, new: u32, at: u32) -> bool {
        self.node(new).start < self.node(at).start
    }

    fn height(&self, at: u32) -> u32 {
        self.node(at).sum.height
    }

    fn summed(&self, at: u32) -> Sum {
        let node = self.node(at);
        let (left, right) = (self.node(node.left).sum, self.node(node.right).sum);
        let mut sum = Sum {
            low: node.low,
            end: node.end,
            gap: left.gap.max(right.gap),
            height: 1 + left.height.max(right.height),
        };
        // A guard may reach over the range below it: then there is no gap between the two.
        if node.left != NONE {
            sum.low = left.low;
            sum.gap = sum.gap.max(node.low.saturating_sub(left.end));
        }
        if node.right != NONE {
            sum.end = right.end;
            sum.gap = sum.gap.max(right.low.saturating_sub(node.end));
        }
        sum
    }
}
