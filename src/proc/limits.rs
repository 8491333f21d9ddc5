//! What a process may have at most: `RLIMIT_*`.
//!
//! Source: getrlimit(2); Linux's first values.

use super::signal::Signal;
use crate::errno::Errno;

/// No limit (`RLIM_INFINITY`).
pub const INFINITY: u64 = u64::MAX;
const COUNT: usize = 16;

/// Which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Resource {
    Cpu = 0,
    FileSize = 1,
    Data = 2,
    Stack = 3,
    Core = 4,
    Resident = 5,
    Processes = 6,
    Files = 7,
    Locked = 8,
    AddressSpace = 9,
    Locks = 10,
    SignalsPending = 11,
    MessageQueues = 12,
    Nice = 13,
    RealTimePriority = 14,
    RealTime = 15,
}

impl Resource {
    pub const fn new(number: u64) -> Result<Self, Errno> {
        Ok(match number {
            0 => Self::Cpu,
            1 => Self::FileSize,
            2 => Self::Data,
            3 => Self::Stack,
            4 => Self::Core,
            5 => Self::Resident,
            6 => Self::Processes,
            7 => Self::Files,
            8 => Self::Locked,
            9 => Self::AddressSpace,
            10 => Self::Locks,
            11 => Self::SignalsPending,
            12 => Self::MessageQueues,
            13 => Self::Nice,
            14 => Self::RealTimePriority,
            15 => Self::RealTime,
            _ => return Err(Errno::Einval),
        })
    }
}

/// One: what counts, and how far the process may raise that itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub soft: u64,
    pub hard: u64,
}

/// What is to be done about a process that has used so much CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub signal: Option<Signal>,
    /// Its limit from now on: it is told again a second later.
    pub limit: Limit,
    /// Until there is something to be done again; `None` for never.
    pub left_ns: Option<u64>,
}

impl Limit {
    /// As `RLIMIT_CPU`, in seconds: SIGXCPU at the one, and each second then; SIGKILL at the other.
    pub const fn due(self, used_ns: u64) -> Due {
        const SECOND_NS: u64 = 1_000_000_000;
        if self.hard != INFINITY && used_ns >= self.hard.saturating_mul(SECOND_NS) {
            return Due { signal: Some(Signal::KILL), limit: self, left_ns: None };
        }
        let (mut signal, mut limit) = (None, self);
        if self.soft != INFINITY && used_ns >= self.soft.saturating_mul(SECOND_NS) {
            signal = Some(Signal::XCPU);
            limit.soft += 1;
        }
        let first = if limit.soft < limit.hard { limit.soft } else { limit.hard };
        let left_ns = match first {
            INFINITY => None,
            first => Some(first.saturating_mul(SECOND_NS).saturating_sub(used_ns)),
        };
        Due { signal, limit, left_ns }
    }
}

/// All of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits([Limit; COUNT]);

impl Limits {
    /// The first process's; `processes` depends on the machine's memory.
    pub const fn first(processes: u64) -> Self {
        const NONE: Limit = Limit { soft: INFINITY, hard: INFINITY };
        const fn both(value: u64) -> Limit {
            Limit { soft: value, hard: value }
        }
        let mut all = [NONE; COUNT];
        all[Resource::Stack as usize] = Limit { soft: 8 << 20, hard: INFINITY };
        all[Resource::Core as usize] = Limit { soft: 0, hard: INFINITY };
        all[Resource::Processes as usize] = both(processes);
        all[Resource::Files as usize] = Limit { soft: 1024, hard: 4096 };
        all[Resource::Locked as usize] = both(8 << 20);
        all[Resource::SignalsPending as usize] = both(processes);
        all[Resource::MessageQueues as usize] = both(819_200);
        all[Resource::Nice as usize] = both(0);
        all[Resource::RealTimePriority as usize] = both(0);
        Self(all)
    }

    pub const fn get(&self, which: Resource) -> Limit {
        self.0[which as usize]
    }

    /// What counts.
    pub const fn soft(&self, which: Resource) -> u64 {
        self.0[which as usize].soft
    }

    /// As [`soft`](Self::soft), with no limit as `None`.
    pub const fn bound(&self, which: Resource) -> Option<u64> {
        match self.soft(which) {
            INFINITY => None,
            limit => Some(limit),
        }
    }

    /// `setrlimit`. EINVAL: more than the most; EPERM: to raise that takes user 0, and open files end at `nr_open`.
    pub fn set(&mut self, which: Resource, new: Limit, privileged: bool) -> Result<(), Errno> {
        if new.soft > new.hard {
            return Err(Errno::Einval);
        }
        let old = &mut self.0[which as usize];
        if new.hard > old.hard && !privileged {
            return Err(Errno::Eperm);
        }
        if which == Resource::Files && new.hard > crate::fs::fd::FDS_MAX as u64 {
            return Err(Errno::Eperm);
        }
        *old = new;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_each_second_and_then_ended() {
        let limit = |soft, hard| Limit { soft, hard };
        let ms = |ms: u64| ms * 1_000_000;
        for (before, used, signal, after, left) in [
            (limit(INFINITY, INFINITY), ms(1 << 20), None, limit(INFINITY, INFINITY), None),
            (limit(1, 3), ms(999), None, limit(1, 3), Some(ms(1))),
            (limit(1, 3), ms(1000), Some(Signal::XCPU), limit(2, 3), Some(ms(1000))),
            (limit(2, 3), ms(2500), Some(Signal::XCPU), limit(3, 3), Some(ms(500))),
            (limit(3, 3), ms(3000), Some(Signal::KILL), limit(3, 3), None),
            (limit(1, 1), ms(1000), Some(Signal::KILL), limit(1, 1), None),
            (limit(INFINITY, 2), ms(500), None, limit(INFINITY, 2), Some(ms(1500))),
            (limit(1, INFINITY), ms(5000), Some(Signal::XCPU), limit(2, INFINITY), Some(0)),
            (
                limit(u64::MAX - 1, INFINITY),
                ms(5000),
                None,
                limit(u64::MAX - 1, INFINITY),
                Some(u64::MAX - ms(5000)),
            ),
        ] {
            let expected = Due { signal, limit: after, left_ns: left };
            assert_eq!(before.due(used), expected, "{before:?}, {used} ns used");
        }
    }

    #[test]
    fn only_user_0_raises_the_most() {
        let mut limits = Limits::first(100);
        assert_eq!(limits.bound(Resource::Stack), Some(8 << 20));
        assert_eq!(limits.bound(Resource::Cpu), None);
        let more = Limit { soft: 5000, hard: 5000 };
        assert_eq!(limits.set(Resource::Files, more, false), Err(Errno::Eperm));
        assert_eq!(limits.set(Resource::Files, Limit { soft: 9, hard: 8 }, true), Err(Errno::Einval));
        assert_eq!(limits.set(Resource::Files, more, true), Ok(()));
        assert_eq!(limits.set(Resource::Files, Limit { soft: 0, hard: 1 << 21 }, true), Err(Errno::Eperm));
        assert_eq!(limits.set(Resource::Files, Limit { soft: 20, hard: 30 }, false), Ok(()));
        assert_eq!(limits.get(Resource::Files), Limit { soft: 20, hard: 30 });
        assert_eq!(Resource::new(16), Err(Errno::Einval));
        assert!((0..16).all(|n| Resource::new(n).is_ok_and(|which| which as u64 == n)));
    }
}
