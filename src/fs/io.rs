//! Where bytes go that are read, and where those come from that are written.
//!
//! A file system moves bytes from and to pages of its own; the other end is a program's memory, a list of pieces of
//! it (`readv`), a pipe (`sendfile`), or a buffer of the kernel's. [`Sink`] and [`Source`] are that other end. They are
//! used piece by piece and may stop early, at an address that is not mapped: who reads or writes then reports what was
//! moved so far, and [`Errno::Efault`] only if that is nothing ([`moved`]).
//!
//! A sink or source that leads to a program's memory may fault, and the fault may wait for a file's pages. So neither is
//! called with a lock that spins held, nor with one that a page fault of the same file would need.

use super::Result;
use super::pagecache::Piece;
use crate::errno::Errno;

/// Bytes that pass through the stack at a time, between a page of the cache and who has no direct way.
const BOUNCE: usize = 256;

/// Takes bytes.
pub trait Sink {
    /// Bytes that it still wants.
    fn room(&self) -> usize;
    /// Takes `bytes`, of which there are no more than it wants; returns how many. Fewer: it takes no more at all.
    fn put(&mut self, bytes: &[u8]) -> usize;
    /// Takes bytes of a page that others may be changing meanwhile; else as [`put`](Self::put). Whoever can copy from such
    /// a page directly does, and saves a copy.
    fn put_piece(&mut self, piece: Piece<'_>) -> usize {
        let mut some = [0; BOUNCE];
        let mut done = 0;
        while done < piece.len() {
            let some = &mut some[..(piece.len() - done).min(BOUNCE)];
            piece.part(done, some.len()).copy_out(some);
            let put = self.put(some);
            done += put;
            if put < some.len() {
                break;
            }
        }
        done
    }
    /// Takes that many zeroes.
    fn put_zeroes(&mut self, len: usize) -> usize {
        const ZEROES: [u8; 256] = [0; 256];
        let mut done = 0;
        while done < len {
            let piece = (len - done).min(ZEROES.len());
            let put = self.put(&ZEROES[..piece]);
            done += put;
            if put < piece {
                break;
            }
        }
        done
    }
}

/// Gives bytes.
pub trait Source {
    /// Bytes that it still has.
    fn left(&self) -> usize;
    /// Fills `to`, which is no longer than what it has; returns how much of it. Less: it gives no more at all.
    fn take(&mut self, to: &mut [u8]) -> usize;
    /// Fills bytes of a page that others may be looking at; else as [`take`](Self::take). Whoever can copy to such a page
    /// directly does, and saves a copy.
    fn take_piece(&mut self, to: Piece<'_>) -> usize {
        let mut some = [0; BOUNCE];
        let mut done = 0;
        while done < to.len() {
            let some = &mut some[..(to.len() - done).min(BOUNCE)];
            let taken = self.take(some);
            to.part(done, taken).copy_in(&some[..taken]);
            done += taken;
            if taken < some.len() {
                break;
            }
        }
        done
    }
    /// No file may become larger than this by it (`RLIMIT_FSIZE`).
    fn file_size_limit(&self) -> u64 {
        u64::MAX
    }
    /// There is nobody any more who would read the rest of it (SIGPIPE).
    fn nobody_reads(&mut self) {}
}

/// A buffer of the kernel's, to be filled.
pub struct Into<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> Into<'a> {
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// What it was filled with.
    pub fn filled(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl Sink for Into<'_> {
    fn room(&self) -> usize {
        self.buffer.len() - self.len
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.room());
        self.buffer[self.len..self.len + len].copy_from_slice(&bytes[..len]);
        self.len += len;
        len
    }

    fn put_piece(&mut self, piece: Piece<'_>) -> usize {
        let len = piece.len().min(self.room());
        piece.copy_out(&mut self.buffer[self.len..self.len + len]);
        self.len += len;
        len
    }
}

/// A buffer of the kernel's, to be read.
pub struct From<'a>(pub &'a [u8]);

impl Source for From<'_> {
    fn left(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self, to: &mut [u8]) -> usize {
        let len = to.len().min(self.0.len());
        let (now, later) = self.0.split_at(len);
        to[..len].copy_from_slice(now);
        self.0 = later;
        len
    }

    fn take_piece(&mut self, to: Piece<'_>) -> usize {
        let len = to.len().min(self.0.len());
        let (now, later) = self.0.split_at(len);
        to.copy_in(now);
        self.0 = later;
        len
    }
}

/// The result of a transfer that wanted to move something and moved `done` bytes.
pub fn moved(done: usize) -> Result<usize> {
    if done == 0 { Err(Errno::Efault) } else { Ok(done) }
}

/// A program's memory, for what is neither read nor written but a structure: `ioctl`.
pub trait User {
    /// Copies from it, all or nothing.
    fn copy_in(&mut self, to: &mut [u8], from: u64) -> Result<()>;
    /// Copies to it, all or nothing.
    fn copy_out(&mut self, to: u64, from: &[u8]) -> Result<()>;
}
