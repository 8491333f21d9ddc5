//! Bytes of pages, and where they come from and go to.
//!
//! A page of the cache may be written by one CPU while another reads it: a program has it mapped, or two calls meet. What
//! is read then is some mixture of old and new bytes, as it is on every system. So nobody ever has a `&[u8]` on such a
//! page, only a [`Piece`] of it, which can be copied from and to and no more.

use core::marker::PhantomData;
use core::ptr::{self, NonNull};

/// Some bytes of a page. They stay as long as the piece does; what they are may change.
#[derive(Clone, Copy)]
pub struct Piece<'a> {
    start: NonNull<u8>,
    len: usize,
    page: PhantomData<&'a [u8]>,
}

impl<'a> Piece<'a> {
    /// `len` bytes from `start` on.
    ///
    /// # Safety
    /// They can be read and written during `'a`, and are only ever touched through pointers.
    pub const unsafe fn new(start: NonNull<u8>, len: usize) -> Self {
        Self { start, len, page: PhantomData }
    }

    /// Where they are, for who copies them with an instruction of its own.
    pub const fn as_ptr(self) -> *mut u8 {
        self.start.as_ptr()
    }

    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub const fn len(self) -> usize {
        self.len
    }

    /// `len` bytes of it from `at` on.
    ///
    /// # Panics
    /// If it has not that many.
    pub fn part(self, at: usize, len: usize) -> Self {
        assert!(at <= self.len && len <= self.len - at, "{at}+{len} of {} bytes", self.len);
        // SAFETY: within the piece.
        Self { start: unsafe { self.start.add(at) }, len, page: PhantomData }
    }

    /// Copies its first bytes to `to`.
    pub fn copy_out(self, to: &mut [u8]) {
        assert!(to.len() <= self.len);
        // SAFETY: that many bytes, and `to` is no page's, being a reference.
        unsafe { ptr::copy_nonoverlapping(self.start.as_ptr(), to.as_mut_ptr(), to.len()) };
    }

    /// Copies `from` to its beginning.
    pub fn copy_in(self, from: &[u8]) {
        assert!(from.len() <= self.len);
        // SAFETY: as above.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), self.start.as_ptr(), from.len()) };
    }

    /// Copies the first bytes of another piece here; the two may be the same.
    pub fn copy_from(self, from: Piece<'_>, len: usize) {
        assert!(len <= self.len && len <= from.len);
        // SAFETY: both have that many.
        unsafe { ptr::copy(from.start.as_ptr(), self.start.as_ptr(), len) };
    }

    /// Makes all of it zero.
    pub fn clear(self) {
        // SAFETY: its bytes.
        unsafe { ptr::write_bytes(self.start.as_ptr(), 0, self.len) };
    }
}

/// Takes what is read: a program's memory, as a rule. No lock that spins is held, so it may fault and sleep.
pub trait Sink {
    /// Takes the bytes; returns how many. Fewer than all: there is a fault behind them, and it is asked no more.
    fn take(&mut self, bytes: Piece<'_>) -> usize;
}

/// Has what is to be written.
pub trait Source {
    /// Fills the bytes, from the first on; returns how many, and has left the others as they were. Fewer than all: as for
    /// [`Sink::take`].
    fn fill(&mut self, bytes: Piece<'_>) -> usize;
}

impl Sink for &mut [u8] {
    fn take(&mut self, bytes: Piece<'_>) -> usize {
        let len = bytes.len().min(self.len());
        let (now, later) = core::mem::take(self).split_at_mut(len);
        bytes.copy_out(now);
        *self = later;
        len
    }
}

impl Source for &[u8] {
    fn fill(&mut self, bytes: Piece<'_>) -> usize {
        let len = bytes.len().min(self.len());
        let (now, later) = self.split_at(len);
        bytes.copy_in(now);
        *self = later;
        len
    }
}
