//! Pages that are asked for before anything is written to them: `fallocate`.
//!
//! Only of files that are nowhere else; where something keeps pages it is that which has to have room. A page past the end
//! is in the tree like any other, full of zeroes, and nobody finds it: who looks there looks at the size first. Truncation
//! takes it away.

use super::env::{Backing, Env, Error};
use super::fill::Batch;
use super::state::{Inner, PAGE};
use super::tree::Tag;
use super::write::Place;
use super::{PAGE_SIZE, Piece, pages_of};
use core::ops::Range;

impl<E: Env, B: Backing> Inner<E, B> {
    pub fn allocate(&self, bytes: Range<u64>, grow: bool) -> Result<(), Error> {
        if self.keeps {
            return Err(Error::Invalid);
        }
        if bytes.end > self.backing.size_limit() {
            return Err(Error::TooLarge);
        }
        let _turn = self.writers.lock();
        let range = pages_of(bytes.clone());
        self.backing.could_reserve(self.absent(range.clone()))?;
        let mut at = range.start;
        loop {
            at = self.with(|pages| pages.tree.next_gap(at));
            if at >= range.end {
                break;
            }
            if let Err(error) = self.fill_hole(at, Place::Anywhere) {
                self.undo(range.start..at);
                return Err(error);
            }
        }
        if grow && bytes.end > self.size() {
            self.clear_last();
            self.set_size(bytes.end);
        }
        Ok(())
    }

    /// Pages of these that are not there.
    fn absent(&self, range: Range<u64>) -> u64 {
        let (mut at, mut there) = (range.start, 0);
        while let Some(first) =
            self.with(|pages| pages.tree.next(Tag::There, at)).filter(|&page| page < range.end)
        {
            at = self.with(|pages| pages.tree.next_gap(first)).clamp(first + 1, range.end);
            there += at - first;
        }
        range.end - range.start - there
    }

    /// Takes those of these pages out that are all zeroes, and that nobody has: holes again. What was one of them before
    /// and is full of zeroes reads as it did.
    fn undo(&self, range: Range<u64>) {
        let mut at = range.start;
        while at < range.end {
            let mut batch = Batch::new(self.env());
            self.change(|pages| {
                while at < range.end && !batch.is_full() {
                    let Some(page) = pages.tree.next(Tag::There, at).filter(|&page| page < range.end) else {
                        at = range.end;
                        return;
                    };
                    at = page + 1;
                    let Some((frame, _)) = pages.tree.get(page) else { continue };
                    // SAFETY: the tree has a reference, under the lock.
                    let bytes = unsafe { self.env().bytes(frame) };
                    if self.env().is_unique(frame) && is_zero(bytes) {
                        pages.tree.remove(page);
                        batch.push(frame);
                    }
                }
            });
            self.backing.release(batch.len() as u64);
        }
    }
}

fn is_zero(page: Piece<'_>) -> bool {
    let mut some = [0; 256];
    (0..PAGE).step_by(some.len()).all(|at| {
        page.part(at, some.len()).copy_out(&mut some);
        some.iter().all(|&byte| byte == 0)
    })
}

const _: () = assert!(PAGE_SIZE % 256 == 0);
