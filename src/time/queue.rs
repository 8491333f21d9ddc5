//! Timers: what is to be called, in the order of when. A 4-ary heap in arrays.
//!
//! Nothing is allocated here: a queue is given [`Room`] for so many timers, and may be given more, which is made
//! where memory may be had.
//!
//! Arming and cancelling move an entry along one path of the heap, O(log4 n); the earliest deadline is its
//! root. An entry is one 128-bit key, `deadline : order : slot`, so that comparing two is one subtraction,
//! timers of the same deadline come out in the order in which they were armed, and four children share a
//! cache line. What is to be called stands in the slot, which never moves, and `positions` says where in the
//! heap a slot's entry is.
//!
//! The array of the heap holds each slot's number once, always: below `len` those in use, and from there on
//! the free ones. So the next free slot is the entry at `len`, and there is no list to keep of them.
//!
//! `order` is counted up by each arming, and with the slot it is the timer's [`TimerId`]: an id of a timer
//! that has fired or was cancelled is never equal to that of the next one in its slot, until after 2^48
//! armings (nine years of a million a second).
//!
//! There is no lock in here. The owner, a CPU, keeps its queue under one that also keeps interrupts out, and
//! calls what [`TimerQueue::pop_expired`] gives it after letting go.
//!
//! Source: D. B. Johnson, "Priority queues with update and finding minimum spanning trees" (1975), on d-ary
//! heaps.

use alloc::vec::Vec;
use core::num::NonZeroU64;

/// Children of a node.
const ARITY: usize = 4;
/// Bits of an id that are the slot.
const SLOT_BITS: u32 = 16;

/// What a timer calls, with the context that it was armed with.
pub type Callback = fn(usize);

/// Names an armed timer, and none after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(u64);

impl TimerId {
    /// Of a key: its low half.
    const fn of(key: u128) -> Self {
        Self(key as u64)
    }

    /// Which slot of the queue.
    pub const fn slot(self) -> usize {
        self.0 as usize & ((1 << SLOT_BITS) - 1)
    }

    /// Which use of the queue's slots.
    pub const fn generation(self) -> u64 {
        self.0 >> SLOT_BITS
    }
}

/// As many timers are armed as there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A timer as it stands in the queue, for the monitor.
#[derive(Clone, Copy, Debug)]
pub struct Armed {
    pub id: TimerId,
    pub deadline_ns: u64,
    pub period_ns: Option<NonZeroU64>,
    pub callback: Callback,
    pub context: usize,
}

/// A timer whose time has come.
#[derive(Clone, Copy, Debug)]
pub struct Expired {
    pub id: TimerId,
    /// When it was to be called.
    pub deadline_ns: u64,
    pub callback: Callback,
    pub context: usize,
    /// For a periodic one: how many further periods have passed since, which get no call.
    pub missed: u64,
}

impl Expired {
    /// Calls what the timer was armed for. No lock of the queue may be held.
    pub fn call(&self) {
        (self.callback)(self.context);
    }
}

/// The deadline after `deadline_ns` of something periodic that is looked at `now_ns`, and how many before
/// that are past as well. Whole periods from the first deadline on, however late each look: no drift.
pub const fn next_period(deadline_ns: u64, period_ns: NonZeroU64, now_ns: u64) -> (u64, u64) {
    let period_ns = period_ns.get();
    let next = deadline_ns.saturating_add(period_ns);
    if next > now_ns {
        return (next, 0);
    }
    let missed = (now_ns - next) / period_ns + 1;
    // missed * period <= now - next + period, so neither can overflow but at the end of time.
    (next.saturating_add(missed.saturating_mul(period_ns)), missed)
}

#[derive(Clone, Copy)]
struct Slot {
    callback: Callback,
    context: usize,
    period_ns: Option<NonZeroU64>,
}

fn nothing(_context: usize) {}

