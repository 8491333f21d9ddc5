//! Programs that have files mapped.

use super::disk::{Backed, PAGE, TestFile};
use crate::boot::layout::PAGE_SIZE;
use crate::fs::pagecache::{File, Mapped, Mapping, Shown};
use crate::mm::addr::Frame;
use crate::mm::space::tests::machine::{Host, Shows};
use crate::mm::space::tests::program::RW;
use crate::mm::space::{AddressSpace, Outcome};
use crate::mm::vma::space::{Layout, Limits, MapFlags, OpenFile};
use core::ops::Range;
use std::sync::{Arc, Weak};

/// An inode, as far as it matters here.
#[derive(Clone)]
pub struct Inode(pub Arc<TestFile>);

impl PartialEq for Inode {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl File<Host> for Inode {
    type Backing = Backed;

    fn mapping(&self) -> &Mapping<Host, Backed> {
        &self.0
    }
}

type Thing = Shown<Host, Inode>;

pub struct Program(pub AddressSpace<Host, Thing>);

fn is(file: usize) -> impl Fn(&Thing) -> bool {
    move |thing| matches!(thing, Shown::File(shown) if shown.file().0.id().0 == file)
}

impl Shows for Program {
    fn unmap(&self, file: usize, bytes: Range<u64>, which: &dyn Fn(u64, Frame) -> bool) {
        self.0.unmap_object(is(file), bytes, which);
    }

    fn write_protect(&self, file: usize, bytes: Range<u64>) {
        self.0.write_protect_object(is(file), bytes);
    }
}

/// Words of a page.
pub const WORDS: u64 = PAGE_SIZE / 8;

impl Program {
    pub fn new(host: Host) -> Arc<Self> {
        let space = AddressSpace::new(host, Layout::with_stack(Some(8 << 20)), Limits::default());
        let program = Arc::new(Self(space.expect("memory for a top table")));
        let shows: Weak<Self> = Arc::downgrade(&program);
        host.shows.write().unwrap().push(shows);
        program
    }

    pub fn map(&self, at: u64, pages: u64, shared: bool, file: &Arc<TestFile>, first: u64) {
        let file = Shown::File(Mapped::new(Inode(file.clone())));
        let open =
            OpenFile { file, offset: first * PAGE_SIZE, readable: true, writable: true, no_exec: false };
        let flags = if shared { MapFlags::SHARED } else { MapFlags::PRIVATE };
        let want = crate::mm::vma::space::Mapping {
            addr: at,
            len: pages * PAGE_SIZE,
            prot: RW,
            flags: flags | MapFlags::FIXED,
            file: Some(open),
        };
        self.0.map(want).expect("it can be mapped");
    }

    /// The word that begins at the byte `at` of a mapping that begins at `base`.
    pub fn load(&self, base: u64, at: u64) -> Result<u64, Outcome> {
        self.0.access(base + at / PAGE_SIZE * PAGE_SIZE, at as usize % PAGE / 8, None)
    }

    pub fn store(&self, base: u64, at: u64, word: u64) -> Result<(), Outcome> {
        self.0.access(base + at / PAGE_SIZE * PAGE_SIZE, at as usize % PAGE / 8, Some(word)).map(drop)
    }
}
