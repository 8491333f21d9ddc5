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
    /// Line control (section 8.1). The two low bits are the data bits less five.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct LineControl: u8 {
        /// Eight data bits; with no other bit set: one stop bit, no parity.
        const WORD_8 = 0b11;
        /// Two stop bits; one and a half with five data bits.
        const STOP_2 = 1 << 2;
        const PARITY = 1 << 3;
        const EVEN = 1 << 4;
        /// The parity bit is constant: the opposite of `EVEN`.
        const STICK = 1 << 5;
        /// Holds the line at 0.
        const BREAK = 1 << 6;
        /// Divisor latch access: offsets 0 and 1 are the divisor.
        const DLAB = 1 << 7;
    }

    /// FIFO control (section 8.5).
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct FifoControl: u8 {
        const ENABLE = 1 << 0;
        const CLEAR_RECEIVER = 1 << 1;
        const CLEAR_TRANSMITTER = 1 << 2;
        /// The receiver interrupts at 4 bytes; without a trigger bit at the first.
        const TRIGGER_4 = 0b01 << 6;
        /// At 8 of 16: half the FIFO for what is under way, half for the time until somebody comes.
        const TRIGGER_8 = 0b10 << 6;
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
        // What changed since the register was read last. RI: only its end counts.
        const CTS_CHANGED = 1 << 0;
        const DSR_CHANGED = 1 << 1;
        const RI_ENDED = 1 << 2;
        const DCD_CHANGED = 1 << 3;
        const CTS = 1 << 4;
        const DSR = 1 << 5;
        const RI = 1 << 6;
        const DCD = 1 << 7;
    }
}

/// Interrupt identification (section 8.6): the most urgent reason, until there is none. The driver asks for few of them: it
/// looks at the line status whatever the reason was.
#[cfg_attr(not(test), allow(dead_code))]
pub mod iir {
    /// Set: no reason.
    pub const NONE: u8 = 1 << 0;
    /// What of the register is the reason, and the reasons from the most urgent on.
    pub const REASON: u8 = 0b1110;
    /// Over when the line status is read.
    pub const LINE_STATUS: u8 = 0b0110;
    /// Over when less than the trigger level is left.
    pub const RECEIVED: u8 = 0b0100;
    /// Bytes below the trigger level, and none has come for the time of four. Over when one is read.
    pub const TIMEOUT: u8 = 0b1100;
    /// Over when this register is read, or the transmitter written.
    pub const TRANSMITTER_EMPTY: u8 = 0b0010;
    /// Over when the modem status is read.
    pub const MODEM_STATUS: u8 = 0b0000;
}
