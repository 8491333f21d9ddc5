//! The kernel's ELF64 file: checked as if an enemy wrote it, then described segment by segment.
//!
//! Called by the loader before it allocates anything; calls nothing. [`Image::parse`] only reads the slice
//! it is given. Once it returns `Ok`, these hold, and the loader relies on them:
//!
//! - every segment, rounded out to whole pages, lies inside the window, and no two share a byte;
//! - the bytes to copy are in the file, and never more than the segment holds in memory;
//! - no segment is both writable and executable, and no page belongs to segments of different permissions;
//! - the entry point is a byte of the file that lands in an executable segment.
//!
//! Nothing is stored: the program headers are read again from the slice whenever they are needed, and each
//! reading passes through the same checks.
//!
//! Source: System V gABI, chapter 4 "ELF Header" and chapter 5 "Program Header"; AMD64 supplement §4.1.

use core::fmt;

use super::layout::{KERNEL_BASE, KERNEL_MAX_SIZE, PAGE_SIZE};

// e_ident[], gABI chapter 4, "ELF Identification".
const ELFMAG: [u8; 4] = *b"\x7fELF";
const EI_CLASS: usize = 4;
const EI_DATA: usize = 5;
const EI_VERSION: usize = 6;
const ELFCLASS64: u8 = 2;
const ELFDATA2LSB: u8 = 1;

// Elf64_Ehdr, gABI chapter 4, "ELF Header": values and byte offsets.
const EV_CURRENT: u32 = 1;
const ET_EXEC: u16 = 2;
const EM_X86_64: u16 = 62;
const EHDR_SIZE: usize = 64;
const E_TYPE: usize = 16;
const E_MACHINE: usize = 18;
const E_VERSION: usize = 20;
const E_ENTRY: usize = 24;
const E_PHOFF: usize = 32;
const E_EHSIZE: usize = 52;
const E_PHENTSIZE: usize = 54;
const E_PHNUM: usize = 56;

// Elf64_Phdr, gABI chapter 5, "Program Header": values and byte offsets.
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PHDR_SIZE: usize = 56;
const P_TYPE: usize = 0;
const P_FLAGS: usize = 4;
const P_OFFSET: usize = 8;
const P_VADDR: usize = 16;
const P_FILESZ: usize = 32;
const P_MEMSZ: usize = 40;
const P_ALIGN: usize = 48;

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
    /// Two segments with different permissions claim the same page.
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
                write!(
                    f,
                    "program header {index}: {name}, but the kernel must be linked statically"
                )
            }
            Self::FileszAboveMemsz { index, filesz, memsz } => write!(
                f,
                "program header {index}: p_filesz {filesz:#x} is above p_memsz {memsz:#x}"
            ),
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
            Self::SharedPage { first, second } => write!(
                f,
                "program headers {first} and {second} share a page but not their permissions"
            ),
            Self::NothingToLoad => write!(f, "no loadable segment"),
            Self::Entry(v) => {
                write!(f, "entry point {v:#x} is not in the file's part of an executable segment")
            }
        }
    }
}

impl core::error::Error for ElfError {}

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
        let header: &[u8; EHDR_SIZE] =
            file.first_chunk().ok_or(ElfError::TooShort { len: file.len() })?;
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
        enumerate(self.headers)
            .filter_map(move |(index, raw)| load(file, window, index, raw).ok().flatten())
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
    slice(file, offset, u64::from(count) * PHDR_SIZE as u64)
        .ok_or(ElfError::ProgramHeadersPastEnd { offset, count, len: file.len() })
}

/// Reads one program header. `Ok(None)` if it asks for no memory; otherwise every check that needs no
/// other header has been made.
fn load<'a>(
    file: &'a [u8],
    window: Window,
    index: u16,
    raw: &[u8],
) -> Result<Option<Segment<'a>>, ElfError> {
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
    if share && a.flags != b.flags {
        return Err(ElfError::SharedPage { first, second });
    }
    Ok(())
}

fn enumerate(headers: &[u8]) -> impl Iterator<Item = (u16, &[u8])> + Clone {
    (0..).zip(headers.chunks_exact(PHDR_SIZE))
}

/// `len` bytes at `offset`, if the file has them.
fn slice(file: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = usize::try_from(offset.checked_add(len)?).ok()?;
    file.get(start..end)
}

