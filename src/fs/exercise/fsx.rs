//! One file, read, written, cut, punched and mapped at random, against an array of bytes.
//!
//! The file is shown twice by an address space, shared and private. Of the private one it is known which pages are copies,
//! and what is in them: a copy stays what it is, whatever becomes of the file, unless the file ends before it.

use super::super::Result;
use super::super::file::File;
use super::super::flags::{FallocateFlags, Whence};
use super::super::io::{From, Into};
use super::super::namei::Caller;
use super::super::refs::Ref;
use crate::boot::layout::PAGE_SIZE;
use crate::errno::Errno;
use crate::mm::vma::room::{self, NoMemory};
use crate::testing::Random;
use alloc::vec::Vec;

const PAGE: usize = PAGE_SIZE as usize;
/// The file is never longer.
pub const MOST: usize = 32 * PAGE;
/// Bytes of one call.
const CALL: usize = 3 * PAGE + 100;
/// Steps between two looks at the whole.
const WHOLE: u64 = 64;

/// A file that is shown at two places.
pub trait Window {
    /// Bytes from `at` on as a program reads them; false: it cannot.
    fn load(&mut self, private: bool, at: usize, to: &mut [u8]) -> bool;
    /// The same for writing.
    fn store(&mut self, private: bool, at: usize, from: &[u8]) -> bool;
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub what: &'static str,
    pub step: u64,
    pub at: usize,
}

/// The exerciser.
pub struct Fsx<'a, W: Window> {
    caller: Caller<'a>,
    file: Ref<File>,
    window: W,
    random: Random,
    /// The file.
    model: Vec<u8>,
    /// Copies of its pages, one behind the other, and which of them there are.
    copies: Vec<u8>,
    copied: [bool; MOST / PAGE],
    buffer: Vec<u8>,
    step: u64,
}

fn zeroes(len: usize) -> core::result::Result<Vec<u8>, NoMemory> {
    let mut vec = room::with_room(len)?;
    vec.resize(len, 0);
    Ok(vec)
}

impl<'a, W: Window> Fsx<'a, W> {
    /// With an empty file, open for both, which `window` shows from its beginning on, [`MOST`] bytes of it.
    pub fn new(
        caller: Caller<'a>,
        file: Ref<File>,
        window: W,
        seed: u64,
    ) -> core::result::Result<Self, NoMemory> {
        Ok(Self {
            caller,
            file,
            window,
            random: Random::new(seed),
            model: room::with_room(MOST)?,
            copies: zeroes(MOST)?,
            copied: [false; MOST / PAGE],
            buffer: zeroes(MOST)?,
            step: 0,
        })
    }

    /// Takes so many steps.
    pub fn run(&mut self, steps: u64) -> core::result::Result<(), Wrong> {
        for _ in 0..steps {
            self.step += 1;
            self.one()?;
            self.check(
                self.file.inode.ops.size() == self.model.len() as u64,
                "another size",
                self.model.len(),
            )?;
            if self.step % WHOLE == 0 {
                self.read(0, MOST)?;
            }
        }
        self.read(0, MOST)
    }

    fn check(&self, good: bool, what: &'static str, at: usize) -> core::result::Result<(), Wrong> {
        if good { Ok(()) } else { Err(Wrong { what, step: self.step, at }) }
    }

