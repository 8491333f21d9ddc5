//! Programs as ELF64 files: checked as if an enemy wrote them, then described segment by segment.
//!
//! Called by exec before anything of the old program is touched. [`Program::read`] maps nothing and changes nothing: it
//! reads headers through [`Source`] and returns a plan, or [`Errno::Enoexec`]. Once it returns `Ok`, these hold, and who
//! maps the segments relies on them:
//!
//! - segments are sorted by address, each begins and ends at a page, and no two share one;
//! - a program at fixed addresses lies inside the window, one that can be anywhere is no longer than the window;
//! - what is mapped of the file was in the file when it was read, and is never more than the segment has in memory;
//! - the entry point lies in an executable segment.
//!
//! ```text
//!            vaddr            p_vaddr           + p_filesz                + p_memsz
//!              │                 │                  │                         │
//!   pages      ├── file_bytes: mapped from `offset` ┼──── clear ───┤── zero_bytes ─────────┤
//!   in file    ├─ what is before ┼── the segment ───┼─ what follows┤
//! ```
//!
//! The bytes before and behind a segment in its first and last page are whatever the file has there: programs see
//! them, on Linux too. Only a segment that goes on in memory has the rest of its last file page cleared, and only if it
//! is writable; Linux leaves it as it is in one that is not.
//!
//! Where Linux maps what it is told and lets the program fault, this refuses: segments that share a page, that reach
//! past the end of the file, or an entry point outside the program. No linker makes such files.
//!
//! Source: System V gABI, chapter 4 "ELF Header", chapter 5 "Program Header"; AMD64 supplement §4.1, §5.1.

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod real;
#[cfg(test)]
pub mod samples;
#[cfg(test)]
mod tests;

use core::ops::Range;

use alloc::vec::Vec;

use crate::boot::elf::SegmentFlags;
use crate::boot::elf::format::*;
use crate::boot::layout::{PAGE_SIZE, USER_END};
use crate::errno::Errno;

/// Where a file's bytes come from.
pub trait Source {
    /// Bytes in the file.
    fn len_bytes(&self) -> u64;

    /// Reads `into.len()` bytes at `offset`, or fewer at the end of the file; how many.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno>;
}

/// Most bytes of program headers, as on Linux: 1170 of them.
const HEADERS_MAX_BYTES: usize = 65_536;
/// Longest path of an interpreter with the 0 at its end, as on Linux (`PATH_MAX`).
const INTERPRETER_MAX_BYTES: u64 = 4096;
/// Largest alignment of a segment. x86_64 has no larger page, so nothing is gained by more.
const ALIGN_MAX: u64 = 1 << 30;

/// Where its addresses are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ET_EXEC: where the file says.
    Fixed,
    /// ET_DYN: the file's addresses count from wherever it is put. A static-PIE program, one that needs an interpreter,
    /// or the interpreter itself.
    Anywhere,
}

/// A run of pages to be mapped, from the file, without it, or both: first `file_bytes`, then `zero_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First address; page-aligned. Counts from the program's base if it can be anywhere.
    pub vaddr: u64,
    /// Where in the file the first page begins; page-aligned.
    pub offset: u64,
    /// Bytes that are mapped from the file, in whole pages; 0 if none are.
    pub file_bytes: u64,
    /// How many bytes at the end of these are to be cleared; less than a page. 0 if the segment is not writable.
    pub clear_bytes: u64,
    /// Bytes behind them that begin as zeroes, in whole pages.
    pub zero_bytes: u64,
    /// What may be done with them.
    pub flags: SegmentFlags,
}

impl Segment {
    /// First address past it.
    pub const fn end(&self) -> u64 {
        self.vaddr + self.file_bytes + self.zero_bytes
    }

    /// The address from which on `clear_bytes` are to be cleared.
    pub const fn clear_at(&self) -> u64 {
        self.vaddr + self.file_bytes - self.clear_bytes
    }
}

/// What is to be mapped, and what the program is told of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    pub kind: Kind,
    /// Sorted by address; not empty.
    pub segments: Vec<Segment>,
    /// First instruction.
    pub entry: u64,
    /// Where the program headers are once it is mapped (AT_PHDR); `None` if no segment has them.
    pub headers: Option<u64>,
    /// How many there are (AT_PHNUM).
    pub header_count: u16,
    /// Where the heap would begin: past the last byte of the highest segment, rounded up to a page.
    pub end_of_data: u64,
    /// Whose help it needs: the path, without the 0 at its end.
    pub interpreter: Option<Vec<u8>>,
    /// It wants its stack executable.
    pub executable_stack: bool,
    /// What its base must be a multiple of: a power of two, at least a page.
    pub align: u64,
}

