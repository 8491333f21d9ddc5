//! The 16550 UART and its ancestors: the serial console, polled.
//!
//! `platform` says where the registers are (ports 3F8h.. for COM1, or memory) by implementing
//! [`Registers`]; everything else is here and runs on the host against a model. Interrupts stay off
//! (IER = 0).
//!
//! Invariants:
//! * no call waits without a bound: a transmitter that never gets ready costs one long wait, and from then
//!   on one look a byte, until it is ready again. What could not be sent is counted;
//! * reading the line status clears its error bits, so it is read in one function only, which keeps them;
//! * nobody else writes to the transmitter, so after one "empty" as many bytes go out as the FIFO is deep.
//!
//! Source: National Semiconductor PC16550D data sheet (June 1995), section 8 "Registers", whose parts are
//! named below.

use bitflags::bitflags;
use core::fmt;

/// Access to the eight registers, by their offset from the base.
pub trait Registers {
    /// Reads register `reg`, 0 to 7.
    fn read(&self, reg: u8) -> u8;
    /// Writes register `reg`, 0 to 7.
    fn write(&self, reg: u8, value: u8);
}

/// Register offsets (table I, "UART Reset Configuration" and table II, "Summary of Registers").
pub mod reg {
    /// Receiver buffer (read), transmitter holding (write); divisor low byte while DLAB is set.
    pub const RBR_THR_DLL: u8 = 0;
    /// Interrupt enable; divisor high byte while DLAB is set.
    pub const IER_DLM: u8 = 1;
    /// Interrupt identification (read), FIFO control (write).
    pub const IIR_FCR: u8 = 2;
    /// Line control.
    pub const LCR: u8 = 3;
    /// Modem control.
    pub const MCR: u8 = 4;
    /// Line status.
    pub const LSR: u8 = 5;
    /// Modem status.
    pub const MSR: u8 = 6;
    /// Scratch; absent in the first 8250.
    pub const SCR: u8 = 7;
}

bitflags! {
    /// Line control (section 8.1).
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct LineControl: u8 {
        /// Eight data bits; with no other bit set: one stop bit, no parity.
        const WORD_8 = 0b11;
        /// Divisor latch access: offsets 0 and 1 are the divisor.
        const DLAB = 1 << 7;
    }

    /// FIFO control (section 8.5).
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct FifoControl: u8 {
        const ENABLE = 1 << 0;
        const CLEAR_RECEIVER = 1 << 1;
        const CLEAR_TRANSMITTER = 1 << 2;
        /// The receiver's interrupt comes at 14 bytes of 16. Of no effect while interrupts are off.
        const TRIGGER_14 = 0b11 << 6;
    }

    /// Line status (section 8.4). `OVERRUN` to `BREAK` are cleared by reading.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct LineStatus: u8 {
        const DATA_READY = 1 << 0;
        const OVERRUN = 1 << 1;
        const PARITY = 1 << 2;
        const FRAMING = 1 << 3;
        const BREAK = 1 << 4;
        /// Transmitter holding register, or its FIFO, empty.
        const THR_EMPTY = 1 << 5;
        /// The shift register empty as well: the last bit has left.
        const TRANSMITTER_EMPTY = 1 << 6;
        /// Some byte in the receiver's FIFO has an error.
        const FIFO_ERROR = 1 << 7;
        /// These say that the byte on top of the receiver's FIFO is not what was sent.
        const BAD_BYTE = Self::PARITY.bits() | Self::FRAMING.bits() | Self::BREAK.bits();
    }

    /// Modem control (section 8.8).
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct ModemControl: u8 {
        const DTR = 1 << 0;
        const RTS = 1 << 1;
        const OUT1 = 1 << 2;
        /// On a PC it connects the UART to its interrupt line.
        const OUT2 = 1 << 3;
        const LOOPBACK = 1 << 4;
    }

    /// Modem status (section 8.9). In loopback CTS shows RTS, DSR shows DTR, RI shows OUT1, DCD shows OUT2.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct ModemStatus: u8 {
        const CTS = 1 << 4;
        const DSR = 1 << 5;
        const RI = 1 << 6;
        const DCD = 1 << 7;
    }
}

/// The input clock of every PC's UART, 1.8432 MHz, by the 16 of its baud generator (section 8.3).
const BASE_BAUD: u32 = 115_200;
/// The baud rate unless the command line says otherwise.
pub const DEFAULT_BAUD: u32 = 115_200;
/// How often the line status is read before the transmitter counts as stuck. Sixteen bytes take 1.4 ms at
/// 115,200 baud and 17 ms at 9,600, a read of a port some 0.1 µs at the least.
const SPINS: u32 = 200_000;
/// An absent port reads so: nobody drives the bus.
const FLOATING: u8 = 0xff;

