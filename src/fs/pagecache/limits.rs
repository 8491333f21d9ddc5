//! How much may be dirty, and for how long. Pure policy.
//!
//! | dirty or on its way | who writes |
//! | --- | --- |
//! | up to a tenth of the memory ([`BACKGROUND_PERCENT`]) | the write-back thread, pages that are 30 s old |
//! | above | it goes on until there is less |
//! | above a fifth ([`LIMIT_PERCENT`]) | so does everybody who makes more |
//!
//! The memory is what could hold pages of files: frames that are free, and those that the cache has.

/// `vm.dirty_background_ratio`.
pub const BACKGROUND_PERCENT: u64 = 10;
/// `vm.dirty_ratio`.
pub const LIMIT_PERCENT: u64 = 20;
/// `vm.dirty_expire_centisecs`: how long a page may be dirty, in nanoseconds.
pub const EXPIRE_NS: u64 = 30_000_000_000;
/// `vm.dirty_writeback_centisecs`: how long the write-back thread sleeps, in nanoseconds.
pub const PERIOD_NS: u64 = 5_000_000_000;
/// However little memory there is, so many pages may be dirty.
const LEAST: u64 = 16;

/// In pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub background: u64,
    pub limit: u64,
}

/// What is to be done about what is dirty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Nothing.
    Free,
    /// The write-back thread is woken.
    Background,
    /// Who makes pages dirty writes some.
    Throttled,
}

impl Limits {
    /// For that many pages of memory.
    pub const fn of(pages: u64, background_percent: u64, limit_percent: u64) -> Self {
        let (background, limit) = (pages / 100 * background_percent, pages / 100 * limit_percent);
        let limit = if limit < LEAST { LEAST } else { limit };
        // Else everybody would wait for a thread that has no reason to begin.
        let background = if background >= limit { limit / 2 } else { background };
        Self { background, limit }
    }

    /// `unwritten`: pages that are dirty or in write-back.
    pub const fn pace(self, unwritten: u64) -> Pace {
        if unwritten > self.limit {
            Pace::Throttled
        } else if unwritten > self.background {
            Pace::Background
        } else {
            Pace::Free
        }
    }

    /// Whether what has been dirty since `since_ns` is to be written at `now_ns`, where it may be so for `expire_ns`.
    pub const fn is_due(since_ns: u64, now_ns: u64, expire_ns: u64) -> bool {
        now_ns.saturating_sub(since_ns) >= expire_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (pages, background, limit, expected) in [
            (10_000, 10, 20, (1000, 2000)),
            (100, 10, 20, (10, 20)),
            (0, 10, 20, (0, 16)),
            (1000, 50, 20, (100, 200)),
            (1000, 20, 20, (100, 200)),
            (1000, 0, 0, (0, 16)),
            (u64::MAX, 10, 20, (u64::MAX / 100 * 10, u64::MAX / 100 * 20)),
        ] {
            let limits = Limits::of(pages, background, limit);
            assert_eq!(
                (limits.background, limits.limit),
                expected,
                "{pages} pages, {background} %, {limit} %"
            );
        }
        let limits = Limits { background: 10, limit: 20 };
        for (unwritten, pace) in [
            (0, Pace::Free),
            (10, Pace::Free),
            (11, Pace::Background),
            (20, Pace::Background),
            (21, Pace::Throttled),
            (u64::MAX, Pace::Throttled),
        ] {
            assert_eq!(limits.pace(unwritten), pace, "{unwritten}");
        }
        for (since, now, due) in [(0, 29_999_999_999, false), (0, EXPIRE_NS, true), (5, 1, false)] {
            assert_eq!(Limits::is_due(since, now, EXPIRE_NS), due);
        }
    }
}
