//! The parts of the ELF64 format that the kernel's own file and programs need: values, offsets, and reading them.
//!
//! Used by the checker in this directory, and by that of programs (`proc::elf`). The file is a slice of bytes of any content and alignment, so
//! nothing is cast to a structure: each field is read at its offset, and no read leaves the slice.
//!
//! Source: System V gABI, chapter 4 "ELF Header" and chapter 5 "Program Header".

// e_ident[], gABI chapter 4, "ELF Identification".
pub const ELFMAG: [u8; 4] = *b"\x7fELF";
pub const EI_CLASS: usize = 4;
pub const EI_DATA: usize = 5;
pub const EI_VERSION: usize = 6;
pub const ELFCLASS64: u8 = 2;
pub const ELFDATA2LSB: u8 = 1;

// Elf64_Ehdr, gABI chapter 4, "ELF Header": values and byte offsets.
pub const EV_CURRENT: u32 = 1;
pub const ET_EXEC: u16 = 2;
pub const ET_DYN: u16 = 3;
pub const EM_X86_64: u16 = 62;
pub const EHDR_SIZE: usize = 64;
pub const E_TYPE: usize = 16;
pub const E_MACHINE: usize = 18;
pub const E_VERSION: usize = 20;
pub const E_ENTRY: usize = 24;
pub const E_PHOFF: usize = 32;
pub const E_EHSIZE: usize = 52;
pub const E_PHENTSIZE: usize = 54;
pub const E_PHNUM: usize = 56;

// Elf64_Phdr, gABI chapter 5, "Program Header": values and byte offsets.
pub const PT_LOAD: u32 = 1;
pub const PT_DYNAMIC: u32 = 2;
pub const PT_INTERP: u32 = 3;
/// GNU's: its flags are the stack's.
pub const PT_GNU_STACK: u32 = 0x6474_E551;
pub const PHDR_SIZE: usize = 56;
pub const P_TYPE: usize = 0;
pub const P_FLAGS: usize = 4;
pub const P_OFFSET: usize = 8;
pub const P_VADDR: usize = 16;
pub const P_FILESZ: usize = 32;
pub const P_MEMSZ: usize = 40;
pub const P_ALIGN: usize = 48;

/// `len` bytes at `offset`, if the file has them.
pub fn slice(file: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = usize::try_from(offset.checked_add(len)?).ok()?;
    file.get(start..end)
}

/// `N` bytes of a header. The offsets are the constants above, so the zeros past its end never show.
pub fn bytes_at<const N: usize>(raw: &[u8], at: usize) -> [u8; N] {
    raw.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

pub fn u16_at(raw: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes_at(raw, at))
}

pub fn u32_at(raw: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes_at(raw, at))
}

pub fn u64_at(raw: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes_at(raw, at))
}
