//! Memory management on the live machine. Each test ends with as many free frames as it began with.

use super::{Outcome, check, settle};
use crate::arch::x86_64::paging::{Flags, live};
use crate::arch::x86_64::probe;
use crate::boot::layout::{ECAM_BASE, MMIO_BASE, PAGE_SIZE, PERCPU_BASE};
use crate::mm::addr::Frame;
use crate::mm::frame::zones::Level;
use crate::mm::frame::{MAX_ORDER, Owner, Request};
use crate::mm::{frames, heap, vmalloc};
use crate::testing::Random;
use alloc::vec::Vec;
use core::ptr::NonNull;

/// Most bytes that one test has at a time.
const QUOTA: u64 = 64 << 20;

/// Runs a test, and counts frames before and after it.
pub fn balanced(test: impl FnOnce() -> Outcome) -> Outcome {
    settle();
    let before = frames::free_frames();
    let outcome = test();
    settle();
    let after = frames::free_frames();
    if before != after {
        log::error!(target: "selftest", "{before} frames were free, {after} are");
    }
    outcome.and(check(before == after, "frames are missing, or too many"))
}

/// The words of a block: the first is the link to the block before, the others say whose it is.
struct Block {
    frame: Frame,
    order: u32,
}

impl Block {
    fn words(&self) -> &'static mut [u64] {
        let words = (PAGE_SIZE as usize / 8) << self.order;
        // SAFETY: the block is ours alone, and in the direct map.
        unsafe { core::slice::from_raw_parts_mut(frames::bytes(self.frame).cast::<u64>(), words) }
    }

    /// A word of each page says which frame it is.
    fn mark(&self, link: u64) {
        let pages = self.words().chunks_exact_mut(PAGE_SIZE as usize / 8);
        for (page, number) in pages.zip(u64::from(self.frame.number())..) {
            page[1] = number;
            page[511] = !number;
        }
        self.words()[0] = link;
    }

    fn is_marked(&self) -> bool {
        let pages = self.words().chunks_exact_mut(PAGE_SIZE as usize / 8);
        pages
            .zip(u64::from(self.frame.number())..)
            .all(|(page, number)| page[1] == number && page[511] == !number)
    }
}

/// Link of the first block.
const END: u64 = u64::MAX;

/// Takes blocks of one order until memory or `quota` is out, marks them, and gives them back: how many there were.
fn fill(order: u32, quota: u64) -> Result<u64, &'static str> {
    let (mut last, mut count) = (END, 0);
    while count << order < quota / PAGE_SIZE {
        let Some(frame) = frames::allocate_block(Request::new(Owner::Kernel).order(order)) else { break };
        let block = Block { frame, order };
        if u64::from(frame.number()) % (1 << order) != 0 {
            return Err("a block is not aligned");
        }
        block.mark(last);
        last = frame.number().into();
        count += 1;
    }
    let mut intact = true;
    while last != END {
        let frame = Frame::new(last).ok_or("a link is overwritten")?;
        let block = Block { frame, order };
        intact &= block.is_marked();
        last = block.words()[0];
        frames::free_block(frame, order);
    }
    if intact { Ok(count) } else { Err("a block was given out twice") }
}

/// Every order of blocks.
pub fn blocks() -> Outcome {
    balanced(|| {
        for order in 0..=MAX_ORDER {
            check(fill(order, QUOTA)? > 0 || order > 8, "not one block of an order is to be had")?;
        }
        frames::with_zones(|zones| check(zones.verify().is_ok(), "the free lists are not in order"))
    })
}

/// To the last frame (or to 256 MiB): the refusal is an answer, and memory is there again afterwards.
pub fn exhaustion() -> Outcome {
    balanced(|| {
        let count = fill(0, 256 << 20)?;
        let small = frames::managed_frames() * PAGE_SIZE < 256 << 20;
        check(!small || count > 0 && frames::level() != Level::Exhausted, "memory has not come back")?;
        // And through the heap: a vector that grows until it may not.
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        let mut refused = false;
        while pieces.len() < 256 && !refused {
            let mut piece = Vec::new();
            refused = pieces.try_reserve(1).is_err() || piece.try_reserve_exact(1 << 20).is_err();
            if !refused {
                pieces.push(piece);
            }
        }
        check(refused || !small, "128 MiB have no end")
    })
}

