//! A cache: slabs of objects of one size, behind one lock.
//!
//! A slab is a block of pages that begins at a multiple of its own length, so that an object's address with the
//! low bits cleared is its slab's, and its account is in the frame data of the slab's first page (`list.rs`). No
//! byte of the slab is the heap's, and an object is aligned to the largest power of two in its size.
//!
//! Each slab is in one of three lists: of those with some objects out, with all of them out, and with none. A
//! slab with some is taken from first; of the empty ones one is kept, and the others go back.
//!
//! The lock is held for half a magazine of list operations, and never while pages are asked for or given back:
//! the frame allocator may want memory from the heap's own `shrink` meanwhile.

use super::checks::{self, Fault, Live, Slot, Violation};
use super::list::{Account, List};
use super::magazine::{self, MAGAZINES};
use super::source::{Alarm, PageSource, Site};
use super::{CHECKED, MAX_SIZE, classes};
use crate::boot::layout::PAGE_SIZE;
use crate::sync::{IrqLock, Rank};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize};

/// The largest slab is 8 pages.
const MAX_ORDER: u32 = 3;
/// A slab holds at least that many objects, and leaves at most an eighth of its bytes unused.
const MIN_CAPACITY: usize = 4;
/// Empty slabs that are kept.
const RESERVE: usize = 1;
/// No magazine belongs to the cache.
const NO_MAGAZINE: usize = usize::MAX;

/// Objects of one size.
///
/// ```ignore
/// static VMA: Cache = Cache::new("vma", size_of::<Vma>(), align_of::<Vma>());
/// ```
pub struct Cache<const CHECKS: bool = CHECKED> {
    name: &'static str,
    /// The object's size and its place in the slot. Of a class's cache, the slot's size, and 0.
    size: usize,
    offset: usize,
    /// From one slot to the next.
    stride: usize,
    order: u32,
    capacity: usize,
    /// Which magazine of each CPU is its own.
    magazine: AtomicUsize,
    registered: AtomicBool,
    /// The next of the heap's named caches.
    pub(super) next: AtomicPtr<Self>,
    depot: IrqLock<Depot>,
}

/// What the lock protects.
struct Depot {
    partial: List,
    full: List,
    empty: List,
    /// Objects out of the slabs: in use, or in magazines.
    out: usize,
}

/// A cache in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    pub name: &'static str,
    /// Bytes of an object.
    pub size: usize,
    /// Bytes it takes.
    pub stride: usize,
    /// Objects in use; and free ones that CPUs have at hand.
    pub in_use: usize,
    pub in_magazines: usize,
    /// Objects that the slabs could hold.
    pub room: usize,
    /// Slabs; and those of them that are empty.
    pub slabs: usize,
    pub empty_slabs: usize,
    /// Bytes of all slabs.
    pub bytes: usize,
}

const fn slab_bytes(order: u32) -> usize {
    (PAGE_SIZE as usize) << order
}

/// The smallest slab with enough objects and little waste; if there is none, the largest.
const fn order_for(stride: usize) -> u32 {
    let mut order = 0;
    while order < MAX_ORDER {
        let bytes = slab_bytes(order);
        if bytes / stride >= MIN_CAPACITY && bytes % stride <= bytes / 8 {
            break;
        }
        order += 1;
    }
    order
}

impl<const CHECKS: bool> Cache<CHECKS> {
    /// A cache for objects of `size` bytes at multiples of `align`, a power of two. In a `static` or a `const`, so
    /// that a size above 8 KiB does not compile.
    pub const fn new(name: &'static str, size: usize, align: usize) -> Self {
        assert!(align.is_power_of_two() && align <= PAGE_SIZE as usize, "an alignment is a power of two");
        assert!(size > 0 && size <= MAX_SIZE, "what is larger than MAX_SIZE is not for a slab");
        // A free object holds a pointer, and offsets within a slab are counted in units of 8 bytes.
        let align = if align > 8 { align } else { 8 };
        let (offset, bytes) =
            if CHECKS { (checks::offset(align), checks::slot_size(size, align)) } else { (0, size) };
        Self::with_stride(name, size, offset, bytes.next_multiple_of(align), NO_MAGAZINE)
    }

    /// The cache of a class.
    pub(super) const fn of_class(class: usize) -> Self {
        let size = classes::SIZES[class];
        Self::with_stride(classes::NAMES[class], size, 0, size, class)
    }

    const fn with_stride(
        name: &'static str,
        size: usize,
        offset: usize,
        stride: usize,
        magazine: usize,
    ) -> Self {
        let order = order_for(stride);
        Self {
            name,
            size,
            offset,
            stride,
            order,
            capacity: slab_bytes(order) / stride,
            magazine: AtomicUsize::new(magazine),
            registered: AtomicBool::new(magazine != NO_MAGAZINE),
            next: AtomicPtr::new(null_mut()),
            depot: IrqLock::new(
                Rank::Slabs,
                Depot { partial: List::new(), full: List::new(), empty: List::new(), out: 0 },
            ),
        }
    }

    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The size of its objects, in bytes.
    pub const fn size(&self) -> usize {
        self.size
    }

    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    /// Its magazine's number, if it has one.
    #[inline]
    pub(super) fn magazine(&self) -> Option<usize> {
        let index = self.magazine.load(Relaxed);
        (index < MAGAZINES).then_some(index)
    }

