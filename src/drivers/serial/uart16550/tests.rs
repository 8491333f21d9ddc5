//! The driver against a model of the chip's registers: each member of the family, a hole, and failing ones.

use super::*;
use std::{cell::RefCell, collections::VecDeque, vec, vec::Vec};

/// What kind of chip, or hole, the model plays.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Chip(Model),
    Floating,
    /// Reads as zeros, as some bridges answer.
    Zeros,
    /// Plain memory: every register holds what is written.
    Memory,
}

/// A register model after the data sheet. A transmitter with `busy = Some(n)` is ready again n reads of
/// the line status after it was filled; `None` is one that never gets ready.
struct Chip {
    kind: Kind,
    busy: Option<u32>,
    countdown: u32,
    /// Registers as written: IER, FCR, LCR, MCR, SCR by offset; the divisor beside them.
    held: [u8; 8],
    divisor: [u8; 2],
    received: VecDeque<(u8, LineStatus)>,
    /// Of its FIFO.
    depth: u8,
    fresh_errors: LineStatus,
    fifo: usize,
    sent: Vec<u8>,
    overfilled: bool,
    lsr_reads: u32,
}

struct Bus(RefCell<Chip>);

fn bus_with(kind: Kind) -> Bus {
    Bus(RefCell::new(Chip {
        kind,
        busy: Some(3),
        countdown: 0,
        held: [0; 8],
        divisor: [0; 2],
        received: VecDeque::new(),
        depth: 16,
        fresh_errors: LineStatus::empty(),
        fifo: 0,
        sent: Vec::new(),
        overfilled: false,
        lsr_reads: 0,
    }))
}

impl Chip {
    fn model(&self) -> Option<Model> {
        match self.kind {
            Kind::Chip(model) => Some(model),
            _ => None,
        }
    }

    fn has(&self, r: u8, bit: u8) -> bool {
        self.held[usize::from(r)] & bit != 0
    }

    fn receive(&mut self, byte: u8, errors: LineStatus) {
        if self.received.is_empty() {
            self.fresh_errors |= errors;
        }
        self.received.push_back((byte, errors));
    }

    fn read(&mut self, r: u8) -> u8 {
        let Some(model) = self.model() else {
            return match self.kind {
                Kind::Floating => 0xff,
                Kind::Zeros => 0,
                _ => self.held[usize::from(r)],
            };
        };
        match r {
            0 | 1 if self.has(reg::LCR, 0x80) => self.divisor[usize::from(r)],
            0 => {
                let byte = self.received.pop_front().map_or(0, |(byte, _)| byte);
                self.fresh_errors = self.received.front().map_or(LineStatus::empty(), |top| top.1);
                byte
            }
            1 => self.held[1] & 0x0f,
            2 => match (model, self.has(reg::IIR_FCR, 1)) {
                (Model::Uart16550A, true) => 0xc1,
                (Model::Uart16550, true) => 0x81,
                _ => 0x01,
            },
            5 => {
                self.lsr_reads += 1;
                self.countdown = self.countdown.saturating_sub(1);
                let mut status = core::mem::replace(&mut self.fresh_errors, LineStatus::empty());
                status.set(LineStatus::DATA_READY, !self.received.is_empty());
                if self.countdown == 0 && self.busy.is_some() {
                    self.fifo = 0;
                    status |= LineStatus::THR_EMPTY | LineStatus::TRANSMITTER_EMPTY;
                }
                status.bits()
            }
            6 if self.has(reg::MCR, 0x10) => {
                let mcr = self.held[4];
                (mcr & 0x0c) << 4 | (mcr & 1) << 5 | (mcr & 2) << 3
            }
            6 => 0xb0,
            7 if model == Model::Uart8250 => 0xff,
            _ => self.held[usize::from(r)],
        }
    }

