//! The I/O APICs: they turn lines (numbered through all of them, as "GSIs") into messages to local APICs.
//!
//! [`IoApic`] is one of them, [`IoApics`] all that the MADT lists. Each has two registers, an index and a window on what
//! it names, and behind them a table with 64 bits per line. Two accesses make one, so the methods that write take
//! `&mut self`: the owner keeps the value behind a lock, with interrupts off.
//!
//! Invariants:
//! * an entry changes only while it is masked, upper half first: half of an old entry and half of a new one
//!   would be an interrupt for the wrong CPU, or with a vector that nobody has;
//! * after `new` all lines are masked, but those that carry SMIs: these are the firmware's;
//! * a line is told by its GSI, and one that no I/O APIC has is an error;
//! * destinations are physical APIC IDs of 8 bits. FFh would be a broadcast, and is refused.
//!
//! Source: Intel 82093AA data sheet (order 290566), §3.0 "Register description"; Intel ICH9 data sheet §13.5 for
//! the EOI register of version 20h; ACPI 6.5 §5.2.12.3 and §5.2.13 for GSIs.

use super::access::Mmio32;
use super::apic::registers::Delivery;
use super::line::{Polarity, Trigger};
use core::fmt;

/// Bytes of registers that a driver touches.
pub const BYTES: u32 = 0x44;

/// The index register, and the window on what it names.
const IOREGSEL: u32 = 0x00;
const IOWIN: u32 = 0x10;
/// Write a vector here, and level-triggered entries with it are ended. From version 20h on.
const EOI: u32 = 0x40;
/// Indices.
const ID: u32 = 0x00;
const VERSION: u32 = 0x01;
const TABLE: u32 = 0x10;

/// An entry of the redirection table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Redirection {
    pub vector: u8,
    pub delivery: Delivery,
    /// The destination is a set of logical IDs; else one physical ID.
    pub logical: bool,
    pub polarity: Polarity,
    pub trigger: Trigger,
    pub masked: bool,
    pub destination: u8,
}

/// Bits of the lower half.
mod bits {
    pub const DELIVERY: u32 = 8;
    pub const LOGICAL: u32 = 1 << 11;
    /// Read only: sent, but not yet accepted.
    pub const PENDING: u32 = 1 << 12;
    pub const LOW: u32 = 1 << 13;
    /// Read only: a level-triggered interrupt was accepted, and its EOI has not come.
    pub const REMOTE_IRR: u32 = 1 << 14;
    pub const LEVEL: u32 = 1 << 15;
    pub const MASKED: u32 = 1 << 16;
    pub const READ_ONLY: u32 = PENDING | REMOTE_IRR;
}

impl Redirection {
    /// The two halves, lower first.
    pub const fn encode(self) -> (u32, u32) {
        let mut low = self.vector as u32 | (self.delivery as u32) << bits::DELIVERY;
        if self.logical {
            low |= bits::LOGICAL;
        }
        if matches!(self.polarity, Polarity::Low) {
            low |= bits::LOW;
        }
        if matches!(self.trigger, Trigger::Level) {
            low |= bits::LEVEL;
        }
        if self.masked {
            low |= bits::MASKED;
        }
        (low, (self.destination as u32) << 24)
    }

    /// From the two halves; `None` if the delivery is the reserved one.
    pub const fn decode(low: u32, high: u32) -> Option<Self> {
        let Some(delivery) = Delivery::of(low >> bits::DELIVERY) else { return None };
        Some(Self {
            vector: low as u8,
            delivery,
            logical: low & bits::LOGICAL != 0,
            polarity: if low & bits::LOW != 0 { Polarity::Low } else { Polarity::High },
            trigger: if low & bits::LEVEL != 0 { Trigger::Level } else { Trigger::Edge },
            masked: low & bits::MASKED != 0,
            destination: (high >> 24) as u8,
        })
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IoApicError {
    /// The registers read as ones or zeros: nobody is there.
    Absent,
    /// Its lines would have the numbers of another one's, or numbers past 2^32.
    Overlap(u32),
    /// There is room for no more of them.
    TooMany,
    /// No I/O APIC has this line.
    NoSuchGsi(u32),
    /// A vector below 16.
    Vector(u8),
    /// No CPU that an I/O APIC reaches has this ID.
    Destination(u32),
}

impl fmt::Display for IoApicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("I/O APIC: nobody at its address"),
            Self::Overlap(gsi) => write!(f, "I/O APIC: GSI {gsi} belongs to another one"),
            Self::TooMany => f.write_str("I/O APIC: too many of them"),
            Self::NoSuchGsi(gsi) => write!(f, "I/O APIC: none has GSI {gsi}"),
            Self::Vector(vector) => write!(f, "I/O APIC: vector {vector:#04x}"),
            Self::Destination(id) => write!(f, "I/O APIC: no CPU with ID {id:#x} can be reached"),
        }
    }
}

