//! A disk for one file, a file system in memory, and the frames.

use crate::boot::layout::PAGE_SIZE;
use crate::fs::pagecache::{Backing, Cache, Env, Error, FileId, Mapping, Piece};
use crate::mm::addr::Frame;
use crate::mm::space::Env as SpaceEnv;
use crate::mm::space::tests::machine::{Host, Machine};
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};
use std::vec;
use std::vec::Vec;

pub const PAGE: usize = PAGE_SIZE as usize;

impl Env for Host {
    fn allocate(&self, zeroed: bool) -> Option<Frame> {
        crate::mm::vma::room::failing::ask().ok()?;
        loop {
            if let Some(frame) = self.allocate_frame(zeroed) {
                return Some(frame);
            }
            if !self.relief.get().is_some_and(|relief| relief()) {
                return None;
            }
        }
    }

    fn get(&self, frame: Frame) -> bool {
        SpaceEnv::get(self, frame)
    }

    fn put(&self, frame: Frame) {
        SpaceEnv::put(self, frame);
    }

    fn is_unique(&self, frame: Frame) -> bool {
        SpaceEnv::is_unique(self, frame)
    }

    unsafe fn bytes(&self, frame: Frame) -> Piece<'_> {
        let start = core::ptr::from_ref(self.word(frame, 0)).cast_mut().cast::<u8>();
        // SAFETY: a frame's words, which are atomics.
        unsafe { Piece::new(NonNull::new(start).unwrap(), PAGE) }
    }

    fn zero_page(&self) -> Frame {
        SpaceEnv::zero_page(self)
    }

    fn now_ns(&self) -> u64 {
        self.now_ns.load(SeqCst)
    }

    fn frames(&self) -> u64 {
        self.frames_in_all()
    }

    fn unmap(&self, file: FileId, bytes: Range<u64>, which: &dyn Fn(u64, Frame) -> bool) {
        let shows = self.shows.read().unwrap().clone();
        shows.iter().filter_map(Weak::upgrade).for_each(|space| space.unmap(file.0, bytes.clone(), which));
    }

    fn write_protect(&self, file: FileId, bytes: Range<u64>) {
        let shows = self.shows.read().unwrap().clone();
        shows.iter().filter_map(Weak::upgrade).for_each(|space| space.write_protect(file.0, bytes.clone()));
    }
}

/// A cache with that many frames to use. It gives clean pages back when they run out.
pub fn cache(frames: u32) -> &'static Cache<Host> {
    let host = Machine::new(frames, 1 << 30);
    let cache: &'static Cache<Host> = Box::leak(Box::new(Cache::new(host)));
    assert!(host.relief.set(Box::new(|| cache.reclaim(16) != 0)).is_ok());
    cache
}

/// What a disk is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Read(u64, usize),
    Write(u64, usize),
    Flush,
    Resize(u64, u64),
    Punch(u64, u64),
}

/// A disk with one file on it.
#[derive(Default)]
pub struct Disk {
    pub pages: Mutex<BTreeMap<u64, Vec<u8>>>,
    /// Pages that are being written.
    writing: Mutex<BTreeSet<u64>>,
    pub calls: Mutex<Vec<Call>>,
    /// Calls that go on before one fails; below 0 none does.
    pub reads_left: AtomicI64,
    pub writes_left: AtomicI64,
    /// Fail with this.
    pub error: Mutex<Option<Error>>,
    /// How often it yields in each call.
    pub slowness: u64,
    /// Programs may write past the end of the file while its last page is written.
    pub junk: bool,
    /// Blocks that may be reserved yet.
    pub full: AtomicBool,
    /// Who writes waits here while it is set.
    pub hold: AtomicBool,
    pub reserved: AtomicU64,
}

impl Disk {
    pub fn new() -> Arc<Self> {
        Arc::new(Self::with(0, false))
    }

    pub fn with(slowness: u64, junk: bool) -> Self {
        Self { slowness, junk, reads_left: (-1).into(), writes_left: (-1).into(), ..Self::default() }
    }

    fn call(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
        (0..self.slowness).for_each(|_| std::thread::yield_now());
    }

    pub fn take_calls(&self) -> Vec<Call> {
        core::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn fails(&self, left: &AtomicI64) -> Result<(), Error> {
        if left.load(SeqCst) >= 0 && left.fetch_sub(1, SeqCst) == 0 {
            return Err(self.error.lock().unwrap().unwrap_or(Error::Io));
        }
        Ok(())
    }

    /// What is on it, as the bytes of a file of that size.
    pub fn content(&self, size: u64) -> Vec<u8> {
        let mut all = vec![0; size.next_multiple_of(PAGE_SIZE) as usize];
        for (&page, bytes) in &*self.pages.lock().unwrap() {
            let at = page as usize * PAGE;
            if at < all.len() {
                all[at..at + PAGE].copy_from_slice(bytes);
            }
        }
        all.truncate(size as usize);
        all
    }
}

impl Backing for Disk {
    fn size_limit(&self) -> u64 {
        1 << 40
    }

