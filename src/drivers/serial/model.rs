//! A 16550 that keeps time: both directions bit by bit of a nanosecond clock, the FIFOs, the reasons to interrupt with
//! what ends each, and the line to the interrupt controller, of which only rising edges are noticed.
//!
//! QEMU's chip sends a byte in no time and never overruns. This one overruns when the CPU is late, holds its transmitter
//! interrupt back by the letter of the data sheet, and counts what a driver does that it must not. The other side of the
//! line is here too: it sends what it is told to, at the line's speed, and stops by RTS or by a stop character if it is
//! asked to obey these.
//!
//! Source: PC16550D data sheet (June 1995), sections 8.4 to 8.11.

use super::settings::StopStart;
use super::uart16550::registers::{LineControl, LineStatus, ModemControl, ModemStatus, iir, reg};
use super::uart16550::{InterruptEnable, Model};
use crate::platform::SerialRegisters;
use std::cell::RefCell;
use std::collections::VecDeque;

/// What an access to a register costs: the ISA bus.
pub const ACCESS_NS: u64 = 1000;
/// A bit at 115,200 baud.
pub const BIT_NS: u64 = 8_681;
/// Ten of them: a character with start and stop bit.
pub const CHARACTER_NS: u64 = 10 * BIT_NS;

/// Who is at the other end.
#[derive(Default)]
pub struct Peer {
    /// What it has still to send, with what happens to it on the way; sent as soon as the line is free.
    pub sending: VecDeque<(u8, LineStatus)>,
    /// What it has heard, and when.
    pub heard: Vec<(u64, u8)>,
    /// It sends only while RTS is raised.
    pub obeys_rts: bool,
    /// It stops at the one and goes on at the other, which it does not count as heard.
    pub obeys: Option<StopStart>,
    /// Characters that it still sends when it is told to stop: its own FIFO.
    pub slack: usize,
    /// Of them, those left.
    slack_left: usize,
    pub stopped: bool,
    /// Times that it was made to stop.
    pub stops: usize,
    /// What is under way, and when it is there.
    on_the_way: Option<(u64, u8, LineStatus)>,
}

pub struct Chip {
    pub now: u64,
    pub model: Model,
    pub depth: usize,
    /// Enabling the transmitter's interrupt while it is empty gives none: a fault that some chips have.
    pub silent_enable: bool,
    /// The other side sends a character every 300 ns, as no line does but an emulator may.
    pub fast: bool,
    /// Everything reads as ones.
    pub gone: bool,
    pub peer: Peer,
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    scr: u8,
    divisor: [u8; 2],
    received: VecDeque<(u8, LineStatus)>,
    overrun: bool,
    /// Errors of the byte on top, until the line status is read.
    top_errors: LineStatus,
    /// When a byte last came or went.
    receiver_ns: u64,
    transmitter: VecDeque<u8>,
    shifting: Option<(u64, u8)>,
    empty_pending: bool,
    modem_inputs: ModemStatus,
    modem_changes: ModemStatus,
    level: bool,
    /// When the line rose, until the CPU comes.
    pub edge_ns: Option<u64>,
    pub edges: u64,
    pub lost: u64,
    pub overfilled: bool,
}

impl Chip {
    fn new(model: Model) -> Self {
        Self {
            now: 0,
            model,
            depth: model.depth().into(),
            silent_enable: false,
            fast: false,
            gone: false,
            peer: Peer::default(),
            ier: 0,
            fcr: 0,
            lcr: 0,
            mcr: 0,
            scr: 0,
            divisor: [1, 0],
            received: VecDeque::new(),
            overrun: false,
            top_errors: LineStatus::empty(),
            receiver_ns: 0,
            transmitter: VecDeque::new(),
            shifting: None,
            empty_pending: false,
            modem_inputs: ModemStatus::CTS | ModemStatus::DSR | ModemStatus::DCD,
            modem_changes: ModemStatus::empty(),
            level: false,
            edge_ns: None,
            edges: 0,
            lost: 0,
            overfilled: false,
        }
    }

    fn has_fifo(&self) -> bool {
        self.fcr & 1 != 0 && self.model == Model::Uart16550A
    }

    fn is_looped(&self) -> bool {
        self.mcr & ModemControl::LOOPBACK.bits() != 0
    }

    fn character_ns(&self) -> u64 {
        CHARACTER_NS * u64::from(u16::from_le_bytes(self.divisor).max(1))
    }

    fn trigger(&self) -> usize {
        if self.has_fifo() { [1, 4, 8, 14][usize::from(self.fcr >> 6)] } else { 1 }
    }

    /// Starts to count anew.
    pub fn forget(&mut self) {
        (self.lost, self.edges, self.edge_ns) = (0, 0, None);
    }

