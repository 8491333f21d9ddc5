//! The ACPI power management timer: 3.579545 MHz, 24 or 32 bits, read only, on every PC with ACPI but
//! hardware-reduced ones.
//!
//! The FADT says where it is (a port or memory: the caller's closure knows) and how wide (flag TMR_VAL_EXT).
//! It wraps every 4.7 s or 20 min: `time::clock` counts the rounds.
//!
//! Invariants: it is believed once it has been seen to move, and evenly; a reading from a chip that does not latch its
//! counter (early PIIX4s, "ACPI timer errata") is one of three that are in order.
//!
//! Source: ACPI 6.5 §4.8.3.3 "Power management timer"; Intel 82371AB (PIIX4) specification update, erratum on
//! the timer's read.

use crate::time::counter::Counter;
use crate::time::rate::Rate;
use core::fmt;

/// Ticks a second: the colour carrier of American television, for which crystals were cheap.
pub const HZ: u64 = 3_579_545;
/// How often it is read before it counts as standing. It moves every 0.28 µs, a read takes about as long or longer.
const SPINS: u32 = 10_000;
/// How often three readings are tried to be had in order. Wrong ones are some in a million.
const TRIES: u32 = 10;
/// Readings at probing, and by how many ticks two of them are apart at the most: 100 ms, unless the CPU was taken away.
const PROBES: u32 = 10;
const GAP: u32 = HZ as u32 / 10;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Width {
    Bits24,
    Bits32,
}

impl Width {
    pub const fn bits(self) -> u32 {
        match self {
            Self::Bits24 => 24,
            Self::Bits32 => 32,
        }
    }

    const fn mask(self) -> u32 {
        match self {
            Self::Bits24 => 0x00FF_FFFF,
            Self::Bits32 => u32::MAX,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PmTimerError {
    /// It reads the same all the time.
    Stopped,
    /// It jumps.
    Uneven,
}

impl fmt::Display for PmTimerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "ACPI PM timer: stands still",
            Self::Uneven => "ACPI PM timer: jumps",
        })
    }
}

/// The timer; `read` reads the 32 bits of its register.
#[derive(Debug)]
pub struct PmTimer<R> {
    read: R,
    width: Width,
    /// One reading is not to be trusted.
    thrice: bool,
}

impl<R: Fn() -> u32> PmTimer<R> {
    /// Looks whether it runs. `unlatched`: the chipset is a PIIX4 before revision 3, whose readings can be wrong.
    pub fn start(read: R, width: Width, unlatched: bool) -> Result<Self, PmTimerError> {
        let this = Self { read, width, thrice: unlatched };
        let mut last = this.raw();
        for _ in 0..PROBES {
            let next = (0..SPINS).map(|_| this.raw()).find(|&next| next != last);
            let next = next.ok_or(PmTimerError::Stopped)?;
            if next.wrapping_sub(last) & width.mask() > GAP {
                return Err(PmTimerError::Uneven);
            }
            last = next;
        }
        Ok(this)
    }

    /// The register's value. The upper 8 of 24 bits are reserved, not 0.
    #[inline]
    fn once(&self) -> u32 {
        (self.read)() & self.width.mask()
    }

    #[inline]
    fn raw(&self) -> u32 {
        if self.thrice { self.in_order() } else { self.once() }
    }

    /// The middle one of three readings in order (around the wrap, too). A reading in the middle of a carry is off
    /// to one side, so with it they are not.
    fn in_order(&self) -> u32 {
        let ahead = |from: u32, to: u32| to.wrapping_sub(from) & self.width.mask() <= GAP;
        let mut three = [self.once(), self.once(), self.once()];
        for _ in 0..TRIES {
            let [first, second, third] = three;
            if ahead(first, second) && ahead(second, third) && ahead(first, third) {
                break;
            }
            three = [second, third, self.once()];
        }
        three[1]
    }
}

impl<R: Fn() -> u32> Counter for PmTimer<R> {
    #[inline]
    fn read(&self) -> u64 {
        u64::from(self.raw())
    }

    fn rate(&self) -> Option<Rate> {
        Rate::from_hz(HZ)
    }

    fn width_bits(&self) -> u32 {
        self.width.bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::cell::{Cell, RefCell};

    #[test]
    fn it_wraps_and_reserved_bits_are_ignored() {
        for (width, noise) in [(Width::Bits24, 0xAB00_0000), (Width::Bits32, 0)] {
            let mask = u64::from(width.mask());
            let truth = Cell::new(mask - 20);
            let read = || {
                truth.set(truth.get() + 2);
                (truth.get() & mask) as u32 | noise
            };
            // It wraps while it is probed.
            let timer = PmTimer::start(read, width, false).expect("a timer");
            assert!(truth.get() > mask);
            for _ in 0..1000 {
                truth.set(truth.get() + mask / 3);
                let now = timer.read();
                assert_eq!(now, truth.get() & mask);
            }
            assert_eq!((timer.width_bits(), timer.rate().map(Rate::hz)), (width.bits(), Some(HZ)));
        }
    }

    fn counting(step: u32) -> impl Fn() -> u32 {
        let now = Cell::new(0u32);
        move || {
            now.set(now.get().wrapping_add(step));
            now.get()
        }
    }

    #[test]
    fn what_does_not_run_is_told() {
        for value in [0, 5, u32::MAX] {
            let timer = PmTimer::start(|| value, Width::Bits24, false);
            assert_eq!(timer.err(), Some(PmTimerError::Stopped));
        }
        for step in [1_000_000, u32::MAX] {
            let timer = PmTimer::start(counting(step), Width::Bits24, false);
            assert_eq!(timer.err(), Some(PmTimerError::Uneven));
        }
        // A floating bus behind a register of 32 bits, too.
        assert!(PmTimer::start(|| u32::MAX, Width::Bits32, true).is_err());
    }

    /// A counter whose reads, some of the time, fall into a carry: the lower bits are new and the upper ones old, or
    /// the other way round.
    fn unlatched(truth: &Cell<u64>, random: &RefCell<Random>) -> u32 {
        let mut random = random.borrow_mut();
        let old = truth.get();
        truth.set(old + 3);
        let low = 0xFFF;
        let torn = match random.below(10) {
            0 => old & !low | truth.get() & low,
            1 => truth.get() & !low | old & low,
            _ => truth.get(),
        };
        (torn & 0xFF_FFFF) as u32
    }

    #[test]
    fn torn_readings_are_not_believed() {
        let random = RefCell::new(Random::new(5));
        let errors = |thrice: bool| {
            let truth = Cell::new(0u64);
            let timer = PmTimer { read: || unlatched(&truth, &random), width: Width::Bits24, thrice };
            let mut wrong = 0;
            for _ in 0..300_000 {
                let before = truth.get();
                let read = timer.raw();
                let taken = u64::from(read).wrapping_sub(before) & 0xFF_FFFF;
                wrong += u32::from(taken > truth.get() - before + 3);
            }
            wrong
        };
        // Negative: the model does lie.
        assert!(errors(false) > 10);
        assert_eq!(errors(true), 0);
    }
}
