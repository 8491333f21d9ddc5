//! Signals by number and name, and what one does that nobody has asked about.
//!
//! Source: Linux, arch/x86/include/uapi/asm/signal.h; signal(7) for the actions.

/// A signal: 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// How many there are.
pub const SIGNALS: usize = 64;

/// What happens to a process that has said nothing about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// It ends.
    Terminate,
    /// It ends, and its memory would be worth looking at.
    Core,
    Stop,
    /// It goes on if it was stopped. That is done when the signal is sent; to take it does nothing.
    Continue,
    Ignore,
}

macro_rules! signals {
    ($($name:ident = $number:literal, $default:ident;)*) => {
        impl Signal {
            $(pub const $name: Self = Self($number);)*

            /// As `SIGTERM`; the real-time ones have none, see `Display`.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(concat!("SIG", stringify!($name))),)*
                    _ => None,
                }
            }

            /// What it does by itself.
            pub const fn default(self) -> Default {
                match self.0 {
                    $($number => Default::$default,)*
                    _ => Default::Terminate,
                }
            }
        }
    };
}

signals! {
    HUP = 1, Terminate;
    INT = 2, Terminate;
    QUIT = 3, Core;
    ILL = 4, Core;
    TRAP = 5, Core;
    ABRT = 6, Core;
    BUS = 7, Core;
    FPE = 8, Core;
    KILL = 9, Terminate;
    USR1 = 10, Terminate;
    SEGV = 11, Core;
    USR2 = 12, Terminate;
    PIPE = 13, Terminate;
    ALRM = 14, Terminate;
    TERM = 15, Terminate;
    STKFLT = 16, Terminate;
    CHLD = 17, Ignore;
    CONT = 18, Continue;
    STOP = 19, Stop;
    TSTP = 20, Stop;
    TTIN = 21, Stop;
    TTOU = 22, Stop;
    URG = 23, Ignore;
    XCPU = 24, Core;
    XFSZ = 25, Core;
    VTALRM = 26, Terminate;
    PROF = 27, Terminate;
    WINCH = 28, Ignore;
    IO = 29, Terminate;
    PWR = 30, Terminate;
    SYS = 31, Core;
}

impl Signal {
    /// The first that is queued (`SIGRTMIN`; the C library keeps two or three for itself and begins later).
    pub const RT_MIN: Self = Self(32);
    /// The last.
    pub const RT_MAX: Self = Self(64);

    /// `None` for numbers that are no signal, 0 among them.
    pub const fn new(number: u64) -> Option<Self> {
        if number >= 1 && number <= SIGNALS as u64 { Some(Self(number as u8)) } else { None }
    }

    pub const fn number(self) -> u8 {
        self.0
    }

    /// 0 to 63: in tables.
    pub const fn index(self) -> usize {
        self.0 as usize - 1
    }

    /// Whether each one that is sent arrives, in order; of the others one at a time waits.
    pub const fn is_realtime(self) -> bool {
        self.0 >= Self::RT_MIN.0
    }

    /// Whether nobody can block, ignore or handle it.
    pub const fn is_unconditional(self) -> bool {
        self.0 == Self::KILL.0 || self.0 == Self::STOP.0
    }

    /// Whether a process that has said nothing does not notice it.
    pub const fn is_ignored_by_default(self) -> bool {
        matches!(self.default(), Default::Ignore | Default::Continue)
    }
}

impl core::fmt::Display for Signal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "SIGRTMIN+{}", self.0 - Self::RT_MIN.0),
        }
    }
}

impl core::fmt::Debug for Signal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn numbers_names_and_actions() {
        assert_eq!((Signal::new(0), Signal::new(65), Signal::new(1 << 32 | 9)), (None, None, None));
        let all: std::vec::Vec<Signal> = (1..=64).map(|number| Signal::new(number).unwrap()).collect();
        assert!(all.iter().enumerate().all(|(index, signal)| signal.index() == index));
        assert!(all[..31].iter().all(|signal| signal.name().is_some() && !signal.is_realtime()));
        assert!(all[31..].iter().all(|signal| signal.name().is_none() && signal.is_realtime()));
        assert_eq!(Signal::new(15).unwrap().to_string(), "SIGTERM");
        assert_eq!(Signal::new(34).unwrap().to_string(), "SIGRTMIN+2");
        let with = |default| {
            all.iter().filter(|s| s.default() == default).map(|s| s.number()).collect::<std::vec::Vec<_>>()
        };
        assert_eq!(with(Default::Core), [3, 4, 5, 6, 7, 8, 11, 24, 25, 31]);
        assert_eq!(with(Default::Stop), [19, 20, 21, 22]);
        assert_eq!(with(Default::Continue), [18]);
        assert_eq!(with(Default::Ignore), [17, 23, 28]);
        assert!(
            Signal::KILL.is_unconditional()
                && Signal::STOP.is_unconditional()
                && !Signal::TSTP.is_unconditional()
        );
    }
}