/// Bytes of one program header (AT_PHENT).
pub const HEADER_BYTES: u64 = PHDR_SIZE as u64;

impl Program {
    /// Checks a file and says what is to be mapped. `window`: the addresses that programs may have, page-aligned.
    ///
    /// [`Errno::Enoexec`] for a file that is no program for this machine, or lies; [`Errno::Enomem`]; or what the
    /// source's reads fail with.
    pub fn read(source: &(impl Source + ?Sized), window: Range<u64>) -> Result<Self, Errno> {
        let mut header = [0; EHDR_SIZE];
        read_exactly(source, 0, &mut header)?;
        let kind = check_header(&header)?;
        let window = match kind {
            Kind::Fixed => window,
            Kind::Anywhere => 0..window.end.saturating_sub(window.start),
        };
        let entry = u64_at(&header, E_ENTRY);
        let (offset, header_count) = (u64_at(&header, E_PHOFF), u16_at(&header, E_PHNUM));
        let raw = read_vec(source, offset, usize::from(header_count) * PHDR_SIZE)?;

        let mut program = Self {
            kind,
            segments: Vec::new(),
            entry,
            headers: None,
            header_count,
            end_of_data: 0,
            interpreter: None,
            executable_stack: false,
            align: PAGE_SIZE,
        };
        let mut entry_is_code = false;
        for raw in raw.chunks_exact(PHDR_SIZE) {
            match u32_at(raw, P_TYPE) {
                PT_LOAD if u64_at(raw, P_MEMSZ) != 0 => {
                    let load = Load::read(raw, source.len_bytes(), &window)?;
                    entry_is_code |= load.contains_code(entry);
                    program.add(&load, offset)?;
                }
                PT_INTERP if program.interpreter.is_none() => {
                    program.interpreter = Some(interpreter(source, raw)?);
                }
                PT_GNU_STACK => {
                    program.executable_stack = u32_at(raw, P_FLAGS) & SegmentFlags::X.bits() != 0;
                }
                _ => {}
            }
        }
        program.segments.sort_unstable_by_key(|segment| segment.vaddr);
        let apart = program.segments.is_sorted_by(|a, b| a.end() <= b.vaddr);
        let whole = program.span().is_some_and(|span| span.end <= window.end);
        if apart && whole && entry_is_code { Ok(program) } else { Err(Errno::Enoexec) }
    }

    /// From the first page to past the last one. `None` only of a program without segments.
    pub fn span(&self) -> Option<Range<u64>> {
        Some(self.segments.first()?.vaddr..self.segments.last()?.end())
    }

    fn add(&mut self, load: &Load, headers_at: u64) -> Result<(), Errno> {
        self.segments.try_reserve(1).map_err(|_| Errno::Enomem)?;
        self.segments.push(load.segment());
        self.end_of_data = self.end_of_data.max(page_up(load.vaddr + load.memsz));
        self.align = self.align.max(load.align);
        // As Linux finds them: the headers' first byte is in this segment, and the rest of them is not asked about.
        if let Some(within) = headers_at.checked_sub(load.offset).filter(|&within| within < load.filesz) {
            self.headers.get_or_insert(load.vaddr + within);
        }
        Ok(())
    }
}

/// A PT_LOAD that passed every check that concerns it alone.
struct Load {
    vaddr: u64,
    offset: u64,
    filesz: u64,
    memsz: u64,
    align: u64,
    flags: SegmentFlags,
}

