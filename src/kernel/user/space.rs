//! A program's memory: an address space of its own, laid out for a flat program. Several threads may run in one.
//!
//! ```text
//! 0000_0000_0040_0000  text      read, execute: the program's bytes, private, shown like a file's
//! 0000_0000_0060_0000  data      read, write: the same bytes once more, private, each page a copy once it is written
//! 0000_7FFF_FF00_0000  stack     read, write: grows down to 64 KiB, each page when it is first touched
//! 0000_7FFF_FFFF_E000  last page of the user's half: text of a program that asks to lie there
//! ```
//!
//! Nothing is there until it is touched: `task::fault`.

use crate::boot::layout::{PAGE_SIZE, USER_END};
use crate::mm::space::live::{KernelEnv, ListedSpace, SPACES, UserSpace};
use crate::mm::space::{Memory, Shown};
use crate::mm::vma::Error;
use crate::mm::vma::area::Prot;
use crate::mm::vma::room;
use crate::mm::vma::space::{Layout, Limits, MapFlags, Mapping, OpenFile};
use crate::task::context::{self, Lower};
use alloc::boxed::Box;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering, fence};

/// Where programs begin.
pub const TEXT: u64 = 0x40_0000;
/// Where their bytes are once more, to be written to.
pub const DATA: u64 = 0x60_0000;
/// Where their stacks begin, downwards.
pub const STACK_TOP: u64 = 0x7FFF_FF00_0000;
/// How far the stack may grow. What lies below is not mapped.
pub const STACK_SIZE: u64 = 64 << 10;

/// A program's memory. A clone is the same memory.
pub struct Space {
    inner: NonNull<Inner>,
}

struct Inner {
    clones: AtomicUsize,
    space: ListedSpace,
    entry: u64,
    name: &'static str,
}

// SAFETY: what is inside is shared by locks and a counter.
unsafe impl Send for Space {}
// SAFETY: as above.
unsafe impl Sync for Space {}

impl Space {
    /// Maps a program: from [`TEXT`] on, or so that it ends where the user's half does. ENOMEM.
    pub fn new(name: &'static str, program: &[u8], at_the_end: bool) -> Result<Self, Error> {
        let limits = Limits { stack: Some(STACK_SIZE), ..Limits::default() };
        let space = ListedSpace::new(&SPACES, KernelEnv, Layout::with_stack(Some(STACK_SIZE)), limits)?;
        if at_the_end {
            let before = PAGE_SIZE.checked_sub(program.len() as u64).ok_or(Error::NoMemory)?;
            let file = file_of(before, program)?;
            map_file(&space, USER_END - PAGE_SIZE, PAGE_SIZE, Prot::READ | Prot::EXEC, &file)?;
            map_stack(&space)?;
            return Self::of(space, USER_END - program.len() as u64, name);
        }
        let file = file_of(0, program)?;
        let len = program.len() as u64;
        map_file(&space, TEXT, len, Prot::READ | Prot::EXEC, &file)?;
        map_file(&space, DATA, len, Prot::READ | Prot::WRITE, &file)?;
        map_stack(&space)?;
        // The heap of `brk` begins a page behind the data, which it must not touch.
        space.set_heap(DATA + len.next_multiple_of(PAGE_SIZE) + PAGE_SIZE, 0);
        Self::of(space, TEXT, name)
    }

    fn of(space: ListedSpace, entry: u64, name: &'static str) -> Result<Self, Error> {
        // A box that can be refused: a vector of one.
        let mut vec = room::with_room(1)?;
        vec.push(Inner { clones: AtomicUsize::new(1), space, entry, name });
        let inner = Box::leak(vec.into_boxed_slice()).as_mut_ptr();
        Ok(Self { inner: NonNull::new(inner).ok_or(Error::NoMemory)? })
    }

    fn inner(&self) -> &Inner {
        // SAFETY: there as long as a clone is.
        unsafe { self.inner.as_ref() }
    }

    /// A child, as `fork` makes it.
    pub fn fork(&self) -> Result<Self, Error> {
        Self::of(self.inner().space.fork()?, self.entry(), self.name())
    }

    /// Where the program begins.
    pub fn entry(&self) -> u64 {
        self.inner().entry
    }

    /// The program's.
    pub fn name(&self) -> &'static str {
        self.inner().name
    }

    /// The address space itself.
    pub fn space(&self) -> &UserSpace {
        &self.inner().space
    }

    /// Gives the thread that calls this the program's memory, until what is returned is dropped; then it has again what
    /// it had before.
    pub fn activate(&self) -> Active<'_> {
        let space = self.space();
        // SAFETY: made with the kernel's half; `Active` keeps it from being dropped, and ends this.
        let before =
            unsafe { context::set_lower(Lower::new(space.root(), core::ptr::from_ref(space).cast())) };
        Active { before, _space: self, not_send: PhantomData }
    }
}

impl Clone for Space {
    fn clone(&self) -> Self {
        self.inner().clones.fetch_add(1, Ordering::Relaxed);
        Self { inner: self.inner }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if self.inner().clones.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: from `of`, and this was the last clone.
            drop(unsafe { Box::from_raw(self.inner.as_ptr()) });
        }
    }
}

/// For as long as it lives, a [`Space`] is the memory of the thread that has it. They end in the reverse order of their
/// beginning.
pub struct Active<'a> {
    before: Lower,
    _space: &'a Space,
    not_send: PhantomData<*mut ()>,
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        // SAFETY: what was there before has an `Active` of its own, which began earlier and is still there.
        unsafe { context::set_lower(self.before) };
    }
}

/// A private mapping, as of a file.
fn map_file(space: &UserSpace, at: u64, len: u64, prot: Prot, file: &Memory<KernelEnv>) -> Result<(), Error> {
    let open = OpenFile {
        file: Shown::Memory(file.clone()),
        offset: 0,
        readable: true,
        writable: false,
        no_exec: false,
    };
    let flags = MapFlags::PRIVATE | MapFlags::FIXED;
    space.map(Mapping { addr: at, len, prot, flags, file: Some(open) }).map(drop)
}

fn map_stack(space: &UserSpace) -> Result<(), Error> {
    let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED | MapFlags::GROWSDOWN;
    let addr = STACK_TOP - PAGE_SIZE;
    let prot = Prot::READ | Prot::WRITE;
    space.map(Mapping { addr, len: PAGE_SIZE, prot, flags, file: None }).map(drop)
}

/// Memory that stands for a program's file: `before` zeroes, then its bytes.
fn file_of(before: u64, program: &[u8]) -> Result<Memory<KernelEnv>, Error> {
    let len = before + program.len() as u64;
    let file = Memory::of_len(KernelEnv, len.div_ceil(PAGE_SIZE))?;
    file.fill(before, program)?;
    Ok(file)
}
