//! The HPET's table: where the timer's registers are. Its period and abilities the registers themselves say.
//!
//! Source: Intel, IA-PC HPET Specification 1.0a, §3.2.4 The ACPI 2.0 HPET Description Table.

use super::bytes::{u8_at, u16_at, u32_at};
use super::gas::{Gas, Space};
use super::sdt::{Signature, Table, TableError};

/// Bytes of registers behind the base address (§2.3.1).
const REGISTERS: u8 = 0xFF;

/// The table, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hpet {
    /// The low half of the capabilities register, as the firmware found it.
    pub id: u32,
    /// The registers, in memory.
    pub base: Gas,
    /// This block's number among several.
    pub number: u8,
    /// Smallest period in ticks at which a periodic timer loses no interrupt.
    pub min_tick: u16,
    /// How much around the registers is free of others: 0 nothing is said, 1 4 KiB, 2 64 KiB.
    pub page_protection: u8,
}

impl Hpet {
    pub fn parse(table: &Table) -> Result<Self, TableError> {
        let raw = table.expect(Signature::HPET, 56)?;
        let short = TableError::Short { length: raw.len(), needed: 56 };
        let hpet = Self {
            id: u32_at(raw, 36).ok_or(short)?,
            base: Gas::at(raw, 40).ok_or(short)?,
            number: u8_at(raw, 52).ok_or(short)?,
            min_tick: u16_at(raw, 53).ok_or(short)?,
            page_protection: u8_at(raw, 55).ok_or(short)? & 0xF,
        };
        let usable = hpet.base.space == Space::Memory && hpet.base.is_reachable(REGISTERS);
        if usable { Ok(hpet) } else { Err(TableError::Field("base address")) }
    }

    /// PCI vendor of whoever made the timer.
    pub const fn vendor(&self) -> u16 {
        (self.id >> 16) as u16
    }

    /// Revision of the hardware.
    pub const fn hardware_revision(&self) -> u8 {
        self.id as u8
    }

    /// Number of comparators, 1 to 32.
    pub const fn comparators(&self) -> u8 {
        (self.id >> 8 & 0x1F) as u8 + 1
    }

    /// COUNT_SIZE_CAP: the main counter has 64 bits, not 32.
    pub const fn is_64_bit(&self) -> bool {
        self.id & 1 << 13 != 0
    }

    /// It can take over the interrupts of PIT and RTC.
    pub const fn replaces_legacy(&self) -> bool {
        self.id & 1 << 15 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acpi::sdt::made;

    fn body(space: u8, base: u64) -> Vec<u8> {
        let mut body = 0x8086_A201u32.to_le_bytes().to_vec();
        body.extend([space, 64, 0, 0]);
        body.extend(base.to_le_bytes());
        body.extend([1, 0x80, 0x37, 0x31]);
        body
    }

    fn parse(body: &[u8]) -> Result<Hpet, TableError> {
        Hpet::parse(&Table::parse(&made(Signature::HPET, 1, body), 0).unwrap())
    }

    #[test]
    fn fields() {
        let hpet = parse(&body(0, 0xFED0_0000)).unwrap();
        assert_eq!((hpet.vendor(), hpet.hardware_revision(), hpet.comparators()), (0x8086, 1, 3));
        assert!(hpet.is_64_bit() && hpet.replaces_legacy());
        assert_eq!((hpet.base.address, hpet.number, hpet.min_tick), (0xFED0_0000, 1, 0x3780));
        assert_eq!(hpet.page_protection, 1);
        let narrow = Hpet { id: 0x1F00, ..hpet };
        assert_eq!((narrow.comparators(), narrow.is_64_bit(), narrow.replaces_legacy()), (32, false, false));
    }

    #[test]
    fn no_base() {
        for (space, base) in [(0, 0), (1, 0x1000), (0, u64::MAX)] {
            assert_eq!(parse(&body(space, base)), Err(TableError::Field("base address")));
        }
        let short = TableError::Short { length: 55, needed: 56 };
        assert_eq!(parse(&body(0, 0xFED0_0000)[..19]), Err(short));
    }
}
