//! The heap: the caches of the classes, the named ones, and the way to them.
//!
//! The path that counts is in [`Heap::allocate`] and [`Heap::free`]: from the size to a class, from the class to
//! this CPU's magazine, one pointer out or in. All else stands in functions of its own, so that it costs the path
//! one branch not taken.
//!
//! Every call wants a [`Mine`], the proof that this CPU's magazines are ours for the moment. Lock order: a cache's
//! lock is the only one the heap takes, and it calls nobody while it holds it but `number`, `page` and `info` of
//! the source.

use super::cache::{Cache, Stats};
use super::checks::{self, Live, Violation};
use super::classes::{CLASSES, class_of};
use super::fail::FailAlloc;
use super::magazine::{CpuMagazines, MAGAZINES, Mine};
use super::source::{Alarm, LargeSource, PageSource, Site};
use super::{CHECKED, MAX_SIZE};
use core::alloc::Layout;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicUsize};

/// A heap on pages of `S`. It must not move once it is used, which `&'static self` says.
pub struct Heap<S: 'static, const CHECKS: bool = CHECKED> {
    source: S,
    classes: [Cache<CHECKS>; CLASSES],
    /// Named caches that were used, the last one first.
    named: AtomicPtr<Cache<CHECKS>>,
    /// The number of magazines that are given to caches.
    magazines: AtomicUsize,
    /// The CPUs' magazines, the last one first.
    cpus: AtomicPtr<CpuMagazines>,
    /// Which allocations fail on purpose.
    pub fail: FailAlloc,
}

impl<S, const CHECKS: bool> Heap<S, CHECKS> {
    pub const fn new(source: S) -> Self {
        let mut classes = [const { Cache::of_class(0) }; CLASSES];
        let mut class = 1;
        while class < CLASSES {
            classes[class] = Cache::of_class(class);
            class += 1;
        }
        Self {
            source,
            classes,
            named: AtomicPtr::new(null_mut()),
            magazines: AtomicUsize::new(CLASSES),
            cpus: AtomicPtr::new(null_mut()),
            fail: FailAlloc::new(),
        }
    }

    /// What it stands on.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// Makes a CPU's magazines known, for the statistics. Once for each CPU.
    pub fn add_cpu(&self, cpu: &'static CpuMagazines) {
        push_front(&self.cpus, cpu, |cpu| &cpu.next);
    }

    /// Whether memory for `layout` comes from the [`LargeSource`]. Who calls that itself, for such a one, may do so
    /// without a [`Mine`].
    #[inline]
    pub fn is_large(layout: Layout) -> bool {
        let class = if CHECKS { checked_class(layout) } else { class_of(layout.size(), layout.align()) };
        class.is_none()
    }

    /// Whether an allocation can grow or shrink to `new_size` bytes where it is.
    pub fn stays(layout: Layout, new_size: usize) -> bool {
        let class = |size| class_of(size, layout.align());
        !CHECKS && class(layout.size()).is_some_and(|old| class(new_size) == Some(old))
    }
}

/// Puts `item` in front of a list that only grows.
fn push_front<T>(head: &AtomicPtr<T>, item: &'static T, next: impl Fn(&T) -> &AtomicPtr<T>) {
    let mut first = head.load(Relaxed);
    loop {
        next(item).store(first, Relaxed);
        match head.compare_exchange_weak(first, core::ptr::from_ref(item).cast_mut(), Release, Relaxed) {
            Ok(_) => return,
            Err(now) => first = now,
        }
    }
}

/// The items of such a list.
fn items<T: 'static>(
    head: &AtomicPtr<T>,
    next: impl Fn(&T) -> &AtomicPtr<T>,
) -> impl Iterator<Item = &'static T> {
    // SAFETY: only `push_front` writes these, and it takes `&'static T`.
    let load = |from: &AtomicPtr<T>| unsafe { from.load(Acquire).as_ref::<'static>() };
    core::iter::successors(load(head), move |&item| load(next(item)))
}

