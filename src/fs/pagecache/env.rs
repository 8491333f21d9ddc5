//! What the page cache stands on: frames and address spaces ([`Env`]), and where the pages of a file are kept when they
//! are not in memory ([`Backing`]).

extern crate alloc;

use super::super::refs::{Counted, Ref};
use super::bytes::Piece;
use crate::errno::Errno;
use crate::mm::addr::Frame;
use core::ops::Range;

/// The machine. A clone is the same machine.
pub trait Env: Clone + Send + Sync + 'static {
    /// A frame with one reference: zeroes, or whatever was in it. May have other pages given back for it.
    fn allocate(&self, zeroed: bool) -> Option<Frame>;

    /// One reference more, for who has one. False if there are too many.
    #[must_use]
    fn get(&self, frame: Frame) -> bool;

    /// One less; with the last the frame is free.
    fn put(&self, frame: Frame);

    /// Whether the caller's reference is the only one.
    fn is_unique(&self, frame: Frame) -> bool;

    /// The bytes of a frame.
    ///
    /// # Safety
    /// The caller has a reference on it for as long as it uses the piece.
    unsafe fn bytes(&self, frame: Frame) -> Piece<'_>;

    /// The page of zeroes. Nobody writes to it, and its references are not counted.
    fn zero_page(&self) -> Frame;

    /// The monotonic clock.
    fn now_ns(&self) -> u64;

    /// Frames that could be in use at a time: what limits are shares of.
    fn frames(&self) -> u64;

    /// Takes pages of a file out of every address space that shows it: those in `bytes` for which `which` says so, asked
    /// with the page's offset and its frame. Locks each of those spaces for writing, so that a fault that was going on
    /// has ended and its page is gone too.
    fn unmap(&self, file: FileId, bytes: Range<u64>, which: &dyn Fn(u64, Frame) -> bool);

    /// No address space may write to a page of that file in `bytes` any more, without a fault that comes to
    /// [`Mapping::written`](super::Mapping::written) first. Locks them as `unmap` does.
    fn write_protect(&self, file: FileId, bytes: Range<u64>);
}

/// Names a mapping to those who look for it among mapped objects, as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId(pub usize);

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// EIO: the device has failed.
    Io,
    /// ENOMEM.
    NoMemory,
    /// EFAULT: user memory that is not there.
    Fault,
    /// EINVAL: an offset or a length that makes no sense.
    Invalid,
    /// EFBIG: past the largest size that a file can have.
    TooLarge,
    /// ENOSPC: the device, or the limit of a file system in memory.
    NoSpace,
    /// EROFS.
    ReadOnly,
    /// EDQUOT.
    Quota,
}

impl Error {
    const ALL: [Self; 8] = [
        Self::Io,
        Self::NoMemory,
        Self::Fault,
        Self::Invalid,
        Self::TooLarge,
        Self::NoSpace,
        Self::ReadOnly,
        Self::Quota,
    ];

    /// Linux's number for it.
    pub const fn errno(self) -> i32 {
        match self {
            Self::Io => 5,
            Self::NoMemory => 12,
            Self::Fault => 14,
            Self::Invalid => 22,
            Self::TooLarge => 27,
            Self::NoSpace => 28,
            Self::ReadOnly => 30,
            Self::Quota => 122,
        }
    }

    /// What has this number.
    pub fn from_errno(errno: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|error| error.errno() == errno)
    }
}

impl From<Error> for Errno {
    fn from(error: Error) -> Self {
        match error {
            Error::Io => Self::Eio,
            Error::NoMemory => Self::Enomem,
            Error::Fault => Self::Efault,
            Error::Invalid => Self::Einval,
            Error::TooLarge => Self::Efbig,
            Error::NoSpace => Self::Enospc,
            Error::ReadOnly => Self::Erofs,
            Error::Quota => Self::Edquot,
        }
    }
}

impl Ref<dyn Backing> {
    /// What keeps the pages of many files, a file system say.
    pub fn backing<T: Backing>(backing: Ref<T>) -> Self {
        backing.coerce(|at| at as *mut Counted<dyn Backing>)
    }
}

