//! Model-specific registers.

pub mod numbers;

/// The MSRs worth a look, by name.
#[cfg(target_os = "none")]
const SHOWN: &[(&str, u32)] = &[
    ("efer", numbers::IA32_EFER),
    ("pat", numbers::IA32_PAT),
    ("apic", numbers::IA32_APIC_BASE),
    ("fsbase", numbers::IA32_FS_BASE),
    ("gsbase", numbers::IA32_GS_BASE),
    ("kgsbase", numbers::IA32_KERNEL_GS_BASE),
];

#[cfg(target_os = "none")]
mod live {
    use core::arch::asm;

    /// Names and values of some MSRs, for display; `None` for one that this CPU does not have.
    pub fn shown() -> impl Iterator<Item = (&'static str, Option<u64>)> {
        super::SHOWN.iter().map(|&(name, number)| (name, super::super::probe::rdmsr(number)))
    }

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
