//! Small programs as files, made here: for the tests of everything that reads such files.

use super::*;
use std::vec;

pub const R: u32 = 4;
pub const RX: u32 = 5;
pub const RW: u32 = 6;
pub const PT_NOTE: u32 = 4;
/// Where programs may be.
pub const WINDOW: Range<u64> = 0x1_0000..USER_END;

impl Source for [u8] {
    fn len_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Errno> {
        let start = usize::try_from(offset).map_or(self.len(), |at| at.min(self.len()));
        let count = into.len().min(self.len() - start);
        into[..count].copy_from_slice(&self[start..start + count]);
        Ok(count)
    }
}

#[derive(Clone, Copy)]
pub struct Phdr {
    pub p_type: u32,
    pub flags: u32,
    pub offset: u64,
    pub vaddr: u64,
    pub filesz: u64,
    pub memsz: u64,
    pub align: u64,
}

pub fn load(flags: u32, offset: u64, vaddr: u64, filesz: u64, memsz: u64) -> Phdr {
    Phdr { p_type: PT_LOAD, flags, offset, vaddr, filesz, memsz, align: PAGE_SIZE }
}

/// Headers and read-only data, text, data with bss; as a linker lays them out from `base` on.
pub fn typical(base: u64) -> Vec<Phdr> {
    vec![
        load(R, 0, base, 0x400, 0x400),
        load(RX, 0x1000, base + 0x1000, 0x234, 0x234),
        load(RW, 0x1234, base + 0x3234, 0x100, 0x2000),
        Phdr { p_type: PT_GNU_STACK, ..load(RW, 0, 0, 0, 0) },
        Phdr { p_type: PT_NOTE, ..load(R, 0x300, base + 0x300, 0x20, 0x20) },
    ]
}

/// The same with an interpreter, whose path is at 0x380.
pub fn dynamic() -> Vec<u8> {
    let mut headers = typical(0);
    headers.insert(0, Phdr { p_type: PT_INTERP, ..load(R, 0x380, 0x380, 8, 8) });
    let mut file = build(ET_DYN, 0x1010, &headers);
    put(&mut file, 0x380, b"/lib/ld\0");
    file
}

pub fn build(e_type: u16, entry: u64, headers: &[Phdr]) -> Vec<u8> {
    let mut file = vec![0x90u8; 0x1400];
    file[..EHDR_SIZE].fill(0);
    file[..4].copy_from_slice(&ELFMAG);
    file[EI_CLASS] = ELFCLASS64;
    file[EI_DATA] = ELFDATA2LSB;
    file[EI_VERSION] = 1;
    put(&mut file, E_TYPE, &e_type.to_le_bytes());
    put(&mut file, E_MACHINE, &EM_X86_64.to_le_bytes());
    put(&mut file, E_VERSION, &EV_CURRENT.to_le_bytes());
    put(&mut file, E_ENTRY, &entry.to_le_bytes());
    put(&mut file, E_PHOFF, &64u64.to_le_bytes());
    put(&mut file, E_EHSIZE, &64u16.to_le_bytes());
    put(&mut file, E_PHENTSIZE, &56u16.to_le_bytes());
    put(&mut file, E_PHNUM, &(headers.len() as u16).to_le_bytes());
    for (index, header) in headers.iter().enumerate() {
        put_header(&mut file, index, header);
    }
    file
}

pub fn put_header(file: &mut [u8], index: usize, header: &Phdr) {
    let at = EHDR_SIZE + index * PHDR_SIZE;
    put(file, at + P_TYPE, &header.p_type.to_le_bytes());
    put(file, at + P_FLAGS, &header.flags.to_le_bytes());
    put(file, at + P_OFFSET, &header.offset.to_le_bytes());
    put(file, at + P_VADDR, &header.vaddr.to_le_bytes());
    put(file, at + P_FILESZ, &header.filesz.to_le_bytes());
    put(file, at + P_MEMSZ, &header.memsz.to_le_bytes());
    put(file, at + P_ALIGN, &header.align.to_le_bytes());
}

pub fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

pub fn read(file: &[u8]) -> Result<Program, Errno> {
    Program::read(file, WINDOW)
}
