//! Sets of signals: 64 bits, signal 1 the lowest, as programs have them.

use super::number::Signal;

/// A set.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SigSet(u64);

impl SigSet {
    pub const EMPTY: Self = Self(0);
    /// What stops a process.
    pub const STOPS: Self = Self::of(&[Signal::STOP, Signal::TSTP, Signal::TTIN, Signal::TTOU]);
    /// What an instruction of the program's own raises: taken before others, since it says where it happened.
    pub const SYNCHRONOUS: Self =
        Self::of(&[Signal::SEGV, Signal::BUS, Signal::ILL, Signal::TRAP, Signal::FPE, Signal::SYS]);
    /// What cannot be blocked.
    pub const UNCONDITIONAL: Self = Self::of(&[Signal::KILL, Signal::STOP]);

    /// As it is in memory.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub const fn bits(self) -> u64 {
        self.0
    }

    pub const fn of(signals: &[Signal]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < signals.len() {
            bits |= 1 << signals[i].index();
            i += 1;
        }
        Self(bits)
    }

    /// A program's mask: without what cannot be blocked.
    pub const fn mask(bits: u64) -> Self {
        Self(bits).without(Self::UNCONDITIONAL)
    }

    pub const fn contains(self, signal: Signal) -> bool {
        self.0 >> signal.index() & 1 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn insert(&mut self, signal: Signal) {
        self.0 |= 1 << signal.index();
    }

    pub const fn remove(&mut self, signal: Signal) {
        self.0 &= !(1 << signal.index());
    }

    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[must_use]
    pub const fn complement(self) -> Self {
        Self(!self.0)
    }

    /// The one with the lowest number.
    pub const fn first(self) -> Option<Signal> {
        if self.0 == 0 { None } else { Signal::new(self.0.trailing_zeros() as u64 + 1) }
    }

    /// From the lowest number up.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        let mut rest = self;
        core::iter::from_fn(move || {
            let signal = rest.first()?;
            rest.remove(signal);
            Some(signal)
        })
    }
}

impl core::fmt::Debug for SigSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[test]
fn sets_are_bits() {
    let mut set = SigSet::of(&[Signal::HUP, Signal::RT_MAX, Signal::KILL]);
    assert_eq!(set.bits(), 1 | 1 << 63 | 1 << 8);
    assert_eq!(SigSet::mask(set.bits()).bits(), 1 | 1 << 63);
    assert!(set.contains(Signal::KILL) && !set.contains(Signal::INT));
    set.remove(Signal::HUP);
    assert_eq!(set.iter().map(Signal::number).collect::<std::vec::Vec<_>>(), [9, 64]);
    assert_eq!((set.first(), SigSet::EMPTY.first()), (Some(Signal::KILL), None));
    assert_eq!(SigSet::from_bits(u64::MAX).complement(), SigSet::EMPTY);
}