impl<S: PageSource + LargeSource + Alarm, const CHECKS: bool> Heap<S, CHECKS> {
    // ---- GlobalAlloc's two ----

    /// The short way of [`allocate`](Self::allocate): what this CPU has at hand. `None` says nothing: ask there. It calls
    /// nobody, so that the caller needs no stack and saves no registers, and can leave by a jump to the longer way.
    #[inline]
    pub fn allocate_at_hand(&self, mine: &Mine<'_>, layout: Layout) -> Option<NonNull<u8>> {
        if CHECKS || self.fail.is_armed() {
            return None;
        }
        mine.pop::<false>(class_of(layout.size(), layout.align())?)
    }

    /// The short way of [`free`](Self::free): false if it is not open, and nothing has happened.
    ///
    /// # Safety
    /// As for `free`.
    #[inline]
    pub unsafe fn free_at_hand(&self, mine: &Mine<'_>, object: NonNull<u8>, layout: Layout) -> bool {
        !CHECKS && class_of(layout.size(), layout.align()).is_some_and(|class| mine.push(class, object))
    }

    /// Memory for `layout`, or `None`, as for no bytes. `site` is who asks.
    #[inline]
    pub fn allocate(&'static self, mine: &Mine<'_>, layout: Layout, site: Site) -> Option<NonNull<u8>> {
        if self.fail.is_armed() {
            return self.allocate_or_fail(mine.lend(), layout, site);
        }
        self.allocate_unasked(mine, layout, site)
    }

    #[inline]
    fn allocate_unasked(&'static self, mine: &Mine<'_>, layout: Layout, site: Site) -> Option<NonNull<u8>> {
        if CHECKS {
            return self.allocate_checked(mine.lend(), layout, site);
        }
        match class_of(layout.size(), layout.align()) {
            Some(class) => match mine.pop::<false>(class) {
                None => self.refill(&self.classes[class], Some(class), mine.lend()),
                object => object,
            },
            None => self.large(layout, site),
        }
    }

    /// Takes it back.
    ///
    /// # Safety
    /// `object` came from [`allocate`](Self::allocate) of this heap, on any CPU, with the same layout, and nobody
    /// uses it any more.
    #[inline]
    pub unsafe fn free(&'static self, mine: &Mine<'_>, object: NonNull<u8>, layout: Layout, site: Site) {
        if CHECKS {
            // SAFETY: the caller's promise.
            return unsafe { self.free_checked(mine.lend(), object, layout, site) };
        }
        match class_of(layout.size(), layout.align()) {
            Some(class) if mine.push(class, object) => {}
            Some(class) => self.unload(&self.classes[class], Some(class), mine.lend(), object),
            // SAFETY: the caller's promise.
            None => unsafe { self.source.free_large(object, layout.size(), site) },
        }
    }

    // ---- named caches ----

    /// An object of a named cache, or `None`.
    #[inline]
    pub fn allocate_from(
        &'static self,
        cache: &'static Cache<CHECKS>,
        mine: &Mine<'_>,
        site: Site,
    ) -> Option<NonNull<u8>> {
        if self.fail.is_armed() {
            return self.allocate_from_or_fail(cache, mine.lend(), site);
        }
        self.allocate_from_unasked(cache, mine, site)
    }

    #[inline]
    fn allocate_from_unasked(
        &'static self,
        cache: &'static Cache<CHECKS>,
        mine: &Mine<'_>,
        site: Site,
    ) -> Option<NonNull<u8>> {
        let index = cache.magazine();
        let slot = match index.and_then(|index| mine.pop::<CHECKS>(index)) {
            None => self.refill(cache, index, mine.lend())?,
            Some(slot) => slot,
        };
        if !CHECKS {
            return Some(slot);
        }
        self.open(cache, slot, cache.size(), cache.offset(), site)
    }

