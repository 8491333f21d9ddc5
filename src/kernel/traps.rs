//! What happens on a trap: the function that asm/interrupts.S calls.
//!
//! In order: a fault that was foreseen goes on at its fix-up; an experiment of the monitor is reported and
//! ended; an interrupt that nobody asked for is counted; everything else is a bug in the kernel, and a panic.

use super::image::Named;
use super::{others, panic, user};
use crate::arch::x86_64::exceptions::{self, EXCEPTIONS, ErrorCode};
use crate::arch::x86_64::frame::{ERROR_CODE_VECTORS, TrapFrame};
use crate::arch::x86_64::percpu::per_cpu;
use crate::arch::x86_64::{cr, debug, idle, mca, percpu, probe, recover, stacks, syscall};
use crate::task::fault::{self, Answer};
use crate::task::thread::current_name;
use crate::task::{context, stack};
use crate::tty::console;
use ::log::Level;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The page fault's vector.
const PAGE_FAULT: u64 = 14;
const DOUBLE_FAULT: u64 = 8;
const STACK_FAULT: u64 = 12;
const GENERAL_PROTECTION: u64 = 13;
const ALIGNMENT_CHECK: u64 = 17;
const MACHINE_CHECK: u64 = 18;
const DEBUG: u64 = 1;
const NMI: u64 = 2;
const BREAKPOINT: u64 = 3;

#[unsafe(no_mangle)]
extern "sysv64" fn trap_handler(frame: &mut TrapFrame) {
    if matches!(frame.vector, NMI | DEBUG) {
        // Before anything is written that may be watched.
        let suspended = debug::suspend();
        handle(frame, suspended.was_watching());
        suspended.resume();
    } else {
        handle(frame, false);
    }
    user::look_before_return(frame);
    // Only what was foreseen comes back: an IRET would end the time without NMIs.
    if is_inside_nmi(frame) {
        // SAFETY: ring 0 was interrupted on the NMI's stack, with interrupts off, and nothing here is needed any more.
        unsafe { nmi_return(frame) }
    }
}

fn handle(frame: &mut TrapFrame, was_watching: bool) {
    let cpu = percpu::current();
    cpu.count(frame.vector as u8);
    if frame.vector == NMI {
        syscall::count_nmi(cpu, frame);
    }
    // Read before anything else can fault.
    let cr2 = cr::cr2();
    let answer = if frame.vector == PAGE_FAULT { fault::page_fault(frame, cr2) } else { Answer::NotOurs };
    if answer == Answer::Done || user::was_stepped(frame) {
        return;
    }
    // Raised by the access itself; and by an INT3 whose successor is in the table. An NMI that arrives just then leaves
    // the same RIP.
    let may_be_excused =
        matches!(frame.vector, STACK_FAULT | GENERAL_PROTECTION | PAGE_FAULT | ALIGNMENT_CHECK | BREAKPOINT);
    if may_be_excused && frame.cs & 3 == 0 {
        if let Some(fixup) = probe::fixup(frame).filter(|_| user::may_excuse(frame, cr2)) {
            frame.rip = fixup;
            return;
        }
    }
    let is_watchpoint =
        frame.vector == DEBUG && was_watching && debug::status() & debug::DR6_BREAKPOINTS != 0;
    let report = Report { frame, cr2 };
    let provoked = !is_watchpoint && is_provoked(frame) && recover::finish();
    if provoked {
        let mut out = console::Output;
        let _ = report.print(&mut out);
        let _ = super::backtrace::print(&mut out, core::ptr::from_ref(frame) as u64 | 1);
        recover::resume(frame);
    } else if user::is_to_blame(frame) && !is_watchpoint {
        let program = context::program().expect("ring 3 is where a program is");
        program.exception(frame, cr2, answer);
    } else if frame.vector == NMI && !is_inside_nmi(frame) {
        nmi(frame);
    } else if is_watchpoint {
        watchpoint(frame);
    } else {
        panic::from_trap(&report);
    }
}

/// Whether the NMI's handler was interrupted. By another NMI it cannot be: that would be a bug, and a lost frame.
fn is_inside_nmi(frame: &TrapFrame) -> bool {
    // Between SYSCALL and the kernel's stack RSP is the user's, and may be anything.
    frame.cs & 3 == 0 && stacks::is_nmi_stack(frame.rsp) && !syscall::is_window(frame.rip)
}

