//! The MCFG: where PCI's configuration space is mapped into memory (ECAM), for each segment group.
//!
//! Source: PCI Firmware Specification 3.2, §4.1.2 MCFG Table Description.

use super::bytes::{u8_at, u16_at, u64_at};
use super::sdt::{Signature, Table, TableError};

/// Offset of the first allocation: behind the header and 8 reserved bytes.
const ALLOCATIONS: usize = 44;
const ALLOCATION_SIZE: usize = 16;
/// Bytes of configuration space of one bus: 32 devices, 8 functions, 4 KiB each.
pub const BUS_SIZE: u64 = 1 << 20;
/// First address that no processor can have on its bus.
const PHYS_END: u64 = 1 << 52;

/// Buses `start_bus..=end_bus` of a segment group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Physical address where bus 0 of the segment would be, whether or not `start_bus` is 0.
    pub base: u64,
    pub segment: u16,
    pub start_bus: u8,
    pub end_bus: u8,
}

impl Allocation {
    fn parse(raw: &[u8]) -> Option<Self> {
        let (start_bus, end_bus) = (u8_at(raw, 10)?, u8_at(raw, 11)?);
        Some(Self { base: u64_at(raw, 0)?, segment: u16_at(raw, 8)?, start_bus, end_bus })
    }

    fn is_sound(&self) -> bool {
        let end = self.base.checked_add((u64::from(self.end_bus) + 1) * BUS_SIZE);
        let fits = end.is_some_and(|end| end <= PHYS_END);
        self.base != 0 && self.base % BUS_SIZE == 0 && self.start_bus <= self.end_bus && fits
    }

    /// Physical address of a bus's configuration space.
    pub fn bus_address(&self, bus: u8) -> Option<u64> {
        let known = (self.start_bus..=self.end_bus).contains(&bus);
        self.base.checked_add(u64::from(bus) * BUS_SIZE).filter(|_| known)
    }

    /// Bytes from [`Self::bus_address`] of the first bus to past the last.
    pub fn len_bytes(&self) -> u64 {
        (u64::from(self.end_bus.saturating_sub(self.start_bus)) + 1) * BUS_SIZE
    }
}

/// An MCFG.
#[derive(Clone, Copy, Debug)]
pub struct Mcfg<'a> {
    raw: &'a [u8],
}

impl<'a> Mcfg<'a> {
    pub fn parse(table: &Table<'a>) -> Result<Self, TableError> {
        Ok(Self { raw: table.expect(Signature::MCFG, ALLOCATIONS)? })
    }

    fn all(&self) -> impl Iterator<Item = Allocation> + Clone + use<'a> {
        let allocations = self.raw.get(ALLOCATIONS..).unwrap_or_default();
        allocations.chunks_exact(ALLOCATION_SIZE).filter_map(Allocation::parse)
    }

    /// The allocations that make sense: buses in order, a base that is a multiple of a bus's size, all of it
    /// in the address space.
    pub fn allocations(&self) -> impl Iterator<Item = Allocation> + Clone + use<'a> {
        self.all().filter(Allocation::is_sound)
    }

    /// How many do not.
    pub fn bad_count(&self) -> usize {
        self.all().filter(|allocation| !allocation.is_sound()).count()
    }

    /// Physical address of one bus's configuration space.
    pub fn bus_address(&self, segment: u16, bus: u8) -> Option<u64> {
        let of_segment = self.allocations().filter(|found| found.segment == segment);
        of_segment.into_iter().find_map(|found| found.bus_address(bus))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acpi::sdt::made;

    fn allocation(base: u64, segment: u16, start: u8, end: u8) -> Vec<u8> {
        let mut raw = base.to_le_bytes().to_vec();
        raw.extend(segment.to_le_bytes());
        raw.extend([start, end, 0, 0, 0, 0]);
        raw
    }

    #[test]
    fn sound_and_unsound() {
        let allocations = [
            allocation(0xE000_0000, 0, 0, 0x7F),
            allocation(0xF000_0000, 0, 0x80, 0xFF),
            allocation(0x1_0000_0000, 7, 0x20, 0x3F),
            allocation(0, 1, 0, 255),
            allocation(0xE008_0000, 1, 0, 255),
            allocation(0xE000_0000, 1, 9, 8),
            allocation(0xF_FFFF_FFF0_0000, 1, 0, 1),
            allocation(u64::MAX << 20, 1, 0, 255),
            vec![1; 15],
        ];
        let raw = made(Signature::MCFG, 1, &[&[0; 8][..], &allocations.concat()].concat());
        let mcfg = Mcfg::parse(&Table::parse(&raw, 0).unwrap()).unwrap();
        assert_eq!(mcfg.allocations().count(), 3);
        assert_eq!(mcfg.bad_count(), 5);
        assert_eq!(mcfg.bus_address(0, 1), Some(0xE010_0000));
        assert_eq!(mcfg.bus_address(0, 0x80), Some(0xF800_0000), "counted from bus 0");
        assert_eq!(mcfg.bus_address(7, 0x20), Some(0x1_0200_0000));
        assert_eq!((mcfg.bus_address(7, 0x1F), mcfg.bus_address(7, 0x40)), (None, None));
        assert_eq!(mcfg.bus_address(1, 0), None);
        assert_eq!(mcfg.allocations().nth(2).unwrap().len_bytes(), 32 << 20);
    }

    #[test]
    fn too_short() {
        let raw = made(Signature::MCFG, 1, &[0; 7]);
        assert!(Mcfg::parse(&Table::parse(&raw, 0).unwrap()).is_err());
        let raw = made(Signature::MCFG, 1, &[0; 8]);
        assert_eq!(Mcfg::parse(&Table::parse(&raw, 0).unwrap()).unwrap().allocations().count(), 0);
    }
}
