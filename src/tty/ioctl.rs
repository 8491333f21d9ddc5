//! The orders that programs give a terminal: numbers, and what stands behind the pointer.
//!
//! The one table of them. An order's argument is nothing, a number, or an address at which so many bytes are read or
//! written; whoever has the system call copies those, and gives the order as a [`Command`].
//!
//! Source: Linux's uapi asm-generic/ioctls.h.

use super::error::Error;
use super::n_tty::Flush;
use super::termios::layout::{TERMIO, TERMIOS, TERMIOS2, WINSIZE};

/// In which shape settings are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Termio,
    Termios,
    Termios2,
}

impl Layout {
    pub const fn size(self) -> usize {
        match self {
            Self::Termio => TERMIO,
            Self::Termios => TERMIOS,
            Self::Termios2 => TERMIOS2,
        }
    }
}

/// When new settings count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Now,
    /// When what was written is sent.
    Drained,
    /// The same, and what was typed and not read is dropped.
    Flushed,
}

/// TCXONC's argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Stop,
    Start,
    SendStop,
    SendStart,
}

/// How modem lines are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modem {
    Set,
    On,
    Off,
}

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    GetSettings(Layout),
    SetSettings(Layout, When),
    GetSize,
    SetSize,
    /// FIONREAD.
    Available,
    /// TIOCOUTQ.
    Unsent,
    Flush,
    Flow,
    /// TCSBRK: with 0 a break of a quarter second, else only the wait for what is unsent.
    SendBreak,
    /// TCSBRKP: a break of so many tenths.
    SendBreakFor,
    BreakOn,
    BreakOff,
    Exclusive,
    NotExclusive,
    IsExclusive,
    /// TIOCSTI: typing in another's name. Refused.
    Inject,
    Acquire,
    GiveUp,
    GetForeground,
    SetForeground,
    GetSession,
    GetModem,
    SetModem(Modem),
    GetDiscipline,
    SetDiscipline,
    PairNumber,
    LockPair,
    IsPairLocked,
}

/// What an order's argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    Nothing,
    /// The number itself.
    Value,
    /// The address of so many bytes that are read.
    In(usize),
    /// The address of so many bytes that are written.
    Out(usize),
}

const INT: usize = 4;

/// Number, name, order, argument.
type Row = (u32, &'static str, Command, Argument);

const TABLE: &[Row] = &[
    (0x5401, "TCGETS", Command::GetSettings(Layout::Termios), Argument::Out(TERMIOS)),
    (0x5402, "TCSETS", Command::SetSettings(Layout::Termios, When::Now), Argument::In(TERMIOS)),
    (0x5403, "TCSETSW", Command::SetSettings(Layout::Termios, When::Drained), Argument::In(TERMIOS)),
    (0x5404, "TCSETSF", Command::SetSettings(Layout::Termios, When::Flushed), Argument::In(TERMIOS)),
    (0x5405, "TCGETA", Command::GetSettings(Layout::Termio), Argument::Out(TERMIO)),
    (0x5406, "TCSETA", Command::SetSettings(Layout::Termio, When::Now), Argument::In(TERMIO)),
    (0x5407, "TCSETAW", Command::SetSettings(Layout::Termio, When::Drained), Argument::In(TERMIO)),
    (0x5408, "TCSETAF", Command::SetSettings(Layout::Termio, When::Flushed), Argument::In(TERMIO)),
    (0x5409, "TCSBRK", Command::SendBreak, Argument::Value),
    (0x540a, "TCXONC", Command::Flow, Argument::Value),
    (0x540b, "TCFLSH", Command::Flush, Argument::Value),
    (0x540c, "TIOCEXCL", Command::Exclusive, Argument::Nothing),
    (0x540d, "TIOCNXCL", Command::NotExclusive, Argument::Nothing),
    (0x540e, "TIOCSCTTY", Command::Acquire, Argument::Value),
    (0x540f, "TIOCGPGRP", Command::GetForeground, Argument::Out(INT)),
    (0x5410, "TIOCSPGRP", Command::SetForeground, Argument::In(INT)),
    (0x5411, "TIOCOUTQ", Command::Unsent, Argument::Out(INT)),
    (0x5412, "TIOCSTI", Command::Inject, Argument::In(1)),
    (0x5413, "TIOCGWINSZ", Command::GetSize, Argument::Out(WINSIZE)),
    (0x5414, "TIOCSWINSZ", Command::SetSize, Argument::In(WINSIZE)),
    (0x5415, "TIOCMGET", Command::GetModem, Argument::Out(INT)),
    (0x5416, "TIOCMBIS", Command::SetModem(Modem::On), Argument::In(INT)),
    (0x5417, "TIOCMBIC", Command::SetModem(Modem::Off), Argument::In(INT)),
    (0x5418, "TIOCMSET", Command::SetModem(Modem::Set), Argument::In(INT)),
    (0x541b, "FIONREAD", Command::Available, Argument::Out(INT)),
    (0x5422, "TIOCNOTTY", Command::GiveUp, Argument::Nothing),
    (0x5423, "TIOCSETD", Command::SetDiscipline, Argument::In(INT)),
    (0x5424, "TIOCGETD", Command::GetDiscipline, Argument::Out(INT)),
    (0x5425, "TCSBRKP", Command::SendBreakFor, Argument::Value),
    (0x5427, "TIOCSBRK", Command::BreakOn, Argument::Nothing),
    (0x5428, "TIOCCBRK", Command::BreakOff, Argument::Nothing),
    (0x5429, "TIOCGSID", Command::GetSession, Argument::Out(INT)),
    (0x802c_542a, "TCGETS2", Command::GetSettings(Layout::Termios2), Argument::Out(TERMIOS2)),
    (0x402c_542b, "TCSETS2", Command::SetSettings(Layout::Termios2, When::Now), Argument::In(TERMIOS2)),
    (0x402c_542c, "TCSETSW2", Command::SetSettings(Layout::Termios2, When::Drained), Argument::In(TERMIOS2)),
    (0x402c_542d, "TCSETSF2", Command::SetSettings(Layout::Termios2, When::Flushed), Argument::In(TERMIOS2)),
    (0x8004_5430, "TIOCGPTN", Command::PairNumber, Argument::Out(INT)),
    (0x4004_5431, "TIOCSPTLCK", Command::LockPair, Argument::In(INT)),
    (0x8004_5439, "TIOCGPTLCK", Command::IsPairLocked, Argument::Out(INT)),
    (0x8004_5440, "TIOCGEXCL", Command::IsExclusive, Argument::Out(INT)),
];

/// Modem lines, as TIOCMGET and its like have them.
pub mod modem {
    pub const DTR: u32 = 0x002;
    pub const RTS: u32 = 0x004;
    pub const CTS: u32 = 0x020;
    pub const CAR: u32 = 0x040;
    pub const RNG: u32 = 0x080;
    pub const DSR: u32 = 0x100;
    pub const OUT1: u32 = 0x2000;
    pub const OUT2: u32 = 0x4000;
}

/// Finds an order by its number.
pub fn find(number: u32) -> Option<(Command, Argument)> {
    TABLE.iter().find(|row| row.0 == number).map(|row| (row.2, row.3))
}

/// What an order is called; for traces.
pub fn name(number: u32) -> Option<&'static str> {
    TABLE.iter().find(|row| row.0 == number).map(|row| row.1)
}

