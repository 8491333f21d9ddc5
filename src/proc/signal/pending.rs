//! What has been sent and not been taken: a set of signals, and what came with each.
//!
//! A thread has such a queue for what was sent to it, a process one for what any of its threads may take. Of the first
//! 31 signals one waits at a time, and another is dropped. The real-time ones are queued, each with its information,
//! and come out in the order in which they went in. They are counted for a user and limited (`RLIMIT_SIGPENDING`):
//! whoever sends has a `C`, a charge that is given back where it is dropped.
//!
//! A signal that matters does not get lost when memory is out: without room its bit is set all the same, and it arrives
//! as one that nobody is known to have sent. Only `sigqueue` says [`Errno::Eagain`] instead, since what it carries matters.
//!
//! ```text
//!   first[RTMIN+1] ──▶ slot 3 ──▶ slot 0 ──▶ slot 7        slots: one vector, free ones in a list
//! ```

use alloc::vec::Vec;

use super::info::Info;
use super::number::{SIGNALS, Signal};
use super::set::SigSet;
use crate::errno::Errno;

/// Slots that a queue keeps when it is empty: as many as the first allocation has, so that a signal now and then is none.
const KEPT: usize = 4;

/// No slot.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Slot<C> {
    /// `None` in the list of free ones.
    entry: Option<(Info, Option<C>)>,
    next: u32,
}

/// The signals of one signal, as a list through the slots.
#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
}

impl List {
    const EMPTY: Self = Self { first: NONE, last: NONE };
}

/// A queue. Empty it holds memory for [`KEPT`] at most.
#[derive(Debug)]
pub struct Pending<C> {
    set: SigSet,
    slots: Vec<Slot<C>>,
    /// Slots that are in no free list.
    used: usize,
    free: u32,
    lists: [List; SIGNALS],
}

impl<C> Pending<C> {
    pub const fn new() -> Self {
        Self { set: SigSet::EMPTY, slots: Vec::new(), used: 0, free: NONE, lists: [List::EMPTY; SIGNALS] }
    }

    /// Which signals wait here.
    pub const fn set(&self) -> SigSet {
        self.set
    }

    /// Whether as many wait here as may.
    pub fn is_full(&self, most: usize) -> bool {
        self.used >= most
    }

    /// Whether another of this signal would be dropped.
    pub const fn has(&self, signal: Signal) -> bool {
        !signal.is_realtime() && self.set.contains(signal)
    }

    /// Adds one. `charge`: `None` where the user's limit is reached; the kernel's own need none.
    ///
    /// [`Errno::Eagain`] for what carries something that would be lost: a real-time signal of `sigqueue`'s without a charge
    /// or without memory.
    pub fn push(&mut self, info: Info, charge: Option<C>, needs_charge: bool) -> Result<(), Errno> {
        let signal = info.signal();
        if self.has(signal) {
            return Ok(());
        }
        let slot = if charge.is_none() && needs_charge { None } else { self.slot() };
        match slot {
            Some(slot) => {
                self.slots[slot as usize] = Slot { entry: Some((info, charge)), next: NONE };
                let list = &mut self.lists[signal.index()];
                match list.last {
                    NONE => list.first = slot,
                    last => self.slots[last as usize].next = slot,
                }
                list.last = slot;
            }
            None if signal.is_realtime() && info.code() != super::info::code::USER => {
                return Err(Errno::Eagain);
            }
            None => {}
        }
        self.set.insert(signal);
        Ok(())
    }

    /// A slot that is in no list.
    fn slot(&mut self) -> Option<u32> {
        if self.free != NONE {
            let slot = self.free;
            self.free = self.slots[slot as usize].next;
            self.used += 1;
            return Some(slot);
        }
        let slot = u32::try_from(self.slots.len()).ok().filter(|&slot| slot != NONE)?;
        self.slots.try_reserve(1).ok()?;
        self.slots.push(Slot { entry: None, next: NONE });
        self.used += 1;
        Some(slot)
    }

    /// Takes the oldest of a signal that waits here.
    pub fn take(&mut self, signal: Signal) -> Option<Info> {
        if !self.set.contains(signal) {
            return None;
        }
        let list = &mut self.lists[signal.index()];
        let slot = list.first;
        let info = match self.slots.get_mut(slot as usize) {
            Some(found) => {
                list.first = core::mem::replace(&mut found.next, self.free);
                self.free = slot;
                self.used -= 1;
                found.entry.take().map(|(info, _)| info)
            }
            None => None,
        };
        if list.first == NONE {
            list.last = NONE;
            self.set.remove(signal);
        }
        if self.set.is_empty() {
            self.slots.clear();
            self.free = NONE;
            if self.slots.capacity() > KEPT {
                self.slots = Vec::new();
            }
        }
        // One without a slot: nobody is known to have sent it.
        Some(info.unwrap_or_else(|| Info::kill(signal, 0, 0)))
    }

    /// Throws away all of these signals.
    pub fn discard(&mut self, signals: SigSet) {
        for signal in self.set.and(signals).iter() {
            while self.take(signal).is_some() {}
        }
    }

