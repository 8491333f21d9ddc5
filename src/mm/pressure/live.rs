//! At work on the machine: who has memory to give back, and when each is asked.

use super::super::addr::Frame;
use super::super::frame::Owner;
use super::super::slab::Stats;
use super::super::{frames, heap};
use super::{Manner, Registry, Shrinker, When};
use crate::arch::x86_64::{interrupts, percpu, preempt};
use crate::boot::layout::PAGE_SIZE;
use crate::platform::{Machine, Platform};
use crate::sync::parker::{Kernel, Parker};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Pages that are asked for at a time: twice what a CPU fetches.
pub const BATCH: u64 = 64;
/// How often that is done for one request, before it is refused: what was given back another may have taken.
const ROUNDS: u32 = 16;

static SHRINKERS: Registry = Registry::new();
/// Memory is low.
static WANTED: AtomicBool = AtomicBool::new(false);
/// The task whose turn it is to have memory given back; 0 if it is nobody's. No lock: who waits for his turn may hold what the
/// other waits for, so nobody waits for ever.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);
/// How long somebody waits at a time, and how often.
const WAIT_NS: u64 = 200_000;
const WAITS: u32 = 100;
/// Pages given back since the start.
static RECLAIMED: AtomicU64 = AtomicU64::new(0);

static HEAP: Shrinker = Shrinker {
    name: "heap",
    when: When::Low,
    count: || {
        let empty = |one: Stats| (one.bytes / one.slabs.max(1) * one.empty_slabs) as u64;
        heap::HEAP.stats().map(empty).sum::<u64>() / PAGE_SIZE
    },
    // All of it: a cache keeps one empty slab.
    scan: |_, _| heap::shrink() as u64,
};

/// What all CPUs have at hand. They are interrupted for that, so not before a request would be refused.
static AT_HAND: Shrinker = Shrinker {
    name: "at hand",
    when: When::Refused,
    count: frames::cached_frames,
    scan: |_, _| {
        heap::drain_all();
        let (freed, cached) = (heap::shrink() as u64, frames::cached_frames());
        frames::flush_all_caches();
        freed + cached
    },
};

/// Makes those known who are here already. Once, after the heap.
pub fn init() {
    assert!(register(&HEAP) && register(&AT_HAND), "the first have a place");
}

/// Has somebody asked when memory is short; false if there is no place for one more.
#[must_use]
pub fn register(shrinker: &'static Shrinker) -> bool {
    SHRINKERS.add(shrinker)
}

/// Calls `show` with each of them and the pages that it could give back.
pub fn for_each(show: &mut dyn FnMut(&'static str, u64)) {
    SHRINKERS.iter().for_each(|shrinker| show(shrinker.name, (shrinker.count)()));
}

/// Pages given back since the start.
pub fn reclaimed() -> u64 {
    RECLAIMED.load(Ordering::Relaxed)
}

/// Notes that memory is low. From anywhere.
pub fn want() {
    WANTED.store(true, Ordering::Relaxed);
}

/// If memory is low, has some given back: for whoever asks for memory and may take his time.
#[inline]
pub fn relax() {
    if WANTED.load(Ordering::Relaxed) {
        relax_now();
    }
}

#[cold]
#[inline(never)]
fn relax_now() {
    if !percpu::in_interrupt() && WANTED.swap(false, Ordering::Relaxed) {
        let _ = ask(BATCH, When::Low);
    }
}

/// Has about `pages` pages given back, also by those who would rather keep them; returns how many were. None in an
/// interrupt handler, or if somebody else is at it.
pub fn reclaim(pages: u64) -> u64 {
    if percpu::in_interrupt() { 0 } else { ask(pages, When::Refused).unwrap_or(0) }
}

/// `None`: somebody else is at it, and who asks may not wait for him; or it is who asks himself.
fn ask(pages: u64, when: When) -> Option<u64> {
    // Who holds a lock that spins, or has interrupts off, takes what is to be had at once. All others wait for their turn, and
    // for what others have locked: while those go on, what they hold is not lost, and a refusal would be a lie.
    let manner =
        if preempt::depth() == 0 && interrupts::are_on() { Manner::Waiting } else { Manner::Passing };
    let me = Kernel::number(Kernel::current()).max(1);
    for _ in 0..WAITS {
        match AT_WORK.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => {
                let freed = SHRINKERS.reclaim(pages, when, manner);
                AT_WORK.store(0, Ordering::Release);
                RECLAIMED.fetch_add(freed, Ordering::Relaxed);
                return Some(freed);
            }
            Err(other) if other == me || manner == Manner::Passing => return None,
            Err(_) => {
                let is_over = || AT_WORK.load(Ordering::Relaxed) == 0;
                Kernel::park(&is_over, Machine::now_ns() + WAIT_NS);
            }
        }
    }
    None
}

/// Calls `attempt`, and again as long as it is refused and there may be something to be given back. What is refused on
/// purpose (`failalloc=`) stays refused, or nobody would ever see it.
#[inline]
pub fn persist<R>(attempt: impl Fn() -> Option<R>) -> Option<R> {
    relax();
    let failed = heap::HEAP.fail.failed();
    attempt().or_else(|| again(failed, &attempt))
}

#[cold]
#[inline(never)]
fn again<R>(failed: u64, attempt: &dyn Fn() -> Option<R>) -> Option<R> {
    if heap::HEAP.fail.failed() != failed || percpu::in_interrupt() {
        return None;
    }
    for _ in 0..ROUNDS {
        if ask(BATCH, When::Refused) == Some(0) && SHRINKERS.iter().all(|shrinker| (shrinker.count)() == 0) {
            return None;
        }
        if let Some(found) = attempt() {
            return Some(found);
        }
    }
    None
}

/// A frame, for whoever may take his time.
#[inline]
pub fn allocate_frame(owner: Owner) -> Option<Frame> {
    persist(|| frames::allocate(owner))
}
