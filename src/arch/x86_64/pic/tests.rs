//! The driver against a model of the two chips: command words, masks, priorities, cascade, acknowledge cycles.

use super::*;
use std::{cell::RefCell, vec::Vec};

/// One 8259A.
#[derive(Default)]
struct Chip {
    /// How many of ICW1 to ICW4 have come; 4 is "ready".
    icw: u8,
    words: [u8; 4],
    imr: u8,
    irr: u8,
    isr: u8,
    lines: u8,
    level: u8,
    read_isr: bool,
    eois: Vec<u8>,
}

impl Chip {
    fn set_line(&mut self, line: u8, up: bool) {
        let bit = 1 << line;
        let rises = up && self.lines & bit == 0;
        self.lines = if up { self.lines | bit } else { self.lines & !bit };
        if rises {
            self.irr |= bit;
        } else if !up {
            // The request goes with the line, edge-triggered or not, until it is acknowledged.
            self.irr &= !bit;
        }
    }

    fn request(&self) -> Option<u8> {
        let wanted = (self.irr | self.lines & self.level) & !self.imr;
        let line = wanted.trailing_zeros().min(8);
        (line < 8 && line < self.isr.trailing_zeros()).then_some(line as u8)
    }

    /// The CPU's acknowledge cycle: the line, or 7 with nothing put in service.
    fn acknowledge(&mut self) -> u8 {
        assert_eq!(self.icw, 4, "not initialised");
        let Some(line) = self.request() else { return 7 };
        self.irr &= !(1 << line);
        self.isr |= 1 << line;
        line
    }

    fn command(&mut self, value: u8) {
        if value & 0x10 != 0 {
            self.words[0] = value;
            (self.icw, self.imr, self.irr, self.isr, self.read_isr) = (1, 0, 0, 0, false);
        } else if value & 0x08 != 0 {
            if value & 2 != 0 {
                self.read_isr = value & 1 != 0;
            }
        } else {
            self.eois.push(value);
            match value {
                0x20 => self.isr &= self.isr.wrapping_sub(1),
                0x60..=0x67 => self.isr &= !(1 << (value & 7)),
                _ => panic!("OCW2 {value:#x}"),
            }
        }
    }

    fn data(&mut self, value: u8) {
        if self.icw < 4 && self.icw > 0 {
            self.words[usize::from(self.icw)] = value;
            self.icw += 1;
        } else {
            self.imr = value;
        }
    }
}

#[derive(Default)]
struct Pair {
    chips: [Chip; 2],
    elcr: [u8; 2],
    holes: Vec<u16>,
    elcr_writes: u32,
}

impl Pair {
    fn settle(&mut self) {
        let up = self.chips[1].request().is_some();
        self.chips[0].set_line(2, up);
        for (chip, level) in self.chips.iter_mut().zip(self.elcr) {
            chip.level = level;
        }
    }

    fn set_line(&mut self, irq: u8, up: bool) {
        self.chips[usize::from(irq >> 3)].set_line(irq & 7, up);
        self.settle();
    }

    fn pending(&self) -> bool {
        self.chips[0].request().is_some()
    }

    /// Vector that the CPU gets.
    fn acknowledge(&mut self) -> u8 {
        let line = self.chips[0].acknowledge();
        let vector = if line == 2 {
            self.chips[1].words[1] + self.chips[1].acknowledge()
        } else {
            self.chips[0].words[1] + line
        };
        self.settle();
        vector
    }
}

struct Bus(RefCell<Pair>);

impl Ports for Bus {
    fn read8(&self, port: u16) -> u8 {
        let pair = self.0.borrow();
        if pair.holes.contains(&port) {
            return 0xFF;
        }
        match port {
            MASTER_COMMAND | SLAVE_COMMAND => {
                let chip = &pair.chips[usize::from(port == SLAVE_COMMAND)];
                if chip.read_isr { chip.isr } else { chip.irr | chip.lines & chip.level }
            }
            MASTER_DATA => pair.chips[0].imr,
            SLAVE_DATA => pair.chips[1].imr,
            ELCR1 => pair.elcr[0],
            ELCR2 => pair.elcr[1],
            _ => panic!("read of port {port:#x}"),
        }
    }

