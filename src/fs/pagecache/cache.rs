//! All mappings together: how many pages there are, who has dirty ones, and whose turn it is to give some back.
//!
//! A mapping is in the list of members from when it first gets a page from its backing, and in the queue of dirty ones from
//! when it gets its first dirty page until somebody takes it out to write them. Nobody uses a member without marking it as
//! busy under the list's lock; who drops a mapping takes it out of both lists and then waits until it is not busy. So a
//! member that is found is there.

extern crate alloc;

use super::env::{Env, Error, FileId};
use super::limits::{BACKGROUND_PERCENT, EXPIRE_NS, LIMIT_PERCENT, Limits, PERIOD_NS, Pace};
use crate::sync::parker::NEVER;
use crate::sync::{Rank, SpinLock, WaitQueue};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

/// Queues for those who wait for a page. Two pages may share one.
const QUEUES: usize = 64;
/// The write-back thread sleeps at least that long.
const PERIOD_LEAST_NS: u64 = 1_000_000;
/// Pages of a mapping that are written before it is another's turn.
const TURN: u64 = 1024;
/// Pages that a writer writes when there is too much.
const THROTTLED: u64 = 64;
/// How often he does that before he may go on.
const SHARES: usize = 8;

/// Pages of all mappings.
#[derive(Debug, Default)]
pub struct Total {
    /// Of files with a backing that keeps them.
    pub pages: AtomicU64,
    /// Of files that are nowhere else.
    pub kept: AtomicU64,
    pub dirty: AtomicU64,
    pub write_back: AtomicU64,
    /// Pages written, and given back, since the start.
    pub written: AtomicU64,
    pub reclaimed: AtomicU64,
}

impl Total {
    const fn new() -> Self {
        Self {
            pages: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            dirty: AtomicU64::new(0),
            write_back: AtomicU64::new(0),
            written: AtomicU64::new(0),
            reclaimed: AtomicU64::new(0),
        }
    }

    pub(super) fn add(total: &AtomicU64, before: u64, after: u64) {
        if before != after {
            total.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Dirty, or on the way. Sums may be off by what is under way on other CPUs, below zero too.
    pub fn unwritten(&self) -> u64 {
        let sum = self.dirty.load(Ordering::Relaxed).wrapping_add(self.write_back.load(Ordering::Relaxed));
        u64::try_from(sum as i64).unwrap_or(0)
    }
}

/// What the cache asks of a mapping.
pub(super) trait Member: Send + Sync {
    /// Takes out up to `goal` clean pages that nobody uses; returns how many, and whether it is the next one's turn. Does
    /// not sleep, nor wait for a lock.
    fn reclaim(&self, goal: u64, waits: bool) -> (u64, bool);
    /// Writes up to `budget` dirty pages; returns how many.
    fn write_some(&self, budget: u64) -> u64;
    /// Writes all of them, and waits.
    fn write_all(&self);
    fn dirty(&self) -> u64;
    fn membership(&self) -> &Membership;
}

/// A mapping's part in the lists.
#[derive(Default)]
pub struct Membership {
    /// Who uses it and has no other hold on it.
    busy: AtomicUsize,
    joined: AtomicBool,
    /// Where in the list. With this and `queued`: under the list's lock.
    place: AtomicUsize,
    queued: AtomicBool,
    dirty_since_ns: AtomicU64,
}

impl Membership {
    pub const fn new() -> Self {
        Self {
            busy: AtomicUsize::new(0),
            joined: AtomicBool::new(false),
            place: AtomicUsize::new(0),
            queued: AtomicBool::new(false),
            dirty_since_ns: AtomicU64::new(0),
        }
    }
}

#[derive(Clone, Copy)]
struct Pointer(NonNull<dyn Member>);

// SAFETY: members are Send and Sync.
unsafe impl Send for Pointer {}

impl Pointer {
    fn is(self, member: &dyn Member) -> bool {
        core::ptr::addr_eq(self.0.as_ptr(), member)
    }
}

struct List {
    members: Vec<Pointer>,
    /// Those that were dirty first come first. There is room for all members.
    dirty: VecDeque<Pointer>,
    hand: usize,
}

/// Those who wait for a member not to be busy any more.
struct Leaving {
    queue: WaitQueue,
    count: AtomicUsize,
}

/// A member that stays while this does.
struct Busy<'a> {
    member: Pointer,
    leaving: &'a Leaving,
}

impl<'a> Busy<'a> {
    /// The list's lock is held, and the member in a list.
    fn new(member: Pointer, leaving: &'a Leaving) -> Self {
        // SAFETY: it is in a list, under whose lock this happens, so it has not been dropped.
        unsafe { member.0.as_ref() }.membership().busy.fetch_add(1, Ordering::Relaxed);
        Self { member, leaving }
    }