    /// When something happens next by itself.
    pub fn next_event(&self) -> Option<u64> {
        let timeout = self.received.front().map(|_| self.receiver_ns + 4 * self.character_ns());
        let sent = self.shifting.map(|(at, _)| at);
        let came = self.peer.on_the_way.map(|(at, ..)| at);
        [timeout.filter(|&at| at > self.now), sent, came].into_iter().flatten().min()
    }

    /// Lets time pass.
    pub fn advance_to(&mut self, to: u64) {
        self.start_what_waits();
        while let Some(at) = self.next_event().filter(|&at| at <= to) {
            self.now = self.now.max(at);
            if let Some((_, byte)) = self.shifting.filter(|&(done, _)| done <= self.now) {
                self.shifting = None;
                if self.is_looped() { self.arrive(byte, LineStatus::empty()) } else { self.hear(byte) }
            }
            if let Some((_, byte, errors)) = self.peer.on_the_way.filter(|&(done, ..)| done <= self.now) {
                self.peer.on_the_way = None;
                if !self.is_looped() {
                    self.arrive(byte, errors);
                }
            }
            self.start_what_waits();
            self.update();
        }
        self.now = self.now.max(to);
        self.start_what_waits();
        self.update();
    }

    fn start_what_waits(&mut self) {
        if self.shifting.is_none() {
            if let Some(byte) = self.transmitter.pop_front() {
                self.shifting = Some((self.now + self.character_ns(), byte));
                let is_asked = self.ier & InterruptEnable::TRANSMITTER_EMPTY.bits() != 0;
                if self.transmitter.is_empty() && (is_asked || !self.silent_enable) {
                    self.empty_pending = true;
                }
            }
        }
        let peer = &mut self.peer;
        let stopped = peer.stopped || (peer.obeys_rts && self.mcr & ModemControl::RTS.bits() == 0);
        if !stopped {
            peer.slack_left = peer.slack;
        }
        if peer.on_the_way.is_none() && (!stopped || peer.slack_left > 0) {
            if let Some((byte, errors)) = peer.sending.pop_front() {
                peer.slack_left -= usize::from(stopped);
                let time = if self.fast {
                    300
                } else {
                    CHARACTER_NS * u64::from(u16::from_le_bytes(self.divisor).max(1))
                };
                peer.on_the_way = Some((self.now + time, byte, errors));
            }
        }
    }

    /// A byte is complete in the receiver's shift register.
    fn arrive(&mut self, byte: u8, errors: LineStatus) {
        self.receiver_ns = self.now;
        let room = if self.has_fifo() { self.depth } else { 1 };
        if self.received.len() == room {
            self.overrun = true;
            self.lost += 1;
            if self.has_fifo() {
                return;
            }
            // Without a FIFO the new byte overwrites the old.
            self.received.clear();
        }
        self.received.push_back((byte, errors));
        if self.received.len() == 1 {
            self.top_errors = errors;
        }
    }

    /// A byte has reached the other side.
    fn hear(&mut self, byte: u8) {
        match self.peer.obeys {
            Some(StopStart { stop, .. }) if byte == stop => {
                self.peer.stops += usize::from(!self.peer.stopped);
                self.peer.stopped = true;
            }
            Some(StopStart { start, .. }) if byte == start => self.peer.stopped = false,
            _ => self.peer.heard.push((self.now, byte)),
        }
    }

    /// The other side raises or lowers CTS.
    pub fn set_cts(&mut self, on: bool) {
        if self.modem_inputs.contains(ModemStatus::CTS) != on {
            self.modem_inputs.set(ModemStatus::CTS, on);
            self.modem_changes |= ModemStatus::CTS_CHANGED;
            self.update();
        }
    }

    /// Carrier comes or goes.
    pub fn set_carrier(&mut self, on: bool) {
        if self.modem_inputs.contains(ModemStatus::DCD) != on {
            self.modem_inputs.set(ModemStatus::DCD, on);
            self.modem_changes |= ModemStatus::DCD_CHANGED;
            self.update();
        }
    }

    /// The most urgent reason to interrupt.
    fn reason(&self) -> Option<u8> {
        let enabled = InterruptEnable::from_bits_retain(self.ier);
        let waiting = self.received.len();
        let is_silent = self.now >= self.receiver_ns + 4 * self.character_ns();
        if enabled.contains(InterruptEnable::LINE_STATUS) && (self.overrun || !self.top_errors.is_empty()) {
            Some(iir::LINE_STATUS)
        } else if enabled.contains(InterruptEnable::RECEIVED) && waiting >= self.trigger() {
            Some(iir::RECEIVED)
        } else if enabled.contains(InterruptEnable::RECEIVED) && self.has_fifo() && waiting > 0 && is_silent {
            Some(iir::TIMEOUT)
        } else if enabled.contains(InterruptEnable::TRANSMITTER_EMPTY) && self.empty_pending {
            Some(iir::TRANSMITTER_EMPTY)
        } else if enabled.contains(InterruptEnable::MODEM_STATUS) && !self.modem_changes.is_empty() {
            Some(iir::MODEM_STATUS)
        } else {
            None
        }
    }