/// Where a file's pages are when they are not in the cache. Pages are numbered from the file's beginning.
///
/// Except for [`release`](Self::release) all of it may sleep. No lock that spins is held; an address space's may be, and
/// that of the mapping's writers. So nothing here calls back into that mapping.
pub trait Backing: Send + Sync + 'static {
    /// Whether a page that was written can be read again. If not (files in memory), it stays in the cache as long as the
    /// file has it, is never dirty, `read` and `write` are not called, and what is not there is a hole.
    fn keeps(&self) -> bool {
        true
    }

    /// The largest size in bytes.
    fn size_limit(&self) -> u64 {
        i64::MAX as u64
    }

    /// Fills whole pages, from `first` on: zeroes in holes and past the end of what was ever written.
    fn read(&self, first: u64, pages: &[Piece<'_>]) -> Result<(), Error>;

    /// Writes whole pages, from `first` on. `size` is the file's, which lies behind the beginning of the last of them;
    /// bytes past it are zero. When it returns they are as safe as [`flush`](Self::flush) can make them.
    fn write(&self, first: u64, pages: &[Piece<'_>], size: u64) -> Result<(), Error>;

    /// Makes what was written last: a barrier to the device. By `fsync`.
    fn flush(&self, data_only: bool) -> Result<(), Error> {
        let _ = data_only;
        Ok(())
    }

    /// A page that was clean, or not there, is going to be dirty: room is reserved for it. Where nothing
    /// [`keeps`](Self::keeps) pages, each that gets to be there is asked for once.
    fn reserve(&self, page: u64) -> Result<(), Error>;

    /// Whether that many pages could be [reserved](Self::reserve) now; so that a request for too many is refused before it
    /// has begun.
    fn could_reserve(&self, pages: u64) -> Result<(), Error> {
        let _ = pages;
        Ok(())
    }

    /// That many pages that were reserved are not there any more. Only called where nothing
    /// [`keeps`](Self::keeps) pages. Does not sleep.
    fn release(&self, pages: u64) {
        let _ = pages;
    }

    /// The file's size changes from `old` to `new`, and what is past `new` is forgotten. The cache has no page past the
    /// smaller of the two, and the last one's bytes past it are zero.
    fn resize(&self, old: u64, new: u64) -> Result<(), Error> {
        let _ = (old, new);
        Ok(())
    }

    /// These pages are a hole from now on. None of them is in the cache.
    fn punch(&self, pages: Range<u64>) -> Result<(), Error> {
        let _ = pages;
        Ok(())
    }
}

macro_rules! forward {
    ($($to:ty),*) => {$(
        impl<B: Backing + ?Sized> Backing for $to {
            fn keeps(&self) -> bool {
                (**self).keeps()
            }

            fn size_limit(&self) -> u64 {
                (**self).size_limit()
            }

            fn read(&self, first: u64, pages: &[Piece<'_>]) -> Result<(), Error> {
                (**self).read(first, pages)
            }

            fn write(&self, first: u64, pages: &[Piece<'_>], size: u64) -> Result<(), Error> {
                (**self).write(first, pages, size)
            }

            fn flush(&self, data_only: bool) -> Result<(), Error> {
                (**self).flush(data_only)
            }

            fn reserve(&self, page: u64) -> Result<(), Error> {
                (**self).reserve(page)
            }

            fn could_reserve(&self, pages: u64) -> Result<(), Error> {
                (**self).could_reserve(pages)
            }

            fn release(&self, pages: u64) {
                (**self).release(pages);
            }

            fn resize(&self, old: u64, new: u64) -> Result<(), Error> {
                (**self).resize(old, new)
            }

            fn punch(&self, pages: Range<u64>) -> Result<(), Error> {
                (**self).punch(pages)
            }
        }
    )*};
}
forward!(alloc::boxed::Box<B>, alloc::sync::Arc<B>, Ref<B>);
