//! The kernel's ELF64 file: checked as if an enemy wrote it, then described segment by segment.
//!
//! Called by the loader before it allocates anything; calls nothing. [`Image::parse`] only reads the slice
//! it is given. Once it returns `Ok`, these hold, and the loader relies on them:
//!
//! - every segment, rounded out to whole pages, lies inside the window, and no two share a byte;
//! - the bytes to copy are in the file, and never more than the segment holds in memory;
//! - no segment is both writable and executable, and no page belongs to two of them: each is mapped once;
//! - the entry point is a byte of the file that lands in an executable segment.
//!
//! Nothing is stored: the program headers are read again from the slice whenever they are needed, and each
//! reading passes through the same checks.
//!
//! Source: System V gABI, chapter 4 "ELF Header" and chapter 5 "Program Header"; AMD64 supplement §4.1.

mod error;
pub mod format;
#[cfg(test)]
mod tests;

use super::layout::{KERNEL_BASE, KERNEL_MAX_SIZE, PAGE_SIZE};
pub use error::ElfError;
use format::*;

/// Most program headers we look at. It keeps the comparison of each pair short, and leaves no room for
/// PN_XNUM (0xffff), which would say that the true number stands in a section header.
pub const PHNUM_MAX: u16 = 64;

bitflags::bitflags! {
    /// `p_flags`, gABI chapter 5, "Segment Permissions". A page that is present can always be read on
    /// x86_64, whether or not `R` is set.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SegmentFlags: u32 {
        /// PF_X: its bytes may be executed.
        const X = 1;
        /// PF_W: its bytes may be written.
        const W = 2;
        /// PF_R: its bytes may be read.
        const R = 4;
    }
}

/// The addresses that the image may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First virtual address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
}

impl Window {
    /// The kernel's own window; see [`super::layout`].
    pub const KERNEL: Self = Self { base: KERNEL_BASE, size: KERNEL_MAX_SIZE };
}

/// A segment that passed every check that concerns it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Its program header's number.
    pub index: u16,
    /// First virtual address; need not be page-aligned.
    pub vaddr: u64,
    /// Bytes in memory, at least 1. What `bytes` does not fill is zero.
    pub memsz: u64,
    /// What the file puts at `vaddr`; no longer than `memsz`.
    pub bytes: &'a [u8],
    /// Permissions; never both `W` and `X`.
    pub flags: SegmentFlags,
}

impl Segment<'_> {
    /// `vaddr`, rounded down to its page.
    pub const fn page_start(&self) -> u64 {
        self.vaddr & !(PAGE_SIZE - 1)
    }

    /// First address past the last page.
    pub const fn page_end(&self) -> u64 {
        self.end().saturating_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1)
    }

    // Saturating only because the fields are public: a parsed segment does not come near the end.
    const fn end(&self) -> u64 {
        self.vaddr.saturating_add(self.memsz)
    }

    fn contains_code(&self, address: u64) -> bool {
        self.flags.contains(SegmentFlags::X)
            && address.checked_sub(self.vaddr).is_some_and(|at| at < self.bytes.len() as u64)
    }
}

/// A file that passed every check.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    file: &'a [u8],
    /// The program headers, [`PHDR_SIZE`] bytes each.
    headers: &'a [u8],
    window: Window,
    entry: u64,
    base: u64,
    len: u64,
}

impl<'a> Image<'a> {
    /// Checks the whole file. Reads at most [`PHNUM_MAX`] headers, and those a number of times that
    /// grows with the square of it.
    pub fn parse(file: &'a [u8], window: Window) -> Result<Self, ElfError> {
        let header: &[u8; EHDR_SIZE] = file.first_chunk().ok_or(ElfError::TooShort { len: file.len() })?;
        let headers = program_headers(file, header)?;
        let entry = u64_at(header, E_ENTRY);

        let mut pages: Option<(u64, u64)> = None;
        let mut entry_is_code = false;
        for (index, raw) in enumerate(headers) {
            let Some(segment) = load(file, window, index, raw)? else {
                continue;
            };
            for (other_index, other_raw) in enumerate(headers).take(index.into()) {
                if let Some(other) = load(file, window, other_index, other_raw)? {
                    compare(&other, &segment)?;
                }
            }
            let (first, last) = pages.unwrap_or((u64::MAX, 0));
            pages = Some((first.min(segment.page_start()), last.max(segment.page_end())));
            entry_is_code |= segment.contains_code(entry);
        }

        let (base, end) = pages.ok_or(ElfError::NothingToLoad)?;
        if !entry_is_code {
            return Err(ElfError::Entry(entry));
        }
        Ok(Self { file, headers, window, entry, base, len: end.saturating_sub(base) })
    }

    /// The segments to load, in the file's order.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'a>> + Clone + use<'a> {
        let Self { file, window, .. } = *self;
        enumerate(self.headers).filter_map(move |(index, raw)| load(file, window, index, raw).ok().flatten())
    }

    /// Virtual address of the first instruction.
    pub const fn entry(&self) -> u64 {
        self.entry
    }

    /// Lowest address of any segment, rounded down to a page.
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// Bytes from [`Self::base`] to past the last page of any segment: what has to be allocated.
    pub const fn len_bytes(&self) -> u64 {
        self.len
    }

    /// The same in pages.
    pub const fn pages(&self) -> u64 {
        self.len / PAGE_SIZE
    }
}

