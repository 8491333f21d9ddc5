//! Why a kernel file is refused, in the words that the loader shows.
//!
//! One variant for each check, in the order of the format: the ELF header, the program headers as a table, one
//! header, two of them, the whole. Each says which header and which numbers, in one line, so that whoever built
//! the file can look there with `readelf -l`.

use core::fmt;

use super::format::{EHDR_SIZE, PHDR_SIZE, PT_INTERP};
use super::{PHNUM_MAX, Window};

/// Why a file is refused. `index` counts program headers from 0, as `readelf -l` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElfError {
    /// Fewer bytes than an ELF header has.
    TooShort { len: usize },
    /// The first four bytes are others.
    Magic([u8; 4]),
    /// EI_CLASS is not ELFCLASS64.
    Class(u8),
    /// EI_DATA is not ELFDATA2LSB.
    Data(u8),
    /// EI_VERSION or `e_version` is not EV_CURRENT.
    Version(u32),
    /// `e_type` is not ET_EXEC.
    Type(u16),
    /// `e_machine` is not EM_X86_64.
    Machine(u16),
    /// `e_ehsize` is not that of ELF64.
    HeaderSize(u16),
    /// `e_phnum` is 0.
    NoProgramHeaders,
    /// `e_phnum` is above [`PHNUM_MAX`].
    TooManyProgramHeaders(u16),
    /// `e_phentsize` is not that of ELF64.
    ProgramHeaderSize(u16),
    /// `e_phoff` and `e_phnum` reach past the end of the file, or wrap.
    ProgramHeadersPastEnd { offset: u64, count: u16, len: usize },
    /// A PT_INTERP or PT_DYNAMIC: nobody here would do the relocations.
    Dynamic { index: u16, p_type: u32 },
    /// `p_filesz` is above `p_memsz`.
    FileszAboveMemsz { index: u16, filesz: u64, memsz: u64 },
    /// `p_offset + p_filesz` is past the end of the file, or wraps.
    SegmentPastEnd { index: u16, offset: u64, filesz: u64, len: usize },
    /// `p_vaddr + p_memsz`, rounded up to a page, wraps.
    AddressWraps { index: u16, vaddr: u64, memsz: u64 },
    /// `p_vaddr` is outside the window.
    OutsideWindow { index: u16, vaddr: u64, window: Window },
    /// The segment begins inside the window and makes the image longer than that.
    TooBig { index: u16, len: u64, limit: u64 },
    /// `p_align` is neither 0 nor a power of two.
    Alignment { index: u16, align: u64 },
    /// `p_vaddr` and `p_offset` differ modulo `p_align`.
    Misaligned { index: u16, vaddr: u64, offset: u64, align: u64 },
    /// Both PF_W and PF_X.
    WritableAndExecutable { index: u16 },
    /// Two segments claim the same address.
    Overlap { first: u16, second: u16 },
    /// Two segments claim the same page.
    SharedPage { first: u16, second: u16 },
    /// No PT_LOAD with anything in it.
    NothingToLoad,
    /// `e_entry` is not a byte that the file puts into an executable segment.
    Entry(u64),
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooShort { len: 0 } => write!(f, "the file is empty"),
            Self::TooShort { len } => {
                write!(f, "{len} bytes are too short for an ELF header of {EHDR_SIZE}")
            }
            Self::Magic(m) => write!(f, "not an ELF file (it begins with {m:02x?})"),
            Self::Class(v) => write!(f, "not a 64-bit ELF file (EI_CLASS {v})"),
            Self::Data(v) => write!(f, "not a little-endian ELF file (EI_DATA {v})"),
            Self::Version(v) => write!(f, "unknown ELF version {v}"),
            Self::Type(v) => write!(f, "not an executable linked to fixed addresses (e_type {v})"),
            Self::Machine(v) => write!(f, "not for x86-64 (e_machine {v})"),
            Self::HeaderSize(v) => write!(f, "ELF header of {v} bytes instead of {EHDR_SIZE}"),
            Self::NoProgramHeaders => write!(f, "no program headers"),
            Self::TooManyProgramHeaders(v) => {
                write!(f, "{v} program headers, at most {PHNUM_MAX} are allowed")
            }
            Self::ProgramHeaderSize(v) => {
                write!(f, "program headers of {v} bytes instead of {PHDR_SIZE}")
            }
            Self::ProgramHeadersPastEnd { offset, count, len } => write!(
                f,
                "{count} program headers at offset {offset:#x} reach past the end of the file \
                 ({len:#x} bytes); is it truncated?"
            ),
            Self::Dynamic { index, p_type } => {
                let name = if p_type == PT_INTERP { "PT_INTERP" } else { "PT_DYNAMIC" };
                write!(f, "program header {index}: {name}, but the kernel must be linked statically")
            }
            Self::FileszAboveMemsz { index, filesz, memsz } => {
                write!(f, "program header {index}: p_filesz {filesz:#x} is above p_memsz {memsz:#x}")
            }
            Self::SegmentPastEnd { index, offset, filesz, len } => write!(
                f,
                "program header {index}: {filesz:#x} bytes at offset {offset:#x} reach past the end \
                 of the file ({len:#x} bytes); is it truncated?"
            ),
            Self::AddressWraps { index, vaddr, memsz } => write!(
                f,
                "program header {index}: p_memsz {memsz:#x} at {vaddr:#x} wraps around the address space"
            ),
            Self::OutsideWindow { index, vaddr, window } => write!(
                f,
                "program header {index}: address {vaddr:#x} is outside the kernel's window \
                 ({:#x} bytes at {:#x})",
                window.size, window.base
            ),
            Self::TooBig { index, len, limit } => write!(
                f,
                "program header {index}: makes the image {len:#x} bytes long, the limit is {limit:#x}"
            ),
            Self::Alignment { index, align } => {
                write!(f, "program header {index}: p_align {align:#x} is not a power of two")
            }
            Self::Misaligned { index, vaddr, offset, align } => write!(
                f,
                "program header {index}: address {vaddr:#x} and offset {offset:#x} differ modulo \
                 p_align {align:#x}"
            ),
            Self::WritableAndExecutable { index } => {
                write!(f, "program header {index}: both writable and executable")
            }
            Self::Overlap { first, second } => {
                write!(f, "program headers {first} and {second} overlap in memory")
            }
            Self::SharedPage { first, second } => {
                write!(f, "program headers {first} and {second} share a page")
            }
            Self::NothingToLoad => write!(f, "no loadable segment"),
            Self::Entry(v) => {
                write!(f, "entry point {v:#x} is not in the file's part of an executable segment")
            }
        }
    }
}

impl core::error::Error for ElfError {}