/// Room for timers: what a queue keeps them in.
pub struct Room {
    /// The heap's keys, and behind them the free slots (only the bits of the slot count in those).
    keys: Vec<u128>,
    slots: Vec<Slot>,
    /// Where in `keys` a slot is; of use for those in the heap.
    positions: Vec<u16>,
}

impl Room {
    const NONE: Self = Self { keys: Vec::new(), slots: Vec::new(), positions: Vec::new() };

    /// For so many, at most 65,536; `None` if there is no memory.
    pub fn new(timers: usize) -> Option<Self> {
        assert!(timers <= 1 << SLOT_BITS, "a slot's number has 16 bits");
        let mut room = Self::NONE;
        room.keys.try_reserve_exact(timers).ok()?;
        room.slots.try_reserve_exact(timers).ok()?;
        room.positions.try_reserve_exact(timers).ok()?;
        room.keys.extend((0..timers).map(|slot| slot as u128));
        room.slots.resize(timers, Slot { callback: nothing, context: 0, period_ns: None });
        room.positions.resize(timers, 0);
        Some(room)
    }
}

/// Up to as many timers as it has been given room for, which is none at first.
pub struct TimerQueue {
    room: Room,
    /// How many of the keys are the heap.
    len: usize,
    /// Timers armed so far.
    order: u64,
}

impl Default for TimerQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl TimerQueue {
    pub const fn new() -> Self {
        Self { room: Room::NONE, len: 0, order: 0 }
    }

    /// Moves into a larger room; every timer keeps its id. Returns the room that is not used any more, which is the new one if it is
    /// no larger: to be dropped where memory may be given back.
    pub fn move_into(&mut self, mut new: Room) -> Room {
        let old = self.room();
        if new.keys.len() > old {
            new.keys[..old].copy_from_slice(&self.room.keys);
            new.slots[..old].copy_from_slice(&self.room.slots);
            new.positions[..old].copy_from_slice(&self.room.positions);
            core::mem::swap(&mut self.room, &mut new);
        }
        new
    }

    /// How many timers there is room for.
    #[inline]
    pub fn room(&self) -> usize {
        self.room.keys.len()
    }

    /// Timers armed.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Has `callback` called with `context` once the clock shows `deadline_ns`.
    #[inline]
    pub fn arm(&mut self, deadline_ns: u64, callback: Callback, context: usize) -> Result<TimerId, Full> {
        self.insert(deadline_ns, Slot { callback, context, period_ns: None })
    }

    /// The same at `first_ns`, and then each `period_ns`, until cancelled. It keeps its slot and its id, so
    /// it cannot find the queue full.
    pub fn arm_periodic(
        &mut self,
        first_ns: u64,
        period_ns: NonZeroU64,
        callback: Callback,
        context: usize,
    ) -> Result<TimerId, Full> {
        self.insert(first_ns, Slot { callback, context, period_ns: Some(period_ns) })
    }

    #[inline(always)]
    fn insert(&mut self, deadline_ns: u64, timer: Slot) -> Result<TimerId, Full> {
        let hole = self.len;
        let Some(&free) = self.room.keys.get(hole) else { return Err(Full) };
        let slot = TimerId::of(free).slot();
        self.order = self.order.wrapping_add(1);
        let id = TimerId(self.order << SLOT_BITS | slot as u64);
        self.room.slots[slot] = timer;
        self.len = hole + 1;
        self.sift_up(hole, u128::from(deadline_ns) << 64 | u128::from(id.0));
        Ok(id)
    }

    /// Takes a timer out again. False if it is no longer in: it has fired, and may be running now, or was
    /// cancelled before. A periodic one is in between its calls, and during them.
    #[inline]
    pub fn cancel(&mut self, id: TimerId) -> bool {
        match self.find(id) {
            Some(position) => {
                self.remove(position);
                true
            }
            None => false,
        }
    }

    /// When the first timer is due: what the hardware is to be set to.
    #[inline]
    pub fn next_deadline(&self) -> Option<u64> {
        if self.len == 0 { None } else { Some((self.room.keys[0] >> 64) as u64) }
    }

