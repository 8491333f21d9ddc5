//! The kernel's heap: [`slab`](super::slab) at work, on frames and the vmalloc area, behind `alloc`'s `Box`, `Vec` and
//! `Arc`.
//!
//! Whoever takes a size or a count from a user asks with `try_reserve` and its like: what `alloc` does without asking
//! ends in a panic when memory is out. May be used in interrupt handlers, not in an NMI's.

use super::frame::{FrameInfo, Owner, Request};
use super::frames;
use super::pressure::persist;
use super::slab::{Alarm, Cache, CpuMagazines, Heap, LargeSource, Mine, PageSource, Site, Violation};
use super::vmalloc;
use crate::arch::x86_64::percpu::InterruptsOff;
use crate::arch::x86_64::percpu::per_cpu;
use crate::boot::layout::{DIRECT_MAP_BASE, DIRECT_MAP_SIZE, PAGE_SIZE};
use crate::mm::addr::Frame;
use crate::platform::call;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};

/// What the heap stands on: frames in the direct map, and page ranges in the vmalloc area.
pub struct KernelPages;

/// The heap.
pub static HEAP: Heap<KernelPages> = Heap::new(KernelPages);

per_cpu! {
    static MAGAZINES: CpuMagazines = CpuMagazines::new();
}

// SAFETY: frames belong to one owner each; their bytes are in the direct map, writable, for good. A slab's frame has
// Owner::Slab, whose mapping and index are the heap's; a frame of another owner holds its own kind of address there,
// never a Cache's.
unsafe impl PageSource for KernelPages {
    fn allocate(&self, order: u32) -> Option<NonNull<u8>> {
        let frame = match order {
            0 => frames::allocate(Owner::Slab)?,
            _ => frames::allocate_block(Request::new(Owner::Slab).order(order))?,
        };
        NonNull::new(frames::bytes(frame))
    }

    unsafe fn free(&self, first: NonNull<u8>, order: u32) {
        let Some(number) = self.number(first) else { return };
        let frame = Frame::from_link(number);
        match order {
            0 => frames::free(frame),
            _ => frames::free_block(frame, order),
        }
    }

    #[inline]
    fn number(&self, at: NonNull<u8>) -> Option<u32> {
        let phys =
            (at.as_ptr() as u64).checked_sub(DIRECT_MAP_BASE).filter(|&phys| phys < DIRECT_MAP_SIZE)?;
        let frame = Frame::new(phys / PAGE_SIZE)?;
        frames::info(frame).map(|_| frame.number())
    }

    #[inline]
    fn page(&self, number: u32) -> NonNull<u8> {
        NonNull::new(frames::bytes(Frame::from_link(number))).expect("the direct map does not begin at 0")
    }

    #[inline]
    fn info(&self, number: u32) -> &FrameInfo {
        frames::info_of(Frame::from_link(number))
    }
}

// SAFETY: see `vmalloc`.
unsafe impl LargeSource for KernelPages {
    fn allocate_large(&self, size: usize, align: usize, site: Site) -> Option<NonNull<u8>> {
        vmalloc::allocate(size, align, site)
    }

    unsafe fn free_large(&self, at: NonNull<u8>, _size: usize, site: Site) {
        // SAFETY: the caller's promise.
        unsafe { vmalloc::free(at, site) };
    }
}

impl Alarm for KernelPages {
    #[cold]
    fn violation(&self, found: &Violation) {
        let report = REPORT.load(Ordering::Acquire);
        if report.is_null() {
            panic!("{found}");
        }
        // SAFETY: `on_violation` alone stores there, and what it stores is a Report.
        let report = unsafe { core::mem::transmute::<*mut (), Report>(report) };
        report(found);
    }
}

/// Is told of misuse of the heap.
pub type Report = fn(&Violation);

static REPORT: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Has misuse of the heap told to `report` instead of panicking: the monitor's experiments want to go on. `None`:
/// panics again.
pub fn on_violation(report: Option<Report>) {
    REPORT.store(report.map_or(core::ptr::null_mut(), |report| report as *mut ()), Ordering::Release);
}

