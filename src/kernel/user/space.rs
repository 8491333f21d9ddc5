//! The memory of the program that runs: an address space of its own, laid out for a flat program.
//!
//! ```text
//! 0000_0000_0040_0000  text      read, execute: the program's bytes, private, shown like a file's
//! 0000_0000_0060_0000  data      read, write: the same bytes once more, private, each page a copy once it is written
//! 0000_7FFF_FF00_0000  stack     read, write: grows down to 64 KiB, each page when it is first touched
//! 0000_7FFF_FFFF_E000  last page of the user's half: text of a program that asks to lie there
//! ```
//!
//! Nothing is there until it is touched: the page-fault handler comes to [`page_fault`], and that to
//! [`AddressSpace::handle_fault`](crate::mm::space::AddressSpace::handle_fault). `mmap` and its like come to [`current`].

use crate::arch::x86_64::frame::TrapFrame;
use crate::arch::x86_64::interrupts::{self, RFLAGS_IF};
use crate::arch::x86_64::usercopy;
use crate::boot::layout::{PAGE_SIZE, USER_END};
use crate::mm::space::live::{KernelEnv, UserSpace};
use crate::mm::space::{Memory, Outcome};
use crate::mm::vma::Error;
use crate::mm::vma::area::Prot;
use crate::mm::vma::space::{Access, Layout, Limits, MapFlags, Mapping, OpenFile};
use core::sync::atomic::{AtomicPtr, Ordering};

/// Where programs begin.
pub const TEXT: u64 = 0x40_0000;
/// Where their bytes are once more, to be written to.
pub const DATA: u64 = 0x60_0000;
/// Where their stacks begin, downwards.
pub const STACK_TOP: u64 = 0x7FFF_FF00_0000;
/// How far the stack may grow. What lies below is not mapped.
pub const STACK_SIZE: u64 = 64 << 10;

/// The running program's, or null. Set while it runs or while the kernel copies to it, by the one who runs it.
static CURRENT: AtomicPtr<Space> = AtomicPtr::new(core::ptr::null_mut());

/// The memory of the program on whose behalf the kernel is at work.
pub fn current() -> Option<&'static Space> {
    // SAFETY: `Active` sets it to a space that outlives it, and takes it back; who asks is the program's own system call
    // or page fault, which ends before the program does.
    unsafe { CURRENT.load(Ordering::Acquire).as_ref() }
}

/// A program's memory.
pub struct Space {
    space: UserSpace,
    entry: u64,
    name: &'static str,
}

impl Space {
    /// Maps a program: from [`TEXT`] on, or so that it ends where the user's half does. ENOMEM.
    pub fn new(name: &'static str, program: &[u8], at_the_end: bool) -> Result<Self, Error> {
        let limits = Limits { stack: Some(STACK_SIZE), ..Limits::default() };
        let space = UserSpace::new(KernelEnv, Layout::with_stack(Some(STACK_SIZE)), limits)?;
        let space = Self { space, entry: TEXT, name };
        if at_the_end {
            return space.at_the_end(program);
        }
        let file = file_of(0, program)?;
        let len = program.len() as u64;
        space.map_file(TEXT, len, Prot::READ | Prot::EXEC, &file)?;
        space.map_file(DATA, len, Prot::READ | Prot::WRITE, &file)?;
        space.map_stack()?;
        // The heap of `brk` begins a page behind the data, which it must not touch.
        space.space.set_heap(DATA + len.next_multiple_of(PAGE_SIZE) + PAGE_SIZE, 0);
        Ok(space)
    }

    fn at_the_end(mut self, program: &[u8]) -> Result<Self, Error> {
        let before = PAGE_SIZE.checked_sub(program.len() as u64).ok_or(Error::NoMemory)?;
        let file = file_of(before, program)?;
        self.map_file(USER_END - PAGE_SIZE, PAGE_SIZE, Prot::READ | Prot::EXEC, &file)?;
        self.map_stack()?;
        self.entry = USER_END - program.len() as u64;
        Ok(self)
    }

