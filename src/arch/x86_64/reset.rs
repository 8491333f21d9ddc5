//! Ending it: reset, and QEMU's exit device.
//!
//! Without ACPI there are three ways to reset a PC, each of which some machine lacks; they are tried in
//! order of politeness. Power-off needs ACPI.

use super::port::{self, DEBUG_EXIT, KEYBOARD_COMMAND, RESET_CONTROL};
use core::arch::asm;

/// Resets the machine.
pub fn reset() -> ! {
    // SAFETY: the machine is going away; nothing is left for these writes to harm.
    unsafe {
        // A hard reset takes two writes: the kind first, then the edge on bit 2.
        port::outb(RESET_CONTROL, 0x02);
        port::outb(RESET_CONTROL, 0x06);
        pause();
        // Bit 1 of its status: the controller has not read the last byte yet.
        let mut tries = 100_000;
        while port::inb(KEYBOARD_COMMAND) & 2 != 0 && tries > 0 {
            tries -= 1;
        }
        port::outb(KEYBOARD_COMMAND, 0xFE);
        pause();
        // An IDT of length zero and an exception: #UD cannot be delivered, nor #GP, nor #DF. The CPU shuts
        // down, and the chipset takes that for a reset.
        let no_idt = [0u16; 5];
        asm!("lidt [{}]", "ud2", in(reg) no_idt.as_ptr(), options(noreturn));
    }
}

/// Time for a reset or power line to act.
pub fn pause() {
    for _ in 0..1_000_000 {
        core::hint::spin_loop();
    }
}

/// Ends QEMU with a status, where it has the isa-debug-exit device: 33 for success, 35 for failure.
/// Elsewhere the write goes nowhere and this returns.
pub fn debug_exit(success: bool) {
    // SAFETY: port 0xF4 is either that device or nothing.
    unsafe { port::outb(DEBUG_EXIT, if success { 0x10 } else { 0x11 }) };
}
