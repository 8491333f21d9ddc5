//! I/O ports: the other address space, 64 Ki bytes wide, that only IN and OUT reach.
//! Source: Intel SDM vol. 1 §19 (input/output).

use core::arch::asm;

/// First register of the first serial port, by the PC's convention.
pub const COM1: u16 = 0x3F8;
/// First register of the second serial port.
pub const COM2: u16 = 0x2F8;
/// Chipset reset control register: bit 2 resets, bit 1 makes it a hard reset (Intel PCH data sheets, "RST_CNT").
pub const RESET_CONTROL: u16 = 0xCF9;
/// Keyboard controller's command and status register; command 0xFE pulses the reset line.
pub const KEYBOARD_COMMAND: u16 = 0x64;
/// PCI configuration mechanism 1: which register.
pub const PCI_ADDRESS: u16 = 0xCF8;
/// PCI configuration mechanism 1: its content.
pub const PCI_DATA: u16 = 0xCFC;
/// QEMU's isa-debug-exit device: writing `v` ends QEMU with status `2 * v + 1`.
pub const DEBUG_EXIT: u16 = 0xF4;

/// Reads a byte.
///
/// # Safety
/// Reading a port can change the device behind it; the caller owns that device.
#[inline]
pub unsafe fn inb(port: u16) -> u8 {
    let value;
    // SAFETY: IN touches neither memory nor flags; the device is the caller's promise.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes a byte.
///
/// # Safety
/// As for [`inb`], and a device that masters the bus can write anywhere: the caller knows what it will do.
#[inline]
pub unsafe fn outb(port: u16, value: u8) {
    // SAFETY: OUT itself touches neither memory nor flags; the device is the caller's promise.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) };
}

/// Reads 16 bits.
///
/// # Safety
/// As for [`inb`].
#[inline]
pub unsafe fn inw(port: u16) -> u16 {
    let value;
    // SAFETY: as in `inb`.
    unsafe { asm!("in ax, dx", in("dx") port, out("ax") value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes 16 bits.
///
/// # Safety
/// As for [`outb`].
#[inline]
pub unsafe fn outw(port: u16, value: u16) {
    // SAFETY: as in `outb`.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags)) };
}

/// Reads 32 bits.
///
/// # Safety
/// As for [`inb`].
#[inline]
pub unsafe fn inl(port: u16) -> u32 {
    let value;
    // SAFETY: as in `inb`.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes 32 bits.
///
/// # Safety
/// As for [`outb`].
#[inline]
pub unsafe fn outl(port: u16, value: u32) {
    // SAFETY: as in `outb`.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags)) };
}

/// A device with byte-wide registers at consecutive ports.
#[derive(Clone, Copy, Debug)]
pub struct PortBlock {
    base: u16,
}

impl PortBlock {
    /// # Safety
    /// The caller owns the device whose registers begin at `base`, and any access to them is harmless to
    /// memory: it does not master the bus.
    pub const unsafe fn new(base: u16) -> Self {
        Self { base }
    }

    /// Port of the first register.
    pub const fn base(self) -> u16 {
        self.base
    }

    /// Reads register `index`.
    #[inline]
    pub fn read(&self, index: u8) -> u8 {
        // SAFETY: `new`'s caller vouched for these ports.
        unsafe { inb(self.base + u16::from(index)) }
    }

    /// Writes register `index`.
    #[inline]
    pub fn write(&self, index: u8, value: u8) {
        // SAFETY: `new`'s caller vouched for these ports.
        unsafe { outb(self.base + u16::from(index), value) }
    }
}