/// Which member of the family answered (section 8.6: IIR bits 6 and 7; section 8.10: scratchpad).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Model {
    /// No FIFO, no scratch register.
    Uart8250,
    /// No FIFO.
    Uart16450,
    /// With a FIFO that loses bytes, so it is left off.
    Uart16550,
    /// With a FIFO of 16 bytes.
    Uart16550A,
}

impl Model {
    /// The name on the chip.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uart8250 => "8250",
            Self::Uart16450 => "16450",
            Self::Uart16550 => "16550",
            Self::Uart16550A => "16550A",
        }
    }

    /// How many bytes the transmitter takes when it is empty.
    pub const fn depth(self) -> u8 {
        match self {
            Self::Uart16550A => 16,
            _ => 1,
        }
    }
}

/// Why [`Uart::probe`] found no port to use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProbeError {
    /// Every register reads as ones.
    FloatingBus,
    /// The interrupt enable register does not hold what is written to it.
    InterruptEnable,
    /// In loopback the modem's inputs do not show its outputs.
    Loopback,
    /// No divisor gives this baud rate within 3 %.
    Baud(u32),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FloatingBus => f.write_str("no UART: all registers read 0xff"),
            Self::InterruptEnable => {
                f.write_str("no UART: interrupt enable register does not read back")
            }
            Self::Loopback => f.write_str("no UART: loopback test failed"),
            Self::Baud(baud) => write!(f, "{baud} baud is not a rate that a UART can make"),
        }
    }
}

/// Events on the line since the probe.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    pub overruns: u32,
    pub parity_errors: u32,
    pub framing_errors: u32,
    pub breaks: u32,
    /// Bytes that were not sent because the transmitter did not get ready.
    pub dropped: u32,
}

/// A UART that was found and set up.
pub struct Uart<R> {
    regs: R,
    model: Model,
    /// Bytes that the transmitter takes before its status must be read again.
    room: u8,
    /// The last wait for the transmitter was in vain.
    stuck: bool,
    /// Errors read from the line status that belong to the byte on top of the receiver.
    pending: LineStatus,
    counters: Counters,
}

impl<R: Registers> Uart<R> {
    /// Looks for a UART behind `regs`; if there is one, sets it to `baud`, 8 data bits, no parity, 1 stop bit,
    /// FIFO on, DTR and RTS raised, interrupts off. Bytes received before are thrown away; what the firmware
    /// or the loader sent last is let out first.
    pub fn probe(regs: R, baud: u32) -> Result<Self, ProbeError> {
        let divisor = divisor(baud).ok_or(ProbeError::Baud(baud))?;
        if [reg::LSR, reg::LCR, reg::MCR, reg::IER_DLM]
            .iter()
            .all(|&r| regs.read(r) == FLOATING)
        {
            return Err(ProbeError::FloatingBus);
        }
        let mut uart = Self {
            regs,
            model: Model::Uart8250,
            room: 0,
            stuck: false,
            pending: LineStatus::empty(),
            counters: Counters::default(),
        };
        // The loopback below cuts the line, and clearing the FIFO would eat what is in it.
        uart.wait_for(LineStatus::TRANSMITTER_EMPTY, SPINS);

        // Section 8.7: bits 4 to 7 of the interrupt enable register are always 0.
        uart.regs.write(reg::LCR, LineControl::WORD_8.bits());
        for value in [0x0f, 0x00] {
            uart.regs.write(reg::IER_DLM, value);
            // Bits 4 and 5 exist in later chips, for sleep modes: they are not looked at.
            if uart.regs.read(reg::IER_DLM) & 0xcf != value {
                return Err(ProbeError::InterruptEnable);
            }
        }
        uart.loopback_test()?;

        uart.regs.write(reg::LCR, LineControl::DLAB.bits());
        let [low, high] = divisor.to_le_bytes();
        uart.regs.write(reg::RBR_THR_DLL, low);
        uart.regs.write(reg::IER_DLM, high);
        uart.regs.write(reg::LCR, LineControl::WORD_8.bits());

        uart.model = uart.enable_fifo();
        let lines = ModemControl::DTR | ModemControl::RTS | ModemControl::OUT2;
        uart.regs.write(reg::MCR, lines.bits());

        // Bytes and errors from before the probe are none of ours (without a FIFO nothing has cleared them).
        for _ in 0..uart.model.depth() {
            uart.regs.read(reg::RBR_THR_DLL);
        }
        uart.regs.read(reg::LSR);
        uart.regs.read(reg::MSR);
        uart.room = 0;
        uart.stuck = false;
        uart.pending = LineStatus::empty();
        uart.counters = Counters::default();
        Ok(uart)
    }

