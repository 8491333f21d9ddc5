//! What the scheduler keeps of a thread. It stands in the thread; run queues link it and allocate nothing.
//!
//! The first cache line is what a run queue reads while it walks a tree; the second is what changes when a thread
//! begins or ends to run; the rest is looked at when it wakes up or is asked about.

use super::cell::{Byte, Half, Link, Word};
use super::weight;
use crate::cpu_set::{CpuSet, SharedCpuSet};

/// How a thread is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Real-time, until it sleeps or yields; priority 1 to 99, the higher goes first.
    Fifo(u8),
    /// Real-time, taking turns with others of its priority.
    RoundRobin(u8),
    /// Its share of the CPU, by nice value, -20 to 19.
    Normal(i8),
    /// The same, and never in a hurry when it wakes up.
    Batch(i8),
    /// What hardly anybody else wants.
    Idle,
}

impl Policy {
    /// 0 if it is not a real-time one.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Fifo(rank) | Self::RoundRobin(rank) => rank,
            _ => 0,
        }
    }

    pub fn weight(self) -> u32 {
        match self {
            Self::Normal(nice) | Self::Batch(nice) => weight::of_nice(nice),
            Self::Fifo(_) | Self::RoundRobin(_) => weight::NICE_0,
            Self::Idle => weight::IDLE,
        }
    }

    const fn coded(self) -> (u8, u8) {
        match self {
            Self::Fifo(rank) => (0, rank),
            Self::RoundRobin(rank) => (1, rank),
            Self::Normal(nice) => (2, nice as u8),
            Self::Batch(nice) => (3, nice as u8),
            Self::Idle => (4, 0),
        }
    }

    const fn decoded(kind: u8, value: u8) -> Self {
        match kind {
            0 => Self::Fifo(value),
            1 => Self::RoundRobin(value),
            2 => Self::Normal(value as i8),
            3 => Self::Batch(value as i8),
            _ => Self::Idle,
        }
    }
}

/// Where an entity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// In no run queue.
    Away,
    /// In one, waiting for its turn.
    Queued,
    /// It is what its CPU runs.
    Running,
}

/// The request of a thread that has asked for nothing else: how long it runs before others get their turn.
pub const SLICE_NS: u64 = 3_000_000;
/// The shortest and longest that may be asked for.
pub const SLICES_NS: core::ops::RangeInclusive<u64> = 20_000..=100_000_000;
/// How long one of several round-robin threads of a priority runs.
pub const QUANTUM_NS: u64 = 100_000_000;

/// See the head of this file.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Entity {
    // Links of the fair class's tree; `left` and `right` are also those of a real-time list.
    pub(super) parent: Link,
    pub(super) left: Link,
    pub(super) right: Link,
    /// Virtual time at which its request is to be fulfilled. While it moves between CPUs: how far that is off.
    pub(super) deadline: Word,
    /// What it has had, in virtual time. Of use while it is in a queue.
    pub(super) vruntime: Word,
    /// The least `vruntime` in its subtree.
    pub(super) least: Word,
    pub(super) weight: Half,
    /// Levels of its subtree.
    pub(super) height: Byte,
    /// Real-time priority; 0 for all others.
    pub(super) rank: Byte,
    /// [`Policy::coded`]: which one, and with what.
    kind: Byte,
    value: Byte,
    /// [`weight::rate`] of its weight.
    pub(super) rate: Word,

    slice_ns: Word,
    /// Nanoseconds that it has run, up to when its CPU last looked.
    pub(super) cpu_ns: Word,
    /// What it is owed, in virtual time, while it is in no queue; an i64, negative if it has had too much.
    pub(super) lag: Word,
    /// What is left of a round-robin thread's turn.
    pub(super) quantum_ns: Word,
    /// When it last was put into a queue, or went out to sleep.
    pub(super) since_ns: Word,
    /// The CPU whose queue it is in, or was last.
    pub(super) cpu: Half,
    pub(super) whereabouts: Byte,

    /// Names the thread in traces.
    id: u32,
    allowed: SharedCpuSet,
    statistics: Counters,
}

