//! The driver against a model whose seconds go by in the middle of its readings.

use super::*;
use crate::testing::Random;
use std::cell::RefCell;

struct Chip {
    index: u8,
    nmi: u8,
    time: DateTime,
    b: u8,
    d: u8,
    century: u8,
    /// Accesses in a second, and those at its end in which the time is no time.
    second: u32,
    update: u32,
    at: u32,
    reads_of_c: u32,
    absent: bool,
    stuck: bool,
}

struct Bus(RefCell<Chip>);

fn bus(time: DateTime) -> Bus {
    Bus(RefCell::new(Chip {
        index: 0,
        nmi: 0,
        time,
        b: B_24,
        d: D_VALID,
        century: 0,
        second: u32::MAX,
        update: 0,
        at: 0,
        reads_of_c: 0,
        absent: false,
        stuck: false,
    }))
}

fn moment(year: i32, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> DateTime {
    DateTime::new(year, month, day, hour, minute, second).expect("a time")
}

impl Chip {
    fn tick(&mut self) {
        self.at += 1;
        if self.at >= self.second {
            self.at = 0;
            self.time = DateTime::from_unix_ns((self.time.unix_seconds() + 1) * 1_000_000_000);
        }
    }

    fn number(&self, value: u8) -> u8 {
        if self.b & B_BINARY != 0 { value } else { (value / 10) << 4 | (value % 10) }
    }

    fn read(&mut self) -> u8 {
        self.tick();
        if self.absent {
            return 0xFF;
        }
        let updating = self.at >= self.second.saturating_sub(self.update);
        let time = self.time;
        let ((month, day), (hour, minute, second)) = (time.month_day(), time.time());
        match self.index {
            // UIP rises before the update itself, by the time that one reading takes.
            0x0A => {
                let soon = self.at + 20 >= self.second.saturating_sub(self.update) && self.update > 0;
                0x26 | if soon || self.stuck { UIP } else { 0 }
            }
            0x0B => self.b,
            0x0C => {
                self.reads_of_c += 1;
                0
            }
            0x0D => self.d,
            _ if updating && self.update > 0 => 0xEE ^ self.at as u8,
            0x00 => self.number(second),
            0x02 => self.number(minute),
            0x04 if self.b & B_24 != 0 => self.number(hour),
            0x04 => {
                let afternoon = if hour >= 12 { PM } else { 0 };
                self.number((hour + 11) % 12 + 1) | afternoon
            }
            0x07 => self.number(day),
            0x08 => self.number(month),
            0x09 => self.number((time.year() % 100) as u8),
            0x32 if self.century != 0 => self.century,
            0x32 => self.number((time.year() / 100) as u8),
            index => panic!("read of register {index:#x}"),
        }
    }
}

impl Ports for &Bus {
    fn read8(&self, port: u16) -> u8 {
        assert_eq!(port, DATA, "the index cannot be read back");
        self.0.borrow_mut().read()
    }

    fn write8(&self, port: u16, value: u8) {
        let mut chip = self.0.borrow_mut();
        chip.tick();
        match (port, chip.index) {
            (INDEX, _) => (chip.index, chip.nmi) = (value & 0x7F, value & NMI_DISABLE),
            (DATA, reg::B) => chip.b = value,
            _ => panic!("write of port {port:#x}"),
        }
    }

    fn read16(&self, port: u16) -> u16 {
        panic!("16-bit read of port {port:#x}")
    }
    fn read32(&self, port: u16) -> u32 {
        panic!("32-bit read of port {port:#x}")
    }
    fn write16(&self, port: u16, _: u16) {
        panic!("16-bit write of port {port:#x}")
    }
    fn write32(&self, port: u16, _: u32) {
        panic!("32-bit write of port {port:#x}")
    }
}

#[test]
fn every_format_of_every_hour() {
    for b in [0, B_24, B_BINARY, B_24 | B_BINARY] {
        for hour in 0..24 {
            let time = moment(2024, 2, 29, hour, 59, 38);
            let bus = bus(time);
            bus.0.borrow_mut().b = b;
            assert_eq!(Rtc::new(&bus, 0x32).now(), Ok(time), "register B {b:#x}");
        }
    }
}

#[test]
fn the_century_is_read_or_guessed() {
    for (year, index, register, want) in [
        (2024, 0, 0, 2024),
        (1999, 0, 0, 1999),
        (1970, 0, 0, 1970),
        (2069, 0, 0, 2069),
        (2105, 0x32, 0, 2105),
        (2170, 0x32, 0, 2170),
        (1985, 0x32, 0, 1985),
        // A register that holds nonsense, or a year before 1970: the guess.
        (2024, 0x32, 0xFF, 2024),
        (2024, 0x32, 0x55, 2024),
        (2024, 0x32, 0x19, 2024),
        // An index that is none.
        (2024, 0x0B, 0, 2024),
        (2024, 0xB2, 0, 2024),
    ] {
        let bus = bus(moment(year, 7, 1, 1, 2, 3));
        bus.0.borrow_mut().century = register;
        let now = Rtc::new(&bus, index).now().expect("a time");
        assert_eq!(now.year(), want, "{index:#x} {register:#x}");
    }
}

/// Negative: the update falls everywhere within the readings, and its garbage is never taken for a time. The seconds
/// that roll over here change every field.
#[test]
fn no_reading_is_torn() {
    for update in [0, 30, 100] {
        for at in 0..600 {
            let start = moment(1999, 12, 31, 23, 59, 59);
            let bus = bus(start);
            {
                let mut chip = bus.0.borrow_mut();
                (chip.second, chip.update, chip.at) = (600, update, at);
            }
            let now = Rtc::new(&bus, 0x32).now().expect("a time");
            let after = bus.0.borrow().time;
            assert!(start <= now && now <= after, "update {update} at {at}: {now}");
            assert!(after.unix_seconds() - start.unix_seconds() <= 1);
        }
    }
}

#[test]
fn what_is_none_or_stuck_is_told_in_bounded_time() {
    let time = moment(2024, 1, 1, 0, 0, 0);
    let absent = bus(time);
    absent.0.borrow_mut().absent = true;
    assert_eq!(Rtc::new(&absent, 0).now(), Err(RtcError::Absent));
    let stuck = bus(time);
    stuck.0.borrow_mut().stuck = true;
    assert_eq!(Rtc::new(&stuck, 0).now(), Err(RtcError::Stuck));
    assert!(stuck.0.borrow().at < 2 * UIP_SPINS + 100);
    let racing = bus(time);
    racing.0.borrow_mut().second = 5;
    assert_eq!(Rtc::new(&racing, 0).now(), Err(RtcError::Unsteady));
}

#[test]
fn fields_that_are_no_time_are_refused() {
    let good = Raw { second: 0, minute: 0, hour: 0, day: 1, month: 1, year: 0x24, century: None };
    assert!(decode(good, B_24).is_some());
    for bad in [
        Raw { second: 0x60, ..good },
        Raw { second: 0x0A, ..good },
        Raw { minute: 0xA0, ..good },
        Raw { hour: 0x24, ..good },
        Raw { hour: 0x81, ..good },
        Raw { day: 0, ..good },
        Raw { day: 0x32, ..good },
        Raw { month: 0, ..good },
        Raw { month: 0x13, ..good },
        Raw { day: 0x30, month: 2, ..good },
        Raw { day: 0x29, month: 2, year: 0x23, ..good },
        Raw { day: 0x31, month: 4, ..good },
        Raw { year: 0xFF, ..good },
    ] {
        assert_eq!(decode(bad, B_24), None, "{bad:?}");
    }
    // From 1 to 12, and neither 0 nor 13.
    for hour in [0, 0x13, 0x80, 0x93] {
        assert_eq!(decode(Raw { hour, ..good }, 0), None);
    }
    assert_eq!(decode(Raw { year: 100, ..good }, B_24 | B_BINARY), None);
    // Noise never panics.
    let mut random = Random::new(6);
    for _ in 0..100_000 {
        let raw = Raw {
            second: random.byte(),
            minute: random.byte(),
            hour: random.byte(),
            day: random.byte(),
            month: random.byte(),
            year: random.byte(),
            century: (random.below(2) == 0).then(|| random.byte()),
        };
        if let Some(time) = decode(raw, random.byte()) {
            assert!((1970..2200).contains(&time.year()));
        }
    }
}

#[test]
fn the_nmi_bit_goes_with_every_index() {
    let bus = bus(moment(2024, 1, 1, 0, 0, 0));
    let mut rtc = Rtc::new(&bus, 0x32);
    rtc.now().expect("a time");
    assert_eq!((bus.0.borrow().nmi, bus.0.borrow().index), (0, reg::D));
    rtc.set_nmi_disabled(true);
    assert_eq!(bus.0.borrow().nmi, NMI_DISABLE, "at once");
    rtc.now().expect("a time");
    rtc.quiet();
    assert!(rtc.is_valid());
    assert_eq!((bus.0.borrow().nmi, bus.0.borrow().index), (NMI_DISABLE, reg::D));
    rtc.set_nmi_disabled(false);
    assert_eq!(bus.0.borrow().nmi, 0);
    bus.0.borrow_mut().d = 0;
    assert!(!rtc.is_valid());
}

#[test]
fn its_interrupts_are_turned_off() {
    let bus = bus(moment(2024, 1, 1, 0, 0, 0));
    bus.0.borrow_mut().b = 0xF2;
    Rtc::new(&bus, 0).quiet();
    assert_eq!((bus.0.borrow().b, bus.0.borrow().reads_of_c), (0x82, 1));
}
