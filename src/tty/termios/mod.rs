//! A terminal's settings: struct termios of Linux's x86_64 ABI, with the names of POSIX.
//!
//! Four words of flags, for input, output, the line itself and what only a person sees; a byte each for the characters
//! that mean something; two speeds. [`layout`] has the three shapes in which programs hand them over, [`speed`] the
//! names of the speeds. Bits that have no name here are kept as they are: a program gets back what it has set.
//!
//! Source: POSIX.1-2017, chapter 11 "General Terminal Interface"; Linux's uapi asm-generic/termbits.h for the values.

pub mod layout;
pub mod speed;

use bitflags::bitflags;

bitflags! {
    /// What happens to a byte that arrives.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Input: u32 {
        /// A break is nothing.
        const IGNBRK = 0o1;
        /// A break is SIGINT.
        const BRKINT = 0o2;
        /// Bytes with errors are dropped.
        const IGNPAR = 0o4;
        /// Bytes with errors come as 0xff, 0, byte; and 0xff itself twice.
        const PARMRK = 0o10;
        /// Parity is looked at.
        const INPCK = 0o20;
        /// The eighth bit goes.
        const ISTRIP = 0o40;
        const INLCR = 0o100;
        const IGNCR = 0o200;
        const ICRNL = 0o400;
        /// Capitals become small; a Linux extension.
        const IUCLC = 0o1000;
        /// What is sent can be stopped and started from the other end.
        const IXON = 0o2000;
        /// Any byte starts it.
        const IXANY = 0o4000;
        /// The other end is stopped and started.
        const IXOFF = 0o10000;
        /// A bell when the line is full. Linux keeps the bit, and has no bell.
        const IMAXBEL = 0o20000;
        /// A character can be several bytes.
        const IUTF8 = 0o40000;
        const _ = !0;
    }
}

bitflags! {
    /// What happens to a byte that is written.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Output: u32 {
        /// Anything at all.
        const OPOST = 0o1;
        /// Small letters become capitals; a Linux extension.
        const OLCUC = 0o2;
        const ONLCR = 0o4;
        const OCRNL = 0o10;
        /// No CR in column 0.
        const ONOCR = 0o20;
        /// NL does what CR does.
        const ONLRET = 0o40;
        const OFILL = 0o100;
        const OFDEL = 0o200;
        /// Both bits of TABDLY: tabs become spaces. Also called XTABS.
        const TAB3 = 0o14000;
        const _ = !0;
    }
}

bitflags! {
    /// The line itself.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Control: u32 {
        /// The speed, by its code; see [`speed`].
        const CBAUD = 0o10017;
        /// Bits of a byte.
        const CSIZE = 0o60;
        const CS6 = 0o20;
        const CS7 = 0o40;
        const CS8 = 0o60;
        const CSTOPB = 0o100;
        const CREAD = 0o200;
        const PARENB = 0o400;
        const PARODD = 0o1000;
        /// The modem is hung up when nobody has the terminal open any more.
        const HUPCL = 0o2000;
        /// There is no modem.
        const CLOCAL = 0o4000;
        /// The speed at which is received, where it differs.
        const CIBAUD = 0o2003600000;
        const CMSPAR = 0o10000000000;
        /// RTS and CTS.
        const CRTSCTS = 0o20000000000;
        const _ = !0;
    }
}

bitflags! {
    /// What a person at it sees.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Local: u32 {
        /// Some characters are signals.
        const ISIG = 0o1;
        /// Lines, and editing them.
        const ICANON = 0o2;
        const XCASE = 0o4;
        const ECHO = 0o10;
        /// ERASE rubs out.
        const ECHOE = 0o20;
        /// KILL begins a new line.
        const ECHOK = 0o40;
        /// NL is echoed even without ECHO.
        const ECHONL = 0o100;
        /// A signal leaves what is under way.
        const NOFLSH = 0o200;
        /// Background processes may not write.
        const TOSTOP = 0o400;
        /// Control characters are echoed as ^X.
        const ECHOCTL = 0o1000;
        /// What is erased is shown, between \ and /.
        const ECHOPRT = 0o2000;
        /// KILL rubs the whole line out.
        const ECHOKE = 0o4000;
        const FLUSHO = 0o10000;
        const PENDIN = 0o40000;
        /// WERASE, REPRINT, LNEXT, EOL2, and IUCLC.
        const IEXTEN = 0o100000;
        /// Whoever has the other end of the pair does the editing.
        const EXTPROC = 0o200000;
        const _ = !0;
    }
}

