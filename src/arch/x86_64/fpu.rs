//! The floating-point unit. The kernel itself does not use it; this puts its control words right.
//! Source: Intel SDM vol. 1 §8.1.5 (x87 control word), §10.2.3 (MXCSR).

use core::arch::asm;

/// MXCSR after reset: every exception masked, round to nearest.
const MXCSR_DEFAULT: u32 = 0x1F80;

/// Puts x87 and SSE control back to their state after reset, with all exceptions masked.
pub fn reset() {
    let mxcsr = MXCSR_DEFAULT;
    // SAFETY: CR4.OSFXSR is set and CR0.TS clear; nobody's floating-point state is loaded.
    unsafe { asm!("fninit", "ldmxcsr [{}]", in(reg) &mxcsr, options(nostack)) };
}
