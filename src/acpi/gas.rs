//! The generic address structure: where a register is, in whichever of ACPI's address spaces.
//!
//! Source: ACPI 6.5 §5.2.3.2 Generic Address Structure, table 5.1.

use core::fmt;

use super::bytes::{u8_at, u64_at};

/// Bytes of the structure.
pub const SIZE: usize = 12;

/// What an address counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Physical memory.
    Memory,
    /// I/O ports.
    Io,
    /// PCI configuration space of segment 0, bus 0: see [`Gas::pci`].
    PciConfig,
    EmbeddedController,
    SmBus,
    Cmos,
    /// An offset in the memory behind a BAR.
    PciBar,
    Ipmi,
    Gpio,
    GenericSerialBus,
    /// The platform communications channel.
    Pcc,
    /// Platform runtime mechanism.
    Prm,
    /// What the CPU itself defines, e.g. an MSR.
    FixedHardware,
    /// Reserved, or the maker's own.
    Other(u8),
}

impl Space {
    const fn of(id: u8) -> Self {
        match id {
            0 => Self::Memory,
            1 => Self::Io,
            2 => Self::PciConfig,
            3 => Self::EmbeddedController,
            4 => Self::SmBus,
            5 => Self::Cmos,
            6 => Self::PciBar,
            7 => Self::Ipmi,
            8 => Self::Gpio,
            9 => Self::GenericSerialBus,
            10 => Self::Pcc,
            11 => Self::Prm,
            0x7F => Self::FixedHardware,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::Memory => "memory",
            Self::Io => "port",
            Self::PciConfig => "PCI config",
            Self::EmbeddedController => "embedded controller",
            Self::SmBus => "SMBus",
            Self::Cmos => "CMOS",
            Self::PciBar => "PCI BAR",
            Self::Ipmi => "IPMI",
            Self::Gpio => "GPIO",
            Self::GenericSerialBus => "serial bus",
            Self::Pcc => "PCC",
            Self::Prm => "PRM",
            Self::FixedHardware => "fixed hardware",
            Self::Other(id) => return write!(f, "space {id:#04x}"),
        })
    }
}

/// A place in PCI configuration space, segment 0, bus 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciRegister {
    pub device: u8,
    pub function: u8,
    pub offset: u16,
}

/// A register's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gas {
    pub space: Space,
    /// Bits of the register; firmware often states nonsense here.
    pub bit_width: u8,
    /// Its lowest bit within the byte at `address`.
    pub bit_offset: u8,
    /// As stored: see [`Self::access_bytes`].
    pub access: u8,
    pub address: u64,
}

impl Gas {
    /// Reads the structure at `at`.
    pub(super) fn at(raw: &[u8], at: usize) -> Option<Self> {
        let raw = raw.get(at..)?.get(..SIZE)?;
        Some(Self {
            space: Space::of(u8_at(raw, 0)?),
            bit_width: u8_at(raw, 1)?,
            bit_offset: u8_at(raw, 2)?,
            access: u8_at(raw, 3)?,
            address: u64_at(raw, 4)?,
        })
    }

    /// A run of ports, as tables older than this structure state it.
    pub(super) const fn ports(base: u32, len: u8) -> Self {
        Self {
            space: Space::Io,
            bit_width: len.saturating_mul(8),
            bit_offset: 0,
            access: 0,
            address: base as u64,
        }
    }

    /// Bytes of one access, 1 to 8; `None` where the structure leaves it open.
    pub const fn access_bytes(&self) -> Option<u8> {
        match self.access {
            size @ 1..=4 => Some(1 << (size - 1)),
            _ => None,
        }
    }

    /// Whether `len` bytes from the address on are in memory below 2^52, or are ports: what a driver with
    /// loads, stores, IN and OUT can reach. An address of 0 means that there is no register.
    pub fn is_reachable(&self, len: u8) -> bool {
        let limit = match self.space {
            Space::Memory => 1 << 52,
            Space::Io => 1 << 16,
            _ => return false,
        };
        self.address != 0 && self.address.checked_add(len.into()).is_some_and(|end| end <= limit)
    }