    /// True once: for who is to make the cache known.
    pub(super) fn register(&self) -> bool {
        !self.registered.load(Relaxed) && !self.registered.swap(true, Relaxed)
    }

    pub(super) fn set_magazine(&self, index: usize) {
        self.magazine.store(index, Relaxed);
    }

    /// Objects that a magazine of it holds.
    pub(super) const fn limit(&self) -> usize {
        magazine::limit(self.stride)
    }

    /// Objects that go in or out of it at a time.
    pub(super) const fn batch(&self) -> usize {
        self.limit().div_ceil(2)
    }

    fn tag(&'static self) -> u64 {
        core::ptr::from_ref(self).addr() as u64
    }

    fn slot(&self, base: NonNull<u8>) -> Slot {
        // SAFETY: the callers pass slots of this cache's slabs.
        unsafe { Slot::new(base, self.stride, self.name) }
    }

    /// The slots of the slab at `base`.
    fn slots(&self, base: NonNull<u8>) -> impl Iterator<Item = Slot> {
        // SAFETY: a slab is `capacity` slots long.
        (0..self.capacity).map(move |n| self.slot(unsafe { base.add(n * self.stride) }))
    }

    // ---- out ----

    /// Passes up to `n` objects to `push`, out of the slabs there are, or if these hold none, of a new one.
    /// Returns how many: 0 if there is no memory.
    pub(super) fn take(
        &'static self,
        source: &impl PageSource,
        n: usize,
        mut push: impl FnMut(NonNull<u8>),
    ) -> usize {
        let taken = self.take_locked(&mut self.depot.lock(), source, n, &mut push);
        if taken > 0 {
            return taken;
        }
        let Some(base) = source.allocate(self.order) else { return 0 };
        let Some(slab) = source.number(base) else { return 0 };
        if CHECKS {
            // SAFETY: nobody else knows of these pages yet.
            self.slots(base).for_each(|slot| unsafe { slot.init() });
        }
        let info = source.info(slab);
        info.set_mapping(self.tag());
        Account::NEW.store(info);
        let mut depot = self.depot.lock();
        depot.empty.push(source, slab);
        self.take_locked(&mut depot, source, n, &mut push)
    }

    fn take_locked(
        &self,
        depot: &mut Depot,
        source: &impl PageSource,
        n: usize,
        push: &mut impl FnMut(NonNull<u8>),
    ) -> usize {
        let mut taken = 0;
        while taken < n {
            let list = if depot.partial.len > 0 { &mut depot.partial } else { &mut depot.empty };
            let Some(slab) = list.pop(source) else { break };
            let (info, base) = (source.info(slab), source.page(slab));
            let mut account = Account::load(info);
            while taken < n && (account.out as usize) < self.capacity {
                // SAFETY: the slab's account, under the lock; not all slots are out.
                push(unsafe { account.take(base, self.stride) });
                taken += 1;
            }
            account.store(info);
            let full = account.out as usize == self.capacity;
            let list = if full { &mut depot.full } else { &mut depot.partial };
            list.push(source, slab);
        }
        depot.out += taken;
        taken
    }

    // ---- in ----

    /// The slab that `slot` is in; `None` if it is not one of this cache's slots.
    fn slab_of(&'static self, source: &impl PageSource, slot: NonNull<u8>) -> Option<u32> {
        let within = slot.addr().get() & (slab_bytes(self.order) - 1);
        // Not null, as page 0 is not the heap's; if it is, then there is no number for it.
        let base = NonNull::new(slot.as_ptr().map_addr(|addr| addr - within))?;
        let slab = source.number(base)?;
        (source.info(slab).mapping() == self.tag()).then_some(slab)
    }

    /// The same with its place checked, for which a division is needed.
    pub(super) fn checked_slot(&'static self, source: &impl PageSource, base: NonNull<u8>) -> Option<Slot> {
        let slab = self.slab_of(source, base)?;
        let within = base.addr().get() - source.page(slab).addr().get();
        let is_slot = within % self.stride == 0 && within / self.stride < self.capacity;
        is_slot.then(|| self.slot(base))
    }

    pub(super) fn not_an_object(&self, object: NonNull<u8>, site: Site) -> Violation {
        let (cache, object) = (self.name, object.addr().get());
        let fault = Fault::NotAnObject;
        Violation { fault, cache, object, size: 0, byte: 0, allocated_by: 0, freed_by: 0, found_by: site }
    }

