//! `console=`: which devices the kernel's console uses.
//!
//! As on Linux: `ttyS0`, `ttyS0,9600` or `ttyS0,115200n8` is a serial port, `tty0` the framebuffer; the
//! option may be repeated, and each one named gets the output. Without the option both are used.

use crate::boot::cmdline::CommandLine;

/// Speed of a serial port that nobody gave a speed for.
pub const DEFAULT_BAUD: u32 = 115_200;

/// A device that `console=` can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Number of the port, and its speed.
    Serial(usize, u32),
    Framebuffer,
}

/// What the console is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The serial port that is used, with its speed. With several, the last.
    pub serial: Option<(usize, u32)>,
    pub framebuffer: bool,
}

impl Device {
    /// Reads one value of the option.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, options) = text.split_once(',').unwrap_or((text, ""));
        if matches!(name, "tty0" | "tty1" | "tty") {
            return Some(Self::Framebuffer);
        }
        let number = match name.strip_prefix("ttyS")? {
            "0" => 0,
            "1" => 1,
            _ => return None,
        };
        // Behind the digits stand parity, word length and flow control: the driver does 8n1 without.
        let digits = options.find(|c: char| !c.is_ascii_digit()).unwrap_or(options.len());
        let baud = match &options[..digits] {
            "" => DEFAULT_BAUD,
            digits => digits.parse().ok().filter(|&baud| baud > 0)?,
        };
        matches!(&options[digits..], "" | "n" | "n8" | "r" | "n8r").then_some(Self::Serial(number, baud))
    }
}

impl Selection {
    /// Both, the serial port being the given one.
    pub const fn both(port: usize, baud: u32) -> Self {
        Self { serial: Some((port, baud)), framebuffer: true }
    }

    /// Reads the command line. `bad` is called with each value that names no console; if none is left that
    /// does, it is `default`, for a kernel without a console cannot say what is wrong.
    pub fn from_command_line(options: &CommandLine<'_>, default: Self, bad: &mut dyn FnMut(&str)) -> Self {
        let mut selection = Self { serial: None, framebuffer: false };
        for value in options.all("console") {
            match Device::parse(value) {
                Some(Device::Serial(number, baud)) => selection.serial = Some((number, baud)),
                Some(Device::Framebuffer) => selection.framebuffer = true,
                None => bad(value),
            }
        }
        if selection.serial.is_none() && !selection.framebuffer {
            return default;
        }
        selection
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn devices() {
        assert_eq!(Device::parse("ttyS0"), Some(Device::Serial(0, 115_200)));
        assert_eq!(Device::parse("ttyS1,9600"), Some(Device::Serial(1, 9600)));
        assert_eq!(Device::parse("ttyS0,115200n8"), Some(Device::Serial(0, 115_200)));
        assert_eq!(Device::parse("tty0"), Some(Device::Framebuffer));
        for bad in ["", "ttyS", "ttyS9", "ttyS0,0", "ttyS0,9600e7", "ttyS0,99999999999", "hvc0"] {
            assert_eq!(Device::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn selection() {
        let select = |text| {
            let mut bad = Vec::new();
            let options = CommandLine::new(text);
            let default = Selection::both(0, DEFAULT_BAUD);
            (Selection::from_command_line(&options, default, &mut |v| bad.push(v.len())), bad.len())
        };
        let default = Selection::both(0, 115_200);
        assert_eq!(select(""), (default, 0));
        assert_eq!(select("console=hvc0"), (default, 1));
        assert_eq!(select("console=tty0"), (Selection { serial: None, framebuffer: true }, 0));
        assert_eq!(
            select("console=ttyS0,9600 console=ttyS1 console=x"),
            (Selection { serial: Some((1, 115_200)), framebuffer: false }, 1)
        );
        assert_eq!(select("console=tty0 console=ttyS0"), (default, 0));
    }
}
