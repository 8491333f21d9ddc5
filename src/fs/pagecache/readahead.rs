//! Read-ahead: how many pages are brought when one is missing.
//!
//! Who reads a file from one end to the other meets a missing page each time that the last window is used up, and gets a
//! larger one: 4, 32, 128 pages. Whoever jumps about gets what he asked for and no more. That he goes on is seen from
//! where the last read has ended, which each open file keeps for itself.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Most pages that are brought at once: 512 KiB.
pub const WINDOW_MAX: u32 = 128;

/// `posix_fadvise`, as far as it is about the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Advice {
    Normal = 0,
    Sequential = 1,
    Random = 2,
}

/// The window after one of `last` pages; 0 is none yet.
const fn grown(last: u32) -> u32 {
    match last {
        0 => 4,
        1..=4 => 32,
        _ => WINDOW_MAX,
    }
}

/// Where one has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// The page at which he goes on, if he reads in order.
    next: u64,
    /// Pages in the last window; 0 if there was none.
    window: u32,
}

impl Sequence {
    /// `page` is missing, and `wanted` pages from there on are being read. Returns how many to bring.
    pub fn miss(&mut self, page: u64, wanted: u64, advice: Advice) -> u32 {
        let wanted = wanted.clamp(1, u64::from(WINDOW_MAX)) as u32;
        // At the beginning, behind the last read, or on the page in which that has ended.
        let in_order = page == self.next || page.wrapping_add(1) == self.next;
        self.window = match advice {
            Advice::Random => 0,
            Advice::Sequential => WINDOW_MAX,
            Advice::Normal if in_order => grown(self.window),
            Advice::Normal => 0,
        };
        self.next = page;
        self.window.max(wanted)
    }

    /// Read up to, and not with, `page`.
    pub fn read_to(&mut self, page: u64) {
        self.next = page;
    }
}

/// The same for an open file, which several threads may be reading: then what is remembered is some mixture, and costs
/// some pages too many or too few.
#[derive(Debug, Default)]
pub struct ReadAhead {
    next: AtomicU64,
    window: AtomicU32,
    advice: AtomicU8,
}

impl ReadAhead {
    pub const fn new() -> Self {
        Self { next: AtomicU64::new(0), window: AtomicU32::new(0), advice: AtomicU8::new(0) }
    }

    pub fn advise(&self, advice: Advice) {
        self.advice.store(advice as u8, Ordering::Relaxed);
    }

    pub(super) fn miss(&self, page: u64, wanted: u64) -> u32 {
        let advice = match self.advice.load(Ordering::Relaxed) {
            1 => Advice::Sequential,
            2 => Advice::Random,
            _ => Advice::Normal,
        };
        let mut sequence =
            Sequence { next: self.next.load(Ordering::Relaxed), window: self.window.load(Ordering::Relaxed) };
        let pages = sequence.miss(page, wanted, advice);
        self.next.store(sequence.next, Ordering::Relaxed);
        self.window.store(sequence.window, Ordering::Relaxed);
        pages
    }

    /// The page in which the last read has ended.
    #[inline]
    pub(super) fn last_page(&self) -> Option<u64> {
        self.next.load(Ordering::Relaxed).checked_sub(1)
    }

    #[inline]
    pub(super) fn read_to(&self, page: u64) {
        // Most reads end where the last did, on the same page: no shared line is written then.
        if self.next.load(Ordering::Relaxed) != page {
            self.next.store(page, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Reads of `len` pages at `pages`, each found or not as the windows before have it. Returns the windows.
    fn windows(reads: &[(u64, u64)], advice: Advice) -> Vec<(u64, u32)> {
        let (mut sequence, mut there, mut windows) = (Sequence::default(), Vec::new(), Vec::new());
        for &(page, len) in reads {
            let mut at = page;
            while at < page + len {
                if !there.contains(&at) {
                    let count = sequence.miss(at, page + len - at, advice);
                    windows.push((at, count));
                    there.extend(at..at + u64::from(count));
                }
                at += 1;
                sequence.read_to(at);
            }
        }
        windows
    }

    #[test]
    fn table() {
        let in_order: Vec<_> = (0..400).map(|page| (page, 1)).collect();
        let backwards: Vec<_> = (0..6).rev().map(|page| (page * 10, 1)).collect();
        type Case<'a> = (&'a str, &'a [(u64, u64)], Advice, &'a [(u64, u32)]);
        let cases: &[Case<'_>] = &[
            ("one page", &[(0, 1)], Advice::Normal, &[(0, 4)]),
            ("in order", &in_order, Advice::Normal, &[(0, 4), (4, 32), (36, 128), (164, 128), (292, 128)]),
            ("in large pieces", &[(0, 20), (20, 20)], Advice::Normal, &[(0, 20), (20, 32)]),
            ("all at once", &[(0, 300)], Advice::Normal, &[(0, 128), (128, 128), (256, 128)]),
            ("from the middle", &[(50, 1), (51, 1), (52, 1)], Advice::Normal, &[(50, 1), (51, 4)]),
            (
                "about",
                &[(50, 1), (9, 2), (70, 1), (30, 1)],
                Advice::Normal,
                &[(50, 1), (9, 2), (70, 1), (30, 1)],
            ),
            ("backwards", &backwards, Advice::Normal, &[(50, 1), (40, 1), (30, 1), (20, 1), (10, 1), (0, 1)]),
            (
                "in order, then a jump",
                &[(0, 5), (90, 1), (91, 1)],
                Advice::Normal,
                &[(0, 5), (90, 1), (91, 4)],
            ),
            ("said to be random", &in_order[..3], Advice::Random, &[(0, 1), (1, 1), (2, 1)]),
            ("said to be in order", &[(50, 1), (3, 1)], Advice::Sequential, &[(50, 128), (3, 128)]),
        ];
        for (name, reads, advice, expected) in cases {
            assert_eq!(windows(reads, *advice), *expected, "{name}");
        }
    }

    #[test]
    fn an_open_file_does_as_the_sequence_does() {
        let (file, mut sequence) = (ReadAhead::new(), Sequence::default());
        for (page, wanted) in [(0, 1), (4, 1), (5, 1), (90, 7), (97, 1), (3, 500)] {
            assert_eq!(file.miss(page, wanted), sequence.miss(page, wanted, Advice::Normal), "at {page}");
            file.read_to(page + wanted);
            sequence.read_to(page + wanted);
        }
        file.advise(Advice::Random);
        assert_eq!((file.miss(503, 1), file.miss(504, 1)), (1, 1));
    }
}
