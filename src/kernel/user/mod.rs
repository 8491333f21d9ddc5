//! A program in ring 3: started by the monitor, which waits for its end.
//!
//! ```text
//! run ──► Space::new ──► asm/user.S ──IRETQ──► ring 3 ──SYSCALL, INT 0x80──► calls.rs ──► syscall::dispatch
//!  ▲                                             │  └──interrupts, NMIs──► as ever, on the task's stack
//!  │                                             └──exceptions──► traps.rs ──► space::page_fault, kill
//!  └────────── user_leave ◄── exit, or killed ◄──────────────────────────────────────┘
//! ```
//!
//! A fault of the program's is the program's end, by name, and nothing else: it cannot be the kernel's. One program at
//! a time, on the boot CPU. [`space`] is its memory, [`programs`] those that are built in.

mod calls;
mod line;
pub mod programs;
pub mod selftest;
pub mod space;

use super::traps::Report;
use crate::arch::x86_64::frame::{RFLAGS_TF, SYSCALL_INT, TrapFrame};
use crate::arch::x86_64::{debug, percpu, syscall, user, usercopy};
use crate::boot::layout::USER_END;
use crate::mm::pressure::{self, Victim};
use crate::mm::vma::Error;
use crate::platform::pc::vectors;
use crate::sync::{IrqLock, Rank};
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use log::info;
use programs::Program;
use space::{Answer, STACK_TOP, Space};

/// How a program ended.
#[derive(Clone, Copy)]
pub enum End {
    /// By exit, with this status.
    Exit(u8),
    /// By an exception: the registers then, CR2, and DR6.
    Killed(TrapFrame, u64, u64),
    /// By a page fault, at this address, for which there was no memory left; the instruction's address.
    OutOfMemory(u64, u64),
    /// By an access, at this address, to a mapping of what is not there; the instruction's address.
    Bus(u64, u64),
    /// By a SYSCALL from 32-bit code.
    Compat,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SINGLE_STEP: u64 = debug::DR6_SINGLE_STEP;
        match self {
            Self::Exit(status) => write!(f, "exit status {status}"),
            Self::Killed(frame, cr2, dr6) => {
                write!(f, "killed by {}, at {:#x}", Report { frame, cr2: *cr2 }, frame.rip)?;
                if frame.vector == DEBUG && dr6 & SINGLE_STEP != 0 {
                    f.write_str(" (single step)")
                } else {
                    Ok(())
                }
            }
            Self::OutOfMemory(address, rip) => {
                write!(f, "killed: out of memory, for address {address:#x}, at {rip:#x}")
            }
            Self::Bus(address, rip) => {
                write!(f, "killed: nothing is behind the mapping at address {address:#x}, at {rip:#x}")
            }
            Self::Compat => f.write_str("killed by a SYSCALL from 32-bit code"),
        }
    }
}

const DEBUG: u64 = 1;
const NMI: u64 = 2;
const DOUBLE_FAULT: u64 = 8;
const MACHINE_CHECK: u64 = 18;

/// How the last program ended; `None` while it runs.
static END: IrqLock<Option<End>> = IrqLock::new(Rank::ProgramEnd, None);

/// The program is over, and its trap is on its way out.
static IS_OVER: AtomicBool = AtomicBool::new(false);

/// Opens the doors. Once, before the first program.
pub fn init() {
    fn ignored(_: usize) {
        vectors::count_unexpected();
    }
    // From ring 0 it is nobody's; but no device is to be given it.
    let claimed = vectors::claim(SYSCALL_INT as u8, "int 0x80", ignored, 0);
    if claimed.is_err() {
        log::error!(target: "user", "the vector of INT 0x80 is taken");
    }
    // SAFETY: once, on the boot CPU, which is alone; its data is in place.
    let measured = unsafe {
        syscall::init();
        usercopy::choose()
    };
    let (words, bytes) = (measured.words, measured.bytes);
    let chosen = if bytes < words { "bytes" } else { "words" };
    choose_victims();
    info!(target: "user", "copies by {chosen}: a page takes {words} ticks by words, {bytes} by bytes");
}