    /// A private mapping, as of a file.
    fn map_file(&self, at: u64, len: u64, prot: Prot, file: &Memory<KernelEnv>) -> Result<(), Error> {
        let open =
            OpenFile { file: file.clone(), offset: 0, readable: true, writable: false, no_exec: false };
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        self.space.map(Mapping { addr: at, len, prot, flags, file: Some(open) }).map(drop)
    }

    fn map_stack(&self) -> Result<(), Error> {
        let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED | MapFlags::GROWSDOWN;
        let prot = Prot::READ | Prot::WRITE;
        let addr = STACK_TOP - PAGE_SIZE;
        self.space.map(Mapping { addr, len: PAGE_SIZE, prot, flags, file: None }).map(drop)
    }

    /// A child, as `fork` makes it.
    pub fn fork(&self) -> Result<Self, Error> {
        Ok(Self { space: self.space.fork()?, entry: self.entry, name: self.name })
    }

    /// Where the program begins.
    pub fn entry(&self) -> u64 {
        self.entry
    }

    /// The program's.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The address space itself.
    pub fn space(&self) -> &UserSpace {
        &self.space
    }

    /// Makes it the running program's until what is returned is dropped; then whoever was that is it again.
    pub fn activate(&self) -> Active<'_> {
        self.space.activate();
        let now = core::ptr::from_ref(self).cast_mut();
        Active { before: CURRENT.swap(now, Ordering::AcqRel), _space: self }
    }
}

/// For as long as it lives, a [`Space`] is the running program's. They end in the reverse order of their beginning.
pub struct Active<'a> {
    before: *mut Space,
    _space: &'a Space,
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        CURRENT.store(self.before, Ordering::Release);
        // SAFETY: its `Active` is still there, as that began earlier, and with it the space.
        if let Some(before) = unsafe { self.before.as_ref() } {
            before.space.activate();
        }
    }
}

/// Memory that stands for a program's file: `before` zeroes, then its bytes.
fn file_of(before: u64, program: &[u8]) -> Result<Memory<KernelEnv>, Error> {
    let len = before + program.len() as u64;
    let file = Memory::of_len(KernelEnv, len.div_ceil(PAGE_SIZE))?;
    file.fill(before, program)?;
    Ok(file)
}

/// What has come of a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The page is there: the instruction may run again.
    Done,
    /// The program has no right to it: SIGSEGV, or EFAULT.
    Refused,
    /// There is no memory left to serve it.
    OutOfMemory,
    /// A mapping reaches further than what it shows.
    Bus,
    /// It is no program's: a bug in the kernel.
    NotOurs,
}

/// In a page fault's error code.
const ERROR_WRITE: u64 = 1 << 1;
const ERROR_RESERVED: u64 = 1 << 3;
const ERROR_FETCH: u64 = 1 << 4;

/// A page fault, before anybody calls it an error.
///
/// Only what ring 3 touched, or the kernel on its behalf in asm/usercopy.S: a user address anywhere else is a bug.
/// Interrupts are on meanwhile if they were: bringing a page can take long. Called with them off, returns so.
pub fn page_fault(frame: &TrapFrame, cr2: u64) -> Answer {
    let user = frame.cs & 3 != 0;
    if !user && !usercopy::contains(frame.rip) || cr2 >= USER_END || frame.error & ERROR_RESERVED != 0 {
        return Answer::NotOurs;
    }
    let Some(Space { space, .. }) = current() else { return Answer::Refused };
    let access = match frame.error {
        error if error & ERROR_WRITE != 0 => Access::Write,
        error if error & ERROR_FETCH != 0 => Access::Execute,
        _ => Access::Read,
    };
    if frame.rflags & RFLAGS_IF != 0 {
        interrupts::enable();
    }
    let outcome = space.handle_fault(cr2, access, user);
    interrupts::disable();
    match outcome {
        Outcome::Done => Answer::Done,
        Outcome::Segv { .. } => Answer::Refused,
        Outcome::OutOfMemory => Answer::OutOfMemory,
        Outcome::Bus => Answer::Bus,
    }
}