    /// The port of a register in I/O space.
    pub fn port(&self) -> Option<u16> {
        let port = u16::try_from(self.address).ok();
        port.filter(|&port| self.space == Space::Io && port != 0)
    }

    /// The place of a register in PCI configuration space: words of device, function and offset.
    pub fn pci(&self) -> Option<PciRegister> {
        let [o0, o1, f0, f1, d0, d1, 0, 0] = self.address.to_le_bytes() else { return None };
        let (function, device) = (u16::from_le_bytes([f0, f1]), u16::from_le_bytes([d0, d1]));
        let offset = u16::from_le_bytes([o0, o1]);
        let exists = self.space == Space::PciConfig && device < 32 && function < 8 && offset < 4096;
        exists.then_some(PciRegister { device: d0, function: f0, offset })
    }
}

impl fmt::Display for Gas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pci() {
            Some(PciRegister { device, function, offset }) => {
                write!(f, "PCI 00:{device:02x}.{function} offset {offset:#x}")?;
            }
            None => write!(f, "{} {:#x}", self.space, self.address)?,
        }
        write!(f, ", {} bits", self.bit_width)?;
        if self.bit_offset != 0 {
            write!(f, " from bit {}", self.bit_offset)?;
        }
        self.access_bytes().map_or(Ok(()), |bytes| write!(f, ", access {bytes}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gas(space: u8, address: u64) -> Gas {
        let mut raw = vec![space, 8, 3, 2];
        raw.extend(address.to_le_bytes());
        assert_eq!(Gas::at(&raw[..11], 0), None);
        assert_eq!(Gas::at(&raw, 1), None);
        Gas::at(&raw, 0).unwrap()
    }

    #[test]
    fn fields() {
        let found = gas(0, 0xFED0_0000);
        let expected =
            Gas { space: Space::Memory, bit_width: 8, bit_offset: 3, access: 2, address: 0xFED0_0000 };
        assert_eq!(found, expected);
        assert_eq!(found.access_bytes(), Some(2));
        let sizes = [0, 1, 2, 3, 4, 5, 255].map(|access| Gas { access, ..found }.access_bytes());
        assert_eq!(sizes, [None, Some(1), Some(2), Some(4), Some(8), None, None]);
    }

    #[test]
    fn every_space_has_a_name_of_its_own() {
        let names: Vec<_> = (0..=255).map(|id| std::format!("{}", Space::of(id))).collect();
        for (id, name) in names.iter().enumerate() {
            assert_eq!(names.iter().position(|other| other == name), Some(id), "{name}");
        }
        assert_eq!(Space::of(0x7F), Space::FixedHardware);
        assert_eq!(Space::of(0x80), Space::Other(0x80));
    }

    #[test]
    fn reach() {
        assert!(gas(1, 0xFFFC).is_reachable(4));
        assert!(!gas(1, 0xFFFD).is_reachable(4));
        assert!(!gas(1, 0).is_reachable(1));
        assert!(gas(0, 0x10_0000).is_reachable(4));
        assert!(!gas(0, u64::MAX).is_reachable(4));
        assert!(!gas(2, 0x10).is_reachable(1));
        assert_eq!(gas(1, 0xCF9).port(), Some(0xCF9));
        assert_eq!(gas(1, 0x1_0CF9).port(), None);
        assert_eq!(gas(0, 0xCF9).port(), None);
    }

    #[test]
    fn pci_registers() {
        let at = |address| gas(2, address).pci();
        assert_eq!(at(0x1F_0003_00A4), Some(PciRegister { device: 31, function: 3, offset: 0xA4 }));
        for wrong in [0x20_0003_00A4, 0x1F_0008_00A4, 0x1F_0003_1000, 0x0001_001F_0003_00A4] {
            assert_eq!(at(wrong), None, "{wrong:#x}");
        }
        assert_eq!(gas(0, 0x1F_0003_00A4).pci(), None);
        assert_eq!(
            std::format!("{}", gas(2, 0x1F_0003_00A4)),
            "PCI 00:1f.3 offset 0xa4, 8 bits from bit 3, access 2"
        );
    }
}
