//! A file as address spaces see it: what page faults ask, and the object that an area has.

use super::env::{Backing, Env};
use super::state::{Inner, Look};
use super::tree::Tag;
use super::{Error, Mapping, PAGE_SIZE};
use crate::mm::addr::Frame;
use crate::mm::space::{self, Content, Memory, NoPage, Promises, Provided};
use crate::mm::vma::Object;
use crate::mm::vma::room::NoMemory;
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
                Look::Absent => self.fill_hole(page)?,
            }
        }
    }

    /// A page of zeroes in a file that is nowhere else.
    fn fill_hole(&self, page: u64) -> Result<(), Error> {
        self.backing.reserve(page)?;
        let inserted = match self.env().allocate(true) {
            Some(frame) => {
                // Only while it is not past the end: else it would come back when the file gets longer.
                let inserted = self.insert(page, frame, &[Tag::UpToDate], None);
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
        inserted.map(drop)
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
    /// The page, for [`Content::page`].
    pub fn page(&self, offset: u64, write: bool) -> Result<Provided, NoPage> {
        self.inner.fault(offset, write)
    }

    /// The page if it is at hand, for [`Content::cached`]. Does not sleep.
    pub fn cached(&self, offset: u64) -> Option<Frame> {
        match self.inner.look(offset / PAGE_SIZE, false) {
            Ok(Look::There { page, size, .. }) if offset < size => Some(page.into_frame()),
            _ => None,
        }
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

/// What has a mapping: a reference to an inode, say. A clone is the same file.
pub trait File<E: Env>: Clone + PartialEq {
    type Backing: Backing;

    fn mapping(&self) -> &Mapping<E, Self::Backing>;
}

/// A file that an area of an address space shows. The mapping knows how many there are.
pub struct Mapped<E: Env, F: File<E>> {
    file: F,
    env: core::marker::PhantomData<E>,
}

impl<E: Env, F: File<E>> Mapped<E, F> {
    pub fn new(file: F) -> Self {
        file.mapping().inner.mapped.fetch_add(1, Ordering::AcqRel);
        Self { file, env: core::marker::PhantomData }
    }

    pub fn file(&self) -> &F {
        &self.file
    }
}

impl<E: Env, F: File<E>> Clone for Mapped<E, F> {
    fn clone(&self) -> Self {
        Self::new(self.file.clone())
    }
}

impl<E: Env, F: File<E>> Drop for Mapped<E, F> {
    fn drop(&mut self) {
        self.file.mapping().inner.mapped.fetch_sub(1, Ordering::AcqRel);
    }
}

impl<E: Env, F: File<E>> PartialEq for Mapped<E, F> {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file
    }
}

/// Whatever can be mapped: memory that is shared without a file, or a file.
pub enum Shown<E: Env + space::Env, F: File<E>> {
    Memory(Memory<E>),
    File(Mapped<E, F>),
}

impl<E: Env + space::Env, F: File<E>> Clone for Shown<E, F> {
    fn clone(&self) -> Self {
        match self {
            Self::Memory(memory) => Self::Memory(memory.clone()),
            Self::File(file) => Self::File(file.clone()),
        }
    }
}

impl<E: Env + space::Env, F: File<E>> PartialEq for Shown<E, F> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Memory(a), Self::Memory(b)) => a == b,
            (Self::File(a), Self::File(b)) => a == b,
            _ => false,
        }
    }
}

impl<E: Env + space::Env, F: File<E>> Object<Promises<E>> for Shown<E, F> {
    fn shared_memory(commit: &Promises<E>, pages: u64, charge: bool) -> Result<Self, NoMemory> {
        Memory::shared_memory(commit, pages, charge).map(Self::Memory)
    }
}

impl<E: Env + space::Env, F: File<E>> Content<E> for Shown<E, F> {
    fn page(&self, offset: u64, write: bool) -> Result<Provided, NoPage> {
        match self {
            Self::Memory(memory) => memory.page(offset, write),
            Self::File(shown) => shown.file.mapping().page(offset, write),
        }
    }

    fn cached(&self, offset: u64) -> Option<Frame> {
        match self {
            Self::Memory(memory) => memory.cached(offset),
            Self::File(shown) => shown.file.mapping().cached(offset),
        }
    }

    fn written(&self, offset: u64) -> Result<(), NoPage> {
        match self {
            Self::Memory(memory) => memory.written(offset),
            Self::File(shown) => shown.file.mapping().written(offset),
        }
    }

    fn read_ahead(&self, offset: u64, len: u64) {
        match self {
            Self::Memory(memory) => memory.read_ahead(offset, len),
            Self::File(shown) => shown.file.mapping().read_ahead(offset..offset.saturating_add(len)),
        }
    }
}
