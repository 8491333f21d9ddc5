//! What each CPU shows the others: its load, whom it runs, whether it is idle. Read without any lock, so a moment old.
//!
//! A CPU's line is one word, written by its run queue when something of it has changed. Two sets, of the CPUs that are
//! idle and of those with somebody waiting, spare the others a look at each line.

use crate::cpu_set::{CpuSet, MAX_CPUS, SharedCpuSet};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a run queue shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// The sum of weights, and [`RT_WEIGHT`] for each real-time thread.
    pub weight: u64,
    /// Threads that run or wait here, without the idle thread.
    pub threads: u16,
    /// Whom it runs: [`IDLE`], or 1 for a fair thread, or its real-time priority and 1.
    pub running: u8,
}

/// [`Load::running`] of a CPU that has nothing to do.
pub const IDLE: u8 = 0;
/// What a real-time thread counts: as nice -20, for it leaves as little to others.
pub const RT_WEIGHT: u64 = 88_818;

const WEIGHT_BITS: u32 = 40;
const THREAD_BITS: u32 = 16;

impl Load {
    #[inline]
    pub(super) const fn packed(self) -> Line {
        let most = (1 << WEIGHT_BITS) - 1;
        let weight = if self.weight > most { most } else { self.weight };
        let threads = (self.threads as u64) << WEIGHT_BITS;
        Line(weight | threads | (self.running as u64) << (WEIGHT_BITS + THREAD_BITS))
    }
}

/// A [`Load`] in one word, as it stands on the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line(u64);

impl Line {
    /// Of a CPU with nothing to do.
    pub const NOTHING: Self = Self(0);

    #[inline]
    const fn unpacked(self) -> Load {
        Load {
            weight: self.0 & ((1 << WEIGHT_BITS) - 1),
            threads: (self.0 >> WEIGHT_BITS) as u16,
            running: (self.0 >> (WEIGHT_BITS + THREAD_BITS)) as u8,
        }
    }

    /// Whether it runs nobody, and nobody is in its queue: one who is on the way to an idle CPU that has not looked yet is
    /// the one for whom it was idle.
    #[inline]
    const fn is_idle(self) -> bool {
        self.0 >> WEIGHT_BITS == 0
    }

