//! The driver against a model of the chip that panics when a live entry is changed.

use super::*;
use crate::testing::Random;
use std::cell::RefCell;
use std::vec;
use std::vec::Vec;

const ALL_DELIVERIES: [Delivery; 7] = [
    Delivery::Fixed,
    Delivery::LowestPriority,
    Delivery::Smi,
    Delivery::Nmi,
    Delivery::Init,
    Delivery::Startup,
    Delivery::ExtInt,
];

struct Chip {
    version: u32,
    index: u32,
    /// Entries as they are: lower half, upper half.
    entries: Vec<(u32, u32)>,
    lines: Vec<bool>,
    /// Vector and destination of each message.
    sent: Vec<(u8, u8)>,
    /// Nothing may change but the mask, unless it is on.
    strict: bool,
    writes: u32,
}

struct Bus(RefCell<Chip>);

fn bus(version: u32, lines: u32) -> Bus {
    let lines = lines as usize;
    Bus(RefCell::new(Chip {
        version: version | (lines as u32 - 1) << 16,
        index: 0,
        entries: vec![(bits::MASKED, 0); lines],
        lines: vec![false; lines],
        sent: vec![],
        strict: true,
        writes: 0,
    }))
}

impl Chip {
    fn set_line(&mut self, line: usize, up: bool) {
        let rises = up && !self.lines[line];
        self.lines[line] = up;
        let (low, high) = self.entries[line];
        if rises && low & (bits::LEVEL | bits::MASKED) == 0 {
            self.sent.push((low as u8, (high >> 24) as u8));
        }
        self.settle();
    }

    /// Level-triggered lines send while they are up, once for each EOI.
    fn settle(&mut self) {
        for (&up, entry) in self.lines.iter().zip(&mut self.entries) {
            if up && entry.0 & (bits::LEVEL | bits::MASKED | bits::REMOTE_IRR) == bits::LEVEL {
                entry.0 |= bits::REMOTE_IRR;
                self.sent.push((entry.0 as u8, (entry.1 >> 24) as u8));
            }
        }
    }

    fn eoi(&mut self, vector: u8) {
        for entry in &mut self.entries {
            if entry.0 as u8 == vector && entry.0 & bits::LEVEL != 0 {
                entry.0 &= !bits::REMOTE_IRR;
            }
        }
        self.settle();
    }

    fn write_entry(&mut self, index: u32, value: u32) {
        let (line, upper) = ((index - TABLE) as usize / 2, index & 1 != 0);
        let entry = &mut self.entries[line];
        let live = self.strict && entry.0 & bits::MASKED == 0;
        if upper {
            assert!(!live, "line {line}: the upper half changes while it is live");
            entry.1 = value & 0xFF00_0000;
        } else {
            let value = value & 0x1_AFFF;
            let changed = (entry.0 ^ value) & !(bits::MASKED | bits::READ_ONLY);
            assert!(!live || changed == 0, "line {line}: the entry changes while it is live");
            // Edge mode forgets what is in service; on the newer chips, only an EOI does.
            let kept = value & bits::LEVEL != 0 || self.version & 0xFF >= 0x20;
            entry.0 = value | if kept { entry.0 & bits::REMOTE_IRR } else { 0 };
        }
        self.settle();
    }
}

impl Mmio32 for &Bus {
    fn read(&self, offset: u32) -> u32 {
        let chip = self.0.borrow();
        match (offset, chip.index) {
            (IOREGSEL, index) => index,
            (IOWIN, ID) => 0x0900_0000,
            (IOWIN, VERSION) => chip.version,
            (IOWIN, index) => {
                let (low, high) = chip.entries[(index - TABLE) as usize / 2];
                if index & 1 != 0 { high } else { low }
            }
            _ => panic!("read of offset {offset:#x}"),
        }
    }

    fn write(&self, offset: u32, value: u32) {
        let mut chip = self.0.borrow_mut();
        chip.writes += 1;
        match (offset, chip.index) {
            (IOREGSEL, _) => chip.index = value,
            (IOWIN, index @ TABLE..) => chip.write_entry(index, value),
            (EOI, _) if chip.version & 0xFF >= 0x20 => chip.eoi(value as u8),
            _ => panic!("write of offset {offset:#x}"),
        }
    }
}

/// A plain value in place of a chip.
struct Constant(u32);

impl Mmio32 for Constant {
    fn read(&self, _: u32) -> u32 {
        self.0
    }
    fn write(&self, _: u32, _: u32) {}
}

fn set<'a>(buses: &[(&'a Bus, u32)]) -> IoApics<&'a Bus, 4> {
    let mut set = IoApics::new();
    for &(bus, base) in buses {
        set.add(IoApic::new(bus, base).expect("an I/O APIC")).expect("room");
    }
    set
}

