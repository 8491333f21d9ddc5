//! Frames against a real kernel: the one these tests run on.
//!
//! Two questions, each in its own thread. Is the frame that Linux makes for a signal the very one that is made here of the
//! same registers, byte for byte and at the same address? And does Linux's sigreturn take a frame that was made here?

use super::super::altstack::AltStack;
use super::super::number::Signal;
use super::*;
use crate::arch::x86_64::sigreturn;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::vec::Vec;

unsafe extern "C" {
    fn syscall(number: i64, ...) -> i64;
}

const RT_SIGACTION: i64 = 13;
const GETPID: i64 = 39;
const GETTID: i64 = 186;
const TGKILL: i64 = 234;
/// Linux's selectors, which are not this kernel's.
const LINUX_CS: u16 = 0x33;
const LINUX_SS: u16 = 0x2B;

/// A frame that Linux has made: everything from it up to the end of the floating-point state.
struct Captured {
    address: u64,
    bytes: Vec<u8>,
}

impl Bytes for Captured {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Errno> {
        let at = (address - self.address) as usize;
        into.copy_from_slice(&self.bytes[at..at + into.len()]);
        Ok(())
    }
}

impl Sink for Captured {
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let at = (address - self.address) as usize;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

static CAPTURED: AtomicPtr<Captured> = AtomicPtr::new(null_mut());
static HANDLER_INFO: AtomicU64 = AtomicU64::new(0);

extern "C" fn handler(_signal: i32, info: u64, context: *const u8) {
    // SAFETY: Linux's frame is there, and floating-point state above it where it says; the caller waits for this.
    unsafe {
        let frame = context.sub(UC);
        let fpstate = frame.add(SC_FPSTATE).cast::<*const u8>().read_unaligned();
        let extended = fpstate.add(468).cast::<u32>().read() as usize;
        let len = fpstate.add(extended.max(512)).offset_from(frame) as usize;
        let captured = &mut *CAPTURED.load(Ordering::Relaxed);
        captured.address = frame as u64;
        captured.bytes = core::slice::from_raw_parts(frame, len).to_vec();
    }
    HANDLER_INFO.store(info, Ordering::Relaxed);
}

/// Sends this thread a signal and returns the frame that its handler had. One at a time.
fn capture(signal: u8) -> Captured {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock();
    let action = Action {
        handler: handler as *const () as u64,
        flags: Flags::RESTORER | Flags::SIGINFO,
        restorer: sigreturn::restorer(),
        mask: SigSet::of(&[Signal::WINCH]),
    };
    let mut captured = Captured { address: 0, bytes: Vec::new() };
    CAPTURED.store(&raw mut captured, Ordering::Relaxed);
    // SAFETY: an action with a handler and a restorer; a signal nobody else uses, to this very thread.
    unsafe {
        let bytes = action.to_bytes();
        assert_eq!(syscall(RT_SIGACTION, i64::from(signal), bytes.as_ptr(), null_mut::<u8>(), 8i64), 0);
        assert_eq!(syscall(TGKILL, syscall(GETPID), syscall(GETTID), i64::from(signal)), 0);
    }
    assert!(captured.address != 0, "the signal has come");
    captured
}

/// What this host's frames say of its floating-point state.
fn fpu_of(captured: &Captured) -> (Fpu, usize) {
    let at = (get(&captured.bytes, SC_FPSTATE) - captured.address) as usize;
    let state = &captured.bytes[at..];
    let size = u32::from_le_bytes(*state[480..].first_chunk().unwrap()) as usize;
    assert_eq!(get(&captured.bytes, UC) & UC_FP_XSTATE, UC_FP_XSTATE, "a host with XSAVE");
    (Fpu::new(size, get(state, 472), state.first_chunk().unwrap()), at)
}

#[test]
fn linux_makes_the_same_frame_of_the_same_registers() {
    let linuxs = capture(40);
    let (fpu, at) = fpu_of(&linuxs);
    let call_registers = TrapFrame {
        rsp: linuxs.address + 8,
        rflags: get(&linuxs.bytes, SC + 17 * 8),
        ..TrapFrame::default()
    };
    let mut area = std::vec![0; fpu.size];
    let back = leave(&call_registers, &fpu, &mut area, &linuxs).unwrap();
    assert_eq!(area[..464], linuxs.bytes[at..at + 464]);
    assert_eq!(area[512..], linuxs.bytes[at + 512..at + fpu.size]);

    let bytes: &[u8; INFO_BYTES] = linuxs.bytes[INFO..].first_chunk().unwrap();
    let info = Info::from_user(Signal::new(40).unwrap(), bytes).unwrap();
    let action = Action {
        handler: handler as *const () as u64,
        flags: Flags::RESTORER | Flags::SIGINFO,
        restorer: sigreturn::restorer(),
        mask: SigSet::EMPTY,
    };
    let fault = LastFault {
        error: get(&linuxs.bytes, SC_ERR),
        vector: get(&linuxs.bytes, SC_TRAPNO),
        cr2: get(&linuxs.bytes, SC_CR2),
    };
    let call = Call { info: &info, action: &action, mask: back.mask, stack: &back.stack, fault };
    let mut registers = back.registers;
    let mut ours = Captured { address: linuxs.address, bytes: std::vec![0; linuxs.bytes.len()] };
    enter(&mut registers, &call, &fpu, &mut area, &mut ours).unwrap();
    assert_eq!(registers.rsp, linuxs.address, "at the same address");
    assert_eq!(registers.rsi, HANDLER_INFO.load(Ordering::Relaxed));
    // Selectors are each kernel's own; what Linux leaves unwritten is whatever was on the stack.
    let mut expected = linuxs.bytes;
    for range in [SC_CS..SC_CS + 2, SC_SS..SC_SS + 2, SC + 192..SC + 256, UC_STACK + 12..UC_STACK + 16] {
        expected[range.clone()].copy_from_slice(&ours.bytes[range]);
    }
    expected[FRAME_BYTES..at].fill(0);
    for (from, (found, expected)) in ours.bytes.chunks(8).zip(expected.chunks(8)).enumerate() {
        assert_eq!(found, expected, "at {}, floating-point state at {at}", from * 8);
    }
}

#[test]
fn linux_takes_a_frame_that_was_made_here() {
    let (fpu, _) = fpu_of(&capture(41));
    let mut memory: Vec<u128> = std::vec![0; 0x1_0000 / 16];
    let address = memory.as_mut_ptr() as u64;
    let mut stack = Captured { address, bytes: std::vec![0; 0x1_0000] };
    let mut area = std::vec![0u8; fpu.size];
    area[..2].copy_from_slice(&0x037Fu16.to_le_bytes());
    area[24..28].copy_from_slice(&0x1F80u32.to_le_bytes());
    area[160..168].copy_from_slice(&0x1122_3344_5566_7788u64.to_le_bytes());
    area[512..520].copy_from_slice(&3u64.to_le_bytes());
    let rsp = address + 0x8010;
    let mut registers = TrapFrame {
        rip: sigreturn::landing(),
        // DF and CF.
        rflags: 0x603,
        cs: LINUX_CS.into(),
        ss: LINUX_SS.into(),
        ..tests::registers(rsp)
    };
    let info = Info::kernel(Signal::TERM);
    let action = tests::action(Flags::empty());
    let call = Call {
        info: &info,
        action: &action,
        mask: SigSet::EMPTY,
        stack: &AltStack::NONE,
        fault: LastFault::default(),
    };
    enter(&mut registers, &call, &fpu, &mut area, &mut stack).unwrap();
    // SAFETY: the memory is as large; the frame in it leads to the landing, which goes back to where this was.
    let seen = unsafe {
        memory.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(stack.bytes.as_ptr(), stack.bytes.len());
        sigreturn::into_frame(registers.rsp + 8)
    };
    assert_eq!([seen.rax, seen.rcx, seen.r11, seen.r15, seen.rsp], [0xAA, 0xCC, 11, 15, rsp]);
    assert_eq!(seen.xmm0, 0x1122_3344_5566_7788);
    assert_eq!(seen.rflags & 0xCFF, 0x403, "the flags are the frame's");
}
