//! Into ring 3 and out of it (asm/user.S), and what a program has in its segment registers.
//!
//! A thread goes to ring 3 by [`enter`], as if it called the program, and comes back from there when somebody calls
//! [`leave`]. In between the kernel enters from ring 3 just below where `enter` stood on the thread's own stack.

use super::cpu;
use super::frame::TrapFrame;
use super::msr::{self, numbers};
use super::selectors::{USER_CS, USER_DS};
use core::arch::asm;

unsafe extern "sysv64" {
    fn user_enter(start: *const Start);
    fn user_leave() -> !;
    fn user_selectors(selectors: u64);
}

/// How a program begins.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Start {
    /// All its registers.
    pub frame: TrapFrame,
    pub segments: Segments,
}

impl Start {
    /// At `rip`, with that stack, `argument` in rdi, and every other register zero. The bases are user addresses.
    pub fn new(rip: u64, rsp: u64, argument: u64, (fs_base, gs_base): (u64, u64)) -> Self {
        const RFLAGS_IF: u64 = 1 << 9;
        const RFLAGS_ONE: u64 = 1 << 1;
        let frame = TrapFrame {
            rip,
            rsp,
            rdi: argument,
            cs: USER_CS,
            ss: USER_DS,
            rflags: RFLAGS_IF | RFLAGS_ONE,
            ..TrapFrame::default()
        };
        Self { frame, segments: Segments::with_bases(fs_base, gs_base) }
    }
}

/// Runs a program until somebody calls [`leave`]. Interrupts are as they were.
///
/// # Safety
/// The lower half of the address space is the program's, and stays so for this thread.
pub unsafe fn enter(start: &Start) {
    // SAFETY: the caller's promise; asm/user.S has the layers above prepare what the thread needs.
    unsafe { user_enter(start) };
}

/// Ends the program that this thread runs: [`enter`] returns.
///
/// # Safety
/// The thread is in [`enter`], this is a trap or a system call of its program's, interrupts are off, and nothing on
/// this kernel stack is needed any more (no lock is held).
pub unsafe fn leave() -> ! {
    // SAFETY: the caller's promise.
    unsafe { user_leave() }
}

/// Ring 3's data segment registers and their bases. The kernel uses none of them: DS and ES have no meaning in long
/// mode, FS it leaves alone, and while it runs the program's GS base waits in IA32_KERNEL_GS_BASE.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Segments {
    /// DS, ES, FS and GS, from the lowest 16 bits up.
    selectors: u64,
    fs_base: u64,
    gs_base: u64,
}

impl Segments {
    /// Null selectors, and these bases.
    pub const fn with_bases(fs_base: u64, gs_base: u64) -> Self {
        Self { selectors: 0, fs_base, gs_base }
    }

    pub const fn fs_base(&self) -> u64 {
        self.fs_base
    }

    pub const fn gs_base(&self) -> u64 {
        self.gs_base
    }

    /// The same selectors with other bases, which are user addresses.
    pub const fn with_other_bases(&self, fs_base: u64, gs_base: u64) -> Self {
        Self { selectors: self.selectors, fs_base, gs_base }
    }

    /// What the CPU has.
    ///
    /// # Safety
    /// With interrupts off.
    #[inline]
    pub unsafe fn save(&mut self) {
        self.selectors = selectors();
        // SAFETY: FSGSBASE is on where it is said to be, else the MSRs are there. Between the two SWAPGS GS is ring 3's:
        // nothing but an NMI, a debug trap or a machine check can come, and those find ours by themselves.
        unsafe {
            if cpu::has_fsgsbase() {
                asm!("rdfsbase {}", "swapgs", "rdgsbase {}", "swapgs", out(reg) self.fs_base, out(reg) self.gs_base,
                    options(nostack, preserves_flags));
            } else {
                self.fs_base = msr::rdmsr(numbers::IA32_FS_BASE);
                self.gs_base = msr::rdmsr(numbers::IA32_KERNEL_GS_BASE);
            }
        }
    }

    /// Gives them to the CPU.
    ///
    /// # Safety
    /// With interrupts off. They are what [`save`](Self::save) found, or what [`with_bases`](Self::with_bases) made of
    /// user addresses.
    #[inline]
    pub unsafe fn load(&self) {
        // SAFETY: the selectors are null or ring 3's; the bases are written behind them, for to load a selector may
        // clear its base. SWAPGS as above.
        unsafe {
            if selectors() | self.selectors != 0 {
                user_selectors(self.selectors);
            }
            if cpu::has_fsgsbase() {
                asm!("wrfsbase {}", "swapgs", "wrgsbase {}", "swapgs", in(reg) self.fs_base, in(reg) self.gs_base,
                    options(nostack, preserves_flags));
            } else {
                msr::wrmsr(numbers::IA32_FS_BASE, self.fs_base);
                msr::wrmsr(numbers::IA32_KERNEL_GS_BASE, self.gs_base);
            }
        }
    }
}

/// DS, ES, FS and GS as they are.
#[inline]
fn selectors() -> u64 {
    let (ds, es, fs, gs): (u64, u64, u64, u64);
    // SAFETY: reading them has no effect.
    unsafe {
        asm!("mov {:e}, ds", "mov {:e}, es", "mov {:e}, fs", "mov {:e}, gs", out(reg) ds, out(reg) es, out(reg) fs,
            out(reg) gs, options(nomem, nostack, preserves_flags));
    }
    ds | es << 16 | fs << 32 | gs << 48
}