impl Command {
    /// Whether a process in the background may not give it.
    pub const fn needs_foreground(self) -> bool {
        matches!(
            self,
            Self::SetSettings(..) | Self::Flush | Self::Flow | Self::SendBreak | Self::SendBreakFor
        ) || matches!(self, Self::BreakOn | Self::BreakOff | Self::SetDiscipline)
    }

    /// Whether it first waits for what was written to be sent.
    pub const fn drains(self) -> bool {
        matches!(self, Self::SetSettings(_, When::Drained | When::Flushed) | Self::SendBreak)
            || matches!(self, Self::SendBreakFor | Self::BreakOn | Self::SetDiscipline)
    }
}

/// The most bytes that an order's argument has.
pub const LARGEST: usize = TERMIOS2;

/// The memory of whoever gives an order.
pub trait Memory {
    /// # Errors
    /// [`Error::Fault`] if it is not there.
    fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Error>;
    /// # Errors
    /// As above.
    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Error>;
}

/// TCFLSH's argument.
pub fn flush_of(value: u64) -> Option<Flush> {
    Some(match value {
        0 => Flush::Input,
        1 => Flush::Output,
        2 => Flush::Both,
        _ => return None,
    })
}

/// TCXONC's argument.
pub fn flow_of(value: u64) -> Option<Flow> {
    Some(match value {
        0 => Flow::Stop,
        1 => Flow::Start,
        2 => Flow::SendStop,
        3 => Flow::SendStart,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_say_their_sizes() {
        for (at, row) in TABLE.iter().enumerate() {
            assert!(TABLE[..at].iter().all(|other| other.0 != row.0 && other.1 != row.1), "{}", row.1);
            assert_eq!((find(row.0), name(row.0)), (Some((row.2, row.3)), Some(row.1)));
            // The newer ones have their direction and size in the number (asm-generic/ioctl.h).
            let encoded = match row.0 >> 30 {
                0 => continue,
                1 => Argument::In((row.0 >> 16 & 0x3fff) as usize),
                _ => Argument::Out((row.0 >> 16 & 0x3fff) as usize),
            };
            assert_eq!(row.3, encoded, "{}", row.1);
        }
        assert_eq!(find(0x5460), None);
    }

    #[test]
    fn arguments_that_are_numbers() {
        assert_eq!(
            [0, 1, 2, 3].map(flush_of),
            [Some(Flush::Input), Some(Flush::Output), Some(Flush::Both), None]
        );
        assert_eq!((flow_of(0), flow_of(3), flow_of(4)), (Some(Flow::Stop), Some(Flow::SendStart), None));
    }
}
