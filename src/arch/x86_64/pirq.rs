//! Interrupt routers of PC chipsets: which input of the 8259s or the I/O APIC a PCI device's INTA# to INTD# reaches.
//!
//! A board solders the four pins of each slot to a few lines of the chipset, PIRQA# and so on, and the chipset has a
//! register for each that says which ISA line it becomes. `_PRT` tells all that; where it is code, which nothing here
//! can run, it is this module that knows two boards by the ids of their bridges:
//!
//! ```text
//! i440FX, PIIX3 or PIIX4   slot d, pin p ─► PIRQ[A + (d - 1 + p) % 4] ─► PIRQRC ─► ISA line, also of the I/O APIC
//! q35, ICH9   bus 0, device 25 to 29, 31 ─► PIRQ[A–H] by DnnIR      ─┬─► PIRQn_ROUT ─► ISA line of the 8259s
//!                    device 30, pin p     ─► PIRQ[E + p]              ─┘
//!                    others               ─► PIRQ[E + (d + p) % 4]    ──► I/O APIC input 16 to 23
//! ```
//!
//! The first wiring and the last two are the boards' that QEMU and Bochs model; DnnIR and the routing registers are the
//! chips' own. Pure: configuration space comes through a closure. Called by `platform::pc::intx`.
//!
//! Source: Intel 82371SB (PIIX3) data sheet §2.2.7 "PIRQRC[A:D]"; Intel 82371AB (PIIX4) data
//! sheet §7.1 (the SCI is IRQ9); Intel ICH9 data sheet §13.1.17 and §13.1.20
//! (PIRQ[n]_ROUT), §10.1.36 to §10.1.42 (DnnIR), §5.9.2 "PCI/PCI Express message-based interrupts"; the wiring of
//! the boards: what their DSDTs answer (test/data/acpi).

use core::fmt;

/// Reads 1, 2 or 4 bytes of a function of bus 0: `read(device, function, offset, width)`.
pub type Read<'a> = &'a dyn Fn(u8, u8, u16, u8) -> u32;

/// Vendor and device, as the first four bytes of configuration space have them.
const I440FX: u32 = 0x1237_8086;
const PIIX3: u32 = 0x7000_8086;
const PIIX4: u32 = 0x7110_8086;
const Q35_HOST: u32 = 0x29C0_8086;
const ICH9_LPC: u32 = 0x2918_8086;
/// Where the ICH9 is; the PIIX may be any device of bus 0.
const LPC_DEVICE: u8 = 31;

/// PIRQRC[A–D], PIRQ[A–D]_ROUT.
const ROUTE_A: u16 = 0x60;
/// PIRQ[E–H]_ROUT.
const ROUTE_E: u16 = 0x68;
/// In a routing register: the line leads to no ISA line.
const NOT_ROUTED: u32 = 1 << 7;
/// Lines that a routing register may name; the others are the chipset's own.
const ROUTABLE: u16 = 0b1101_1110_1111_1000;

/// ISA line of the PIIX4's SCI.
const SCI: u8 = 9;

/// Root complex base address: a window of registers in memory, if bit 0 is set.
const RCBA: u16 = 0xF0;
/// Offset of D31IR in it, the first of them, and bytes to behind the last.
pub const DIR_OFFSET: u64 = 0x3140;
pub const DIR_BYTES: u64 = 0x14;
/// GSI of PIRQA# at the ICH9's I/O APIC.
const ICH9_FIRST_GSI: u32 = 16;

/// A line of the chipset: 0 is PIRQA#, 7 is PIRQH#.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link(u8);

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PIRQ{}", char::from(b'A' + self.0))
    }
}

/// A board that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Router {
    /// i440FX with a PIIX3 or PIIX4, which is device `isa` of bus 0.
    Piix { isa: u8 },
    /// Q35 with an ICH9.
    Ich9,
}

impl Router {
    /// Tells the board by its bridges.
    pub fn find(read: Read<'_>) -> Option<Self> {
        match read(0, 0, 0, 4) {
            I440FX => {
                let isa = (1..32).find(|&device| matches!(read(device, 0, 0, 4), PIIX3 | PIIX4))?;
                Some(Self::Piix { isa })
            }
            Q35_HOST if read(LPC_DEVICE, 0, 0, 4) == ICH9_LPC => Some(Self::Ich9),
            _ => None,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Piix { .. } => "the i440FX board's fixed swizzle and PIIX's PIRQ registers",
            Self::Ich9 => "the Q35 board's fixed swizzle and ICH9's PIRQ registers",
        }
    }

    /// The ISA line that a function has whatever its pin says: the PIIX4's power management (function 3) is wired to
    /// the SCI's.
    pub const fn wired(self, device: u8, function: u8) -> Option<u8> {
        match self {
            Self::Piix { isa } if device == isa && function == 3 => Some(SCI),
            _ => None,
        }
    }

    /// Physical address of the ICH9's DnnIR registers, [`DIR_BYTES`] long.
    pub fn device_routes(self, read: Read<'_>) -> Option<u64> {
        let rcba = match self {
            Self::Piix { .. } => return None,
            Self::Ich9 => read(LPC_DEVICE, 0, RCBA, 4),
        };
        (rcba & 1 != 0 && rcba != u32::MAX).then_some(u64::from(rcba & !0x3FFF) + DIR_OFFSET)
    }

    /// The line that pin `pin` (0 is INTA#) of device `device` of bus 0 is soldered to. `dir` reads 16 bits at an
    /// offset into the window of [`Router::device_routes`]; without that they have their reset value.
    pub fn link(self, device: u8, pin: u8, dir: &dyn Fn(u64) -> Option<u16>) -> Link {
        /// INTA# to PIRQA#, and so on.
        const RESET: u16 = 0x3210;
        let (device, pin) = (device & 31, pin & 3);
        Link(match self {
            // 3 is -1, modulo 4.
            Self::Piix { .. } => (device + 3 + pin) % 4,
            Self::Ich9 => match dir_of(device) {
                Some(offset) => (dir(offset).unwrap_or(RESET) >> (4 * pin) & 7) as u8,
                None if device == 30 => 4 + pin,
                None => 4 + (device + pin) % 4,
            },
        })
    }

    /// The I/O APIC's input for a line, if it is one of its own; else the input is that of [`Router::irq`].
    pub const fn gsi(self, link: Link) -> Option<u32> {
        match self {
            Self::Piix { .. } => None,
            Self::Ich9 => Some(ICH9_FIRST_GSI + link.0 as u32),
        }
    }

    /// The ISA line that the firmware has routed a line to.
    pub fn irq(self, link: Link, read: Read<'_>) -> Option<u8> {
        let (device, register) = match self {
            Self::Piix { isa } => (isa, ROUTE_A + u16::from(link.0 & 3)),
            Self::Ich9 if link.0 < 4 => (LPC_DEVICE, ROUTE_A + u16::from(link.0)),
            Self::Ich9 => (LPC_DEVICE, ROUTE_E + u16::from(link.0 - 4)),
        };
        let value = read(device, 0, register, 1);
        let irq = (value & 0xF) as u8;
        (value & NOT_ROUTED == 0 && ROUTABLE >> irq & 1 != 0).then_some(irq)
    }
}

/// Where, behind D31IR, the register of a device is; not all have one.
const fn dir_of(device: u8) -> Option<u64> {
    Some(match device {
        31 => 0x00,
        29 => 0x04,
        28 => 0x06,
        27 => 0x08,
        26 => 0x0C,
        25 => 0x10,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
