//! Programs that have files mapped.

use super::disk::{PAGE, TestFile};
use crate::boot::layout::PAGE_SIZE;
use crate::mm::addr::Frame;
use crate::mm::space::tests::machine::{Host, Shows};
use crate::mm::space::tests::program::RW;
use crate::mm::space::{AddressSpace, Foreign, ForeignRef, NoPage, Outcome, Provided, Shown};
use crate::mm::vma::space::{Layout, Limits, MapFlags, OpenFile};
use core::any::Any;
use core::ops::Range;
use core::ptr::NonNull;
use std::sync::{Arc, Weak};

impl Foreign for TestFile {
    fn page(&self, offset: u64, write: bool) -> Result<Provided, NoPage> {
        TestFile::page(self, offset, write)
    }

    fn cached(&self, offset: u64, wanted: u64, found: &mut [Option<Frame>]) {
        TestFile::cached(self, offset, wanted, found);
    }

    fn written(&self, offset: u64) -> Result<(), NoPage> {
        TestFile::written(self, offset)
    }

    fn read_ahead(&self, offset: u64, len: u64) {
        TestFile::read_ahead(self, offset..offset.saturating_add(len));
    }

    fn identity(&self) -> usize {
        self.id().0
    }

    fn file(&self) -> usize {
        self.id().0
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn shown(&self) {
        TestFile::shown(self);
        // SAFETY: all are in an `Arc`, to which the caller has a reference.
        unsafe { Arc::increment_strong_count(self) };
    }

    unsafe fn hidden(&self) {
        TestFile::hidden(self);
        // SAFETY: the caller's promise.
        unsafe { Arc::decrement_strong_count(self) };
    }
}

type Thing = Shown<Host>;

pub struct Program(pub AddressSpace<Host, Thing>);

fn is(file: usize) -> impl Fn(&Thing) -> bool {
    move |thing| thing.is_of(file)
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
        file.shown();
        let object: *const dyn Foreign = Arc::into_raw(file.clone());
        // SAFETY: counted just now, with the reference that was left open.
        let file = Shown::File(unsafe { ForeignRef::new(NonNull::new(object.cast_mut()).unwrap()) });
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
