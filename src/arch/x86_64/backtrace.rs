//! Walking the stack by frame pointers, through traps.
//!
//! The kernel is compiled with frame pointers, so each function's rbp points at its caller's rbp, with the
//! return address above it. Where a trap interrupted the code, asm/interrupts.S leaves rbp pointing at the
//! trap frame with its lowest bit set; the walk then goes on with the registers in that frame.
//!
//! Every read is a probe: a walk over a damaged stack ends early, it does not fault again.

use super::frame::TrapFrame;
use super::probe;
use core::mem::offset_of;

/// One line of a backtrace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A return address: the call is the instruction before it.
    Return(u64),
    /// An interrupted instruction, and the vector that interrupted it.
    Trap { rip: u64, vector: u64 },
}

/// Steps after which a walk ends in any case. The chain only ever goes up one stack and from one to the
/// next, so this is far more than there can be.
const LIMIT: usize = 100_000;

/// Walks from frame pointer `rbp` outwards.
pub fn walk(rbp: u64) -> impl Iterator<Item = Step> {
    let mut rbp = rbp;
    core::iter::from_fn(move || {
        // No stack lies in the lower half; 0 is the regular end.
        if rbp < 1 << 63 {
            return None;
        }
        if rbp & 1 != 0 {
            let field = |offset: usize| probe::read_u64((rbp & !1).wrapping_add(offset as u64));
            let rip = field(offset_of!(TrapFrame, rip))?;
            let vector = field(offset_of!(TrapFrame, vector))?;
            rbp = field(offset_of!(TrapFrame, rbp))?;
            return Some(Step::Trap { rip, vector });
        }
        let caller = probe::read_u64(rbp)?;
        let address = probe::read_u64(rbp.wrapping_add(8))?;
        // Callers' frames lie higher on the same stack; a trap frame may be on another one. Anything else
        // would be a loop.
        if address == 0 || (caller != 0 && caller & 1 == 0 && caller <= rbp) {
            rbp = 0;
        } else {
            rbp = caller;
        }
        (address != 0).then_some(Step::Return(address))
    })
    .take(LIMIT)
}

/// The caller's own frame pointer.
#[inline(always)]
pub fn frame_pointer() -> u64 {
    let rbp: u64;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags)) };
    rbp
}