/// Checks the ELF header and finds the program headers.
fn program_headers<'a>(file: &'a [u8], header: &[u8; EHDR_SIZE]) -> Result<&'a [u8], ElfError> {
    let magic = bytes_at(header, 0);
    if magic != ELFMAG {
        return Err(ElfError::Magic(magic));
    }
    if header[EI_CLASS] != ELFCLASS64 {
        return Err(ElfError::Class(header[EI_CLASS]));
    }
    if header[EI_DATA] != ELFDATA2LSB {
        return Err(ElfError::Data(header[EI_DATA]));
    }
    for version in [header[EI_VERSION].into(), u32_at(header, E_VERSION)] {
        if version != EV_CURRENT {
            return Err(ElfError::Version(version));
        }
    }
    match u16_at(header, E_TYPE) {
        ET_EXEC => {}
        other => return Err(ElfError::Type(other)),
    }
    match u16_at(header, E_MACHINE) {
        EM_X86_64 => {}
        other => return Err(ElfError::Machine(other)),
    }
    let ehsize = u16_at(header, E_EHSIZE);
    if usize::from(ehsize) != EHDR_SIZE {
        return Err(ElfError::HeaderSize(ehsize));
    }

    let count = u16_at(header, E_PHNUM);
    if count == 0 {
        return Err(ElfError::NoProgramHeaders);
    }
    if count > PHNUM_MAX {
        return Err(ElfError::TooManyProgramHeaders(count));
    }
    let phentsize = u16_at(header, E_PHENTSIZE);
    if usize::from(phentsize) != PHDR_SIZE {
        return Err(ElfError::ProgramHeaderSize(phentsize));
    }
    let offset = u64_at(header, E_PHOFF);
    slice(file, offset, u64::from(count) * PHDR_SIZE as u64).ok_or(ElfError::ProgramHeadersPastEnd {
        offset,
        count,
        len: file.len(),
    })
}

/// Reads one program header. `Ok(None)` if it asks for no memory; otherwise every check that needs no
/// other header has been made.
fn load<'a>(file: &'a [u8], window: Window, index: u16, raw: &[u8]) -> Result<Option<Segment<'a>>, ElfError> {
    match u32_at(raw, P_TYPE) {
        PT_LOAD => {}
        p_type @ (PT_DYNAMIC | PT_INTERP) => return Err(ElfError::Dynamic { index, p_type }),
        _ => return Ok(None),
    }
    let (offset, filesz) = (u64_at(raw, P_OFFSET), u64_at(raw, P_FILESZ));
    let (vaddr, memsz) = (u64_at(raw, P_VADDR), u64_at(raw, P_MEMSZ));
    if filesz > memsz {
        return Err(ElfError::FileszAboveMemsz { index, filesz, memsz });
    }
    if memsz == 0 {
        return Ok(None);
    }
    let bytes = slice(file, offset, filesz).ok_or(ElfError::SegmentPastEnd {
        index,
        offset,
        filesz,
        len: file.len(),
    })?;

    let page_end = vaddr
        .checked_add(memsz)
        .and_then(|end| end.checked_next_multiple_of(PAGE_SIZE))
        .ok_or(ElfError::AddressWraps { index, vaddr, memsz })?;
    let page_start = vaddr & !(PAGE_SIZE - 1);
    if page_start.checked_sub(window.base).is_none_or(|at| at >= window.size) {
        return Err(ElfError::OutsideWindow { index, vaddr, window });
    }
    let len = page_end - window.base;
    if len > window.size {
        return Err(ElfError::TooBig { index, len, limit: window.size });
    }

    // Both 0 and 1 mean that there is no demand.
    let align = u64_at(raw, P_ALIGN);
    if align != 0 && !align.is_power_of_two() {
        return Err(ElfError::Alignment { index, align });
    }
    if align > 1 && (vaddr ^ offset) & (align - 1) != 0 {
        return Err(ElfError::Misaligned { index, vaddr, offset, align });
    }
    let flags = SegmentFlags::from_bits_truncate(u32_at(raw, P_FLAGS));
    if flags.contains(SegmentFlags::W | SegmentFlags::X) {
        return Err(ElfError::WritableAndExecutable { index });
    }
    Ok(Some(Segment { index, vaddr, memsz, bytes, flags }))
}

/// The checks that need two segments.
fn compare(a: &Segment<'_>, b: &Segment<'_>) -> Result<(), ElfError> {
    let (first, second) = (a.index, b.index);
    if a.vaddr < b.end() && b.vaddr < a.end() {
        return Err(ElfError::Overlap { first, second });
    }
    let share = a.page_start() < b.page_end() && b.page_start() < a.page_end();
    if share {
        return Err(ElfError::SharedPage { first, second });
    }
    Ok(())
}

fn enumerate(headers: &[u8]) -> impl Iterator<Item = (u16, &[u8])> + Clone {
    (0..).zip(headers.chunks_exact(PHDR_SIZE))
}
