//! Write-back: from the pages to the backing, in runs of neighbours.
//!
//! ```text
//! lock     Writable away from the pages of the run that have it
//! no lock  the address spaces may not write to them any more, without a fault
//! lock     Dirty away, WriteBack on; Dirty stays where a fault has made the page Writable again
//! no lock  the backing writes
//! lock     WriteBack away; who waits is woken
//! ```
//!
//! So whatever a page gets after its bytes were read makes it Dirty again, and whatever it had before is written. Address
//! spaces are asked before there is a page in WriteBack: who waits for that waits for the backing alone.

use super::cache::{Member, Membership};
use super::env::{Backing, Env, Error};
use super::fill::{Batch, clear_past};
use super::state::{Inner, Pages, RUN};
use super::tree::Tag;
use super::{PAGE_SIZE, pages_of};
use core::ops::Range;
use core::sync::atomic::Ordering;

/// What is next to be written.
enum Next {
    Nothing,
    /// That many pages from there on; whether programs may be writing to some.
    Run(u64, usize, bool),
    /// It is being written already.
    Busy(u64),
}

impl<E: Env, B: Backing> Inner<E, B> {
    /// Writes dirty pages of these bytes, up to `budget`; returns how many. What is being written already is left alone.
    pub fn write_back(&self, bytes: Range<u64>, budget: u64) -> u64 {
        let (range, mut written) = (pages_of(bytes), 0);
        let mut from = range.start;
        while written < budget {
            match self.next_run(from..range.end, Tag::Dirty, budget - written) {
                Next::Nothing => break,
                Next::Busy(page) => from = page + 1,
                Next::Run(first, pages, writable) => match self.write_run(first, pages, writable) {
                    Ok(some) => (from, written) = (first + pages as u64, written + some),
                    Err(_) => break,
                },
            }
        }
        written
    }

    /// Writes what is dirty now, and waits for that and for what is being written.
    pub fn sync(&self, bytes: Range<u64>) -> Result<(), Error> {
        let range = pages_of(bytes);
        if !self.keeps
            || self.with(|pages| pages.tree.count(Tag::Dirty) + pages.tree.count(Tag::WriteBack) == 0)
        {
            return Ok(());
        }
        // What others make dirty meanwhile is not waited for, or there might be no end.
        let mut from = range.start;
        while self.change(|pages| mark_to_write(pages, &mut from, range.end)) {}
        from = range.start;
        loop {
            match self.next_run(from..range.end, Tag::ToWrite, RUN as u64) {
                Next::Nothing => break,
                Next::Busy(page) => self.wait(page, &[Tag::WriteBack]),
                Next::Run(first, pages, writable) => {
                    self.write_run(first, pages, writable)?;
                    from = first;
                }
            }
        }
        from = range.start;
        while let Some(page) = self.with(|pages| pages.tree.next(Tag::WriteBack, from)) {
            if page >= range.end {
                break;
            }
            self.wait(page, &[Tag::WriteBack]);
            from = page + 1;
        }
        Ok(())
    }

    fn next_run(&self, range: Range<u64>, tag: Tag, most: u64) -> Next {
        self.with(|pages| {
            let Some(first) = pages.tree.next(tag, range.start).filter(|&page| page < range.end) else {
                return Next::Nothing;
            };
            if pages.tree.has(first, Tag::WriteBack) {
                return Next::Busy(first);
            }
            let end = range.end.min(first + most.min(RUN as u64));
            let (mut page, mut writable) = (first, 0);
            while page < end && pages.tree.has(page, tag) && !pages.tree.has(page, Tag::WriteBack) {
                let was = pages.tree.retag(page, &[Tag::Writable], &[]);
                writable |= u64::from(was.has(Tag::Writable));
                page += 1;
            }
            Next::Run(first, (page - first) as usize, writable != 0)
        })
    }