    /// The first of the timers that are due, if any. A periodic one goes in again for its next time after
    /// `now_ns`.
    pub fn pop_expired(&mut self, now_ns: u64) -> Option<Expired> {
        let deadline_ns = self.next_deadline().filter(|&deadline_ns| deadline_ns <= now_ns)?;
        let id = TimerId::of(self.room.keys[0]);
        let Slot { callback, context, period_ns } = self.room.slots[id.slot()];
        let missed = match period_ns {
            Some(period_ns) if deadline_ns < u64::MAX => {
                let (next_ns, missed) = next_period(deadline_ns, period_ns, now_ns);
                self.sift_down(0, u128::from(next_ns) << 64 | u128::from(id.0));
                missed
            }
            // At the end of time there is no next period.
            _ => {
                self.remove(0);
                0
            }
        };
        Some(Expired { id, deadline_ns, callback, context, missed })
    }

    /// All armed timers, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Armed> {
        self.room.keys[..self.len].iter().map(|&key| self.armed(key))
    }

    /// The one that is due next after `previous`, or first of all. Looks at every timer once, so that
    /// whoever prints them in order need not hold the lock for longer than that.
    pub fn after(&self, previous: Option<&Armed>) -> Option<Armed> {
        let is_later = |key: u128| {
            previous.is_none_or(|p| ((key >> 64) as u64, TimerId::of(key)) > (p.deadline_ns, p.id))
        };
        self.room.keys[..self.len]
            .iter()
            .copied()
            .filter(|&key| is_later(key))
            .min()
            .map(|key| self.armed(key))
    }

    fn armed(&self, key: u128) -> Armed {
        let id = TimerId::of(key);
        let Slot { callback, context, period_ns } = self.room.slots[id.slot()];
        Armed { id, deadline_ns: (key >> 64) as u64, period_ns, callback, context }
    }

    /// Where in the heap the timer is, if it still is.
    #[inline]
    fn find(&self, id: TimerId) -> Option<usize> {
        let position = usize::from(*self.room.positions.get(id.slot())?);
        let is_there = position < self.len && TimerId::of(self.room.keys[position]) == id;
        is_there.then_some(position)
    }

    /// Closes the gap with the last entry of the heap, and leaves the slot where the free ones are.
    #[inline]
    fn remove(&mut self, position: usize) {
        let end = self.len - 1;
        self.len = end;
        if position == end {
            return;
        }
        let last = self.room.keys[end];
        self.room.keys[end] = self.room.keys[position];
        if position > 0 && last < self.room.keys[(position - 1) / ARITY] {
            self.sift_up(position, last);
        } else {
            self.sift_down(position, last);
        }
    }

    #[inline]
    fn place(&mut self, position: usize, key: u128) {
        self.room.keys[position] = key;
        self.room.positions[TimerId::of(key).slot()] = position as u16;
    }

    /// Puts the key at the hole, or further up, moving down what is later.
    #[inline(always)]
    fn sift_up(&mut self, mut hole: usize, key: u128) {
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            let above = self.room.keys[parent];
            if above <= key {
                break;
            }
            self.place(hole, above);
            hole = parent;
        }
        self.place(hole, key);
    }

    /// Puts the key at the hole, or further down, moving up what is earlier.
    fn sift_down(&mut self, mut hole: usize, key: u128) {
        loop {
            let first = hole * ARITY + 1;
            if first >= self.len {
                break;
            }
            let end = (first + ARITY).min(self.len);
            let (mut child, mut least) = (first, self.room.keys[first]);
            for other in first + 1..end {
                if self.room.keys[other] < least {
                    (child, least) = (other, self.room.keys[other]);
                }
            }
            if key <= least {
                break;
            }
            self.place(hole, least);
            hole = child;
        }
        self.place(hole, key);
    }
}

#[cfg(test)]
mod tests;
