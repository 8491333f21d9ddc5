//! What a mapping is made of, and the one place where it is locked.

extern crate alloc;

use super::bytes::Piece;
use super::cache::{Cache, Membership, Total};
use super::env::{Backing, Env, Error, FileId};
use super::errors::Errors;
use super::tree::{Tag, Tags, Tree};
use super::{Counts, PAGE_SIZE};
use crate::mm::addr::Frame;
use crate::mm::vma::room;
use crate::sync::{Mutex, Rank, SpinLock};
use alloc::boxed::Box;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A page's size as a length.
pub const PAGE: usize = PAGE_SIZE as usize;
/// Pages that are worked on at a time: brought, written, taken out.
pub const RUN: usize = 32;

/// A box that can be refused: a vector of one.
pub fn boxed<T>(value: T) -> Result<Box<T>, Error> {
    let mut vec = room::with_room(1).map_err(|_| Error::NoMemory)?;
    vec.push(value);
    let slice = Box::into_raw(vec.into_boxed_slice());
    // SAFETY: a box of a slice of one has the layout of a box of that one.
    Ok(unsafe { Box::from_raw(slice.cast::<T>()) })
}

/// What is behind the lock.
pub struct Pages {
    pub tree: Tree,
    pub size: u64,
    /// A call may be copying to bytes up to here, which lie past `size` until it has. Else it is `size`.
    pub reach: u64,
    /// Pages that are being made a hole: nobody brings one.
    pub hole: Range<u64>,
    /// Where the clock's hand is.
    pub hand: u64,
}

impl Pages {
    /// Ends what was going on with a page; whether somebody waits for that.
    pub fn end(&mut self, page: u64, away: &[Tag], more: &[Tag]) -> bool {
        let old = self.tree.retag(page, away, more);
        if old.has(Tag::Waited) {
            self.tree.retag(page, &[Tag::Waited], &[]);
        }
        old.has(Tag::Waited)
    }

    fn counts(&self) -> Counts {
        Counts {
            pages: self.tree.count(Tag::There),
            dirty: self.tree.count(Tag::Dirty),
            write_back: self.tree.count(Tag::WriteBack),
        }
    }
}

/// A mapping, at an address that stays.
pub struct Inner<E: Env, B: Backing> {
    pub cache: &'static Cache<E>,
    pub backing: B,
    /// Whether the backing keeps pages.
    pub keeps: bool,
    /// Writers and truncaters take turns.
    pub writers: Mutex<()>,
    pages: SpinLock<Pages>,
    /// What `pages.size` is, and how many pages there are, for who takes no lock.
    size: AtomicU64,
    there: AtomicU64,
    /// Areas of address spaces that show it.
    pub mapped: AtomicUsize,
    pub errors: Errors,
    pub membership: Membership,
}

/// A page that somebody uses: with a reference on its frame.
pub struct Held<'a, E: Env> {
    env: &'a E,
    frame: Frame,
}

impl<'a, E: Env> Held<'a, E> {
    /// Takes over a reference.
    pub fn new(env: &'a E, frame: Frame) -> Self {
        Self { env, frame }
    }

    pub fn frame(&self) -> Frame {
        self.frame
    }

    /// Its bytes.
    pub fn piece(&self) -> Piece<'_> {
        // SAFETY: this has a reference as long as the piece is borrowed from it.
        unsafe { self.env.bytes(self.frame) }
    }

    /// The frame with its reference.
    pub fn into_frame(self) -> Frame {
        let frame = self.frame;
        core::mem::forget(self);
        frame
    }
}

impl<E: Env> Drop for Held<'_, E> {
    fn drop(&mut self) {
        self.env.put(self.frame);
    }
}

/// What is found where a page could be.
pub enum Look<'a, E: Env> {
    /// It is good. With the tags that it had, and the file's size at that moment.
    There {
        page: Held<'a, E>,
        tags: Tags,
        size: u64,
    },
    /// It is being brought.
    Busy,
    Absent,
}

impl<E: Env, B: Backing> Inner<E, B> {
    pub fn new(cache: &'static Cache<E>, backing: B, size: u64) -> Self {
        let pages = Pages { tree: Tree::new(), size, reach: size, hole: 0..0, hand: 0 };
        Self {
            cache,
            keeps: backing.keeps(),
            backing,
            writers: Mutex::new(Rank::FileWriters, ()),
            pages: SpinLock::new(Rank::FilePages, pages),
            size: AtomicU64::new(size),
            there: AtomicU64::new(0),
            mapped: AtomicUsize::new(0),
            errors: Errors::new(),
            membership: Membership::new(),
        }
    }

    pub fn id(&self) -> FileId {
        FileId(core::ptr::from_ref(self).addr())
    }

    pub fn env(&self) -> &E {
        &self.cache.env
    }

    #[inline]
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Pages in memory, at some moment.
    #[inline]
    pub fn there(&self) -> u64 {
        self.there.load(Ordering::Relaxed)
    }

    pub fn set_size(&self, size: u64) {
        self.change(|pages| self.resize_in(pages, size));
    }

    /// The same for who has the lock.
    pub fn resize_in(&self, pages: &mut Pages, size: u64) {
        (pages.size, pages.reach) = (size, size);
        self.size.store(size, Ordering::Release);
    }