    /// The line to the interrupt controller follows the reasons.
    fn update(&mut self) {
        let level = self.reason().is_some();
        if level && !self.level {
            self.edges += 1;
            self.edge_ns.get_or_insert(self.now);
        }
        self.level = level;
    }

    fn read(&mut self, register: u8) -> u8 {
        self.advance_to(self.now + ACCESS_NS);
        if self.gone {
            return 0xFF;
        }
        let value = match register {
            0 | 1 if self.lcr & LineControl::DLAB.bits() != 0 => self.divisor[usize::from(register)],
            0 => {
                self.receiver_ns = self.now;
                let byte = self.received.pop_front().map_or(0, |(byte, _)| byte);
                self.top_errors = self.received.front().map_or(LineStatus::empty(), |top| top.1);
                byte
            }
            1 => self.ier,
            2 => {
                let reason = self.reason();
                if reason == Some(iir::TRANSMITTER_EMPTY) {
                    self.empty_pending = false;
                }
                let fifo = match (self.fcr & 1, self.model) {
                    (1, Model::Uart16550A) => 0xC0,
                    (1, Model::Uart16550) => 0x80,
                    _ => 0,
                };
                reason.unwrap_or(iir::NONE) | fifo
            }
            3 => self.lcr,
            4 => self.mcr,
            5 => {
                let mut status = core::mem::replace(&mut self.top_errors, LineStatus::empty());
                status.set(LineStatus::OVERRUN, core::mem::take(&mut self.overrun));
                status.set(LineStatus::DATA_READY, !self.received.is_empty());
                status.set(LineStatus::THR_EMPTY, self.transmitter.is_empty());
                let all_sent = self.transmitter.is_empty() && self.shifting.is_none();
                status.set(LineStatus::TRANSMITTER_EMPTY, all_sent);
                status.bits()
            }
            6 if self.is_looped() => (self.mcr & 0xC) << 4 | (self.mcr & 1) << 5 | (self.mcr & 2) << 3,
            6 => {
                let changes = core::mem::replace(&mut self.modem_changes, ModemStatus::empty());
                (self.modem_inputs | changes).bits()
            }
            _ => self.scr,
        };
        self.update();
        value
    }

    fn write(&mut self, register: u8, value: u8) {
        self.advance_to(self.now + ACCESS_NS);
        match register {
            0 | 1 if self.lcr & LineControl::DLAB.bits() != 0 => self.divisor[usize::from(register)] = value,
            0 => {
                self.transmitter.push_back(value);
                self.overfilled |= self.transmitter.len() > if self.has_fifo() { self.depth } else { 1 };
                self.empty_pending = false;
            }
            1 => {
                let transmitter = InterruptEnable::TRANSMITTER_EMPTY.bits();
                if value & !self.ier & transmitter != 0 && self.transmitter.is_empty() && !self.silent_enable
                {
                    self.empty_pending = true;
                }
                self.ier = value & 0xF;
            }
            2 => {
                if value & 1 != self.fcr & 1 || value & 2 != 0 {
                    self.received.clear();
                    self.top_errors = LineStatus::empty();
                }
                if value & 1 != self.fcr & 1 || value & 4 != 0 {
                    self.transmitter.clear();
                }
                self.fcr = value & 0xC9;
            }
            3 => self.lcr = value,
            4 => self.mcr = value,
            7 if self.model != Model::Uart8250 => self.scr = value,
            _ => {}
        }
        self.start_what_waits();
        self.update();
    }
}

/// The chip on its bus.
pub struct Board(pub RefCell<Chip>);

impl Board {
    pub fn new(model: Model) -> Self {
        Self(RefCell::new(Chip::new(model)))
    }

    pub fn chip(&self) -> std::cell::RefMut<'_, Chip> {
        self.0.borrow_mut()
    }

    /// The line control register.
    pub fn line_control(&self) -> u8 {
        self.chip().lcr
    }

    /// For tests that set the FIFO's trigger level by themselves.
    pub fn set_trigger(&self, bits: u8) {
        self.chip().fcr = 1 | bits << 6;
    }
}

impl SerialRegisters for &Board {
    fn read(&self, register: u8) -> u8 {
        self.0.borrow_mut().read(register)
    }

    fn write(&self, register: u8, value: u8) {
        self.0.borrow_mut().write(register, value);
    }
}

/// Names of the registers, so that the model's numbers are theirs.
const _: () = assert!(reg::RBR_THR_DLL == 0 && reg::IER_DLM == 1 && reg::IIR_FCR == 2 && reg::LCR == 3);
const _: () = assert!(reg::MCR == 4 && reg::LSR == 5 && reg::MSR == 6 && reg::SCR == 7);
