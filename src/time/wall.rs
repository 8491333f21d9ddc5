//! The time of day: nanoseconds since 1970-01-01T00:00:00Z, as an offset to the monotonic clock.
//!
//! At boot the RTC sets it, later whoever may. Setting it moves nothing but the offset, so no timer fires
//! early or late for it. One atomic word: readable anywhere, NMI included.

use core::sync::atomic::AtomicI64;
use core::sync::atomic::Ordering::Relaxed;

/// The offset of a clock that was never set.
const UNSET: i64 = i64::MIN;

/// The wall clock. Unset, it begins at 1970 with the monotonic clock.
pub struct WallClock {
    offset_ns: AtomicI64,
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}

impl WallClock {
    pub const fn new() -> Self {
        Self { offset_ns: AtomicI64::new(UNSET) }
    }

    /// From now on it is `unix_ns` when the monotonic clock shows `monotonic_ns`.
    pub fn set(&self, unix_ns: i64, monotonic_ns: u64) {
        let offset = i128::from(unix_ns) - i128::from(monotonic_ns);
        let offset = offset.clamp(i128::from(UNSET + 1), i128::from(i64::MAX));
        self.offset_ns.store(offset as i64, Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.offset_ns.load(Relaxed) != UNSET
    }

    /// What is to be added to the monotonic clock for the time of day; 0 if it was never set.
    pub fn offset_ns(&self) -> i64 {
        let offset = self.offset_ns.load(Relaxed);
        if offset == UNSET { 0 } else { offset }
    }

    /// The time of day when the monotonic clock shows `monotonic_ns`: to 2262, and then no further.
    pub fn unix_ns(&self, monotonic_ns: u64) -> i64 {
        i64::try_from(i128::from(self.offset_ns()) + i128::from(monotonic_ns)).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static WALL: WallClock = WallClock::new();

    #[test]
    fn offset_and_monotonic_make_the_time() {
        assert!(!WALL.is_set());
        assert_eq!(WALL.unix_ns(5), 5);
        WALL.set(1_700_000_000_000_000_000, 3_000);
        assert!(WALL.is_set());
        assert_eq!(WALL.unix_ns(3_000), 1_700_000_000_000_000_000);
        assert_eq!(WALL.unix_ns(4_500), 1_700_000_000_000_001_500);
        assert_eq!(WALL.unix_ns(2_999), 1_699_999_999_999_999_999);
        WALL.set(-10, 100);
        assert_eq!(WALL.unix_ns(100), -10);
    }

    #[test]
    fn the_ends_of_time() {
        let wall = WallClock::new();
        wall.set(i64::MAX, 0);
        assert_eq!(wall.unix_ns(1), i64::MAX);
        wall.set(i64::MIN, 0);
        assert!(wall.is_set());
        wall.set(0, u64::MAX);
        assert!(wall.is_set());
        assert_eq!(WallClock::new().unix_ns(u64::MAX), i64::MAX);
    }
}
