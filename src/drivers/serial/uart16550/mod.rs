//! The 16550 UART and its ancestors: one byte at a time, or one FIFO at a time.
//!
//! `platform` says where the registers are (ports 3F8h.. for COM1, or memory) by implementing
//! [`SerialRegisters`]; everything else is here and runs on the host against a model. This is the chip as such, without
//! interrupts: what the console of a kernel that starts, or dies, needs. [`Port`](super::port::Port) is built on it.
//!
//! Invariants:
//! * no call waits without a bound: a transmitter that never gets ready costs one long wait, and from then
//!   on one look a byte, until it is ready again. What could not be sent is counted;
//! * reading the line status clears its error bits, so it is read in one function only, which keeps them;
//! * nobody else writes to the transmitter, so after one "empty" as many bytes go out as the FIFO is deep.
//!
//! Source: National Semiconductor PC16550D data sheet (June 1995), section 8 "Registers", whose parts are
//! named below.

mod probe;
pub(super) mod registers;
#[cfg(test)]
mod tests;

use core::fmt;

use super::settings::Character;
use crate::platform::SerialRegisters;
pub use probe::ProbeError;
use registers::{FLOATING, FifoControl, LineControl, LineStatus};
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
    pub(super) regs: R,
    model: Model,
    /// Bytes that the FIFO holds, as the probe has found out.
    depth: u8,
    /// Bytes that the transmitter takes before its status must be read again.
    room: u8,
    /// The last wait for the transmitter was in vain.
    stuck: bool,
    /// Errors read from the line status that belong to the byte on top of the receiver.
    pending: LineStatus,
    counters: Counters,
}

impl<R: SerialRegisters> Uart<R> {
    /// Which chip it is.
    pub fn model(&self) -> Model {
        self.model
    }

    /// Bytes that the transmitter takes when it is empty, and that the receiver keeps.
    pub fn depth(&self) -> u8 {
        self.depth
    }

    /// Turns the FIFO off, as if the chip had none, or on, cleared. The transmitter is empty.
    pub(super) fn use_fifo(&mut self, on: bool) {
        let has_fifo = self.model.depth() > 1;
        if !has_fifo {
            return;
        }
        let clear = FifoControl::CLEAR_RECEIVER | FifoControl::CLEAR_TRANSMITTER;
        let control = if on { FifoControl::ENABLE | FifoControl::TRIGGER_8 } else { FifoControl::empty() };
        self.regs.write(reg::IIR_FCR, (control | clear).bits());
        self.depth = if on { self.model.depth() } else { 1 };
        self.room = 0;
    }

    /// What went wrong on the line so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Sends one byte; waits for room at most [`SPINS`] reads. `false`: it was dropped, and counted.
    pub fn write_byte(&mut self, byte: u8) -> bool {
        if self.room == 0 {
            self.stuck = !self.wait_for(LineStatus::THR_EMPTY, self.patience());
            if self.stuck {
                self.counters.dropped = self.counters.dropped.saturating_add(1);
                return false;
            }
            self.room = self.depth;
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
            self.room = self.depth;
        }
        let count = bytes.len().min(self.room.into());
        for &byte in &bytes[..count] {
            self.regs.write(reg::RBR_THR_DLL, byte);
        }
        self.room -= count as u8;
        count
    }

    /// How many bytes [`try_write`](Self::try_write) takes now.
    pub fn room(&mut self) -> usize {
        if self.room == 0 && self.line_status().contains(LineStatus::THR_EMPTY) {
            self.room = self.depth;
        }
        self.room.into()
    }

    /// How often it is worth while to look whether the transmitter is ready.
    pub(super) fn patience(&self) -> u32 {
        if self.stuck { 1 } else { SPINS }
    }

    /// Sets the divisor and the line's format. What is being sent goes out first. The divisor lies over the data and the
    /// interrupt enable register meanwhile: nobody else may touch the chip.
    pub(super) fn set_line(&mut self, divisor: u16, format: LineControl) {
        self.flush();
        self.regs.write(reg::LCR, (format | LineControl::DLAB).bits());
        let [low, high] = divisor.to_le_bytes();
        self.regs.write(reg::RBR_THR_DLL, low);
        self.regs.write(reg::IER_DLM, high);
        self.regs.write(reg::LCR, format.bits());
    }

    /// Waits, within the same bound, until the last bit has left: before a reset, or before the line
    /// is set anew. `false` if it did not.
    pub fn flush(&mut self) -> bool {
        self.stuck = !self.wait_for(LineStatus::TRANSMITTER_EMPTY, self.patience());
        !self.stuck
    }

    /// The next byte received, if there is one. Bytes with a parity or framing error, and the 0 that a break
    /// leaves, are counted and skipped.
    pub fn try_read(&mut self) -> Option<u8> {
        for _ in 0..=self.depth {
            let character = self.receive()?;
            if !character.is_bad() {
                return Some(character.byte);
            }
        }
        None
    }

    /// The next character received, with all that is wrong with it.
    pub fn receive(&mut self) -> Option<Character> {
        if !self.line_status().contains(LineStatus::DATA_READY) {
            return None;
        }
        let byte = self.regs.read(reg::RBR_THR_DLL);
        let errors = core::mem::replace(&mut self.pending, LineStatus::empty());
        Some(Character::new(byte, errors))
    }

    /// Section 8.4. The only place that reads the line status: counts the errors that this clears, and keeps
    /// those of the byte on top for `try_read`. A port that has vanished shows all ones: neither data nor errors.
    pub(super) fn line_status(&mut self) -> LineStatus {
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
        // An overrun is noticed with whichever byte is on top: behind what the FIFO holds, some are missing.
        self.pending |= status & (LineStatus::BAD_BYTE | LineStatus::OVERRUN);
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
}

impl<R: SerialRegisters> fmt::Write for Uart<R> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_bytes(text.as_bytes());
        Ok(())
    }
}

/// The divisor for a baud rate, if one comes within 3 %: more, and a byte's last bit is read wrong.
pub(super) const fn divisor(baud: u32) -> Option<u16> {
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
