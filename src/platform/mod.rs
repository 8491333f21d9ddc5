//! What the layers above may ask of the machine without knowing what machine it is.
//!
//! So far: the registers of the serial ports, the memory of the framebuffer and of devices, ACPI's tables, and
//! the ways to end it. The trait that makes this the same on every architecture comes with interrupts and time.

#[cfg(target_os = "none")]
pub mod acpi;
#[cfg(target_os = "none")]
pub mod clock;
#[cfg(target_os = "none")]
pub mod interrupts;
#[cfg(target_os = "none")]
pub mod memory;
#[cfg(target_os = "none")]
pub mod power;
#[cfg(target_os = "none")]
mod registers;
#[cfg(target_os = "none")]
pub mod timers;
#[cfg(target_os = "none")]
pub mod vectors;

use crate::arch::x86_64::port;
use crate::boot::info::Framebuffer;
use crate::boot::layout::MMIO_BASE;

pub use crate::arch::x86_64::port::PortBlock;
#[cfg(target_os = "none")]
pub use crate::arch::x86_64::reset::debug_exit;

/// I/O ports of ttyS0 and ttyS1.
const SERIAL_PORTS: [u16; 2] = [port::COM1, port::COM2];

/// ISA interrupt lines of ttyS0 and ttyS1, by the PC's convention.
pub const SERIAL_IRQS: [u8; 2] = [4, 3];

/// Which serial port has its registers at `base`.
pub fn serial_number(base: u16) -> Option<usize> {
    SERIAL_PORTS.iter().position(|&port| port == base)
}

/// Registers of serial port `number`: 0 is ttyS0.
pub fn serial_registers(number: usize) -> Option<PortBlock> {
    let base = SERIAL_PORTS.get(number).copied()?;
    // SAFETY: these ports are a UART by the PC's convention, or nothing; the console owns them.
    Some(unsafe { PortBlock::new(base) })
}

/// The framebuffer's pixels, where the loader mapped them; `None` if there are none.
pub fn framebuffer_pixels(fb: &Framebuffer) -> Option<*mut u32> {
    (fb.base != 0).then(|| (MMIO_BASE + fb.base) as *mut u32)
}
