//! Who has stopped: a CPU that has interrupts or preemption off for ever cannot say so itself.
//!
//! One CPU, the watcher, asks each other one that is not at rest for a sign of life once a second, by an interrupt. The
//! answer is that it *can switch*: asked with preemption on, a CPU goes through its scheduler at once, and shows that
//! the next time. So one that answers nothing has interrupts off, and one whose answers show no switch is in a section
//! without preemption that does not end. [`LIMIT_NS`] after its last sign it is told of, once each time that it stops.
//! What is told, a backtrace taken by NMI, is the caller's affair (`kernel::watchdog`), and so is who watches the watcher.
//!
//! Time alone is no proof: a virtual machine that was stopped finds all its CPUs silent since long ago. So the CPU must
//! also have been asked [`ASKED`] times in vain.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// As long as that no CPU is without interrupts or without preemption.
pub const LIMIT_NS: u64 = 10_000_000_000;
/// How often CPUs are asked.
pub const PERIOD_NS: u64 = 1_000_000_000;
/// Questions that have to stay without an answer.
pub const ASKED: u32 = 5;

/// Not awake when it was looked at last: nothing is wanted of it.
const RESTING: u64 = u64::MAX;
/// Stopped, and told of.
const TOLD: u64 = u64::MAX - 1;

/// A CPU that has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    pub cpu: usize,
    pub for_ns: u64,
}

/// When a CPU was there last, in nanoseconds of the monotonic clock, and how often it was asked since.
struct Sign {
    seen_ns: AtomicU64,
    asked: AtomicU32,
}

/// The signs of life of up to `N` CPUs.
pub struct Signs<const N: usize> {
    signs: [Sign; N],
}

impl<const N: usize> Signs<N> {
    pub const fn new() -> Self {
        Self { signs: [const { Sign { seen_ns: AtomicU64::new(RESTING), asked: AtomicU32::new(0) } }; N] }
    }

    /// CPU `cpu` is there, and can switch.
    pub fn beat(&self, cpu: usize, now_ns: u64) {
        self.signs[cpu].asked.store(0, Relaxed);
        self.signs[cpu].seen_ns.store(now_ns.min(TOLD - 1), Relaxed);
    }

    /// It was seen at rest.
    pub fn rests(&self, cpu: usize) {
        self.signs[cpu].seen_ns.store(RESTING, Relaxed);
    }

    /// It is not at rest, and is going to be asked. Some, if it has stopped and nobody has told of it.
    pub fn ask(&self, cpu: usize, now_ns: u64) -> Option<Stopped> {
        let Sign { seen_ns, asked } = &self.signs[cpu];
        let seen = seen_ns.load(Relaxed);
        match seen {
            // It has just become busy: from here on it is counted.
            RESTING => {
                asked.store(0, Relaxed);
                let _ = seen_ns.compare_exchange(RESTING, now_ns.min(TOLD - 1), Relaxed, Relaxed);
                None
            }
            TOLD => None,
            _ => {
                let for_ns = now_ns.saturating_sub(seen);
                if asked.fetch_add(1, Relaxed) < ASKED || for_ns < LIMIT_NS {
                    return None;
                }
                // If it beats meanwhile, it has not stopped.
                let is_first = seen_ns.compare_exchange(seen, TOLD, Relaxed, Relaxed).is_ok();
                is_first.then_some(Stopped { cpu, for_ns })
            }
        }
    }
}

impl<const N: usize> Default for Signs<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn who_answers_is_not_told_of() {
        let signs = Signs::<2>::new();
        for second in 0..100 {
            assert_eq!(signs.ask(1, second * S), None);
            if second % 9 == 8 {
                signs.beat(1, second * S);
            }
        }
    }

    #[test]
    fn who_does_not_is_told_of_once_each_time() {
        let signs = Signs::<3>::new();
        let told = |from: u64, to: u64| {
            (from..=to).filter_map(|now| signs.ask(2, now * S)).collect::<std::vec::Vec<_>>()
        };
        // First seen at 100 s.
        assert_eq!(told(100, 109), []);
        assert_eq!(told(110, 200), [Stopped { cpu: 2, for_ns: 10 * S }]);
        signs.beat(2, 300 * S);
        assert_eq!(told(301, 400), [Stopped { cpu: 2, for_ns: 10 * S }]);
        // At rest in between: that is no stop, and what was before does not count.
        signs.rests(2);
        assert_eq!(told(500, 509), []);
        signs.rests(2);
        assert_eq!(told(520, 530), [Stopped { cpu: 2, for_ns: 10 * S }]);
    }

    /// The whole machine stood still: the first question after it is not the fifth in vain.
    #[test]
    fn a_machine_that_was_stopped_has_not() {
        let signs = Signs::<1>::new();
        assert_eq!(signs.ask(0, S), None);
        assert_eq!(signs.ask(0, 1000 * S), None);
        signs.beat(0, 1000 * S);
        assert_eq!(signs.ask(0, 1001 * S), None);
    }
}