    fn get(&self) -> &dyn Member {
        // SAFETY: busy, and so not dropped before this.
        unsafe { self.member.0.as_ref() }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let leaving = self.leaving;
        // The member may be gone as soon as it is not busy; those who wait for that are the cache's. No lock is taken if
        // there are none: who gives memory back may hold any.
        let last = self.get().membership().busy.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && leaving.count.load(Ordering::SeqCst) != 0 {
            leaving.queue.wake_all();
        }
    }
}

/// The cache. One for the whole system, and one for each test.
pub struct Cache<E: Env> {
    pub env: E,
    pub total: Total,
    list: SpinLock<List>,
    queues: [WaitQueue; QUEUES],
    leaving: Leaving,
    /// The write-back thread.
    work: WaitQueue,
    /// Writers, while there is too much.
    throttled: WaitQueue,
    /// Somebody waits there.
    throttling: AtomicUsize,
    background_percent: AtomicU64,
    limit_percent: AtomicU64,
    expire_ns: AtomicU64,
    /// The write-back thread is to look at its times.
    hurried: AtomicBool,
    period_ns: AtomicU64,
}

impl<E: Env> Cache<E> {
    pub const fn new(env: E) -> Self {
        Self {
            env,
            total: Total::new(),
            list: SpinLock::new(
                Rank::PageCache,
                List { members: Vec::new(), dirty: VecDeque::new(), hand: 0 },
            ),
            queues: [const { WaitQueue::new() }; QUEUES],
            leaving: Leaving { queue: WaitQueue::new(), count: AtomicUsize::new(0) },
            work: WaitQueue::new(),
            throttled: WaitQueue::new(),
            throttling: AtomicUsize::new(0),
            background_percent: AtomicU64::new(BACKGROUND_PERCENT),
            limit_percent: AtomicU64::new(LIMIT_PERCENT),
            expire_ns: AtomicU64::new(EXPIRE_NS),
            hurried: AtomicBool::new(false),
            period_ns: AtomicU64::new(PERIOD_NS),
        }
    }

    /// `vm.dirty_background_ratio` and `vm.dirty_ratio`.
    pub fn set_percent(&self, background: u64, limit: u64) {
        self.background_percent.store(background.min(100), Ordering::Relaxed);
        self.limit_percent.store(limit.min(100), Ordering::Relaxed);
    }

    /// `vm.dirty_expire_centisecs` and `vm.dirty_writeback_centisecs`, in nanoseconds; and has the write-back thread look.
    pub fn set_times(&self, expire_ns: u64, period_ns: u64) {
        self.expire_ns.store(expire_ns, Ordering::Relaxed);
        self.period_ns.store(period_ns, Ordering::Relaxed);
        self.hurried.store(true, Ordering::SeqCst);
        self.work.wake_all();
    }

    /// When the write-back thread looks next, if nobody wakes it; not at all as long as nothing is dirty.
    pub fn next_look(&self) -> u64 {
        if self.list.lock().dirty.is_empty() {
            return NEVER;
        }
        self.env.now_ns().saturating_add(self.period_ns.load(Ordering::Relaxed).max(PERIOD_LEAST_NS))
    }

    /// In pages, as they are now.
    pub fn limits(&self) -> Limits {
        let (background, limit) =
            (self.background_percent.load(Ordering::Relaxed), self.limit_percent.load(Ordering::Relaxed));
        Limits::of(self.env.frames(), background, limit)
    }

    fn pace(&self) -> Pace {
        self.limits().pace(self.total.unwritten())
    }

    /// Whether there is more that is dirty than the write-back thread leaves alone.
    pub fn is_pressed(&self) -> bool {
        self.pace() != Pace::Free
    }

    pub(super) fn queue(&self, file: FileId, page: u64) -> &WaitQueue {
        // Neighbours in a file get different queues, and so do files, whose addresses are multiples of something.
        let hash = (file.0 as u64 ^ page).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        &self.queues[hash as usize % QUEUES]
    }

    // ---- the lists ----

