//! What happens on a trap: the function that asm/interrupts.S calls.
//!
//! In order: a fault that was foreseen goes on at its fix-up; an experiment of the monitor is reported and
//! ended; an interrupt that nobody asked for is counted; everything else is a bug in the kernel, and a panic.

use super::image::Named;
use super::panic;
use crate::arch::x86_64::exceptions::{self, EXCEPTIONS, ErrorCode};
use crate::arch::x86_64::frame::{ERROR_CODE_VECTORS, TrapFrame};
use crate::arch::x86_64::{cr, debug, idle, mca, percpu, probe, recover, stacks};
use crate::tty::console;
use ::log::Level;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};

/// The page fault's vector.
const PAGE_FAULT: u64 = 14;
const DOUBLE_FAULT: u64 = 8;
const STACK_FAULT: u64 = 12;
const GENERAL_PROTECTION: u64 = 13;
const ALIGNMENT_CHECK: u64 = 17;
const MACHINE_CHECK: u64 = 18;
const DEBUG: u64 = 1;
const NMI: u64 = 2;

#[unsafe(no_mangle)]
extern "sysv64" fn trap_handler(frame: &mut TrapFrame) {
    // Only these four are raised by the access itself. An NMI that arrives just then leaves the same RIP.
    if matches!(frame.vector, STACK_FAULT | GENERAL_PROTECTION | PAGE_FAULT | ALIGNMENT_CHECK) {
        if let Some(fixup) = probe::fixup(frame) {
            frame.rip = fixup;
            return;
        }
    }
    // Read before anything else can fault.
    let cr2 = cr::cr2();
    let report = Report { frame, cr2 };
    let provoked = is_provoked(frame) && recover::finish();
    if provoked {
        let mut out = console::Output;
        let _ = report.print(&mut out);
        let _ = super::backtrace::print(&mut out, core::ptr::from_ref(frame) as u64 | 1);
        recover::resume(frame);
    } else if frame.vector == NMI {
        nmi(frame);
    } else if frame.vector == DEBUG && debug::watched().is_some() {
        watchpoint(frame);
    } else {
        panic::from_trap(&report);
    }
}

/// From outside: says where the CPU was, and goes on. Not more than once a second, for they may come by the thousand;
/// and by way of the log, for it may have interrupted the one who prints.
///
/// An NMI blocks others until its IRET, or until that of an exception inside it, which would let the next one onto
/// the same stack. So nothing here may fault: no walk over the stack, and the symbols are mapped.
fn nmi(frame: &mut TrapFrame) {
    const SECOND: u64 = 1_000_000_000;
    static NEXT_NS: AtomicU64 = AtomicU64::new(0);
    // Before there is per-CPU data, not even that it came can be noted.
    let Some(cpu) = percpu::try_current() else { return };
    cpu.count(NMI as u8);
    let now = crate::log::now_ns();
    if now >= NEXT_NS.load(Ordering::Relaxed) {
        NEXT_NS.store(now + SECOND, Ordering::Relaxed);
        let text = format_args!("cpu {} at {}", cpu.number, Named(frame.rip));
        if !crate::log::try_record(Level::Warn, "NMI", text) {
            MISSED_NMI.store(frame.rip, Ordering::Relaxed);
        }
    }
    idle::wake(cpu, frame);
}

/// Where an NMI came that found the log locked: the very code that it interrupted was writing to it. 0 for none.
static MISSED_NMI: AtomicU64 = AtomicU64::new(0);

/// Whether [`report_missed_nmi`] has something to say.
pub fn nmi_is_missed() -> bool {
    MISSED_NMI.load(Ordering::Relaxed) != 0
}

/// Says where the NMI came that could not say it itself.
pub fn report_missed_nmi() {
    if nmi_is_missed() {
        let rip = MISSED_NMI.swap(0, Ordering::Relaxed);
        ::log::warn!(target: "NMI", "cpu {} at {}", percpu::current().number, Named(rip));
    }
}

/// The monitor's watchpoint was hit; through the log, as above.
fn watchpoint(frame: &mut TrapFrame) {
    percpu::current().count(DEBUG as u8);
    let status = debug::take_status();
    if status & debug::DR6_BREAKPOINTS != 0 {
        let address = debug::watched().unwrap_or(0);
        let text = format_args!("{} was written before {}", Named(address), Named(frame.rip));
        // A write to the ring itself is not reported.
        let _ = crate::log::try_record(Level::Warn, "watch", text);
    }
    idle::wake(percpu::current(), frame);
}

/// Whether an experiment may have caused this: not a double fault, after which nothing is to be trusted; and what
/// can also come from outside, only if the instruction was the INT that asks for it.
fn is_provoked(frame: &TrapFrame) -> bool {
    match frame.vector {
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
            writeln!(out, "  kernel stack overflow in task boot: the {stack} stack ran into its guard page")?;
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
        matches!(self.frame.vector, PAGE_FAULT | DOUBLE_FAULT).then(|| stacks::overflowed(self.cr2)).flatten()
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
