//! The pair of 8259A interrupt controllers: sixteen lines, the second chip hanging on line 2 of the first.
//!
//! With an I/O APIC they are remapped and masked, and no more is heard of them but a spurious interrupt at
//! times; under `noapic` and `nolapic` they carry every device's line. Called by the code that brings
//! up interrupts and, for [`Pic::begin`] and [`Pic::eoi`], by the handlers.
//!
//! Invariants:
//! * vectors never fall among the exceptions (0 to 31): after reset the firmware's base is 8, and a timer tick would
//!   look like a double fault;
//! * the mask registers hold what the cache says, and the cascade (line 2) is open exactly while a line behind it is;
//! * an interrupt is spurious if the in-service register says that no such line is in service. It gets no EOI, since
//!   that would end another line's; but one from the second chip has put line 2 of the first in service,
//!   and that is ended;
//! * lines 0, 1, 2, 8 and 13 belong to the chipset and are never made level-triggered.
//!
//! Source: Intel 8259A data sheet (order 231468), "Initialization Command Words", "Operation Command Words",
//! "Interrupt Sequence" (the note on IR7); ELCR: Intel 82371AB (PIIX4) data sheet §4.2.5 "Interrupt controller",
//! and any ICH's after it.

use super::access::Ports;
use super::line::Trigger;
use core::fmt;

const MASTER_COMMAND: u16 = 0x20;
const MASTER_DATA: u16 = 0x21;
const SLAVE_COMMAND: u16 = 0xA0;
const SLAVE_DATA: u16 = 0xA1;
/// Edge/level control of lines 0 to 7, and of 8 to 15 behind it.
const ELCR1: u16 = 0x4D0;
const ELCR2: u16 = 0x4D1;
/// A port that nothing minds; writing it takes about 1 µs, the time that an old 8259A needs between two commands.
const DELAY: u16 = 0x80;

/// ICW1: the sequence begins; edge-triggered, cascaded, ICW4 follows. (ELCR overrides the edge, line by line.)
const ICW1: u8 = 0x11;
/// ICW3 of the first chip: a set bit for the line that has the second one on it...
const ICW3_MASTER: u8 = 1 << CASCADE;
/// ...and of the second: the number of that line.
const ICW3_SLAVE: u8 = CASCADE;
/// ICW4: 8086 mode, normal EOI, not buffered, not fully nested.
const ICW4: u8 = 0x01;
/// OCW2: end the interrupt of highest priority in service; with bit 6, the one in bits 0 to 2.
const EOI: u8 = 0x20;
const EOI_SPECIFIC: u8 = 0x60;
/// OCW3: the next read of the command port gives the request register, or the one in service.
const READ_IRR: u8 = 0x0A;
const READ_ISR: u8 = 0x0B;

const CASCADE: u8 = 2;
/// Timer, keyboard, cascade, RTC, coprocessor error: wired to the chipset's own edge-triggered devices.
const NEVER_LEVEL: u16 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 8 | 1 << 13;

/// A line that a device can be on: 0 to 15, but not the cascade.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Irq(u8);

impl Irq {
    pub const TIMER: Self = Self(0);
    pub const KEYBOARD: Self = Self(1);
    pub const RTC: Self = Self(8);

    pub const fn new(number: u8) -> Option<Self> {
        if number < 16 && number != CASCADE { Some(Self(number)) } else { None }
    }

    pub const fn number(self) -> u8 {
        self.0
    }

    const fn bit(self) -> u16 {
        1 << self.0
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PicError {
    /// The base is not a multiple of 8, or its 16 vectors do not lie within 32 to 255.
    Base(u8),
    /// The mask registers do not hold what is written: there are no 8259As.
    Absent,
    /// The ELCR does not hold what is written: there is none.
    NoElcr,
    /// This line is never level-triggered.
    EdgeOnly(Irq),
}

impl fmt::Display for PicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base(base) => write!(f, "8259A: vectors from {base:#x} on cannot be"),
            Self::Absent => f.write_str("no 8259A: the masks do not read back"),
            Self::NoElcr => f.write_str("8259A: no ELCR"),
            Self::EdgeOnly(irq) => write!(f, "8259A: line {} cannot be level-triggered", irq.0),
        }
    }
}

/// Why a handler was entered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arrival {
    /// A device: handle it, then [`Pic::eoi`].
    Device,
    /// Nobody: count it and return. All that is owed to the chips has been done.
    Spurious,
}

/// Both chips.
#[derive(Debug)]
pub struct Pic<P> {
    ports: P,
    base: u8,
    /// Lines that are masked, with the cascade open: its bit follows from the others.
    masked: u16,
}

