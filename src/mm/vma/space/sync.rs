//! `msync`: what has to be written back to files.
//!
//! Writing sleeps, and no lock is held across a sleep; so this is a step at a time. The caller locks, asks for the next
//! step, unlocks, writes, and asks again from where that ended. What changes meanwhile is seen or not seen.

use super::super::span::{Span, aligned, page_up};
use super::super::{Commit, Error};
use super::{Space, object_at};
use crate::boot::layout::PAGE_SIZE;

/// A piece of the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncStep<F> {
    /// Where the next step begins; the end of the range after the last.
    pub next: u64,
    /// Something before `next` was not mapped: ENOMEM, once all the rest is written.
    pub hole: bool,
    /// Bytes of an object that this piece shows and shares: which, from where on, how many.
    pub write: Option<(F, u64, u64)>,
}

impl<F: Clone + PartialEq, C: Commit> Space<F, C> {
    /// The arguments of `msync`, as a range, which may be empty.
    pub fn sync_range(addr: u64, len: u64) -> Result<Span, Error> {
        if !aligned(addr) {
            return Err(Error::Invalid);
        }
        page_up(len).and_then(|len| Span::at(addr, len)).ok_or(Error::NoMemory)
    }

    /// The next step from `at` on, which lies before `end`.
    pub fn sync_step(&self, at: u64, end: u64) -> SyncStep<F> {
        debug_assert!(at < end && at % PAGE_SIZE == 0);
        let next = self.tree.at_or_above(at).filter(|next| next.span.start < end);
        let Some(entry) = next else { return SyncStep { next: end, hole: true, write: None } };
        let piece = entry.span.common(Span::new(at, end));
        let object = object_at(&entry.attr.backing, entry.span.start, piece.start);
        let write = object
            .filter(|_| !entry.attr.is_private())
            .map(|(object, offset)| (object.clone(), offset, piece.len()));
        SyncStep { next: piece.end, hole: piece.start != at, write }
    }
}