#[derive(Debug)]
pub(super) struct Counters {
    pub wakeups: Word,
    pub migrations: Word,
    pub voluntary: Word,
    pub involuntary: Word,
    pub waited_ns: Word,
    pub longest_wait_ns: Word,
}

/// How a thread has fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    pub wakeups: u64,
    /// Times that it went on on another CPU than before.
    pub migrations: u64,
    /// Switches because it slept, yielded or ended, and because others were to run.
    pub voluntary: u64,
    pub involuntary: u64,
    /// Time in queues, all together and at once.
    pub waited_ns: u64,
    pub longest_wait_ns: u64,
}

impl Entity {
    /// Of a thread that is in no queue yet, and may run on all CPUs.
    pub fn new(id: u32, policy: Policy) -> Self {
        let entity = Self {
            parent: Link::nobody(),
            left: Link::nobody(),
            right: Link::nobody(),
            deadline: Word::new(0),
            vruntime: Word::new(0),
            least: Word::new(0),
            weight: Half::new(0),
            height: Byte::new(0),
            rank: Byte::new(0),
            kind: Byte::new(0),
            value: Byte::new(0),
            rate: Word::new(0),
            slice_ns: Word::new(SLICE_NS),
            cpu_ns: Word::new(0),
            lag: Word::new(0),
            quantum_ns: Word::new(QUANTUM_NS),
            since_ns: Word::new(0),
            cpu: Half::new(0),
            whereabouts: Byte::new(Whereabouts::Away as u8),
            id,
            allowed: SharedCpuSet::new(CpuSet::ALL),
            statistics: Counters {
                wakeups: Word::new(0),
                migrations: Word::new(0),
                voluntary: Word::new(0),
                involuntary: Word::new(0),
                waited_ns: Word::new(0),
                longest_wait_ns: Word::new(0),
            },
        };
        entity.put_policy(policy);
        entity
    }

    pub const fn id(&self) -> u32 {
        self.id
    }

    pub fn policy(&self) -> Policy {
        Policy::decoded(self.kind.get(), self.value.get())
    }

    /// Another policy, for an entity that is in no queue; else it is `RunQueue::set_policy`. What it is owed
    /// stays the same in real time.
    ///
    /// # Panics
    /// If a real-time priority is not 1 to 99.
    pub fn put_policy(&self, policy: Policy) {
        let is_real_time = matches!(policy, Policy::Fifo(_) | Policy::RoundRobin(_));
        assert!(is_real_time == (1..=99).contains(&policy.rank()), "a priority of {}", policy.rank());
        debug_assert!(self.whereabouts() == Whereabouts::Away, "in a queue");
        let (kind, value) = policy.coded();
        self.kind.set(kind);
        self.value.set(value);
        self.rank.set(policy.rank());
        let (old, new) = (self.weight.get(), policy.weight());
        let lag = self.lag.get() as i64;
        self.lag.set((lag * i64::from(old) / i64::from(new)) as u64);
        self.weight.set(new);
        self.rate.set(weight::rate(new));
        self.quantum_ns.set(QUANTUM_NS);
    }

    /// Whether it never goes before others only because it woke up.
    #[inline]
    pub(super) fn is_patient(&self) -> bool {
        self.kind.get() >= Policy::Batch(0).coded().0
    }

    #[inline]
    pub(super) fn is_idle_class(&self) -> bool {
        self.kind.get() == Policy::Idle.coded().0
    }

    #[inline]
    pub(super) fn takes_turns(&self) -> bool {
        self.kind.get() == Policy::RoundRobin(0).coded().0
    }

    #[inline]
    pub(super) fn is_fair(&self) -> bool {
        self.rank.get() == 0
    }

    #[inline]
    pub fn slice_ns(&self) -> u64 {
        self.slice_ns.get()
    }

    /// Another length of requests, from the next one on: shorter ones are served sooner, not more. Kept within
    /// [`SLICES_NS`].
    pub fn set_slice(&self, slice_ns: u64) {
        self.slice_ns.set(slice_ns.clamp(*SLICES_NS.start(), *SLICES_NS.end()));
    }

