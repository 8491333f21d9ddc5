//! Calling a handler, and coming back: the frame on the program's stack.
//!
//! To call a handler is to make the program believe that it called it itself, at an instruction where it did not. All its
//! registers are put on its stack, where the handler may look at them and change them, and with them the address that
//! the handler returns to: the *restorer*, two instructions of the C library that call `rt_sigreturn`. That call takes
//! everything back from the stack.
//!
//! ```text
//!                    what the program had on its stack
//!   its rsp     ──▶ ├────────────────────────────────────┤
//!                   │ 128 bytes: the red zone, which code│   not on an alternate stack, whose top is taken
//!                   │ without calls uses without a word  │
//!                   ├────────────────────────────────────┤
//!                   │ 46505845h: magic2                  │   where XSAVE is
//!                   │ XSAVE's area: header, ymm, …       │
//!                   │ FXSAVE's 512 bytes, in whose last  │
//!                   │ 48 it says how much follows        │
//!   multiple of 64  ├────────────────────────────────────┤ ◀─ fpstate
//!                   │ (up to 63 bytes)                   │
//!                   ├────────────────────────────────────┤
//!                   │ 128  siginfo                       │ ◀─ rsi in the handler
//!                   ├────────────────────────────────────┤ 312
//!                   │ 8    mask                          │
//!                   │ 256  registers (sigcontext)        │
//!                   │ 24   alternate stack               │
//!                   │ 8    link: 0                       │
//!                   │ 8    flags                         │ ◀─ rdx in the handler
//!                   ├────────────────────────────────────┤ 8
//!                   │ 8    restorer's address            │
//!   rsp in the  ──▶ └────────────────────────────────────┘ 0   8 more than a multiple of 16, as behind a call
//!   handler
//! ```
//! On the way back rsp is 8 above that, for the handler's `ret` has taken the address.
//!
//! **Nothing on the way back is believed.** Whoever calls `rt_sigreturn` has written all this, and need not have been in
//! a handler. What can be set is what a program can set by itself: general registers, some flags, floating-point state
//! ([`fpstate`]). rip and rsp may be anything: to go back to a rip outside the address space is left to IRETQ, which
//! faults in ring 3's name, where SYSRET might not.
//!
//! Source: Linux, arch/x86/include/uapi/asm/sigcontext.h and ucontext.h, arch/x86/kernel/signal_64.c and signal.c;
//! AMD64 supplement §3.2.2 (red zone).

pub mod fpstate;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod host;
#[cfg(test)]
mod tests;

use super::action::{Action, Flags};
use super::altstack::{AltStack, STACK_BYTES};
use super::info::{INFO_BYTES, Info};
use super::set::SigSet;
use crate::arch::x86_64::frame::TrapFrame;
use crate::arch::x86_64::selectors::{USER_CS, USER_DS};
use crate::errno::Errno;
use crate::proc::memory::{Bytes, Sink};
use fpstate::Fpu;

/// Bytes of the frame without floating-point state.
pub const FRAME_BYTES: usize = 440;
const RED_ZONE: u64 = 128;

// Offsets in the frame: struct rt_sigframe, struct ucontext, struct sigcontext_64.
const UC: usize = 8;
const UC_STACK: usize = UC + 16;
const SC: usize = UC + 40;
const SC_CS: usize = SC + 144;
const SC_SS: usize = SC + 150;
const SC_ERR: usize = SC + 152;
const SC_TRAPNO: usize = SC + 160;
const SC_OLDMASK: usize = SC + 168;
const SC_CR2: usize = SC + 176;
const SC_FPSTATE: usize = SC + 184;
const UC_MASK: usize = SC + 256;
const INFO: usize = UC_MASK + 8;
const _: () = assert!(INFO + INFO_BYTES == FRAME_BYTES);

/// Flags: there is XSAVE state behind FXSAVE's.
const UC_FP_XSTATE: u64 = 1;
/// Flags: ss is one of the registers; and it is to be taken as it is.
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;

