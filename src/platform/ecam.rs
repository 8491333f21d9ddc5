//! PCI's configuration space in memory (ECAM): which of the MCFG's claims to believe, and where it is then mapped.
//!
//! Every function has 4 KiB, so a bus has 1 MiB and a segment 256 MiB. The kernel keeps room for all 65,536 segments
//! from `ECAM_BASE` on, and maps what is asked for, a bus at a time.
//!
//! Firmware has named windows that lie in RAM, and windows where nothing answers. So a window is used
//! * never, if RAM is in it: a write to a register would be a write into somebody's page;
//! * if the memory map reserves all of it, which is what firmware has to do for an operating system that reads no AML
//!   (PCI Firmware Specification 3.2 §4.1.2 lets it do so in the AML alone);
//! * else if the host bridge is the same by it as by the ports, which can be asked for segment 0 only.
//!
//! Source: PCI Express Base 5.0 §7.2.2; PCI Firmware Specification 3.2 §4.1.

use super::PciAddress;
use crate::acpi::mcfg::Allocation;
use crate::boot::info::MemoryRegion;
use crate::boot::layout::{ECAM_BASE, PERCPU_BASE};

// The last byte of the last segment is the last before the next region.
const _: () = assert!(ECAM_BASE + (1 << 16 << 28) == PERCPU_BASE);

/// Where a function's configuration space is mapped, if it is.
pub fn virt(at: PciAddress, offset: u16) -> u64 {
    let function = u64::from(at.device & 31) << 15 | u64::from(at.function & 7) << 12;
    let bus = u64::from(at.segment) << 28 | u64::from(at.bus) << 20;
    ECAM_BASE + (bus | function | u64::from(offset & 0xFFF))
}

/// What the memory map says of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// There is RAM in it.
    Ram,
    /// All of it is listed, and none of it as RAM.
    Reserved,
    /// Some of it is not listed.
    Unlisted,
}

/// Looks a range up in the memory map, which is ascending and without overlap.
pub fn cover(map: &[MemoryRegion], start: u64, len: u64) -> Cover {
    let Some(end) = start.checked_add(len) else { return Cover::Ram };
    let inside = || map.iter().filter(|region| region.start < end && start < region.end());
    if inside().any(|region| region.kind.is_ram()) {
        return Cover::Ram;
    }
    let listed: u64 = inside().map(|region| region.end().min(end) - region.start.max(start)).sum();
    if listed == len { Cover::Reserved } else { Cover::Unlisted }
}

/// Whether to use a window. `host_bridge_agrees` is asked last.
pub fn is_usable(
    window: &Allocation,
    map: &[MemoryRegion],
    host_bridge_agrees: impl FnOnce() -> bool,
) -> Result<&'static str, &'static str> {
    let start = window.bus_address(window.start_bus).ok_or("its address makes no sense")?;
    match cover(map, start, window.len_bytes()) {
        Cover::Ram => Err("there is RAM in it"),
        Cover::Reserved => Ok("the memory map reserves it"),
        Cover::Unlisted if window.segment != 0 || window.start_bus != 0 => {
            Err("the memory map does not reserve it")
        }
        Cover::Unlisted if host_bridge_agrees() => Ok("the host bridge is there"),
        Cover::Unlisted => Err("the memory map does not reserve it, and the host bridge is not there"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::info::MemoryKind;

    const fn region(start: u64, end: u64, kind: MemoryKind) -> MemoryRegion {
        MemoryRegion { start, pages: (end - start) >> 12, kind, reserved: 0, attributes: 0 }
    }

    const WINDOW: Allocation = Allocation { base: 0xB000_0000, segment: 0, start_bus: 0, end_bus: 255 };

    #[test]
    fn addresses() {
        let at = PciAddress { segment: 2, bus: 3, device: 31, function: 7 };
        assert_eq!(virt(at, 0xFFF), ECAM_BASE + (2 << 28 | 3 << 20 | 31 << 15 | 7 << 12 | 0xFFF));
        let last = PciAddress { segment: u16::MAX, bus: 255, device: 31, function: 7 };
        assert_eq!(virt(last, 0xFFF), PERCPU_BASE - 1);
    }

    #[test]
    fn covers() {
        let map = [
            region(0, 0x8000_0000, MemoryKind::Usable),
            region(0xB000_0000, 0xB800_0000, MemoryKind::Reserved),
            region(0xB800_0000, 0xC000_0000, MemoryKind::Mmio),
            region(0xF000_0000, 0xF100_0000, MemoryKind::Reserved),
        ];
        assert_eq!(cover(&map, 0xB000_0000, 0x1000_0000), Cover::Reserved);
        assert_eq!(cover(&map, 0xB000_0000, 0x1000_1000), Cover::Unlisted);
        assert_eq!(cover(&map, 0xF000_0000, 0x1000_0000), Cover::Unlisted);
        assert_eq!(cover(&map, 0x7FF0_0000, 0x1000_0000), Cover::Ram);
        assert_eq!(cover(&map, u64::MAX - 1, 2), Cover::Ram);
        assert_eq!(cover(&[], 0xB000_0000, 1), Cover::Unlisted);
    }

    #[test]
    fn which_windows_are_used() {
        let reserved = [region(0xB000_0000, 0xC000_0000, MemoryKind::Reserved)];
        let ram = [region(0xBFFF_F000, 0xC000_0000, MemoryKind::AcpiNvs)];
        let not_asked = || -> bool { unreachable!() };
        assert!(is_usable(&WINDOW, &reserved, not_asked).is_ok());
        assert!(is_usable(&WINDOW, &ram, not_asked).is_err());
        assert!(is_usable(&WINDOW, &[], || true).is_ok());
        assert!(is_usable(&WINDOW, &[], || false).is_err());
        assert!(is_usable(&Allocation { segment: 1, ..WINDOW }, &[], not_asked).is_err());
        assert!(is_usable(&Allocation { start_bus: 1, ..WINDOW }, &[], not_asked).is_err());
        assert!(is_usable(&Allocation { segment: 1, ..WINDOW }, &reserved, not_asked).is_ok());
    }
}
