//! Who can give memory back, and how much each is asked for. Pure code: it names no lock and no page.

use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

/// Somebody who keeps memory that he could do without.
///
/// Both functions are called in the middle of a request for memory, so whoever asks may hold locks. They take such as are never
/// held over a request; others only if nobody has them, or, [`Manner::Waiting`], as who asks has none that spins. They do not
/// sleep, and allocate nothing.
#[derive(Debug)]
pub struct Shrinker {
    pub name: &'static str,
    pub when: When,
    /// Pages that it could give back, roughly.
    pub count: fn() -> u64,
    /// Gives back about as many pages as it is told, or as it has; returns how many.
    pub scan: fn(u64, Manner) -> u64,
}

/// What is done about a lock that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It is passed over, with what it protects.
    Passing,
    /// It is waited for, if it spins.
    Waiting,
}

/// From when on somebody is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// As soon as memory is low.
    Low,
    /// When a request would be refused: what it gives is soon wanted back.
    Refused,
}

/// How many there can be.
pub const SHRINKERS_MAX: usize = 16;

/// All of them. Nobody is ever taken out.
#[derive(Debug)]
pub struct Registry {
    entries: [AtomicPtr<Shrinker>; SHRINKERS_MAX],
}

impl Registry {
    pub const fn new() -> Self {
        Self { entries: [const { AtomicPtr::new(null_mut()) }; SHRINKERS_MAX] }
    }

    /// Adds one; false if there is no place for it.
    #[must_use]
    pub fn add(&self, shrinker: &'static Shrinker) -> bool {
        let new = core::ptr::from_ref(shrinker).cast_mut();
        let take = |entry: &AtomicPtr<Shrinker>| {
            entry.compare_exchange(null_mut(), new, Ordering::Release, Ordering::Relaxed).is_ok()
        };
        self.entries.iter().any(take)
    }

    /// In the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &'static Shrinker> {
        // SAFETY: `add` alone writes these, and it takes `&'static`.
        self.entries.iter().map_while(|entry| unsafe { entry.load(Ordering::Acquire).as_ref() })
    }

    /// Asks for `goal` pages: first each for its share, by what it has, then the first ones for what is missing. Each
    /// is asked twice at most. Returns how many came.
    pub fn reclaim(&self, goal: u64, when: When, manner: Manner) -> u64 {
        let asked = || self.iter().filter(|shrinker| shrinker.when <= when);
        let mut counts = [0; SHRINKERS_MAX];
        for (count, shrinker) in counts.iter_mut().zip(asked()) {
            *count = (shrinker.count)();
        }
        let total = counts.iter().fold(0u64, |sum, &count| sum.saturating_add(count));
        let mut freed = 0u64;
        for (shrinker, count) in asked().zip(counts).filter(|&(_, count)| count > 0) {
            if freed >= goal {
                return freed;
            }
            let share = (u128::from(goal) * u128::from(count)).div_ceil(u128::from(total));
            freed = freed.saturating_add((shrinker.scan)(count.min(share as u64), manner));
        }
        for shrinker in asked() {
            if freed >= goal {
                break;
            }
            freed = freed.saturating_add((shrinker.scan)(goal - freed, manner));
        }
        freed
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;
    use std::sync::Mutex;

    static LARGE: AtomicU64 = AtomicU64::new(0);
    static SMALL: AtomicU64 = AtomicU64::new(0);
    static LAST: AtomicU64 = AtomicU64::new(0);
    /// The tests share these.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    fn take(from: &AtomicU64, pages: u64) -> u64 {
        let given = from.load(Ordering::Relaxed).min(pages);
        from.fetch_sub(given, Ordering::Relaxed);
        given
    }

    static SHRINKERS: [Shrinker; 3] = [
        Shrinker {
            name: "large",
            when: When::Low,
            count: || LARGE.load(Ordering::Relaxed),
            scan: |pages, _| take(&LARGE, pages),
        },
        Shrinker {
            name: "small",
            when: When::Low,
            // It has more than it believes.
            count: || SMALL.load(Ordering::Relaxed) / 2,
            scan: |pages, _| take(&SMALL, pages),
        },
        Shrinker {
            name: "last",
            when: When::Refused,
            count: || LAST.load(Ordering::Relaxed),
            scan: |pages, _| take(&LAST, pages),
        },
    ];

    fn with(pages: [u64; 3], test: impl FnOnce(&Registry)) -> [u64; 3] {
        let _guard = ONE_AT_A_TIME.lock();
        let counters = [&LARGE, &SMALL, &LAST];
        counters.iter().zip(pages).for_each(|(counter, pages)| counter.store(pages, Ordering::Relaxed));
        let registry = Registry::new();
        assert!(SHRINKERS.iter().all(|shrinker| registry.add(shrinker)));
        test(&registry);
        counters.map(|counter| counter.load(Ordering::Relaxed))
    }

    #[test]
    fn each_gives_its_share() {
        let left =
            with([300, 200, 50], |registry| assert_eq!(registry.reclaim(40, When::Low, Manner::Passing), 40));
        assert_eq!(left, [270, 190, 50], "by 300 and 100 that they say they have");
    }

    #[test]
    fn what_is_missing_comes_from_whoever_has_it() {
        let left =
            with([1, 200, 50], |registry| assert_eq!(registry.reclaim(150, When::Low, Manner::Passing), 150));
        assert_eq!(left, [0, 51, 50]);
    }

    #[test]
    fn the_last_resort_is_asked_last() {
        let left = with([1, 2, 50], |registry| {
            assert_eq!(registry.reclaim(30, When::Low, Manner::Passing), 3);
            assert_eq!(registry.reclaim(30, When::Refused, Manner::Passing), 30);
            assert_eq!(registry.reclaim(30, When::Refused, Manner::Passing), 20, "there is no more");
            assert_eq!(registry.reclaim(0, When::Refused, Manner::Passing), 0);
        });
        assert_eq!(left, [0; 3]);
    }

    #[test]
    fn sums_that_wrap_elsewhere() {
        let left = with([u64::MAX, 0, u64::MAX], |registry| {
            assert!(registry.reclaim(u64::MAX, When::Refused, Manner::Passing) == u64::MAX);
        });
        assert!(left[0] < u64::MAX);
    }

    #[test]
    fn there_is_an_end_of_places() {
        let registry = Registry::new();
        let added = (0..SHRINKERS_MAX + 3).filter(|_| registry.add(&SHRINKERS[0])).count();
        assert_eq!((added, registry.iter().count()), (SHRINKERS_MAX, SHRINKERS_MAX));
    }
}
