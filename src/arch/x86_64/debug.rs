//! Hardware breakpoints: four addresses that the CPU compares every access with.
//!
//! A hit is #DB, whose handler has one stack, entered at its top: a second hit before the first one's IRET would
//! begin on the frame that the first still needs. So the handlers of #DB, and of the NMI that may interrupt it,
//! begin with [`suspend`]; and the stacks that they are entered on, which the CPU and the entry code write to before
//! that, are refused by [`watch_writes`].
//! Source: Intel SDM vol. 3 §17.2 (debug registers).

use super::stacks;
use core::arch::asm;

/// DR6: which breakpoint it was, in bits 3:0; bit 13 an access to the debug registers; bit 14 a single step.
pub const DR6_BREAKPOINTS: u64 = 0xF;
pub const DR6_SINGLE_STEP: u64 = 1 << 14;
/// DR6 with nothing to report: these bits are always one.
const DR6_CLEAR: u64 = 0xFFFF_0FF0;
/// DR7 with nothing enabled: bit 10 is always one.
const DR7_OFF: u64 = 1 << 10;
/// DR7: the local and the global enable bit of each of the four.
const DR7_ENABLES: u64 = 0xFF;

/// What DR7 held before [`suspend`].
#[must_use = "what was watched stays switched off until it is resumed"]
pub struct Suspended(u64);

/// Switches all breakpoints off, for a handler that none may interrupt.
pub fn suspend() -> Suspended {
    let control = control();
    // A write costs more than a read, above all under a hypervisor, and mostly there is nothing to switch off.
    if control & DR7_ENABLES != 0 {
        watch_off();
    }
    Suspended(control)
}

impl Suspended {
    /// Whether there was one to switch off.
    pub fn was_watching(&self) -> bool {
        self.0 & DR7_ENABLES != 0
    }

    /// Puts them back.
    pub fn resume(self) {
        if self.was_watching() {
            // SAFETY: as it was; the addresses in DR0 to DR3 have not changed.
            unsafe { asm!("mov dr7, {}", in(reg) self.0, options(nostack, preserves_flags)) };
        }
    }
}

/// DR7.
fn control() -> u64 {
    let control;
    // SAFETY: reading it changes nothing.
    unsafe { asm!("mov {}, dr7", out(reg) control, options(nomem, nostack, preserves_flags)) };
    control
}

/// What #DB was about; [`take_status`] without making it ready for the next one.
pub fn status() -> u64 {
    let status;
    // SAFETY: reading it changes nothing.
    unsafe { asm!("mov {}, dr6", out(reg) status, options(nomem, nostack, preserves_flags)) };
    status
}

/// What #DB was about, and makes the register ready for the next one: the CPU only ever sets bits.
pub fn take_status() -> u64 {
    let status = status();
    // SAFETY: ring 0 may write DR6 at any time.
    unsafe { asm!("mov dr6, {}", in(reg) DR6_CLEAR, options(nomem, nostack, preserves_flags)) };
    status
}

/// Why something cannot be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The CPU compares 1, 2, 4 or 8 bytes at a multiple of their number.
    NotAligned,
    /// An interrupt stack: see the module's head.
    InterruptStack,
}

/// Stops at writes to the `len` bytes (1, 2, 4 or 8) at `address`, which is a multiple of that.
pub fn watch_writes(address: u64, len: u64) -> Result<(), Refused> {
    let length_bits = match len {
        1 => 0b00,
        2 => 0b01,
        4 => 0b11,
        8 => 0b10,
        _ => return Err(Refused::NotAligned),
    };
    if address % len != 0 {
        return Err(Refused::NotAligned);
    }
    if stacks::is_for_interrupts(address) {
        return Err(Refused::InterruptStack);
    }
    // Breakpoint 0: globally enabled (bit 1), exact (bit 9), on writes (01 in bits 17:16), length in bits 19:18.
    let control = DR7_OFF | 1 << 1 | 1 << 9 | 0b01 << 16 | length_bits << 18;
    // SAFETY: the handler of #DB knows of it; off while the address changes.
    unsafe {
        asm!("mov dr7, {}", in(reg) DR7_OFF, options(nostack, preserves_flags));
        asm!("mov dr0, {}", in(reg) address, options(nostack, preserves_flags));
        asm!("mov dr7, {}", in(reg) control, options(nostack, preserves_flags));
    }
    Ok(())
}

/// Stops at nothing any more.
pub fn watch_off() {
    // SAFETY: as above.
    unsafe { asm!("mov dr7, {}", in(reg) DR7_OFF, options(nostack, preserves_flags)) };
}

/// The watched address, if one is.
pub fn watched() -> Option<u64> {
    (control() & DR7_ENABLES != 0).then(last_watched)
}

/// The address that is watched, or was before [`suspend`].
pub fn last_watched() -> u64 {
    let address;
    // SAFETY: reading it changes nothing.
    unsafe { asm!("mov {}, dr0", out(reg) address, options(nomem, nostack, preserves_flags)) };
    address
}
