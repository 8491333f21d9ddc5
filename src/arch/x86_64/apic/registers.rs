//! The local APIC's registers, and the bits in them.
//!
//! One set of registers, two doors: in xAPIC mode each is a 32-bit word at its offset in a 4 KiB page, in x2APIC mode
//! an MSR, 800h plus the offset divided by 16. Names are the manual's.
//!
//! Source: Intel SDM vol. 3 §10.4 (table 10-1), §10.5.1 (local vector table), §10.5.3 (errors), §10.6.1 (interrupt
//! command), §10.12.1.2 (x2APIC's address space); AMD APM vol. 2 §16.3 to §16.6.

use crate::arch::x86_64::line::{Polarity, Trigger};
use bitflags::bitflags;

/// A register, by its offset in xAPIC mode.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Register(u16);

#[rustfmt::skip]
impl Register {
    pub const ID: Self = Self(0x020);
    pub const VERSION: Self = Self(0x030);
    /// Task priority.
    pub const TPR: Self = Self(0x080);
    /// Processor priority.
    pub const PPR: Self = Self(0x0A0);
    pub const EOI: Self = Self(0x0B0);
    /// Spurious interrupt vector, and the switch that turns the APIC on.
    pub const SVR: Self = Self(0x0F0);
    /// Error status.
    pub const ESR: Self = Self(0x280);
    /// Interrupt command, low half (all of it in x2APIC mode) and high.
    pub const ICR: Self = Self(0x300);
    pub const ICR_HIGH: Self = Self(0x310);
    /// The timer's.
    pub const INITIAL_COUNT: Self = Self(0x380);
    pub const CURRENT_COUNT: Self = Self(0x390);
    pub const DIVIDE: Self = Self(0x3E0);
    /// x2APIC mode only.
    pub const SELF_IPI: Self = Self(0x3F0);

    /// In-service bits of vectors 32 * `word` and up.
    pub const fn in_service(word: u8) -> Self {
        Self(0x100 + (word as u16 & 7) * 0x10)
    }

    /// Requested but not yet in service.
    pub const fn requested(word: u8) -> Self {
        Self(0x200 + (word as u16 & 7) * 0x10)
    }

    /// Offset in the page of xAPIC mode.
    pub const fn offset(self) -> u32 {
        self.0 as u32
    }

    /// Number of the MSR of x2APIC mode.
    pub const fn msr(self) -> u32 {
        0x800 + (self.0 as u32 >> 4)
    }
}

/// Deadline of the timer in TSC-deadline mode: an MSR in both modes.
pub const IA32_TSC_DEADLINE: u32 = 0x6E0;

/// SVR: the APIC is on. While it is off, every LVT entry stays masked.
pub const SVR_ENABLE: u32 = 1 << 8;

/// An entry of the local vector table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lvt {
    Timer,
    /// Corrected machine checks.
    Cmci,
    Thermal,
    /// Performance counters.
    Perf,
    Lint0,
    Lint1,
    Error,
}

impl Lvt {
    /// All of them; the error entry first, since masking another one can raise an error (see `Lapic::setup`).
    pub const ALL: [Self; 7] =
        [Self::Error, Self::Timer, Self::Cmci, Self::Thermal, Self::Perf, Self::Lint0, Self::Lint1];

    pub const fn register(self) -> Register {
        Register(match self {
            Self::Cmci => 0x2F0,
            Self::Timer => 0x320,
            Self::Thermal => 0x330,
            Self::Perf => 0x340,
            Self::Lint0 => 0x350,
            Self::Lint1 => 0x360,
            Self::Error => 0x370,
        })
    }

    /// How large "max LVT entry" of the version register is at the least where this one exists.
    pub const fn since(self) -> u8 {
        match self {
            Self::Timer | Self::Lint0 | Self::Lint1 | Self::Error => 3,
            Self::Perf => 4,
            Self::Thermal => 5,
            Self::Cmci => 6,
        }
    }

    /// Bits that software may set in it; the others are reserved or the chip's (§10.5.1, figure 10-8).
    pub const fn writable(self) -> u32 {
        let common = LvtEntry::VECTOR | LvtEntry::MASKED_BIT;
        match self {
            Self::Timer => common | LvtEntry::TIMER_MODE,
            Self::Error => common,
            Self::Cmci | Self::Thermal | Self::Perf => common | LvtEntry::DELIVERY,
            Self::Lint0 => common | LvtEntry::DELIVERY | LvtEntry::LOW | LvtEntry::LEVEL,
            // "Level-sensitive interrupts are not supported for LINT1."
            Self::Lint1 => common | LvtEntry::DELIVERY | LvtEntry::LOW,
        }
    }
}

