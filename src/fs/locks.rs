//! Locks that programs put on files, which keep out nobody but others who ask: `flock`, and POSIX's on ranges of bytes.
//!
//! | kind | belongs to | ends |
//! | --- | --- | --- |
//! | `flock` | an open file | with its last descriptor |
//! | POSIX (`F_SETLK`) | a process | when the process closes any descriptor of the file, or ends |
//! | open file description (`F_OFD_SETLK`) | an open file | with its last descriptor |
//!
//! `flock`s cover the whole file and do not meet the others; the other two are of one list. An owner's ranges do not
//! overlap: setting one cuts what the owner had there, joins what is alike, and may so need two pieces more, whose memory
//! is asked for first.
//!
//! Who waits sleeps until something was given back, and looks again. A process that would wait for one that waits for it,
//! over whatever number of others, is told so ([`Errno::Edeadlk`]): each waiting process is noted with whom it waits for,
//! and the way along these is walked before another is added. As on Linux only POSIX locks are watched so, since an open
//! file may be several processes'.

use super::Result;
use super::file::File;
use crate::errno::Errno;
use crate::mm::vma::room;
use crate::sync::parker::NEVER;
use crate::sync::{Rank, SpinLock, WaitQueue};
use alloc::vec::Vec;
use core::ptr::from_ref;

/// Whose a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOwner {
    /// A process, by a number of its own; and the pid that `F_GETLK` shows.
    Process { id: u64, pid: i32 },
    /// An open file, by its address; a lock of its own goes before it does.
    File(usize),
}

impl LockOwner {
    /// That of an open file.
    pub fn of(file: &File) -> Self {
        Self::File(from_ref(file).addr())
    }

    /// As `l_pid` shows it.
    pub const fn pid(self) -> i32 {
        match self {
            Self::Process { pid, .. } => pid,
            Self::File(_) => -1,
        }
    }

    fn is(self, other: Self) -> bool {
        match (self, other) {
            (Self::Process { id, .. }, Self::Process { id: other, .. }) => id == other,
            (Self::File(file), Self::File(other)) => file == other,
            _ => false,
        }
    }
}

/// A range of bytes, locked. `end` is the first byte behind it; [`EVER`] is no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLock {
    pub owner: LockOwner,
    pub start: u64,
    pub end: u64,
    /// Only one may have it.
    pub exclusive: bool,
}

/// Behind the last byte that there can be.
pub const EVER: u64 = i64::MAX as u64 + 1;

impl RangeLock {
    const fn overlaps(&self, start: u64, end: u64) -> bool {
        self.start < end && start < self.end
    }

    fn conflicts(&self, wanted: &Self) -> bool {
        !self.owner.is(wanted.owner)
            && self.overlaps(wanted.start, wanted.end)
            && (self.exclusive || wanted.exclusive)
    }
}

/// The range of a `struct flock`: from `base`, which `l_whence` says, `l_start` on, `l_len` bytes, where 0 is to the end
/// and less than 0 is before the start.
pub fn range(base: u64, start: i64, len: i64) -> Result<(u64, u64)> {
    let start = i128::from(base) + i128::from(start);
    let (start, end) = match len {
        0 => (start, i128::from(EVER)),
        1.. => (start, start + i128::from(len)),
        _ => (start + i128::from(len), start),
    };
    if start < 0 {
        return Err(Errno::Einval);
    }
    if start > i128::from(i64::MAX) || end > i128::from(EVER) {
        return Err(Errno::Eoverflow);
    }
    Ok((start as u64, end as u64))
}

/// The locks on one file.
pub struct FileLocks {
    held: SpinLock<Held>,
    changed: WaitQueue,
}

struct Held {
    /// Sorted by their starts.
    ranges: Vec<RangeLock>,
    whole: Vec<(usize, bool)>,
}

