//! Hostile frames: `rt_sigreturn` from anywhere, with anything.
//!
//! `SIS_FUZZ` is how many (`make fuzz` asks for a million), `SIS_FUZZ_SEED` another sequence than always the same.

use super::tests::{AVX, AVX_512, FXSAVE, Stack, action, area, registers};
use super::*;
use crate::proc::signal::number::Signal;
use crate::testing::Random;
use std::vec::Vec;

const FRAMES: u64 = 50_000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// What XRSTOR or FXRSTOR faults for, by the manual.
fn faults(fpu: &Fpu, area: &[u8]) -> bool {
    let mxcsr = u32::from_le_bytes(area[24..28].try_into().unwrap());
    if mxcsr & !fpu.mxcsr_mask != 0 {
        return true;
    }
    let header = |at: usize| u64::from_le_bytes(area[at..at + 8].try_into().unwrap());
    fpu.has_xsave() && (header(512) & !fpu.features != 0 || area[520..576].iter().any(|&byte| byte != 0))
}

#[test]
fn hostile_frames_set_only_what_a_program_may_have() {
    let mut random = Random::new(number("SIS_FUZZ_SEED", 12));
    let rounds = number("SIS_FUZZ", FRAMES);
    let (mut taken, mut refused, mut extended) = (0u64, 0u64, 0u64);
    let mut stack = Stack::new();
    let info = Info::kernel(Signal::TERM);
    let action = action(Flags::empty());
    for _ in 0..rounds {
        let fpu = random.pick(&[FXSAVE, AVX, AVX_512]);
        let mut regs = registers(stack.top() - random.below(0x2000));
        let call = Call {
            info: &info,
            action: &action,
            mask: SigSet::EMPTY,
            stack: &AltStack::NONE,
            fault: LastFault::default(),
        };
        enter(&mut regs, &call, &fpu, &mut area(&fpu), &mut stack).unwrap();
        regs.rsp += 8;
        regs.rflags = 0x202;
        let frame = (regs.rsp - 8 - stack.base) as usize;
        let fpstate = (get(&stack.bytes[frame..], SC_FPSTATE) - stack.base) as usize;
        for _ in 0..random.below(6) {
            let (at, len) = match random.below(6) {
                0 => (frame + 8 * random.index(INFO / 8), 8),
                1 => (frame + SC_FPSTATE, 8),
                2 => (fpstate + 464 + 4 * random.index(8), 4),
                3 => (fpstate + 512 + random.index(64), 1),
                4 => (fpstate + random.index(512), 4),
                _ => (fpstate + random.index(fpu.frame_bytes()), 1),
            };
            let value = match random.below(4) {
                0 => u64::MAX,
                1 => stack.base + random.below(0x1_0000),
                2 => random.below(4000),
                _ => random.next_u64() >> random.below(64),
            };
            let len = len.min(stack.bytes.len() - at);
            stack.bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
        }
        if random.below(50) == 0 {
            regs.rsp = random.next_u64() >> random.below(64);
        }
        let mut loaded: Vec<u8> = std::vec![0xEE; fpu.size];
        let Ok(back) = leave(&regs, &fpu, &mut loaded, &stack) else {
            refused += 1;
            continue;
        };
        taken += 1;
        extended += u64::from(fpu.has_xsave() && loaded[512] & !3 != 0);
        assert!(!faults(&fpu, &loaded));
        let r = back.registers;
        assert_eq!((r.cs, r.ss, r.vector, r.error), (USER_CS, USER_DS, regs.vector, regs.error));
        assert_eq!(r.rflags & !USER_FLAGS, 0x202);
        assert!(!back.mask.contains(Signal::KILL) && !back.mask.contains(Signal::STOP));
        // Whatever stack it names is held against the rules; nothing of it is used as it is.
        let mut named = AltStack::NONE;
        let _ = named.set(&back.stack, r.rsp, 2048);
        let _ = (named.told(r.rsp), named.top_for(r.rsp));
        // And a handler called from there either finds a place or does not.
        let mut again = r;
        let _ = enter(&mut again, &Call { stack: &named, ..call }, &fpu, &mut loaded, &mut stack);
    }
    assert!(
        taken > rounds / 3 && refused > rounds / 20 && extended > rounds / 10,
        "{taken} {refused} {extended}"
    );
    std::println!("sigreturn fuzz: {rounds} hostile frames, {taken} taken");
}