    /// The one to take next that is not blocked: of what instructions raised the lowest, else the lowest of all.
    pub const fn first(&self, blocked: SigSet) -> Option<Signal> {
        let ready = self.set.without(blocked);
        let synchronous = ready.and(SigSet::SYNCHRONOUS);
        if synchronous.is_empty() { ready.first() } else { synchronous.first() }
    }

    /// The same, of those the kernel sent for what an instruction did.
    pub fn first_synchronous(&self, blocked: SigSet) -> Option<Signal> {
        self.set.without(blocked).and(SigSet::SYNCHRONOUS).iter().find(|signal| {
            let slot = self.lists[signal.index()].first;
            let entry = self.slots.get(slot as usize).and_then(|slot| slot.entry.as_ref());
            entry.is_some_and(|(info, _)| info.is_synchronous())
        })
    }
}

impl<C> Default for Pending<C> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::collections::VecDeque;
    use std::rc::Rc;

    fn rt(number: u64) -> Signal {
        Signal::new(number).unwrap()
    }

    #[test]
    fn one_of_a_standard_signal_waits_and_all_of_a_real_time_one() {
        let mut queue = Pending::<()>::new();
        queue.push(Info::kill(Signal::TERM, 1, 0), None, false).unwrap();
        queue.push(Info::kill(Signal::TERM, 2, 0), None, false).unwrap();
        for value in 0..5 {
            queue.push(Info::queue(rt(40), 1, 0, value), Some(()), true).unwrap();
        }
        queue.push(Info::queue(rt(35), 1, 0, 7), Some(()), true).unwrap();
        assert_eq!(queue.first(SigSet::EMPTY), Some(Signal::TERM));
        assert_eq!(queue.take(Signal::TERM).unwrap().pid(), 1);
        assert_eq!(queue.take(Signal::TERM), None);
        assert_eq!(queue.first(SigSet::EMPTY), Some(rt(35)));
        assert_eq!(queue.first(SigSet::of(&[rt(35)])), Some(rt(40)));
        assert_eq!((0..5).map(|_| queue.take(rt(40)).unwrap().value()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(queue.take(rt(40)), None);
        assert_eq!(queue.take(rt(35)).unwrap().value(), 7);
        assert!(queue.set().is_empty() && queue.slots.capacity() == 0);
        queue.push(Info::kill(Signal::TERM, 1, 0), None, false).unwrap();
        let room = queue.slots.capacity();
        assert!(queue.take(Signal::TERM).is_some() && room <= KEPT && queue.slots.capacity() == room);
    }

    #[test]
    fn without_a_charge_it_arrives_without_what_it_carried_or_not_at_all() {
        let mut queue = Pending::<()>::new();
        assert_eq!(queue.push(Info::queue(rt(40), 1, 0, 9), None, true), Err(Errno::Eagain));
        assert!(queue.set().is_empty());
        queue.push(Info::kill(rt(40), 1, 2), None, true).unwrap();
        queue.push(Info::queue(Signal::USR1, 1, 0, 9), None, true).unwrap();
        assert_eq!(queue.take(rt(40)), Some(Info::kill(rt(40), 0, 0)));
        assert_eq!(queue.take(Signal::USR1), Some(Info::kill(Signal::USR1, 0, 0)));
        assert_eq!(queue.take(Signal::USR1), None);
    }

    #[test]
    fn faults_come_first_even_behind_lower_numbers() {
        let mut queue = Pending::<()>::new();
        queue.push(Info::kill(Signal::HUP, 1, 0), None, false).unwrap();
        queue.push(Info::kill(Signal::BUS, 1, 0), None, false).unwrap();
        assert_eq!(queue.first_synchronous(SigSet::EMPTY), None, "somebody's kill is no fault");
        assert_eq!(queue.first(SigSet::EMPTY), Some(Signal::BUS));
        queue.push(Info::fault(Signal::SEGV, 1, 0), None, false).unwrap();
        assert_eq!(queue.first_synchronous(SigSet::EMPTY), Some(Signal::SEGV));
        assert_eq!(queue.first_synchronous(SigSet::of(&[Signal::SEGV])), None);
    }

    /// Against lists; and every charge is given back.
    #[test]
    fn random_signals_against_a_model() {
        let mut random = Random::new(11);
        let charge = Rc::new(());
        let mut queue = Pending::new();
        let mut model: [VecDeque<u64>; SIGNALS + 1] = core::array::from_fn(|_| VecDeque::new());
        for value in 0..200_000u64 {
            let number = random.pick(&[1, 9, 11, 31, 32, 33, 63, 64]);
            let list = &mut model[number as usize];
            match random.below(20) {
                0..=8 => {
                    queue.push(Info::queue(rt(number), 0, 0, value), Some(charge.clone()), true).unwrap();
                    if number >= 32 || list.is_empty() {
                        list.push_back(value);
                    }
                }
                9..=18 => {
                    assert_eq!(queue.take(rt(number)).map(|info| info.value()), list.pop_front());
                }
                _ => {
                    queue.discard(SigSet::of(&[rt(number), rt(2)]));
                    list.clear();
                }
            }
            for number in [1, 9, 31, 32, 64u64] {
                assert_eq!(queue.set().contains(rt(number)), !model[number as usize].is_empty());
            }
            assert_eq!(Rc::strong_count(&charge) - 1, model.iter().map(VecDeque::len).sum::<usize>());
        }
    }
}