/// One I/O APIC.
#[derive(Debug)]
pub struct IoApic<M> {
    window: M,
    gsi_base: u32,
    lines: u32,
    version: u8,
}

impl<M: Mmio32> IoApic<M> {
    /// Takes over the one behind `window`, whose first line is GSI `gsi_base`, and masks its lines.
    pub fn new(window: M, gsi_base: u32) -> Result<Self, IoApicError> {
        let mut this = Self { window, gsi_base, lines: 0, version: 0 };
        let raw = this.read(VERSION);
        if raw == u32::MAX || raw == 0 {
            return Err(IoApicError::Absent);
        }
        this.version = raw as u8;
        this.lines = (raw >> 16 & 0xFF) + 1;
        // The last index is 8 bits wide: 10h + 2 * 240 would not fit.
        if this.lines > 120 {
            return Err(IoApicError::Absent);
        }
        if gsi_base.checked_add(this.lines).is_none() {
            return Err(IoApicError::Overlap(gsi_base));
        }
        for line in 0..this.lines {
            this.clear(line);
        }
        Ok(this)
    }

    fn read(&mut self, index: u32) -> u32 {
        self.window.write(IOREGSEL, index);
        self.window.read(IOWIN)
    }

    fn write(&mut self, index: u32, value: u32) {
        self.window.write(IOREGSEL, index);
        self.window.write(IOWIN, value);
    }

    fn read_low(&mut self, line: u32) -> u32 {
        self.read(TABLE + 2 * line)
    }

    fn write_low(&mut self, line: u32, low: u32) {
        self.write(TABLE + 2 * line, low & !bits::READ_ONLY);
    }

    /// Brings a line from any state to: masked, nothing to end.
    fn clear(&mut self, line: u32) {
        let low = self.read_low(line);
        if Delivery::of(low >> bits::DELIVERY) == Some(Delivery::Smi) {
            return;
        }
        self.write_low(line, low | bits::MASKED);
        if self.version >= 0x20 && self.read_low(line) & bits::REMOTE_IRR != 0 {
            // Accepted by a CPU that will never end it, and silent until somebody does. The EOI counts for a
            // level-triggered entry only. On a chip without that register the edge mode below drops it.
            self.write_low(line, low | bits::MASKED | bits::LEVEL);
            self.window.write(EOI, low & 0xFF);
        }
        self.write(TABLE + 2 * line + 1, 0);
        self.write_low(line, bits::MASKED);
    }

    /// The ID that the MADT gives it.
    pub fn id(&mut self) -> u8 {
        (self.read(ID) >> 24 & 0xFF) as u8
    }

    pub const fn version(&self) -> u8 {
        self.version
    }

    pub const fn gsi_base(&self) -> u32 {
        self.gsi_base
    }

    /// How many lines it has.
    pub const fn lines(&self) -> u32 {
        self.lines
    }

    /// The line that a GSI is.
    fn line_of(&self, gsi: u32) -> Option<u32> {
        gsi.checked_sub(self.gsi_base).filter(|&line| line < self.lines)
    }
}

/// All of them, up to `N`.
#[derive(Debug)]
pub struct IoApics<M, const N: usize> {
    all: [Option<IoApic<M>>; N],
}

impl<M: Mmio32, const N: usize> Default for IoApics<M, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Mmio32, const N: usize> IoApics<M, N> {
    pub const fn new() -> Self {
        Self { all: [const { None }; N] }
    }