/// Indexes of the characters.
pub mod cc {
    pub const VINTR: usize = 0;
    pub const VQUIT: usize = 1;
    pub const VERASE: usize = 2;
    pub const VKILL: usize = 3;
    pub const VEOF: usize = 4;
    pub const VTIME: usize = 5;
    pub const VMIN: usize = 6;
    pub const VSWTC: usize = 7;
    pub const VSTART: usize = 8;
    pub const VSTOP: usize = 9;
    pub const VSUSP: usize = 10;
    pub const VEOL: usize = 11;
    pub const VREPRINT: usize = 12;
    pub const VDISCARD: usize = 13;
    pub const VWERASE: usize = 14;
    pub const VLNEXT: usize = 15;
    pub const VEOL2: usize = 16;
    /// How many the kernel keeps.
    pub const NCCS: usize = 19;
}

/// A character that is switched off.
pub const DISABLED: u8 = 0;

/// The settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Termios {
    pub input: Input,
    pub output: Output,
    pub control: Control,
    pub local: Local,
    /// The line discipline's number; 0 is N_TTY, and there is no other.
    pub line: u8,
    pub cc: [u8; cc::NCCS],
    /// Speeds in baud.
    pub input_speed: u32,
    pub output_speed: u32,
}

impl Termios {
    /// What a new terminal has: cooked, with echo, 38,400 baud. Linux calls it tty_std_termios; a pseudo-terminal has
    /// the same without HUPCL.
    pub const fn standard() -> Self {
        let control = speed::B38400 | (Control::CS8.bits() | Control::CREAD.bits() | Control::HUPCL.bits());
        let local = Local::ISIG.bits()
            | (Local::ICANON.bits() | Local::ECHO.bits() | Local::ECHOE.bits() | Local::ECHOK.bits())
            | (Local::ECHOCTL.bits() | Local::ECHOKE.bits() | Local::IEXTEN.bits());
        // In the order of their indexes: INTR, QUIT, ERASE, KILL, EOF, TIME, MIN, SWTC, START, STOP, SUSP, EOL,
        // REPRINT, DISCARD, WERASE, LNEXT, EOL2.
        let cc = *b"\x03\x1c\x7f\x15\x04\x00\x01\x00\x11\x13\x1a\x00\x12\x0f\x17\x16\x00\x00\x00";
        Self {
            input: Input::from_bits_retain(Input::ICRNL.bits() | Input::IXON.bits()),
            output: Output::from_bits_retain(Output::OPOST.bits() | Output::ONLCR.bits()),
            control: Control::from_bits_retain(control),
            local: Local::from_bits_retain(local),
            line: 0,
            cc,
            input_speed: 38400,
            output_speed: 38400,
        }
    }

    /// Whether `byte` is the character with this index; one that is switched off is no byte at all.
    pub fn is(&self, index: usize, byte: u8) -> bool {
        byte != DISABLED && self.cc[index] == byte
    }

    /// Whether lines are made here: ICANON, and nobody at the other end who makes them.
    pub fn makes_lines(&self) -> bool {
        self.local.contains(Local::ICANON) && !self.local.contains(Local::EXTPROC)
    }

    /// Without any processing, as cfmakeraw(3) leaves it.
    pub fn make_raw(&mut self) {
        let input = Input::IGNBRK | Input::BRKINT | Input::PARMRK | Input::ISTRIP;
        self.input.remove(input | Input::INLCR | Input::IGNCR | Input::ICRNL | Input::IXON);
        self.output.remove(Output::OPOST);
        self.local.remove(Local::ECHO | Local::ECHONL | Local::ICANON | Local::ISIG | Local::IEXTEN);
        self.control.remove(Control::CSIZE | Control::PARENB);
        self.control.insert(Control::CS8);
    }
}

/// A terminal's size, in characters and, where somebody knows, pixels: struct winsize.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSize {
    pub rows: u16,
    pub columns: u16,
    pub width: u16,
    pub height: u16,
}
