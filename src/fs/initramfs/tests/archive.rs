//! Archives made here, right ones and others.

use super::super::crc32::Crc32;
use miniz_oxide::deflate::compress_to_vec;

pub const DIRECTORY: u32 = 0o040_000;

/// An entry, as its header will say.
#[derive(Clone, Debug)]
pub struct Entry {
    /// With the 0.
    pub name: Vec<u8>,
    pub ino: u32,
    pub mode: u32,
    pub nlink: u32,
    pub device: (u32, u32),
    pub node: (u32, u32),
    pub data: Vec<u8>,
    /// What the header says instead of the lengths.
    pub size: Option<u32>,
    pub name_size: Option<u32>,
}

impl Entry {
    pub fn new(name: &str, mode: u32) -> Self {
        let name = [name.as_bytes(), b"\0"].concat();
        let (device, node) = ((8, 1), (0, 0));
        Self { name, ino: 0, mode, nlink: 1, device, node, data: vec![], size: None, name_size: None }
    }

    pub fn file(name: &str, data: &[u8]) -> Self {
        Self { data: data.to_vec(), ..Self::new(name, 0o100_644) }
    }

    pub fn symlink(name: &str, target: &[u8]) -> Self {
        Self { data: target.to_vec(), ..Self::new(name, 0o120_777) }
    }
}

/// An archive that grows.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    checked: bool,
}

impl Archive {
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes it one with checksums.
    pub fn checked(mut self) -> Self {
        self.checked = true;
        self
    }

    pub fn entry(mut self, entry: Entry) -> Self {
        self.entries.push(entry);
        self
    }

    /// Without a trailer.
    pub fn open_end(mut self) -> Vec<u8> {
        for (number, entry) in core::mem::take(&mut self.entries).iter().enumerate() {
            self.push(entry, number as u32 + 1);
        }
        self.bytes
    }

    pub fn end(self) -> Vec<u8> {
        self.entry(Entry::new("TRAILER!!!", 0)).open_end()
    }

    fn push(&mut self, entry: &Entry, number: u32) {
        let sum = entry.data.iter().fold(0u32, |sum, &byte| sum.wrapping_add(byte.into()));
        let size = entry.size.unwrap_or(entry.data.len() as u32);
        let name_size = entry.name_size.unwrap_or(entry.name.len() as u32);
        let ino = if entry.ino == 0 { number } else { entry.ino };
        self.bytes.extend(if self.checked { b"070702" } else { b"070701" });
        let Entry { mode, nlink, device, node, .. } = *entry;
        for number in [ino, mode, 0, 0, nlink, 0, size, device.0, device.1, node.0, node.1, name_size] {
            self.bytes.extend(format!("{number:08x}").bytes());
        }
        self.bytes.extend(format!("{:08X}", if self.checked { sum } else { 0 }).bytes());
        for part in [&entry.name, &entry.data] {
            self.bytes.extend(part);
            self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        }
    }
}

/// One member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut crc = Crc32::new();
    crc.update(bytes);
    let mut member = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3];
    member.extend(compress_to_vec(bytes, 1));
    member.extend(crc.value().to_le_bytes());
    member.extend((bytes.len() as u32).to_le_bytes());
    member
}
