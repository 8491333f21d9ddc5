//! PCI's configuration space: by memory (ECAM) where the MCFG's claim is good, else by the ports of mechanism 1.
//!
//! The MCFG is read once, by [`init`]. A bus is mapped when it is first asked for, 1 MiB of `ECAM_BASE`'s region;
//! after that an access is a look at a bit and the load or store itself, without a lock.
//!
//! Source: PCI Local Bus 3.0 §3.2.2.3.2 (mechanism 1); PCI Express Base 5.0 §7.2.2 (ECAM).

use super::{acpi, memory};
use crate::acpi::mcfg::{Allocation, BUS_SIZE, Mcfg};
use crate::acpi::sdt::Signature;
use crate::arch::x86_64::access::{Ports, RealPorts};
use crate::arch::x86_64::port;
use crate::platform::{PciAddress, ecam};
use crate::sync::{IrqLock, Rank};
use core::sync::atomic::{AtomicU64, Ordering};
use log::{info, warn};
use spin::Once;

/// Most windows that are used.
const WINDOWS: usize = 16;

/// A window, and which of its buses are mapped.
struct Window {
    claim: Allocation,
    mapped: [AtomicU64; 4],
}

/// The windows in use. Before [`init`] there are none.
static ECAM: Once<[Option<Window>; WINDOWS]> = Once::new();

/// Mechanism 1 is two ports, one after the other: address, then data.
static PORTS: IrqLock<()> = IrqLock::new(Rank::PciPorts, ());

/// Reads the MCFG, and says what comes of it. Once.
pub fn init() {
    let tables = acpi::tables();
    let table = tables.as_ref().and_then(|tables| tables.find(Signature::MCFG));
    let Some(mcfg) = table.as_ref().and_then(|table| Mcfg::parse(table).ok()) else { return };
    let mut windows = [const { None }; WINDOWS];
    let mut places = windows.iter_mut();
    for claim in mcfg.allocations() {
        let (segment, first, last) = (claim.segment, claim.start_bus, claim.end_bus);
        match ecam::is_usable(&claim, memory::map(), || host_bridge_agrees(&claim)) {
            Ok(why) => {
                let Some(place) = places.next() else { break };
                *place = Some(Window { claim, mapped: [const { AtomicU64::new(0) }; 4] });
                info!(target: "pci", "ECAM of segment {segment}, buses {first:02x} to {last:02x}: {why}");
            }
            Err(why) => {
                warn!(target: "pci", "ECAM of segment {segment}, buses {first:02x} to {last:02x}, not used: {why}");
            }
        }
    }
    ECAM.call_once(|| windows);
}

/// Whether the host bridge has the same ids by memory as by the ports.
fn host_bridge_agrees(claim: &Allocation) -> bool {
    let host = PciAddress { segment: 0, bus: 0, device: 0, function: 0 };
    let by_ports = by_ports(host, 0, 4, |data| ports().read32(data));
    let by_memory = claim.bus_address(0).and_then(|phys| {
        memory::map_ecam(ecam::virt(host, 0), phys, BUS_SIZE).ok()?;
        // SAFETY: just mapped, uncached; a register that reading does not change.
        Some(unsafe { (ecam::virt(host, 0) as *const u32).read_volatile() })
    });
    by_ports.is_some_and(|ids| ids != u32::MAX && by_memory == Some(ids))
}

/// The `index`th bus that is behind no bridge: segment and number. The first of segment 0 always, and that of each
/// other segment with a window.
pub fn root(index: usize) -> Option<(u16, u8)> {
    let windows = || ECAM.get().into_iter().flatten().flatten().map(|window| window.claim);
    // The first window of each segment.
    let others = windows().enumerate().filter(|&(n, claim)| {
        claim.segment != 0 && windows().take(n).all(|earlier| earlier.segment != claim.segment)
    });
    let others = others.map(|(_, claim)| (claim.segment, claim.start_bus));
    core::iter::once((0, 0)).chain(others).nth(index)
}

