//! Pages of the host with a [`FrameInfo`] each, full of garbage whenever they are given out.

use super::super::{Alarm, LargeSource, PageSource, Site, Violation};
use crate::boot::layout::PAGE_SIZE;
use crate::mm::frame::info::FrameInfo;
use core::ptr::NonNull;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const PAGE: usize = PAGE_SIZE as usize;
/// Blocks of at most that order.
const ORDERS: u32 = 4;
/// The number of the first page.
const FIRST: u32 = 1000;

#[derive(Default)]
struct State {
    /// Of each page in use that begins a block its order, of the others in use 255.
    used: Vec<Option<u8>>,
    in_use: usize,
    large: HashMap<usize, Layout>,
}

pub struct Arena {
    base: NonNull<u8>,
    infos: Vec<FrameInfo>,
    state: Mutex<State>,
    /// Pages that may be in use at a time.
    pub limit: AtomicUsize,
    violations: Mutex<Vec<Violation>>,
}

// SAFETY: the memory behind `base` belongs to the arena and to those it was given to.
unsafe impl Send for Arena {}
// SAFETY: the same; what changes is atomic or behind a lock.
unsafe impl Sync for Arena {}

impl Arena {
    pub fn new(pages: usize) -> Self {
        let layout = Layout::from_size_align(pages * PAGE, PAGE << (ORDERS - 1)).unwrap();
        // SAFETY: not of size 0.
        let base = NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout));
        let state = State { used: vec![None; pages], ..State::default() };
        let infos: Vec<_> = (0..pages).map(|_| FrameInfo::new()).collect();
        for (n, info) in infos.iter().enumerate() {
            info.set_links(n as u32, !0);
            info.set_index(!0);
        }
        let (state, violations) = (Mutex::new(state), Mutex::new(vec![]));
        Self { base, infos, state, limit: AtomicUsize::new(pages), violations }
    }

    /// Pages in use, by slabs.
    pub fn used(&self) -> usize {
        self.state.lock().unwrap().in_use
    }

    /// Large allocations.
    pub fn large(&self) -> usize {
        self.state.lock().unwrap().large.len()
    }

    /// What was reported since the last call.
    pub fn reported(&self) -> Vec<Violation> {
        std::mem::take(&mut *self.violations.lock().unwrap())
    }
}

// SAFETY: blocks are disjoint, as `used` says; the base is aligned to the largest of them.
unsafe impl PageSource for Arena {
    fn allocate(&self, order: u32) -> Option<NonNull<u8>> {
        assert!(order < ORDERS);
        let (mut state, count) = (self.state.lock().unwrap(), 1 << order);
        if state.in_use + count > self.limit.load(Relaxed) {
            return None;
        }
        let first =
            state.used.chunks(count).position(|block| block.iter().all(|page| page.is_none()))? * count;
        if first + count > state.used.len() {
            return None;
        }
        state.used[first..first + count].fill(Some(255));
        state.used[first] = Some(order as u8);
        state.in_use += count;
        // SAFETY: within the arena, and nobody's.
        unsafe {
            let block = self.base.add(first * PAGE);
            block.write_bytes(0x5B, count * PAGE);
            Some(block)
        }
    }

    unsafe fn free(&self, first: NonNull<u8>, order: u32) {
        let index = (self.number(first).unwrap() - FIRST) as usize;
        let (mut state, count) = (self.state.lock().unwrap(), 1 << order);
        assert_eq!(state.used[index], Some(order as u8), "no block of order {order} begins there");
        assert_eq!(self.infos[index].mapping(), 0);
        state.used[index..index + count].fill(None);
        state.in_use -= count;
    }

    fn number(&self, at: NonNull<u8>) -> Option<u32> {
        let page = at.addr().get().checked_sub(self.base.addr().get())? / PAGE;
        (page < self.infos.len()).then_some(FIRST + page as u32)
    }

    fn page(&self, number: u32) -> NonNull<u8> {
        assert!(number >= FIRST && ((number - FIRST) as usize) < self.infos.len());
        // SAFETY: a page of the arena.
        unsafe { self.base.add((number - FIRST) as usize * PAGE) }
    }

    fn info(&self, number: u32) -> &FrameInfo {
        &self.infos[(number - FIRST) as usize]
    }
}

// SAFETY: the host's allocator does what is asked for.
unsafe impl LargeSource for Arena {
    fn allocate_large(&self, size: usize, align: usize, _: Site) -> Option<NonNull<u8>> {
        let layout = Layout::from_size_align(size, align).ok()?;
        assert!(size > 0);
        // SAFETY: not of size 0.
        let found = NonNull::new(unsafe { alloc(layout) })?;
        self.state.lock().unwrap().large.insert(found.addr().get(), layout);
        Some(found)
    }

    unsafe fn free_large(&self, at: NonNull<u8>, size: usize, _: Site) {
        let layout =
            self.state.lock().unwrap().large.remove(&at.addr().get()).expect("freed twice, or never given");
        assert_eq!(layout.size(), size);
        // SAFETY: it was given, and is not any more.
        unsafe { dealloc(at.as_ptr(), layout) };
    }
}

impl Alarm for Arena {
    fn violation(&self, found: &Violation) {
        self.violations.lock().unwrap().push(*found);
    }
}