#[test]
fn entries_decode_to_what_was_encoded() {
    let mut random = Random::new(4);
    for _ in 0..10_000 {
        let coin = |random: &mut Random| random.below(2) == 1;
        let entry = Redirection {
            vector: random.byte(),
            delivery: random.pick(&ALL_DELIVERIES),
            logical: coin(&mut random),
            polarity: random.pick(&[Polarity::High, Polarity::Low]),
            trigger: random.pick(&[Trigger::Edge, Trigger::Level]),
            masked: coin(&mut random),
            destination: random.byte(),
        };
        let (low, high) = entry.encode();
        assert_eq!(low & bits::READ_ONLY, 0);
        let noise = random.next_u64() as u32;
        let (low, high) = (low | noise & (bits::READ_ONLY | 0xFFFE_0000), high | noise & 0x00FF_FFFF);
        assert_eq!(Redirection::decode(low, high), Some(entry));
    }
    assert_eq!(Redirection::decode(3 << 8, 0), None);
    // As the data sheet draws it: level, low, lowest priority, masked, to CPU 2.
    let entry = Redirection {
        vector: 0x51,
        delivery: Delivery::LowestPriority,
        logical: true,
        polarity: Polarity::Low,
        trigger: Trigger::Level,
        masked: true,
        destination: 2,
    };
    assert_eq!(entry.encode(), (0x1_A951, 0x0200_0000));
}

#[test]
fn absent_ones_are_told() {
    for value in [u32::MAX, 0] {
        assert_eq!(IoApic::new(Constant(value), 0).err(), Some(IoApicError::Absent));
    }
    assert_eq!(IoApic::new(Constant(0x00EF_0011), 0).err(), Some(IoApicError::Absent), "240 lines");
}

#[test]
fn all_lines_are_masked_at_first() {
    for version in [0x11, 0x20] {
        let bus = bus(version, 24);
        {
            let mut chip = bus.0.borrow_mut();
            chip.strict = false;
            for (line, entry) in chip.entries.iter_mut().enumerate() {
                // Live, of every delivery, edge and level; some in service for ever.
                let delivery = ALL_DELIVERIES[line % 7] as u32;
                let level = if line & 1 != 0 { bits::LEVEL | bits::REMOTE_IRR } else { 0 };
                *entry = ((0x40 + line as u32) | delivery << 8 | level, 0x0700_0000);
            }
            chip.strict = true;
        }
        let mut ioapic = IoApic::new(&bus, 0).expect("an I/O APIC");
        assert_eq!((ioapic.lines(), ioapic.version(), ioapic.id()), (24, version as u8, 9));
        let chip = bus.0.borrow();
        for (line, &entry) in chip.entries.iter().enumerate() {
            if line % 7 == 2 {
                assert_eq!(entry.0 & (bits::MASKED | 0x7FF), 0x240 + line as u32, "the SMI is left alone");
            } else {
                assert_eq!(entry, (bits::MASKED, 0), "line {line}");
            }
        }
    }
}

#[test]
fn a_line_reaches_the_cpu_it_is_routed_to() {
    let bus = bus(0x20, 24);
    let mut set = set(&[(&bus, 0)]);
    set.route(4, 0x44, 3, Trigger::Edge, Polarity::High).expect("a line");
    bus.0.borrow_mut().set_line(4, true);
    assert_eq!(bus.0.borrow().sent, [], "masked until the handler is ready");
    bus.0.borrow_mut().set_line(4, false);
    set.unmask(4).expect("a line");
    bus.0.borrow_mut().set_line(4, true);
    assert_eq!(bus.0.borrow().sent, [(0x44, 3)]);
    set.mask(4).expect("a line");
    bus.0.borrow_mut().set_line(4, false);
    bus.0.borrow_mut().set_line(4, true);
    assert_eq!(bus.0.borrow().sent.len(), 1);
}

/// Negative: the model panics if half of the entry is new while the other half is live.
#[test]
fn a_live_line_is_masked_before_it_is_changed() {
    let bus = bus(0x20, 24);
    let mut set = set(&[(&bus, 0)]);
    for cpu in 0..8 {
        let vector = 0x30 + cpu as u8 * 8;
        set.route(9, vector, cpu, Trigger::Level, Polarity::Low).expect("a line");
        let entry = set.entry(9).expect("a line").expect("an entry");
        assert!(entry.masked);
        set.unmask(9).expect("a line");
    }
    let entry = set.entry(9).expect("a line").expect("an entry");
    assert_eq!((entry.vector, entry.destination, entry.masked), (0x68, 7, false));
    assert_eq!((entry.trigger, entry.polarity, entry.logical), (Trigger::Level, Polarity::Low, false));
}

