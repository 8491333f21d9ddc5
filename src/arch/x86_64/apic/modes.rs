//! The local APIC's three modes, and the only ways between them.
//!
//! ```text
//!                 +--------------------------+
//!                 v                          |
//!   reset --> xAPIC (EN) --> x2APIC (EN, EXTD)      anything else is #GP
//!               |  ^             |
//!               v  |             |
//!             disabled <---------+
//! ```
//!
//! (The upper arrow is a reset's.) So the way from x2APIC back to xAPIC leads through "disabled", which takes all
//! of the APIC's state with it, and the way from "disabled" to x2APIC leads through xAPIC.
//!
//! Invariants: the base address and the bit that marks the boot CPU stay as they were; a mode is believed once it
//! reads back (QEMU before 9.0 under TCG accepts the x2APIC bit and forgets it).
//!
//! Source: Intel SDM vol. 3 §10.4.4 and §10.12.5, figure 10-27; AMD APM vol. 2 §16.9.

use crate::arch::x86_64::access::Msrs;
use crate::arch::x86_64::msr::numbers;

/// Lists what else the CPU can do about speculation and the like; bit 21: the next one exists.
const IA32_ARCH_CAPABILITIES: u32 = 0x10A;
const XAPIC_DISABLE_STATUS: u64 = 1 << 21;
/// Bit 0: x2APIC mode cannot be left.
const IA32_XAPIC_DISABLE_STATUS: u32 = 0xBD;

/// How the registers are reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Not at all.
    Disabled,
    /// As memory.
    XApic,
    /// As MSRs.
    X2Apic,
}

impl Mode {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::XApic => "xAPIC",
            Self::X2Apic => "x2APIC",
        }
    }
}

/// IA32_APIC_BASE.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ApicBase(u64);

impl ApicBase {
    const BSP: u64 = 1 << 8;
    const EXTD: u64 = 1 << 10;
    const EN: u64 = 1 << 11;
    /// Bits 12 to 51; those above what the CPU has are reserved and read as 0.
    const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;

    pub fn read(msrs: &impl Msrs) -> Self {
        Self(msrs.read(numbers::IA32_APIC_BASE))
    }

    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Physical address of the page of xAPIC mode.
    pub const fn address(self) -> u64 {
        self.0 & Self::ADDRESS
    }

    /// This is the CPU that the machine started with.
    pub const fn is_boot_cpu(self) -> bool {
        self.0 & Self::BSP != 0
    }

    /// The mode; EXTD without EN, which no CPU accepts, counts as disabled.
    pub const fn mode(self) -> Mode {
        match (self.0 & Self::EN != 0, self.0 & Self::EXTD != 0) {
            (false, _) => Mode::Disabled,
            (true, false) => Mode::XApic,
            (true, true) => Mode::X2Apic,
        }
    }

    const fn with_mode(self, mode: Mode) -> Self {
        let bits = match mode {
            Mode::Disabled => 0,
            Mode::XApic => Self::EN,
            Mode::X2Apic => Self::EN | Self::EXTD,
        };
        Self(self.0 & !(Self::EN | Self::EXTD) | bits)
    }
}

/// The modes to pass through, the last one wanted.
const fn steps(from: Mode, to: Mode) -> &'static [Mode] {
    use Mode::{Disabled, X2Apic, XApic};
    match (from, to) {
        (Disabled, Disabled) | (XApic, XApic) | (X2Apic, X2Apic) => &[],
        (_, Disabled) => &[Disabled],
        (Disabled, XApic) => &[XApic],
        (XApic, X2Apic) => &[X2Apic],
        (Disabled, X2Apic) => &[XApic, X2Apic],
        (X2Apic, XApic) => &[Disabled, XApic],
    }
}

/// The CPU is in another mode than it was told to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused {
    pub wanted: Mode,
    pub got: Mode,
}

/// Brings this CPU's local APIC into mode `to`. Leaving x2APIC mode needs one that is not locked ([`is_locked`]), and
/// entering it needs CPUID's bit for it: else #GP. Interrupts are off; after passing "disabled" all registers
/// are as after a reset.
pub fn switch(msrs: &impl Msrs, to: Mode) -> Result<(), Refused> {
    for &mode in steps(ApicBase::read(msrs).mode(), to) {
        let next = ApicBase::read(msrs).with_mode(mode);
        msrs.write(numbers::IA32_APIC_BASE, next.0);
        let got = ApicBase::read(msrs).mode();
        if got != mode {
            return Err(Refused { wanted: mode, got });
        }
    }
    Ok(())
}

/// Whether the firmware has locked x2APIC mode, as it does on CPUs with SGX or TDX: leaving it is then #GP.
/// `has_arch_capabilities`: CPUID leaf 7, EDX bit 29.
pub fn is_locked(msrs: &impl Msrs, has_arch_capabilities: bool) -> bool {
    has_arch_capabilities
        && msrs.read(IA32_ARCH_CAPABILITIES) & XAPIC_DISABLE_STATUS != 0
        && msrs.read(IA32_XAPIC_DISABLE_STATUS) & 1 != 0
}

/// What there is to choose from.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// CPUID leaf 1, EDX bit 9. Also 0 on a CPU whose APIC is disabled: then there is none.
    pub apic: bool,
    /// CPUID leaf 1, ECX bit 21.
    pub x2apic: bool,
    /// Mode that the firmware has left.
    pub now: Mode,
    pub locked: bool,
    /// The command line says `nox2apic`.
    pub nox2apic: bool,
}

/// The mode to use, and why, for the boot log.
pub const fn choose(offer: Offer) -> (Mode, &'static str) {
    match offer {
        Offer { apic: false, .. } => (Mode::Disabled, "the CPU has none"),
        Offer { nox2apic: true, locked: true, now: Mode::X2Apic, .. } => {
            (Mode::X2Apic, "the firmware has locked it, nox2apic cannot be had")
        }
        Offer { nox2apic: true, .. } => (Mode::XApic, "nox2apic"),
        Offer { x2apic: true, .. } => (Mode::X2Apic, "the CPU has it"),
        _ => (Mode::XApic, "the CPU has no x2APIC"),
    }
}