    fn write(&mut self, r: u8, value: u8) {
        let Some(model) = self.model() else {
            self.held[usize::from(r)] = value;
            return;
        };
        match r {
            0 | 1 if self.has(reg::LCR, 0x80) => self.divisor[usize::from(r)] = value,
            0 if self.has(reg::MCR, 0x10) => {
                let depth = if self.has(reg::IIR_FCR, 1) { usize::from(self.depth) } else { 1 };
                if self.received.len() < depth {
                    self.received.push_back((value, LineStatus::empty()));
                } else {
                    self.fresh_errors |= LineStatus::OVERRUN;
                }
            }
            0 => {
                self.fifo += 1;
                self.overfilled |= self.fifo > usize::from(model.depth().min(self.depth));
                self.countdown = self.busy.unwrap_or(u32::MAX);
                self.sent.push(value);
            }
            2 if model == Model::Uart16550A && value & 3 == 3 => {
                self.received.clear();
                self.held[2] = value;
            }
            _ => self.held[usize::from(r)] = value,
        }
    }
}

impl SerialRegisters for &Bus {
    fn read(&self, reg: u8) -> u8 {
        self.0.borrow_mut().read(reg)
    }
    fn write(&self, reg: u8, value: u8) {
        self.0.borrow_mut().write(reg, value);
    }
}

fn probe(bus: &Bus) -> Result<Uart<&Bus>, ProbeError> {
    Uart::probe(bus, DEFAULT_BAUD)
}

#[test]
fn absent_ports_are_told() {
    for (kind, want) in [
        (Kind::Floating, ProbeError::FloatingBus),
        (Kind::Zeros, ProbeError::InterruptEnable),
        (Kind::Memory, ProbeError::Loopback),
    ] {
        let bus = bus_with(kind);
        assert_eq!(probe(&bus).err(), Some(want));
    }
}

#[test]
fn every_model_is_told_and_set_up() {
    for model in [Model::Uart8250, Model::Uart16450, Model::Uart16550, Model::Uart16550A] {
        let bus = bus_with(Kind::Chip(model));
        let uart = Uart::probe(&bus, 9600).expect("a UART");
        assert_eq!(uart.model(), model);
        let chip = bus.0.borrow();
        assert_eq!((chip.divisor, chip.held[3], chip.held[1]), ([12, 0], 0x03, 0x00));
        assert_eq!(chip.held[4], 0x0b, "DTR, RTS, OUT2, no loopback");
        assert_eq!(chip.held[2] & 1, u8::from(model == Model::Uart16550A || chip.held[2] != 0));
        assert_eq!(model == Model::Uart16550, chip.held[2] == 0, "a broken FIFO is off");
        assert_eq!(chip.sent, [], "the probe sends nothing");
    }
}

#[test]
fn the_fifos_depth_is_found_out_and_not_exceeded() {
    for depth in [1, 4, 16, 32, 64, 128] {
        let bus = bus_with(Kind::Chip(Model::Uart16550A));
        bus.0.borrow_mut().depth = depth;
        let mut uart = probe(&bus).expect("a UART");
        assert_eq!(uart.depth(), depth);
        assert_eq!(
            (uart.try_read(), uart.counters()),
            (None, Counters::default()),
            "nothing of the test is left"
        );
        if depth <= 16 {
            uart.write_bytes(&[b'x'; 300]);
            assert!(!bus.0.borrow().overfilled);
        }
    }
    // One that swallows everything, and one whose transmitter is stuck: what the name says must do.
    let bus = bus_with(Kind::Chip(Model::Uart16550A));
    bus.0.borrow_mut().depth = 200;
    assert_eq!(probe(&bus).expect("a UART").depth(), 16);
    let bus = bus_with(Kind::Chip(Model::Uart16550A));
    bus.0.borrow_mut().busy = None;
    assert_eq!(probe(&bus).expect("a UART").depth(), 16);
}