    fn write8(&self, port: u16, value: u8) {
        let mut pair = self.0.borrow_mut();
        if pair.holes.contains(&port) {
            return;
        }
        match port {
            MASTER_COMMAND => pair.chips[0].command(value),
            SLAVE_COMMAND => pair.chips[1].command(value),
            MASTER_DATA => pair.chips[0].data(value),
            SLAVE_DATA => pair.chips[1].data(value),
            ELCR1 | ELCR2 => {
                pair.elcr_writes += 1;
                pair.elcr[usize::from(port - ELCR1)] = value;
            }
            DELAY => {}
            _ => panic!("write of port {port:#x}"),
        }
        pair.settle();
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

/// Chips as a firmware leaves them: vectors among the exceptions, lines open.
fn bus() -> Bus {
    let bus = Bus(RefCell::default());
    for (command, data, base, icw3) in
        [(MASTER_COMMAND, MASTER_DATA, 0x08, 4), (SLAVE_COMMAND, SLAVE_DATA, 0x70, 2)]
    {
        bus.write8(command, 0x11);
        for word in [base, icw3, 1, 0] {
            bus.write8(data, word);
        }
    }
    bus
}

fn irq(number: u8) -> Irq {
    Irq::new(number).expect("a line")
}

#[test]
fn remapped_and_masked() {
    for base in [0x20, 0x28, 0x30, 0xE8, 0xF0] {
        let bus = bus();
        // A line that is up all along must not get through between the command words and the mask.
        bus.0.borrow_mut().set_line(5, true);
        let pic = Pic::init(&bus, base).expect("a PIC");
        let pair = bus.0.borrow();
        assert_eq!(pair.chips[0].words, [0x11, base, 4, 1]);
        assert_eq!(pair.chips[1].words, [0x11, base + 8, 2, 1]);
        assert_eq!((pair.chips[0].imr, pair.chips[1].imr, pic.masks()), (0xFF, 0xFF, 0xFFFF));
        assert!(!pair.pending());
    }
}

#[test]
fn bases_among_the_exceptions_or_past_the_end_are_refused() {
    let bus = bus();
    for base in [0x00, 0x08, 0x18, 0x21, 0x2C, 0xF1, 0xF8, 0xFF] {
        assert_eq!(Pic::init(&bus, base).err(), Some(PicError::Base(base)));
    }
    assert_eq!(bus.0.borrow().chips[0].words[1], 0x08, "nothing was written");
}

#[test]
fn absent_chips_are_told() {
    for holes in [
        vec_of(&[MASTER_COMMAND, MASTER_DATA, SLAVE_COMMAND, SLAVE_DATA]),
        vec_of(&[MASTER_COMMAND, MASTER_DATA]),
    ] {
        let bus = bus();
        bus.0.borrow_mut().holes = holes;
        assert_eq!(Pic::init(&bus, 0x20).err(), Some(PicError::Absent));
    }
}

fn vec_of(ports: &[u16]) -> Vec<u16> {
    ports.to_vec()
}

#[test]
fn every_line_reaches_its_vector_and_is_ended() {
    let bus = bus();
    let mut pic = Pic::init(&bus, 0x30).expect("a PIC");
    for number in (0..16).filter(|&n| n != 2) {
        let line = irq(number);
        bus.0.borrow_mut().set_line(number, true);
        assert!(!bus.0.borrow().pending(), "line {number} is masked");
        pic.unmask(line);
        assert!(bus.0.borrow().pending());
        let vector = bus.0.borrow_mut().acknowledge();
        assert_eq!((vector, pic.irq_of(vector)), (pic.vector_of(line), Some(line)));
        assert_eq!(pic.begin(line), Arrival::Device);
        assert_eq!(pic.in_service(), line.bit() | if number >= 8 { 1 << 2 } else { 0 });
        bus.0.borrow_mut().set_line(number, false);
        pic.eoi(line);
        assert_eq!(pic.in_service(), 0, "line {number}");
        pic.mask(line);
        assert_eq!(pic.masks(), 0xFFFF);
    }
    assert_eq!((pic.irq_of(0x32), pic.irq_of(0x2F), pic.irq_of(0x40)), (None, None, None));
}

#[test]
fn the_cascade_is_open_while_a_line_behind_it_is() {
    let bus = bus();
    let mut pic = Pic::init(&bus, 0x20).expect("a PIC");
    pic.unmask(irq(4));
    assert_eq!(pic.masks(), 0xFFEF);
    pic.unmask(irq(9));
    pic.unmask(irq(12));
    assert_eq!(pic.masks(), 0xEDEB);
    pic.mask(irq(9));
    assert_eq!(pic.masks(), 0xEFEB);
    pic.mask(irq(12));
    assert_eq!(pic.masks(), 0xFFEF);
    let pair = bus.0.borrow();
    assert_eq!((pair.chips[0].imr, pair.chips[1].imr), (0xEF, 0xFF));
    drop(pair);
    pic.mask_all();
    assert_eq!((bus.0.borrow().chips[0].imr, pic.masks()), (0xFF, 0xFFFF));
    assert_eq!(Irq::new(2), None);
    assert_eq!(Irq::new(16), None);
}

#[test]
fn spurious_7_gets_no_eoi() {
    let bus = bus();
    let mut pic = Pic::init(&bus, 0x20).expect("a PIC");
    pic.unmask(irq(3));
    // Raised, and gone when the CPU asks; meanwhile line 3 is being handled.
    bus.0.borrow_mut().set_line(3, true);
    assert_eq!(bus.0.borrow_mut().acknowledge(), 0x23);
    bus.0.borrow_mut().chips[0].eois.clear();
    let vector = bus.0.borrow_mut().acknowledge();
    assert_eq!(vector, 0x27);
    assert_eq!(pic.begin(irq(7)), Arrival::Spurious);
    assert_eq!(bus.0.borrow().chips[0].eois, []);
    assert_eq!(pic.in_service(), 1 << 3, "line 3 is still in service");
    pic.eoi(irq(3));
    // A real one on the same line.
    pic.unmask(irq(7));
    bus.0.borrow_mut().set_line(7, true);
    assert_eq!(bus.0.borrow_mut().acknowledge(), 0x27);
    assert_eq!(pic.begin(irq(7)), Arrival::Device);
}

#[test]
fn spurious_15_is_ended_at_the_first_chip_only() {
    let bus = bus();
    let mut pic = Pic::init(&bus, 0x20).expect("a PIC");
    pic.unmask(irq(11));
    {
        // The second chip's request falls between the two acknowledge pulses.
        let mut pair = bus.0.borrow_mut();
        pair.set_line(11, true);
        assert_eq!(pair.chips[0].acknowledge(), 2);
        pair.set_line(11, false);
        assert_eq!(pair.chips[1].acknowledge(), 7);
    }
    assert_eq!(pic.in_service(), 1 << 2);
    assert_eq!(pic.begin(irq(15)), Arrival::Spurious);
    assert_eq!(bus.0.borrow().chips[0].eois, [0x62]);
    assert_eq!(bus.0.borrow().chips[1].eois, []);
    assert_eq!(pic.in_service(), 0);
    // The next one of the second chip gets through: without the EOI it never would.
    bus.0.borrow_mut().set_line(11, true);
    assert!(bus.0.borrow().pending());
    assert_eq!(bus.0.borrow_mut().acknowledge(), 0x2B);
}

#[test]
fn eois_end_the_line_they_name() {
    let bus = bus();
    let mut pic = Pic::init(&bus, 0x20).expect("a PIC");
    for number in [6, 4] {
        pic.unmask(irq(number));
        bus.0.borrow_mut().set_line(number, true);
        assert_eq!(bus.0.borrow_mut().acknowledge(), 0x20 + number);
    }
    pic.eoi(irq(6));
    assert_eq!(pic.in_service(), 1 << 4, "not the one of higher priority");
    pic.eoi_nonspecific();
    assert_eq!(pic.in_service(), 0);
}

#[test]
fn request_and_service_registers_are_told_apart() {
    let bus = bus();
    let mut pic = Pic::init(&bus, 0x20).expect("a PIC");
    bus.0.borrow_mut().set_line(5, true);
    bus.0.borrow_mut().set_line(14, true);
    assert_eq!((pic.requests(), pic.in_service()), (1 << 5 | 1 << 14, 0));
    pic.unmask(irq(5));
    bus.0.borrow_mut().acknowledge();
    assert_eq!((pic.in_service(), pic.requests()), (1 << 5, 1 << 14));
}

#[test]
fn level_lines_stay_requested_until_the_device_is_quiet() {
    let bus = bus();
    let mut pic = Pic::init(&bus, 0x20).expect("a PIC");
    pic.set_trigger(irq(11), Trigger::Level).expect("an ELCR");
    assert_eq!((pic.level_lines(), bus.0.borrow().elcr), (1 << 11, [0, 8]));
    pic.unmask(irq(11));
    bus.0.borrow_mut().set_line(11, true);
    for _ in 0..3 {
        assert_eq!(bus.0.borrow_mut().acknowledge(), 0x2B);
        assert_eq!(pic.begin(irq(11)), Arrival::Device);
        pic.eoi(irq(11));
        assert!(bus.0.borrow().pending(), "two devices share it, one is not yet served");
    }
    bus.0.borrow_mut().set_line(11, false);
    assert!(!bus.0.borrow().pending());
    pic.set_trigger(irq(11), Trigger::Edge).expect("an ELCR");
    assert_eq!(pic.level_lines(), 0);
}

#[test]
fn the_chipsets_own_lines_stay_edge_triggered() {
    let bus = bus();
    let mut pic = Pic::init(&bus, 0x20).expect("a PIC");
    for number in [0, 1, 8, 13] {
        let refused = Err(PicError::EdgeOnly(irq(number)));
        assert_eq!(pic.set_trigger(irq(number), Trigger::Level), refused);
    }
    assert_eq!(bus.0.borrow().elcr_writes, 0);
    for number in [3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15] {
        assert_eq!(pic.set_trigger(irq(number), Trigger::Level), Ok(()));
    }
    assert_eq!(pic.level_lines(), 0xDEF8);
}

#[test]
fn a_machine_without_elcr_is_told() {
    let bus = bus();
    bus.0.borrow_mut().holes = vec_of(&[ELCR1, ELCR2]);
    let mut pic = Pic::init(&bus, 0x20).expect("a PIC");
    assert_eq!(pic.set_trigger(irq(11), Trigger::Level), Err(PicError::NoElcr));
}
