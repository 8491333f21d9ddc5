//! What tests map: files with a content that can be computed, and memory without one.

use super::super::env::{Content, Env, NoPage, Promises, Provided};
use super::super::memory::Memory;
use super::machine::Host;
use crate::boot::layout::PAGE_SIZE;
use crate::mm::addr::Frame;
use crate::mm::vma::Object;
use crate::mm::vma::room::NoMemory;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::vec::Vec;

/// A file whose pages are kept once they were read.
pub struct File {
    pub number: u64,
    machine: Host,
    pages: u64,
    cache: Mutex<BTreeMap<u64, Frame>>,
    /// Pages that a shared mapping has announced writes to.
    pub written: Mutex<Vec<u64>>,
    pub read_ahead: Mutex<Vec<(u64, u64)>>,
    /// Who wants a page that is not there waits here, twice: for the test to see it, and to let it go on.
    pub gate: Option<[Barrier; 2]>,
    /// The disk has failed.
    pub broken: AtomicBool,
    pub asked: AtomicUsize,
}

impl File {
    pub fn new(machine: Host, number: u64, pages: u64, gate: bool) -> Arc<Self> {
        Arc::new(Self {
            number,
            machine,
            pages,
            cache: Mutex::default(),
            written: Mutex::default(),
            read_ahead: Mutex::default(),
            gate: gate.then(|| [Barrier::new(2), Barrier::new(2)]),
            broken: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
        })
    }

    /// The word `index` of a page, as it is on the disk.
    pub fn word(number: u64, offset: u64, index: usize) -> u64 {
        number << 48 | offset << 4 | index as u64 | 1 << 63
    }

    /// Forgets a page, as the page cache does when memory is short. Who has it mapped keeps it.
    pub fn evict(&self, offset: u64) {
        if let Some(frame) = self.cache.lock().unwrap().remove(&offset) {
            self.machine.put(frame);
        }
    }

    pub fn cached_pages(&self) -> usize {
        self.cache.lock().unwrap().len()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.cache.get_mut().unwrap().values().for_each(|&frame| self.machine.put(frame));
    }
}

/// Either.
#[derive(Clone)]
pub enum Thing {
    File(Arc<File>),
    /// With a number of its own, in the order in which they were made.
    Memory(Memory<Host>, u64),
}

impl Thing {
    pub fn number(&self) -> u64 {
        match self {
            Self::File(file) => file.number,
            Self::Memory(_, number) => *number,
        }
    }
}

impl PartialEq for Thing {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(a), Self::File(b)) => Arc::ptr_eq(a, b),
            (Self::Memory(a, _), Self::Memory(b, _)) => a == b,
            _ => false,
        }
    }
}

impl Object<Promises<Host>> for Thing {
    fn shared_memory(commit: &Promises<Host>, pages: u64, charge: bool) -> Result<Self, NoMemory> {
        let memory = Memory::shared_memory(commit, pages, charge)?;
        Ok(Self::Memory(memory, commit.0.objects.fetch_add(1, Ordering::SeqCst)))
    }
}

impl Thing {
    /// The page if it is there, with a reference.
    fn at_hand(&self, offset: u64) -> Option<Frame> {
        match self {
            Self::Memory(memory, _) => {
                let mut found = [None];
                memory.cached(offset, 1, &mut found);
                found[0]
            }
            Self::File(file) => {
                let cache = file.cache.lock().unwrap();
                let frame = *cache.get(&offset)?;
                assert!(file.machine.get(frame));
                Some(frame)
            }
        }
    }
}

impl Content<Host> for Thing {
    fn page(&self, offset: u64, write: bool) -> Result<Provided, NoPage> {
        let file = match self {
            Self::Memory(memory, _) => return memory.page(offset, write),
            Self::File(file) => file,
        };
        file.asked.fetch_add(1, Ordering::SeqCst);
        if offset >= file.pages * PAGE_SIZE {
            return Err(NoPage::Bus);
        }
        if let Some(frame) = self.at_hand(offset) {
            if write {
                file.written.lock().unwrap().push(offset);
            }
            return Ok(Provided { frame, writable: write });
        }
        if file.broken.load(Ordering::SeqCst) {
            return Err(NoPage::Bus);
        }
        if let Some([seen, go]) = &file.gate {
            seen.wait();
            go.wait();
        }
        let frame = file.machine.allocate_frame(false).ok_or(NoPage::NoMemory)?;
        for index in 0..crate::arch::x86_64::paging::ENTRIES {
            file.machine.word(frame, index).store(File::word(file.number, offset, index), Ordering::SeqCst);
        }
        let mut cache = file.cache.lock().unwrap();
        let there = *cache.entry(offset).or_insert(frame);
        if there != frame {
            file.machine.put(frame);
        }
        assert!(file.machine.get(there));
        drop(cache);
        if write {
            file.written.lock().unwrap().push(offset);
        }
        Ok(Provided { frame: there, writable: write })
    }

    fn cached(&self, offset: u64, wanted: u64, found: &mut [Option<Frame>]) {
        for (place, slot) in found.iter_mut().enumerate().filter(|(place, _)| wanted >> place & 1 != 0) {
            *slot = self.at_hand(offset + place as u64 * PAGE_SIZE);
        }
    }

    fn written(&self, offset: u64) -> Result<(), NoPage> {
        if let Self::File(file) = self {
            if file.broken.load(Ordering::SeqCst) {
                return Err(NoPage::Bus);
            }
            file.written.lock().unwrap().push(offset);
        }
        Ok(())
    }

    fn number(&self) -> usize {
        match self {
            Self::Memory(memory, _) => memory.number(),
            Self::File(file) => Arc::as_ptr(file).addr(),
        }
    }

    fn read_ahead(&self, offset: u64, len: u64) {
        if let Self::File(file) = self {
            file.read_ahead.lock().unwrap().push((offset, len));
        }
    }
}

/// When neither spaces nor objects are left.
pub fn assert_all_back(machine: Host, free_before: usize) {
    assert_eq!(machine.free_frames(), free_before, "frames have not come back");
    assert_eq!(machine.account().promised(), 0, "promises have not come back");
}
