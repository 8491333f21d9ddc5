//! What can be set on a serial line, and what comes in over it: the driver's side of `stty`.

use super::uart16550::divisor;
use super::uart16550::registers::{LineControl, LineStatus, ModemControl, ModemStatus};
use bitflags::bitflags;

/// The bit that tells characters apart, added to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    None,
    Odd,
    Even,
    /// Always 1.
    Mark,
    /// Always 0.
    Space,
}

/// The two characters that stop and start the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopStart {
    /// DC3, Control-S, by convention.
    pub stop: u8,
    /// DC1, Control-Q.
    pub start: u8,
}

/// A line's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bits a second; 0 hangs up: DTR and RTS fall, and the speed stays what it is.
    pub baud: u32,
    /// 5 to 8.
    pub data_bits: u8,
    pub parity: Parity,
    pub two_stop_bits: bool,
    /// CTS stops what is sent, and RTS what comes in (CRTSCTS).
    pub rts_cts: bool,
    /// What comes in and is one of these stops and starts what is sent, at once and without being passed on (IXON). A line
    /// discipline that does this by itself leaves it out.
    pub obeys: Option<StopStart>,
    /// Throttling sends these (IXOFF).
    pub sends: Option<StopStart>,
    /// Received characters are passed on (CREAD).
    pub receives: bool,
}

/// A line cannot be set so: no divisor makes the speed, or there is no such number of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSettings;

impl Settings {
    /// 8 data bits, no parity, 1 stop bit, no flow control.
    pub const fn plain(baud: u32) -> Self {
        Self {
            baud,
            data_bits: 8,
            parity: Parity::None,
            two_stop_bits: false,
            rts_cts: false,
            obeys: None,
            sends: None,
            receives: true,
        }
    }

    /// Whether a line can be set so.
    pub fn is_possible(&self) -> bool {
        self.registers().is_ok()
    }

    /// The divisor, `None` for hanging up, and the line control register.
    pub(super) fn registers(&self) -> Result<(Option<u16>, LineControl), BadSettings> {
        let divisor = match self.baud {
            0 => None,
            baud => Some(divisor(baud).ok_or(BadSettings)?),
        };
        if !(5..=8).contains(&self.data_bits) {
            return Err(BadSettings);
        }
        let mut format = LineControl::from_bits_retain(self.data_bits - 5);
        format.set(LineControl::STOP_2, self.two_stop_bits);
        format |= match self.parity {
            Parity::None => LineControl::empty(),
            Parity::Odd => LineControl::PARITY,
            Parity::Even => LineControl::PARITY | LineControl::EVEN,
            Parity::Mark => LineControl::PARITY | LineControl::STICK,
            Parity::Space => LineControl::PARITY | LineControl::STICK | LineControl::EVEN,
        };
        Ok((divisor, format))
    }

    /// Bits of a character on the line, with start, parity and stop.
    pub fn bits(&self) -> u32 {
        2 + u32::from(self.data_bits) + u32::from(self.parity != Parity::None) + u32::from(self.two_stop_bits)
    }
}

bitflags! {
    /// The modem's lines, each true if it is raised: outputs DTR and RTS, inputs the others. With the numbers of TIOCMGET.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Lines: u16 {
        const DTR = 0x002;
        const RTS = 0x004;
        const CTS = 0x020;
        /// Carrier.
        const DCD = 0x040;
        const RI = 0x080;
        const DSR = 0x100;
        const OUT1 = 0x2000;
        const LOOPBACK = 0x8000;
    }
}

/// Outputs by both names.
const OUTPUTS: [(Lines, ModemControl); 4] = [
    (Lines::DTR, ModemControl::DTR),
    (Lines::RTS, ModemControl::RTS),
    (Lines::OUT1, ModemControl::OUT1),
    (Lines::LOOPBACK, ModemControl::LOOPBACK),
];
const INPUTS: [(Lines, ModemStatus); 4] = [
    (Lines::CTS, ModemStatus::CTS),
    (Lines::DCD, ModemStatus::DCD),
    (Lines::RI, ModemStatus::RI),
    (Lines::DSR, ModemStatus::DSR),
];

