//! Whether there is a UART, which one, and how deep its FIFO is.

use super::registers::{FLOATING, FifoControl, LineControl, LineStatus, ModemControl, ModemStatus, reg};
use super::{Counters, Model, Uart, divisor};
use crate::platform::SerialRegisters;
use core::fmt;

/// The deepest FIFO that is looked for: a chip that swallows more than this in loopback is not counting.
const DEEPEST: u8 = 128;

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
            depth: 1,
            room: 0,
            stuck: false,
            pending: LineStatus::empty(),
            counters: Counters::default(),
        };
        // The loopback below cuts the line, and clearing the FIFO would eat what is in it.
        uart.flush();

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
        uart.model = uart.enable_fifo();
        uart.depth = uart.model.depth();
        if uart.model == Model::Uart16550A {
            uart.measure_fifo();
            uart.enable_fifo();
        }
        uart.set_line(divisor, LineControl::WORD_8);
        let lines = ModemControl::DTR | ModemControl::RTS | ModemControl::OUT2;
        uart.regs.write(reg::MCR, lines.bits());

        // Bytes and errors from before the probe are none of ours (without a FIFO nothing has cleared them).
        for _ in 0..uart.depth {
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
        let on = FifoControl::ENABLE | FifoControl::TRIGGER_8;
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

    /// Sends bytes to itself at the highest speed until the receiver overruns: it holds as many as come back out, and the
    /// transmitter of every chip of the family holds the same. At most 128 bytes of 87 µs; 17 for the usual depth. A chip
    /// that sends itself nothing keeps the depth that its name says.
    fn measure_fifo(&mut self) {
        self.set_line(1, LineControl::WORD_8);
        self.regs.write(reg::MCR, ModemControl::LOOPBACK.bits());
        let mut sent = 0;
        while sent <= DEEPEST && self.counters.overruns == 0 {
            self.regs.write(reg::RBR_THR_DLL, sent);
            if !self.flush() {
                break;
            }
            sent += 1;
        }
        let in_order =
            (0..=DEEPEST).take_while(|&wanted| self.receive().is_some_and(|got| got.byte == wanted));
        let held = in_order.count() as u8;
        if held > 0 && self.counters.overruns > 0 {
            self.depth = held;
        }
        self.regs.write(reg::MCR, 0);
    }
}
