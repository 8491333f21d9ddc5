//! The real-time clock: an MC146818 and its descendants in every chipset. What time it is, once, at boot.
//!
//! 128 bytes of battery-backed memory behind an index and a data port; the first ten are the time, one byte a
//! field, in BCD or binary, with hours from 0 to 23 or 1 to 12 and a bit for the afternoon.
//!
//! Invariants:
//! * bit 7 of the index port is no part of the index but keeps NMIs out: it cannot be read back, so it is kept
//!   here, and each write carries it;
//! * for 2 ms in each second the chip changes the fields, and they read as anything. They are read while it says
//!   that it is not, until two readings agree; both waits are bounded;
//! * no field is believed that cannot be (a 31 February, a BCD digit above 9).
//!
//! The index is a state that two users would share: one owner, behind a lock.
//!
//! Source: Motorola MC146818A data sheet, "Time, calendar and alarm locations", "Register A/B/C/D"; Intel ICH9 data
//! sheet §13.6 (ports, NMI bit); ACPI 6.5 §5.2.9 (FADT: CENTURY).

use super::access::Ports;
use crate::time::date::DateTime;
use core::fmt;

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;
/// In the index port: NMIs stay out.
const NMI_DISABLE: u8 = 1 << 7;

mod reg {
    pub const SECONDS: u8 = 0x00;
    pub const MINUTES: u8 = 0x02;
    pub const HOURS: u8 = 0x04;
    pub const DAY: u8 = 0x07;
    pub const MONTH: u8 = 0x08;
    pub const YEAR: u8 = 0x09;
    pub const A: u8 = 0x0A;
    pub const B: u8 = 0x0B;
    pub const C: u8 = 0x0C;
    pub const D: u8 = 0x0D;
}

/// Register A: an update is under way, or begins within 244 µs.
const UIP: u8 = 1 << 7;
/// Register B: hours from 0 to 23; binary; the three interrupts.
const B_24: u8 = 1 << 1;
const B_BINARY: u8 = 1 << 2;
const B_INTERRUPTS: u8 = 7 << 4;
/// Register D: the battery has kept the time.
const D_VALID: u8 = 1 << 7;
/// Hours, if they go to 12: the afternoon.
const PM: u8 = 1 << 7;

/// Reads of register A before the wait ends in an error. An update takes 2 ms; a read some 0.5 µs at the least.
const UIP_SPINS: u32 = 100_000;
/// Readings before they are given up to agree.
const READINGS: u32 = 8;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RtcError {
    /// Its registers read as ones.
    Absent,
    /// It says for ever that it is in an update.
    Stuck,
    /// No two readings agree.
    Unsteady,
    /// The fields are no time.
    Invalid,
}

impl fmt::Display for RtcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "RTC: there is none",
            Self::Stuck => "RTC: the update in progress never ends",
            Self::Unsteady => "RTC: no two readings agree",
            Self::Invalid => "RTC: what it holds is no time",
        })
    }
}

/// The chip's fields as they were read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Raw {
    second: u8,
    minute: u8,
    hour: u8,
    day: u8,
    month: u8,
    year: u8,
    century: Option<u8>,
}

/// The chip.
#[derive(Debug)]
pub struct Rtc<P> {
    ports: P,
    century: u8,
    nmi: u8,
}

impl<P: Ports> Rtc<P> {
    /// `century`: index of the register that holds it, from the FADT, or 0.
    pub const fn new(ports: P, century: u8) -> Self {
        // Below the time's own registers there is none; the index has 7 bits.
        let century = if century > reg::D && century < 0x80 { century } else { 0 };
        Self { ports, century, nmi: 0 }
    }

    /// Keeps NMIs out of the machine, or lets them in.
    pub fn set_nmi_disabled(&mut self, disabled: bool) {
        self.nmi = if disabled { NMI_DISABLE } else { 0 };
        self.park();
    }

    fn read(&mut self, index: u8) -> u8 {
        self.ports.write8(INDEX, index & !NMI_DISABLE | self.nmi);
        self.ports.read8(DATA)
    }

    fn write(&mut self, index: u8, value: u8) {
        self.ports.write8(INDEX, index & !NMI_DISABLE | self.nmi);
        self.ports.write8(DATA, value);
    }

    /// Leaves the index at a register where a stray access does no harm.
    fn park(&mut self) {
        self.read(reg::D);
    }

    /// The chip's interrupts off, and the one that is pending gone: nobody here waits for IRQ 8.
    pub fn quiet(&mut self) {
        let b = self.read(reg::B);
        self.write(reg::B, b & !B_INTERRUPTS);
        self.read(reg::C);
        self.park();
    }

    /// The battery has kept the time.
    pub fn is_valid(&mut self) -> bool {
        self.read(reg::D) & D_VALID != 0
    }

    /// What time it is, in whichever time zone the clock is set to (UTC, unless somebody else's system is on the
    /// machine, too).
    pub fn now(&mut self) -> Result<DateTime, RtcError> {
        let read = self.steady();
        let b = self.read(reg::B);
        self.park();
        decode(read?, b).ok_or(RtcError::Invalid)
    }

    /// Two readings that agree.
    fn steady(&mut self) -> Result<Raw, RtcError> {
        if [reg::A, reg::B, reg::D, reg::SECONDS].iter().all(|&index| self.read(index) == 0xFF) {
            return Err(RtcError::Absent);
        }
        let mut last = None;
        for _ in 0..READINGS {
            let wait = (0..UIP_SPINS).any(|_| self.read(reg::A) & UIP == 0);
            if !wait {
                return Err(RtcError::Stuck);
            }
            let next = self.fields();
            if last == Some(next) {
                return Ok(next);
            }
            last = Some(next);
        }
        Err(RtcError::Unsteady)
    }

    fn fields(&mut self) -> Raw {
        Raw {
            second: self.read(reg::SECONDS),
            minute: self.read(reg::MINUTES),
            hour: self.read(reg::HOURS),
            day: self.read(reg::DAY),
            month: self.read(reg::MONTH),
            year: self.read(reg::YEAR),
            century: (self.century != 0).then(|| self.read(self.century)),
        }
    }
}

/// From the fields and register B.
fn decode(raw: Raw, b: u8) -> Option<DateTime> {
    let number = |value: u8| {
        if b & B_BINARY != 0 {
            Some(value)
        } else {
            (value >> 4 < 10 && value & 15 < 10).then(|| (value >> 4) * 10 + (value & 15))
        }
    };
    let hour = if b & B_24 != 0 {
        number(raw.hour)?
    } else {
        // The afternoon's bit lies above the tens: out with it first. 12 is the first hour of either half.
        let hour = number(raw.hour & !PM).filter(|hour| (1..=12).contains(hour))?;
        hour % 12 + if raw.hour & PM != 0 { 12 } else { 0 }
    };
    let year = i32::from(number(raw.year).filter(|&year| year < 100)?);
    // A register that holds no likely century (it may be any byte of memory, or the FADT wrong) is not believed.
    let century = raw.century.and_then(number).filter(|century| (19..=21).contains(century));
    let year = match century.map(|century| i32::from(century) * 100 + year) {
        Some(whole) if whole >= 1970 => whole,
        _ if year >= 70 => 1900 + year,
        _ => 2000 + year,
    };
    DateTime::new(year, number(raw.month)?, number(raw.day)?, hour, number(raw.minute)?, number(raw.second)?)
}

#[cfg(test)]
mod tests;
