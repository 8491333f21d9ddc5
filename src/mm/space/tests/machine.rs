//! Frames, and a processor's TLB. Frames that are given back twice, or while a TLB has them, fail the test.

use super::super::env::{Account, Env, Store};
use crate::arch::x86_64::paging::{Entry, Flags, MapError, Owner, PageTables, Table, TableMemory};
use crate::boot::layout::PAGE_SIZE;
use crate::mm::addr::Frame;
use core::ops::Range;
use std::alloc::Layout;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, RwLock, Weak};
use std::vec::Vec;

/// Translations that the TLB has room for.
const TLB_SIZE: usize = 64;
/// The first frame's number; frames below are none of ours.
const FIRST: u32 = 0x100;

#[repr(align(4096))]
struct Bytes(Table);

struct Slot {
    bytes: Bytes,
    references: AtomicU32,
}

/// What the TLB knows: frame, and whether it may be written.
type Tlb = BTreeMap<(u64, u64), (Frame, bool)>;

pub struct Machine {
    slots: Vec<Slot>,
    free: Mutex<Vec<u32>>,
    /// How many more there are, if one is to be refused.
    left: Mutex<Option<u64>>,
    tlb: Mutex<Tlb>,
    zero: Frame,
    account: Account,
    /// The number of the next memory object.
    pub objects: AtomicU64,
    /// For tests of files: a clock that they move; address spaces that show files; who gives frames back.
    pub now_ns: AtomicU64,
    pub shows: RwLock<Vec<Weak<dyn Shows>>>,
    pub relief: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
}

/// An address space that shows files, which have numbers.
pub trait Shows: Send + Sync {
    fn unmap(&self, file: usize, bytes: Range<u64>, which: &dyn Fn(u64, Frame) -> bool);
    fn write_protect(&self, file: usize, bytes: Range<u64>);
}

/// What tests call their machine. It stays for the rest of the test's process.
pub type Host = &'static Machine;

impl Machine {
    /// With that many frames, one of them the page of zeroes.
    pub fn new(frames: u32, largest_promise: u64) -> Host {
        // From the system, which has no page of it touched before it is used: there may be many.
        let layout = Layout::array::<Slot>(frames as usize).unwrap();
        // SAFETY: not of size 0; a slot of zero bytes is one that is free.
        let slots = unsafe {
            let slots = std::alloc::alloc_zeroed(layout).cast::<Slot>();
            assert!(!slots.is_null());
            Vec::from_raw_parts(slots, frames as usize, frames as usize)
        };
        slots[0].references.store(1, Ordering::SeqCst);
        Box::leak(Box::new(Self {
            slots,
            free: Mutex::new((1..frames).map(|n| n + FIRST).collect()),
            left: Mutex::new(None),
            tlb: Mutex::new(BTreeMap::new()),
            zero: Frame::from_u32(FIRST).unwrap(),
            account: Account::new(largest_promise),
            objects: AtomicU64::new(100),
            now_ns: AtomicU64::new(0),
            shows: RwLock::default(),
            relief: OnceLock::new(),
        }))
    }

    fn slot(&self, frame: Frame) -> &Slot {
        &self.slots[(frame.number() - FIRST) as usize]
    }

    fn live(&self, frame: Frame) -> &Slot {
        let slot = self.slot(frame);
        assert!(slot.references.load(Ordering::SeqCst) != 0, "{frame:?} is free");
        slot
    }

    pub fn word(&self, frame: Frame, index: usize) -> &AtomicU64 {
        &self.live(frame).bytes.0[index]
    }

    pub fn references(&self, frame: Frame) -> u32 {
        self.slot(frame).references.load(Ordering::SeqCst)
    }

    pub fn frames_in_all(&self) -> u64 {
        self.slots.len() as u64
    }

    pub fn free_frames(&self) -> usize {
        self.free.lock().unwrap().len()
    }

    /// Refuse the frame after the next `n`, and none after that.
    pub fn fail_after(&self, n: u64) {
        *self.left.lock().unwrap() = Some(n);
    }

    /// Refuse none. True if the refusal that was ordered has not happened.
    pub fn fail_never(&self) -> bool {
        self.left.lock().unwrap().take().is_some()
    }

    fn take(&self) -> Option<Frame> {
        let mut left = self.left.lock().unwrap();
        match *left {
            Some(0) => {
                *left = None;
                return None;
            }
            Some(n) => *left = Some(n - 1),
            None => {}
        }
        let frame = Frame::from_u32(self.free.lock().unwrap().pop()?).unwrap();
        let before = self.slot(frame).references.swap(1, Ordering::SeqCst);
        assert_eq!(before, 0, "{frame:?} was given out twice");
        Some(frame)
    }