    fn read(&self, first: u64, pages: &[Piece<'_>]) -> Result<(), Error> {
        self.call(Call::Read(first, pages.len()));
        for (page, to) in (first..).zip(pages) {
            to.clear();
            if let Some(bytes) = self.pages.lock().unwrap().get(&page) {
                to.copy_in(bytes);
            }
        }
        self.fails(&self.reads_left)
    }

    fn write(&self, first: u64, pages: &[Piece<'_>], size: u64) -> Result<(), Error> {
        for page in (first..).take(pages.len()) {
            assert!(self.writing.lock().unwrap().insert(page), "page {page} is being written already");
        }
        self.call(Call::Write(first, pages.len()));
        while self.hold.load(SeqCst) {
            std::thread::yield_now();
        }
        let result = self.fails(&self.writes_left);
        for (page, from) in (first..).zip(pages) {
            let mut bytes = vec![0; PAGE];
            from.copy_out(&mut bytes);
            assert!(page * PAGE_SIZE < size, "page {page} of a file of {size} bytes is written");
            let end = (size - page * PAGE_SIZE).min(PAGE_SIZE) as usize;
            assert!(
                self.junk || bytes[end..].iter().all(|&byte| byte == 0),
                "page {page} is not zero past the end"
            );
            bytes[end..].fill(0);
            if result.is_ok() {
                self.pages.lock().unwrap().insert(page, bytes);
            }
            assert!(self.writing.lock().unwrap().remove(&page));
        }
        result
    }

    fn flush(&self, _data_only: bool) -> Result<(), Error> {
        self.call(Call::Flush);
        Ok(())
    }

    fn reserve(&self, _page: u64) -> Result<(), Error> {
        self.reserved.fetch_add(1, Relaxed);
        if self.full.load(SeqCst) { Err(Error::NoSpace) } else { Ok(()) }
    }

    fn resize(&self, old: u64, new: u64) -> Result<(), Error> {
        self.call(Call::Resize(old, new));
        let mut pages = self.pages.lock().unwrap();
        drop(pages.split_off(&new.div_ceil(PAGE_SIZE)));
        Ok(())
    }

    fn punch(&self, range: Range<u64>) -> Result<(), Error> {
        self.call(Call::Punch(range.start, range.end));
        self.pages.lock().unwrap().retain(|page, _| !range.contains(page));
        Ok(())
    }
}

/// A file system in memory with a limit.
pub struct Ram {
    pub limit: u64,
    pub used: AtomicU64,
}

impl Ram {
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }
}

impl Backing for Ram {
    fn keeps(&self) -> bool {
        false
    }

    fn size_limit(&self) -> u64 {
        1 << 40
    }

    fn read(&self, _first: u64, _pages: &[Piece<'_>]) -> Result<(), Error> {
        panic!("there is nothing to be read");
    }

    fn write(&self, _first: u64, _pages: &[Piece<'_>], _size: u64) -> Result<(), Error> {
        panic!("there is nowhere to write to");
    }

    fn reserve(&self, _page: u64) -> Result<(), Error> {
        let more = |used| (used < self.limit).then_some(used + 1);
        self.used.fetch_update(SeqCst, SeqCst, more).map(drop).map_err(|_| Error::NoSpace)
    }

    fn release(&self, pages: u64) {
        assert!(self.used.fetch_sub(pages, SeqCst) >= pages, "more is released than was reserved");
    }
}

pub type Backed = Arc<dyn Backing>;
pub type TestFile = Mapping<Host, Backed>;

pub fn file(cache: &'static Cache<Host>, backing: Backed, size: u64) -> TestFile {
    Mapping::new(cache, backing, size).unwrap()
}

/// Bytes that stop coming, or being taken, after so many.
pub struct Faulting<T>(pub T, pub usize);

impl crate::fs::pagecache::Source for Faulting<&[u8]> {
    fn fill(&mut self, bytes: Piece<'_>) -> usize {
        let len = bytes.len().min(self.1);
        self.1 -= len;
        self.0.fill(bytes.part(0, len))
    }
}

impl crate::fs::pagecache::Sink for Faulting<&mut [u8]> {
    fn take(&mut self, bytes: Piece<'_>) -> usize {
        let len = bytes.len().min(self.1);
        self.1 -= len;
        self.0.take(bytes.part(0, len))
    }
}
