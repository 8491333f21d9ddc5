//! A program's accesses: what the processor does, with a page fault wherever it finds no way.

use super::super::fault::Outcome;
use super::super::{AddressSpace, Content, Env};
use super::machine::{Host, Machine};
use super::objects::Thing;
use crate::boot::layout::PAGE_SIZE;
use crate::mm::vma::area::Prot;
use crate::mm::vma::space::{Access, Layout, Limits, MapFlags, Mapping, OpenFile};

pub type Space = AddressSpace<Host, Thing>;

/// Where tests map what they choose the place of.
pub const BASE: u64 = 0x1000_0000;
pub const RW: Prot = Prot::READ.union(Prot::WRITE);
/// A word in the middle of a page.
pub const WORD: usize = 77;

pub fn machine() -> Host {
    Machine::new(4096, 2000)
}

pub fn new_space(machine: Host) -> Space {
    Space::new(machine, Layout::with_stack(Some(8 << 20)), Limits::default()).expect("memory for a top table")
}

pub const fn page(n: u64) -> u64 {
    BASE + n * PAGE_SIZE
}

/// Without a file, private, at a fixed place.
pub fn anonymous(at: u64, pages: u64, prot: Prot, more: MapFlags) -> Mapping<Thing> {
    let kind = if more.contains(MapFlags::SHARED) { MapFlags::empty() } else { MapFlags::PRIVATE };
    let flags = kind | MapFlags::ANONYMOUS | MapFlags::FIXED | more;
    Mapping { addr: at, len: pages * PAGE_SIZE, prot, flags, file: None }
}

/// A file, from a page of it on.
pub fn of_file(at: u64, pages: u64, prot: Prot, kind: MapFlags, file: &Thing, first: u64) -> Mapping<Thing> {
    let open = OpenFile {
        file: file.clone(),
        offset: first * PAGE_SIZE,
        readable: true,
        writable: true,
        no_exec: false,
    };
    Mapping { addr: at, len: pages * PAGE_SIZE, prot, flags: kind | MapFlags::FIXED, file: Some(open) }
}

impl<F: Content<Host>> AddressSpace<Host, F> {
    pub fn host(&self) -> Host {
        self.lock.read().pages.env
    }

    /// A load, or a store that answers with what was there.
    pub fn access(&self, virt: u64, word: usize, new: Option<u64>) -> Result<u64, Outcome> {
        let access = if new.is_some() { Access::Write } else { Access::Read };
        loop {
            {
                let inner = self.lock.read();
                let host = inner.pages.env;
                if let Some(found) = host.access(&inner.pages.tables, virt, word, new) {
                    return Ok(found);
                }
            }
            match self.handle_fault(virt, access, true) {
                Outcome::Done => {}
                refused => return Err(refused),
            }
        }
    }

    pub fn read(&self, virt: u64) -> Result<u64, Outcome> {
        self.access(virt, WORD, None)
    }

    pub fn write(&self, virt: u64, value: u64) -> Result<(), Outcome> {
        self.access(virt, WORD, Some(value)).map(drop)
    }

    /// What is mapped now: addresses and entries.
    pub fn leaves(&self) -> std::vec::Vec<(u64, crate::arch::x86_64::paging::Entry)> {
        let mut found = std::vec::Vec::new();
        let inner = self.lock.read();
        let all = 0..crate::boot::layout::USER_END;
        inner.pages.tables.for_each_leaf(all, |virt, slot| found.push((virt, slot.load()))).unwrap();
        found
    }

    pub fn promised(&self) -> u64 {
        self.host().account().promised()
    }
}