    /// Takes it back.
    ///
    /// # Safety
    /// `object` came from [`allocate_from`](Self::allocate_from) of this heap and cache, on any CPU, and nobody
    /// uses it any more.
    #[inline]
    pub unsafe fn free_to(
        &'static self,
        cache: &'static Cache<CHECKS>,
        mine: &Mine<'_>,
        object: NonNull<u8>,
        site: Site,
    ) {
        let mut slot = object;
        if CHECKS {
            // SAFETY: the caller's promise.
            match unsafe { self.close(cache, object, cache.size(), cache.offset(), site) } {
                Some(closed) => slot = closed,
                None => return,
            }
        }
        let index = cache.magazine();
        if !index.is_some_and(|index| mine.push(index, slot)) {
            self.unload(cache, index, mine.lend(), slot);
        }
    }

    // ---- the longer ways ----

    // A call as the last thing, and not one in the middle: the short way saves no registers.
    #[cold]
    #[inline(never)]
    fn allocate_or_fail(&'static self, mine: Mine<'_>, layout: Layout, site: Site) -> Option<NonNull<u8>> {
        if self.fail.fails() { None } else { self.allocate_unasked(&mine, layout, site) }
    }

    #[cold]
    #[inline(never)]
    fn allocate_from_or_fail(
        &'static self,
        cache: &'static Cache<CHECKS>,
        mine: Mine<'_>,
        site: Site,
    ) -> Option<NonNull<u8>> {
        if self.fail.fails() { None } else { self.allocate_from_unasked(cache, &mine, site) }
    }

    /// Fills the magazine to half, and takes one. Without a magazine, takes one from the slabs.
    #[cold]
    #[inline(never)]
    fn refill(
        &'static self,
        cache: &'static Cache<CHECKS>,
        index: Option<usize>,
        mine: Mine<'_>,
    ) -> Option<NonNull<u8>> {
        let Some(index) = index else {
            self.register(cache);
            let mut one = None;
            cache.take(&self.source, 1, |slot| one = Some(slot));
            return one;
        };
        mine.set_limit(index, cache.limit());
        cache.take(&self.source, cache.batch(), |slot| {
            mine.push(index, slot);
        });
        mine.pop::<CHECKS>(index)
    }

    /// Empties the magazine to half, and puts the slot in. Without a magazine, puts it into its slab.
    #[cold]
    #[inline(never)]
    fn unload(
        &'static self,
        cache: &'static Cache<CHECKS>,
        index: Option<usize>,
        mine: Mine<'_>,
        slot: NonNull<u8>,
    ) {
        if let Some(index) = index {
            mine.set_limit(index, cache.limit());
            if mine.push(index, slot) {
                return;
            }
            mine.unload(index, cache.batch(), |slots| cache.give(&self.source, slots));
            if mine.push(index, slot) {
                return;
            }
        }
        cache.give(&self.source, &[slot]);
    }

    /// Enters a named cache into the list, and gives it a magazine if one is left. A CPU that comes here while
    /// another is at it does without one, this time.
    fn register(&self, cache: &'static Cache<CHECKS>) {
        if !cache.register() {
            return;
        }
        let index = self.magazines.fetch_add(1, Relaxed);
        push_front(&self.named, cache, |cache| &cache.next);
        if index < MAGAZINES {
            cache.set_magazine(index);
        }
    }

    fn large(&self, layout: Layout, site: Site) -> Option<NonNull<u8>> {
        (layout.size() > 0).then(|| self.source.allocate_large(layout.size(), layout.align(), site))?
    }

    #[inline(never)]
    fn allocate_checked(&'static self, mine: Mine<'_>, layout: Layout, site: Site) -> Option<NonNull<u8>> {
        let (size, align) = (layout.size(), layout.align());
        let Some(class) = checked_class(layout) else { return self.large(layout, site) };
        let cache = &self.classes[class];
        let slot = match mine.pop::<CHECKS>(class) {
            None => self.refill(cache, Some(class), mine.lend())?,
            Some(slot) => slot,
        };
        self.open(cache, slot, size, checks::offset(align), site)
    }

