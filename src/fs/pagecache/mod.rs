//! The page cache: what memory holds of files.
//!
//! Each inode has a [`Mapping`]: a tree of pages, and a [`Backing`] that brings them and takes them away, a disk's blocks or
//! nothing at all. `read`, `write`, `mmap` and `ftruncate` all go through it, so they all see the same bytes.
//!
//! ```text
//!   read_at, write_at            page faults                       truncate, punch_hole
//!        │                            │ Content (mapped)                 │
//!        ▼                            ▼                                  ▼
//!   ┌─ Mapping ──────────────────────────────────────────────────────────────────────────┐
//!   │ writers   sleeps: who writes or changes the size                                   │
//!   │ pages     spins, shortly: tree of frames, their tags, the size                     │
//!   └──────┬──────────────────────────────┬──────────────────────────────────┬───────────┘
//!          ▼ read, write, reserve, …      ▼ unmap, write_protect             ▼ dirty, clean, old
//!       Backing                        Env: address spaces, frames         Cache: limits, write-back, reclaim
//! ```
//!
//! **A page** is in one of these states, by its tags ([`tree::Tag`]), all of which change under the lock `pages` alone:
//!
//! | tags | means | who may take it away |
//! | --- | --- | --- |
//! | not there | a hole, or on the disk | |
//! | Locked | its bytes are being brought; nobody has seen it | who brings it, if that fails |
//! | UpToDate | good | truncation; reclaim, if nobody else has a reference |
//! | UpToDate, Dirty | newer than the disk | truncation |
//! | UpToDate, WriteBack | on its way to the disk, perhaps Dirty again | nobody: truncation waits |
//!
//! **Races** are decided like this. Who copies from or to a page has a reference on its frame and no lock, so user memory
//! may fault in the middle. Writers and truncaters of one file take turns (`writers`), so a page that is being written is
//! not truncated. Truncation first makes the size smaller: from then on nobody finds, or brings, a page past it. Then it
//! has the address spaces forget theirs, which waits for faults that are under way. Then it takes the pages out of the
//! tree. Write-back takes the Dirty tag away before it reads the bytes; what is written later sets it again. Reclaim takes
//! a page out of the tree only if the tree's reference is the last, and nobody gets another but under the tree's lock.
//!
//! **Locks.** `writers` may be held over a fault, so it comes before address spaces; a fault, which holds its address
//! space, takes `pages` and waits for pages, never for `writers`. Who has a page Locked or in WriteBack needs no address
//! space and no `writers` until it is done.
//!
//! Lookups take `pages`, one short spinning lock for each file. It could be an epoch's read section, once switches of
//! threads report quiescent states.

mod allocate;
pub mod bytes;
pub mod cache;
pub mod env;
pub mod errors;
mod fill;
pub mod limits;
#[cfg(target_os = "none")]
pub mod live;
pub mod mapped;
mod read;
pub mod readahead;
mod reclaim;
mod resize;
mod state;
#[cfg(test)]
pub(super) mod tests;
pub mod tree;
mod write;
mod writeback;

pub use bytes::{Piece, Sink, Source};
pub use cache::Cache;
pub use env::{Backing, Env, Error, FileId};
pub use errors::Seen;
pub use readahead::ReadAhead;

use crate::boot::layout::PAGE_SIZE;
use alloc::boxed::Box;
use core::ops::Range;
use state::Inner;

extern crate alloc;

/// Where a write begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// That many bytes from the beginning.
    At(u64),
    /// Where the file ends, whatever others have appended (`O_APPEND`).
    End,
}

/// What a write has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Where it began, and so where the file's position is now: at `start + len`.
    pub start: u64,
    pub len: usize,
}

/// The pages of one file. Embedded in an inode; may be moved. All functions may sleep unless they say otherwise.
///
/// Dropping it forgets what has not been written; who wants that kept calls [`sync`](Self::sync) first. It waits for
/// write-back that is under way. No address space may show it any more.
pub struct Mapping<E: Env, B: Backing> {
    inner: Box<Inner<E, B>>,
}

impl<E: Env, B: Backing> Mapping<E, B> {
    /// Of a file of `size` bytes, none of which are in memory. ENOMEM.
    pub fn new(cache: &'static Cache<E>, backing: B, size: u64) -> Result<Self, Error> {
        Ok(Self { inner: state::boxed(Inner::new(cache, backing, size))? })
    }

    /// What it was made with.
    pub fn backing(&self) -> &B {
        &self.inner.backing
    }

    /// What [`Env::unmap`] and [`Env::write_protect`] call it.
    pub fn id(&self) -> FileId {
        self.inner.id()
    }

    /// The file's size in bytes. Takes no lock.
    #[inline]
    pub fn size(&self) -> u64 {
        self.inner.size()
    }

    /// How many pages of it are in memory. Takes no lock.
    #[inline]
    pub fn pages_there(&self) -> u64 {
        self.inner.there()
    }

