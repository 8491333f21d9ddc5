//! Memory management when there is too little: what is given back, who has to go, and every refusal an answer.

use super::mm::balanced;
use super::{Outcome, SelfTest, TESTS, check, settle};
use crate::boot::layout::PAGE_SIZE;
use crate::mm::addr::Frame;
use crate::mm::frame::Owner;
use crate::mm::frame::zones::Level;
use crate::mm::heap::HEAP;
use crate::mm::pressure::{self, Victim};
use crate::mm::space::Outcome as Fault;
use crate::mm::space::live::{KernelEnv, UserSpace};
use crate::mm::vma::area::Prot;
use crate::mm::vma::space::{Access, Layout, Limits, MapFlags, Mapping};
use crate::mm::{frames, heap};
use crate::task::{self, Policy, schedule};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

/// What is given back when memory is short: first that which nobody misses, and in the end a program's.
pub fn pressure() -> Outcome {
    balanced(empty_slabs)?;
    balanced(to_the_mark)?;
    let outcome = balanced(victim);
    crate::kernel::user::choose_victims();
    HEAP.fail.once(0);
    outcome
}

/// The heap keeps slabs that nobody uses, until it is asked for them.
fn empty_slabs() -> Outcome {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    pieces.try_reserve(1000).map_err(|_| "no memory")?;
    for _ in 0..1000 {
        let mut piece = Vec::new();
        piece.try_reserve_exact(200).map_err(|_| "no memory")?;
        pieces.push(piece);
    }
    drop(pieces);
    let (free, so_far) = (frames::free_frames(), pressure::reclaimed());
    let freed = pressure::reclaim(1);
    check(freed > 0 && pressure::reclaimed() == so_far + freed, "nothing is given back")?;
    check(frames::free_frames() > free, "what is given back is not free")
}

/// Takes frames as programs do, each the link to the one before, until there are none or 256 MiB are taken.
fn to_the_mark() -> Outcome {
    const MOST: u64 = (256 << 20) / PAGE_SIZE;
    let is_small = frames::managed_frames() < MOST;
    // Something to be given back on the way: more than a CPU keeps at hand of that size.
    let mut spare: Vec<Vec<u8>> = Vec::new();
    spare.try_reserve_exact(256).map_err(|_| "no memory")?;
    for _ in 0..256 {
        let mut piece = Vec::new();
        piece.try_reserve_exact(3000).map_err(|_| "no memory")?;
        spare.push(piece);
    }
    drop(spare);
    let so_far = pressure::reclaimed();
    let (mut last, mut count) = (0, 0);
    while count < MOST {
        let Some(frame) = pressure::allocate_frame(Owner::Anonymous) else { break };
        // SAFETY: ours alone.
        unsafe { frames::bytes(frame).cast::<u64>().write(last) };
        (last, count) = (frame.number().into(), count + 1);
    }
    let (level, freed) = (frames::level(), pressure::reclaimed() - so_far);
    while last != 0 {
        let frame = Frame::new(last).ok_or("a link is overwritten")?;
        // SAFETY: as above; written when it was taken.
        last = unsafe { frames::bytes(frame).cast::<u64>().read() };
        frames::free(frame);
    }
    check(is_small == (count < MOST), "memory ends too early, or has no end")?;
    check(!is_small || level == Level::Exhausted, "a request is refused above the mark")?;
    check(!is_small || freed > 0, "nothing was given back before a request was refused")
}

/// Pages that the victim has. When the chooser is asked, they become free: 0.
static VICTIM_PAGES: AtomicU64 = AtomicU64::new(0);

/// A fault that finds no memory, once with somebody else who can go, and once without.
fn victim() -> Outcome {
    const AT: u64 = 1 << 32;
    let no_space = |_| "an address space refuses what it should not";
    let space = UserSpace::new(KernelEnv, Layout::with_stack(None), Limits::default()).map_err(no_space)?;
    let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED;
    let prot = Prot::READ | Prot::WRITE;
    let map = |at, flags| space.map(Mapping { addr: at, len: 4 * PAGE_SIZE, prot, flags, file: None });
    map(AT, flags).map_err(no_space)?;
    let write = |page: u64| space.handle_fault(AT + page * PAGE_SIZE, Access::Write, true);
    check(write(0) == Fault::Done, "a page does not come")?;
    // From here on every request is refused, until the chooser says that somebody goes.
    HEAP.fail.every(1);
    check(write(1) == Fault::OutOfMemory, "there is no victim, and yet a fault is done")?;
    pressure::set_victim_chooser(Some(|| None));
    check(write(1) == Fault::OutOfMemory, "nobody can go, and yet a fault is done")?;
    VICTIM_PAGES.store(7, Ordering::Relaxed);
    pressure::set_victim_chooser(Some(|| {
        HEAP.fail.once(0);
        Some(Victim::new("selftest", VICTIM_PAGES.swap(0, Ordering::Relaxed), false))
    }));
    check(write(1) == Fault::Done && VICTIM_PAGES.load(Ordering::Relaxed) == 0, "nobody goes for a fault")?;
    check(write(1) == Fault::Done, "the access fails although somebody went for it")?;
    HEAP.fail.every(1);
    pressure::set_victim_chooser(Some(|| Some(Victim::new("selftest", 1, true))));
    check(write(2) == Fault::OutOfMemory, "a program that has to go itself goes on")?;
    // A call is refused, and nobody goes for it.
    pressure::set_victim_chooser(Some(|| {
        VICTIM_PAGES.store(1, Ordering::Relaxed);
        Some(Victim::new("selftest", 1, false))
    }));
    // This one may succeed without its pages, as `mmap` does.
    let _ = map(2 * AT, flags | MapFlags::POPULATE);
    check(space.fork().is_err(), "a fork gets memory that is not there")?;
    HEAP.fail.once(0);
    check(VICTIM_PAGES.load(Ordering::Relaxed) == 0, "a program has to go for a call")
}

