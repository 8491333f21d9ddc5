//! The doors for system calls: what the CPU is told of asm/syscall.S, and how the way back is chosen.
//!
//! Source: Intel SDM vol. 3 §5.8.8 (fast system calls in 64-bit mode), vol. 4 (MSRs); AMD APM vol. 2 §6.1.1.

use super::frame::{RFLAGS_RF, RFLAGS_TF, TrapFrame};
use super::selectors::{KERNEL_CS, USER_CS, USER_DS};

/// SYSCALL takes CS from bits 47:32 and SS = CS + 8. SYSRET takes SS = bits 63:48 + 8 and CS = bits 63:48 + 16, whose
/// low two bits AMD's CPUs leave as they are here.
pub const STAR: u64 = KERNEL_CS << 32 | (USER_DS - 8) << 48;

/// The flags that SYSCALL clears. What a program may set must not reach the kernel:
///
/// * IF: until the frame is complete there is no stack to interrupt;
/// * TF: or each single-stepped SYSCALL would trap in ring 0;
/// * DF: Rust expects string moves to go forwards;
/// * AC: it switches SMAP off;
/// * NT: IRETQ faults while it is set;
/// * IOPL: ring 3 cannot raise it; if that was ever wrong, it ends here.
pub const FMASK: u64 = 0x4_7700;

/// Whether SYSRETQ leads to where the frame says: asm/syscall.S in words.
///
/// It takes RIP from RCX and RFLAGS from R11, so those must agree. On Intel's CPUs a non-canonical RCX faults in ring 0
/// with the user's RSP (CVE-2012-0217): only the lower half is taken, bit 47 being the sign bit while CR4.LA57 is off.
/// TF would trap before the first instruction of ring 3, and RF is lost.
pub const fn sysret_is_safe(frame: &TrapFrame) -> bool {
    frame.rip == frame.rcx
        && frame.rflags == frame.r11
        && frame.rflags & (RFLAGS_TF | RFLAGS_RF) == 0
        && frame.rip >> 47 == 0
        && frame.cs == USER_CS
        && frame.ss == USER_DS
}

#[cfg(target_os = "none")]
pub use live::*;

#[cfg(target_os = "none")]
mod live {
    use super::super::cpu::Features;
    use super::super::frame::TrapFrame;
    use super::super::msr::{self, numbers};
    use super::super::percpu::{self, PerCpu};
    use super::super::stacks;
    use super::{FMASK, STAR};
    use core::sync::atomic::{AtomicU64, Ordering};

    unsafe extern "sysv64" {
        fn syscall_entry();
        fn syscall_framed();
        fn syscall_leave();
        fn syscall_end();
        fn syscall_compat();
        fn syscall_compat_framed();
    }

    /// Opens SYSCALL's door on this CPU, and says there which one it is. INT 0x80's is a gate like any other (asm/idt.S).
    ///
    /// # Safety
    /// Once on each CPU, with per-CPU data in place; and before ring 3 is entered, [`set_kernel_stack`].
    pub unsafe fn init() {
        // SAFETY: SYSCALL is a feature that this kernel requires, so all of these exist; CSTAR too, by the architecture
        // of long mode, whether the CPU uses it or not.
        unsafe {
            msr::wrmsr(numbers::IA32_STAR, STAR);
            msr::wrmsr(numbers::IA32_LSTAR, syscall_entry as *const () as u64);
            msr::wrmsr(numbers::IA32_CSTAR, syscall_compat as *const () as u64);
            msr::wrmsr(numbers::IA32_FMASK, FMASK);
            msr::wrmsr(numbers::IA32_EFER, msr::rdmsr(numbers::IA32_EFER) | numbers::EFER_SCE);
        }
        if Features::detect().contains(Features::RDTSCP) {
            // SAFETY: RDTSCP reads it, so it is there. One node, 0, has all the CPUs.
            unsafe { msr::wrmsr(numbers::IA32_TSC_AUX, percpu::number() as u64) };
        }
    }

