//! RFLAGS.IF: whether this CPU takes interrupts.
//!
//! On the host, where tests run, there are none, and these do nothing.

/// The interrupt flag in RFLAGS.
pub const RFLAGS_IF: u64 = 1 << 9;

#[cfg(not(target_os = "linux"))]
mod live {
    use super::RFLAGS_IF;
    use core::arch::asm;

    /// Turns interrupts off; returns whether they were on.
    #[inline]
    pub fn disable() -> bool {
        let were_on = are_on();
        // SAFETY: clearing IF delays interrupts and does nothing else. It is a barrier to the compiler, so that
        // what follows stays behind it.
        unsafe { asm!("cli", options(nostack)) };
        were_on
    }

    /// Puts the flag back to what [`disable`] returned.
    #[inline]
    pub fn restore(were_on: bool) {
        if were_on {
            enable();
        }
    }

    /// Turns interrupts on.
    #[inline]
    pub fn enable() {
        // SAFETY: the IDT is complete before Rust runs; a handler returns to where it came from.
        unsafe { asm!("sti", options(nostack)) };
    }

    /// Takes the interrupt of a vector at once, whether they are on or not.
    #[inline(always)]
    pub fn raise<const VECTOR: u8>() {
        const { assert!(VECTOR >= 32, "that is an exception") };
        // SAFETY: the vector is no exception's, so its handler returns to here; it may do anything that handlers do.
        unsafe { asm!("int {}", const VECTOR) };
    }

    /// Whether they are on.
    #[inline]
    pub fn are_on() -> bool {
        let rflags: u64;
        // SAFETY: reads RFLAGS.
        unsafe { asm!("pushfq", "pop {}", out(reg) rflags, options(nomem, preserves_flags)) };
        rflags & RFLAGS_IF != 0
    }
}

#[cfg(target_os = "linux")]
mod live {
    pub fn disable() -> bool {
        false
    }

    pub fn restore(_: bool) {}

    pub fn enable() {}

    pub fn are_on() -> bool {
        false
    }
}

pub use live::*;