    /// Which chip it is.
    pub fn model(&self) -> Model {
        self.model
    }

    /// What went wrong on the line so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Sends one byte; waits for room at most [`SPINS`] reads. `false`: it was dropped, and counted.
    pub fn write_byte(&mut self, byte: u8) -> bool {
        if self.room == 0 {
            let spins = if self.stuck { 1 } else { SPINS };
            self.stuck = !self.wait_for(LineStatus::THR_EMPTY, spins);
            if self.stuck {
                self.counters.dropped = self.counters.dropped.saturating_add(1);
                return false;
            }
            self.room = self.model.depth();
        }
        self.room -= 1;
        self.regs.write(reg::RBR_THR_DLL, byte);
        true
    }

    /// Sends bytes as they are (a terminal wants CR LF: the caller's business).
    pub fn write_bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_byte(byte);
        }
    }

    /// Waits, within the same bound, until the last bit has left: before a reset, or before the line
    /// is set anew. `false` if it did not.
    pub fn flush(&mut self) -> bool {
        let spins = if self.stuck { 1 } else { SPINS };
        self.stuck = !self.wait_for(LineStatus::TRANSMITTER_EMPTY, spins);
        !self.stuck
    }

    /// The next byte received, if there is one. Bytes with a parity or framing error, and the 0 that a break
    /// leaves, are counted and skipped.
    pub fn try_read(&mut self) -> Option<u8> {
        for _ in 0..=self.model.depth() {
            if !self.line_status().contains(LineStatus::DATA_READY) {
                return None;
            }
            let byte = self.regs.read(reg::RBR_THR_DLL);
            let errors = core::mem::replace(&mut self.pending, LineStatus::empty());
            if !errors.intersects(LineStatus::BAD_BYTE) {
                return Some(byte);
            }
        }
        None
    }

    /// Section 8.4. The only place that reads the line status: counts the errors that this clears, and keeps
    /// those of the byte on top for `try_read`. A port that has vanished shows all ones: neither data nor errors.
    fn line_status(&mut self) -> LineStatus {
        let value = self.regs.read(reg::LSR);
        if value == FLOATING {
            return LineStatus::empty();
        }
        let status = LineStatus::from_bits_retain(value);
        let count = |counter: &mut u32, flag| {
            *counter = counter.saturating_add(status.contains(flag).into())
        };
        count(&mut self.counters.overruns, LineStatus::OVERRUN);
        count(&mut self.counters.parity_errors, LineStatus::PARITY);
        count(&mut self.counters.breaks, LineStatus::BREAK);
        // A break also lacks its stop bit: one event, not two.
        if !status.contains(LineStatus::BREAK) {
            count(&mut self.counters.framing_errors, LineStatus::FRAMING);
        }
        self.pending |= status & LineStatus::BAD_BYTE;
        status
    }

    fn wait_for(&mut self, flag: LineStatus, spins: u32) -> bool {
        for _ in 0..spins {
            if self.line_status().contains(flag) {
                return true;
            }
            core::hint::spin_loop();
        }
        false
    }

    /// Section 8.8, bit 4: in loopback the modem's outputs are its inputs. Two patterns, one the complement of
    /// the other; then all is off, since the chip must leave loopback before it can be heard.
    fn loopback_test(&self) -> Result<(), ProbeError> {
        let tests = [
            (
                ModemControl::RTS | ModemControl::OUT2,
                ModemStatus::CTS | ModemStatus::DCD,
            ),
            (
                ModemControl::DTR | ModemControl::OUT1,
                ModemStatus::DSR | ModemStatus::RI,
            ),
        ];
        let passed = tests.iter().all(|(outputs, inputs)| {
            self.regs
                .write(reg::MCR, (*outputs | ModemControl::LOOPBACK).bits());
            // The low half tells which inputs changed: not looked at.
            ModemStatus::from_bits_retain(self.regs.read(reg::MSR) & 0xf0) == *inputs
        });
        self.regs.write(reg::MCR, 0);
        if passed {
            Ok(())
        } else {
            Err(ProbeError::Loopback)
        }
    }

    /// Sections 8.5 and 8.6: turns the FIFOs on, cleared, and tells by what the chip says to it which one it is.
    fn enable_fifo(&self) -> Model {
        let on = FifoControl::ENABLE | FifoControl::TRIGGER_14;
        let clear = FifoControl::CLEAR_RECEIVER | FifoControl::CLEAR_TRANSMITTER;
        // ENABLE first: the other bits are not taken while it is off.
        self.regs.write(reg::IIR_FCR, on.bits());
        self.regs.write(reg::IIR_FCR, (on | clear).bits());
        match self.regs.read(reg::IIR_FCR) >> 6 {
            0b11 => return Model::Uart16550A,
            0b00 => {}
            _ => {
                self.regs.write(reg::IIR_FCR, 0);
                return Model::Uart16550;
            }
        }
        let holds = |value| {
            self.regs.write(reg::SCR, value);
            self.regs.read(reg::SCR) == value
        };
        if holds(0x55) && holds(0xaa) {
            Model::Uart16450
        } else {
            Model::Uart8250
        }
    }
}