    /// A request's length in virtual time.
    #[inline]
    pub(super) fn virtual_slice(&self) -> u64 {
        weight::virtual_of(self.slice_ns.get(), self.rate.get())
    }

    /// The CPUs that it may run on.
    pub fn allowed(&self) -> CpuSet {
        self.allowed.get()
    }

    /// The same, as it stands there.
    #[inline]
    pub(super) const fn allowed_set(&self) -> &SharedCpuSet {
        &self.allowed
    }

    #[inline]
    pub fn may_run_on(&self, cpu: usize) -> bool {
        self.allowed.contains(cpu)
    }

    /// Says where it may run. Whoever changes that for an entity in a queue that is no longer among them moves it away
    /// before it lets the queue's lock go.
    pub fn set_allowed(&self, allowed: &CpuSet) {
        self.allowed.set(allowed);
    }

    /// The CPU whose queue it is in, or was last.
    #[inline]
    pub fn cpu(&self) -> usize {
        self.cpu.get() as usize
    }

    /// It belongs to that CPU from now on. It is in no queue.
    #[inline]
    pub fn send_to(&self, cpu: usize) {
        debug_assert!(self.whereabouts() == Whereabouts::Away, "in a queue");
        if self.cpu.get() != cpu as u32 {
            // A thread that has not run yet does not move, it begins.
            self.statistics.migrations.add(u64::from(self.has_run()));
            self.cpu.set(cpu as u32);
        }
    }

    fn has_run(&self) -> bool {
        self.statistics.voluntary.get() + self.statistics.involuntary.get() > 0
    }

    pub fn whereabouts(&self) -> Whereabouts {
        match self.whereabouts.get() {
            0 => Whereabouts::Away,
            1 => Whereabouts::Queued,
            _ => Whereabouts::Running,
        }
    }

    /// Nanoseconds on CPUs so far, without what its CPU has not looked at yet (`RunQueue::account` does).
    pub fn cpu_ns(&self) -> u64 {
        self.cpu_ns.get()
    }

    pub fn statistics(&self) -> Statistics {
        let Counters { wakeups, migrations, voluntary, involuntary, waited_ns, longest_wait_ns } =
            &self.statistics;
        Statistics {
            wakeups: wakeups.get(),
            migrations: migrations.get(),
            voluntary: voluntary.get(),
            involuntary: involuntary.get(),
            waited_ns: waited_ns.get(),
            longest_wait_ns: longest_wait_ns.get(),
        }
    }

    #[inline]
    pub(super) const fn counters(&self) -> &Counters {
        &self.statistics
    }

    #[inline]
    pub(super) fn put_whereabouts(&self, whereabouts: Whereabouts) {
        self.whereabouts.set(whereabouts as u8);
    }
}

/// An entity is equal to itself.
impl PartialEq for Entity {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Eq for Entity {}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn what_the_tree_reads_is_one_cache_line() {
        assert_eq!(offset_of!(Entity, rate) + 8, 64);
        assert!(offset_of!(Entity, whereabouts) < 128);
        assert_eq!(size_of::<Entity>(), 256);
    }

    #[test]
    fn policies_come_back_as_they_went_in() {
        let entity = Entity::new(7, Policy::Normal(0));
        let all =
            [Policy::Fifo(99), Policy::RoundRobin(1), Policy::Normal(-20), Policy::Batch(19), Policy::Idle];
        for policy in all {
            entity.put_policy(policy);
            assert_eq!((entity.policy(), entity.rank.get()), (policy, policy.rank()));
        }
        assert_eq!(entity.id(), 7);
    }

    #[test]
    #[should_panic(expected = "a priority of 100")]
    fn a_hundredth_priority_is_refused() {
        Entity::new(0, Policy::Fifo(100));
    }

    #[test]
    fn what_is_owed_is_kept_in_real_time() {
        let entity = Entity::new(0, Policy::Normal(0));
        entity.lag.set(-1000_i64 as u64);
        entity.put_policy(Policy::Normal(5));
        assert_eq!(entity.lag.get() as i64, -1000 * 1024 / 336);
    }
}
