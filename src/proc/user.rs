//! A program's memory, as the layers that move bytes want it: where files are read to and written from, structures,
//! strings.
//!
//! All of it is the memory of the thread that runs: a page that is not there yet is brought, which may sleep, so no lock
//! that spins is held.

use super::memory;
use crate::arch::x86_64::usercopy;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::inode::PATH_MAX;
use crate::fs::io::{Sink, Source, User};
use crate::mm::vma::room;
use alloc::vec::Vec;

impl From<usercopy::Fault> for Errno {
    fn from(_: usercopy::Fault) -> Self {
        Self::Efault
    }
}

/// A run of a program's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub address: u64,
    pub len: usize,
}

/// One or several, one behind the other, as they are filled or read.
pub struct Spans<'a> {
    now: Span,
    later: &'a [Span],
    left: usize,
    file_size_limit: u64,
    is_broken_off: bool,
}

impl<'a> Spans<'a> {
    pub const fn one(address: u64, len: usize) -> Self {
        Self {
            now: Span { address, len },
            later: &[],
            left: len,
            file_size_limit: u64::MAX,
            is_broken_off: false,
        }
    }

    pub fn of(spans: &'a [Span]) -> Self {
        let left = spans.iter().map(|span| span.len).sum();
        Self {
            now: Span { address: 0, len: 0 },
            later: spans,
            left,
            file_size_limit: u64::MAX,
            is_broken_off: false,
        }
    }

    /// For what is written: no file may become larger.
    pub const fn up_to(self, file_size_limit: u64) -> Self {
        Self { file_size_limit, ..self }
    }

    /// Whether a writer was told that nobody reads any more.
    pub const fn is_broken_off(&self) -> bool {
        self.is_broken_off
    }

    /// Goes through as many of the next `len` bytes as `copy` takes, which is given an address and where in the `len` bytes
    /// it is, and returns how many it has left out.
    fn go(&mut self, len: usize, mut copy: impl FnMut(u64, core::ops::Range<usize>) -> usize) -> usize {
        let mut done = 0;
        while done < len {
            if self.now.len == 0 {
                let Some((first, later)) = self.later.split_first() else { break };
                (self.now, self.later) = (*first, later);
                continue;
            }
            let piece = self.now.len.min(len - done);
            let left = copy(self.now.address, done..done + piece);
            let moved = piece - left;
            done += moved;
            self.now = Span { address: self.now.address + moved as u64, len: self.now.len - moved };
            self.left -= moved;
            if left > 0 {
                // It takes no more at all.
                self.left = 0;
                break;
            }
        }
        done
    }
}

impl Sink for Spans<'_> {
    fn room(&self) -> usize {
        self.left
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.left);
        self.go(len, |to, range| {
            let len = range.len();
            usercopy::copy_out_partly(to, &bytes[range]).unwrap_or(len)
        })
    }

    fn put_zeroes(&mut self, len: usize) -> usize {
        let len = len.min(self.left);
        self.go(len, |to, range| {
            let len = range.len();
            usercopy::clear(to, len as u64).map_or(len, |left| left as usize)
        })
    }
}

impl Source for Spans<'_> {
    fn left(&self) -> usize {
        self.left
    }

    fn take(&mut self, to: &mut [u8]) -> usize {
        let len = to.len().min(self.left);
        self.go(len, |from, range| {
            let len = range.len();
            usercopy::copy_in_partly(&mut to[range], from).unwrap_or(len)
        })
    }

    fn file_size_limit(&self) -> u64 {
        self.file_size_limit
    }

    fn nobody_reads(&mut self) {
        self.is_broken_off = true;
    }
}

/// The memory of the thread that runs, for structures.
pub struct Mine;

impl User for Mine {
    fn copy_in(&mut self, to: &mut [u8], from: u64) -> Result<()> {
        Ok(usercopy::copy_in(to, from)?)
    }

    fn copy_out(&mut self, to: u64, from: &[u8]) -> Result<()> {
        Ok(usercopy::copy_out(to, from)?)
    }
}

impl memory::Sink for Mine {
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        Ok(usercopy::copy_out(address, bytes)?)
    }
}

impl memory::Bytes for Mine {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<()> {
        Ok(usercopy::copy_in(into, address)?)
    }
}

/// A string that ends within `limit` bytes, its 0 among them; without the 0. `too_long` if it does not.
pub fn string(address: u64, limit: usize, too_long: Errno) -> Result<Vec<u8>> {
    let len = usercopy::string_length(address, limit)?.ok_or(too_long)?;
    let mut bytes = room::with_room(len).map_err(|_| Errno::Enomem)?;
    bytes.resize(len, 0);
    usercopy::copy_in(&mut bytes, address)?;
    // It may have changed in between: what counts is what was copied.
    if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(end);
    }
    Ok(bytes)
}

/// A string that ends by its 0, after `limit` bytes, or where the program's memory does. EFAULT if there is not a byte.
pub fn text(address: u64, limit: usize) -> Result<Vec<u8>> {
    let mut bytes = room::with_room(limit).map_err(|_| Errno::Enomem)?;
    bytes.resize(limit, 0);
    let left = usercopy::copy_in_partly(&mut bytes, address)?;
    if left == limit {
        return Err(Errno::Efault);
    }
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(limit);
    bytes.truncate(end.min(limit - left));
    Ok(bytes)
}

/// A path.
pub fn path(address: u64) -> Result<Vec<u8>> {
    string(address, PATH_MAX, Errno::Enametoolong)
}