/// `N` bytes of a header. The offsets are the constants above, so the zeros past its end never show.
fn bytes_at<const N: usize>(raw: &[u8], at: usize) -> [u8; N] {
    raw.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

fn u16_at(raw: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes_at(raw, at))
}

fn u32_at(raw: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes_at(raw, at))
}

fn u64_at(raw: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes_at(raw, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = KERNEL_BASE;
    /// Sixteen pages: small enough to model page by page.
    const WINDOW: Window = Window { base: BASE, size: 16 * PAGE_SIZE };
    const RX: u32 = 5;
    const R: u32 = 4;
    const RW: u32 = 6;
    const PT_NOTE: u32 = 4;

    #[derive(Clone, Copy)]
    struct Phdr {
        p_type: u32,
        flags: u32,
        offset: u64,
        vaddr: u64,
        filesz: u64,
        memsz: u64,
        align: u64,
    }

    fn phdr(flags: u32, offset: u64, vaddr: u64, filesz: u64, memsz: u64) -> Phdr {
        Phdr { p_type: PT_LOAD, flags, offset, vaddr, filesz, memsz, align: PAGE_SIZE }
    }

    /// Text, read-only data, data with bss, and a note; not in the order of their addresses.
    fn typical() -> Vec<Phdr> {
        vec![
            phdr(RW, 0x500, BASE + 0x4500, 0x80, 0x2000),
            phdr(RX, 0x200, BASE + 0x1200, 0x200, 0x200),
            phdr(R, 0x400, BASE + 0x2400, 0x100, 0x1100),
            Phdr { p_type: PT_NOTE, ..phdr(R, 0x410, BASE + 0x2410, 0x10, 0x10) },
        ]
    }

    fn build(entry: u64, headers: &[Phdr]) -> Vec<u8> {
        let mut file = vec![0u8; 0x600];
        for (i, byte) in file.iter_mut().enumerate() {
            *byte = (i * 7) as u8;
        }
        file[..EHDR_SIZE].fill(0);
        file[..4].copy_from_slice(&ELFMAG);
        file[EI_CLASS] = ELFCLASS64;
        file[EI_DATA] = ELFDATA2LSB;
        file[EI_VERSION] = 1;
        put(&mut file, E_TYPE, &ET_EXEC.to_le_bytes());
        put(&mut file, E_MACHINE, &EM_X86_64.to_le_bytes());
        put(&mut file, E_VERSION, &EV_CURRENT.to_le_bytes());
        put(&mut file, E_ENTRY, &entry.to_le_bytes());
        put(&mut file, E_PHOFF, &64u64.to_le_bytes());
        put(&mut file, E_EHSIZE, &64u16.to_le_bytes());
        put(&mut file, E_PHENTSIZE, &56u16.to_le_bytes());
        put(&mut file, E_PHNUM, &(headers.len() as u16).to_le_bytes());
        for (i, h) in headers.iter().enumerate() {
            let at = EHDR_SIZE + i * PHDR_SIZE;
            put(&mut file, at + P_TYPE, &h.p_type.to_le_bytes());
            put(&mut file, at + P_FLAGS, &h.flags.to_le_bytes());
            put(&mut file, at + P_OFFSET, &h.offset.to_le_bytes());
            put(&mut file, at + P_VADDR, &h.vaddr.to_le_bytes());
            put(&mut file, at + 24, &h.vaddr.to_le_bytes());
            put(&mut file, at + P_FILESZ, &h.filesz.to_le_bytes());
            put(&mut file, at + P_MEMSZ, &h.memsz.to_le_bytes());
            put(&mut file, at + P_ALIGN, &h.align.to_le_bytes());
        }
        file
    }

    fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
        file[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn valid() -> Vec<u8> {
        build(BASE + 0x1210, &typical())
    }

    fn error(file: &[u8]) -> ElfError {
        Image::parse(file, WINDOW).map(|_| ()).expect_err("the file should have been refused")
    }

    /// The error after `bytes` replace what is at `at`.
    fn patched(at: usize, bytes: &[u8]) -> ElfError {
        let mut file = valid();
        put(&mut file, at, bytes);
        error(&file)
    }

    /// The error after `change` edited one of the program headers.
    fn edited(index: usize, change: impl Fn(&mut Phdr)) -> ElfError {
        let mut headers = typical();
        change(&mut headers[index]);
        error(&build(BASE + 0x1210, &headers))
    }

    #[test]
    fn a_valid_file_is_described() {
        let file = valid();
        let image = Image::parse(&file, WINDOW).unwrap();
        assert_eq!(image.entry(), BASE + 0x1210);
        assert_eq!(image.base(), BASE + 0x1000);
        assert_eq!((image.len_bytes(), image.pages()), (0x6000, 6));
        let segments: Vec<_> = image.segments().collect();
        assert_eq!(segments.len(), 3);
        assert_eq!(segments[0].flags, SegmentFlags::R | SegmentFlags::W);
        assert_eq!((segments[0].vaddr, segments[0].memsz), (BASE + 0x4500, 0x2000));
        assert_eq!(segments[0].bytes, &file[0x500..0x580]);
        assert_eq!(
            (segments[0].page_start(), segments[0].page_end()),
            (BASE + 0x4000, BASE + 0x7000)
        );
        assert_eq!(segments[1].flags, SegmentFlags::R | SegmentFlags::X);
        assert_eq!(segments[1].bytes, &file[0x200..0x400]);
        assert_eq!((segments[2].index, segments[2].flags), (2, SegmentFlags::R));
    }

    #[test]
    fn the_identification_is_checked() {
        assert_eq!(error(&[]), ElfError::TooShort { len: 0 });
        assert_eq!(error(&valid()[..63]), ElfError::TooShort { len: 63 });
        assert_eq!(patched(0, b"MZ"), ElfError::Magic(*b"MZLF"));
        assert_eq!(patched(EI_CLASS, &[1]), ElfError::Class(1));
        assert_eq!(patched(EI_DATA, &[2]), ElfError::Data(2));
        assert_eq!(patched(EI_VERSION, &[0]), ElfError::Version(0));
        assert_eq!(patched(E_VERSION, &[2, 1]), ElfError::Version(0x102));
        assert_eq!(patched(E_TYPE, &[3]), ElfError::Type(3));
        assert_eq!(patched(E_MACHINE, &[183]), ElfError::Machine(183));
        assert_eq!(patched(E_EHSIZE, &[52]), ElfError::HeaderSize(52));
    }

    #[test]
    fn the_program_header_table_is_checked() {
        assert_eq!(patched(E_PHNUM, &[0, 0]), ElfError::NoProgramHeaders);
        assert_eq!(patched(E_PHNUM, &[65, 0]), ElfError::TooManyProgramHeaders(65));
        assert_eq!(patched(E_PHNUM, &[0xff, 0xff]), ElfError::TooManyProgramHeaders(0xffff));
        assert_eq!(patched(E_PHENTSIZE, &[32]), ElfError::ProgramHeaderSize(32));
        let past = |offset, count| ElfError::ProgramHeadersPastEnd { offset, count, len: 0x600 };
        assert_eq!(patched(E_PHOFF, &0x521u64.to_le_bytes()), past(0x521, 4));
        assert_eq!(patched(E_PHOFF, &u64::MAX.to_le_bytes()), past(u64::MAX, 4));
        assert_eq!(patched(E_PHNUM, &[64]), past(64, 64));
    }

    #[test]
    fn a_file_cut_short_anywhere_is_refused() {
        let file = valid();
        for len in 0..0x580 {
            let expected = match len {
                0..64 => ElfError::TooShort { len },
                64..288 => ElfError::ProgramHeadersPastEnd { offset: 64, count: 4, len },
                _ => ElfError::SegmentPastEnd { index: 0, offset: 0x500, filesz: 0x80, len },
            };
            assert_eq!(error(&file[..len]), expected);
        }
        assert!(Image::parse(&file[..0x580], WINDOW).is_ok());
    }

    #[test]
    fn the_bytes_of_a_segment_are_checked() {
        let past =
            |offset, filesz| ElfError::SegmentPastEnd { index: 1, offset, filesz, len: 0x600 };
        assert_eq!(edited(1, |h| h.offset = 0x1200), past(0x1200, 0x200));
        assert_eq!(edited(1, |h| h.offset = u64::MAX - 0xff), past(u64::MAX - 0xff, 0x200));
        assert_eq!(
            edited(1, |h| h.memsz = 0x1ff),
            ElfError::FileszAboveMemsz { index: 1, filesz: 0x200, memsz: 0x1ff }
        );
    }

    #[test]
    fn the_addresses_of_a_segment_are_checked() {
        let wraps = |vaddr, memsz| ElfError::AddressWraps { index: 0, vaddr, memsz };
        let vaddr = BASE + 0x4500;
        assert_eq!(edited(0, |h| h.memsz = u64::MAX), wraps(vaddr, u64::MAX));
        // The sum fits, but not rounded up to the next page.
        assert_eq!(edited(0, |h| h.memsz = u64::MAX - vaddr), wraps(vaddr, u64::MAX - vaddr));
        assert_eq!(
            edited(0, |h| h.memsz = 1 << 30),
            ElfError::TooBig { index: 0, len: 0x4000_5000, limit: 0x10000 }
        );
        let outside = |vaddr| ElfError::OutsideWindow { index: 0, vaddr, window: WINDOW };
        assert_eq!(edited(0, |h| h.vaddr = 0x500), outside(0x500));
        assert_eq!(edited(0, |h| h.vaddr = BASE - 0xb00), outside(BASE - 0xb00));
        assert_eq!(edited(0, |h| h.vaddr = BASE + 0x10500), outside(BASE + 0x10500));
    }

    #[test]
    fn the_alignment_of_a_segment_is_checked() {
        assert_eq!(edited(1, |h| h.align = 3), ElfError::Alignment { index: 1, align: 3 });
        assert_eq!(
            edited(1, |h| h.vaddr += 8),
            ElfError::Misaligned { index: 1, vaddr: BASE + 0x1208, offset: 0x200, align: 0x1000 }
        );
        for align in [0, 1, 8] {
            let mut headers = typical();
            headers[1].vaddr += 8;
            headers[1].align = align;
            assert!(Image::parse(&build(BASE + 0x1210, &headers), WINDOW).is_ok());
        }
    }

    #[test]
    fn permissions_are_checked() {
        assert_eq!(edited(1, |h| h.flags = 7), ElfError::WritableAndExecutable { index: 1 });
        assert_eq!(
            edited(2, |h| h.vaddr = BASE + 0x1400),
            ElfError::SharedPage { first: 1, second: 2 }
        );
        // Two segments of the same permissions may share one.
        let mut headers = typical();
        headers[2].vaddr = BASE + 0x1400;
        headers[2].flags = RX;
        assert!(Image::parse(&build(BASE + 0x1210, &headers), WINDOW).is_ok());
    }

    #[test]
    fn overlaps_are_found_in_either_order() {
        assert_eq!(
            edited(1, |h| h.vaddr = BASE + 0x6200),
            ElfError::Overlap { first: 0, second: 1 }
        );
        assert_eq!(
            edited(2, |h| (h.vaddr, h.align) = (BASE + 0x13ff, 1)),
            ElfError::Overlap { first: 1, second: 2 }
        );
    }

    #[test]
    fn dynamic_files_are_refused() {
        for p_type in [PT_DYNAMIC, PT_INTERP] {
            assert_eq!(edited(3, |h| h.p_type = p_type), ElfError::Dynamic { index: 3, p_type });
        }
    }

    #[test]
    fn something_must_be_loaded() {
        let mut headers = typical();
        for h in &mut headers {
            (h.filesz, h.memsz) = (0, 0);
        }
        assert_eq!(error(&build(BASE + 0x1210, &headers)), ElfError::NothingToLoad);
    }

    #[test]
    fn an_empty_segment_may_be_anywhere() {
        let mut headers = typical();
        headers.push(phdr(7, u64::MAX, 3, 0, 0));
        let file = build(BASE + 0x1210, &headers);
        assert_eq!(Image::parse(&file, WINDOW).unwrap().segments().count(), 3);
    }

    #[test]
    fn the_entry_must_be_code_from_the_file() {
        let mut headers = typical();
        headers[1].memsz = 0x400;
        for entry in [BASE + 0x1200, BASE + 0x13ff] {
            assert!(Image::parse(&build(entry, &headers), WINDOW).is_ok());
        }
        // Before the text, past the file's part of it, in data, nowhere.
        for entry in [BASE + 0x11ff, BASE + 0x1400, BASE + 0x4500, 0, u64::MAX] {
            assert_eq!(error(&build(entry, &headers)), ElfError::Entry(entry));
        }
    }

    #[test]
    fn every_reason_is_one_line_of_words() {
        let window = WINDOW;
        let all = [
            ElfError::TooShort { len: 0 },
            ElfError::TooShort { len: 9 },
            ElfError::Magic(*b"MZ\0\0"),
            ElfError::Class(1),
            ElfError::Data(2),
            ElfError::Version(0),
            ElfError::Type(3),
            ElfError::Machine(183),
            ElfError::HeaderSize(52),
            ElfError::NoProgramHeaders,
            ElfError::TooManyProgramHeaders(65535),
            ElfError::ProgramHeaderSize(32),
            ElfError::ProgramHeadersPastEnd { offset: 64, count: 4, len: 100 },
            ElfError::Dynamic { index: 0, p_type: PT_INTERP },
            ElfError::Dynamic { index: 0, p_type: PT_DYNAMIC },
            ElfError::FileszAboveMemsz { index: 0, filesz: 2, memsz: 1 },
            ElfError::SegmentPastEnd { index: 0, offset: 1, filesz: 2, len: 2 },
            ElfError::AddressWraps { index: 0, vaddr: 1, memsz: u64::MAX },
            ElfError::OutsideWindow { index: 0, vaddr: 1, window },
            ElfError::TooBig { index: 0, len: 2, limit: 1 },
            ElfError::Alignment { index: 0, align: 3 },
            ElfError::Misaligned { index: 0, vaddr: 1, offset: 2, align: 4 },
            ElfError::WritableAndExecutable { index: 0 },
            ElfError::Overlap { first: 0, second: 1 },
            ElfError::SharedPage { first: 0, second: 1 },
            ElfError::NothingToLoad,
            ElfError::Entry(0),
        ];
        let mut lines: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(lines[2], "not an ELF file (it begins with [4d, 5a, 00, 00])");
        for line in &lines {
            assert!(line.len() > 10 && line.len() < 140 && !line.contains('\n'), "{line}");
            assert!(!line.contains("  "), "a line continuation left blanks: {line}");
        }
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), all.len());
    }

    #[test]
    fn the_real_kernel_is_accepted() {
        for path in ["/build/kernel.elf", "/build/debug/kernel.elf"] {
            let path = format!("{}{path}", env!("CARGO_MANIFEST_DIR"));
            let Ok(file) = std::fs::read(&path) else {
                continue;
            };
            match Image::parse(&file, Window::KERNEL) {
                Ok(image) => assert!(image.segments().count() >= 3, "{path}: too few segments"),
                Err(reason) => panic!("{path}: {reason}"),
            }
        }
    }

    /// The same verdict by other means: wide integers, and a table of the window's pages.
    fn model_accepts(file: &[u8]) -> bool {
        let le = |at: usize, n: usize| -> i128 {
            file[at..at + n].iter().rev().fold(0, |v, b| (v << 8) | i128::from(*b))
        };
        if file.len() < 64
            || file[..7] != [0x7f, b'E', b'L', b'F', 2, 1, 1]
            || (le(16, 2), le(18, 2), le(20, 4), le(52, 2)) != (2, 62, 1, 64)
            || le(54, 2) != 56
            || !(1..=64).contains(&le(56, 2))
            || le(32, 8) + le(56, 2) * 56 > file.len() as i128
        {
            return false;
        }
        let (base, mut pages) = (i128::from(BASE), [None; 16]);
        let (mut taken, mut entry_ok): (Vec<(i128, i128)>, bool) = (vec![], false);
        for i in 0..le(56, 2) {
            let at = (le(32, 8) + i * 56) as usize;
            let (kind, flags) = (le(at, 4), le(at + 4, 4) & 7);
            let (offset, vaddr) = (le(at + 8, 8), le(at + 16, 8));
            let (filesz, memsz, align) = (le(at + 32, 8), le(at + 40, 8), le(at + 48, 8));
            if kind == 2 || kind == 3 {
                return false;
            }
            if kind != 1 || (filesz, memsz) == (0, 0) {
                continue;
            }
            if filesz > memsz
                || offset + filesz > file.len() as i128
                || vaddr < base
                || vaddr + memsz > base + 0x10000
                || flags & 3 == 3
                || (align > 0 && (align.count_ones() != 1 || vaddr % align != offset % align))
                || taken.iter().any(|&(a, b)| vaddr < b && a < vaddr + memsz)
            {
                return false;
            }
            taken.push((vaddr, vaddr + memsz));
            for page in (vaddr - base) / 4096..(vaddr + memsz - base + 4095) / 4096 {
                if pages[page as usize].replace(flags).is_some_and(|other| other != flags) {
                    return false;
                }
            }
            entry_ok |= flags & 1 == 1 && (vaddr..vaddr + filesz).contains(&le(24, 8));
        }
        entry_ok
    }

    /// SplitMix64.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }

        fn below(&mut self, n: usize) -> usize {
            (self.next() % n as u64) as usize
        }
    }

    fn mutate(file: &mut Vec<u8>, random: &mut Random) {
        const HEADERS: usize = EHDR_SIZE + 4 * PHDR_SIZE;
        const EDGES: [u64; 14] = [
            0,
            1,
            2,
            7,
            PAGE_SIZE,
            0x600,
            0x1_0000,
            1 << 63,
            u64::MAX,
            u64::MAX - 0xfff,
            BASE - 1,
            BASE,
            BASE + 0xffff,
            BASE + 0x10000,
        ];
        let header = EHDR_SIZE + random.below(4) * PHDR_SIZE;
        let field = header + 8 * random.below(7);
        let edge = EDGES[random.below(EDGES.len())];
        match random.below(8) {
            // The wild ones.
            0 => file[random.below(HEADERS)] = random.next() as u8,
            1 => put(file, field, &edge.to_le_bytes()),
            2 => put(file, E_ENTRY, &edge.wrapping_add(random.below(0x8000) as u64).to_le_bytes()),
            3 if random.below(4) == 0 => file.truncate(HEADERS + random.below(0x600 - HEADERS)),
            // The mild ones, most of which leave a valid file.
            3 | 4 => put(file, header + P_FLAGS, &(random.below(8) as u32).to_le_bytes()),
            5 => {
                let page = random.below(18) as u64 * PAGE_SIZE;
                let within = u64_at(&file[header..], P_VADDR) % PAGE_SIZE;
                put(file, header + P_VADDR, &(BASE + page + within).to_le_bytes());
            }
            6 => put(file, header + P_MEMSZ, &(random.below(0x3000) as u64).to_le_bytes()),
            _ => {
                let delta = (random.below(17) as u64).wrapping_sub(8);
                let value = u64_at(file, field).wrapping_add(delta);
                put(file, field, &value.to_le_bytes());
            }
        }
    }

    #[test]
    fn mutated_files_are_judged_as_the_model_does() {
        let mut random = Random(3);
        let original = valid();
        let (mut accepted, mut refused) = (0u32, 0u32);
        let mut file = Vec::new();
        for round in 0..120_000u32 {
            file.clear();
            file.extend_from_slice(&original);
            for _ in 0..=random.below(3) {
                if file.len() == original.len() {
                    mutate(&mut file, &mut random);
                }
            }
            let verdict = Image::parse(&file, WINDOW);
            assert_eq!(verdict.is_ok(), model_accepts(&file), "round {round}: {verdict:?}");
            let Ok(image) = verdict else {
                refused += 1;
                continue;
            };
            accepted += 1;
            // What the loader will do with it stays inside the span.
            for segment in image.segments() {
                assert!(segment.page_start() >= image.base());
                assert!(segment.page_end() <= image.base() + image.len_bytes());
                assert!(segment.bytes.len() as u64 <= segment.memsz);
            }
            assert!(image.base() >= BASE && image.len_bytes() <= WINDOW.size);
        }
        // Both verdicts were put to the test.
        assert!(accepted > 10_000 && refused > 10_000, "{accepted} accepted, {refused} refused");
    }

    #[test]
    fn noise_and_odd_windows_never_panic() {
        let mut random = Random(4);
        let original = valid();
        for _ in 0..20_000 {
            let mut file = original.clone();
            mutate(&mut file, &mut random);
            let window = Window {
                base: random.next() >> random.below(64),
                size: random.next() >> random.below(64),
            };
            for window in [window, Window { base: BASE & !random.next(), ..window }] {
                if let Ok(image) = Image::parse(&file, window) {
                    assert!(image.base() >= window.base && image.len_bytes() <= window.size);
                }
            }
            let noise: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
            assert!(Image::parse(&noise, window).is_err());
        }
    }
}