    /// Adds one. On an error it is not used; its lines are masked all the same.
    pub fn add(&mut self, new: IoApic<M>) -> Result<(), IoApicError> {
        let (first, last) = (new.gsi_base, new.gsi_base + new.lines - 1);
        for old in self.iter() {
            if first < old.gsi_base + old.lines && old.gsi_base <= last {
                return Err(IoApicError::Overlap(first.max(old.gsi_base)));
            }
        }
        let free = self.all.iter_mut().find(|place| place.is_none()).ok_or(IoApicError::TooMany)?;
        *free = Some(new);
        Ok(())
    }

    pub fn iter(&self) -> impl Iterator<Item = &IoApic<M>> {
        self.all.iter().flatten()
    }

    /// There are lines at all.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn find(&mut self, gsi: u32) -> Result<(&mut IoApic<M>, u32), IoApicError> {
        let places = self.all.iter_mut().flatten();
        let mut found = places.filter_map(|one| one.line_of(gsi).map(|line| (one, line)));
        found.next().ok_or(IoApicError::NoSuchGsi(gsi))
    }

    /// Sends a line to a CPU, with this vector. It stays masked: [`IoApics::unmask`] when the handler is ready.
    pub fn route(
        &mut self,
        gsi: u32,
        vector: u8,
        destination: u32,
        trigger: Trigger,
        polarity: Polarity,
    ) -> Result<(), IoApicError> {
        if vector < 16 {
            return Err(IoApicError::Vector(vector));
        }
        self.program(gsi, vector, Delivery::Fixed, destination, trigger, polarity)
    }

    /// A line that is an NMI (MADT type 3). Edge-triggered, whatever the table says: the data sheet knows no other.
    pub fn route_nmi(&mut self, gsi: u32, destination: u32, polarity: Polarity) -> Result<(), IoApicError> {
        self.program(gsi, 0, Delivery::Nmi, destination, Trigger::Edge, polarity)
    }

    fn program(
        &mut self,
        gsi: u32,
        vector: u8,
        delivery: Delivery,
        destination: u32,
        trigger: Trigger,
        polarity: Polarity,
    ) -> Result<(), IoApicError> {
        let Some(id) = u8::try_from(destination).ok().filter(|&id| id != 0xFF) else {
            return Err(IoApicError::Destination(destination));
        };
        let (one, line) = self.find(gsi)?;
        let entry = Redirection {
            vector,
            delivery,
            logical: false,
            polarity,
            trigger,
            masked: true,
            destination: id,
        };
        let (low, high) = entry.encode();
        let old = one.read_low(line);
        one.write_low(line, old | bits::MASKED);
        one.write(TABLE + 2 * line + 1, high);
        one.write_low(line, low);
        Ok(())
    }

    pub fn mask(&mut self, gsi: u32) -> Result<(), IoApicError> {
        let (one, line) = self.find(gsi)?;
        let low = one.read_low(line);
        one.write_low(line, low | bits::MASKED);
        // A read brings the posted write to its end: no interrupt is sent after this returns.
        one.read_low(line);
        Ok(())
    }

    pub fn unmask(&mut self, gsi: u32) -> Result<(), IoApicError> {
        let (one, line) = self.find(gsi)?;
        let low = one.read_low(line);
        one.write_low(line, low & !bits::MASKED);
        Ok(())
    }

    /// The entry of a line, as it is; `None` inside if its delivery is the reserved one.
    pub fn entry(&mut self, gsi: u32) -> Result<Option<Redirection>, IoApicError> {
        let (one, line) = self.find(gsi)?;
        let (low, high) = (one.read_low(line), one.read(TABLE + 2 * line + 1));
        Ok(Redirection::decode(low, high))
    }

    /// A level-triggered interrupt of this line was accepted and not yet ended.
    pub fn is_in_service(&mut self, gsi: u32) -> Result<bool, IoApicError> {
        let (one, line) = self.find(gsi)?;
        Ok(one.read_low(line) & bits::REMOTE_IRR != 0)
    }
}

#[cfg(test)]
mod tests;
