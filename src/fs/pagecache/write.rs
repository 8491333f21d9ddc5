//! Writing: from whoever has the bytes to the pages.
//!
//! User memory can fault in the middle, sleep, and turn out not to be there; and it can be a mapping of the very page that
//! is written. So it is copied with nothing but `writers` and a reference held, straight into the page if that is there,
//! else into a frame that nobody has seen yet. Only then the page is Dirty, and only then the file is longer.

use super::bytes::Source;
use super::env::{Backing, Env, Error};
use super::state::{Held, Inner, Look, PAGE};
use super::tree::{Spare, Tag};
use super::{PAGE_SIZE, Position, Written};
use crate::mm::addr::Frame;

/// Where a page may be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before the end of the file.
    Within,
    /// Anywhere; the file reaches at least to that byte then. For who has `writers`, as the next.
    Grow(u64),
    /// Anywhere. Past the end it is a page that nobody finds until the file gets there.
    Anywhere,
}

/// Pages that are written before it is asked whether too much is dirty.
const BALANCE: u64 = 16;

impl<E: Env, B: Backing> Inner<E, B> {
    pub fn write_at(&self, at: Position, len: usize, source: &mut dyn Source) -> Result<Written, Error> {
        let _turn = self.writers.lock();
        let start = match at {
            Position::At(offset) => offset,
            Position::End => self.size(),
        };
        if len == 0 {
            return Ok(Written { start, len: 0 });
        }
        let room = self.backing.size_limit().checked_sub(start).filter(|&room| room != 0);
        let room = room.ok_or(Error::TooLarge)?;
        let len = len.min(usize::try_from(room).unwrap_or(usize::MAX));
        if self.keeps {
            self.cache.join(self)?;
            self.cache.balance(self);
        }
        self.clear_last();
        let mut done = 0;
        while done < len {
            let at = start + done as u64;
            let (page, from) = (at / PAGE_SIZE, (at % PAGE_SIZE) as usize);
            let want = (PAGE - from).min(len - done);
            match self.write_page(page, from, want, source) {
                Ok(taken) => {
                    done += taken;
                    if taken < want && done == 0 {
                        return Err(Error::Fault);
                    } else if taken < want {
                        break;
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
            if page % BALANCE == BALANCE - 1 && self.keeps {
                self.cache.balance(self);
            }
        }
        Ok(Written { start, len: done })
    }

    /// Writes to one page; returns how much of it.
    fn write_page(
        &self,
        page: u64,
        from: usize,
        want: usize,
        source: &mut dyn Source,
    ) -> Result<usize, Error> {
        loop {
            match self.look(page, from == 0)? {
                Look::There { page: held, tags, .. } => {
                    if self.keeps && !tags.has(Tag::Dirty) {
                        self.backing.reserve(page)?;
                    }
                    let end = page * PAGE_SIZE + (from + want) as u64;
                    let longer = end > self.size();
                    if longer {
                        // Write-back leaves those bytes alone.
                        self.with(|pages| pages.reach = end);
                    }
                    let taken = source.fill(held.piece().part(from, want));
                    if taken != 0 {
                        self.wrote(page, from, taken);
                    } else if longer {
                        self.with(|pages| pages.reach = pages.size);
                    }
                    return Ok(taken);
                }
                Look::Busy => self.wait(page, &[Tag::Locked]),
                Look::Absent if self.is_blank(page, from, want) => {
                    return self.write_new(page, from, want, source);
                }
                Look::Absent => self.bring(page, 1)?,
            }
        }
    }

    /// Whether nothing that the backing has of this page will be left if these bytes are written.
    fn is_blank(&self, page: u64, from: usize, want: usize) -> bool {
        let here = self.size().saturating_sub(page * PAGE_SIZE);
        !self.keeps || here == 0 || (from == 0 && want as u64 >= here.min(PAGE_SIZE))
    }

    /// Writes to a page that is not there, and of which nothing is needed but what is written.
    fn write_new(
        &self,
        page: u64,
        from: usize,
        want: usize,
        source: &mut dyn Source,
    ) -> Result<usize, Error> {
        self.backing.reserve(page)?;
        let refused = |error| {
            self.unreserve(1);
            error
        };
        let frame = self.env().allocate(want < PAGE).ok_or(Error::NoMemory).map_err(refused)?;
        let new = Held::new(self.env(), frame);
        let taken = source.fill(new.piece().part(from, want));
        if taken == 0 {
            self.unreserve(1);
            return Ok(0);
        }
        if taken < want && want == PAGE {
            new.piece().part(taken, PAGE - taken).clear();
        }
        if self.is_blank(page, from, taken) && self.put_new(page, new.frame(), from + taken)? {
            let _ = new.into_frame();
            return Ok(taken);
        }
        // Somebody was faster, or less has come than was promised: it goes into the page as it is.
        self.unreserve(1);
        loop {
            match self.look(page, false)? {
                Look::There { page: held, .. } => {
                    let end = page * PAGE_SIZE + (from + taken) as u64;
                    self.with(|pages| pages.reach = pages.size.max(end));
                    let whole = PAGE - from;
                    held.piece().part(from, whole).copy_from(new.piece().part(from, whole), taken);
                    self.wrote(page, from, taken);
                    return Ok(taken);
                }
                Look::Busy => self.wait(page, &[Tag::Locked]),
                Look::Absent if self.is_blank(page, from, taken) => {
                    self.backing.reserve(page)?;
                    if self.put_new(page, new.frame(), from + taken)? {
                        let _ = new.into_frame();
                        return Ok(taken);
                    }
                    self.unreserve(1);
                }
                Look::Absent => self.bring(page, 1)?,
            }
        }
    }

    fn unreserve(&self, pages: u64) {
        if !self.keeps {
            self.backing.release(pages);
        }
    }

    /// Puts a new page there, with its good bytes up to `end`. False if there is one.
    fn put_new(&self, page: u64, frame: Frame, end: usize) -> Result<bool, Error> {
        let tags: &[Tag] = if self.keeps {
            &[Tag::UpToDate, Tag::Referenced, Tag::Dirty]
        } else {
            &[Tag::UpToDate, Tag::Referenced]
        };
        let end = page * PAGE_SIZE + end as u64;
        self.insert(page, frame, tags, Place::Grow(end)).inspect_err(|_| self.unreserve(1))
    }

    /// Puts a page there that is good. False if there is one, or if `place` forbids it.
    pub fn insert(&self, page: u64, frame: Frame, tags: &[Tag], place: Place) -> Result<bool, Error> {
        let mut spare = Spare::default();
        loop {
            let inserted = self.change(|pages| {
                let past_end = place == Place::Within && page * PAGE_SIZE >= pages.size;
                if past_end || pages.tree.has(page, Tag::There) {
                    return Ok(false);
                }
                pages.tree.insert(page, frame, tags, &mut spare)?;
                if let Place::Grow(end) = place {
                    let size = pages.size.max(end);
                    self.resize_in(pages, size);
                }
                Ok(true)
            });
            match inserted {
                Ok(inserted) => return Ok(inserted),
                Err(missing) => spare.get(missing)?,
            }
        }
    }

    /// Bytes of a page that is there have been written.
    fn wrote(&self, page: u64, from: usize, taken: usize) {
        self.change(|pages| {
            if self.keeps {
                pages.tree.retag(page, &[], &[Tag::Dirty]);
            }
            let size = pages.size.max(page * PAGE_SIZE + (from + taken) as u64);
            if (size, size) != (pages.size, pages.reach) {
                self.resize_in(pages, size);
            }
        });
    }

    /// What a program has written past the end of the file, in its last page, is to be zero when the file gets longer.
    /// For who has `writers`.
    pub fn clear_last(&self) {
        self.with(|pages| {
            let page = pages.size / PAGE_SIZE;
            if pages.size % PAGE_SIZE == 0 {
                return;
            }
            let Some((frame, tags)) = pages.tree.get(page) else { return };
            if tags.has(Tag::UpToDate) {
                // SAFETY: the tree has a reference, under the lock.
                super::fill::clear_past(pages, page, unsafe { self.env().bytes(frame) });
            }
        });
    }
}
