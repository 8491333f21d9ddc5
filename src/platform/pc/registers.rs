//! Registers that ACPI's tables name: in memory, at ports, or in PCI configuration space.
//! Source: ACPI 6.5 §5.2.3.2 (generic address structure).

use super::{memory, pci};
use crate::acpi::gas::{Gas, PciRegister, Space};
use crate::arch::x86_64::access::{Ports, RealPorts};
use crate::platform::{Cache, PciAddress};

fn ports() -> RealPorts {
    // SAFETY: used below for registers that ACPI's tables name.
    unsafe { RealPorts::new() }
}

/// Where a register of `len` bytes in memory is mapped.
fn mapped(register: &Gas, len: u64) -> Option<u64> {
    memory::map_device(register.address, len, Cache::Uncached).ok()
}

/// Where a register is, for handlers, which cannot look for it.
#[derive(Clone, Copy, Debug)]
pub enum Reached {
    Port(u16),
    /// Mapped there, uncached, for good.
    Memory(u64),
}

impl Reached {
    pub fn read16(self) -> u16 {
        match self {
            Self::Port(port) => ports().read16(port),
            // SAFETY: `reach` alone makes this, of a device register that the firmware names.
            Self::Memory(virt) => unsafe { (virt as *const u16).read_volatile() },
        }
    }

    pub fn write16(self, value: u16) {
        match self {
            Self::Port(port) => ports().write16(port, value),
            // SAFETY: as in `read16`.
            Self::Memory(virt) => unsafe { (virt as *mut u16).write_volatile(value) },
        }
    }
}

/// Finds and maps a register of `len` bytes.
pub fn reach(register: &Gas, len: u64) -> Option<Reached> {
    match register.space {
        Space::Io => Some(Reached::Port(u16::try_from(register.address).ok()?)),
        Space::Memory => Some(Reached::Memory(mapped(register, len)?)),
        _ => None,
    }
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
            let PciRegister { device, function, offset } = register.pci()?;
            pci::write(PciAddress { segment: 0, bus: 0, device, function }, offset, 1, value.into());
        }
        _ => return None,
    }
    Some(())
}
