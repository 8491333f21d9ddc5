//! Giving pages back when memory is short: two lists and a clock.
//!
//! A page is inactive or active. Bringing it makes it inactive; the first use is noted (Referenced), the next after that
//! makes it active. So a file that is read once from one end to the other never gets to be active, and does not push out
//! what is used again and again. The hand goes round:
//!
//! | | Referenced | not |
//! | --- | --- | --- |
//! | active | not Referenced any more | inactive |
//! | inactive | not Referenced any more | given back, if it is clean and nobody has it |
//!
//! Both lists are words of 64 bits in the tree's leaves, so the hand passes 64 pages with a few instructions, and no page
//! carries links. Pages that an address space shows have another reference: they stay, whatever is done with them.

use super::env::{Backing, Env};
use super::fill::Batch;
use super::state::{Inner, Pages};
use super::tree::Tag;

/// Leaves that the hand passes before the lock is let go of.
const LEAVES: usize = 16;

impl<E: Env, B: Backing> Inner<E, B> {
    /// The hand goes on, through this file's pages, until `goal` of them are given back, or to the last. Returns how many
    /// were, and whether it is the next file's turn. Waits for nothing, or for the lock if it `waits`.
    pub fn reclaim_some(&self, goal: u64, waits: bool) -> (u64, bool) {
        let mut freed = 0;
        while freed < goal {
            let mut batch = Batch::new(self.env());
            let most = (goal - freed).min(super::state::RUN as u64) as usize;
            let mut turn = |pages: &mut Pages| self.turn(pages, &mut batch, most);
            let at_end = if waits { Some(self.change(&mut turn)) } else { self.try_change(&mut turn) };
            let Some(at_end) = at_end else { return (freed, true) };
            freed += batch.len() as u64;
            if at_end {
                return (freed, true);
            }
        }
        (freed, false)
    }

    /// Some leaves on. True if there are no more.
    fn turn(&self, pages: &mut Pages, batch: &mut Batch<'_, E>, most: usize) -> bool {
        for _ in 0..LEAVES {
            let Some(base) = pages.tree.next_leaf(pages.hand) else {
                pages.hand = 0;
                return true;
            };
            let Some(mut victims) = pages.tree.leaf_mut(base).map(age) else { return true };
            while victims != 0 && batch.len() < most {
                self.drop_clean(pages, base + u64::from(victims.trailing_zeros()), batch);
                victims &= victims - 1;
            }
            if victims != 0 {
                // The same leaf once more; those that were spared have lost their second chance a little early.
                pages.hand = base;
                return false;
            }
            pages.hand = base + 64;
        }
        false
    }
}

/// The hand passes a leaf. Returns who is to go.
fn age(leaf: &mut super::tree::Leaf) -> u64 {
    let (referenced, active) = (leaf.word(Tag::Referenced), leaf.word(Tag::Active));
    leaf.change(Tag::Referenced, referenced, false);
    leaf.change(Tag::Active, active & !referenced, false);
    leaf.word(Tag::There) & !referenced & !active
}