impl FileLocks {
    pub(super) const fn new() -> Self {
        let held = Held { ranges: Vec::new(), whole: Vec::new() };
        Self { held: SpinLock::new(Rank::FileLocks, held), changed: WaitQueue::new() }
    }

    /// Who keeps `wanted` from being set (`F_GETLK`): the first in the file.
    pub fn blocker(&self, wanted: &RangeLock) -> Option<RangeLock> {
        self.held.lock().blocker(wanted)
    }

    /// Sets it, or refuses with EAGAIN.
    pub fn try_set(&self, wanted: &RangeLock) -> Result<()> {
        let mut held = self.held.lock();
        if held.blocker(wanted).is_some() {
            return Err(Errno::Eagain);
        }
        let downgrades = held.set(wanted.owner, wanted.start, wanted.end, Some(wanted.exclusive))?;
        drop(held);
        if downgrades {
            self.changed.wake_all();
        }
        Ok(())
    }

    /// Sets it, when that is possible. ERESTARTSYS if a signal comes first.
    pub fn set(&self, wanted: &RangeLock) -> Result<()> {
        let mut outcome = Err(Errno::Eagain);
        let mut waits = Waits::new();
        let attempt = || {
            outcome = self.try_set(wanted);
            if outcome != Err(Errno::Eagain) {
                return true;
            }
            let blocker = self.blocker(wanted).map(|lock| lock.owner);
            if let (LockOwner::Process { id, .. }, Some(LockOwner::Process { id: other, .. })) =
                (wanted.owner, blocker)
                && let Err(error) = waits.wait_for(id, other)
            {
                outcome = Err(error);
                return true;
            }
            false
        };
        self.changed.wait_or_signal(attempt, NEVER)?;
        outcome
    }

    /// Gives a range back, whatever of it the owner has.
    pub fn unset(&self, owner: LockOwner, start: u64, end: u64) -> Result<()> {
        self.held.lock().set(owner, start, end, None)?;
        self.changed.wake_all();
        Ok(())
    }

    /// All ranges of an owner who ends, or closes the file.
    pub fn owner_gone(&self, owner: LockOwner) {
        {
            let mut held = self.held.lock();
            if held.ranges.is_empty() {
                return;
            }
            held.ranges.retain(|lock| !lock.owner.is(owner));
        }
        self.changed.wake_all();
    }

    /// `flock`: `None` gives back, else shared or exclusive; `wait`: until it can be had, or a signal comes
    /// (ERESTARTSYS). Going from one to the other gives
    /// the old one back first, as on Linux.
    pub fn flock(&self, file: &File, exclusive: Option<bool>, wait: bool) -> Result<()> {
        let owner = from_ref(file).addr();
        {
            let mut held = self.held.lock();
            if exclusive.is_some()
                && held.whole.iter().any(|&(of, how)| of == owner && Some(how) == exclusive)
            {
                return Ok(());
            }
            held.whole.retain(|&(of, _)| of != owner);
        }
        self.changed.wake_all();
        let Some(exclusive) = exclusive else { return Ok(()) };
        let mut outcome = Err(Errno::Eagain);
        let mut attempt = || {
            let mut held = self.held.lock();
            outcome = if held.whole.iter().any(|&(_, other)| exclusive || other) {
                Err(Errno::Eagain)
            } else {
                room::reserve(&mut held.whole, 1).map_err(|_| Errno::Enolck)
            };
            if outcome.is_ok() {
                held.whole.push((owner, exclusive));
            }
            outcome != Err(Errno::Eagain)
        };
        if wait {
            self.changed.wait_or_signal(attempt, NEVER)?;
        } else {
            attempt();
        }
        outcome
    }

    /// An open file is gone, and with it what was its own.
    pub(super) fn file_closed(&self, file: &File) {
        let owner = from_ref(file).addr();
        {
            let mut held = self.held.lock();
            if held.whole.is_empty() && held.ranges.is_empty() {
                return;
            }
            held.whole.retain(|&(of, _)| of != owner);
            held.ranges.retain(|lock| !lock.owner.is(LockOwner::File(owner)));
        }
        self.changed.wake_all();
    }