    /// Makes a mapping a member. ENOMEM.
    pub(super) fn join(&self, member: &(dyn Member + 'static)) -> Result<(), Error> {
        let membership = member.membership();
        if membership.joined.load(Ordering::Acquire) {
            return Ok(());
        }
        loop {
            // Memory is asked for without the lock, which who gives some back wants too.
            let (len, room) = {
                let list = self.list.lock();
                (list.members.len(), list.members.capacity().min(list.dirty.capacity()))
            };
            let mut larger = None;
            if len == room {
                let (mut members, mut dirty) = (Vec::new(), VecDeque::new());
                let more = (2 * len).max(16);
                members.try_reserve_exact(more).map_err(|_| Error::NoMemory)?;
                dirty.try_reserve_exact(more).map_err(|_| Error::NoMemory)?;
                larger = Some((members, dirty));
            }
            let mut list = self.list.lock();
            if let Some((mut members, mut dirty)) = larger.take() {
                if members.capacity() > list.members.capacity() {
                    members.extend_from_slice(&list.members);
                    dirty.extend(list.dirty.iter().copied());
                    core::mem::swap(&mut list.members, &mut members);
                    core::mem::swap(&mut list.dirty, &mut dirty);
                }
                larger = Some((members, dirty));
            }
            let room = list.members.capacity().min(list.dirty.capacity());
            let joined = list.members.len() < room;
            if joined && !membership.joined.swap(true, Ordering::AcqRel) {
                membership.place.store(list.members.len(), Ordering::Relaxed);
                list.members.push(Pointer(NonNull::from(member)));
            }
            drop(list);
            drop(larger);
            if joined {
                return Ok(());
            }
        }
    }

    /// Takes a mapping out, before it is dropped, and waits until nobody uses it.
    pub(super) fn leave(&self, member: &dyn Member) {
        let membership = member.membership();
        if !membership.joined.load(Ordering::Acquire) {
            return;
        }
        {
            let mut list = self.list.lock();
            let place = membership.place.load(Ordering::Relaxed);
            list.members.swap_remove(place);
            membership.joined.store(false, Ordering::Relaxed);
            if let Some(moved) = list.members.get(place) {
                // SAFETY: in the list, whose lock is held.
                unsafe { moved.0.as_ref() }.membership().place.store(place, Ordering::Relaxed);
            }
            if membership.queued.load(Ordering::Relaxed) {
                list.dirty.retain(|other| !other.is(member));
            }
        }
        let is_idle = || membership.busy.load(Ordering::SeqCst) == 0;
        if !is_idle() {
            self.leaving.count.fetch_add(1, Ordering::SeqCst);
            self.leaving.queue.wait_until(is_idle);
            self.leaving.count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// A member has a dirty page, its first.
    pub(super) fn became_dirty(&self, member: &(dyn Member + 'static)) {
        let membership = member.membership();
        let now = self.env.now_ns();
        let is_first = {
            let mut list = self.list.lock();
            let was_idle = list.dirty.is_empty();
            let is_new = Self::queue_dirty(&mut list, Pointer(NonNull::from(member)), membership);
            if is_new {
                membership.dirty_since_ns.store(now, Ordering::Relaxed);
            }
            was_idle && is_new
        };
        if is_first {
            // The write-back thread looks at no clock as long as there is nothing to be written.
            self.hurried.store(true, Ordering::SeqCst);
            self.work.wake_all();
        }
    }

    /// Puts a member into the queue, if it is not in it, nor about to be dropped.
    fn queue_dirty(list: &mut List, member: Pointer, membership: &Membership) -> bool {
        let new = membership.joined.load(Ordering::Relaxed) && !membership.queued.load(Ordering::Relaxed);
        if new {
            membership.queued.store(true, Ordering::Relaxed);
            list.dirty.push_back(member);
        }
        new
    }

    /// There is less that is dirty or on its way.
    pub(super) fn became_clean(&self) {
        // Against the addition in `balance`: this sees that somebody waits, or he sees the new sums.
        fence(Ordering::SeqCst);
        if self.throttling.load(Ordering::Relaxed) != 0 {
            self.throttled.wake_all();
        }
    }

    /// The member that has been dirty for longest, out of the queue, if `wanted` says so of its time.
    fn first_dirty(&self, wanted: impl Fn(u64) -> bool) -> Option<Busy<'_>> {
        let mut list = self.list.lock();
        let first = *list.dirty.front()?;
        // SAFETY: in the list, whose lock is held.
        let membership = unsafe { first.0.as_ref() }.membership();
        if !wanted(membership.dirty_since_ns.load(Ordering::Relaxed)) {
            return None;
        }
        list.dirty.pop_front();
        membership.queued.store(false, Ordering::Relaxed);
        Some(Busy::new(first, &self.leaving))
    }

    /// Writes some of a member's pages that was taken out of the queue, and puts it back if that was not all.
    fn write_turn(&self, busy: &Busy<'_>, budget: u64) -> u64 {
        let member = busy.get();
        let written = member.write_some(budget);
        if member.dirty() != 0 {
            let mut list = self.list.lock();
            Self::queue_dirty(&mut list, busy.member, member.membership());
        }
        written
    }

    // ---- write-back ----

    /// What the write-back thread does each time that it wakes up: writes what has been dirty for long, and, if there is
    /// more than the limit for that, goes on. Returns pages written. May be called by several threads.
    pub fn write_back_pass(&self) -> u64 {
        let (now, mut written) = (self.env.now_ns(), 0);
        let expire = self.expire_ns.load(Ordering::Relaxed);
        // Each member has its turn once for its age; what comes back to the queue meanwhile comes with a later time.
        let members = self.list.lock().dirty.len();
        for _ in 0..members {
            let Some(busy) = self.first_dirty(|since| Limits::is_due(since, now, expire)) else { break };
            busy.get().membership().dirty_since_ns.store(now, Ordering::Relaxed);
            written += self.write_turn(&busy, u64::MAX);
        }
        while self.pace() != Pace::Free {
            let Some(busy) = self.first_dirty(|_| true) else { break };
            let some = self.write_turn(&busy, TURN);
            if some == 0 {
                break;
            }
            written += some;
        }
        written
    }

    /// Sleeps until there is something for [`write_back_pass`](Self::write_back_pass) to do, or till `deadline_ns`.
    pub fn wait_for_work(&self, deadline_ns: u64) {
        self.work.wait_until_deadline(
            || self.pace() != Pace::Free || self.hurried.swap(false, Ordering::SeqCst),
            deadline_ns,
        );
    }

    /// Writes everything that is dirty now, and waits until it has been written: `sync`. Errors are told to those who have
    /// the files open.
    pub fn sync(&self) {
        let mut left = self.list.lock().dirty.len();
        while let Some(busy) = self.first_dirty(|_| left != 0) {
            left -= 1;
            busy.get().write_all();
            self.write_turn(&busy, 0);
        }
        // And those whose pages are on their way since before.
        let mut at = 0;
        loop {
            let busy = {
                let list = self.list.lock();
                let Some(&member) = list.members.get(at) else { return };
                Busy::new(member, &self.leaving)
            };
            busy.get().write_all();
            at += 1;
        }
    }

    /// Called by who makes pages dirty and must not sleep: wakes the write-back thread if it is needed.
    pub(super) fn nudge(&self) {
        if self.pace() != Pace::Free {
            self.work.wake_one();
        }
    }

    /// Called by who makes pages dirty, now and then, with no lock that spins. There may be too much that is dirty: then he
    /// writes some himself, of his own file first, until there is not.
    ///
    /// His share is bounded: what others make dirty meanwhile is theirs.
    pub(super) fn balance(&self, own: &dyn Member) {
        for _ in 0..SHARES {
            match self.pace() {
                Pace::Free => return,
                Pace::Background => {
                    self.work.wake_one();
                    return;
                }
                Pace::Throttled => {}
            }
            self.work.wake_one();
            if own.write_some(THROTTLED) != 0 {
                continue;
            }
            if let Some(busy) = self.first_dirty(|_| true) {
                if self.write_turn(&busy, THROTTLED) != 0 {
                    continue;
                }
            }
            if self.total.write_back.load(Ordering::Relaxed) == 0 {
                // It cannot be written, or others are about to. Whoever comes next tries again.
                return;
            }
            self.throttling.fetch_add(1, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            self.throttled.wait_until(|| {
                self.pace() != Pace::Throttled || self.total.write_back.load(Ordering::Relaxed) == 0
            });
            self.throttling.fetch_sub(1, Ordering::Relaxed);
        }
    }

    // ---- reclaim ----

    /// Pages that could be given back, roughly: the shrinker's count.
    pub fn reclaimable(&self) -> u64 {
        self.total.pages.load(Ordering::Relaxed).saturating_sub(self.total.unwritten())
    }

    /// Gives back about `goal` clean pages that have not been used lately; returns how many. Does not sleep, allocates
    /// nothing, and waits for no lock: whoever asks may hold one.
    pub fn reclaim(&self, goal: u64) -> u64 {
        self.give_back(goal, false)
    }

    /// The same for who holds no lock that spins: it waits for those.
    pub fn reclaim_waiting(&self, goal: u64) -> u64 {
        self.give_back(goal, true)
    }

    fn give_back(&self, goal: u64, waits: bool) -> u64 {
        let list = || if waits { Some(self.list.lock()) } else { self.list.try_lock() };
        let mut freed = 0;
        // Three times around at most: after two, whoever is passed over is used, or was used in between.
        let Some(mut left) = list().map(|list| 3 * list.members.len()) else { return 0 };
        while freed < goal && left != 0 {
            let Some(list_now) = list() else { break };
            if list_now.members.is_empty() {
                break;
            }
            let at = list_now.hand % list_now.members.len();
            let busy = Busy::new(list_now.members[at], &self.leaving);
            drop(list_now);
            let (some, next) = busy.get().reclaim(goal - freed, waits);
            freed += some;
            if next {
                left -= 1;
                let Some(mut list_now) = list() else { break };
                list_now.hand = at + 1;
            }
        }
        self.total.reclaimed.fetch_add(freed, Ordering::Relaxed);
        freed
    }
}