impl Lines {
    /// What can be set.
    pub const OUT: Self = Self::DTR.union(Self::RTS).union(Self::OUT1).union(Self::LOOPBACK);

    pub(super) fn of(control: ModemControl, status: ModemStatus) -> Self {
        let outputs = OUTPUTS.iter().filter(|(_, bit)| control.contains(*bit)).map(|(line, _)| *line);
        let inputs = INPUTS.iter().filter(|(_, bit)| status.contains(*bit)).map(|(line, _)| *line);
        outputs.chain(inputs).collect()
    }

    pub(super) fn control(self) -> ModemControl {
        OUTPUTS.iter().filter(|(line, _)| self.contains(*line)).map(|(_, bit)| *bit).collect()
    }
}

bitflags! {
    /// What is wrong with a character.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Flags: u8 {
        /// No character: the line was at 0 for longer than one takes. Its byte is 0.
        const BREAK = 1 << 0;
        const PARITY = 1 << 1;
        /// Without its stop bit.
        const FRAMING = 1 << 2;
        /// Behind those that the chip held at that moment, up to its FIFO's depth behind this one, some are lost.
        const OVERRUN = 1 << 3;
    }
}

/// What has been received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Character {
    pub byte: u8,
    pub flags: Flags,
}

impl Character {
    pub(super) fn new(byte: u8, status: LineStatus) -> Self {
        let is_break = status.contains(LineStatus::BREAK);
        let mut flags = Flags::empty();
        flags.set(Flags::BREAK, is_break);
        flags.set(Flags::PARITY, status.contains(LineStatus::PARITY) && !is_break);
        flags.set(Flags::FRAMING, status.contains(LineStatus::FRAMING) && !is_break);
        flags.set(Flags::OVERRUN, status.contains(LineStatus::OVERRUN));
        Self { byte, flags }
    }

    /// Whether it is none, but a break.
    pub fn is_break(&self) -> bool {
        self.flags.contains(Flags::BREAK)
    }

    /// Whether the byte is not what was sent.
    pub fn is_bad(self) -> bool {
        self.flags.intersects(Flags::BREAK | Flags::PARITY | Flags::FRAMING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_registers() {
        let plain = Settings::plain(9600);
        assert_eq!(plain.registers(), Ok((Some(12), LineControl::WORD_8)));
        assert_eq!(plain.bits(), 10);
        for (parity, bits) in [
            (Parity::Odd, 0b00_1010),
            (Parity::Even, 0b01_1010),
            (Parity::Mark, 0b10_1010),
            (Parity::Space, 0b11_1010),
        ] {
            let settings = Settings { data_bits: 7, parity, ..plain };
            assert_eq!(settings.registers().map(|found| found.1.bits()), Ok(bits));
            assert_eq!(settings.bits(), 10);
        }
        let settings = Settings { data_bits: 5, two_stop_bits: true, baud: 0, ..plain };
        assert_eq!(settings.registers().map(|(divisor, format)| (divisor, format.bits())), Ok((None, 0b100)));
        for bad in [
            Settings { data_bits: 4, ..plain },
            Settings { data_bits: 9, ..plain },
            Settings { baud: 230_400, ..plain },
        ] {
            assert_eq!(bad.registers(), Err(BadSettings));
        }
    }

    #[test]
    fn lines_have_linuxs_numbers() {
        let lines =
            Lines::of(ModemControl::DTR | ModemControl::OUT2, ModemStatus::CTS | ModemStatus::DCD_CHANGED);
        assert_eq!(lines.bits(), 0x022);
        assert_eq!((Lines::RTS | Lines::RI).control(), ModemControl::RTS);
    }
}
