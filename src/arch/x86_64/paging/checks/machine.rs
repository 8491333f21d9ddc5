//! Memory for page tables, and a processor that uses them.

use super::super::{
    ENTRIES, Entry, Flags, LEVELS, PageTables, Removed, Table, TableMemory, Tlb, index, page_size,
};
use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec::Vec;

/// What the tests' address spaces are made of.
pub type Space<'m> = PageTables<&'m Machine>;

/// What the processor has done, or was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    FlushPage(u64),
    FlushAll,
    /// A page was given back: its physical address.
    Released(u64),
    TableFreed,
}

/// What a TLB knows of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cached {
    pub phys: u64,
    pub write: bool,
    pub execute: bool,
}

#[repr(align(4096))]
struct Frame(Table);

#[derive(Default)]
struct State {
    live: BTreeSet<u64>,
    spare: Vec<u64>,
    /// How many more tables there are, if that is limited.
    left: Option<u64>,
    /// By top table, first address and level.
    tlb: BTreeMap<(u64, u64, u32), Cached>,
    /// Tables that the paging-structure caches name.
    paths: BTreeSet<u64>,
    events: Vec<Event>,
}

#[derive(Default)]
pub struct Machine(Mutex<State>);

/// The processor with one address space in CR3: what `Tlb` is about.
pub struct Cpu<'m> {
    pub machine: &'m Machine,
    pub root: u64,
}

impl Machine {
    pub fn tables(&self) -> usize {
        self.0.lock().unwrap().live.len()
    }

    /// From now on there are only so many more tables.
    pub fn limit(&self, left: Option<u64>) {
        self.0.lock().unwrap().left = left;
    }

    /// What has happened since the last call.
    pub fn events(&self) -> Vec<Event> {
        core::mem::take(&mut self.0.lock().unwrap().events)
    }

    pub fn cpu<'m>(&'m self, space: &Space<'_>) -> Cpu<'m> {
        Cpu { machine: self, root: space.root() }
    }

    /// The owner of frames takes one back: no translation in any TLB may lead to it.
    pub fn release(&self, root: u64, removed: Removed) {
        let mut state = self.0.lock().unwrap();
        let frames = removed.phys()..removed.phys() + page_size(removed.level);
        let mine = state.tlb.iter().filter(|((of, ..), _)| *of == root);
        for ((_, virt, level), cached) in mine {
            let overlaps = cached.phys < frames.end && frames.start < cached.phys + page_size(*level);
            assert!(!overlaps, "{removed:x?} is still in the TLB, at {virt:#x}");
        }
        state.events.push(Event::Released(removed.phys()));
    }
}

impl TableMemory for &Machine {
    unsafe fn table(&self, phys: u64) -> &Table {
        assert!(self.0.lock().unwrap().live.contains(&phys), "{phys:#x} is no table");
        // SAFETY: live tables are whole frames from `allocate`, which leaks them.
        unsafe { &(*(phys as *const Frame)).0 }
    }

    fn allocate(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap();
        if let Some(left) = &mut state.left {
            *left = left.checked_sub(1)?;
        }
        let new =
            || Box::leak(Box::new(Frame([const { AtomicU64::new(0) }; ENTRIES]))) as *const Frame as u64;
        let phys = state.spare.pop().unwrap_or_else(new);
        state.live.insert(phys);
        drop(state);
        // SAFETY: as in `table`.
        unsafe { self.table(phys) }.iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
        Some(phys)
    }

    unsafe fn free(&self, phys: u64) {
        let mut state = self.0.lock().unwrap();
        assert!(state.live.remove(&phys), "{phys:#x} was freed before");
        assert!(!state.paths.contains(&phys), "{phys:#x} is still in a paging-structure cache");
        state.spare.push(phys);
        state.events.push(Event::TableFreed);
    }
}