/// How an interrupt message is taken: what LVT entries, interrupt commands and I/O APICs have in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Delivery {
    Fixed = 0,
    LowestPriority = 1,
    Smi = 2,
    Nmi = 4,
    Init = 5,
    Startup = 6,
    /// The vector comes from the 8259As.
    ExtInt = 7,
}

impl Delivery {
    /// From the three bits that stand for it; 3 is reserved.
    pub const fn of(bits: u32) -> Option<Self> {
        Some(match bits & 7 {
            0 => Self::Fixed,
            1 => Self::LowestPriority,
            2 => Self::Smi,
            4 => Self::Nmi,
            5 => Self::Init,
            6 => Self::Startup,
            7 => Self::ExtInt,
            _ => return None,
        })
    }
}

/// Value of an entry of the local vector table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LvtEntry(u32);

impl LvtEntry {
    pub(super) const VECTOR: u32 = 0xFF;
    pub(super) const DELIVERY: u32 = 7 << 8;
    pub(super) const LOW: u32 = 1 << 13;
    pub(super) const LEVEL: u32 = 1 << 15;
    pub(super) const MASKED_BIT: u32 = 1 << 16;
    pub(super) const TIMER_MODE: u32 = 3 << 17;

    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub const fn bits(self) -> u32 {
        self.0
    }

    /// An interrupt with a vector of its own, unmasked, edge, active high.
    pub const fn fixed(vector: u8) -> Self {
        Self(vector as u32)
    }

    pub const fn nmi() -> Self {
        Self((Delivery::Nmi as u32) << 8)
    }

    /// What the 8259As say.
    pub const fn ext_int() -> Self {
        Self((Delivery::ExtInt as u32) << 8)
    }

    pub const fn with_polarity(self, polarity: Polarity) -> Self {
        match polarity {
            Polarity::High => Self(self.0 & !Self::LOW),
            Polarity::Low => Self(self.0 | Self::LOW),
        }
    }

    /// Counts for fixed delivery only: an NMI is always edge-triggered, ExtINT always level.
    pub const fn with_trigger(self, trigger: Trigger) -> Self {
        match trigger {
            Trigger::Edge => Self(self.0 & !Self::LEVEL),
            Trigger::Level => Self(self.0 | Self::LEVEL),
        }
    }

    pub const fn masked(self) -> Self {
        Self(self.0 | Self::MASKED_BIT)
    }

    pub const fn unmasked(self) -> Self {
        Self(self.0 & !Self::MASKED_BIT)
    }

    pub(super) const fn with_timer_mode(self, bits: u32) -> Self {
        Self(self.0 & !Self::TIMER_MODE | bits)
    }

    pub const fn is_masked(self) -> bool {
        self.0 & Self::MASKED_BIT != 0
    }

    pub const fn vector(self) -> u8 {
        self.0 as u8
    }

    pub const fn delivery(self) -> Option<Delivery> {
        Delivery::of(self.0 >> 8)
    }

    pub const fn polarity(self) -> Polarity {
        if self.0 & Self::LOW != 0 { Polarity::Low } else { Polarity::High }
    }

    pub const fn trigger(self) -> Trigger {
        if self.0 & Self::LEVEL != 0 { Trigger::Level } else { Trigger::Edge }
    }
}

bitflags! {
    /// Error status (§10.5.3, figure 10-9).
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct Errors: u32 {
        const SEND_CHECKSUM = 1 << 0;
        const RECEIVE_CHECKSUM = 1 << 1;
        const SEND_ACCEPT = 1 << 2;
        const RECEIVE_ACCEPT = 1 << 3;
        const REDIRECTABLE_IPI = 1 << 4;
        const SENT_ILLEGAL_VECTOR = 1 << 5;
        const RECEIVED_ILLEGAL_VECTOR = 1 << 6;
        const ILLEGAL_REGISTER = 1 << 7;
    }
}

impl Errors {
    /// What to print.
    pub fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        [
            "send checksum",
            "receive checksum",
            "send accept",
            "receive accept",
            "redirectable IPI",
            "sent illegal vector",
            "received illegal vector",
            "illegal register",
        ]
        .into_iter()
        .enumerate()
        .filter_map(move |(bit, name)| (self.bits() >> bit & 1 != 0).then_some(name))
    }
}