impl<R: Registers> fmt::Write for Uart<R> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_bytes(text.as_bytes());
        Ok(())
    }
}

/// The divisor for a baud rate, if one comes within 3 %: more, and a byte's last bit is read wrong.
const fn divisor(baud: u32) -> Option<u16> {
    if baud == 0 || baud > BASE_BAUD {
        return None;
    }
    let divisor = (BASE_BAUD + baud / 2) / baud;
    let made = BASE_BAUD / divisor;
    if divisor > u16::MAX as u32 || made.abs_diff(baud) > baud / 32 {
        return None;
    }
    Some(divisor as u16)
}

#[cfg(test)]
mod tests {
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
                    self.fresh_errors = self
                        .received
                        .front()
                        .map_or(LineStatus::empty(), |top| top.1);
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
                    let mut status =
                        core::mem::replace(&mut self.fresh_errors, LineStatus::empty());
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
                0 => {
                    self.fifo += 1;
                    self.overfilled |= self.fifo > usize::from(model.depth());
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

    impl Registers for &Bus {
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
        for model in [
            Model::Uart8250,
            Model::Uart16450,
            Model::Uart16550,
            Model::Uart16550A,
        ] {
            let bus = bus_with(Kind::Chip(model));
            let uart = Uart::probe(&bus, 9600).expect("a UART");
            assert_eq!(uart.model(), model);
            let chip = bus.0.borrow();
            assert_eq!(
                (chip.divisor, chip.held[3], chip.held[1]),
                ([12, 0], 0x03, 0x00)
            );
            assert_eq!(chip.held[4], 0x0b, "DTR, RTS, OUT2, no loopback");
            assert_eq!(
                chip.held[2] & 1,
                u8::from(model == Model::Uart16550A || chip.held[2] != 0)
            );
            assert_eq!(
                model == Model::Uart16550,
                chip.held[2] == 0,
                "a broken FIFO is off"
            );
            assert_eq!(chip.sent, [], "the probe sends nothing");
        }
    }

    #[test]
    fn sends_everything_and_never_overfills() {
        for model in [
            Model::Uart8250,
            Model::Uart16450,
            Model::Uart16550,
            Model::Uart16550A,
        ] {
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
        assert_eq!(
            (uart.counters().dropped, bus.0.borrow().sent.as_slice()),
            (5000, &b"y"[..])
        );
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
            let want = Counters {
                overruns: 1,
                parity_errors: 1,
                framing_errors: 1,
                breaks: 1,
                dropped: 0,
            };
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
        assert_eq!(
            uart.counters(),
            Counters {
                dropped: 1,
                ..Counters::default()
            }
        );
    }

    #[test]
    fn divisors() {
        let rates = [
            (115_200, 1),
            (57_600, 2),
            (38_400, 3),
            (9_600, 12),
            (300, 384),
            (110, 1047),
            (2, 57_600),
        ];
        for (baud, want) in rates {
            assert_eq!(divisor(baud), Some(want));
        }
        for baud in [0, 1, 115_201, 100_000, 230_400, u32::MAX] {
            assert_eq!(divisor(baud), None, "{baud}");
            let bus = bus_with(Kind::Chip(Model::Uart16550A));
            assert_eq!(Uart::probe(&bus, baud).err(), Some(ProbeError::Baud(baud)));
        }
    }
}