    /// Sets the size of a file that has no page in memory, when it is read from its inode. Changes nothing else.
    pub fn set_size(&self, size: u64) {
        self.inner.set_size(size);
    }

    /// Copies up to `len` bytes from `offset` on to `sink`, as far as the file goes; returns how many. `ahead` is the open
    /// file's. An error only if it is in the way of the first byte: EFAULT, EIO, ENOMEM.
    pub fn read_at(
        &self,
        offset: u64,
        len: usize,
        sink: &mut dyn Sink,
        ahead: &ReadAhead,
    ) -> Result<usize, Error> {
        self.inner.read_at(offset, len, sink, ahead)
    }

    /// Writes up to `len` bytes from `source`, in turn with other writers; the file grows if it has to, and what lies
    /// between is zero. Sleeps while there is too much that is dirty. An error only if it is in the way of the first byte:
    /// EFAULT, EIO, ENOMEM, ENOSPC, EDQUOT, EFBIG.
    pub fn write_at(&self, at: Position, len: usize, source: &mut dyn Source) -> Result<Written, Error> {
        self.inner.write_at(at, len, source)
    }

    /// Makes the file `size` bytes long. What is cut off is gone, in every mapping too, where private copies go as well;
    /// what is added is zero. EFBIG, EIO, ENOMEM; the size is as it was then, unless it is the backing that fails last.
    pub fn truncate(&self, size: u64) -> Result<(), Error> {
        self.inner.truncate(size)
    }

    /// Zeroes these bytes and gives back whatever kept whole pages of them. The size stays. `FALLOC_FL_PUNCH_HOLE`.
    pub fn punch_hole(&self, bytes: Range<u64>) -> Result<(), Error> {
        self.inner.punch_hole(bytes)
    }

    /// Has all pages of these bytes in memory, past the end too, of a file that is nowhere else; with `grow` the file is at
    /// least as long afterwards. ENOSPC, ENOMEM, EFBIG: then none is there that was not, unless somebody uses it by now.
    pub fn allocate(&self, bytes: Range<u64>, grow: bool) -> Result<(), Error> {
        self.inner.allocate(bytes, grow)
    }

    /// Writes what is dirty in these bytes and waits until it, and what was on its way, has been written. An error that
    /// anybody has met in writing this file since `seen` last looked, then: once for each `seen`.
    pub fn sync(&self, bytes: Range<u64>, seen: &Seen) -> Result<(), Error> {
        self.inner.sync(bytes)?;
        self.errors_since(seen)
    }

    /// [`sync`](Self::sync) of all of it and [`Backing::flush`]: `fsync`, or `fdatasync` if `data_only`.
    pub fn fsync(&self, data_only: bool, seen: &Seen) -> Result<(), Error> {
        self.inner.sync(0..u64::MAX)?;
        let flushed = self.inner.backing.flush(data_only);
        if let Err(error) = flushed {
            self.inner.errors.note(error);
        }
        self.errors_since(seen)
    }

    /// Starts writing what is dirty in these bytes, and waits for as much as it takes to hand it over
    /// (`SYNC_FILE_RANGE_WRITE`). Errors are told at the next [`sync`](Self::sync).
    pub fn write_back(&self, bytes: Range<u64>) {
        self.inner.write_back(bytes, u64::MAX);
    }

    /// What an open file knows of errors, when it is opened: those that were told to nobody are news to it.
    pub fn seen(&self) -> Seen {
        self.inner.errors.seen()
    }

    /// An error in writing since `seen` last looked.
    pub fn errors_since(&self, seen: &Seen) -> Result<(), Error> {
        self.inner.errors.since(seen)
    }

    /// Forgets pages of these bytes that are clean and that nobody has mapped; returns how many. Does not sleep.
    /// `POSIX_FADV_DONTNEED`, `drop_caches`.
    pub fn invalidate(&self, bytes: Range<u64>) -> u64 {
        self.inner.invalidate(pages_of(bytes))
    }

    /// Brings pages that are going to be read: `readahead`, `POSIX_FADV_WILLNEED`. As far as that goes.
    pub fn read_ahead(&self, bytes: Range<u64>) {
        self.inner.read_ahead(bytes);
    }

    /// Pages in memory; of these, dirty; and on their way to the disk.
    pub fn counts(&self) -> Counts {
        self.inner.counts()
    }

    /// The next byte from `offset` on that is in memory (`data`) or is not, for `SEEK_DATA` and `SEEK_HOLE` of files that
    /// are nowhere else. `None` past the end, or if there is no more data. Does not sleep.
    pub fn seek(&self, offset: u64, data: bool) -> Option<u64> {
        self.inner.seek(offset, data)
    }
}

/// What a mapping has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub pages: u64,
    pub dirty: u64,
    pub write_back: u64,
}

/// The pages that have a byte of these.
fn pages_of(bytes: Range<u64>) -> Range<u64> {
    bytes.start / PAGE_SIZE..bytes.end.div_ceil(PAGE_SIZE)
}