/// From here on, when memory is out, it is decided here who has to go: there is one program, so it is that.
pub fn choose_victims() {
    pressure::set_victim_chooser(Some(|| {
        let space = space::current()?;
        Some(Victim::new(space.name(), space.space().resident(), true))
    }));
}

/// Runs a program to its end. ENOMEM.
pub fn run(program: &'static Program) -> Result<End, Error> {
    let space = Space::new(program.name, program.image(), program.at_the_end)?;
    Ok(run_in(&space))
}

/// Runs the program of an address space from its beginning to its end, with the address of its data in rdi.
pub fn run_in(space: &Space) -> End {
    let active = space.activate();
    calls::start(space.name());
    // SAFETY: the lower half is the program's, and it is the only one: nobody else calls this than the monitor and the
    // self-tests, who wait here.
    unsafe { user::enter(space.entry(), STACK_TOP, space::DATA) };
    drop(active);
    IS_OVER.store(false, Ordering::Relaxed);
    END.lock().take().expect("whoever ends a program says how")
}

fn set_end(how: End) {
    *END.lock() = Some(how);
}

/// Gives up the program's kernel stack.
///
/// # Safety
/// As for `user::leave`.
unsafe fn leave() -> ! {
    // SAFETY: the caller's promise.
    unsafe { user::leave(0) }
}

/// Whether this is the trap of a program that single-stepped its SYSCALL, taken before the kernel's first instruction.
/// FMASK clears TF, which is enough for most CPUs; others (Bochs is one) have the trap of the SYSCALL itself pending by
/// then. It is the program's, which gets it when it is back, since r11 holds TF: here nothing is to be done.
pub fn was_stepped(frame: &mut TrapFrame) -> bool {
    if frame.vector != DEBUG || frame.cs & 3 != 0 || !syscall::is_window(frame.rip) {
        return false;
    }
    let status = debug::status();
    let is_step = status & debug::DR6_SINGLE_STEP != 0;
    if is_step {
        frame.rflags &= !RFLAGS_TF;
    }
    // A watchpoint that was hit as well is still to be told of.
    let is_done = is_step && status & debug::DR6_BREAKPOINTS == 0;
    if is_done {
        debug::take_status();
    }
    is_done
}

/// Whether the exception table may excuse a page fault: in copies to and from user memory, only one at a user address.
/// At any other it was the kernel's own side.
pub fn may_excuse(frame: &TrapFrame, cr2: u64) -> bool {
    !usercopy::contains(frame.rip) || cr2 < USER_END
}

/// Whether an exception is the program's own doing.
pub fn is_to_blame(frame: &TrapFrame) -> bool {
    frame.cs & 3 != 0 && !matches!(frame.vector, NMI | DOUBLE_FAULT | MACHINE_CHECK)
}

/// Ends the program by this exception. The trap handler finishes what it has begun, and then calls [`leave_if_over`].
pub fn kill(frame: &TrapFrame, cr2: u64, fault: Answer) {
    let dr6 = if frame.vector == DEBUG { debug::take_status() } else { 0 };
    set_end(match fault {
        Answer::OutOfMemory => End::OutOfMemory(cr2, frame.rip),
        Answer::Bus => End::Bus(cr2, frame.rip),
        _ => End::Killed(*frame, cr2, dr6),
    });
    IS_OVER.store(true, Ordering::Relaxed);
}

/// At the end of the trap handler: does not return to a program that is over.
pub fn leave_if_over(frame: &TrapFrame) {
    if frame.cs & 3 != 0 && IS_OVER.load(Ordering::Relaxed) {
        // SAFETY: this was ring 3's trap, with interrupts off, and nothing is left to be done on this stack.
        unsafe { leave() }
    }
}

/// What the doors have seen on this CPU: for display.
pub struct Counts {
    pub by_int: u64,
    pub sysrets: u64,
    pub irets: u64,
    pub nmis_entering: u64,
    pub nmis_leaving: u64,
}

pub fn counts() -> Counts {
    let cpu = percpu::current();
    let load = |counter: &core::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Counts {
        by_int: load(&cpu.counts[SYSCALL_INT as usize]),
        sysrets: load(&cpu.sysrets),
        irets: load(&cpu.irets),
        nmis_entering: load(&cpu.nmis_entering),
        nmis_leaving: load(&cpu.nmis_leaving),
    }
}
