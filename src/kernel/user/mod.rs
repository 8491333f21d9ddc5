//! Programs in ring 3: each a thread, which the monitor or a self-test begins and waits for.
//!
//! ```text
//! run ──► Space::new ──► a thread ──► asm/user.S ──IRETQ──► ring 3 ──SYSCALL, INT 0x80──► calls.rs ──► syscall::dispatch
//!  ▲                        ▲                                 │  └──interrupts, NMIs──► as ever, on the thread's stack
//!  │                        │                                 └──exceptions──► traps.rs ──► task::fault, end_by
//!  └──────── join ──────────┴── user_leave ◄── exit, killed, or stopped ◄──────────────────────────┘
//! ```
//!
//! A fault of the program's is the program's end, by name, and nothing else: it cannot be the kernel's. Any number of
//! programs run at a time, on any CPU. [`running`] is what is kept of one, [`space`] its memory, [`programs`] those that
//! are built in.

mod calls;
mod line;
pub mod programs;
pub mod running;
pub mod selftest;
pub mod space;

use super::traps::Report;
use crate::arch::x86_64::frame::{RFLAGS_TF, SYSCALL_INT, TrapFrame};
use crate::arch::x86_64::percpu::{self, PerCpu};
use crate::arch::x86_64::user::Start;
use crate::arch::x86_64::{debug, preempt, syscall, usercopy};
use crate::boot::layout::USER_END;
use crate::mm::pressure;
use crate::mm::vma::Error;
use crate::platform::pc::vectors;
use crate::proc::hog;
use crate::task::context;
use crate::task::fault::Answer;
use crate::tty::console;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use log::info;
use programs::Program;
use running::Running;
use space::{STACK_SIZE, STACK_TOP, Space};

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
    /// From outside: by ^C, or for its memory.
    Stopped,
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
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

const DEBUG: u64 = 1;
const NMI: u64 = 2;
const DOUBLE_FAULT: u64 = 8;
const MACHINE_CHECK: u64 = 18;

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
    preempt::on_return_to_ring_3(context::look);
    console::on_interrupt_key(running::interrupt_key);
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

/// From here on, when memory is out, it is decided here who has to go: the process that has most of it, or the flat program.
pub fn choose_victims() {
    pressure::set_victim_chooser(Some(|| hog::victim().or_else(running::victim)));
}

/// Where a program of that memory begins: with the address of its data in rdi, and FS and GS in its stack.
pub fn start_of(space: &Space) -> Start {
    let bases = (STACK_TOP - STACK_SIZE / 2, STACK_TOP - STACK_SIZE / 4 * 3);
    Start::new(space.entry(), STACK_TOP, space::DATA, bases)
}

/// The memory of a program that is built in. ENOMEM.
pub fn load(program: &Program) -> Result<Space, Error> {
    Space::new(program.name, program.image(), program.at_the_end)
}

/// Runs a program in a thread of its own, to its end, which may be ^C. ENOMEM.
pub fn run(program: &Program) -> Result<End, Error> {
    let space = load(program)?;
    let start = start_of(&space);
    running::run_in_foreground(space, start)
}

/// Runs the program of an address space from its beginning to its end, in the thread that calls this. ENOMEM.
pub fn run_in(space: &Space) -> Result<End, Error> {
    Running::new(space.clone(), start_of(space)).run()
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

/// The end that a program comes to by this exception.
fn end_by(frame: &TrapFrame, cr2: u64, fault: Answer) -> End {
    let dr6 = if frame.vector == DEBUG { debug::take_status() } else { 0 };
    match fault {
        Answer::OutOfMemory => End::OutOfMemory(cr2, frame.rip),
        Answer::Bus => End::Bus(cr2, frame.rip),
        _ => End::Killed(*frame, cr2, dr6),
    }
}

/// At the end of the trap handler, with interrupts off: has the program looked at before it goes on. An NMI goes back to
/// it as it came, since it takes an IRETQ to let the next one in; whoever wants something of the program has sent an
/// interrupt as well.
#[inline]
pub fn look_before_return(frame: &mut TrapFrame) {
    if frame.cs & 3 != 0 && frame.vector != NMI {
        context::look(frame);
    }
}

/// What the doors have seen, on all CPUs: for display.
pub struct Counts {
    pub by_int: u64,
    pub sysrets: u64,
    pub irets: u64,
    pub nmis_entering: u64,
    pub nmis_leaving: u64,
}

pub fn counts() -> Counts {
    let sum = |counter: fn(&PerCpu) -> &AtomicU64| {
        let cpus = (0..percpu::copies()).filter_map(percpu::of);
        cpus.map(|cpu| counter(cpu).load(Ordering::Relaxed)).sum()
    };
    Counts {
        by_int: sum(|cpu| &cpu.counts[SYSCALL_INT as usize]),
        sysrets: sum(|cpu| &cpu.sysrets),
        irets: sum(|cpu| &cpu.irets),
        nmis_entering: sum(|cpu| &cpu.nmis_entering),
        nmis_leaving: sum(|cpu| &cpu.nmis_leaving),
    }
}