impl Tlb for Cpu<'_> {
    fn flush_page(&self, virt: u64) {
        let mut state = self.machine.0.lock().unwrap();
        for level in 1..LEVELS {
            state.tlb.remove(&(self.root, virt & !(page_size(level) - 1), level));
        }
        state.paths.clear();
        state.events.push(Event::FlushPage(virt));
    }

    fn flush_all(&self) {
        let mut state = self.machine.0.lock().unwrap();
        state.tlb.retain(|(root, ..), _| *root != self.root);
        state.paths.clear();
        state.events.push(Event::FlushAll);
    }
}

impl Cpu<'_> {
    /// An access: by the TLB, or by the tables, which it remembers. `None` is a page fault.
    pub fn access(&self, virt: u64, write: bool) -> Option<u64> {
        let allowed = |cached: &Cached| !write || cached.write;
        let hit = (1..LEVELS).find_map(|level| {
            let state = self.machine.0.lock().unwrap();
            let size = page_size(level);
            let cached = *state.tlb.get(&(self.root, virt & !(size - 1), level))?;
            allowed(&cached).then_some(cached.phys + (virt & (size - 1)))
        });
        hit.or_else(|| self.walk(virt, write))
    }

    fn walk(&self, virt: u64, write: bool) -> Option<u64> {
        let (mut table, mut level) = (self.root, LEVELS);
        loop {
            self.machine.0.lock().unwrap().paths.insert(table);
            // SAFETY: whatever the walk meets is live, or the check in `table` says so.
            let slot = unsafe { &(&self.machine).table(table)[index(level, virt)] };
            let entry = Entry(slot.load(Ordering::Acquire));
            if !entry.present() {
                return None;
            }
            let flags = entry.flags();
            if !entry.is_leaf(level) {
                slot.fetch_or(Flags::ACCESSED.bits(), Ordering::AcqRel);
                (table, level) = (entry.address(level), level - 1);
                continue;
            }
            if write && !flags.contains(Flags::WRITE) {
                return None;
            }
            let seen = if write { Flags::ACCESSED | Flags::DIRTY } else { Flags::ACCESSED };
            slot.fetch_or(seen.bits(), Ordering::AcqRel);
            let (size, phys) = (page_size(level), entry.address(level));
            let cached = Cached {
                phys,
                write: flags.contains(Flags::WRITE),
                execute: !flags.contains(Flags::NO_EXECUTE),
            };
            let key = (self.root, virt & !(size - 1), level);
            self.machine.0.lock().unwrap().tlb.insert(key, cached);
            return Some(phys + (virt & (size - 1)));
        }
    }

    /// All that the TLB has of this address space: first address, level, and what.
    pub fn cached(&self) -> Vec<(u64, u32, Cached)> {
        let state = self.machine.0.lock().unwrap();
        let mine = state.tlb.iter().filter(|((root, ..), _)| *root == self.root);
        mine.map(|(&(_, virt, level), &cached)| (virt, level, cached)).collect()
    }
}

/// Counts the tables of a user's half, the top one too, and fails if one below it is empty.
pub fn count_tables(space: &Space<'_>) -> usize {
    fn below(machine: &Machine, table: u64, level: u32, slots: core::ops::Range<usize>) -> usize {
        // SAFETY: found by way of entries; the check in `table` stands behind that.
        let all = unsafe { (&machine).table(table) };
        assert!(
            level == LEVELS || all.iter().any(|slot| slot.load(Ordering::Relaxed) != 0),
            "an empty table"
        );
        let entries = all[slots].iter().map(|slot| Entry(slot.load(Ordering::Relaxed)));
        let tables = entries.filter(|entry| !entry.is_empty() && !entry.is_leaf(level));
        1 + tables.map(|entry| below(machine, entry.address(level), level - 1, 0..ENTRIES)).sum::<usize>()
    }
    below(space.memory, space.root(), LEVELS, 0..ENTRIES / 2)
}

/// An address space of a user and the kernel's that it was made from.
pub fn new_space(machine: &Machine) -> (Space<'_>, Space<'_>) {
    let root = machine.allocate().unwrap();
    // SAFETY: a new table, and nobody else knows it.
    let kernel = unsafe { PageTables::from_root(machine, root, super::super::Owner::Kernel) };
    let user = PageTables::new_user(machine, &kernel).unwrap();
    (kernel, user)
}
