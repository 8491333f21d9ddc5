//! A directory of tmpfs: names to numbers of inodes, and an order in which they are listed.
//!
//! Entries stand in a list in the order in which they came, each with a number that is never used again: its position,
//! as `readdir` and `lseek` know it. Who lists a directory piece by piece goes on behind the last position that he has
//! seen; whatever is added or removed meanwhile, he sees what was there all the time once. What is removed leaves a gap,
//! and when half of the list is gaps it is closed up; the positions stay what they are, and in order.
//!
//! By name an entry is found in a hash table of places in the list, with linear probing.

use super::super::Result;
use super::super::mode::Kind;
use crate::errno::Errno;
use crate::mm::vma::room;
use alloc::vec::Vec;

/// The first position behind `.` and `..`.
pub const FIRST: u64 = 2;

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub number: u64,
    pub kind: Kind,
}

struct Entry {
    position: u64,
    name: Vec<u8>,
    /// `None` is a gap.
    target: Option<Target>,
}

/// The table has nothing there, or had something once.
const FREE: u32 = u32::MAX;
const GONE: u32 = u32::MAX - 1;

/// The directory.
pub struct Dir {
    entries: Vec<Entry>,
    live: usize,
    next: u64,
    /// Places in `entries`; a power of two of them, at most half of which are not [`FREE`].
    table: Vec<u32>,
    /// Those that are not.
    used: usize,
}

fn hash(name: &[u8]) -> usize {
    let hash = name.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (hash ^ hash >> 29) as usize
}

impl Dir {
    pub const fn new() -> Self {
        Self { entries: Vec::new(), live: 0, next: FIRST, table: Vec::new(), used: 0 }
    }

    pub fn len(&self) -> usize {
        self.live
    }

    /// Where in the table a name is.
    fn find(&self, name: &[u8]) -> Option<usize> {
        let mask = self.table.len().checked_sub(1)?;
        let mut at = hash(name) & mask;
        loop {
            match self.table[at] {
                FREE => return None,
                GONE => (),
                place => {
                    if self.entries[place as usize].name == name {
                        return Some(at);
                    }
                }
            }
            at = (at + 1) & mask;
        }
    }

    pub fn get(&self, name: &[u8]) -> Option<Target> {
        let at = self.find(name)?;
        self.entries[self.table[at] as usize].target
    }

    /// Memory for one more entry, so that [`Self::insert`] does not fail.
    pub fn reserve(&mut self, name: &[u8]) -> Result<Room> {
        let mut owned = Vec::new();
        room::reserve(&mut owned, name.len()).map_err(|_| Errno::Enomem)?;
        owned.extend_from_slice(name);
        if self.entries.len() >= GONE as usize - 1 {
            return Err(Errno::Enospc);
        }
        room::reserve(&mut self.entries, 1).map_err(|_| Errno::Enomem)?;
        if (self.used + 1) * 2 > self.table.len() {
            let len = ((self.live + 1) * 4).next_power_of_two().max(8);
            let mut table = room::with_room(len).map_err(|_| Errno::Enomem)?;
            table.resize(len, FREE);
            self.table = table;
            self.rebuild();
        }
        Ok(Room(owned))
    }

    /// The table, made anew of the entries.
    fn rebuild(&mut self) {
        let mask = self.table.len() - 1;
        self.table.fill(FREE);
        for (place, entry) in self.entries.iter().enumerate().filter(|(_, entry)| entry.target.is_some()) {
            let mut at = hash(&entry.name) & mask;
            while self.table[at] != FREE {
                at = (at + 1) & mask;
            }
            self.table[at] = place as u32;
        }
        self.used = self.live;
    }

    /// Adds a name that is not there.
    pub fn insert(&mut self, room: Room, target: Target) {
        let mask = self.table.len() - 1;
        let mut at = hash(&room.0) & mask;
        while self.table[at] < GONE {
            at = (at + 1) & mask;
        }
        self.used += usize::from(self.table[at] == FREE);
        self.table[at] = self.entries.len() as u32;
        self.entries.push(Entry { position: self.next, name: room.0, target: Some(target) });
        self.next += 1;
        self.live += 1;
    }

    /// Has a name lead to something else.
    pub fn replace(&mut self, name: &[u8], target: Target) {
        if let Some(at) = self.find(name) {
            self.entries[self.table[at] as usize].target = Some(target);
        }
    }

    pub fn remove(&mut self, name: &[u8]) {
        let Some(at) = self.find(name) else { return };
        let entry = &mut self.entries[self.table[at] as usize];
        entry.target = None;
        entry.name = Vec::new();
        self.table[at] = GONE;
        self.live -= 1;
        if self.entries.len() > 16 && self.live * 2 < self.entries.len() {
            self.entries.retain(|entry| entry.target.is_some());
            self.rebuild();
        }
    }

    /// Calls `see` with entries from a position on, until it says that it has enough. Returns the position to go on at.
    pub fn list(&self, from: u64, mut see: impl FnMut(&[u8], Target, u64) -> bool) -> u64 {
        let start = self.entries.partition_point(|entry| entry.position < from);
        for entry in &self.entries[start..] {
            if let Some(target) = entry.target
                && !see(&entry.name, target, entry.position + 1)
            {
                return entry.position;
            }
        }
        self.next.max(from)
    }
}

/// Memory for a name that is going to be added.
pub struct Room(Vec<u8>);
