//! A balanced tree's links: putting a node in, taking one out, and keeping the tree low and its sums right.
//!
//! An AVL tree over any kind of node: the ranges of an address space, which are entries of an array, and the threads
//! of a run queue, which are where their owners put them. Who has such nodes implements [`Nodes`] (how to get from one
//! to another, and what a subtree is summed up to) and gets the rest. Nothing here allocates or knows what a
//! tree is for. A node that is put in, taken out or passed by in a rotation stays where it is; only links change.
//!
//! A sum is made of a node and of the sums of its children and nothing else, so a change is repaired on the way from
//! it to the root, and that way is left as soon as a sum comes out as it was. The height is part of every sum.
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
//!
//! Source: G. M. Adelson-Velskii, E. M. Landis, "An algorithm for the organization of information" (1962);
//! Knuth, The Art of Computer Programming, vol. 3, §6.2.3.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

impl Side {
    pub const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// The nodes of a tree, and its root. The provided functions are the tree's operations.
pub trait Nodes {
    /// Names a node, or nobody.
    type Link: Copy + PartialEq;
    /// What is known of a subtree.
    type Sum: Copy + PartialEq;

    /// Where there is no node.
    const NOBODY: Self::Link;

    fn root(&self) -> Self::Link;
    fn set_root(&mut self, root: Self::Link);

    // Of these, `at` is a node and not nobody.
    fn child(&self, at: Self::Link, side: Side) -> Self::Link;
    fn put_child(&mut self, at: Self::Link, side: Side, child: Self::Link);
    fn parent(&self, at: Self::Link) -> Self::Link;
    fn put_parent(&mut self, at: Self::Link, parent: Self::Link);
    fn sum(&self, at: Self::Link) -> Self::Sum;
    fn put_sum(&mut self, at: Self::Link, sum: Self::Sum);
    /// The sum, made anew of the node and the sums of its children.
    fn summed(&self, at: Self::Link) -> Self::Sum;
    /// Whether the node `new`, which is about to be put in, comes before the node `at`, which is in.
    fn precedes(&self, new: Self::Link, at: Self::Link) -> bool;

    /// Levels of the subtree; 0 for nobody.
    fn height(&self, at: Self::Link) -> u32;

    /// The first node of all in order, or the last.
    #[inline]
    fn outermost(&self, side: Side) -> Self::Link {
        let mut at = self.root();
        if at == Self::NOBODY {
            return at;
        }
        loop {
            let beyond = self.child(at, side);
            if beyond == Self::NOBODY {
                return at;
            }
            at = beyond;
        }
    }

    /// The node next to `at` in order, on that side: the innermost node beyond it, or else the first node above that
    /// has `at` on its other side.
    fn neighbour(&self, mut at: Self::Link, side: Side) -> Self::Link {
        let beyond = self.child(at, side);
        if beyond != Self::NOBODY {
            at = beyond;
            while self.child(at, side.other()) != Self::NOBODY {
                at = self.child(at, side.other());
            }
            return at;
        }
        loop {
            let parent = self.parent(at);
            if parent == Self::NOBODY || self.child(parent, side.other()) == at {
                return parent;
            }
            at = parent;
        }
    }

    /// Makes `child`, or nobody, the child of `at` on that side.
    #[inline]
    fn set_child(&mut self, at: Self::Link, side: Side, child: Self::Link) {
        self.put_child(at, side, child);
        if child != Self::NOBODY {
            self.put_parent(child, at);
        }
    }

    /// Puts the node `new` into its place, behind those that it does not precede.
    #[inline]
    fn link(&mut self, new: Self::Link) {
        let (mut parent, mut side) = (Self::NOBODY, Side::Left);
        let mut at = self.root();
        while at != Self::NOBODY {
            parent = at;
            side = if self.precedes(new, at) { Side::Left } else { Side::Right };
            at = self.child(at, side);
        }
        self.put_parent(new, parent);
        self.put_child(new, Side::Left, Self::NOBODY);
        self.put_child(new, Side::Right, Self::NOBODY);
        self.put_sum(new, self.summed(new));
        if parent == Self::NOBODY {
            self.set_root(new);
        } else {
            self.put_child(parent, side, new);
            self.repair(parent, Self::NOBODY);
        }
    }

