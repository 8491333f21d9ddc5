//! Links between nodes: putting one in, taking one out, and keeping the tree low and its sums right.
//!
//! Called by `edit.rs` alone. Nothing here allocates, looks at attributes or knows what a range is for; a node taken
//! out keeps its index, and so does every other one.
//!
//! The two rotations, of which all repairs are made; the order a n b m c stays what it is:
//!
//! ```text
//!        n        left(n) →        m
//!       / \                       / \
//!      a   m                     n   c
//!         / \                   / \
//!        b   c   ← right(m)    a   b
//! ```

use super::{Attributes, NONE, Sum, VmaTree};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

impl<A: Attributes> VmaTree<A> {
    /// The node after `at` in order.
    pub(super) fn after(&self, at: u32) -> u32 {
        self.neighbour(at, Side::Right)
    }

    /// The node before `at` in order.
    pub(super) fn before(&self, at: u32) -> u32 {
        self.neighbour(at, Side::Left)
    }

    /// The innermost node beyond `at`, or else the first node above that has `at` on its other side.
    fn neighbour(&self, mut at: u32, side: Side) -> u32 {
        let beyond = self.child(at, side);
        if beyond != NONE {
            at = beyond;
            while self.child(at, side.other()) != NONE {
                at = self.child(at, side.other());
            }
            return at;
        }
        loop {
            let parent = self.node(at).parent;
            if parent == NONE || self.child(parent, side.other()) == at {
                return parent;
            }
            at = parent;
        }
    }

    fn child(&self, at: u32, side: Side) -> u32 {
        match side {
            Side::Left => self.node(at).left,
            Side::Right => self.node(at).right,
        }
    }

    fn set_child(&mut self, at: u32, side: Side, child: u32) {
        match side {
            Side::Left => self.node_mut(at).left = child,
            Side::Right => self.node_mut(at).right = child,
        }
        if child != NONE {
            self.node_mut(child).parent = at;
        }
    }

    /// Puts the node `new`, whose range is set, into its place.
    pub(super) fn link(&mut self, new: u32) {
        let start = self.node(new).start;
        let mut parent = NONE;
        let mut at = self.root;
        while at != NONE {
            parent = at;
            at = if start < self.node(at).start { self.node(at).left } else { self.node(at).right };
        }
        let node = self.node_mut(new);
        (node.parent, node.left, node.right) = (parent, NONE, NONE);
        self.node_mut(new).sum = self.summed(new);
        if parent == NONE {
            self.root = new;
        } else {
            let side = if start < self.node(parent).start { Side::Left } else { Side::Right };
            self.set_child(parent, side, new);
        }
        self.len += 1;
        self.repair(parent, NONE);
    }

    /// Takes `gone` out of the tree; its entry in the arrays stays as it is.
    pub(super) fn unlink(&mut self, gone: u32) {
        let node = *self.node(gone);
        self.len -= 1;
        if node.left == NONE || node.right == NONE {
            self.replace(gone, if node.left == NONE { node.right } else { node.left });
            self.repair(node.parent, NONE);
            return;
        }
        // The next node in order has no left child. It leaves its place to its right one and takes that of `gone`,
        // with the sum that the nodes above have counted on.
        let next = self.after(gone);
        let old_parent = self.node(next).parent;
        if old_parent != gone {
            self.replace(next, self.node(next).right);
            self.set_child(next, Side::Right, node.right);
        }
        self.replace(gone, next);
        self.set_child(next, Side::Left, node.left);
        self.node_mut(next).sum = node.sum;
        self.repair(if old_parent == gone { next } else { old_parent }, next);
    }

    /// Lets `new`, or nobody, be what `old` was to its parent.
    fn replace(&mut self, old: u32, new: u32) {
        let parent = self.node(old).parent;
        if parent == NONE {
            self.root = new;
        } else if self.node(parent).left == old {
            self.node_mut(parent).left = new;
        } else {
            self.node_mut(parent).right = new;
        }
        if new != NONE {
            self.node_mut(new).parent = parent;
        }
    }

    /// Puts sums and balance right from `at` upwards. It may stop at a node that comes out as it was, for those above
    /// have seen nothing else of the change, but not before it has been at `beyond`.
    pub(super) fn repair(&mut self, mut at: u32, mut beyond: u32) {
        while at != NONE {
            if at == beyond {
                beyond = NONE;
            }
            let old = self.node(at).sum;
            at = self.balanced(at);
            if beyond == NONE && self.node(at).sum == old {
                return;
            }
            at = self.node(at).parent;
        }
    }

    /// Sums up `at`, whose children are right, and rotates if one of them is two levels higher than the other. Gives
    /// what stands in the place of `at` then.
    fn balanced(&mut self, at: u32) -> u32 {
        let (left, right) = (self.node(at).left, self.node(at).right);
        let (left_height, right_height) = (self.height(left), self.height(right));
        if left_height > right_height + 1 {
            if self.height(self.node(left).left) < self.height(self.node(left).right) {
                self.rotate(left, Side::Left);
            }
            self.rotate(at, Side::Right)
        } else if right_height > left_height + 1 {
            if self.height(self.node(right).right) < self.height(self.node(right).left) {
                self.rotate(right, Side::Right);
            }
            self.rotate(at, Side::Left)
        } else {
            self.node_mut(at).sum = self.summed(at);
            at
        }
    }

    /// The child on the other side comes up in the place of `at`, which goes down to the side `to`.
    fn rotate(&mut self, at: u32, to: Side) -> u32 {
        let up = self.child(at, to.other());
        self.replace(at, up);
        self.set_child(at, to.other(), self.child(up, to));
        self.set_child(up, to, at);
        self.node_mut(at).sum = self.summed(at);
        self.node_mut(up).sum = self.summed(up);
        up
    }

    pub(super) fn height(&self, at: u32) -> u32 {
        self.node(at).sum.height
    }

    /// The sum of a node, made of those of its children.
    pub(super) fn summed(&self, at: u32) -> Sum {
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