    /// An access to the word `index` of the page at `virt`, by a processor with `tables` in CR3: a store of `new`, or a
    /// load. `None` is a page fault. The caller holds the space's lock.
    pub fn access(
        &self,
        tables: &PageTables<Store<Host>>,
        virt: u64,
        index: usize,
        new: Option<u64>,
    ) -> Option<u64> {
        let (key, write) = ((tables.root(), virt / PAGE_SIZE), new.is_some());
        let mut tlb = self.tlb.lock().unwrap();
        let known = tlb.get(&key).filter(|(_, writable)| *writable || !write).copied();
        let frame = match known {
            Some((frame, _)) => frame,
            None => {
                // A fault drops what the TLB had.
                tlb.remove(&key);
                let found = walk(tables, virt, write)?;
                if tlb.len() == TLB_SIZE {
                    tlb.pop_first();
                }
                tlb.insert(key, found);
                found.0
            }
        };
        let word = self.word(frame, index);
        Some(match new {
            Some(new) => {
                assert!(frame != self.zero, "a write to the page of zeroes");
                word.swap(new, Ordering::SeqCst)
            }
            None => word.load(Ordering::SeqCst),
        })
    }
}

/// As the processor does it, with its two flags.
fn walk(tables: &PageTables<Store<Host>>, virt: u64, write: bool) -> Option<(Frame, bool)> {
    let slot = tables.find(virt);
    let mut entry = slot.load();
    loop {
        let flags = entry.flags();
        if !flags.contains(Flags::PRESENT | Flags::USER) || (write && !flags.contains(Flags::WRITE)) {
            return None;
        }
        let seen = if write { Flags::ACCESSED | Flags::DIRTY } else { Flags::ACCESSED };
        match slot.replace(entry, Entry(entry.0 | seen.bits())) {
            Ok(()) => {
                // Of a page that is not dirty, the TLB remembers that it may not yet be written.
                let writable = flags.contains(Flags::WRITE) && (write || flags.contains(Flags::DIRTY));
                return Some((super::super::env::frame_of(entry), writable));
            }
            Err(now) => entry = now,
        }
    }
}

impl TableMemory for Host {
    unsafe fn table(&self, phys: u64) -> &Table {
        &self.live(Frame::new(phys / PAGE_SIZE).unwrap()).bytes.0
    }

    fn allocate(&self) -> Option<u64> {
        let frame = self.allocate_frame(true)?;
        Some(frame.start().as_u64())
    }

    unsafe fn free(&self, phys: u64) {
        let frame = Frame::new(phys / PAGE_SIZE).unwrap();
        assert_eq!(self.references(frame), 1, "a table has other users");
        self.put(frame);
    }
}

impl Env for Host {
    fn allocate_frame(&self, zeroed: bool) -> Option<Frame> {
        let frame = self.take()?;
        let fill = if zeroed { 0 } else { 0xDEAD_BEEF_DEAD_BEEF };
        self.slot(frame).bytes.0.iter().for_each(|word| word.store(fill, Ordering::Relaxed));
        Some(frame)
    }

    fn copy_frame(&self, from: Frame, to: Frame) {
        // `from` may be free by now.
        let words = self.slot(from).bytes.0.iter().zip(&self.live(to).bytes.0);
        words.for_each(|(from, to)| to.store(from.load(Ordering::SeqCst), Ordering::SeqCst));
    }

    fn get(&self, frame: Frame) -> bool {
        assert!(frame != self.zero, "the page of zeroes is not counted");
        assert!(self.slot(frame).references.fetch_add(1, Ordering::SeqCst) != 0, "{frame:?} is free");
        true
    }

    fn put(&self, frame: Frame) {
        assert!(frame != self.zero, "the page of zeroes is not counted");
        let slot = self.slot(frame);
        let before = slot.references.fetch_sub(1, Ordering::SeqCst);
        assert!(before != 0 && before != u32::MAX, "{frame:?} was given back twice");
        if before == 1 {
            let tlb = self.tlb.lock().unwrap();
            assert!(!tlb.values().any(|&(of, _)| of == frame), "{frame:?} is still in a TLB");
            self.free.lock().unwrap().push(frame.number());
        }
    }

    fn is_unique(&self, frame: Frame) -> bool {
        self.references(frame) == 1
    }

    fn becomes_anonymous(&self, frame: Frame) {
        assert!(frame != self.zero);
        self.live(frame);
    }

    fn zero_page(&self) -> Frame {
        self.zero
    }

    fn new_tables(&self) -> Result<PageTables<Store<Self>>, MapError> {
        let root = TableMemory::allocate(self).ok_or(MapError::NoMemory)?;
        // SAFETY: a fresh table, and nobody else's; there is no kernel's half on the host.
        Ok(unsafe { PageTables::from_root(Store::new(*self), root, Owner::User) })
    }

    fn flush_page(&self, root: u64, virt: u64) {
        self.tlb.lock().unwrap().remove(&(root, virt / PAGE_SIZE));
    }

    fn flush_all(&self, root: u64) {
        self.tlb.lock().unwrap().retain(|&(of, _), _| of != root);
    }

    fn retire(&self, root: u64) {
        let tlb = self.tlb.lock().unwrap();
        assert!(!tlb.keys().any(|&(of, _)| of == root), "a TLB has something of a space that goes");
    }

    fn account(&self) -> &Account {
        &self.account
    }
}