    /// Takes free slots back into their slabs.
    pub(super) fn give<S: PageSource + Alarm>(&'static self, source: &S, slots: &[NonNull<u8>]) {
        let mut gone = List::new();
        let mut strange = None;
        let mut guard = self.depot.lock();
        let depot = &mut *guard;
        for &slot in slots {
            let Some(slab) = self.slab_of(source, slot) else {
                strange = Some(slot);
                continue;
            };
            let info = source.info(slab);
            let mut account = Account::load(info);
            let was_full = account.out as usize == self.capacity;
            // SAFETY: the slab's account, under the lock; the slot is free, and who passes it has given it up.
            unsafe { account.give(source.page(slab), slot) };
            account.store(info);
            depot.out -= 1;
            let (from, to) = match (was_full, account.out) {
                (true, 0) => (&mut depot.full, &mut depot.empty),
                (true, _) => (&mut depot.full, &mut depot.partial),
                (false, 0) => (&mut depot.partial, &mut depot.empty),
                (false, _) => continue,
            };
            from.remove(source, slab);
            to.push(source, slab);
        }
        self.cut(depot, source, RESERVE, &mut gone);
        drop(guard);
        self.release(source, gone);
        if let Some(slot) = strange {
            source.violation(&self.not_an_object(slot, 0));
        }
    }

    /// Moves empty slabs out, down to `keep` of them.
    fn cut(&self, depot: &mut Depot, source: &impl PageSource, keep: usize, gone: &mut List) {
        while depot.empty.len > keep {
            let Some(slab) = depot.empty.pop(source) else { break };
            gone.push(source, slab);
        }
    }

    /// Gives pages back. Returns how many.
    fn release<S: PageSource + Alarm>(&self, source: &S, mut gone: List) -> usize {
        let pages = gone.len << self.order;
        while let Some(slab) = gone.pop(source) {
            let base = source.page(slab);
            if CHECKS {
                self.slots(base)
                    .filter_map(|slot| slot.inspect(0))
                    .for_each(|found| source.violation(&found));
            }
            source.info(slab).set_mapping(0);
            // SAFETY: the block came from the source; no slot of it is out, and no list knows it.
            unsafe { source.free(base, self.order) };
        }
        pages
    }

    /// Gives all empty slabs back. Returns the number of pages.
    pub(super) fn shrink<S: PageSource + Alarm>(&self, source: &S) -> usize {
        let mut gone = List::new();
        self.cut(&mut self.depot.lock(), source, 0, &mut gone);
        self.release(source, gone)
    }

    // ---- a look at it ----

    /// As of now. `in_magazines` is what the CPUs' magazines of this cache hold.
    pub(super) fn stats(&self, in_magazines: usize) -> Stats {
        let depot = self.depot.lock();
        let slabs = depot.partial.len + depot.full.len + depot.empty.len;
        Stats {
            name: self.name,
            size: self.size,
            stride: self.stride,
            in_use: depot.out.saturating_sub(in_magazines),
            in_magazines,
            room: slabs * self.capacity,
            slabs,
            empty_slabs: depot.empty.len,
            bytes: slabs * slab_bytes(self.order),
        }
    }

    /// Calls `look` with each slot of a checked cache. The lock is held meanwhile.
    fn each_slot(&self, source: &impl PageSource, look: impl FnMut(Slot)) {
        if !CHECKS {
            return;
        }
        let depot = self.depot.lock();
        let lists = [&depot.partial, &depot.full, &depot.empty];
        let slabs = lists.into_iter().flat_map(|list| list.iter(source));
        slabs.flat_map(|slab| self.slots(source.page(slab))).for_each(look);
    }

    /// Calls `tell` with each object that is in use; of a cache without checks, with none. `tell` must not use
    /// the heap.
    pub(super) fn live(&self, source: &impl PageSource, mut tell: impl FnMut(Live)) {
        self.each_slot(source, |slot| {
            if let Some(live) = slot.live() {
                tell(live);
            }
        });
    }

    /// Calls `tell` with what is wrong with the cache's objects, used or free. Nobody may be allocating or freeing
    /// meanwhile, or an object half made would look like a damaged one.
    pub(super) fn audit(&self, source: &impl PageSource, mut tell: impl FnMut(Violation)) {
        self.each_slot(source, |slot| {
            if let Some(found) = slot.inspect(0) {
                tell(found);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slabs of the classes waste at most an eighth, and what a checked one adds does not break them.
    #[test]
    fn geometry() {
        for class in 0..classes::CLASSES {
            let cache = Cache::<false>::of_class(class);
            let bytes = slab_bytes(cache.order);
            assert!(
                cache.capacity >= MIN_CAPACITY && (bytes - cache.capacity * cache.stride) * 8 <= bytes,
                "{class}"
            );
            assert!(cache.batch() <= cache.limit() && cache.limit() <= magazine::ROUNDS && cache.batch() > 0);
            assert!(cache.capacity < u16::MAX as usize);
        }
        for (size, align) in [(1, 1), (40, 8), (200, 64), (4096, 4096), (8192, 4096)] {
            let plain = Cache::<false>::new("plain", size, align);
            let checked = Cache::<true>::new("checked", size, align);
            assert!(plain.stride % align == 0 && plain.stride < size + align.max(8));
            assert!(checked.stride % align == 0 && checked.stride - checked.offset >= size + 16);
            assert!(checked.capacity > 0 && checked.offset % align == 0);
        }
    }
}
