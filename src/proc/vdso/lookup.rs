//! Finding a function in the image as C libraries do: by either hash table, and only in the version they know.
//!
//! Source: System V gABI, chapter 5 "Hash Table"; LSB Core 5.0 §10.7 (versions); Linux, tools/testing/selftests/vDSO,
//! for what is relied on.

use crate::boot::elf::format::*;
use std::collections::BTreeMap;
use std::string::String;

/// The image, and what its PT_DYNAMIC says.
pub struct Object<'a> {
    image: &'a [u8],
    dynamic: BTreeMap<u64, usize>,
}

const PT_GNU_EH_FRAME: u32 = 0x6474_E550;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_SONAME: u64 = 14;
const DT_GNU_HASH: u64 = 0x6FFF_FEF5;
const DT_VERSYM: u64 = 0x6FFF_FFF0;
const DT_VERDEF: u64 = 0x6FFF_FFFC;

/// A function that was found: its offset in the image and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    pub offset: usize,
    pub size: usize,
}

impl<'a> Object<'a> {
    /// Every header is where a loader looks; the one PT_LOAD maps the file as it is.
    pub fn new(image: &'a [u8]) -> Self {
        assert_eq!((u16_at(image, E_TYPE), u16_at(image, E_MACHINE)), (ET_DYN, EM_X86_64));
        let mut object = Self { image, dynamic: BTreeMap::new() };
        let load = object.header(PT_LOAD);
        assert_eq!((u64_at(load, P_OFFSET), u64_at(load, P_VADDR), u32_at(load, P_FLAGS)), (0, 0, 5));
        assert_eq!(u64_at(load, P_FILESZ), u64_at(load, P_MEMSZ));
        let mut at = u64_at(object.header(PT_DYNAMIC), P_VADDR) as usize;
        while u64_at(image, at) != 0 {
            object.dynamic.insert(u64_at(image, at), u64_at(image, at + 8) as usize);
            at += 16;
        }
        object
    }

    fn header(&self, p_type: u32) -> &'a [u8] {
        let (at, count) = (u64_at(self.image, E_PHOFF) as usize, usize::from(u16_at(self.image, E_PHNUM)));
        let mut headers = self.image[at..].chunks(PHDR_SIZE).take(count);
        headers.find(|raw| u32_at(raw, P_TYPE) == p_type).expect("such a header")
    }

    fn string(&self, at: usize) -> String {
        let bytes = self.image[self.dynamic[&DT_STRTAB] + at..].iter();
        bytes.take_while(|&&byte| byte != 0).map(|&byte| char::from(byte)).collect()
    }

    pub fn soname(&self) -> String {
        self.string(self.dynamic[&DT_SONAME])
    }

    /// Whether anything is left to a linker at run time.
    pub fn has_relocations(&self) -> bool {
        // DT_RELA, DT_REL, DT_JMPREL, DT_NEEDED, DT_TEXTREL
        [7, 17, 23, 1, 22].iter().any(|kind| self.dynamic.contains_key(kind))
    }

    fn symbol(&self, index: usize) -> &'a [u8] {
        &self.image[self.dynamic[&DT_SYMTAB] + index * 24..][..24]
    }

    /// The name of the version that a symbol belongs to.
    fn version(&self, index: usize) -> String {
        let wanted = u16_at(self.image, self.dynamic[&DT_VERSYM] + index * 2) & 0x7FFF;
        let mut at = self.dynamic[&DT_VERDEF];
        loop {
            let raw = &self.image[at..];
            if u16_at(raw, 4) == wanted {
                let name = u32_at(raw, u32_at(raw, 12) as usize) as usize;
                return self.string(name);
            }
            assert_ne!(u32_at(raw, 16), 0, "version {wanted} is defined");
            at += u32_at(raw, 16) as usize;
        }
    }

    fn matches(&self, index: usize, name: &str, version: &str) -> Option<Function> {
        let symbol = self.symbol(index);
        // A defined function, global or weak.
        let is_function = symbol[4] & 0xF == 2 && matches!(symbol[4] >> 4, 1 | 2) && u16_at(symbol, 6) != 0;
        let found =
            is_function && self.string(u32_at(symbol, 0) as usize) == name && self.version(index) == version;
        found.then(|| Function { offset: u64_at(symbol, 8) as usize, size: u64_at(symbol, 16) as usize })
    }

    /// By DT_HASH, as musl.
    pub fn find_by_hash(&self, name: &str, version: &str) -> Option<Function> {
        let hash = name.bytes().fold(0u32, |hash, byte| {
            let hash = (hash << 4).wrapping_add(byte.into());
            (hash ^ (hash & 0xF000_0000) >> 24) & 0x0FFF_FFFF
        });
        let table = &self.image[self.dynamic[&DT_HASH]..];
        let buckets = u32_at(table, 0);
        let mut index = u32_at(table, 8 + 4 * (hash % buckets) as usize) as usize;
        while index != 0 {
            if let Some(found) = self.matches(index, name, version) {
                return Some(found);
            }
            index = u32_at(table, 8 + 4 * (buckets as usize + index)) as usize;
        }
        None
    }

    /// By DT_GNU_HASH, as glibc; its Bloom filter included.
    pub fn find_by_gnu_hash(&self, name: &str, version: &str) -> Option<Function> {
        let hash = name.bytes().fold(5381u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(byte.into()));
        let table = &self.image[self.dynamic[&DT_GNU_HASH]..];
        let [buckets, first, words, shift] = [0, 4, 8, 12].map(|at| u32_at(table, at));
        let word = u64_at(table, 16 + 8 * (hash / 64 % words) as usize);
        if word >> (hash % 64) & word >> ((hash >> shift) % 64) & 1 == 0 {
            return None;
        }
        let chains = 16 + 8 * words as usize;
        let mut index = u32_at(table, chains + 4 * (hash % buckets) as usize);
        if index == 0 {
            return None;
        }
        loop {
            let link = u32_at(table, chains + 4 * (buckets + index - first) as usize);
            if link | 1 == hash | 1 {
                if let Some(found) = self.matches(index as usize, name, version) {
                    return Some(found);
                }
            }
            if link & 1 != 0 {
                return None;
            }
            index += 1;
        }
    }

    /// The functions that unwinding knows, by the table in .eh_frame_hdr: where each begins and how long it is.
    pub fn unwound(&self) -> std::vec::Vec<Function> {
        let at = u64_at(self.header(PT_GNU_EH_FRAME), P_VADDR) as usize;
        // Version 1; pointers of 4 bytes relative to where they are, a count of 4 bytes, a table relative to its begin.
        assert_eq!(self.image[at..at + 4], [1, 0x1B, 0x03, 0x3B]);
        let signed = |at: usize| u32_at(self.image, at) as i32 as isize;
        let from = |base: usize, at: usize| base.checked_add_signed(signed(at)).unwrap();
        let entry = |index: usize| {
            let (start, fde) = (from(at, at + 12 + 8 * index), from(at, at + 16 + 8 * index));
            assert_eq!(from(fde + 8, fde + 8), start, "the entry is about this function");
            Function { offset: start, size: u32_at(self.image, fde + 12) as usize }
        };
        (0..u32_at(self.image, at + 8) as usize).map(entry).collect()
    }
}
