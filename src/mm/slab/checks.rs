//! Objects under suspicion: red zones, poison, and who did it.
//!
//! A checked slot, of `stride` bytes:
//!
//! ```text
//! 0          32                offset            offset + size           stride
//! ├─ Header ─┼─ RED … ─────────┼─ the object ────┼─ RED, 16 bytes or more ┤       live
//! ├─ Header ─┼─ POISON … ──────────────────────────────────────────────── ┤       free
//! ```
//!
//! `offset` is a power of two, at least 64 and at least the alignment. The red zone behind begins with the first
//! byte that was not asked for, so that an overflow by one byte shows even where the size was rounded up.
//!
//! When it is looked at: red zones when an object is freed, poison when it is allocated again or its slab is
//! given back, and both by an audit. `POISON` in all eight bytes of a pointer is no canonical address, so to
//! follow one out of freed memory is a general protection at once.
//!
//! The bytes are 0xD and something, as are those of free frames (`frames.rs`) and of the stack below a call (`dispatch.rs`): a
//! program can look for all of them at once in what calls give it, and test/programs/fuzz.c does.
//!
//! The header is written with atomics: two CPUs may free an object twice in the same moment, and one of them is
//! to be told.

use super::source::Site;
use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU32, AtomicUsize};

const LIVE: u32 = 0x4556_494C;
const FREE: u32 = 0x4545_5246;
/// In front of a live object and behind it.
const RED: u8 = 0xDB;
/// All over a free one.
pub const POISON: u8 = 0xDF;
/// What a new object holds; not 0, so that nobody relies on it.
const NEW: u8 = 0xDA;

const HEADER: usize = size_of::<Header>();
const MIN_OFFSET: usize = 64;
const TAIL: usize = 16;

/// Where in its slot an object of this alignment lies.
pub const fn offset(align: usize) -> usize {
    if align > MIN_OFFSET { align } else { MIN_OFFSET }
}

/// Bytes of a slot that hold such an object and what is around it.
pub const fn slot_size(size: usize, align: usize) -> usize {
    offset(align) + size + TAIL
}

/// What has been done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Freed though it was free.
    DoubleFree,
    /// Written to while it was free.
    UseAfterFree,
    /// Written behind its end.
    Overflow,
    /// Written before its beginning.
    Underflow,
    /// Freed as an object of another size.
    WrongSize,
    /// The heap's own words in front of it are overwritten.
    Header,
    /// Freed to a cache that it is not an object of.
    NotAnObject,
}

/// What was found, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    pub fault: Fault,
    /// The cache's name.
    pub cache: &'static str,
    /// The object's address and its size in bytes.
    pub object: usize,
    pub size: usize,
    /// Which byte is not as it was left, counted from the object's first.
    pub byte: isize,
    /// Who allocated it last.
    pub allocated_by: Site,
    /// Who freed it last; 0 if nobody did.
    pub freed_by: Site,
    /// Who was allocating or freeing when it was found; 0 if it was an audit, or pages being given back.
    pub found_by: Site,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, size, byte, cache, .. } = self;
        match self.fault {
            Fault::DoubleFree => write!(out, "double free of {object:#x}")?,
            Fault::UseAfterFree => write!(out, "use after free: byte {byte} of {object:#x} was written")?,
            Fault::Overflow => write!(out, "heap overflow: byte {byte} of {object:#x} was written")?,
            Fault::Underflow => write!(out, "heap underflow: byte {byte} of {object:#x} was written")?,
            Fault::WrongSize => write!(out, "free of {object:#x} with {byte} bytes for its size")?,
            Fault::Header => write!(out, "the heap's words in front of {object:#x} are overwritten")?,
            Fault::NotAnObject => {
                return write!(
                    out,
                    "free of {object:#x}, which is no object of {cache}, by {:#x}",
                    self.found_by
                );
            }
        }
        write!(out, ", of {size} bytes in {cache}, allocated by {:#x}", self.allocated_by)?;
        if self.freed_by != 0 {
            write!(out, ", freed by {:#x}", self.freed_by)?;
        }
        if self.found_by != 0 {
            write!(out, ", found by {:#x}", self.found_by)?;
        }
        Ok(())
    }
}

/// An object that has not been freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    pub cache: &'static str,
    pub object: usize,
    pub size: usize,
    pub allocated_by: Site,
}

#[repr(C)]
struct Header {
    /// The slab's, while the slot is in its list.
    _link: UnsafeCell<u64>,
    /// [`LIVE`] or [`FREE`].
    state: AtomicU32,
    /// The object's size, and in the highest 8 bits the logarithm of its offset.
    shape: AtomicU32,
    allocated_by: AtomicUsize,
    freed_by: AtomicUsize,
}

/// A slot of a checked slab.
#[derive(Clone, Copy)]
pub struct Slot {
    base: NonNull<u8>,
    stride: usize,
    cache: &'static str,
}

impl Slot {
    /// # Safety
    /// The slot is one of a slab of the cache, of `stride` bytes, and the slab stays that.
    pub unsafe fn new(base: NonNull<u8>, stride: usize, cache: &'static str) -> Self {
        Self { base, stride, cache }
    }

    fn header(&self) -> &Header {
        // SAFETY: a slot begins with its header, all of whose fields may change under a shared reference.
        unsafe { self.base.cast().as_ref() }
    }

