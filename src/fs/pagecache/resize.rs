//! Cutting off, cutting out, adding on.
//!
//! **A smaller size.** The order matters. First the size: from then on no fault, no read and no read-ahead finds or brings a
//! page past it. Then the address spaces forget theirs; that waits for faults which have found a page before and have not
//! yet entered it. Then the pages leave the tree, each once nobody brings or writes it.
//!
//! **A hole.** The size does not keep anybody away here, so what is found anew has to be the new. A few pages at a time are
//! taken out of the tree, and the backing forgets them, while nobody may bring one ([`Pages::hole`](super::state::Pages)).
//! Then that is over, and the address spaces forget the pages that were taken out: just these, for what a private mapping
//! has copied stays its own. What a program does to such a page in between was done before the hole was made.

use super::PAGE_SIZE;
use super::env::{Backing, Env, Error};
use super::fill::Batch;
use super::state::{Held, Inner, PAGE};
use super::tree::{Tag, Tags};
use core::ops::Range;
use core::sync::atomic::Ordering;

impl<E: Env, B: Backing> Inner<E, B> {
    pub fn truncate(&self, new: u64) -> Result<(), Error> {
        if new > self.backing.size_limit() {
            return Err(Error::TooLarge);
        }
        let _turn = self.writers.lock();
        let old = self.size();
        if new == old {
            return self.backing.resize(old, new);
        }
        if new > old {
            self.backing.resize(old, new)?;
            self.clear_last();
            self.set_size(new);
            return Ok(());
        }
        let (last, rest) = (new / PAGE_SIZE, (new % PAGE_SIZE) as usize);
        // What is cut off of the last page must not come back from the disk when the file grows again.
        let page = if rest == 0 { None } else { self.to_be_changed(last)? };
        self.change(|pages| {
            self.resize_in(pages, new);
            if let Some(page) = &page {
                page.piece().part(rest, PAGE - rest).clear();
                self.mark_dirty(pages, last);
            }
        });
        drop(page);
        let first = new.div_ceil(PAGE_SIZE);
        if self.is_mapped() {
            self.env().unmap(self.id(), first * PAGE_SIZE..u64::MAX, &|_, _| true);
        }
        let mut next = Some(first);
        while let Some(from) = next {
            (_, next) = self.take_out(from..u64::MAX);
        }
        self.backing.resize(old, new)
    }

    pub fn punch_hole(&self, bytes: Range<u64>) -> Result<(), Error> {
        let _turn = self.writers.lock();
        // Of a file that is nowhere else there may be pages past the end, that were asked for.
        let (start, end) = (bytes.start, if self.keeps { bytes.end.min(self.size()) } else { bytes.end });
        if start >= end {
            return Ok(());
        }
        let (first, last) = (start.div_ceil(PAGE_SIZE), end / PAGE_SIZE);
        if first > last {
            return self.zero(start / PAGE_SIZE, start..end);
        }
        if start % PAGE_SIZE != 0 {
            self.zero(first - 1, start..first * PAGE_SIZE)?;
        }
        if end % PAGE_SIZE != 0 {
            self.zero(last, last * PAGE_SIZE..end)?;
        }
        let mut from = first;
        while from < last {
            self.with(|pages| pages.hole = from..last);
            let (taken, next) = self.take_out(from..last);
            let to = next.unwrap_or(last);
            let punched = self.backing.punch(from..to);
            self.end_hole();
            if self.is_mapped() {
                let gone = |offset, frame| {
                    (0..taken.len()).any(|at| {
                        taken.pages[at] == offset / PAGE_SIZE && taken.frames.get(at) == Some(frame)
                    })
                };
                self.env().unmap(self.id(), from * PAGE_SIZE..to * PAGE_SIZE, &gone);
            }
            drop(taken);
            punched?;
            from = to;
        }
        Ok(())
    }

    pub fn is_mapped(&self) -> bool {
        self.mapped.load(Ordering::Acquire) != 0
    }

    fn mark_dirty(&self, pages: &mut super::state::Pages, page: u64) {
        if self.keeps {
            pages.tree.retag(page, &[], &[Tag::Dirty]);
        }
    }

