//! The SRAT: which processors and which memory belong to the same domain, near each other.
//!
//! Kept for the record; the frame allocator may ask it one day.
//!
//! Source: ACPI 6.5 §5.2.16 System Resource Affinity Table.

use super::bytes::{Structure, Structures, u8_at, u32_at, u64_at};
use super::sdt::{Signature, Table, TableError};

/// Offset of the first structure.
const ENTRIES: usize = 48;

/// An entry, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// Types 0 and, with `x2apic`, 2.
    Cpu { apic_id: u32, domain: u32, enabled: bool, clock_domain: u32, x2apic: bool },
    /// Type 1: `len` bytes from the physical address `base` on.
    Memory { base: u64, len: u64, domain: u32, enabled: bool, hot_pluggable: bool, persistent: bool },
    /// Any other type, one of the above that is too short, or memory past the end of the address space.
    Other { kind: u8, len: u8 },
}

impl Affinity {
    fn decode(structure: &Structure, revision: u8) -> Self {
        let len = u8::try_from(structure.bytes.len()).unwrap_or(u8::MAX);
        Self::known(structure, revision).unwrap_or(Self::Other { kind: structure.kind, len })
    }

    fn known(structure: &Structure, revision: u8) -> Option<Self> {
        let raw = structure.bytes;
        let dword = |at| u32_at(raw, at);
        Some(match structure.kind {
            0 => {
                // Revision 1 had one byte for the domain; the other three were reserved, and not always 0.
                let [_, high @ ..] = dword(8)?.to_le_bytes();
                let high = if revision >= 2 { high } else { [0; 3] };
                let domain = u32::from_le_bytes([u8_at(raw, 2)?, high[0], high[1], high[2]]);
                let (apic_id, enabled) = (u8_at(raw, 3)?.into(), dword(4)? & 1 != 0);
                Self::Cpu { apic_id, domain, enabled, clock_domain: dword(12)?, x2apic: false }
            }
            1 => {
                let (base, len) = (u64_at(raw, 8)?, u64_at(raw, 16)?);
                base.checked_add(len)?;
                let flags = dword(28)?;
                let (enabled, hot_pluggable) = (flags & 1 != 0, flags & 2 != 0);
                Self::Memory {
                    base,
                    len,
                    domain: dword(2)?,
                    enabled,
                    hot_pluggable,
                    persistent: flags & 4 != 0,
                }
            }
            2 => {
                let (domain, apic_id, enabled) = (dword(4)?, dword(8)?, dword(12)? & 1 != 0);
                Self::Cpu { apic_id, domain, enabled, clock_domain: dword(16)?, x2apic: true }
            }
            _ => return None,
        })
    }
}

/// An SRAT.
#[derive(Clone, Copy, Debug)]
pub struct Srat<'a> {
    raw: &'a [u8],
    revision: u8,
}

impl<'a> Srat<'a> {
    pub fn parse(table: &Table<'a>) -> Result<Self, TableError> {
        Ok(Self { raw: table.expect(Signature::SRAT, ENTRIES)?, revision: table.revision() })
    }

    /// The entries as bytes.
    pub const fn structures(&self) -> Structures<'a> {
        Structures::new(self.raw, ENTRIES)
    }

    /// The entries, decoded, in the table's order.
    pub fn entries(&self) -> impl Iterator<Item = Affinity> + Clone + use<'a> {
        let revision = self.revision;
        self.structures().map(move |structure| Affinity::decode(&structure, revision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acpi::sdt::made;

    fn entries(revision: u8, parts: &[&[u8]]) -> Vec<Affinity> {
        let raw = made(Signature::SRAT, revision, &[&[0; 12][..], &parts.concat()].concat());
        Srat::parse(&Table::parse(&raw, 0).unwrap()).unwrap().entries().collect()
    }

    fn memory(base: u64, len: u64, flags: u8) -> Vec<u8> {
        let mut raw = vec![1, 40, 3, 0, 0, 0, 0, 0];
        raw.extend(base.to_le_bytes());
        raw.extend(len.to_le_bytes());
        raw.extend([0, 0, 0, 0, flags, 0, 0, 0]);
        raw.extend([0; 8]);
        raw
    }

    #[test]
    fn types() {
        let cpu = [0, 16, 5, 9, 1, 0, 0, 0, 0xEE, 1, 2, 3, 7, 0, 0, 0];
        let x2 = [2, 24, 0, 0, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0];
        let ram = memory(0x1_0000_0000, 0x4000_0000, 5);
        let found = entries(3, &[&cpu, &ram, &x2, &[3, 4, 0, 0], &memory(u64::MAX, 1, 1), &cpu[..1]]);
        use Affinity::*;
        let expected = [
            Cpu { apic_id: 9, domain: 0x0302_0105, enabled: true, clock_domain: 7, x2apic: false },
            Memory {
                base: 0x1_0000_0000,
                len: 0x4000_0000,
                domain: 3,
                enabled: true,
                hot_pluggable: false,
                persistent: true,
            },
            Cpu { apic_id: 256, domain: 4, enabled: false, clock_domain: 8, x2apic: true },
            Other { kind: 3, len: 4 },
            Other { kind: 1, len: 40 },
        ];
        assert_eq!(found, expected);
        let Cpu { domain: 5, .. } = entries(1, &[&cpu])[0] else { panic!("revision 1 has 8 bits of domain") };
    }

    #[test]
    fn cut_short() {
        for (kind, full) in [(0u8, 16), (1, 32), (2, 20)] {
            for len in 2..full {
                let mut entry = vec![0; len];
                (entry[0], entry[1]) = (kind, len as u8);
                assert_eq!(entries(3, &[&entry]), [Affinity::Other { kind, len: len as u8 }]);
            }
        }
    }
}
