//! Kernel stacks of threads: in a region of their own, each in a slot of which the lower half is never mapped.
//!
//! ```text
//! slot n                                                        slot n + 1
//! |           not mapped            |   the stack, 32 KiB  <- top |
//! ```
//!
//! Where a slot begins is arithmetic, so whose guard an address lies in is, too. A stack that a thread has left is kept,
//! mapped, for the next one: a list through their top words. What is more than [`KEPT`] goes back, by the worker, since
//! whoever leaves a stack behind has interrupts off.

use crate::arch::x86_64::paging::live::KernelTlb;
use crate::arch::x86_64::paging::{Attributes, MapError, Removed, Rights, Room};
use crate::boot::layout::{PAGE_SIZE, PERCPU_BASE};
use crate::mm::addr::Frame;
use crate::mm::frame::Owner;
use crate::mm::frames;
use crate::platform::kernel_tables;
use crate::sync::{IrqLock, Rank};
use core::ops::Range;

/// Bytes of a stack.
pub const SIZE: u64 = 32 << 10;
/// From one to the next.
const SLOT: u64 = 64 << 10;
/// Where the slots begin: above what the CPUs themselves have in that region, below the same entry of the top table.
const BASE: u64 = PERCPU_BASE + (64 << 30);
/// How many there are.
/// How many there can be.
pub const SLOTS: usize = 65_536;
/// Stacks without a thread that are kept.
const KEPT: usize = 16;

/// A stack, mapped.
#[derive(Debug, PartialEq, Eq)]
pub struct Stack {
    top: u64,
}

/// Memory is out, or room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoStack;

struct Kept {
    /// Top of the first, whose two last words are the next one's top and this one's complement; 0 for none.
    first: u64,
    count: usize,
}

static STACKS: IrqLock<Kept> = IrqLock::new(Rank::StacksKept, Kept { first: 0, count: 0 });

/// Slots in use: a bit for each.
struct Slots {
    words: [u64; SLOTS / 64],
    /// No slot is free in the words before.
    from: usize,
    used: usize,
}

static SLOTS_USED: IrqLock<Slots> =
    IrqLock::new(Rank::StackSlots, Slots { words: [0; SLOTS / 64], from: 0, used: 0 });

impl Slots {
    fn take(&mut self) -> Option<usize> {
        let word = (self.from..self.words.len()).find(|&word| self.words[word] != u64::MAX)?;
        let bit = self.words[word].trailing_ones() as usize;
        self.words[word] |= 1 << bit;
        self.from = word;
        self.used += 1;
        Some(word * 64 + bit)
    }

    fn give(&mut self, slot: usize) {
        self.words[slot / 64] &= !(1 << (slot % 64));
        self.from = self.from.min(slot / 64);
        self.used -= 1;
    }
}

impl Stack {
    /// A kept one, or else a new one. Not in interrupt handlers.
    pub fn new() -> Result<Self, NoStack> {
        if let Some(stack) = take_kept(0) {
            return Ok(stack);
        }
        let slot = SLOTS_USED.lock().take().ok_or(NoStack)?;
        let top = BASE + (slot as u64 + 1) * SLOT;
        if map(top).is_err() {
            SLOTS_USED.lock().give(slot);
            return Err(NoStack);
        }
        Ok(Self { top })
    }

    pub fn top(&self) -> u64 {
        self.top
    }

    /// Its usable bytes.
    pub fn range(&self) -> Range<u64> {
        self.top - SIZE..self.top
    }

    /// Keeps it for the next thread. With interrupts off or on; nobody is on it. True if there are too many now.
    pub fn keep(self) -> bool {
        let mut kept = STACKS.lock();
        // SAFETY: mapped, and nobody's.
        unsafe { ((self.top - 8) as *mut u64).write(kept.first) };
        kept.first = self.top;
        kept.count += 1;
        kept.count > KEPT
    }
}

fn take_kept(but: usize) -> Option<Stack> {
    let mut kept = STACKS.lock();
    if kept.count <= but {
        return None;
    }
    let top = kept.first;
    // SAFETY: `keep` put it there.
    kept.first = unsafe { ((top - 8) as *const u64).read() };
    kept.count -= 1;
    Some(Stack { top })
}

/// Gives back what is kept, but for `but` of them. Not in interrupt handlers.
pub fn shrink(but: usize) {
    while let Some(Stack { top }) = take_kept(but) {
        unmap(top - SIZE..top);
        SLOTS_USED.lock().give(((top - BASE) / SLOT) as usize - 1);
    }
}

/// The same for those that are too many: the worker's.
pub fn shrink_to_kept(_: usize) {
    shrink(KEPT);
}

/// Stacks in use, and those of them that no thread has.
pub fn counts() -> (usize, usize) {
    let used = SLOTS_USED.lock().used;
    (used, STACKS.lock().count)
}

fn map(top: u64) -> Result<(), MapError> {
    let tables = kernel_tables::lock();
    let mut done = Ok(());
    let mut at = top - SIZE;
    while at < top && done.is_ok() {
        let frame = frames::allocate(Owner::Stack).ok_or(MapError::NoMemory);
        done = frame.and_then(|frame| {
            let attributes = Attributes::kernel(Rights::Write);
            let mapped = tables.map(at, frame.start().as_u64(), PAGE_SIZE, attributes, 1);
            mapped.inspect_err(|_| frames::free(frame))
        });
        at += if done.is_ok() { PAGE_SIZE } else { 0 };
    }
    drop(tables);
    done.inspect_err(|_| unmap(top - SIZE..at))
}

fn unmap(range: Range<u64>) {
    let release = |removed: Removed| {
        if let Some(frame) = Frame::new(removed.phys() / PAGE_SIZE) {
            frames::free(frame);
        }
    };
    let done = kernel_tables::lock().edit(&KernelTlb, release).unmap(range, Room::Look);
    debug_assert!(done.is_ok(), "pages of 4 KiB need no splitting");
}

/// The usable bytes of the slot's stack that an address lies in, be it in its guard.
fn around(address: u64) -> Option<Range<u64>> {
    let slot = address.checked_sub(BASE)? / SLOT;
    let top = BASE + (slot + 1) * SLOT;
    (slot < SLOTS as u64).then(|| top - SIZE..top)
}

/// Whether an address lies in a thread's stack.
pub fn contains(address: u64) -> bool {
    around(address).is_some_and(|range| range.contains(&address))
}

/// Whether a push from `rsp` on that faulted at `address` means that a stack has run over: see
/// `arch::x86_64::stacks::overflowed`.
pub fn is_overflow(address: u64, rsp: u64) -> bool {
    const WORDS: u64 = 64;
    around(address).is_some_and(|range| {
        address < range.start && (range.start - PAGE_SIZE..range.start + WORDS).contains(&rsp)
    })
}