/// RFLAGS: those a program can set by itself: CF, PF, AF, ZF, SF, TF, DF, OF, RF, AC.
const USER_FLAGS: u64 =
    1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11 | 1 << 16 | 1 << 18;
/// RFLAGS: those a handler does not begin with: TF, DF, RF.
const HANDLER_CLEARS: u64 = 1 << 8 | 1 << 10 | 1 << 16;
/// RFLAGS: interrupts on, and the bit that is always set.
const ALWAYS: u64 = 1 << 9 | 1 << 1;

/// What the last exception of a thread was, for those who look at it in a handler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastFault {
    pub error: u64,
    pub vector: u64,
    /// Of the last page fault.
    pub cr2: u64,
}

/// A handler that is to be called.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub info: &'a Info,
    pub action: &'a Action,
    /// What sigreturn is to bring back ([`super::mask::Mask::to_save`]).
    pub mask: SigSet,
    pub stack: &'a AltStack,
    pub fault: LastFault,
}

/// Where the parts go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    frame: u64,
    fpstate: u64,
}

impl Place {
    /// [`Errno::Efault`] if the alternate stack is too short. Otherwise whatever comes out: who writes there finds out.
    fn of(rsp: u64, call: &Call<'_>, fpu: &Fpu) -> Result<Self, Errno> {
        let nested = call.stack.told(rsp).flags & super::altstack::SS_ONSTACK != 0;
        let below = rsp.wrapping_sub(RED_ZONE);
        let wanted = call.action.flags.contains(Flags::ONSTACK);
        let entered = if wanted { call.stack.top_for(below) } else { None };
        let top = entered.unwrap_or(below);
        let fpstate = top.wrapping_sub(fpu.frame_bytes() as u64) & !63;
        let frame = (fpstate.wrapping_sub(FRAME_BYTES as u64) & !15).wrapping_sub(8);
        if (nested || entered.is_some()) && !call.stack.holds(frame) {
            return Err(Errno::Efault);
        }
        Ok(Self { frame, fpstate })
    }
}

/// The most that a frame takes of a stack on this machine (`AT_MINSIGSTKSZ`).
pub const fn size_max(fpu: &Fpu) -> u64 {
    (FRAME_BYTES + 15 + fpu.frame_bytes() + 63).next_multiple_of(16) as u64
}

/// Calls a handler: writes the frame below the program's stack and turns `registers` into the handler's first. `area` is
/// the thread's floating-point state as XSAVE or FXSAVE has just saved it, [`Fpu::size`] bytes, which are changed.
///
/// [`Errno::Efault`] if the frame cannot be written, or if the action has no restorer: then nothing has been changed in
/// `registers`, and SIGSEGV is due instead. Otherwise mask and alternate stack are to be told (`enter_handler` of both).
pub fn enter(
    registers: &mut TrapFrame,
    call: &Call<'_>,
    fpu: &Fpu,
    area: &mut [u8],
    sink: &mut impl Sink,
) -> Result<(), Errno> {
    if !call.action.flags.contains(Flags::RESTORER) {
        return Err(Errno::Efault);
    }
    let place = Place::of(registers.rsp, call, fpu)?;
    fpu.write(place.fpstate, area, sink)?;
    sink.write(place.frame, &layout(registers, call, fpu, place))?;

    let info = place.frame.wrapping_add(INFO as u64);
    *registers = TrapFrame {
        rdi: call.info.signal().number().into(),
        rsi: info,
        rdx: place.frame.wrapping_add(UC as u64),
        // For a handler that takes any number of arguments: none of them is in xmm.
        rax: 0,
        rip: call.action.handler,
        rsp: place.frame,
        cs: USER_CS,
        ss: USER_DS,
        rflags: registers.rflags & !HANDLER_CLEARS | ALWAYS,
        ..*registers
    };
    Ok(())
}

