//! PCI's configuration space: by memory (ECAM) where the MCFG names it, else by the ports of mechanism 1.
//!
//! Source: PCI Local Bus 3.0 §3.2.2.3.2 (mechanism 1); PCI Express Base 5.0 §7.2.2 (ECAM).

use super::{acpi, memory};
use crate::acpi::mcfg::Mcfg;
use crate::acpi::sdt::Signature;
use crate::arch::x86_64::access::{Ports, RealPorts};
use crate::arch::x86_64::port;
use crate::platform::{Cache, PciAddress};
use crate::sync::IrqLock;

/// Mechanism 1 is two ports, one after the other: address, then data.
static PORTS: IrqLock<()> = IrqLock::new(());

/// All ones of `width` bytes: what a bus answers where there is nobody.
const fn nothing(width: u8) -> u32 {
    u32::MAX >> (32 - 8 * width as u32)
}

/// Where a function's configuration space is mapped, if the MCFG knows its bus.
fn ecam(at: PciAddress, offset: u16) -> Option<u64> {
    let tables = acpi::tables()?;
    let table = tables.find(Signature::MCFG)?;
    let mcfg = Mcfg::parse(&table).ok()?;
    let bus =
        mcfg.allocations().filter(|one| one.segment == at.segment).find_map(|one| one.bus_address(at.bus))?;
    let function = bus + (u64::from(at.device) << 15 | u64::from(at.function) << 12);
    Some(memory::map_device(function, 4096, Cache::Uncached).ok()? + u64::from(offset))
}

/// The data port for `offset`, with the address port written. The caller has the lock.
fn select(at: PciAddress, offset: u16) -> Option<u16> {
    let low = u8::try_from(offset).ok().filter(|_| at.segment == 0)?;
    let function = u32::from(at.bus) << 16 | u32::from(at.device) << 11 | u32::from(at.function) << 8;
    ports().write32(port::PCI_ADDRESS, 1 << 31 | function | u32::from(low & !3));
    // The data port's low bits choose the byte.
    Some(port::PCI_DATA + (offset & 3))
}

fn ports() -> RealPorts {
    // SAFETY: used for PCI's two configuration ports alone.
    unsafe { RealPorts::new() }
}

fn exists(at: PciAddress, offset: u16, width: u8) -> bool {
    at.device < 32
        && at.function < 8
        && offset < 4096
        && matches!(width, 1 | 2 | 4)
        && offset % u16::from(width) == 0
}

/// See [`Platform::pci_read`](crate::platform::Platform::pci_read).
pub fn read(at: PciAddress, offset: u16, width: u8) -> u32 {
    if !exists(at, offset, width) {
        return u32::MAX;
    }
    if let Some(address) = ecam(at, offset) {
        // SAFETY: a register of configuration space, mapped uncached; `exists` has checked the alignment.
        return unsafe {
            match width {
                1 => u32::from((address as *const u8).read_volatile()),
                2 => u32::from((address as *const u16).read_volatile()),
                _ => (address as *const u32).read_volatile(),
            }
        };
    }
    let _guard = PORTS.lock();
    match (select(at, offset), width) {
        (None, _) => nothing(width),
        (Some(data), 1) => ports().read8(data).into(),
        (Some(data), 2) => ports().read16(data).into(),
        (Some(data), _) => ports().read32(data),
    }
}

/// See [`Platform::pci_write`](crate::platform::Platform::pci_write).
pub fn write(at: PciAddress, offset: u16, width: u8, value: u32) {
    if !exists(at, offset, width) {
        return;
    }
    if let Some(address) = ecam(at, offset) {
        // SAFETY: as in `read`.
        return unsafe {
            match width {
                1 => (address as *mut u8).write_volatile(value as u8),
                2 => (address as *mut u16).write_volatile(value as u16),
                _ => (address as *mut u32).write_volatile(value),
            }
        };
    }
    let _guard = PORTS.lock();
    match (select(at, offset), width) {
        (None, _) => {}
        (Some(data), 1) => ports().write8(data, value as u8),
        (Some(data), 2) => ports().write16(data, value as u16),
        (Some(data), _) => ports().write32(data, value),
    }
}
