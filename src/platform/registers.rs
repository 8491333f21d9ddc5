//! Registers that ACPI's tables name: in memory, at ports, or in PCI configuration space.
//! Source: ACPI 6.5 §5.2.3.2 (generic address structure).

use super::memory;
use crate::acpi::gas::{Gas, Space};
use crate::arch::x86_64::access::{Ports, RealPorts};
use crate::arch::x86_64::port;

fn ports() -> RealPorts {
    // SAFETY: used below for registers that ACPI's tables name, and for PCI's configuration ports.
    unsafe { RealPorts::new() }
}

/// Where a register of `len` bytes in memory is mapped.
fn mapped(register: &Gas, len: u64) -> Option<u64> {
    memory::map_device(register.address, len).ok()
}

/// Reads a register of 16 bits. `None`, here and below: it is in a space that cannot be reached.
pub fn read16(register: &Gas) -> Option<u16> {
    match register.space {
        Space::Io => Some(ports().read16(u16::try_from(register.address).ok()?)),
        // SAFETY: a device register that the firmware names, mapped uncached.
        Space::Memory => Some(unsafe { (mapped(register, 2)? as *const u16).read_volatile() }),
        _ => None,
    }
}

/// Writes a register of 16 bits.
pub fn write16(register: &Gas, value: u16) -> Option<()> {
    match register.space {
        Space::Io => ports().write16(u16::try_from(register.address).ok()?, value),
        // SAFETY: as in `read16`.
        Space::Memory => unsafe { (mapped(register, 2)? as *mut u16).write_volatile(value) },
        _ => return None,
    }
    Some(())
}

/// Writes a register of 8 bits.
pub fn write8(register: &Gas, value: u8) -> Option<()> {
    match register.space {
        Space::Io => ports().write8(u16::try_from(register.address).ok()?, value),
        // SAFETY: as in `read16`.
        Space::Memory => unsafe { (mapped(register, 1)? as *mut u8).write_volatile(value) },
        Space::PciConfig => {
            let place = register.pci()?;
            let offset = place.offset;
            // Mechanism 1 reaches the first 256 bytes (PCI 3.0 §3.2.2.3.2); the data port's low bits choose the byte.
            let low = u32::from(u8::try_from(offset).ok()?);
            let address = 1 << 31 | u32::from(place.device) << 11 | u32::from(place.function) << 8 | low & !3;
            ports().write32(port::PCI_ADDRESS, address);
            ports().write8(port::PCI_DATA + (offset & 3), value);
        }
        _ => return None,
    }
    Some(())
}