    pub fn counts(&self) -> Counts {
        self.pages.lock().counts()
    }

    /// Looks at the pages, or changes tags that are not counted.
    #[inline]
    pub fn with<R>(&self, look: impl FnOnce(&mut Pages) -> R) -> R {
        look(&mut self.pages.lock())
    }

    /// Changes pages. What becomes more or less is accounted for here.
    pub fn change<R>(&self, change: impl FnOnce(&mut Pages) -> R) -> R {
        let mut pages = self.pages.lock();
        let before = pages.counts();
        let result = change(&mut pages);
        let after = pages.counts();
        self.there.store(after.pages, Ordering::Relaxed);
        drop(pages);
        self.account(before, after);
        result
    }

    /// The same, unless somebody has the lock.
    pub fn try_change<R>(&self, change: impl FnOnce(&mut Pages) -> R) -> Option<R> {
        let mut pages = self.pages.try_lock()?;
        let before = pages.counts();
        let result = change(&mut pages);
        let after = pages.counts();
        self.there.store(after.pages, Ordering::Relaxed);
        drop(pages);
        self.account(before, after);
        Some(result)
    }

    fn account(&self, before: Counts, after: Counts) {
        let total = &self.cache.total;
        let pages = if self.keeps { &total.pages } else { &total.kept };
        Total::add(pages, before.pages, after.pages);
        Total::add(&total.dirty, before.dirty, after.dirty);
        Total::add(&total.write_back, before.write_back, after.write_back);
        if before.dirty == 0 && after.dirty != 0 {
            self.cache.became_dirty(self);
        }
        if after.dirty + after.write_back < before.dirty + before.write_back {
            self.cache.became_clean();
        }
    }

    /// A page, if it is there, with a reference. `touch`: it is used, and not for the first time in one go.
    #[inline]
    pub fn look(&self, page: u64, touch: bool) -> Result<Look<'_, E>, Error> {
        let mut pages = self.pages.lock();
        let size = pages.size;
        let Some((frame, tags)) = pages.tree.get(page) else { return Ok(Look::Absent) };
        if !tags.has(Tag::UpToDate) {
            return Ok(Look::Busy);
        }
        if touch && !(tags.has(Tag::Referenced) && tags.has(Tag::Active)) {
            let tag = if tags.has(Tag::Referenced) { Tag::Active } else { Tag::Referenced };
            if let Some(leaf) = pages.tree.leaf_mut(page) {
                leaf.change(tag, 1 << (page % 64), true);
            }
        }
        if !self.env().get(frame) {
            return Err(Error::NoMemory);
        }
        Ok(Look::There { page: Held::new(self.env(), frame), tags, size })
    }

    /// Those of the pages from `first` on whose bits are set that are up to date and within the file, each with a reference:
    /// under one hold of the lock, which all who show the file want.
    pub fn look_at_many(&self, first: u64, mut wanted: u64, found: &mut [Option<Frame>]) {
        let pages = self.pages.lock();
        let end = pages.size.div_ceil(PAGE_SIZE);
        while wanted != 0 {
            let place = wanted.trailing_zeros();
            wanted &= wanted - 1;
            let page = first + u64::from(place);
            if page >= end {
                return;
            }
            if let Some((frame, tags)) = pages.tree.get(page)
                && tags.has(Tag::UpToDate)
                && self.env().get(frame)
            {
                found[place as usize] = Some(frame);
            }
        }
    }

    /// Sleeps until the page has none of these tags, or is not there.
    pub fn wait(&self, page: u64, tags: &[Tag]) {
        self.cache.queue(self.id(), page).wait_until(|| {
            let mut pages = self.pages.lock();
            let Some((_, now)) = pages.tree.get(page) else { return true };
            if !tags.iter().any(|&tag| now.has(tag)) {
                return true;
            }
            if let Some(leaf) = pages.tree.leaf_mut(page) {
                leaf.change(Tag::Waited, 1 << (page % 64), true);
            }
            false
        });
    }

    /// Sleeps until the page is in no hole that is being made.
    pub fn wait_for_hole(&self, page: u64) {
        let queue = self.cache.queue(self.id(), HOLE);
        queue.wait_until(|| !self.pages.lock().hole.contains(&page));
    }

    /// The hole is made.
    pub fn end_hole(&self) {
        self.with(|pages| pages.hole = 0..0);
        self.cache.queue(self.id(), HOLE).wake_all();
    }

    /// Wakes those who wait for the pages from `first` on whose bits are set.
    pub fn wake(&self, first: u64, mut pages: u64) {
        while pages != 0 {
            self.cache.queue(self.id(), first + u64::from(pages.trailing_zeros())).wake_all();
            pages &= pages - 1;
        }
    }
}

/// In place of a page's number.
const HOLE: u64 = u64::MAX;

impl<E: Env, B: Backing> Drop for Inner<E, B> {
    fn drop(&mut self) {
        self.cache.leave(self);
        let before = self.counts();
        loop {
            let tree = &mut self.pages.get_mut().tree;
            let Some((frame, _)) = tree.next(Tag::There, 0).and_then(|page| tree.remove(page)) else { break };
            self.cache.env.put(frame);
        }
        self.account(before, Counts { dirty: 0, write_back: 0, pages: 0 });
        if !self.keeps && before.pages != 0 {
            self.backing.release(before.pages);
        }
    }
}