    /// A page of which some bytes are going to be changed by who has `writers`; `None` if that is a hole and stays one.
    fn to_be_changed(&self, page: u64) -> Result<Option<Held<'_, E>>, Error> {
        if !self.keeps && !self.with(|pages| pages.tree.has(page, Tag::There)) {
            return Ok(None);
        }
        let Some((held, tags)) = self.get(page)? else { return Ok(None) };
        if self.keeps && !tags.has(Tag::Dirty) {
            self.backing.reserve(page)?;
        }
        Ok(Some(held))
    }

    /// Zeroes some bytes of a page.
    fn zero(&self, page: u64, bytes: Range<u64>) -> Result<(), Error> {
        if let Some(held) = self.to_be_changed(page)? {
            let at = (bytes.start - page * PAGE_SIZE) as usize;
            held.piece().part(at, (bytes.end - bytes.start) as usize).clear();
            self.change(|pages| self.mark_dirty(pages, page));
        }
        Ok(())
    }

    /// Takes pages out of the tree, each when nobody brings or writes it, up to as many as a batch holds. Also where it
    /// has to go on; `None` if there are no more. Nobody adds any meanwhile.
    fn take_out(&self, range: Range<u64>) -> (TakenOut<'_, E>, Option<u64>) {
        const BUSY: [Tag; 2] = [Tag::Locked, Tag::WriteBack];
        let mut taken = TakenOut { frames: Batch::new(self.env()), pages: [0; super::state::RUN] };
        let mut from = range.start;
        let next = loop {
            let blocked = self.change(|pages| {
                while let Some(page) = pages.tree.next(Tag::There, from).filter(|&page| page < range.end) {
                    if taken.frames.is_full() {
                        return Err(page);
                    }
                    let tags = pages.tree.get(page).map_or(Tags::default(), |(_, tags)| tags);
                    if BUSY.iter().any(|&tag| tags.has(tag)) {
                        from = page;
                        return Ok(Some(page));
                    }
                    if let Some((frame, _)) = pages.tree.remove(page) {
                        taken.pages[taken.frames.len()] = page;
                        taken.frames.push(frame);
                    }
                    from = page + 1;
                }
                Ok(None)
            });
            match blocked {
                Ok(Some(page)) => self.wait(page, &BUSY),
                Ok(None) => break None,
                Err(page) => break Some(page),
            }
        };
        if !self.keeps && taken.len() != 0 {
            self.backing.release(taken.len() as u64);
        }
        (taken, next)
    }

    pub fn invalidate(&self, range: Range<u64>) -> u64 {
        if !self.keeps {
            return 0;
        }
        let (mut dropped, mut from) = (0, range.start);
        while from < range.end {
            let mut batch = Batch::new(self.env());
            self.change(|pages| {
                while let Some(page) = pages.tree.next(Tag::There, from).filter(|&page| page < range.end) {
                    if batch.is_full() {
                        return;
                    }
                    from = page + 1;
                    self.drop_clean(pages, page, &mut batch);
                }
                from = range.end;
            });
            dropped += batch.len() as u64;
        }
        dropped
    }

    /// Takes a page out that is clean and that nobody but the tree has. Nobody gets a reference meanwhile, as the lock is
    /// held; so if there is but one, nobody is copying, and no address space shows it.
    pub fn drop_clean(&self, pages: &mut super::state::Pages, page: u64, batch: &mut Batch<'_, E>) {
        const NOT: [Tag; 3] = [Tag::Dirty, Tag::WriteBack, Tag::Locked];
        let Some((frame, tags)) = pages.tree.get(page) else { return };
        let clean = tags.has(Tag::UpToDate) && !NOT.iter().any(|&tag| tags.has(tag));
        if clean && self.env().is_unique(frame) {
            pages.tree.remove(page);
            batch.push(frame);
        }
    }
}

/// Pages that are in the tree no more, with the references that it had.
struct TakenOut<'a, E: Env> {
    frames: Batch<'a, E>,
    pages: [u64; super::state::RUN],
}

impl<E: Env> TakenOut<'_, E> {
    fn len(&self) -> usize {
        self.frames.len()
    }
}