    /// The stack on which this CPU enters the kernel from ring 3, by either door or by an interrupt.
    ///
    /// # Safety
    /// With interrupts off. `top` lies in a stack with a guard page, aligned to 16; below it there is nothing whenever
    /// ring 3 is entered.
    #[inline]
    pub unsafe fn set_kernel_stack(top: u64) {
        percpu::current().kernel_stack.store(top, Ordering::Relaxed);
        // SAFETY: as the caller says.
        unsafe { stacks::set_rsp0(top) };
    }

    /// Whether the kernel is at `rip` without a stack of its own, or with the user's GS.
    pub fn is_window(rip: u64) -> bool {
        is_entering(rip) || is_leaving(rip)
    }

    fn is_entering(rip: u64) -> bool {
        (syscall_entry as *const () as u64..syscall_framed as *const () as u64).contains(&rip)
            || (syscall_compat as *const () as u64..syscall_compat_framed as *const () as u64).contains(&rip)
    }

    fn is_leaving(rip: u64) -> bool {
        (syscall_leave as *const () as u64..syscall_end as *const () as u64).contains(&rip)
    }

    /// Counts an NMI that came in one of those places.
    pub fn count_nmi(cpu: &PerCpu, frame: &TrapFrame) {
        let counter: &AtomicU64 = match frame.rip {
            rip if is_entering(rip) => &cpu.nmis_entering,
            rip if is_leaving(rip) => &cpu.nmis_leaving,
            _ => return,
        };
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::x86_64::paging::is_canonical;
    use crate::testing::Random;

    fn by_syscall(rip: u64, rflags: u64) -> TrapFrame {
        TrapFrame { rip, rcx: rip, rflags, r11: rflags, cs: USER_CS, ss: USER_DS, ..TrapFrame::default() }
    }

    #[test]
    fn an_ordinary_call_returns_by_sysret() {
        assert!(sysret_is_safe(&by_syscall(0x40_0012, 0x202)));
        assert!(sysret_is_safe(&by_syscall(0x7FFF_FFFF_EFFF, 0x246)));
    }

    #[test]
    fn whatever_was_changed_returns_by_iret() {
        type Change = fn(&mut TrapFrame);
        let changes: &[Change] = &[
            |f| f.rip += 1,
            |f| f.rcx += 1,
            |f| f.rflags ^= 1,
            |f| f.r11 ^= 1,
            |f| (f.rflags, f.r11) = (0x302, 0x302),
            |f| (f.rflags, f.r11) = (0x1_0202, 0x1_0202),
            |f| f.cs = KERNEL_CS,
            |f| f.ss = USER_CS,
        ];
        for change in changes {
            let mut frame = by_syscall(0x40_0012, 0x202);
            change(&mut frame);
            assert!(!sysret_is_safe(&frame), "{frame:x?}");
        }
    }

    /// CVE-2012-0217: never with a non-canonical address, and not with one of the kernel's either.
    #[test]
    fn no_address_outside_the_lower_half() {
        for rip in [0x8000_0000_0000, 0xFFFF_7FFF_FFFF_FFFF, 1 << 63, 0xFFFF_8000_0000_0000, u64::MAX] {
            assert!(!sysret_is_safe(&by_syscall(rip, 0x202)), "{rip:#x}");
        }
        let mut random = Random::new(7);
        for _ in 0..100_000 {
            let rip = random.below(u64::MAX) >> random.below(64);
            let safe = sysret_is_safe(&by_syscall(rip, 0x202));
            assert_eq!(safe, is_canonical(rip) && rip >> 63 == 0, "{rip:#x}");
        }
    }

    #[test]
    fn the_segments_of_sysret_are_ring_3s() {
        assert_eq!((STAR >> 48) + 8, USER_DS);
        assert_eq!((STAR >> 48) + 16, USER_CS);
        assert_eq!(STAR >> 32 & 0xFFFF, KERNEL_CS);
        assert_eq!(FMASK, 1 << 18 | 1 << 14 | 3 << 12 | 1 << 10 | 1 << 9 | 1 << 8);
    }
}
