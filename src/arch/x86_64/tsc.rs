//! The time-stamp counter: what the clock is until there is a better one.
//! Source: Intel SDM vol. 3 §17.17.

/// Ticks since reset. Not ordered against other instructions; good enough for milliseconds.
#[inline]
pub fn read() -> u64 {
    // SAFETY: RDTSC exists on every x86_64 CPU and is allowed in ring 0 and in UEFI.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Ticks since reset, read after all earlier instructions are done.
#[inline(always)]
pub fn read_ordered() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: LFENCE and RDTSC exist on every x86_64 CPU. Not the intrinsics: the kernel's target has no SSE2, where
    // LFENCE counts as being of, so that it would be a call.
    unsafe {
        core::arch::asm!("lfence", "rdtsc", out("rax") low, out("rdx") high, options(nomem, nostack, preserves_flags))
    };
    high << 32 | low
}

/// What has been written to this CPU's counter since reset, in sum: IA32_TSC_ADJUST, or 0 where that does not exist.
#[cfg(target_os = "none")]
pub fn adjustment() -> u64 {
    use super::cpu::Features;
    use super::msr::{numbers, rdmsr};
    if !Features::detect().contains(Features::TSC_ADJUST) {
        return 0;
    }
    // SAFETY: it exists.
    unsafe { rdmsr(numbers::IA32_TSC_ADJUST) }
}

/// Waits for so many ticks.
pub fn wait(ticks: u64) {
    let start = read();
    while read().wrapping_sub(start) < ticks {
        core::hint::spin_loop();
    }
}

/// Nanoseconds that `ticks` take at `hz`; 0 if the rate is not known. Exact for any 64-bit count.
pub fn to_ns(ticks: u64, hz: u64) -> u64 {
    if hz == 0 {
        return 0;
    }
    (u128::from(ticks) * 1_000_000_000 / u128::from(hz)) as u64
}

#[cfg(test)]
mod tests {
    use super::to_ns;

    #[test]
    fn conversion_does_not_overflow() {
        assert_eq!(to_ns(2_400_000_000 * 86_400 * 365, 2_400_000_000), 86_400 * 365 * 1_000_000_000);
        assert_eq!(to_ns(1, 1_000_000_000), 1);
        assert_eq!(to_ns(5, 0), 0);
    }
}
