//! A file as address spaces see it: what page faults ask.

use super::env::{Backing, Env};
use super::state::{Inner, Look};
use super::tree::Tag;
use super::write::Place;
use super::{Error, Mapping, PAGE_SIZE};
use crate::mm::addr::Frame;
use crate::mm::space::{NoPage, Provided};
use core::sync::atomic::Ordering;

/// Pages that a fault has brought together with its own: those that it will map if they are at hand.
const AROUND: u32 = 16;

impl<E: Env, B: Backing> Inner<E, B> {
    pub fn fault(&self, offset: u64, write: bool) -> Result<Provided, NoPage> {
        let page = offset / PAGE_SIZE;
        loop {
            if offset >= self.size() {
                return Err(NoPage::Bus);
            }
            match self.look(page, true)? {
                // It may have been found past the end that the file has now; then it was not past the end just before.
                Look::There { size, .. } if offset >= size => return Err(NoPage::Bus),
                Look::There { page: held, tags, .. } => {
                    if write
                        && self.keeps
                        && !self.written_page(page, Some(held.frame()), tags.has(Tag::Dirty))?
                    {
                        continue;
                    }
                    return Ok(Provided { frame: held.into_frame(), writable: !self.keeps });
                }
                Look::Busy => self.wait(page, &[Tag::Locked]),
                Look::Absent if self.keeps => self.bring(page, AROUND)?,
                Look::Absent => drop(self.fill_hole(page, Place::Within)?),
            }
        }
    }

    /// A page of zeroes in a file that is nowhere else. By a fault only while it is not past the end: else it would come
    /// back when the file gets longer. Whether it was put there.
    pub fn fill_hole(&self, page: u64, place: Place) -> Result<bool, Error> {
        self.backing.reserve(page)?;
        let inserted = match self.env().allocate(true) {
            Some(frame) => {
                let inserted = self.insert(page, frame, &[Tag::UpToDate], place);
                if inserted != Ok(true) {
                    self.env().put(frame);
                }
                inserted
            }
            None => Err(Error::NoMemory),
        };
        if inserted != Ok(true) {
            self.backing.release(1);
        }
        inserted
    }

    /// A page gets written to by a program: Dirty, and Writable. False if it is another page by now.
    fn written_page(&self, page: u64, frame: Option<Frame>, dirty: bool) -> Result<bool, Error> {
        if !dirty {
            self.backing.reserve(page)?;
        }
        let same = self.change(|pages| {
            let now = pages.tree.get(page).map(|(frame, _)| frame);
            let same = now.is_some() && page * PAGE_SIZE < pages.size && (frame.is_none() || now == frame);
            if same {
                pages.tree.retag(page, &[], &[Tag::Dirty, Tag::Writable]);
            }
            same
        });
        self.cache.nudge();
        Ok(same)
    }
}

impl<E: Env, B: Backing> Mapping<E, B> {
    /// One area of an address space more shows it.
    pub fn shown(&self) {
        self.inner.mapped.fetch_add(1, Ordering::AcqRel);
    }

    /// One less.
    pub fn hidden(&self) {
        self.inner.mapped.fetch_sub(1, Ordering::AcqRel);
    }

    /// The page, for [`Content::page`].
    pub fn page(&self, offset: u64, write: bool) -> Result<Provided, NoPage> {
        self.inner.fault(offset, write)
    }

    /// Pages that are at hand, for [`Content::cached`]. Does not sleep.
    pub fn cached(&self, offset: u64, wanted: u64, found: &mut [Option<Frame>]) {
        self.inner.look_at_many(offset / PAGE_SIZE, wanted, found);
    }

    /// A shared mapping that has the page for reading is going to write to it, for [`Content::written`].
    pub fn written(&self, offset: u64) -> Result<(), NoPage> {
        let (inner, page) = (&*self.inner, offset / PAGE_SIZE);
        if offset >= inner.size() {
            return Err(NoPage::Bus);
        }
        if inner.keeps {
            let dirty = inner.with(|pages| pages.tree.has(page, Tag::Dirty));
            // If it is in the tree no more, a hole is being made there, and the address space is about to be told.
            inner.written_page(page, None, dirty)?;
        }
        Ok(())
    }
}

impl From<Error> for NoPage {
    fn from(error: Error) -> Self {
        if error == Error::NoMemory { Self::NoMemory } else { Self::Bus }
    }
}