/// Random sizes from the heap's classes and above.
pub fn heap() -> Outcome {
    balanced(|| {
        let mut random = Random::new(7);
        const MOST: usize = 200;
        let mut held: Vec<(u8, Vec<u8>)> = Vec::new();
        held.try_reserve(MOST + 1).map_err(|_| "the heap is out of memory")?;
        for step in 0..20_000u64 {
            if held.len() > MOST || random.below(3) == 0 {
                if !held.is_empty() {
                    let (mark, piece) = held.swap_remove(random.below(held.len() as u64) as usize);
                    let is_intact = piece.iter().all(|&byte| byte == mark);
                    check(is_intact, "somebody else wrote to a piece of the heap")?;
                }
                continue;
            }
            let len = match random.below(40) {
                0 => random.below(100_000),
                1..=8 => random.below(8192),
                _ => random.below(256),
            };
            let mut piece = Vec::new();
            piece.try_reserve_exact(len as usize).map_err(|_| "the heap is out of memory")?;
            piece.resize(len as usize, step as u8);
            held.push((step as u8, piece));
        }
        drop(held);
        let mut violations = 0;
        heap::audit(&mut |found| {
            log::error!(target: "selftest", "{found}");
            violations += 1;
        });
        check(violations == 0, "the heap's red zones are broken")
    })
}

/// Page ranges: each behind a page that is not mapped, and not mapped any more once freed.
pub fn ranges() -> Outcome {
    balanced(|| {
        const PAGES: u64 = 3;
        let mut held: [Option<NonNull<u8>>; 4] = [None; 4];
        for place in &mut held {
            *place = vmalloc::allocate((PAGES * PAGE_SIZE) as usize, 1, 0);
        }
        let mut outcome = check(held.iter().all(Option::is_some), "no memory");
        for at in held.into_iter().flatten() {
            let virt = at.as_ptr() as u64;
            for page in 0..PAGES {
                // SAFETY: ours.
                unsafe { at.cast::<u64>().add((page * PAGE_SIZE / 8) as usize).write(virt + page) };
            }
            let is_guarded = probe::read_u8(virt + PAGES * PAGE_SIZE).is_none();
            outcome = outcome.and(check(is_guarded, "there is no guard page"));
        }
        for at in held.into_iter().flatten() {
            let virt = at.as_ptr() as u64;
            let good = (0..PAGES).all(|page| probe::read_u64(virt + page * PAGE_SIZE) == Some(virt + page));
            // SAFETY: ours, and not used any more.
            unsafe { vmalloc::free(at, 0) };
            outcome = outcome.and(check(good, "a range was overwritten"));
            let is_gone = probe::read_u8(virt).is_none();
            outcome = outcome.and(check(is_gone, "a freed range can still be read"));
        }
        outcome
    })
}

/// No device page is cached: neither plainly nor by way of the PAT.
pub fn devices() -> Outcome {
    let mut bad = false;
    live::for_each_run(&mut |run| {
        let is_device = (MMIO_BASE..PERCPU_BASE).contains(&run.virt);
        bad |= is_device && !run.flags.contains(Flags::PWT);
    });
    check(MMIO_BASE < ECAM_BASE && !bad, "a device's pages are write-back")
}

/// What is refused on purpose is refused, and nothing is lost by it.
pub fn refusals() -> Outcome {
    balanced(|| {
        let fail = &heap::HEAP.fail;
        let mut nth = 0;
        loop {
            // First without a refusal, to know how many requests there are.
            let requests = fail.asked();
            nth += 1;
            match nth {
                1 => fail.only_count(),
                _ if nth - 1 > requests.max(100) => break,
                _ => fail.once(nth - 1),
            }
            let mut lists: Vec<Vec<u64>> = Vec::new();
            let mut refused = 0;
            for n in 0..100u64 {
                let mut list = Vec::new();
                if lists.try_reserve(1).is_err() || list.try_reserve_exact(1 + n as usize * 40).is_err() {
                    refused += 1;
                    continue;
                }
                list.push(n);
                lists.push(list);
            }
            check(refused == u32::from(nth > 1), "not exactly one request was refused")?;
        }
        fail.once(0);
        Ok(())
    })
}
