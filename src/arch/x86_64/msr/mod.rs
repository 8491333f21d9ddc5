//! Model-specific registers.

pub mod numbers;

#[cfg(target_os = "none")]
mod live {
    use core::arch::asm;

    /// Reads an MSR.
    ///
    /// # Safety
    /// The MSR exists on this CPU (else #GP; see `probe::rdmsr` for asking).
    pub unsafe fn rdmsr(number: u32) -> u64 {
        let (low, high): (u32, u32);
        // SAFETY: the caller's promise; RDMSR changes nothing else.
        unsafe {
            asm!("rdmsr", in("ecx") number, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
        }
        u64::from(high) << 32 | u64::from(low)
    }

    /// Writes an MSR.
    ///
    /// # Safety
    /// The MSR exists, takes this value, and running code survives the change.
    pub unsafe fn wrmsr(number: u32, value: u64) {
        // SAFETY: the caller's promise.
        unsafe {
            asm!("wrmsr", in("ecx") number, in("eax") value as u32, in("edx") (value >> 32) as u32,
                options(nostack, preserves_flags));
        }
    }
}

#[cfg(target_os = "none")]
pub use live::*;