/// Where a register is mapped, if a window has its bus.
fn by_memory(at: PciAddress, offset: u16) -> Option<u64> {
    let window = ECAM.get()?.iter().flatten().find(|window| {
        window.claim.segment == at.segment
            && (window.claim.start_bus..=window.claim.end_bus).contains(&at.bus)
    })?;
    let (word, bit) = (&window.mapped[usize::from(at.bus / 64)], 1 << (at.bus % 64));
    if word.load(Ordering::Acquire) & bit == 0 {
        let bus = PciAddress { device: 0, function: 0, ..at };
        memory::map_ecam(ecam::virt(bus, 0), window.claim.bus_address(at.bus)?, BUS_SIZE).ok()?;
        word.fetch_or(bit, Ordering::Release);
    }
    Some(ecam::virt(at, offset))
}

/// Lets `access` at the data port for a register, with the address port written; `None` where the ports do not reach.
fn by_ports<T>(at: PciAddress, offset: u16, width: u8, access: impl FnOnce(u16) -> T) -> Option<T> {
    let reaches = at.segment == 0 && offset + u16::from(width) <= 256;
    reaches.then(|| {
        let function = u32::from(at.bus) << 16 | u32::from(at.device) << 11 | u32::from(at.function) << 8;
        let _guard = PORTS.lock();
        ports().write32(port::PCI_ADDRESS, 1 << 31 | function | u32::from(offset & 0xFC));
        // The data port's low bits choose the byte.
        access(port::PCI_DATA + (offset & 3))
    })
}

fn ports() -> RealPorts {
    // SAFETY: used for PCI's two configuration ports alone.
    unsafe { RealPorts::new() }
}

/// Whether there can be such a register. The access is then aligned and inside of one function.
fn exists(at: PciAddress, offset: u16, width: u8) -> bool {
    at.device < 32
        && at.function < 8
        && offset < 4096
        && matches!(width, 1 | 2 | 4)
        && offset % u16::from(width) == 0
}

/// See [`Platform::pci_read`](crate::platform::Platform::pci_read).
pub fn read(at: PciAddress, offset: u16, width: u8) -> u32 {
    /// All ones of `width` bytes: what a bus answers where there is nobody.
    const fn nothing(width: u8) -> u32 {
        if width >= 4 { u32::MAX } else { (1 << (8 * width)) - 1 }
    }
    if !exists(at, offset, width) {
        return nothing(width);
    }
    if let Some(address) = by_memory(at, offset) {
        // SAFETY: a register of configuration space, mapped uncached; `exists` has checked the alignment.
        return unsafe {
            match width {
                1 => u32::from((address as *const u8).read_volatile()),
                2 => u32::from((address as *const u16).read_volatile()),
                _ => (address as *const u32).read_volatile(),
            }
        };
    }
    let value = by_ports(at, offset, width, |data| match width {
        1 => ports().read8(data).into(),
        2 => ports().read16(data).into(),
        _ => ports().read32(data),
    });
    value.unwrap_or(nothing(width))
}

/// See [`Platform::pci_write`](crate::platform::Platform::pci_write).
pub fn write(at: PciAddress, offset: u16, width: u8, value: u32) {
    if !exists(at, offset, width) {
        return;
    }
    if let Some(address) = by_memory(at, offset) {
        // SAFETY: as in `read`.
        return unsafe {
            match width {
                1 => (address as *mut u8).write_volatile(value as u8),
                2 => (address as *mut u16).write_volatile(value as u16),
                _ => (address as *mut u32).write_volatile(value),
            }
        };
    }
    // Where the ports do not reach there is nobody to miss it.
    let _ = by_ports(at, offset, width, |data| match width {
        1 => ports().write8(data, value as u8),
        2 => ports().write16(data, value as u16),
        _ => ports().write32(data, value),
    });
}