    /// For `/proc/locks`.
    pub fn for_each(&self, mut look: impl FnMut(&RangeLock)) {
        self.held.lock().ranges.iter().for_each(&mut look);
    }
}

impl Held {
    fn blocker(&self, wanted: &RangeLock) -> Option<RangeLock> {
        self.ranges.iter().find(|lock| lock.conflicts(wanted)).copied()
    }

    /// Gives the owner that range in that way, or takes it away; nobody else is in the way. Whether somebody who waits might
    /// go on.
    fn set(&mut self, owner: LockOwner, start: u64, end: u64, exclusive: Option<bool>) -> Result<bool> {
        // One that is cut in the middle becomes two, and there is the new one.
        room::reserve(&mut self.ranges, 2).map_err(|_| Errno::Enolck)?;
        let (mut start, mut end) = (start, end);
        let (whole_start, whole_end) = (start, end);
        let (mut before, mut behind) = (None, None);
        let mut weaker = false;
        self.ranges.retain(|lock| {
            if !lock.owner.is(owner) || lock.end < start || end < lock.start {
                return true;
            }
            if Some(lock.exclusive) == exclusive {
                // Joined with it, also where they only touch.
                start = start.min(lock.start);
                end = end.max(lock.end);
                return false;
            }
            if !lock.overlaps(whole_start, whole_end) {
                return true;
            }
            weaker |= lock.exclusive;
            if lock.start < whole_start {
                before = Some(RangeLock { end: whole_start, ..*lock });
            }
            if whole_end < lock.end {
                behind = Some(RangeLock { start: whole_end, ..*lock });
            }
            false
        });
        let new = exclusive.map(|exclusive| RangeLock { owner, start, end, exclusive });
        for lock in [before, new, behind].into_iter().flatten() {
            let at = self.ranges.partition_point(|other| other.start <= lock.start);
            self.ranges.insert(at, lock);
        }
        Ok(weaker)
    }
}

/// Which process waits for which.
static WAITS: SpinLock<Vec<(u64, u64)>> = SpinLock::new(Rank::LockWaits, Vec::new());

/// Whether a process waits, for tests.
#[cfg(test)]
pub(super) fn waiting(id: u64) -> bool {
    WAITS.lock().iter().any(|&(who, _)| who == id)
}

/// One process's wait, for as long as it lasts.
struct Waits(Option<(u64, u64)>);

impl Waits {
    const fn new() -> Self {
        Self(None)
    }

    fn forget(&mut self, all: &mut Vec<(u64, u64)>) {
        if let Some(mine) = self.0.take()
            && let Some(at) = all.iter().position(|&wait| wait == mine)
        {
            all.swap_remove(at);
        }
    }

    /// Notes that `id` waits for `other`, unless that one waits for `id`, directly or not.
    fn wait_for(&mut self, id: u64, other: u64) -> Result<()> {
        let mut all = WAITS.lock();
        self.forget(&mut all);
        // A process has threads, each of which may wait for another one: so all ways are gone.
        let mut ends: Vec<u64> = room::with_room(all.len() + 1).map_err(|_| Errno::Enolck)?;
        ends.push(other);
        let mut seen = 0;
        while let Some(&at) = ends.get(seen) {
            if at == id {
                return Err(Errno::Edeadlk);
            }
            for &(_, next) in all.iter().filter(|&&(who, _)| who == at) {
                if !ends.contains(&next) {
                    ends.push(next);
                }
            }
            seen += 1;
        }
        room::reserve(&mut all, 1).map_err(|_| Errno::Enolck)?;
        all.push((id, other));
        self.0 = Some((id, other));
        Ok(())
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.forget(&mut WAITS.lock());
        }
    }
}
