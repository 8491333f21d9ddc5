//! What an address space shows besides zeroes: memory shared without a file, or an object of a layer above, as files are.
//!
//! This layer knows no files. What is above has its objects implement [`Foreign`], and counts who shows them: an area has a
//! [`ForeignRef`], which is one of those.

use super::super::addr::Frame;
use super::super::vma::Object;
use super::super::vma::room::NoMemory;
use super::env::{Content, Env, NoPage, Promises, Provided};
use super::memory::Memory;
use core::any::Any;
use core::ptr::NonNull;

/// An object of a layer above. The first four are [`Content`]'s.
pub trait Foreign: Send + Sync {
    fn page(&self, offset: u64, write: bool) -> Result<Provided, NoPage>;
    fn cached(&self, offset: u64, wanted: u64, found: &mut [Option<Frame>]);
    fn written(&self, offset: u64) -> Result<(), NoPage>;
    fn read_ahead(&self, offset: u64, len: u64);

    /// Areas side by side whose objects have the same are one: an open file, by its address.
    fn identity(&self) -> usize;

    /// What it is called by who wants its pages taken out of address spaces: an inode's pages.
    fn file(&self) -> usize;

    /// Itself, for who made it.
    fn as_any(&self) -> &dyn Any;

    /// One area more shows it. Waits for nothing.
    fn shown(&self);

    /// One less. With an address space locked: what ends with the last one ends later.
    ///
    /// # Safety
    /// It was counted, and the caller does not look at the object again.
    unsafe fn hidden(&self);
}

/// An area's hold on one.
pub struct ForeignRef {
    object: NonNull<dyn Foreign>,
}

// SAFETY: it gives `&dyn Foreign`, which is Sync, and counts.
unsafe impl Send for ForeignRef {}
// SAFETY: as above.
unsafe impl Sync for ForeignRef {}

impl ForeignRef {
    /// Takes over a count.
    ///
    /// # Safety
    /// [`Foreign::shown`] was called for it, or what is the same; the object stays where it is until as many calls of
    /// [`Foreign::hidden`].
    pub unsafe fn new(object: NonNull<dyn Foreign>) -> Self {
        Self { object }
    }

    pub fn get(&self) -> &dyn Foreign {
        // SAFETY: counted, by this.
        unsafe { self.object.as_ref() }
    }
}

impl Clone for ForeignRef {
    fn clone(&self) -> Self {
        self.get().shown();
        Self { object: self.object }
    }
}

impl Drop for ForeignRef {
    fn drop(&mut self) {
        // SAFETY: this was one.
        unsafe { self.object.as_ref().hidden() };
    }
}

impl PartialEq for ForeignRef {
    fn eq(&self, other: &Self) -> bool {
        self.get().identity() == other.get().identity()
    }
}

/// Whatever can be shown.
pub enum Shown<E: Env> {
    Memory(Memory<E>),
    File(ForeignRef),
}

impl<E: Env> Shown<E> {
    /// Whether it is of that file, as [`Foreign::file`] names it.
    pub fn is_of(&self, file: usize) -> bool {
        matches!(self, Self::File(shown) if shown.get().file() == file)
    }
}

impl<E: Env> Clone for Shown<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Memory(memory) => Self::Memory(memory.clone()),
            Self::File(file) => Self::File(file.clone()),
        }
    }
}

impl<E: Env> PartialEq for Shown<E> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Memory(a), Self::Memory(b)) => a == b,
            (Self::File(a), Self::File(b)) => a == b,
            _ => false,
        }
    }
}

impl<E: Env> Object<Promises<E>> for Shown<E> {
    fn shared_memory(commit: &Promises<E>, pages: u64, charge: bool) -> Result<Self, NoMemory> {
        Memory::shared_memory(commit, pages, charge).map(Self::Memory)
    }
}

impl<E: Env> Content<E> for Shown<E> {
    fn page(&self, offset: u64, write: bool) -> Result<Provided, NoPage> {
        match self {
            Self::Memory(memory) => memory.page(offset, write),
            Self::File(file) => file.get().page(offset, write),
        }
    }

    fn cached(&self, offset: u64, wanted: u64, found: &mut [Option<Frame>]) {
        match self {
            Self::Memory(memory) => memory.cached(offset, wanted, found),
            Self::File(file) => file.get().cached(offset, wanted, found),
        }
    }

    fn written(&self, offset: u64) -> Result<(), NoPage> {
        match self {
            Self::Memory(memory) => memory.written(offset),
            Self::File(file) => file.get().written(offset),
        }
    }

    fn read_ahead(&self, offset: u64, len: u64) {
        match self {
            Self::Memory(memory) => memory.read_ahead(offset, len),
            Self::File(file) => file.get().read_ahead(offset, len),
        }
    }

    fn number(&self) -> usize {
        match self {
            Self::Memory(memory) => memory.number(),
            Self::File(file) => file.get().file(),
        }
    }
}