    fn done<T>(&self, result: Result<T>, what: &'static str, at: usize) -> core::result::Result<T, Wrong> {
        result.map_err(|_| Wrong { what, step: self.step, at })
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit as u64) as usize
    }

    /// A place and a length, up to `end`.
    fn range(&mut self, end: usize) -> (usize, usize) {
        let at = self.below(end.max(1));
        let at = if self.below(4) == 0 { at & !(PAGE - 1) } else { at };
        let len = 1 + self.below(CALL);
        let len = if self.below(4) == 0 { len.next_multiple_of(PAGE) } else { len };
        (at, len.min(end.saturating_sub(at)))
    }

    /// Bytes that are not the ones of any other step.
    fn fill(&mut self, len: usize) {
        let mut word = self.step.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        for byte in &mut self.buffer[..len] {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            *byte = word as u8;
        }
    }

    fn one(&mut self) -> core::result::Result<(), Wrong> {
        let size = self.model.len();
        match self.random.below(100) {
            0..18 => {
                let (at, len) = self.range(MOST);
                self.read(at, len)
            }
            18..38 => {
                let end = if self.below(3) == 0 { MOST } else { (size + CALL).min(MOST) };
                let (at, len) = self.range(end);
                self.write(at, len)
            }
            38..46 => {
                let size = self.below(MOST + 1);
                let aligned = self.below(3) == 0;
                self.truncate(if aligned { size & !(PAGE - 1) } else { size })
            }
            46..54 => {
                let (at, len) = self.range(MOST);
                self.punch(at, len)
            }
            54..58 => {
                let (at, len) = self.range(MOST);
                let keep = self.below(2) == 0;
                self.allocate(at, len, keep)
            }
            58..72 => self.load(false),
            72..84 => self.store(false),
            84..90 => self.load(true),
            90..94 => self.store(true),
            94..97 => self.past_the_end(),
            _ => self.seek(),
        }
    }

    fn read(&mut self, at: usize, len: usize) -> core::result::Result<(), Wrong> {
        let result = self.file.read_at(&mut Into::new(&mut self.buffer[..len]), at as u64);
        let got = self.done(result, "read is refused", at)?;
        let expected = &self.model
            [at.min(self.model.len())..(at + len).min(self.model.len()).max(at.min(self.model.len()))];
        self.check(got == expected.len(), "read gives another number of bytes", at)?;
        let same = expected.iter().zip(&self.buffer).position(|(a, b)| a != b);
        self.check(same.is_none(), "read gives other bytes", at + same.unwrap_or(0))
    }

    fn grow(&mut self, end: usize) {
        if end > self.model.len() {
            // Within what it has room for.
            self.model.resize(end, 0);
        }
    }

    fn write(&mut self, at: usize, len: usize) -> core::result::Result<(), Wrong> {
        self.fill(len);
        let result = self.file.write_at(&mut From(&self.buffer[..len]), at as u64);
        let done = self.done(result, "write is refused", at)?;
        self.check(done == len, "write takes fewer bytes", at)?;
        if len > 0 {
            self.grow(at + len);
            self.model[at..at + len].copy_from_slice(&self.buffer[..len]);
        }
        Ok(())
    }

    fn truncate(&mut self, size: usize) -> core::result::Result<(), Wrong> {
        let result = self.caller.truncate_file(&self.file, size as i64, u64::MAX);
        self.done(result, "truncate is refused", size)?;
        if size < self.model.len() {
            self.copied[size.div_ceil(PAGE)..].fill(false);
        }
        self.model.resize(size, 0);
        Ok(())
    }

    fn punch(&mut self, at: usize, len: usize) -> core::result::Result<(), Wrong> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let result = self.file.fallocate(flags, at as i64, len.max(1) as i64, u64::MAX);
        self.done(result, "a hole is refused", at)?;
        let end = (at + len.max(1)).min(self.model.len());
        if at < end {
            self.model[at..end].fill(0);
        }
        Ok(())
    }

    fn allocate(&mut self, at: usize, len: usize, keep: bool) -> core::result::Result<(), Wrong> {
        let flags = if keep { FallocateFlags::KEEP_SIZE } else { FallocateFlags::empty() };
        if len == 0 {
            return Ok(());
        }
        let result = self.file.fallocate(flags, at as i64, len as i64, u64::MAX);
        if result == Err(Errno::Eopnotsupp) {
            // What lies on a disk may have no room kept for it.
            return Ok(());
        }
        self.done(result, "fallocate is refused", at)?;
        if !keep {
            self.grow(at + len);
        }
        Ok(())
    }

    /// The byte that the private mapping has.
    fn private(&self, at: usize) -> u8 {
        if self.copied[at / PAGE] { self.copies[at] } else { self.model[at] }
    }

    fn load(&mut self, private: bool) -> core::result::Result<(), Wrong> {
        let (at, len) = self.range(self.model.len());
        let loaded = self.window.load(private, at, &mut self.buffer[..len]);
        self.check(loaded, "a page that is there cannot be read", at)?;
        let wrong = (0..len).find(|&n| {
            let expected = if private { self.private(at + n) } else { self.model[at + n] };
            self.buffer[n] != expected
        });
        let what = if private { "a private mapping has other bytes" } else { "a mapping has other bytes" };
        self.check(wrong.is_none(), what, at + wrong.unwrap_or(0))
    }

    fn store(&mut self, private: bool) -> core::result::Result<(), Wrong> {
        let (at, len) = self.range(self.model.len());
        self.fill(len);
        let stored = self.window.store(private, at, &self.buffer[..len]);
        self.check(stored, "a page that is there cannot be written", at)?;
        if len == 0 {
            return Ok(());
        }
        if !private {
            self.model[at..at + len].copy_from_slice(&self.buffer[..len]);
            return Ok(());
        }
        for page in at / PAGE..=(at + len - 1) / PAGE {
            if !self.copied[page] {
                let (start, end) = (page * PAGE, ((page + 1) * PAGE).min(self.model.len()));
                self.copies[start..(page + 1) * PAGE].fill(0);
                self.copies[start..end].copy_from_slice(&self.model[start..end]);
                self.copied[page] = true;
            }
        }
        self.copies[at..at + len].copy_from_slice(&self.buffer[..len]);
        Ok(())
    }

    /// A page behind the end is not there, in neither mapping.
    fn past_the_end(&mut self) -> core::result::Result<(), Wrong> {
        let first = self.model.len().div_ceil(PAGE);
        if first == MOST / PAGE {
            return Ok(());
        }
        let at = (first + self.below(MOST / PAGE - first)) * PAGE + self.below(PAGE - 1);
        for private in [false, true] {
            let loaded = self.window.load(private, at, &mut self.buffer[..1]);
            self.check(!loaded, "a page behind the end can be read", at)?;
            let stored = self.window.store(private, at, &[1]);
            self.check(!stored, "a page behind the end can be written", at)?;
        }
        Ok(())
    }

    fn seek(&mut self) -> core::result::Result<(), Wrong> {
        let (at, size) = (self.below(MOST), self.model.len());
        let is_zero =
            |from: usize, to: usize| self.model[from.min(size)..to.min(size)].iter().all(|&byte| byte == 0);
        let data = match self.file.seek(at as i64, Whence::Data) {
            Ok(found) => found as usize,
            Err(Errno::Enxio) => size.max(at),
            Err(_) => return Err(Wrong { what: "seeking data is refused", step: self.step, at }),
        };
        self.check(data >= at && is_zero(at, data), "data is passed over", at)?;
        match self.file.seek(at as i64, Whence::Hole) {
            Ok(found) => {
                let (hole, next) = (found as usize, (found as usize / PAGE + 1) * PAGE);
                self.check(hole >= at && hole <= size && is_zero(hole, next), "there is no hole", at)
            }
            Err(Errno::Enxio) => self.check(at >= size, "there is no hole to be found", at),
            Err(_) => Err(Wrong { what: "seeking a hole is refused", step: self.step, at }),
        }
    }
}
