//! Which signal an exception of ring 3's becomes.
//!
//! Page faults are not here: what one means, the address space says. The rest is Linux's choice, where programs look
//! at it: `si_addr` is the instruction, except where the kernel has nothing to say (code SI_KERNEL, no address).
//!
//! Source: Linux, arch/x86/kernel/traps.c; Intel SDM vol. 1 §8.6 and §11.5.3 for the floating-point flags.

use super::info::{Info, code};
use super::number::Signal;

/// What the CPU says of an exception, as far as it matters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exception {
    pub vector: u64,
    /// Where the instruction is; behind it, for a trap.
    pub rip: u64,
    /// DR6, of a debug exception.
    pub dr6: u64,
    /// [`x87_flags`] for #MF, [`sse_flags`] for #XM.
    pub floating_flags: u32,
}

/// The flags of x87 that are raised and not masked, from its status and control words.
pub const fn x87_flags(status: u16, control: u16) -> u32 {
    (status & !control & 0x3F) as u32
}

/// The same of SSE.
pub const fn sse_flags(mxcsr: u32) -> u32 {
    mxcsr & !(mxcsr >> 7) & 0x3F
}

/// DR6: a single step.
const DR6_BS: u64 = 1 << 14;
/// DR6: one of the four watchpoints.
const DR6_HITS: u64 = 0xF;

/// `None` for vectors that are no fault of the program's, or a page fault; and for a floating-point exception without
/// a reason, which is none.
pub fn signal_of(exception: &Exception) -> Option<Info> {
    let at = |signal, code| Some(Info::fault(signal, code, exception.rip));
    match exception.vector {
        // #DE
        0 => at(Signal::FPE, code::FPE_INTDIV),
        // #DB
        1 if exception.dr6 & DR6_BS == 0 && exception.dr6 & DR6_HITS != 0 => {
            at(Signal::TRAP, code::TRAP_HWBKPT)
        }
        1 if exception.dr6 & DR6_BS == 0 => at(Signal::TRAP, code::TRAP_BRKPT),
        1 => at(Signal::TRAP, code::TRAP_TRACE),
        // #BP
        3 => Some(Info::kernel(Signal::TRAP)),
        // #OF, #BR, #TS, #GP
        4 | 5 | 10 | 13 => Some(Info::kernel(Signal::SEGV)),
        // #UD
        6 => at(Signal::ILL, code::ILL_ILLOPN),
        // #NP, #SS
        11 | 12 => Some(Info::kernel(Signal::BUS)),
        // #MF, #XM
        16 | 19 => floating_code(exception.floating_flags).and_then(|code| at(Signal::FPE, code)),
        // #AC; Linux gives no address
        17 => Some(Info::fault(Signal::BUS, code::BUS_ADRALN, 0)),
        _ => None,
    }
}

/// The gravest of the flags: invalid, denormal, divide by zero, overflow, underflow, inexact are bits 0 to 5.
const fn floating_code(flags: u32) -> Option<i32> {
    if flags & 0x01 != 0 {
        Some(code::FPE_FLTINV)
    } else if flags & 0x04 != 0 {
        Some(code::FPE_FLTDIV)
    } else if flags & 0x08 != 0 {
        Some(code::FPE_FLTOVF)
    } else if flags & 0x12 != 0 {
        Some(code::FPE_FLTUND)
    } else if flags & 0x20 != 0 {
        Some(code::FPE_FLTRES)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vector: u64, dr6: u64, floating_flags: u32) -> Option<(u8, i32, u64)> {
        let info = signal_of(&Exception { vector, rip: 0x1234, dr6, floating_flags })?;
        Some((info.signal().number(), info.code(), info.address()))
    }

    #[test]
    fn exceptions_have_linuxs_signals() {
        assert_eq!(of(0, 0, 0), Some((8, 1, 0x1234)));
        assert_eq!(of(1, 0x4000, 0), Some((5, 2, 0x1234)));
        assert_eq!(of(1, 0x4001, 0), Some((5, 2, 0x1234)));
        assert_eq!(of(1, 0x0008, 0), Some((5, 4, 0x1234)));
        assert_eq!(of(1, 0, 0), Some((5, 1, 0x1234)));
        assert_eq!(of(3, 0, 0), Some((5, 0x80, 0)));
        assert_eq!(of(6, 0, 0), Some((4, 2, 0x1234)));
        assert_eq!(of(17, 0, 0), Some((7, 1, 0)));
        for vector in [4, 5, 10, 13] {
            assert_eq!(of(vector, 0, 0), Some((11, 0x80, 0)));
        }
        for vector in [11, 12] {
            assert_eq!(of(vector, 0, 0), Some((7, 0x80, 0)));
        }
        for vector in [2, 8, 14, 18, 32, 128] {
            assert_eq!(of(vector, 0, 0), None);
        }
    }

    #[test]
    fn floating_point_reasons_are_those_that_are_not_masked() {
        assert_eq!(of(16, 0, x87_flags(0x0004, 0x037F)), None);
        assert_eq!(of(16, 0, x87_flags(0x0004, 0x037B)), Some((8, 3, 0x1234)));
        assert_eq!(of(16, 0, x87_flags(0xFFFF, 0x0340)), Some((8, 7, 0x1234)));
        assert_eq!(of(19, 0, sse_flags(0x1F80 | 0x20)), None);
        assert_eq!(of(19, 0, sse_flags((0x1F80 & !0x1000) | 0x20)), Some((8, 6, 0x1234)));
        assert_eq!(of(19, 0, sse_flags(0x08)), Some((8, 4, 0x1234)));
        assert_eq!(of(19, 0, sse_flags(0x02)), Some((8, 5, 0x1234)));
        assert_eq!(of(19, 0, sse_flags(0x10)), Some((8, 5, 0x1234)));
    }
}
