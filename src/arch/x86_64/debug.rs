//! Hardware breakpoints: four addresses that the CPU compares every access with.
//! Source: Intel SDM vol. 3 §17.2 (debug registers).

use core::arch::asm;

/// DR6: which breakpoint it was, in bits 3:0; bit 13 an access to the debug registers; bit 14 a single step.
pub const DR6_BREAKPOINTS: u64 = 0xF;
pub const DR6_SINGLE_STEP: u64 = 1 << 14;
/// DR6 with nothing to report: these bits are always one.
const DR6_CLEAR: u64 = 0xFFFF_0FF0;
/// DR7 with nothing enabled: bit 10 is always one.
const DR7_OFF: u64 = 1 << 10;

/// What #DB was about, and makes the register ready for the next one: the CPU only ever sets bits.
pub fn take_status() -> u64 {
    let status: u64;
    // SAFETY: ring 0 may read and write DR6 at any time.
    unsafe {
        asm!("mov {}, dr6", out(reg) status, options(nomem, nostack, preserves_flags));
        asm!("mov dr6, {}", in(reg) DR6_CLEAR, options(nomem, nostack, preserves_flags));
    }
    status
}

/// Stops at writes to the `len` bytes (1, 2, 4 or 8) at `address`, which is a multiple of that. False if it is not.
pub fn watch_writes(address: u64, len: u64) -> bool {
    let length_bits = match len {
        1 => 0b00,
        2 => 0b01,
        4 => 0b11,
        8 => 0b10,
        _ => return false,
    };
    if address % len != 0 {
        return false;
    }
    // Breakpoint 0: globally enabled (bit 1), exact (bit 9), on writes (01 in bits 17:16), length in bits 19:18.
    let control = DR7_OFF | 1 << 1 | 1 << 9 | 0b01 << 16 | length_bits << 18;
    // SAFETY: the handler of #DB knows of it; off while the address changes.
    unsafe {
        asm!("mov dr7, {}", in(reg) DR7_OFF, options(nostack, preserves_flags));
        asm!("mov dr0, {}", in(reg) address, options(nostack, preserves_flags));
        asm!("mov dr7, {}", in(reg) control, options(nostack, preserves_flags));
    }
    true
}

/// Stops at nothing any more.
pub fn watch_off() {
    // SAFETY: as above.
    unsafe { asm!("mov dr7, {}", in(reg) DR7_OFF, options(nostack, preserves_flags)) };
}

/// The watched address, if one is.
pub fn watched() -> Option<u64> {
    let (address, control): (u64, u64);
    // SAFETY: reading them changes nothing.
    unsafe {
        asm!("mov {}, dr0", out(reg) address, options(nomem, nostack, preserves_flags));
        asm!("mov {}, dr7", out(reg) control, options(nomem, nostack, preserves_flags));
    }
    (control & 0xFF != 0).then_some(address)
}