    /// Whether somebody waits for the one who runs.
    #[inline]
    const fn is_crowded(self) -> bool {
        self.0 >> WEIGHT_BITS & ((1 << THREAD_BITS) - 1) > 1
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct Board {
    lines: [AtomicU64; MAX_CPUS],
    online: SharedCpuSet,
    idle: SharedCpuSet,
    crowded: SharedCpuSet,
    /// How many are online, and one more than the highest number among them.
    count: AtomicUsize,
    end: AtomicUsize,
}

impl Board {
    /// Of a machine on which no CPU schedules yet.
    pub const fn new() -> Self {
        Self {
            lines: [const { AtomicU64::new(0) }; MAX_CPUS],
            online: SharedCpuSet::new(CpuSet::EMPTY),
            idle: SharedCpuSet::new(CpuSet::EMPTY),
            crowded: SharedCpuSet::new(CpuSet::EMPTY),
            count: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
        }
    }

    /// A CPU has a run queue from now on, and nothing in it.
    pub fn bring_online(&self, cpu: usize) {
        self.show(cpu, Load::default(), Load { running: 1, ..Load::default() }.packed());
        self.online.change(cpu, true);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.end.fetch_max(cpu + 1, Ordering::Relaxed);
    }

    /// Whether there is but one CPU.
    #[inline]
    pub fn is_alone(&self) -> bool {
        self.count.load(Ordering::Relaxed) <= 1
    }

    /// Of the idle CPUs that are in both sets, the first from `start` on, and then round, that `pleases`, of a few; else
    /// the first. A word of 64 CPUs is one step, so this is short also when none is idle.
    #[inline]
    pub fn idle_in(
        &self,
        allowed: &SharedCpuSet,
        near: Option<&SharedCpuSet>,
        start: usize,
        looks: u32,
        mut pleases: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        let words = self.end.load(Ordering::Relaxed).div_ceil(64);
        let (mut first, mut left) = (None, looks);
        // The word of `start` comes twice: first from there on, at the end what is below.
        for step in 0..=words {
            let at = (start / 64 + step) % words.max(1);
            let mut word =
                self.idle.word(at) & allowed.word(at) & near.map_or(u64::MAX, |near| near.word(at));
            let low = (1 << (start % 64)) - 1;
            word &= if step == 0 {
                !low
            } else if step == words {
                low
            } else {
                u64::MAX
            };
            while word != 0 {
                let cpu = at * 64 + word.trailing_zeros() as usize;
                word &= word - 1;
                if left > 0 && pleases(cpu) {
                    return Some(cpu);
                }
                first = first.or(Some(cpu));
                left = left.saturating_sub(1);
                if left == 0 {
                    return first;
                }
            }
        }
        first
    }

    /// CPUs that have a run queue.
    #[inline]
    pub fn online(&self) -> CpuSet {
        self.online.get()
    }

    #[inline]
    pub fn idle(&self) -> CpuSet {
        self.idle.get()
    }

    #[inline]
    pub fn is_idle(&self, cpu: usize) -> bool {
        self.idle.contains(cpu)
    }

    /// Whether the CPUs of a core are all idle, as far as they are in one word with `cpu`, one of them.
    #[inline]
    pub fn is_all_idle(&self, core: &SharedCpuSet, cpu: usize) -> bool {
        core.word(cpu / 64) & !self.idle.word(cpu / 64) == 0
    }

    /// CPUs on which somebody waits.
    #[inline]
    pub fn crowded(&self) -> CpuSet {
        self.crowded.get()
    }

    #[inline]
    pub fn load(&self, cpu: usize) -> Load {
        Line(self.lines[cpu].load(Ordering::Relaxed)).unpacked()
    }

    /// Shows a CPU's load, if it is another than before; `old` is what it shows. Returns what it shows now.
    #[inline]
    pub(super) fn show(&self, cpu: usize, new: Load, old: Line) -> Line {
        let new = new.packed();
        if new != old {
            self.lines[cpu].store(new.0, Ordering::Relaxed);
            if new.is_idle() != old.is_idle() {
                self.idle.change(cpu, new.is_idle());
            }
            if new.is_crowded() != old.is_crowded() {
                self.crowded.change(cpu, new.is_crowded());
            }
        }
        new
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let load = Load { weight: (1 << 40) - 1, threads: 65_535, running: 100 };
        assert_eq!(load.packed().unpacked(), load);
        let board = Board::new();
        board.bring_online(70);
        assert!(board.online() == CpuSet::one(70) && board.idle() == CpuSet::one(70) && board.is_alone());
        let line = board.show(70, load, Line::NOTHING);
        assert_eq!(board.load(70), load);
        assert!(board.idle().is_empty() && board.crowded() == CpuSet::one(70));
        board.show(70, Load::default(), line);
        assert!(board.is_idle(70) && board.crowded().is_empty());
        board.show(70, Load { weight: 1, threads: 1, running: IDLE }, Line::NOTHING);
        assert!(!board.is_idle(70), "it is about to run somebody");
    }

    #[test]
    fn idle_cpus_are_found_from_the_start_on_and_round() {
        let board = Board::new();
        (0..140).for_each(|cpu| board.bring_online(cpu));
        let (all, none) = (SharedCpuSet::new(CpuSet::ALL), SharedCpuSet::new(CpuSet::EMPTY));
        let busy = Load { weight: 1, threads: 1, running: 1 };
        let some = SharedCpuSet::new(CpuSet::EMPTY);
        some.set(&CpuSet::of([3, 70, 139]));
        for cpu in 0..140 {
            if ![3, 70, 139].contains(&cpu) {
                board.show(cpu, busy, Line::NOTHING);
            }
        }
        let find = |start| board.idle_in(&all, None, start, 8, |_| true);
        assert_eq!([0, 3, 4, 70, 71, 139].map(find), [3, 3, 70, 70, 139, 139].map(Some));
        assert_eq!(board.idle_in(&all, Some(&none), 0, 8, |_| true), None);
        assert_eq!(
            board.idle_in(&all, Some(&some), 71, 8, |cpu| cpu < 10),
            Some(3),
            "the first that pleases"
        );
        assert_eq!(board.idle_in(&some, None, 71, 8, |_| false), Some(139), "else the first");
        assert_eq!(board.idle_in(&some, None, 71, 1, |cpu| cpu < 10), Some(139), "after so many looks");
    }
}
