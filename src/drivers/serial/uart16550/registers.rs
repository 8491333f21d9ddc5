//! The eight registers of a 16550, and the bits in them.
//!
//! Names are the data sheet's. Offsets 0 and 1 lead to other registers while [`LineControl::DLAB`] is set, and
//! some registers are another one when written than when read: the names in [`reg`] hold both.
//!
//! Source: National Semiconductor PC16550D data sheet (June 1995), section 8 "Registers".

use bitflags::bitflags;

/// An absent port reads so: nobody drives the bus.
pub(super) const FLOATING: u8 = 0xff;

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
    /// Interrupt enable register (section 8.7).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct InterruptEnable: u8 {
        /// A byte has arrived; with the FIFO, its trigger level, or a few bytes and then silence.
        const RECEIVED = 1 << 0;
        const TRANSMITTER_EMPTY = 1 << 1;
        const LINE_STATUS = 1 << 2;
        const MODEM_STATUS = 1 << 3;
    }
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