impl Load {
    fn read(raw: &[u8], len: u64, window: &Range<u64>) -> Result<Self, Errno> {
        let align = u64_at(raw, P_ALIGN);
        let load = Self {
            vaddr: u64_at(raw, P_VADDR),
            offset: u64_at(raw, P_OFFSET),
            filesz: u64_at(raw, P_FILESZ),
            memsz: u64_at(raw, P_MEMSZ),
            // What is no power of two is not obeyed, on Linux neither.
            align: if align.is_power_of_two() { align } else { 1 },
            flags: SegmentFlags::from_bits_truncate(u32_at(raw, P_FLAGS)),
        };
        // The end in memory is inside the window and so far below 2^64 that rounding up cannot wrap.
        let end = load.vaddr.checked_add(load.memsz).filter(|&end| end <= window.end.min(USER_END));
        let in_window = load.vaddr - load.vaddr % PAGE_SIZE >= window.start && end.is_some();
        // A segment without a byte of the file may name any offset, and linkers do name some past its end.
        let from_file = load.offset.checked_add(load.filesz).is_some_and(|end| end <= len)
            && load.vaddr % PAGE_SIZE == load.offset % PAGE_SIZE;
        let fits = load.filesz <= load.memsz && load.align <= ALIGN_MAX;
        if in_window && (from_file || load.filesz == 0) && fits { Ok(load) } else { Err(Errno::Enoexec) }
    }

    fn contains_code(&self, address: u64) -> bool {
        let within = address.checked_sub(self.vaddr).is_some_and(|at| at < self.memsz);
        within && self.flags.contains(SegmentFlags::X)
    }

    fn segment(&self) -> Segment {
        let before = self.vaddr % PAGE_SIZE;
        let (start, end) = (self.vaddr - before, page_up(self.vaddr + self.memsz));
        let file_bytes = if self.filesz == 0 { 0 } else { page_up(before + self.filesz) };
        let grows = self.filesz != 0 && self.memsz > self.filesz && self.flags.contains(SegmentFlags::W);
        Segment {
            vaddr: start,
            offset: if self.filesz == 0 { 0 } else { self.offset - before },
            file_bytes,
            clear_bytes: if grows { file_bytes - before - self.filesz } else { 0 },
            zero_bytes: end - start - file_bytes,
            flags: self.flags,
        }
    }
}

/// Whether the ELF header is a program's for this machine.
fn check_header(header: &[u8; EHDR_SIZE]) -> Result<Kind, Errno> {
    let ident = header[..4] == ELFMAG
        && header[EI_CLASS] == ELFCLASS64
        && header[EI_DATA] == ELFDATA2LSB
        && u32::from(header[EI_VERSION]) == EV_CURRENT;
    let count = usize::from(u16_at(header, E_PHNUM));
    let table = usize::from(u16_at(header, E_PHENTSIZE)) == PHDR_SIZE
        && (1..=HEADERS_MAX_BYTES / PHDR_SIZE).contains(&count);
    if !ident || !table || u16_at(header, E_MACHINE) != EM_X86_64 {
        return Err(Errno::Enoexec);
    }
    match u16_at(header, E_TYPE) {
        ET_EXEC => Ok(Kind::Fixed),
        ET_DYN => Ok(Kind::Anywhere),
        _ => Err(Errno::Enoexec),
    }
}

/// The path in a PT_INTERP, which ends with a 0.
fn interpreter(source: &(impl Source + ?Sized), raw: &[u8]) -> Result<Vec<u8>, Errno> {
    let (offset, len) = (u64_at(raw, P_OFFSET), u64_at(raw, P_FILESZ));
    if !(2..=INTERPRETER_MAX_BYTES).contains(&len) {
        return Err(Errno::Enoexec);
    }
    let mut path = read_vec(source, offset, len as usize)?;
    if path.last() != Some(&0) {
        return Err(Errno::Enoexec);
    }
    let end = path.iter().position(|&byte| byte == 0).unwrap_or(0);
    path.truncate(end);
    if path.is_empty() { Err(Errno::Enoexec) } else { Ok(path) }
}

fn read_vec(source: &(impl Source + ?Sized), offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Errno::Enomem)?;
    bytes.resize(len, 0);
    read_exactly(source, offset, &mut bytes)?;
    Ok(bytes)
}

/// All of `into`, or [`Errno::Enoexec`]: the file is shorter than its headers say.
fn read_exactly(source: &(impl Source + ?Sized), offset: u64, into: &mut [u8]) -> Result<(), Errno> {
    let mut done = 0;
    while done < into.len() {
        let at = offset.checked_add(done as u64).ok_or(Errno::Enoexec)?;
        match source.read_at(at, &mut into[done..])? {
            0 => return Err(Errno::Enoexec),
            read => done += read.min(into.len() - done),
        }
    }
    Ok(())
}

/// Rounded up to a page. Of user addresses and sums of them only, which are far from 2^64.
const fn page_up(address: u64) -> u64 {
    address.div_ceil(PAGE_SIZE) * PAGE_SIZE
}
