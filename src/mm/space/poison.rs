//! A checker for tests: frames of programs are filled with a pattern when they become free, and it is looked whether that
//! is still there when they are given out again.
//!
//! Whoever reads the pattern has read a page that was not his any more, by a translation that should have been forgotten
//! before its frame was free; whoever has written there shows when the frame is used next. Frames that were never freed
//! meanwhile have no pattern and are not looked at. While it is off, which it is but for a test, it is one comparison.

use super::super::addr::Frame;
use super::super::frames;
use crate::boot::layout::PAGE_SIZE;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a free frame is full of.
pub const POISON: u64 = u64::from_ne_bytes([frames::FREE; 8]);

static ON: AtomicBool = AtomicBool::new(false);
/// Free frames that somebody had written to.
static SPOILED: AtomicU64 = AtomicU64::new(0);
/// Frames that were filled.
static FILLED: AtomicU64 = AtomicU64::new(0);

/// Turns it on or off.
pub fn set(on: bool) {
    ON.store(on, Ordering::Relaxed);
}

/// Frames filled so far, and those of them that were found written to.
pub fn found() -> (u64, u64) {
    (FILLED.load(Ordering::Relaxed), SPOILED.load(Ordering::Relaxed))
}

/// A frame is about to be free.
#[inline]
pub(super) fn fill(frame: Frame) {
    if ON.load(Ordering::Relaxed) {
        fill_now(frame);
    }
}

/// A frame was given out.
#[inline]
pub(super) fn look(frame: Frame) {
    if ON.load(Ordering::Relaxed) {
        look_now(frame);
    }
}

fn words(frame: Frame) -> impl Iterator<Item = *mut u64> {
    let first = frames::bytes(frame).cast::<u64>();
    (0..PAGE_SIZE as usize / 8).map(move |word| first.wrapping_add(word))
}

#[cold]
fn fill_now(frame: Frame) {
    FILLED.fetch_add(1, Ordering::Relaxed);
    // SAFETY: nobody else's any more, and in the direct map.
    words(frame).for_each(|word| unsafe { word.write_volatile(POISON) });
}

#[cold]
fn look_now(frame: Frame) {
    // SAFETY: just given out, and nobody else's; in the direct map.
    let intact = words(frame).filter(|&word| unsafe { word.read_volatile() } == POISON).count();
    // What was something else in between, a page table or the heap's, keeps less than half of it.
    let all = PAGE_SIZE as usize / 8;
    if (all / 2..all).contains(&intact) {
        SPOILED.fetch_add(1, Ordering::Relaxed);
    }
}
