//! User address spaces: which addresses a program may use, for what, and what is to happen when it does.
//!
//! Pure code, in the layer `mm`. It knows no page table: it decides, and tells a [`Pages`] what to take away or to
//! move; and no file: an `F` that can be cloned and compared stands for one. System calls and the page-fault handler
//! call it. Bottom up:
//!
//! - [`span`], [`room`]: ranges of pages; memory that is asked for before anything is changed
//! - [`tree`]: ranges with attributes, in a balanced tree
//! - [`area`]: the attributes of a mapping: rights, flags, what is behind it
//! - [`space`]: the address space, and each call on it in a file of its own
//!
//! **Locks.** None in here. An operation that takes `&mut self` wants the space's lock exclusively, one with `&self`
//! shared; [`space::Space::fault`] is of the second kind, so faults of one process do not wait for each other here.
//!
//! **Errors** are Linux's, see [`Error`]. An operation that is refused for memory, or for a limit, has changed nothing;
//! the calls that Linux lets end half-way (`mprotect` and `madvise` at a hole) say so.
//!
//! Source: POSIX.1-2017 (mmap, munmap, mprotect, msync); Linux man-pages 6, section 2 (mmap, mremap, brk, madvise).

pub mod area;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod machine;
#[cfg(test)]
pub(super) mod model;
pub mod room;
pub mod space;
pub mod span;
pub mod tree;

use crate::errno::Errno;
use area::Prot;
use room::NoMemory;
use span::Span;

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// EPERM: below the lowest address that may be mapped; code from a file system without code.
    NotPermitted,
    /// ENOMEM: no room among the addresses, a limit, no memory; or, where a range must be mapped, a hole in it.
    NoMemory,
    /// EACCES: the file was not opened for that.
    Access,
    /// EFAULT: nothing mapped, or not as far.
    Fault,
    /// EEXIST: taken.
    Exists,
    /// EINVAL: arguments that make no sense.
    Invalid,
    /// EOVERFLOW: past the end of what a file can be.
    Overflow,
    /// EOPNOTSUPP: a flag of `MAP_SHARED_VALIDATE` that is not known.
    NotSupported,
}

impl From<Error> for Errno {
    fn from(error: Error) -> Self {
        match error {
            Error::NotPermitted => Self::Eperm,
            Error::NoMemory => Self::Enomem,
            Error::Access => Self::Eacces,
            Error::Fault => Self::Efault,
            Error::Exists => Self::Eexist,
            Error::Invalid => Self::Einval,
            Error::Overflow => Self::Eoverflow,
            Error::NotSupported => Self::Eopnotsupp,
        }
    }
}

impl From<NoMemory> for Errno {
    fn from(NoMemory: NoMemory) -> Self {
        Self::Enomem
    }
}

impl From<NoMemory> for Error {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// The page tables of one address space, and the pages in them, as this module needs them. Each call covers pages
/// whether there is anything in them or not; when it returns no CPU can use what it took away.
pub trait Pages<F> {
    /// Lets go of every page of `span`.
    fn unmap(&mut self, span: Span);

    /// Takes from the pages of `span` what `prot` does not allow. What it allows anew may be left to faults; and must
    /// be, for writing to a page of a private mapping that others use too.
    fn protect(&mut self, span: Span, prot: Prot);

    /// Gets what page tables the pages of `from` need at `to`, so that [`Pages::relocate`] there cannot fail. Changes
    /// nothing if refused. What is at `to` may be unmapped in between.
    fn prepare(&mut self, from: Span, to: u64) -> Result<(), NoMemory>;

    /// The pages of `from` are from now on at `to`, which has been prepared and is empty.
    fn relocate(&mut self, from: Span, to: u64);

    /// The content of these private pages may be dropped until they are written again.
    fn lazy_free(&mut self, span: Span);

    /// Pages of a file are going to be read: `span` shows it from the byte `offset` on.
    fn read_ahead(&mut self, span: Span, file: &F, offset: u64);

    /// Lets `child` have the pages of `span` as well, write-protected in both, to be copied by whoever writes first.
    /// If refused, the child is thrown away by the caller; pages may have become write-protected.
    fn copy_on_write(&mut self, child: &mut Self, span: Span) -> Result<(), NoMemory>;
}

/// The account of memory that has been promised to programs: each page of a private mapping that was writable once,
/// and of memory shared without a file. Shared by all address spaces; a clone is the same account.
pub trait Commit: Clone {
    /// Promises `pages` more, or refuses.
    fn charge(&self, pages: u64) -> Result<(), NoMemory>;

    /// Takes a promise back.
    fn uncharge(&self, pages: u64);
}

/// What stands for an open file, or for memory that several address spaces share. Equal is what shows the same bytes.
pub trait Object<C>: Clone + PartialEq {
    /// Memory of `pages` pages, all zero, for a shared mapping without a file. If `charge` says so, it charges `commit`
    /// for itself, until its last clone is gone: it can outlive the mapping it was made for.
    fn shared_memory(commit: &C, pages: u64, charge: bool) -> Result<Self, NoMemory>;
}
