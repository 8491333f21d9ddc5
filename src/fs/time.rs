//! Times of files: seconds and nanoseconds since 1970, what time it is, and when reading is worth a new atime.

use super::flags::MountFlags;
use crate::platform::{Machine, Platform};

/// A moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Since 1970-01-01 00:00 UTC; negative before.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

const NS: i64 = 1_000_000_000;

impl Time {
    pub const fn from_ns(ns: i64) -> Self {
        Self { seconds: ns.div_euclid(NS), nanoseconds: ns.rem_euclid(NS) as u32 }
    }

    /// The time of day; a machine that does not know it begins in 1970.
    pub fn now() -> Self {
        Self::from_ns(Machine::unix_ns().unwrap_or_else(|| Machine::now_ns() as i64))
    }
}

/// The three that can be set, and the birth of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Last read.
    pub accessed: Time,
    /// Last written to.
    pub modified: Time,
    /// Attributes last changed.
    pub changed: Time,
    pub born: Time,
}

impl Times {
    pub const fn all(time: Time) -> Self {
        Self { accessed: time, modified: time, changed: time, born: time }
    }

    /// Whether a read at `now` is to be noted. Always with `strictatime`, never with `noatime`. Else, which is
    /// `relatime`, only if nobody has noted a read since the last change, or not for a day: programs that ask whether
    /// something new has been read get their answer, and reading a tree does not write to all of it.
    pub fn wants_access(&self, now: Time, flags: MountFlags, is_directory: bool) -> bool {
        if flags.contains(MountFlags::NOATIME) || is_directory && flags.contains(MountFlags::NODIRATIME) {
            return false;
        }
        flags.contains(MountFlags::STRICTATIME)
            || self.accessed <= self.modified
            || self.accessed <= self.changed
            || now.seconds.saturating_sub(self.accessed.seconds) >= 24 * 60 * 60
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time { seconds, nanoseconds: 0 }
    }

    #[test]
    fn nanoseconds_are_never_negative() {
        assert_eq!(Time::from_ns(-1), Time { seconds: -1, nanoseconds: 999_999_999 });
        assert_eq!(Time::from_ns(1_500_000_000), Time { seconds: 1, nanoseconds: 500_000_000 });
    }

    #[test]
    fn relatime_notes_the_first_read_after_a_change_and_one_a_day() {
        let mut times = Times::all(at(1000));
        let (relative, none) = (MountFlags::RELATIME, MountFlags::NOATIME);
        assert!(times.wants_access(at(1001), relative, false));
        times.accessed = at(1001);
        assert!(!times.wants_access(at(1002), relative, false));
        assert!(times.wants_access(at(1002), MountFlags::STRICTATIME, false));
        assert!(!times.wants_access(at(1001 + 86_399), relative, false));
        assert!(times.wants_access(at(1001 + 86_400), relative, false));
        times.changed = at(1500);
        assert!(times.wants_access(at(1501), relative, false));
        assert!(!times.wants_access(at(1501), none, false));
        assert!(!times.wants_access(at(1501), MountFlags::NODIRATIME, true));
        assert!(times.wants_access(at(1501), MountFlags::NODIRATIME, false));
    }
}