/// Requests that all the runs of one test may make, about.
const REQUESTS: u64 = 100_000;
/// Runs that each test is worth in any case.
const RUNS: u64 = 8;

/// Each test of memory, again and again, with its first request refused, its second, and so on: frames and pieces of the
/// heap alike. Every one of a test that makes few, as many as there is time for of one that makes many. What a test
/// says of it does not matter, as it complains of what is missing; but the kernel goes on, all that was taken is
/// back, and what manages it is in order.
pub fn failures() -> Outcome {
    let is_wanted = |test: &&SelfTest| {
        let makes_its_own = ["mm-failures", "mm-refusals", "mm-pressure"].contains(&test.name);
        test.name.starts_with("mm-") && !makes_its_own
    };
    // Who has to go would be told of each time.
    pressure::set_victim_chooser(None);
    let outcome = TESTS.iter().filter(is_wanted).try_for_each(|test| {
        let outcome = failures_of(test);
        HEAP.fail.once(0);
        outcome
    });
    crate::kernel::user::choose_victims();
    outcome
}

fn failures_of(test: &SelfTest) -> Outcome {
    settle();
    HEAP.fail.only_count();
    (test.run)()?;
    let requests = HEAP.fail.asked();
    let runs = (REQUESTS / requests.max(1)).max(RUNS).min(requests);
    let mut refusals = 0;
    for run in 0..runs {
        settle();
        let before = frames::free_frames();
        // From the first to the last, evenly.
        HEAP.fail.once(1 + run * requests / runs);
        let outcome = (test.run)();
        refusals += HEAP.fail.failed();
        let refused = HEAP.fail.failed() > 0;
        HEAP.fail.once(0);
        if !refused {
            // It takes another way each time; but then nothing keeps it from passing.
            outcome?;
        }
        settle();
        if frames::free_frames() != before {
            log::error!(target: "selftest", "{}, refusal {} of {requests}: {before} frames were free, {} are",
                test.name, 1 + run * requests / runs, frames::free_frames());
            return check(false, "a refusal loses frames");
        }
        frames::with_zones(|zones| check(zones.verify().is_ok(), "the free lists are not in order"))?;
        let mut violations = 0;
        heap::audit(&mut |_| violations += 1);
        check(violations == 0, "a refusal breaks a red zone")?;
    }
    log::info!(target: "selftest", "{}: {requests} requests, {refusals} refused, one in each run", test.name);
    // A test that asks for nothing proves nothing here; of the others, most refusals must have come to pass.
    check(refusals >= runs / 2, "refusals that were ordered have not happened")
}

/// Size of the objects that [`fill`] leaves at hand.
const OBJECT: usize = 512;

/// Takes frames and pieces of the heap on this CPU and frees them, which leaves them at hand here. How many of each.
fn fill(_: usize) -> usize {
    const EACH: usize = 24;
    let taken: [_; EACH] = core::array::from_fn(|_| frames::allocate(Owner::Anonymous));
    let count = taken.iter().flatten().count();
    taken.into_iter().flatten().for_each(frames::free);
    let pieces: [_; EACH] = core::array::from_fn(|_| {
        let mut piece: Vec<u8> = Vec::new();
        piece.try_reserve_exact(OBJECT).map(|()| piece).ok()
    });
    count.min(pieces.iter().flatten().count())
}

/// `mm-at-hand`: on each CPU something is left at hand. All of it is counted as free; and when a request would be refused,
/// other CPUs' as well as this one's is given back.
pub fn at_hand() -> Outcome {
    let objects = || {
        let of_that_size = HEAP.stats().filter(|one| one.size >= OBJECT && one.size <= 2 * OBJECT);
        of_that_size.map(|one| one.in_magazines).sum::<usize>()
    };
    let (mut cpus, mut least) = (0_usize, 0);
    for cpu in schedule::online().iter() {
        let filler = task::spawn_on(cpu, "test", Policy::Fifo(1), fill, 0).map_err(|_| "no memory")?;
        (cpus, least) = (cpus + 1, least + filler.join());
    }
    let (cached, held, free) = (frames::cached_frames(), objects(), frames::all_free_frames());
    // What a thread's end frees may have filled a cache, which then gives half of it back.
    check(cached >= least as u64 / 2, "frames that other CPUs have at hand are not counted")?;
    // A magazine of 24 that are freed holds on to 8 at least.
    check(held >= 4 * cpus, "no objects are at hand")?;
    pressure::reclaim(u64::MAX);
    let (left, kept) = (frames::cached_frames(), objects());
    log::info!(target: "selftest", "mm-at-hand: {cpus} CPUs, {cached} frames and {held} objects at hand, then {left} and {kept}");
    check(left < cached / 2 && kept < held / 2, "what CPUs have at hand does not come back")?;
    check(frames::all_free_frames() >= free, "frames were lost")
}
