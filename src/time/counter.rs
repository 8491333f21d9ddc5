//! What a chip that counts has to offer to become a clock, or the measure of one.
//!
//! The drivers of TSC, HPET, ACPI PM timer and PIT implement [`Counter`], and one static that holds them all
//! implements [`Counters`]. Counters count up and wrap at a power of two; a driver whose chip counts down
//! turns the count around.

use core::fmt;

use super::rate::Rate;

/// A counter of a steady rate.
pub trait Counter {
    /// The count now: `width_bits` bits, and zeros above them. In order with the loads around it, as far as
    /// the CPU lets itself be told (the TSC wants a fence), and callable in any context, NMI included.
    fn read(&self) -> u64;

    /// The rate, where the chip or the CPU states it; `None` for one that has to be measured.
    fn rate(&self) -> Option<Rate>;

    /// 1 to 64.
    fn width_bits(&self) -> u32;
}

/// All the counters of the machine, asked by name. Implementations are inlined into the clock's read path.
pub trait Counters {
    /// As [`Counter::read`]. Asked only for a source that was made a clock.
    fn read(&self, source: Source) -> u64;
}

/// The counters that a PC can have, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The CPU's time-stamp counter: some ten cycles a read.
    Tsc,
    /// The high-precision event timer: a read is a trip over the bus.
    Hpet,
    /// The ACPI power-management timer: the same, through a port.
    PmTimer,
    /// The 8254's counter 0: three port accesses a read, and it wraps within 55 ms.
    Pit,
}

impl Source {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tsc => "TSC",
            Self::Hpet => "HPET",
            Self::PmTimer => "PM timer",
            Self::Pit => "PIT",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The bits that a counter of this width has; 1 to 64, and what is outside is brought inside.
pub const fn mask(width_bits: u32) -> u64 {
    match width_bits {
        0 => 1,
        1..=63 => (1 << width_bits) - 1,
        _ => u64::MAX,
    }
}

#[test]
fn masks_have_as_many_bits_as_the_counter() {
    for bits in 1..=64 {
        assert_eq!(mask(bits).count_ones(), bits);
        assert_eq!(mask(bits).trailing_ones(), bits);
    }
}
