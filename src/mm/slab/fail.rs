//! Failure on demand: the n-th allocation from now is refused, or each n-th (`failalloc=`).
//!
//! Code that handles a refusal is code that never runs, until it is made to. A test that runs the same work with
//! n = 1, 2, 3, … sees every such path, and [`FailAlloc::asked`] tells it when it has come to the end.
//!
//! Not armed, this costs one load of a word that nobody writes.

use core::sync::atomic::{AtomicU64, Ordering};

/// Counts down to a failure.
#[derive(Debug, Default)]
pub struct FailAlloc {
    /// Allocations until one fails, itself included; 0 if none will.
    left: AtomicU64,
    /// What `left` becomes after a failure.
    every: AtomicU64,
    /// Questions since the counter was armed.
    asked: AtomicU64,
    failed: AtomicU64,
}

impl FailAlloc {
    pub const fn new() -> Self {
        let [left, every, asked, failed] = [const { AtomicU64::new(0) }; 4];
        Self { left, every, asked, failed }
    }

    /// The `n`-th allocation from now fails, and none after it; 0 disarms.
    pub fn once(&self, n: u64) {
        self.arm(n, 0);
    }

    /// Each `n`-th allocation fails; 0 disarms.
    pub fn every(&self, n: u64) {
        self.arm(n, n);
    }

    /// None fails, but they are counted.
    pub fn only_count(&self) {
        self.arm(u64::MAX, 0);
    }

    fn arm(&self, left: u64, every: u64) {
        self.left.store(0, Ordering::Relaxed);
        self.asked.store(0, Ordering::Relaxed);
        self.failed.store(0, Ordering::Relaxed);
        self.every.store(every, Ordering::Relaxed);
        self.left.store(left, Ordering::Relaxed);
    }

    /// Allocations since it was armed, as long as it still was.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Those of them that failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether somebody counts. If not, there is no need to ask [`fails`](Self::fails).
    #[inline]
    pub fn is_armed(&self) -> bool {
        self.left.load(Ordering::Relaxed) != 0
    }

    /// Asked once before each allocation: whether it is to fail.
    #[cold]
    pub fn fails(&self) -> bool {
        let next = |left: u64| match left {
            0 => None,
            1 => Some(self.every.load(Ordering::Relaxed)),
            _ => Some(left - 1),
        };
        let Ok(before) = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) else {
            return false;
        };
        self.asked.fetch_add(1, Ordering::Relaxed);
        if before == 1 {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        before == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(fail: &FailAlloc, count: usize) -> Vec<usize> {
        (1..=count).filter(|_| fail.fails()).collect::<Vec<_>>()
    }

    #[test]
    fn once_every_and_never() {
        let fail = FailAlloc::new();
        assert_eq!(outcomes(&fail, 10), []);
        assert_eq!(fail.asked(), 0);
        fail.once(4);
        assert_eq!(outcomes(&fail, 10), [4]);
        assert_eq!((fail.asked(), fail.failed()), (4, 1));
        fail.every(3);
        assert_eq!(outcomes(&fail, 10), [3, 6, 9]);
        assert_eq!((fail.asked(), fail.failed()), (10, 3));
        fail.only_count();
        assert_eq!(outcomes(&fail, 10), []);
        assert_eq!(fail.asked(), 10);
        fail.once(0);
        assert_eq!(outcomes(&fail, 10), []);
    }
}