unsafe extern "sysv64" {
    /// asm/nmi.S
    fn nmi_return(frame: *mut TrapFrame) -> !;
}

/// From outside: says where the CPU was, and goes on. Not more than once a second, for they may come by the thousand;
/// and by way of the log, for it may have interrupted the one who prints.
///
/// An NMI blocks others until the next IRET. A fault in here that the exception table foresees is harmless, since it
/// comes back without one (asm/nmi.S), and no watchpoint is armed. It waits for no lock.
fn nmi(frame: &mut TrapFrame) {
    const SECOND: u64 = 1_000_000_000;
    let cpu = percpu::current();
    if others::on_nmi(frame) {
        idle::wake(cpu, frame);
        return;
    }
    if FAULTS_IN_NMI.load(Ordering::Relaxed) {
        let _ = probe::read_u8(NOWHERE);
        probe::breakpoint();
    }
    let now = crate::log::now_ns();
    if now >= NEXT_NMI_NS.get() {
        NEXT_NMI_NS.set(now + SECOND);
        let text = format_args!("cpu {} at {}", percpu::number(), Named(frame.rip));
        if !crate::log::try_record(Level::Warn, "NMI", text) {
            MISSED_NMI.set(frame.rip);
            MISSED_NMIS.fetch_add(1, Ordering::Relaxed);
        }
    }
    idle::wake(cpu, frame);
}

/// An address that nothing is mapped at: below the direct map, where no user program is either.
pub const NOWHERE: u64 = 0xDEAD_B000;

/// Whether each NMI's handler makes a page fault and a breakpoint of its own, to show that this does no harm.
static FAULTS_IN_NMI: AtomicBool = AtomicBool::new(false);

/// Begins that, or ends it; returns whether it has begun.
pub fn toggle_faults_in_nmi() -> bool {
    !FAULTS_IN_NMI.fetch_xor(true, Ordering::Relaxed)
}

per_cpu! {
    /// Before this time this CPU says nothing of NMIs.
    static NEXT_NMI_NS: u64 = 0;

    /// Where an NMI came that found the log locked: the very code that it interrupted, or another CPU, was writing to
    /// it. 0 for none.
    static MISSED_NMI: u64 = 0;
}

/// How often that happened on all CPUs, and is still to be told.
static MISSED_NMIS: AtomicU64 = AtomicU64::new(0);

/// Whether [`report_missed_nmi`] has something to say.
pub fn nmi_is_missed() -> bool {
    MISSED_NMIS.load(Ordering::Relaxed) != 0
}

/// Says where NMIs came that could not say it themselves.
pub fn report_missed_nmi() {
    if MISSED_NMIS.swap(0, Ordering::Relaxed) == 0 {
        return;
    }
    for cpu in 0..percpu::copies() {
        let rip = MISSED_NMI.take_from(cpu);
        if rip != 0 {
            ::log::warn!(target: "NMI", "cpu {cpu} at {}", Named(rip));
        }
    }
}

/// The monitor's watchpoint was hit; through the log, as above.
fn watchpoint(frame: &mut TrapFrame) {
    debug::take_status();
    let text = format_args!("{} was written before {}", Named(debug::last_watched()), Named(frame.rip));
    // A write to the ring itself is not reported.
    let _ = crate::log::try_record(Level::Warn, "watch", text);
    idle::wake(percpu::current(), frame);
}

/// Whether an experiment may have caused this: not a double fault, after which nothing is to be trusted; nothing in
/// an NMI that came meanwhile; and what can also come from outside, only if the instruction was the INT that asks for
/// it. (INT 2 holds no NMIs back. One that comes during its report is taken for one inside another, and is a panic.)
fn is_provoked(frame: &TrapFrame) -> bool {
    match frame.vector {
        _ if is_inside_nmi(frame) => false,
        DOUBLE_FAULT => false,
        NMI | MACHINE_CHECK | EXCEPTIONS.. => {
            let int = 0xCD | frame.vector << 8;
            probe::read_u16(frame.rip.wrapping_sub(2)) == Some(int)
        }
        _ => true,
    }
}

/// An exception, in words.
pub struct Report<'a> {
    pub frame: &'a TrapFrame,
    pub cr2: u64,
}

