//! The pairs that there are, by number: the names in /dev/pts.
//!
//! A number belongs to a pair from the opening of its master until both ends are closed; the lowest free one is given out
//! next. Both ends hold a reference, and so does the table.

use super::device::Surroundings;
use super::error::Error;
use super::job::TtyId;
use super::pair::Pair;
use super::terminal::Opened;
use crate::fs::mode::Device;
use crate::fs::refs::Ref;
use crate::sync::{Mutex, Rank};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The major number of the slaves; a pair's number is the minor one.
pub const MAJOR: u32 = 136;
/// How many pairs there can be: as many as that major number has.
pub const PAIRS_MAX: usize = 256;

/// A table of pairs.
pub struct Pairs {
    pairs: Mutex<[Option<Ref<Pair>>; PAIRS_MAX]>,
    /// For each number whose master is open, who that is: [`Pairs::names`].
    names: [AtomicU64; PAIRS_MAX],
    next: AtomicU32,
}

/// Which pair has a number, and who may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Tells pairs apart that had the same number, one after the other.
    pub serial: u32,
    /// Who opened the master.
    pub user: u32,
}

/// Those of this machine.
pub static PAIRS: Pairs = Pairs::new();

impl Pairs {
    pub const fn new() -> Self {
        Self {
            pairs: Mutex::new(Rank::TerminalOpening, [const { None }; PAIRS_MAX]),
            names: [const { AtomicU64::new(0) }; PAIRS_MAX],
            next: AtomicU32::new(1),
        }
    }

    /// A new pair, its master open and its slave locked.
    ///
    /// # Errors
    /// [`Error::NoMemory`]; [`Error::Busy`] if there are as many as there can be.
    pub fn make(&self, around: Surroundings) -> Result<(u32, Ref<Pair>), Error> {
        let mut pairs = self.pairs.lock();
        let at = pairs.iter().position(Option::is_none).ok_or(Error::Busy)?;
        let number = at as u32;
        let id = TtyId(Device::new(MAJOR, number).encode() as u32);
        let pair = Ref::new(Pair::new(number, id, around)?).map_err(|_| Error::NoMemory)?;
        pairs[at] = Some(pair.clone());
        // 0 is nobody's.
        let serial = self.next.fetch_add(1, Ordering::Relaxed).max(1);
        self.names[at].store(u64::from(serial) << 32, Ordering::Release);
        Ok((number, pair))
    }

    /// A pair by its number.
    pub fn get(&self, number: u32) -> Option<Ref<Pair>> {
        self.pairs.lock().get(number as usize)?.clone()
    }

    /// Opens a slave. `None`: there is no such pair.
    ///
    /// # Errors
    /// Within: as for [`Pair::open_slave`].
    pub fn open_slave(
        &self,
        number: u32,
        readable: bool,
        controls: bool,
    ) -> Option<Result<(Ref<Pair>, Opened), Error>> {
        let pair = self.get(number)?;
        let opened = pair.open_slave(readable, controls);
        Some(opened.map(|opened| (pair, opened)))
    }

    /// Which pair a number names in /dev/pts: from the opening of its master until that closes. Takes no lock.
    pub fn named(&self, number: u32) -> Option<Named> {
        let word = self.names.get(number as usize)?.load(Ordering::Acquire);
        // User 0, as long as nobody has said.
        (word != 0).then_some(Named { serial: (word >> 32) as u32, user: (word as u32).saturating_sub(1) })
    }

    /// The slave belongs to that user, who has opened the master: once, before it can be opened.
    pub fn set_user(&self, number: u32, user: u32) {
        let set =
            |word: u64| (word != 0 && word as u32 == 0).then_some(word | u64::from(user.saturating_add(1)));
        let _ = self.names[number as usize].fetch_update(Ordering::AcqRel, Ordering::Relaxed, set);
    }

    /// The master closes.
    pub fn close_master(&self, number: u32, pair: &Ref<Pair>) {
        self.names[number as usize].store(0, Ordering::Release);
        pair.close_master();
        self.drop_if_over(number, pair);
    }

    /// A slave's file closes.
    pub fn close_slave(&self, number: u32, pair: &Ref<Pair>) {
        pair.close_slave();
        self.drop_if_over(number, pair);
    }

    fn drop_if_over(&self, number: u32, pair: &Ref<Pair>) {
        let mut pairs = self.pairs.lock();
        let slot = &mut pairs[number as usize];
        // Somebody else may have seen to it, and the number be another pair's by now.
        if pair.is_over() && slot.as_ref().is_some_and(|own| own.is(pair)) {
            *slot = None;
        }
    }

    /// The numbers in use, in order, also those whose master is closed.
    pub fn each(&self, look: &mut dyn FnMut(u32)) {
        let pairs = self.pairs.lock();
        (0..).zip(pairs.iter()).filter(|(_, pair)| pair.is_some()).for_each(|(number, _)| look(number));
    }
}

impl Default for Pairs {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ioctl::Command;
    use super::super::job::Nobody;
    use super::super::terminal::Order;
    use super::*;
    use crate::sync::parker::now_ns;
    use std::vec::Vec;

    fn numbers(pairs: &Pairs) -> Vec<u32> {
        let mut found = Vec::new();
        pairs.each(&mut |number| found.push(number));
        found
    }

    fn unlock(pair: &Pair) {
        let order = Order { command: Command::LockPair, value: 0, data: &[0; 4] };
        pair.order(None, &order).expect("an order of the master's");
    }

    #[test]
    fn numbers_are_given_and_come_back() {
        let pairs = Pairs::new();
        let around = Surroundings { processes: &Nobody, now_ns };
        let (first, master) = pairs.make(around).expect("memory");
        let (second, other) = pairs.make(around).expect("memory");
        assert_eq!((first, second, numbers(&pairs)), (0, 1, [0, 1].to_vec()));
        assert!(pairs.open_slave(2, true, false).is_none());
        assert!(matches!(pairs.open_slave(0, true, false), Some(Err(Error::Io))), "it is locked");
        unlock(&master);
        let (slave, _) = pairs.open_slave(0, true, false).expect("there").expect("open");
        assert!(slave.is(&master));
        // The number is kept while one end is open, and is the next one's when none is.
        pairs.close_master(0, &master);
        assert_eq!(numbers(&pairs), [0, 1]);
        assert!(matches!(pairs.open_slave(0, true, false), Some(Err(Error::Io))), "no master");
        pairs.close_slave(0, &slave);
        assert_eq!(numbers(&pairs), [1]);
        assert_eq!(pairs.make(around).expect("memory").0, 0);
        pairs.close_master(1, &other);
        assert_eq!(numbers(&pairs), [0]);
    }

    #[test]
    fn there_are_no_more_than_numbers() {
        let pairs = Pairs::new();
        let around = Surroundings { processes: &Nobody, now_ns };
        let all: Vec<_> = (0..PAIRS_MAX).map(|_| pairs.make(around).expect("memory")).collect();
        assert!(matches!(pairs.make(around), Err(Error::Busy)));
        pairs.close_master(77, &all[77].1);
        assert_eq!(pairs.make(around).expect("a number").0, 77);
    }
}