    /// Writes those of these pages that are dirty and that nobody else writes; returns how many.
    fn write_run(&self, first: u64, count: usize, writable: bool) -> Result<u64, Error> {
        // Also if no area shows it any more: one that is going may have left its entries a moment longer.
        if writable {
            let end = first + count as u64;
            self.env().write_protect(self.id(), first * PAGE_SIZE..end * PAGE_SIZE);
        }
        let (mut written, mut at) = (0, first);
        while at < first + count as u64 {
            // Without references: nobody takes a page out of the tree that is in WriteBack.
            let mut batch = Batch::new(self.env());
            let mut size = 0;
            let begin = self.change(|pages| {
                size = pages.size;
                while at < first + count as u64 && !can_be_written(pages, at) {
                    if at * PAGE_SIZE >= pages.size {
                        // It is being cut off.
                        pages.tree.retag(at, &[Tag::ToWrite], &[]);
                    }
                    at += 1;
                }
                let begin = at;
                while at < first + count as u64 && can_be_written(pages, at) {
                    let Some((frame, tags)) = pages.tree.get(at) else { break };
                    let away: &[Tag] =
                        if tags.has(Tag::Writable) { &[Tag::ToWrite] } else { &[Tag::ToWrite, Tag::Dirty] };
                    pages.tree.retag(at, away, &[Tag::WriteBack]);
                    // SAFETY: the tree has a reference, under the lock.
                    clear_past(pages, at, unsafe { self.env().bytes(frame) });
                    batch.push(frame);
                    at += 1;
                }
                begin
            });
            let len = batch.len();
            if len == 0 {
                continue;
            }
            let result = batch.with_pieces(len, |pieces| self.backing.write(begin, pieces, size));
            batch.given(0, len);
            self.written(begin, len, result);
            self.cache.total.written.fetch_add(len as u64, Ordering::Relaxed);
            // For memory it may be tried again. Otherwise the bytes are lost, as far as the disk goes: kept dirty, they
            // would fill the memory behind a disk that is gone. Who calls `fsync` is told.
            match result {
                Err(Error::NoMemory) => return Err(Error::NoMemory),
                _ => written += len as u64,
            }
        }
        Ok(written)
    }

    fn written(&self, first: u64, count: usize, result: Result<(), Error>) {
        let again: &[Tag] = if result == Err(Error::NoMemory) { &[Tag::Dirty] } else { &[] };
        if let Err(error) = result {
            if error != Error::NoMemory {
                self.errors.note(error);
            }
        }
        let waited = self.change(|pages| {
            let end = |at: usize| u64::from(pages.end(first + at as u64, &[Tag::WriteBack], again)) << at;
            (0..count).map(end).fold(0, |all, bit| all | bit)
        });
        self.wake(first, waited);
    }
}

fn can_be_written(pages: &Pages, page: u64) -> bool {
    let past_end = page * PAGE_SIZE >= pages.size;
    !past_end && pages.tree.has(page, Tag::Dirty) && !pages.tree.has(page, Tag::WriteBack)
}

/// Marks some of the pages that are dirty, from `from` up to `end`; false if that was all.
fn mark_to_write(pages: &mut Pages, from: &mut u64, end: u64) -> bool {
    for _ in 0..RUN {
        let Some(page) = pages.tree.next(Tag::Dirty, *from).filter(|&page| page < end) else { return false };
        pages.tree.retag(page, &[], &[Tag::ToWrite]);
        *from = page + 1;
    }
    true
}

impl<E: Env, B: Backing> Member for Inner<E, B> {
    fn reclaim(&self, goal: u64, waits: bool) -> (u64, bool) {
        self.reclaim_some(goal, waits)
    }

    fn write_some(&self, budget: u64) -> u64 {
        self.write_back(0..u64::MAX, budget)
    }

    fn write_all(&self) {
        // Errors are in `errors`; without memory some are dirty still.
        let _ = self.sync(0..u64::MAX);
    }

    fn dirty(&self) -> u64 {
        self.with(|pages| pages.tree.count(Tag::Dirty))
    }

    fn membership(&self) -> &Membership {
        &self.membership
    }
}
