//! The shapes in which settings are handed over: the bytes behind an ioctl's pointer.
//!
//! ```text
//! offset       0        4        8        12       16      17                36       40
//! termios      c_iflag  c_oflag  c_cflag  c_lflag  c_line  c_cc[19]          (end)
//! termios2     the same                                                      c_ispeed c_ospeed (end: 44)
//!
//! offset       0        2        4        6        8       9
//! termio       c_iflag  c_oflag  c_cflag  c_lflag  c_line  c_cc[8], one byte of nothing (end: 18)
//! ```
//!
//! The oldest, termio, has half of each word; the other half stays what it was. These are the kernel's shapes: the C
//! library's struct termios has room for more characters, and is translated there.

use super::cc::NCCS;
use super::{Control, Input, Local, Output, Termios, WindowSize};

/// A size of each shape, in bytes.
pub const TERMIOS: usize = 36;
pub const TERMIOS2: usize = 44;
pub const TERMIO: usize = 18;
pub const WINSIZE: usize = 8;

/// Characters in a termio.
const OLD_NCC: usize = 8;

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

impl Termios {
    pub fn to_termios(&self) -> [u8; TERMIOS] {
        let mut bytes = [0; TERMIOS];
        bytes.copy_from_slice(&self.to_termios2()[..TERMIOS]);
        bytes
    }

    pub fn to_termios2(&self) -> [u8; TERMIOS2] {
        let mut bytes = [0; TERMIOS2];
        let words = [self.input.bits(), self.output.bits(), self.control.bits(), self.local.bits()];
        for (at, word) in words.into_iter().enumerate() {
            bytes[at * 4..][..4].copy_from_slice(&word.to_le_bytes());
        }
        bytes[16] = self.line;
        bytes[17..TERMIOS].copy_from_slice(&self.cc);
        bytes[36..40].copy_from_slice(&self.input_speed.to_le_bytes());
        bytes[40..].copy_from_slice(&self.output_speed.to_le_bytes());
        bytes
    }

    pub fn to_termio(&self) -> [u8; TERMIO] {
        let mut bytes = [0; TERMIO];
        let words = [self.input.bits(), self.output.bits(), self.control.bits(), self.local.bits()];
        for (at, word) in words.into_iter().enumerate() {
            bytes[at * 2..][..2].copy_from_slice(&(word as u16).to_le_bytes());
        }
        bytes[8] = self.line;
        bytes[9..9 + OLD_NCC].copy_from_slice(&self.cc[..OLD_NCC]);
        bytes
    }

    fn take(&mut self, bytes: &[u8; TERMIOS]) {
        self.input = Input::from_bits_retain(word(bytes, 0));
        self.output = Output::from_bits_retain(word(bytes, 4));
        self.control = Control::from_bits_retain(word(bytes, 8));
        self.local = Local::from_bits_retain(word(bytes, 12));
        self.line = bytes[16];
        self.cc.copy_from_slice(&bytes[17..17 + NCCS]);
    }

    /// These settings, changed to what a termios says. Its speeds are codes.
    pub fn with_termios(&self, bytes: &[u8; TERMIOS]) -> Self {
        let mut new = self.clone();
        new.take(bytes);
        new.speeds_from_codes();
        new
    }

    /// The same for termios2, whose numbers count where the code is BOTHER.
    pub fn with_termios2(&self, bytes: &[u8; TERMIOS2]) -> Self {
        let mut new = self.clone();
        let mut first = [0; TERMIOS];
        first.copy_from_slice(&bytes[..TERMIOS]);
        new.take(&first);
        (new.input_speed, new.output_speed) = (word(bytes, 36), word(bytes, 40));
        new.speeds_from_codes();
        new
    }

    /// The same for termio.
    pub fn with_termio(&self, bytes: &[u8; TERMIO]) -> Self {
        let low = |old: u32, at| old & 0xffff_0000 | u32::from(half(bytes, at));
        let mut new = self.clone();
        new.input = Input::from_bits_retain(low(self.input.bits(), 0));
        new.output = Output::from_bits_retain(low(self.output.bits(), 2));
        new.control = Control::from_bits_retain(low(self.control.bits(), 4));
        new.local = Local::from_bits_retain(low(self.local.bits(), 6));
        new.line = bytes[8];
        new.cc[..OLD_NCC].copy_from_slice(&bytes[9..9 + OLD_NCC]);
        new.speeds_from_codes();
        new
    }
}

impl WindowSize {
    pub fn to_bytes(self) -> [u8; WINSIZE] {
        let mut bytes = [0; WINSIZE];
        for (at, number) in [self.rows, self.columns, self.width, self.height].into_iter().enumerate() {
            bytes[at * 2..][..2].copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    pub fn from_bytes(bytes: &[u8; WINSIZE]) -> Self {
        let [rows, columns, width, height] = [0, 2, 4, 6].map(|at| half(bytes, at));
        Self { rows, columns, width, height }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tty::termios::{cc, speed};

    #[test]
    fn standard_settings_are_the_bytes_of_linux() {
        let mut settings = Termios::standard();
        // What tcgetattr gives on a new pseudo-terminal of Linux, in which there is no HUPCL.
        settings.control.remove(Control::HUPCL);
        let bytes = settings.to_termios();
        assert_eq!(bytes[..16], [0, 5, 0, 0, 5, 0, 0, 0, 0xbf, 0, 0, 0, 0x3b, 0x8a, 0, 0]);
        assert_eq!(bytes[17..], *b"\x03\x1c\x7f\x15\x04\0\x01\0\x11\x13\x1a\0\x12\x0f\x17\x16\0\0\0");
        assert_eq!(Termios::standard().with_termios(&bytes), settings);
    }

    #[test]
    fn speeds_of_termios2() {
        let mut settings = Termios::standard();
        (settings.input_speed, settings.output_speed) = (31_250, 31_250);
        settings.codes_from_speeds();
        let bytes = settings.to_termios2();
        assert_eq!(word(&bytes, 8) & Control::CBAUD.bits(), speed::BOTHER);
        assert_eq!(Termios::standard().with_termios2(&bytes), settings);
        // A code that is a name goes before the number.
        let mut bytes = Termios::standard().to_termios2();
        bytes[40..].copy_from_slice(&7u32.to_le_bytes());
        assert_eq!(settings.with_termios2(&bytes).output_speed, 38400);
    }

    #[test]
    fn the_old_shape_leaves_the_upper_halves() {
        let mut settings = Termios::standard();
        settings.local |= Local::EXTPROC;
        let mut bytes = settings.to_termio();
        bytes[6] &= !(Local::ECHO.bits() as u8);
        bytes[9 + cc::VERASE] = 8;
        let new = settings.with_termio(&bytes);
        assert!(new.local.contains(Local::EXTPROC | Local::ICANON) && !new.local.contains(Local::ECHO));
        assert_eq!((new.cc[cc::VERASE], new.cc[cc::VWERASE]), (8, 0x17));
    }

    #[test]
    fn window_sizes() {
        let size = WindowSize { rows: 25, columns: 300, width: 0, height: 7 };
        assert_eq!(size.to_bytes(), [25, 0, 44, 1, 0, 0, 7, 0]);
        assert_eq!(WindowSize::from_bytes(&size.to_bytes()), size);
    }
}