#[test]
#[should_panic(expected = "upper half changes while it is live")]
fn the_model_knows_the_wrong_order() {
    let bus = bus(0x20, 24);
    let mut set = set(&[(&bus, 0)]);
    set.route(9, 0x40, 0, Trigger::Edge, Polarity::High).expect("a line");
    set.unmask(9).expect("a line");
    (&bus).write(IOREGSEL, TABLE + 19);
    (&bus).write(IOWIN, 0x0100_0000);
}

#[test]
fn level_lines_send_until_the_device_is_quiet() {
    let bus = bus(0x11, 24);
    let mut set = set(&[(&bus, 0)]);
    set.route(16, 0x60, 0, Trigger::Level, Polarity::Low).expect("a line");
    set.unmask(16).expect("a line");
    bus.0.borrow_mut().set_line(16, true);
    assert_eq!(bus.0.borrow().sent.len(), 1);
    assert_eq!(set.is_in_service(16), Ok(true));
    bus.0.borrow_mut().eoi(0x60);
    assert_eq!(bus.0.borrow().sent.len(), 2, "still up");
    // Masked and unmasked while in service: what is read only is not written back, and nothing is lost.
    set.mask(16).expect("a line");
    set.unmask(16).expect("a line");
    bus.0.borrow_mut().set_line(16, false);
    bus.0.borrow_mut().eoi(0x60);
    assert_eq!(set.is_in_service(16), Ok(false));
    assert_eq!(bus.0.borrow().sent.len(), 2);
}

#[test]
fn several_share_the_numbers() {
    let (first, second, third) = (bus(0x20, 24), bus(0x11, 16), bus(0x20, 120));
    let mut set = set(&[(&third, 100), (&first, 0), (&second, 24)]);
    for (gsi, bus, line) in
        [(0, &first, 0), (23, &first, 23), (24, &second, 0), (39, &second, 15), (219, &third, 119)]
    {
        set.route(gsi, 0x80, 1, Trigger::Edge, Polarity::High).expect("a line");
        assert_eq!(bus.0.borrow().entries[line], (bits::MASKED | 0x80, 0x0100_0000), "GSI {gsi}");
    }
    for gsi in [40, 99, 220, u32::MAX] {
        let none = IoApicError::NoSuchGsi(gsi);
        assert_eq!(set.route(gsi, 0x80, 1, Trigger::Edge, Polarity::High), Err(none));
        assert_eq!(set.mask(gsi), Err(none));
        assert_eq!(set.unmask(gsi), Err(none));
        assert_eq!(set.entry(gsi), Err(none));
    }
    assert_eq!(set.iter().map(IoApic::lines).sum::<u32>(), 160);
    assert!(!set.is_empty() && IoApics::<&Bus, 4>::new().is_empty());
}

#[test]
fn numbers_are_given_once() {
    let (first, second, third) = (bus(0x20, 24), bus(0x20, 24), bus(0x20, 24));
    let mut set = set(&[(&first, 24)]);
    for base in [24, 1, 47, 30] {
        let one = IoApic::new(&second, base).expect("an I/O APIC");
        assert_eq!(set.add(one), Err(IoApicError::Overlap(base.max(24))));
    }
    assert_eq!(IoApic::new(&second, u32::MAX - 3).err(), Some(IoApicError::Overlap(u32::MAX - 3)));
    for base in [0, 48, 72] {
        set.add(IoApic::new(&second, base).expect("an I/O APIC")).expect("room");
    }
    assert_eq!(set.add(IoApic::new(&third, 200).expect("an I/O APIC")), Err(IoApicError::TooMany));
}

#[test]
fn bad_vectors_and_destinations_are_refused() {
    let bus = bus(0x20, 24);
    let mut set = set(&[(&bus, 0)]);
    let before = bus.0.borrow().writes;
    let edge = (Trigger::Edge, Polarity::High);
    assert_eq!(set.route(3, 15, 0, edge.0, edge.1), Err(IoApicError::Vector(15)));
    for id in [0xFF, 0x100, u32::MAX] {
        assert_eq!(set.route(3, 0x40, id, edge.0, edge.1), Err(IoApicError::Destination(id)));
        assert_eq!(set.route_nmi(3, id, edge.1), Err(IoApicError::Destination(id)));
    }
    assert_eq!(bus.0.borrow().writes, before, "nothing was written");
}

#[test]
fn an_nmi_line_is_edge_triggered() {
    let bus = bus(0x20, 24);
    let mut set = set(&[(&bus, 0)]);
    set.route_nmi(2, 5, Polarity::Low).expect("a line");
    assert_eq!(bus.0.borrow().entries[2], (0x1_2400, 0x0500_0000));
}