impl Report<'_> {
    /// Prints what happened, where, and all registers.
    pub fn print(&self, out: &mut dyn Write) -> fmt::Result {
        writeln!(out, "exception: {self}")?;
        writeln!(out, "  rip {}", Named(self.frame.rip))?;
        if let Some(stack) = self.overflowed_stack() {
            writeln!(
                out,
                "  kernel stack overflow in task {}: the {stack} stack ran into its guard page",
                current_name()
            )?;
        } else if self.frame.vector == DOUBLE_FAULT {
            match stacks::name(self.frame.rsp) {
                Some(stack) => writeln!(out, "  on the {stack} stack")?,
                None if stack::contains(self.frame.rsp) => {
                    writeln!(out, "  on the stack of task {}", current_name())?
                }
                None => writeln!(out, "  rsp {:#x} is in no stack of the kernel's", self.frame.rsp)?,
            }
        }
        if self.frame.vector == DEBUG {
            // Read here, so that what is left in it does not speak for the next one.
            writeln!(out, "  cause {}", DebugCause(debug::take_status()))?;
        }
        if self.frame.vector == MACHINE_CHECK {
            mca::print(out)?;
        }
        self.registers(out)
    }

    /// The stack that ran over, if that is what this is about. When the guard page is hit, the page fault
    /// itself finds no stack and becomes a double fault; CR2 still holds the address.
    fn overflowed_stack(&self) -> Option<&'static str> {
        matches!(self.frame.vector, PAGE_FAULT | DOUBLE_FAULT)
            .then(|| {
                let threads = || stack::is_overflow(self.cr2, self.frame.rsp).then_some("thread's");
                stacks::overflowed(self.cr2, self.frame.rsp).or_else(threads)
            })
            .flatten()
    }

    /// All registers, general and control.
    pub fn registers(&self, out: &mut dyn Write) -> fmt::Result {
        let f = self.frame;
        writeln!(out, "  rax {:016x}  rbx {:016x}  rcx {:016x}  rdx {:016x}", f.rax, f.rbx, f.rcx, f.rdx)?;
        writeln!(out, "  rsi {:016x}  rdi {:016x}  rbp {:016x}  rsp {:016x}", f.rsi, f.rdi, f.rbp, f.rsp)?;
        writeln!(out, "  r8  {:016x}  r9  {:016x}  r10 {:016x}  r11 {:016x}", f.r8, f.r9, f.r10, f.r11)?;
        writeln!(out, "  r12 {:016x}  r13 {:016x}  r14 {:016x}  r15 {:016x}", f.r12, f.r13, f.r14, f.r15)?;
        writeln!(out, "  cs {:04x}  ss {:04x}  rflags {:08x}", f.cs, f.ss, f.rflags)?;
        control_registers(out, self.cr2)
    }
}

/// DR6, in words.
struct DebugCause(u64);

impl fmt::Display for DebugCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let breakpoints = self.0 & debug::DR6_BREAKPOINTS;
        match (self.0 & debug::DR6_SINGLE_STEP != 0, breakpoints) {
            (true, 0) => f.write_str("single step"),
            (_, 0) => f.write_str("INT1, or unknown"),
            (_, bits) => write!(f, "breakpoint {}", bits.trailing_zeros()),
        }
    }
}

/// One line of control registers.
pub fn control_registers(out: &mut dyn Write, cr2: u64) -> fmt::Result {
    let (cr0, cr3, cr4) = (cr::Cr0::read().bits(), cr::cr3(), cr::Cr4::read().bits());
    writeln!(out, "  cr0 {cr0:08x}  cr2 {cr2:016x}  cr3 {cr3:016x}  cr4 {cr4:08x}")
}

/// `#PF page fault, vector 14, error code 0x2 (kernel write to a page that is not present), address 0x10`
impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TrapFrame { vector, error, .. } = *self.frame;
        let (mnemonic, name) = exceptions::name(vector);
        write!(f, "{mnemonic} {name}, vector {vector}")?;
        if vector < 64 && ERROR_CODE_VECTORS >> vector & 1 != 0 {
            write!(f, ", error code {error:#x} ({})", ErrorCode { vector, code: error })?;
        }
        if vector == PAGE_FAULT {
            write!(f, ", address {:#x}", self.cr2)?;
        }
        Ok(())
    }
}