    /// Fills a part of the slot.
    fn fill(&self, from: usize, to: usize, byte: u8) {
        debug_assert!(HEADER <= from && from <= to && to <= self.stride);
        // SAFETY: within the slot, behind its header. The callers own it, or are about to hand it out.
        unsafe { self.base.add(from).write_bytes(byte, to - from) };
    }

    /// The first byte of a part of the slot that is another, counted from the slot's beginning. Volatile reads,
    /// as what is looked for was written against the rules of the language.
    fn first_other(&self, from: usize, to: usize, byte: u8) -> Option<usize> {
        debug_assert!(HEADER <= from && from <= to && to <= self.stride);
        // SAFETY: within the slot.
        (from..to).find(|&at| unsafe { self.base.add(at).read_volatile() } != byte)
    }

    /// Size and offset; a header that was overwritten gives no more than the slot.
    fn shape(&self) -> (usize, usize) {
        let shape = self.header().shape.load(Relaxed);
        let offset = 1usize.checked_shl(shape >> 24).unwrap_or(0).clamp(HEADER, self.stride);
        ((shape as usize & 0xFF_FFFF).min(self.stride - offset), offset)
    }

    fn violation(&self, fault: Fault, at: usize, found_by: Site) -> Violation {
        let (size, offset) = self.shape();
        let header = self.header();
        Violation {
            fault,
            cache: self.cache,
            object: self.base.addr().get() + offset,
            size,
            byte: at as isize - offset as isize,
            allocated_by: header.allocated_by.load(Relaxed),
            freed_by: header.freed_by.load(Relaxed),
            found_by,
        }
    }

    /// A slot of a new slab becomes a free one.
    ///
    /// # Safety
    /// Nobody else knows of the slab yet.
    pub unsafe fn init(&self) {
        let [allocated_by, freed_by] = [const { AtomicUsize::new(0) }; 2];
        let shape = AtomicU32::new(MIN_OFFSET.ilog2() << 24);
        let header =
            Header { _link: UnsafeCell::new(0), state: AtomicU32::new(FREE), shape, allocated_by, freed_by };
        // SAFETY: as the caller says; the slot is larger than a header, and aligned to 8.
        unsafe { self.base.cast().write(header) };
        self.fill(HEADER, self.stride, POISON);
    }

    /// A free slot becomes a live object; says if it was written to before.
    ///
    /// # Safety
    /// The caller has taken it out of the cache; offset and size are those of a slot of this stride.
    pub unsafe fn open(&self, size: usize, offset: usize, site: Site) -> (NonNull<u8>, Option<Violation>) {
        let header = self.header();
        let found = self.inspect(site);
        header.shape.store(size as u32 | offset.ilog2() << 24, Relaxed);
        header.allocated_by.store(site, Relaxed);
        header.freed_by.store(0, Relaxed);
        self.fill(HEADER, offset, RED);
        self.fill(offset, offset + size, NEW);
        self.fill(offset + size, self.stride, RED);
        header.state.store(LIVE, Relaxed);
        // SAFETY: within the slot.
        (unsafe { self.base.add(offset) }, found)
    }

    /// A live object becomes a free slot. The result is whether the slot may go back to the cache, and what was
    /// found.
    ///
    /// # Safety
    /// Nobody uses the object any more.
    pub unsafe fn close(&self, size: usize, offset: usize, site: Site) -> (bool, Option<Violation>) {
        let header = self.header();
        if let Err(state) = header.state.compare_exchange(LIVE, FREE, Relaxed, Relaxed) {
            let fault = if state == FREE { Fault::DoubleFree } else { Fault::Header };
            return (false, Some(self.violation(fault, offset, site)));
        }
        let found = match self.shape() == (size, offset) {
            true => self.red_zones(site),
            false => {
                Some(Violation { byte: size as isize, ..self.violation(Fault::WrongSize, offset, site) })
            }
        };
        self.fill(HEADER, self.stride, POISON);
        header.freed_by.store(site, Relaxed);
        (true, found)
    }

    fn red_zones(&self, site: Site) -> Option<Violation> {
        let (size, offset) = self.shape();
        let before = self.first_other(HEADER, offset, RED).map(|at| (Fault::Underflow, at));
        let found = before.or_else(|| {
            let behind = self.first_other(offset + size, self.stride, RED);
            behind.map(|at| (Fault::Overflow, at))
        });
        found.map(|(fault, at)| self.violation(fault, at, site))
    }

    /// What is wrong with a slot as it lies there.
    pub fn inspect(&self, site: Site) -> Option<Violation> {
        match self.header().state.load(Relaxed) {
            LIVE => self.red_zones(site),
            FREE => {
                let found = self.first_other(HEADER, self.stride, POISON);
                found.map(|at| self.violation(Fault::UseAfterFree, at, site))
            }
            _ => Some(self.violation(Fault::Header, HEADER, site)),
        }
    }

    /// The object, if it is live.
    pub fn live(&self) -> Option<Live> {
        let header = self.header();
        let (size, offset) = self.shape();
        let allocated_by = header.allocated_by.load(Relaxed);
        let object = self.base.addr().get() + offset;
        (header.state.load(Relaxed) == LIVE).then_some(Live { cache: self.cache, object, size, allocated_by })
    }
}
