//! Frames, there and back; and what of a frame is not believed.

use super::super::number::Signal;
use super::fpstate::LEGACY_BYTES;
use super::*;
use std::vec;
use std::vec::Vec;

pub const FXSAVE: Fpu = Fpu { size: 512, features: 0, mxcsr_mask: 0xFFFF };
pub const AVX: Fpu = Fpu { size: 832, features: 7, mxcsr_mask: 0xFFFF };
pub const AVX_512: Fpu = Fpu { size: 2696, features: 0x2E7, mxcsr_mask: 0xFFFF };

/// A piece of a program's memory.
pub struct Stack {
    pub base: u64,
    pub bytes: Vec<u8>,
}

impl Stack {
    pub fn new() -> Self {
        Self { base: 0x7FFF_0000_0000, bytes: vec![0xA5; 0x1_0000] }
    }

    pub fn top(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    fn range(&self, address: u64, len: usize) -> Result<core::ops::Range<usize>, Errno> {
        let start = address.checked_sub(self.base).map(|at| at as usize).ok_or(Errno::Efault)?;
        let end = start.checked_add(len).filter(|&end| end <= self.bytes.len()).ok_or(Errno::Efault)?;
        Ok(start..end)
    }
}

impl Sink for Stack {
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let range = self.range(address, bytes.len())?;
        self.bytes[range].copy_from_slice(bytes);
        Ok(())
    }
}

impl Bytes for Stack {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Errno> {
        into.copy_from_slice(&self.bytes[self.range(address, into.len())?]);
        Ok(())
    }
}

/// Every register another number.
pub fn registers(rsp: u64) -> TrapFrame {
    TrapFrame {
        r15: 15,
        r14: 14,
        r13: 13,
        r12: 12,
        r11: 11,
        r10: 10,
        r9: 9,
        r8: 8,
        rbp: 0xB9,
        rdi: 0xD1,
        rsi: 0x51,
        rdx: 0xDD,
        rcx: 0xCC,
        rbx: 0xBB,
        rax: 0xAA,
        vector: 0x100,
        error: 15,
        rip: 0x40_1234,
        cs: USER_CS,
        rflags: 0x10F57,
        rsp,
        ss: USER_DS,
    }
}

/// A saved state that says of itself which byte is where.
pub fn area(fpu: &Fpu) -> Vec<u8> {
    let mut area: Vec<u8> = (0..fpu.size).map(|at| (at * 7 + at / 256) as u8).collect();
    area[24..28].copy_from_slice(&0x1F80u32.to_le_bytes());
    area[464..512].fill(0);
    if fpu.has_xsave() {
        area[512..576].fill(0);
        area[512..520].copy_from_slice(&fpu.features.to_le_bytes());
    }
    area
}

pub fn action(flags: Flags) -> Action {
    Action { handler: 0x41_0000, flags: flags | Flags::RESTORER, restorer: 0x42_0000, mask: SigSet::EMPTY }
}

const FAULT: LastFault = LastFault { error: 6, vector: 14, cr2: 0xDEAD };
const MASK: SigSet = SigSet::of(&[Signal::HUP, Signal::RT_MAX]);

fn enter_on(
    stack: &mut Stack,
    rsp: u64,
    flags: Flags,
    alt: &AltStack,
    fpu: &Fpu,
) -> Result<TrapFrame, Errno> {
    let info = Info::fault(Signal::SEGV, 1, 0xDEAD);
    let action = action(flags);
    let call = Call { info: &info, action: &action, mask: MASK, stack: alt, fault: FAULT };
    let mut regs = registers(rsp);
    enter(&mut regs, &call, fpu, &mut area(fpu), stack).map(|()| regs)
}