impl<P: Ports> Pic<P> {
    /// Gives the lines the vectors `base` to `base + 15` and masks them all. Interrupts are off meanwhile.
    pub fn init(ports: P, base: u8) -> Result<Self, PicError> {
        if base % 8 != 0 || !(0x20..=0xF0).contains(&base) {
            return Err(PicError::Base(base));
        }
        let pic = Self { ports, base, masked: !(1 << CASCADE) };
        pic.write_masks();
        // ICW1 to ICW4 for either chip, the two interleaved so that each has a pause.
        for (port, value) in [
            (MASTER_COMMAND, ICW1),
            (SLAVE_COMMAND, ICW1),
            (MASTER_DATA, base),
            (SLAVE_DATA, base + 8),
            (MASTER_DATA, ICW3_MASTER),
            (SLAVE_DATA, ICW3_SLAVE),
            (MASTER_DATA, ICW4),
            (SLAVE_DATA, ICW4),
        ] {
            pic.ports.write8(port, value);
            pic.ports.write8(DELAY, 0);
        }
        // ICW1 has cleared the masks.
        pic.write_masks();
        // Is anybody there? A pattern, too: a hole in the bus reads as ones, which is the mask itself.
        pic.ports.write8(MASTER_DATA, 0xFB);
        let pattern = pic.ports.read8(MASTER_DATA);
        pic.write_masks();
        let rest = [pic.ports.read8(MASTER_DATA), pic.ports.read8(SLAVE_DATA)];
        if pattern == 0xFB && rest == [0xFF, 0xFF] { Ok(pic) } else { Err(PicError::Absent) }
    }

    /// The line whose interrupt has this vector; the cascade has none.
    pub fn irq_of(&self, vector: u8) -> Option<Irq> {
        vector.checked_sub(self.base).and_then(Irq::new)
    }

    pub const fn vector_of(&self, irq: Irq) -> u8 {
        self.base + irq.0
    }

    pub fn mask_all(&mut self) {
        self.masked = !(1 << CASCADE);
        self.write_masks();
    }

    pub fn mask(&mut self, irq: Irq) {
        self.masked |= irq.bit();
        self.write_masks();
    }

    pub fn unmask(&mut self, irq: Irq) {
        self.masked &= !irq.bit();
        self.write_masks();
    }

    /// Lines that are masked, one bit each, as the mask registers have them.
    pub const fn masks(&self) -> u16 {
        let cascade = if self.masked >> 8 == 0xFF { 1 << CASCADE } else { 0 };
        self.masked | cascade
    }

    fn write_masks(&self) {
        let [master, slave] = self.masks().to_le_bytes();
        self.ports.write8(MASTER_DATA, master);
        self.ports.write8(SLAVE_DATA, slave);
    }

    /// First thing in a handler: did this line raise the interrupt? Lines 7 and 15 are also what a chip answers
    /// with when a request has gone by the time that the CPU asks for its vector.
    pub fn begin(&mut self, irq: Irq) -> Arrival {
        if irq.0 & 7 != 7 || self.in_service() & irq.bit() != 0 {
            return Arrival::Device;
        }
        if irq.0 == 15 {
            // To the first chip the request was a real one.
            self.ports.write8(MASTER_COMMAND, EOI_SPECIFIC | CASCADE);
        }
        Arrival::Spurious
    }

    /// Ends the interrupt of `irq`, by name: also right where handlers nest or priorities were changed.
    pub fn eoi(&mut self, irq: Irq) {
        if irq.0 >= 8 {
            self.ports.write8(SLAVE_COMMAND, EOI_SPECIFIC | (irq.0 & 7));
            self.ports.write8(MASTER_COMMAND, EOI_SPECIFIC | CASCADE);
        } else {
            self.ports.write8(MASTER_COMMAND, EOI_SPECIFIC | irq.0);
        }
    }

    /// Ends whatever is of highest priority in service: for what a firmware has left behind, line unknown.
    pub fn eoi_nonspecific(&mut self) {
        self.ports.write8(SLAVE_COMMAND, EOI);
        self.ports.write8(MASTER_COMMAND, EOI);
    }

    /// Lines in service, one bit each.
    pub fn in_service(&mut self) -> u16 {
        self.read_register(READ_ISR)
    }

    /// Lines that request an interrupt, masked or not.
    pub fn requests(&mut self) -> u16 {
        self.read_register(READ_IRR)
    }

    fn read_register(&mut self, which: u8) -> u16 {
        self.ports.write8(MASTER_COMMAND, which);
        self.ports.write8(SLAVE_COMMAND, which);
        u16::from_le_bytes([self.ports.read8(MASTER_COMMAND), self.ports.read8(SLAVE_COMMAND)])
    }

    /// Lines that are level-triggered, one bit each (ELCR).
    pub fn level_lines(&self) -> u16 {
        u16::from_le_bytes([self.ports.read8(ELCR1), self.ports.read8(ELCR2)])
    }

    /// Makes a line edge- or level-triggered. Mask it first.
    pub fn set_trigger(&mut self, irq: Irq, trigger: Trigger) -> Result<(), PicError> {
        let old = self.level_lines();
        let new = match trigger {
            Trigger::Level if NEVER_LEVEL & irq.bit() != 0 => return Err(PicError::EdgeOnly(irq)),
            Trigger::Level => old | irq.bit(),
            Trigger::Edge => old & !irq.bit(),
        };
        // A hole reads as ones, and so says that the timer is level-triggered.
        if old & NEVER_LEVEL == NEVER_LEVEL {
            return Err(PicError::NoElcr);
        }
        let [low, high] = new.to_le_bytes();
        self.ports.write8(ELCR1, low);
        self.ports.write8(ELCR2, high);
        if self.level_lines() == new { Ok(()) } else { Err(PicError::NoElcr) }
    }
}

#[cfg(test)]
mod tests;
