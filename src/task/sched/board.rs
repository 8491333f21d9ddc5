//! What each CPU shows the others: its load, whom it runs, whether it is idle. Read without any lock, so a moment old.
//!
//! A CPU's line is one word, written by its run queue when something of it has changed. Two sets, of the CPUs that are
//! idle and of those with somebody waiting, spare the others a look at each line.

use super::cpus::{CpuSet, MAX_CPUS, SharedCpuSet};
use core::sync::atomic::{AtomicU64, Ordering};

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
    const fn packed(self) -> u64 {
        let most = (1 << WEIGHT_BITS) - 1;
        let weight = if self.weight > most { most } else { self.weight };
        weight | (self.threads as u64) << WEIGHT_BITS | (self.running as u64) << (WEIGHT_BITS + THREAD_BITS)
    }

    const fn unpacked(word: u64) -> Self {
        Self {
            weight: word & ((1 << WEIGHT_BITS) - 1),
            threads: (word >> WEIGHT_BITS) as u16,
            running: (word >> (WEIGHT_BITS + THREAD_BITS)) as u8,
        }
    }

    pub const fn is_idle(&self) -> bool {
        self.running == IDLE
    }

    /// Whether somebody waits for the one who runs.
    pub const fn is_crowded(&self) -> bool {
        self.threads > 1
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct Board {
    lines: [AtomicU64; MAX_CPUS],
    online: SharedCpuSet,
    idle: SharedCpuSet,
    crowded: SharedCpuSet,
}

impl Board {
    /// Of a machine on which no CPU schedules yet.
    pub const fn new() -> Self {
        Self {
            lines: [const { AtomicU64::new(0) }; MAX_CPUS],
            online: SharedCpuSet::new(CpuSet::EMPTY),
            idle: SharedCpuSet::new(CpuSet::EMPTY),
            crowded: SharedCpuSet::new(CpuSet::EMPTY),
        }
    }

    /// A CPU has a run queue from now on, and nothing in it.
    pub fn bring_online(&self, cpu: usize) {
        self.show(cpu, Load::default(), Load { running: 1, ..Load::default() });
        self.online.change(cpu, true);
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

    /// CPUs on which somebody waits.
    #[inline]
    pub fn crowded(&self) -> CpuSet {
        self.crowded.get()
    }

    #[inline]
    pub fn load(&self, cpu: usize) -> Load {
        Load::unpacked(self.lines[cpu].load(Ordering::Relaxed))
    }

    /// Shows a CPU's new line; `old` is what it shows.
    #[inline]
    pub(super) fn show(&self, cpu: usize, new: Load, old: Load) {
        self.lines[cpu].store(new.packed(), Ordering::Relaxed);
        if new.is_idle() != old.is_idle() {
            self.idle.change(cpu, new.is_idle());
        }
        if new.is_crowded() != old.is_crowded() {
            self.crowded.change(cpu, new.is_crowded());
        }
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
        assert_eq!(Load::unpacked(load.packed()), load);
        let board = Board::new();
        board.bring_online(70);
        assert!(board.online() == CpuSet::one(70) && board.idle() == CpuSet::one(70));
        board.show(70, load, Load::default());
        assert_eq!(board.load(70), load);
        assert!(board.idle().is_empty() && board.crowded() == CpuSet::one(70));
        board.show(70, Load::default(), load);
        assert!(board.is_idle(70) && board.crowded().is_empty());
    }
}