fn word(stack: &Stack, at: u64) -> u64 {
    let mut bytes = [0; 8];
    stack.read(at, &mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

#[test]
fn a_handler_is_called_as_the_abi_has_it() {
    for fpu in [FXSAVE, AVX, AVX_512] {
        let mut stack = Stack::new();
        let rsp = stack.top() - 1000;
        let regs = enter_on(&mut stack, rsp, Flags::SIGINFO, &AltStack::NONE, &fpu).unwrap();
        assert_eq!(regs.rsp % 16, 8);
        assert_eq!((regs.rip, regs.rdi, regs.rax), (0x41_0000, 11, 0));
        assert_eq!((regs.rdx, regs.rsi), (regs.rsp + 8, regs.rsp + 312));
        assert_eq!((regs.cs, regs.ss, regs.rflags), (USER_CS, USER_DS, 0x00A57));
        assert_eq!((regs.rbx, regs.r15, regs.rcx), (0xBB, 15, 0xCC), "the rest is as it was");
        assert_eq!(word(&stack, regs.rsp), 0x42_0000);
        let flags = if fpu.has_xsave() { 7 } else { 6 };
        assert_eq!(word(&stack, regs.rdx), flags);
        // The places that programs know from their headers: gregs[REG_RIP], cr2, the mask, siginfo.
        assert_eq!(word(&stack, regs.rdx + 40 + 16 * 8), 0x40_1234);
        assert_eq!(word(&stack, regs.rdx + 40 + 15 * 8), rsp);
        assert_eq!(word(&stack, regs.rdx + 40 + 18 * 8), USER_CS | USER_DS << 48);
        assert_eq!(word(&stack, regs.rdx + 40 + 19 * 8), 6);
        assert_eq!(word(&stack, regs.rdx + 40 + 20 * 8), 14);
        assert_eq!(word(&stack, regs.rdx + 40 + 22 * 8), 0xDEAD);
        assert_eq!(word(&stack, regs.rdx + 296), MASK.bits());
        assert_eq!(word(&stack, regs.rsi + 16), 0xDEAD);
        // The red zone and what is above it are as they were.
        assert!(stack.bytes[stack.bytes.len() - 1000 - 128..].iter().all(|&byte| byte == 0xA5));
        assert!(rsp - 128 - regs.rsp <= size_max(&fpu));
    }
}

#[test]
fn floating_point_state_has_its_marks() {
    for fpu in [AVX, AVX_512] {
        let mut stack = Stack::new();
        let rsp = stack.top() - 777;
        let regs = enter_on(&mut stack, rsp, Flags::empty(), &AltStack::NONE, &fpu).unwrap();
        let at = word(&stack, regs.rdx + 40 + 184);
        assert_eq!(at % 64, 0);
        assert_eq!(word(&stack, at + 464), 0x4650_5853 | (fpu.size as u64 + 4) << 32);
        assert_eq!(word(&stack, at + 472), fpu.features);
        assert_eq!(word(&stack, at + 480), fpu.size as u64);
        assert_eq!(word(&stack, at + fpu.size as u64) as u32, 0x4650_5845);
        let start = (at - stack.base) as usize;
        assert_eq!(stack.bytes[start..start + 464], area(&fpu)[..464]);
        assert_eq!(stack.bytes[start + 512..start + fpu.size], area(&fpu)[512..]);
    }
}

/// XSAVEOPT leaves out what is in its state after reset; what lies there then is old.
#[test]
fn what_was_not_saved_is_not_shown() {
    let mut saved = area(&AVX);
    saved[512] = 4;
    let mut stack = Stack::new();
    AVX.write(stack.base, &mut saved, &mut stack).unwrap();
    assert_eq!(stack.bytes[..2], 0x037Fu16.to_le_bytes());
    assert!(stack.bytes[2..24].iter().chain(&stack.bytes[32..416]).all(|&byte| byte == 0));
    assert_eq!((stack.bytes[24..28].to_vec(), stack.bytes[512]), (0x1F80u32.to_le_bytes().to_vec(), 7));
}

#[test]
fn there_and_back_again() {
    for fpu in [FXSAVE, AVX, AVX_512] {
        let mut stack = Stack::new();
        let rsp = stack.top() - 333;
        let alt = AltStack { sp: stack.base, flags: 0, size: 0x4000 };
        let mut regs = enter_on(&mut stack, rsp, Flags::empty(), &alt, &fpu).unwrap();
        // The handler's `ret`, and a restorer that calls sigreturn with registers of its own.
        regs.rsp += 8;
        regs.rflags = 0x202;
        let mut loaded = vec![0xEE; fpu.size];
        let back = leave(&regs, &fpu, &mut loaded, &stack).unwrap();
        let expected = TrapFrame { rflags: 0x10F57, ..registers(rsp) };
        assert_eq!(back.registers, expected);
        assert_eq!((back.mask, back.stack), (MASK, alt));
        assert_eq!(loaded, area(&fpu));
    }
}

#[test]
fn the_alternate_stack_is_used_if_asked_for() {
    let mut stack = Stack::new();
    let rsp = stack.top() - 64;
    let alt = AltStack { sp: stack.base, flags: 0, size: 0x4000 };
    let top = alt.sp + alt.size;
    let without = enter_on(&mut stack, rsp, Flags::empty(), &alt, &AVX).unwrap();
    assert!(without.rsp > top);
    let regs = enter_on(&mut stack, rsp, Flags::ONSTACK, &alt, &AVX).unwrap();
    assert!(regs.rsp < top && top - regs.rsp <= size_max(&AVX), "no red zone there");
    // On it already: below what is there, with or without the flag.
    let nested = enter_on(&mut stack, regs.rsp, Flags::ONSTACK, &alt, &AVX).unwrap();
    assert!(nested.rsp < regs.rsp - 128 && alt.holds(nested.rsp));
    // To forget it, it must not count as in use.
    let auto = AltStack { flags: super::super::altstack::SS_AUTODISARM, ..alt };
    let again = enter_on(&mut stack, regs.rsp, Flags::ONSTACK, &auto, &AVX).unwrap();
    assert_eq!(again.rsp, regs.rsp);
}

#[test]
fn a_stack_that_is_too_short_is_an_error_and_changes_nothing() {
    let mut stack = Stack::new();
    let rsp = stack.top();
    let small = AltStack { sp: stack.base + 0x8000, flags: 0, size: 1000 };
    let before = stack.bytes.clone();
    assert_eq!(enter_on(&mut stack, rsp, Flags::ONSTACK, &small, &AVX), Err(Errno::Efault));
    // Nested, where there is no room left.
    let alt = AltStack { sp: stack.base + 0x8000, flags: 0, size: 0x1000 };
    assert_eq!(enter_on(&mut stack, alt.sp + 200, Flags::empty(), &alt, &AVX), Err(Errno::Efault));
    for rsp in [0, 100, stack.base, u64::MAX, 0xFFFF_8000_0000_0000] {
        assert_eq!(enter_on(&mut stack, rsp, Flags::empty(), &AltStack::NONE, &AVX), Err(Errno::Efault));
    }
    assert_eq!(stack.bytes, before);
}

#[test]
fn without_a_restorer_there_is_no_way_back_and_so_no_way_in() {
    let mut stack = Stack::new();
    let info = Info::kernel(Signal::TERM);
    let action = Action { flags: Flags::empty(), ..action(Flags::empty()) };
    let call = Call { info: &info, action: &action, mask: MASK, stack: &AltStack::NONE, fault: FAULT };
    let mut regs = registers(stack.top());
    assert_eq!(enter(&mut regs, &call, &AVX, &mut area(&AVX), &mut stack), Err(Errno::Efault));
    assert_eq!(regs, registers(stack.top()));
}

#[test]
fn flags_selectors_and_the_mask_are_what_a_program_may_have() {
    let mut stack = Stack::new();
    let rsp = stack.top();
    let mut regs = enter_on(&mut stack, rsp, Flags::empty(), &AltStack::NONE, &FXSAVE).unwrap();
    let frame = (regs.rsp - stack.base) as usize;
    stack.bytes[frame + SC + 17 * 8..][..8].fill(0xFF);
    stack.bytes[frame + SC_CS..frame + SC_SS + 2].fill(0);
    stack.bytes[frame + UC_MASK..][..8].fill(0xFF);
    regs.rsp += 8;
    regs.rflags = 0x202;
    let back = leave(&regs, &FXSAVE, &mut vec![0; 512], &stack).unwrap();
    assert_eq!(back.registers.rflags, 0x202 | USER_FLAGS);
    assert_eq!((back.registers.cs, back.registers.ss), (USER_CS, USER_DS));
    assert_eq!(back.mask, SigSet::mask(u64::MAX));
    stack.bytes[frame + SC + 17 * 8..][..8].fill(0);
    let back = leave(&regs, &FXSAVE, &mut vec![0; 512], &stack).unwrap();
    assert_eq!(back.registers.rflags, 0x202, "interrupts stay on");
}

/// A frame whose state is read back, after a change to it.
fn reread(fpu: &Fpu, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut stack = Stack::new();
    fpu.write(stack.base, &mut area(fpu), &mut stack).unwrap();
    change(&mut stack.bytes);
    let mut loaded = vec![0xEE; fpu.size];
    fpu.read(stack.base, &mut loaded, &stack).unwrap();
    loaded
}

#[test]
fn what_would_make_xrstor_fault_is_taken_out() {
    let loaded = reread(&AVX, |bytes| {
        bytes[24..28].fill(0xFF);
        bytes[512..576].fill(0xFF);
    });
    assert_eq!(loaded[24..28], [0xFF, 0xFF, 0, 0]);
    assert_eq!(u64::from_le_bytes(loaded[512..520].try_into().unwrap()), 7);
    assert!(loaded[520..576].iter().all(|&byte| byte == 0));
    // Of what the frame says there is.
    let loaded = reread(&AVX_512, |bytes| bytes[472..480].copy_from_slice(&0x23u64.to_le_bytes()));
    assert_eq!(u64::from_le_bytes(loaded[512..520].try_into().unwrap()), 0x23);
}

#[test]
fn a_frame_with_one_magic_is_fxsaves() {
    let legacy_only = |change: fn(&mut [u8])| {
        let loaded = reread(&AVX, change);
        assert_eq!(loaded[..464], area(&AVX)[..464]);
        assert_eq!(loaded[512], 3);
        assert!(loaded[513..].iter().all(|&byte| byte == 0));
    };
    legacy_only(|bytes| bytes[464] ^= 1);
    legacy_only(|bytes| bytes[832] ^= 1);
    legacy_only(|bytes| bytes[480..484].copy_from_slice(&575u32.to_le_bytes()));
    legacy_only(|bytes| bytes[480..484].copy_from_slice(&833u32.to_le_bytes()));
    legacy_only(|bytes| bytes[468..472].copy_from_slice(&831u32.to_le_bytes()));
    // One from a CPU with less: what it has counts.
    let loaded = reread(&AVX, |bytes| {
        bytes[480..484].copy_from_slice(&576u32.to_le_bytes());
        bytes[576..580].copy_from_slice(&0x4650_5845u32.to_le_bytes());
    });
    assert_eq!(loaded[512], 7);
    assert!(loaded[576..].iter().all(|&byte| byte == 0));
}

#[test]
fn without_state_it_is_that_after_reset() {
    for fpu in [FXSAVE, AVX] {
        let mut loaded = vec![0xEE; fpu.size];
        fpu.read(0, &mut loaded, &Stack::new()).unwrap();
        let mut expected = vec![0; fpu.size];
        expected[..2].copy_from_slice(&0x037Fu16.to_le_bytes());
        expected[24..28].copy_from_slice(&0x1F80u32.to_le_bytes());
        assert_eq!(loaded, expected);
    }
    let legacy = [0; LEGACY_BYTES];
    assert_eq!(Fpu::new(512, 0, &legacy).mxcsr_mask, 0xFFBF);
}
