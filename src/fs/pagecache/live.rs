//! The page cache on the machine: frames through the direct map, and the one [`Cache`] of the kernel.
//!
//! Address spaces are above: whoever has the list of them registers how files' pages are taken out of them.

use super::bytes::Piece;
use super::cache::Cache;
use super::env::{Env, FileId};
use crate::boot::layout::PAGE_SIZE;
use crate::mm::addr::Frame;
use crate::mm::frame::Owner;
use crate::mm::space::live::KernelEnv;
use crate::mm::{frames, pressure};
use crate::platform::{Machine, Platform};
use crate::task::{self, Policy};
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// All files'.
pub static CACHE: Cache<KernelEnv> = Cache::new(KernelEnv);

/// Frames that were free, or the cache's, when that was last looked at.
static FRAMES: AtomicU64 = AtomicU64::new(0);

/// Whether a page that is mapped at an offset of the file is one of those that are meant.
type MayGo<'a> = dyn Fn(u64, Frame) -> bool + 'a;

/// What has all address spaces does this for each; see [`Env::unmap`] and [`Env::write_protect`].
pub struct Spaces {
    pub unmap: fn(FileId, Range<u64>, &MayGo<'_>),
    pub write_protect: fn(FileId, Range<u64>),
}

static SPACES: AtomicPtr<Spaces> = AtomicPtr::new(core::ptr::null_mut());

fn spaces() -> Option<&'static Spaces> {
    // SAFETY: only `set_spaces` stores there, and what it stores lives for ever.
    unsafe { SPACES.load(Ordering::Acquire).as_ref() }
}

/// Says who has the address spaces. Before the first file is mapped.
pub fn set_spaces(spaces: &'static Spaces) {
    SPACES.store(core::ptr::from_ref(spaces).cast_mut(), Ordering::Release);
}

static SHRINKER: pressure::Shrinker = pressure::Shrinker {
    name: "page cache",
    when: pressure::When::Low,
    count: || CACHE.reclaimable(),
    scan: |pages, manner| match manner {
        pressure::Manner::Passing => CACHE.reclaim(pages),
        pressure::Manner::Waiting => CACHE.reclaim_waiting(pages),
    },
};

/// Once, after the heap: from here on pages are given back when memory is short. False if there is no place for one more
/// who does that.
pub fn init() -> bool {
    update_limits();
    pressure::register(&SHRINKER)
}

/// Between two looks when there is too much that is dirty and none of it can be written.
const REST_NS: u64 = 100_000_000;

/// Starts the write-back thread. Once; false if there is no memory for it.
pub fn start_write_back() -> bool {
    task::spawn("writeback", Policy::Normal(0), write_back, 0).is_ok()
}

fn write_back(_: usize) -> usize {
    loop {
        CACHE.wait_for_work(CACHE.next_look());
        update_limits();
        if CACHE.write_back_pass() == 0 && CACHE.is_pressed() {
            task::sleep_until(Machine::now_ns() + REST_NS);
        }
    }
}

/// Looks anew at how much memory there is for pages. By the write-back thread, each time.
pub fn update_limits() {
    let cached = CACHE.total.pages.load(Ordering::Relaxed);
    FRAMES.store(frames::free_frames() + cached, Ordering::Relaxed);
}

impl Env for KernelEnv {
    fn allocate(&self, zeroed: bool) -> Option<Frame> {
        let frame = pressure::allocate_frame(Owner::PageCache)?;
        if zeroed {
            // SAFETY: ours alone.
            unsafe { crate::arch::x86_64::pages::clear(frames::bytes(frame)) };
        }
        Some(frame)
    }

    fn get(&self, frame: Frame) -> bool {
        frames::info_of(frame).get()
    }

    fn put(&self, frame: Frame) {
        crate::mm::space::Env::put(self, frame);
    }

    fn is_unique(&self, frame: Frame) -> bool {
        frames::info_of(frame).is_unique()
    }

    unsafe fn bytes(&self, frame: Frame) -> Piece<'_> {
        let start = NonNull::new(frames::bytes(frame)).expect("the direct map does not begin at 0");
        // SAFETY: a frame's bytes through the direct map; the caller has a reference, so they stay a page's.
        unsafe { Piece::new(start, PAGE_SIZE as usize) }
    }

    fn zero_page(&self) -> Frame {
        crate::mm::space::Env::zero_page(self)
    }

    fn now_ns(&self) -> u64 {
        Machine::now_ns()
    }

    fn frames(&self) -> u64 {
        FRAMES.load(Ordering::Relaxed)
    }

    fn unmap(&self, file: FileId, bytes: Range<u64>, which: &dyn Fn(u64, Frame) -> bool) {
        if let Some(spaces) = spaces() {
            (spaces.unmap)(file, bytes, which);
        }
    }

    fn write_protect(&self, file: FileId, bytes: Range<u64>) {
        if let Some(spaces) = spaces() {
            (spaces.write_protect)(file, bytes);
        }
    }
}
