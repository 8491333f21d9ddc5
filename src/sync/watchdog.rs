//! Who has stopped: each CPU shows a sign of life from its timer, and looks at the others'.
//!
//! A CPU with interrupts off for ever cannot say so itself. So each one notes the time whenever its timer interrupts
//! ([`Heartbeats::beat`]), and looks at the next one that runs; that makes a ring, in which every CPU is looked at by one
//! other and no line is read by all. Whoever finds a CPU that has shown nothing for [`LIMIT_NS`] tells of it, once for
//! each time that it stops; what is told, a backtrace taken by NMI, is the caller's affair.
//! A CPU that sleeps has no timer, and says so before.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// As long as that no CPU is without interrupts.
pub const LIMIT_NS: u64 = 10_000_000_000;
/// How often a busy CPU beats, and looks.
pub const PERIOD_NS: u64 = 1_000_000_000;

/// Not running yet.
const ABSENT: u64 = u64::MAX;
/// Asleep.
const IDLE: u64 = u64::MAX - 1;
/// Stopped, and told of.
const TOLD: u64 = u64::MAX - 2;

/// A CPU that has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    pub cpu: usize,
    pub for_ns: u64,
}

#[repr(align(64))]
struct Sign(AtomicU64);

/// The signs of life of up to `N` CPUs: when each was there last, in nanoseconds of the monotonic clock.
pub struct Heartbeats<const N: usize> {
    signs: [Sign; N],
}

impl<const N: usize> Heartbeats<N> {
    pub const fn new() -> Self {
        Self { signs: [const { Sign(AtomicU64::new(ABSENT)) }; N] }
    }

    /// CPU `cpu` is there. Also when it comes back from sleep.
    pub fn beat(&self, cpu: usize, now_ns: u64) {
        self.signs[cpu].0.store(now_ns.min(TOLD - 1), Relaxed);
    }

    /// It sleeps, and will not beat.
    pub fn sleep(&self, cpu: usize) {
        self.signs[cpu].0.store(IDLE, Relaxed);
    }

    /// Looks at the next CPU behind `cpu` that is awake. Some, if that has stopped and nobody has told of it.
    pub fn look(&self, cpu: usize, now_ns: u64) -> Option<Stopped> {
        for step in 1..N {
            let other = (cpu + step) % N;
            let sign = &self.signs[other].0;
            let seen = sign.load(Relaxed);
            match seen {
                ABSENT | IDLE => continue,
                // Who has been told of does not look itself: the one behind it is looked at as well.
                TOLD => continue,
                _ => {}
            }
            let for_ns = now_ns.saturating_sub(seen);
            if for_ns < LIMIT_NS {
                return None;
            }
            // If it beats meanwhile, it has not stopped.
            let is_first = sign.compare_exchange(seen, TOLD, Relaxed, Relaxed).is_ok();
            return is_first.then_some(Stopped { cpu: other, for_ns });
        }
        None
    }
}

impl<const N: usize> Default for Heartbeats<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn the_next_one_awake_is_looked_at() {
        let beats = Heartbeats::<4>::new();
        for cpu in 0..4 {
            beats.beat(cpu, 0);
        }
        beats.sleep(1);
        beats.beat(0, 9 * S);
        beats.beat(3, 9 * S);
        // CPU 2 has last been there at 0.
        assert_eq!(beats.look(0, 9 * S), None);
        assert_eq!(beats.look(0, 10 * S), Some(Stopped { cpu: 2, for_ns: 10 * S }));
        assert_eq!(beats.look(0, 11 * S), None, "told already, and 3 is there");
        // Nobody but 2 would have looked at 3.
        assert_eq!(beats.look(0, 19 * S), Some(Stopped { cpu: 3, for_ns: 10 * S }));
        beats.beat(2, 20 * S);
        assert_eq!(beats.look(0, 21 * S), None);
        assert_eq!(beats.look(0, 30 * S), Some(Stopped { cpu: 2, for_ns: 10 * S }), "it has stopped again");
    }

    #[test]
    fn who_is_alone_finds_nobody() {
        let beats = Heartbeats::<3>::new();
        beats.beat(1, 0);
        assert_eq!(beats.look(1, 100 * S), None);
        assert_eq!(Heartbeats::<1>::new().look(0, S), None);
        beats.sleep(1);
        beats.beat(0, 100 * S);
        assert_eq!(beats.look(0, 200 * S), None, "who sleeps has not stopped");
    }
}