#[test]
fn sends_everything_and_never_overfills() {
    for model in [Model::Uart8250, Model::Uart16450, Model::Uart16550, Model::Uart16550A] {
        let bus = bus_with(Kind::Chip(model));
        let mut uart = probe(&bus).expect("a UART");
        let text: Vec<u8> = (0..1000).map(|n| n as u8).collect();
        bus.0.borrow_mut().lsr_reads = 0;
        uart.write_bytes(&text);
        assert!(uart.flush());
        let chip = bus.0.borrow();
        assert_eq!(chip.sent, text);
        assert!(!chip.overfilled);
        // Three reads a filling: the FIFO pays.
        assert!(chip.lsr_reads <= 3 * (1000 / u32::from(model.depth()) + 2));
        assert_eq!(uart.counters(), Counters::default());
    }
}

#[test]
fn a_stuck_transmitter_costs_one_wait_and_recovers() {
    let bus = bus_with(Kind::Chip(Model::Uart16550A));
    let mut uart = probe(&bus).expect("a UART");
    bus.0.borrow_mut().busy = None;
    bus.0.borrow_mut().lsr_reads = 0;
    uart.write_bytes(&[b'x'; 5000]);
    assert_eq!(uart.counters().dropped, 5000);
    assert!(bus.0.borrow().lsr_reads <= SPINS + 5000);
    assert!(!uart.flush());
    bus.0.borrow_mut().busy = Some(1);
    assert!(uart.write_byte(b'y'));
    assert_eq!((uart.counters().dropped, bus.0.borrow().sent.as_slice()), (5000, &b"y"[..]));
    // Stuck from the start: still found, since its modem lines answer.
    let bus = bus_with(Kind::Chip(Model::Uart16450));
    bus.0.borrow_mut().busy = None;
    assert!(!probe(&bus).expect("a UART").write_byte(b'z'));
}

#[test]
fn receives_and_counts_errors() {
    for model in [Model::Uart16450, Model::Uart16550A] {
        let bus = bus_with(Kind::Chip(model));
        bus.0.borrow_mut().receive(b'?', LineStatus::FRAMING);
        let mut uart = probe(&bus).expect("a UART");
        assert_eq!(uart.try_read(), None, "what came before the probe is gone");
        assert_eq!(uart.counters(), Counters::default());

        for (byte, errors) in [
            (b'a', LineStatus::empty()),
            (b'b', LineStatus::PARITY),
            (b'c', LineStatus::OVERRUN),
            (0, LineStatus::BREAK | LineStatus::FRAMING),
            (b'd', LineStatus::FRAMING),
            (b'e', LineStatus::empty()),
        ] {
            bus.0.borrow_mut().receive(byte, errors);
        }
        let mut got = vec![];
        for _ in 0..20 {
            // Sending reads the line status too: it must neither lose nor move an error.
            uart.write_byte(b'-');
            uart.flush();
            got.extend(uart.try_read());
        }
        assert_eq!(got, *b"ace");
        let want = Counters { overruns: 1, parity_errors: 1, framing_errors: 1, breaks: 1, dropped: 0 };
        assert_eq!(uart.counters(), want);
    }
}

#[test]
fn a_port_that_vanishes_gives_no_bytes() {
    let bus = bus_with(Kind::Chip(Model::Uart16550A));
    let mut uart = probe(&bus).expect("a UART");
    bus.0.borrow_mut().kind = Kind::Floating;
    assert_eq!(uart.try_read(), None);
    assert!(!uart.write_byte(b'x'));
    assert_eq!(uart.counters(), Counters { dropped: 1, ..Counters::default() });
}

#[test]
fn divisors() {
    let rates = [(115_200, 1), (57_600, 2), (38_400, 3), (9_600, 12), (300, 384), (110, 1047), (2, 57_600)];
    for (baud, want) in rates {
        assert_eq!(divisor(baud), Some(want));
    }
    for baud in [0, 1, 115_201, 100_000, 230_400, u32::MAX] {
        assert_eq!(divisor(baud), None, "{baud}");
        let bus = bus_with(Kind::Chip(Model::Uart16550A));
        assert_eq!(Uart::probe(&bus, baud).err(), Some(ProbeError::Baud(baud)));
    }
}