fn put(bytes: &mut [u8], at: usize, word: u64) {
    bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

fn get(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..].first_chunk().copied().unwrap_or([0; 8]))
}

/// All of the frame but the floating-point state.
fn layout(registers: &TrapFrame, call: &Call<'_>, fpu: &Fpu, place: Place) -> [u8; FRAME_BYTES] {
    let mut frame = [0; FRAME_BYTES];
    put(&mut frame, 0, call.action.restorer);
    let xstate = if fpu.has_xsave() { UC_FP_XSTATE } else { 0 };
    put(&mut frame, UC, UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | xstate);
    frame[UC_STACK..UC_STACK + STACK_BYTES].copy_from_slice(&call.stack.to_bytes());
    let r = registers;
    let general = [
        r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx, r.rax,
        r.rcx, r.rsp, r.rip, r.rflags,
    ];
    for (index, word) in general.into_iter().enumerate() {
        put(&mut frame, SC + 8 * index, word);
    }
    // gs and fs, between these two, are 0: their bases are what counts.
    frame[SC_CS..SC_CS + 2].copy_from_slice(&(r.cs as u16).to_le_bytes());
    frame[SC_SS..SC_SS + 2].copy_from_slice(&(r.ss as u16).to_le_bytes());
    put(&mut frame, SC_ERR, call.fault.error);
    put(&mut frame, SC_TRAPNO, call.fault.vector);
    put(&mut frame, SC_OLDMASK, call.mask.bits());
    put(&mut frame, SC_CR2, call.fault.cr2);
    put(&mut frame, SC_FPSTATE, place.fpstate);
    put(&mut frame, UC_MASK, call.mask.bits());
    frame[INFO..].copy_from_slice(&call.info.to_bytes());
    frame
}

/// What `rt_sigreturn` brings back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// To go on with, rax included: the call itself has no result.
    pub registers: TrapFrame,
    /// For [`super::mask::Mask::set`].
    pub mask: SigSet,
    /// For [`AltStack::set`], with the new rsp; that it refuses is no error.
    pub stack: AltStack,
}

/// Leaves a handler. `registers` are those of the call; `area` is [`Fpu::size`] bytes that become a state which XRSTOR or
/// FXRSTOR takes without a fault, whatever the frame says. They must be nobody's yet: a switch in the middle would load
/// what is half written.
///
/// [`Errno::Efault`] if there is no frame to be read: then SIGSEGV is due.
pub fn leave(
    registers: &TrapFrame,
    fpu: &Fpu,
    area: &mut [u8],
    memory: &impl Bytes,
) -> Result<Returned, Errno> {
    let mut frame = [0; INFO];
    memory.read(registers.rsp.wrapping_sub(8), &mut frame)?;
    fpu.read(get(&frame, SC_FPSTATE), area, memory)?;
    let word = |index: usize| get(&frame, SC + 8 * index);
    let stack = frame[UC_STACK..].first_chunk().copied().unwrap_or([0; STACK_BYTES]);
    Ok(Returned {
        registers: TrapFrame {
            r8: word(0),
            r9: word(1),
            r10: word(2),
            r11: word(3),
            r12: word(4),
            r13: word(5),
            r14: word(6),
            r15: word(7),
            rdi: word(8),
            rsi: word(9),
            rbp: word(10),
            rbx: word(11),
            rdx: word(12),
            rax: word(13),
            rcx: word(14),
            rsp: word(15),
            rip: word(16),
            rflags: registers.rflags & !USER_FLAGS | word(17) & USER_FLAGS | ALWAYS,
            // Ring 3's, whatever the frame has: there are no others to choose from.
            cs: USER_CS,
            ss: USER_DS,
            vector: registers.vector,
            error: registers.error,
        },
        mask: SigSet::mask(get(&frame, UC_MASK)),
        stack: AltStack::from_bytes(&stack),
    })
}