/// Calls `use_it` with this CPU's magazines.
#[inline]
fn with_magazines<R>(use_it: impl FnOnce(&Mine<'_>) -> R) -> R {
    let pin = InterruptsOff::new();
    // SAFETY: this CPU's, and interrupts are off until it is dropped; nothing that the heap calls uses the heap.
    use_it(&unsafe { MAGAZINES.here(&pin).mine() })
}

/// An object of a named cache.
#[inline]
pub fn allocate_from(cache: &'static Cache) -> Option<NonNull<u8>> {
    with_magazines(|mine| HEAP.allocate_from(cache, mine, site()))
}

/// Takes it back.
///
/// # Safety
/// It came from [`allocate_from`] with the same cache, and nobody uses it any more.
#[inline]
pub unsafe fn free_to(cache: &'static Cache, object: NonNull<u8>) {
    // SAFETY: the caller's promise.
    with_magazines(|mine| unsafe { HEAP.free_to(cache, mine, object, site()) });
}

/// Makes a CPU's magazines known. Once for each, when its per-CPU variables are there, and after `frames::init`.
pub fn add_cpu(cpu: usize) {
    if let Some(magazines) = MAGAZINES.on(cpu) {
        HEAP.add_cpu(magazines);
    }
}

/// Empties the CPUs' magazines into the slabs, or this one's alone if the caller may not wait for the others.
pub fn drain_all() {
    call::run_on_all_or_here(&|| with_magazines(|mine| HEAP.drain(mine)));
}

/// Gives back what nobody uses: pages.
pub fn shrink() -> usize {
    with_magazines(|mine| HEAP.shrink(mine))
}

/// Looks at every red zone and all poison, in builds that have them. Nobody else may use the heap meanwhile.
pub fn audit(tell: &mut dyn FnMut(&Violation)) {
    HEAP.audit(|found| tell(&found));
}

/// Which code asks, in builds that remember it.
fn site() -> Site {
    let ask = SITE.load(Ordering::Relaxed);
    if !super::slab::CHECKED || ask.is_null() {
        return 0;
    }
    // SAFETY: `name_sites_by` alone stores there, and what it stores is such a function.
    let ask = unsafe { core::mem::transmute::<*mut (), fn() -> Site>(ask) };
    ask()
}

static SITE: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Has `ask` find out which code asks for memory: who knows the symbols can tell it from `alloc`'s own functions.
pub fn name_sites_by(ask: fn() -> Site) {
    SITE.store(ask as *mut (), Ordering::Relaxed);
}

// The longer ways of `alloc` and `dealloc`. The short ones come here by a jump, with interrupts as they were: keeping a
// promise over a call would cost each of them four instructions for saving registers.

#[cold]
#[inline(never)]
fn allocate(layout: Layout) -> *mut u8 {
    let site = site();
    let found =
        if Heap::<KernelPages>::is_large(layout) {
            // The account of those is kept in the heap, so no magazine may be held meanwhile.
            persist(|| {
                if HEAP.fail.fails() { None } else { vmalloc::allocate(layout.size(), layout.align(), site) }
            })
        } else {
            persist(|| with_magazines(|mine| HEAP.allocate(mine, layout, site)))
        };
    found.map_or(core::ptr::null_mut(), NonNull::as_ptr)
}

/// # Safety
/// As for `GlobalAlloc::dealloc`.
#[cold]
#[inline(never)]
unsafe fn free(object: NonNull<u8>, layout: Layout) {
    if Heap::<KernelPages>::is_large(layout) {
        // SAFETY: the caller's promise.
        return unsafe { vmalloc::free(object, site()) };
    }
    // SAFETY: the caller's promise.
    with_magazines(|mine| unsafe { HEAP.free(mine, object, layout, site()) });
}

/// [`HEAP`], as `alloc` wants it.
pub struct KernelAllocator;

// SAFETY: the heap gives each piece of memory to one owner, of the size and alignment asked for.
unsafe impl GlobalAlloc for KernelAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !Heap::<KernelPages>::is_large(layout)
            && let Some(object) = with_magazines(|mine| HEAP.allocate_at_hand(mine, layout))
        {
            return object.as_ptr();
        }
        allocate(layout)
    }

    #[inline]
    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        // SAFETY: who gives memory back was given some, and that is never null. As for the rest, the caller's promise.
        unsafe {
            let object = NonNull::new_unchecked(object);
            if Heap::<KernelPages>::is_large(layout)
                || !with_magazines(|mine| HEAP.free_at_hand(mine, object, layout))
            {
                free(object, layout);
            }
        }
    }

    unsafe fn realloc(&self, object: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if Heap::<KernelPages>::stays(layout, new_size) {
            return object;
        }
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else {
            return core::ptr::null_mut();
        };
        // SAFETY: both are of their sizes, and do not overlap; the old one is the caller's to give back.
        unsafe {
            let new = self.alloc(new_layout);
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(object, new, layout.size().min(new_size));
                self.dealloc(object, layout);
            }
            new
        }
    }
}

#[global_allocator]
static ALLOCATOR: KernelAllocator = KernelAllocator;