    /// Takes `gone` out of the tree; its own links stay as they are.
    #[inline]
    fn unlink(&mut self, gone: Self::Link) {
        let (left, right) = (self.child(gone, Side::Left), self.child(gone, Side::Right));
        if left == Self::NOBODY || right == Self::NOBODY {
            self.replace(gone, if left == Self::NOBODY { right } else { left });
            self.repair(self.parent(gone), Self::NOBODY);
            return;
        }
        // The next node in order has no left child. It leaves its place to its right one and takes that of `gone`,
        // with the sum that the nodes above have counted on.
        let next = self.neighbour(gone, Side::Right);
        let old_parent = self.parent(next);
        if old_parent != gone {
            self.replace(next, self.child(next, Side::Right));
            self.set_child(next, Side::Right, right);
        }
        self.replace(gone, next);
        self.set_child(next, Side::Left, left);
        self.put_sum(next, self.sum(gone));
        self.repair(if old_parent == gone { next } else { old_parent }, next);
    }

    /// Lets `new`, or nobody, be what `old` was to its parent.
    #[inline]
    fn replace(&mut self, old: Self::Link, new: Self::Link) {
        let parent = self.parent(old);
        if parent == Self::NOBODY {
            self.set_root(new);
        } else if self.child(parent, Side::Left) == old {
            self.put_child(parent, Side::Left, new);
        } else {
            self.put_child(parent, Side::Right, new);
        }
        if new != Self::NOBODY {
            self.put_parent(new, parent);
        }
    }

    /// Puts sums and balance right from `at` upwards. It may stop at a node that comes out as it was, for those above
    /// have seen nothing else of the change, but not before it has been at `beyond`.
    fn repair(&mut self, mut at: Self::Link, mut beyond: Self::Link) {
        while at != Self::NOBODY {
            if at == beyond {
                beyond = Self::NOBODY;
            }
            let old = self.sum(at);
            at = self.balanced(at);
            if beyond == Self::NOBODY && self.sum(at) == old {
                return;
            }
            at = self.parent(at);
        }
    }

    /// Sums up `at`, whose children are right, and rotates if one of them is two levels higher than the other. Gives
    /// what stands in the place of `at` then.
    #[inline]
    fn balanced(&mut self, at: Self::Link) -> Self::Link {
        let (left, right) = (self.child(at, Side::Left), self.child(at, Side::Right));
        let (left_height, right_height) = (self.height(left), self.height(right));
        if left_height > right_height + 1 {
            self.lowered(at, left, Side::Right)
        } else if right_height > left_height + 1 {
            self.lowered(at, right, Side::Left)
        } else {
            self.put_sum(at, self.summed(at));
            at
        }
    }

    /// Rotates `at` down to the side `to`, away from its child `high`, which is too high.
    #[cold]
    fn lowered(&mut self, at: Self::Link, high: Self::Link, to: Side) -> Self::Link {
        if self.height(self.child(high, to.other())) < self.height(self.child(high, to)) {
            self.rotate(high, to.other());
        }
        self.rotate(at, to)
    }

    /// The child on the other side comes up in the place of `at`, which goes down to the side `to`.
    fn rotate(&mut self, at: Self::Link, to: Side) -> Self::Link {
        let up = self.child(at, to.other());
        self.replace(at, up);
        self.set_child(at, to.other(), self.child(up, to));
        self.set_child(up, to, at);
        self.put_sum(at, self.summed(at));
        self.put_sum(up, self.summed(up));
        up
    }
}