    #[inline(never)]
    unsafe fn free_checked(&'static self, mine: Mine<'_>, object: NonNull<u8>, layout: Layout, site: Site) {
        let Some(class) = checked_class(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { self.source.free_large(object, layout.size(), site) };
        };
        let cache = &self.classes[class];
        // SAFETY: the caller's promise.
        let closed =
            unsafe { self.close(cache, object, layout.size(), checks::offset(layout.align()), site) };
        let Some(slot) = closed else { return };
        if !mine.push(class, slot) {
            self.unload(cache, Some(class), mine.lend(), slot);
        }
    }

    /// A free slot becomes an object; what was written to it meanwhile is reported.
    fn open(
        &self,
        cache: &'static Cache<CHECKS>,
        slot: NonNull<u8>,
        size: usize,
        offset: usize,
        site: Site,
    ) -> Option<NonNull<u8>> {
        let Some(checked) = cache.checked_slot(&self.source, slot) else {
            self.source.violation(&cache.not_an_object(slot, site));
            return None;
        };
        // SAFETY: it was taken from the cache for an object of this shape.
        let (object, found) = unsafe { checked.open(size, offset, site) };
        if let Some(found) = found {
            self.source.violation(&found);
        }
        Some(object)
    }

    /// An object becomes a free slot; `None`, after a report, if it is none of the cache's, or free.
    unsafe fn close(
        &self,
        cache: &'static Cache<CHECKS>,
        object: NonNull<u8>,
        size: usize,
        offset: usize,
        site: Site,
    ) -> Option<NonNull<u8>> {
        let slot = NonNull::new(object.as_ptr().wrapping_sub(offset));
        let Some((slot, checked)) =
            slot.and_then(|slot| Some((slot, cache.checked_slot(&self.source, slot)?)))
        else {
            self.source.violation(&cache.not_an_object(object, site));
            return None;
        };
        // SAFETY: the caller's promise.
        let (ours, found) = unsafe { checked.close(size, offset, site) };
        if let Some(found) = found {
            self.source.violation(&found);
        }
        ours.then_some(slot)
    }

    // ---- what the monitor and memory pressure ask for ----

    fn caches(&'static self) -> impl Iterator<Item = &'static Cache<CHECKS>> {
        self.classes.iter().chain(items(&self.named, |cache| &cache.next))
    }

    /// Empties this CPU's magazines into the slabs. To have all objects back, each CPU has to do it.
    pub fn drain(&'static self, mine: &Mine<'_>) {
        for cache in self.caches() {
            if let Some(index) = cache.magazine() {
                mine.unload(index, usize::MAX, |slots| cache.give(&self.source, slots));
            }
        }
    }

    /// Empties this CPU's magazines, and gives all empty slabs back. Returns the number of pages.
    pub fn shrink(&'static self, mine: &Mine<'_>) -> usize {
        self.drain(mine);
        self.caches().map(|cache| cache.shrink(&self.source)).sum()
    }

    /// Each cache in numbers: the classes, then the named ones that were used. While others allocate, an object
    /// on its way from one count to the other may be missed.
    pub fn stats(&'static self) -> impl Iterator<Item = Stats> {
        self.caches().map(|cache| {
            let count = |index| items(&self.cpus, |cpu| &cpu.next).map(|cpu| cpu.count(index)).sum();
            cache.stats(cache.magazine().map_or(0, count))
        })
    }

    /// Calls `tell` with each object in use and who allocated it, of a heap with checks. A lock is held meanwhile:
    /// `tell` must not use the heap.
    pub fn live(&'static self, mut tell: impl FnMut(Live)) {
        self.caches().for_each(|cache| cache.live(&self.source, &mut tell));
    }

    /// Looks at every red zone and all poison of a heap with checks. Nobody may be using the heap.
    pub fn audit(&'static self, mut tell: impl FnMut(Violation)) {
        self.caches().for_each(|cache| cache.audit(&self.source, &mut tell));
    }
}

/// The class of an object with all that is around it.
fn checked_class(layout: Layout) -> Option<usize> {
    let (size, align) = (layout.size(), layout.align());
    if size == 0 || size > MAX_SIZE || align > MAX_SIZE {
        return None;
    }
    class_of(checks::slot_size(size, align), align)
}
