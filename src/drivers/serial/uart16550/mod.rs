//! The 16550 UART and its ancestors: the serial console, polled.
//!
//! `platform` says where the registers are (ports 3F8h.. for COM1, or memory) by implementing
//! [`SerialRegisters`]; everything else is here and runs on the host against a model. Interrupts stay off
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

mod registers;
#[cfg(test)]
mod tests;

use core::fmt;

use crate::platform::SerialRegisters;
use registers::{FLOATING, FifoControl, LineControl, LineStatus, ModemControl, ModemStatus};
pub use registers::{InterruptEnable, reg};

/// The input clock of every PC's UART, 1.8432 MHz, by the 16 of its baud generator (section 8.3).
const BASE_BAUD: u32 = 115_200;
/// The baud rate unless the command line says otherwise.
pub const DEFAULT_BAUD: u32 = 115_200;
/// How often the line status is read before the transmitter counts as stuck. Sixteen bytes take 1.4 ms at
/// 115,200 baud and 17 ms at 9,600, a read of a port some 0.1 µs at the least.
const SPINS: u32 = 200_000;
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
            Self::InterruptEnable => f.write_str("no UART: interrupt enable register does not read back"),
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

impl<R: SerialRegisters> Uart<R> {
    /// Looks for a UART behind `regs`; if there is one, sets it to `baud`, 8 data bits, no parity, 1 stop bit,
    /// FIFO on, DTR and RTS raised, interrupts off. Bytes received before are thrown away; what the firmware
    /// or the loader sent last is let out first.
    pub fn probe(regs: R, baud: u32) -> Result<Self, ProbeError> {
        let divisor = divisor(baud).ok_or(ProbeError::Baud(baud))?;
        if [reg::LSR, reg::LCR, reg::MCR, reg::IER_DLM].iter().all(|&r| regs.read(r) == FLOATING) {
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

    /// Sends as much as there is room for now, without waiting; returns how many bytes. For callers that hold a
    /// lock with interrupts off: they let go of it between two calls.
    pub fn try_write(&mut self, bytes: &[u8]) -> usize {
        if self.room == 0 && self.line_status().contains(LineStatus::THR_EMPTY) {
            self.room = self.model.depth();
        }
        let count = bytes.len().min(self.room.into());
        for &byte in &bytes[..count] {
            self.regs.write(reg::RBR_THR_DLL, byte);
        }
        self.room -= count as u8;
        count
    }

    /// Asks for an interrupt when bytes have arrived, or stops asking.
    pub fn set_receive_interrupt(&mut self, on: bool) {
        self.regs.write(reg::IER_DLM, if on { InterruptEnable::RECEIVED.bits() } else { 0 });
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
        let count = |counter: &mut u32, flag| *counter = counter.saturating_add(status.contains(flag).into());
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
            (ModemControl::RTS | ModemControl::OUT2, ModemStatus::CTS | ModemStatus::DCD),
            (ModemControl::DTR | ModemControl::OUT1, ModemStatus::DSR | ModemStatus::RI),
        ];
        let passed = tests.iter().all(|(outputs, inputs)| {
            self.regs.write(reg::MCR, (*outputs | ModemControl::LOOPBACK).bits());
            // The low half tells which inputs changed: not looked at.
            ModemStatus::from_bits_retain(self.regs.read(reg::MSR) & 0xf0) == *inputs
        });
        self.regs.write(reg::MCR, 0);
        if passed { Ok(()) } else { Err(ProbeError::Loopback) }
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
        if holds(0x55) && holds(0xaa) { Model::Uart16450 } else { Model::Uart8250 }
    }
}

impl<R: SerialRegisters> fmt::Write for Uart<R> {
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
