//! The locks that a CPU or a task holds, in the order in which it took them.

use super::{Place, Violation, What};
use crate::sync::rank::Rank;

/// More than ever are held at once.
pub const DEPTH: usize = 24;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its address.
    pub lock: usize,
    pub rank: Rank,
    /// Where it was taken.
    pub place: Place,
}

/// The list. The debugger's `sis locks` reads it.
pub struct Held {
    pub entries: [Entry; DEPTH],
    pub count: usize,
}

impl Held {
    pub const fn new() -> Self {
        Self { entries: [Entry { lock: 0, rank: Rank::ALL[0], place: Place::NONE }; DEPTH], count: 0 }
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries[..self.count]
    }

    /// What is wrong with taking `lock` now. In a list of who keeps to the order the last has the highest rank; but one
    /// that was tried for, and not waited for, may stand anywhere.
    pub fn refuse(&self, lock: usize, rank: Rank, place: Place) -> Option<Violation> {
        let again = self.entries().iter().find(|entry| entry.lock == lock);
        let above = self.entries().iter().filter(|entry| entry.rank >= rank).max_by_key(|entry| entry.rank);
        let (what, entry) = match (again, above) {
            (Some(entry), _) => (What::Again, entry),
            (None, Some(entry)) => (What::Order, entry),
            (None, None) if self.count == DEPTH => (What::TooMany, &self.entries[DEPTH - 1]),
            (None, None) => return None,
        };
        let before = Some((Some(entry.rank.name()), entry.place));
        Some(Violation { what, lock: Some(rank.name()), place, before })
    }

    /// Adds one. One too many is left out: [`Self::refuse`] has told of it.
    pub fn add(&mut self, entry: Entry) {
        if let Some(slot) = self.entries.get_mut(self.count) {
            *slot = entry;
            self.count += 1;
        }
    }

    /// Takes one out, which need not be the last. False if it is not there.
    pub fn remove(&mut self, lock: usize) -> bool {
        let Some(at) = self.entries().iter().rposition(|entry| entry.lock == lock) else { return false };
        self.entries.copy_within(at + 1..self.count, at);
        self.count -= 1;
        true
    }
}

impl Default for Held {
    fn default() -> Self {
        Self::new()
    }
}
