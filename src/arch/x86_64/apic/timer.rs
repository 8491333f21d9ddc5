//! The local APIC's timer: a 32-bit counter that counts down, or a comparator with the TSC.
//!
//! | mode         | LVT bits 17, 18 | armed by          | fires                                      |
//! |--------------|-----------------|-------------------|--------------------------------------------|
//! | one-shot     | 0 (0h)          | the initial count | once, when it has counted down to 0        |
//! | periodic     | 1 (20000h)      | the initial count | each time, and starts over                 |
//! | TSC-deadline | 2 (40000h)      | an MSR            | once, when the TSC is at or past its value |
//!
//! (Bit 16, 10000h, is the mask in each of them.)
//!
//! Invariants: what is armed fires. 0 would mean "off" in the initial count and in the deadline alike, so a time that is
//! due already becomes 1. In the deadline mode a fence stands between the LVT and the MSR, which are not
//! ordered otherwise. A new mode starts from a stopped timer.
//!
//! Source: Intel SDM vol. 3 §10.5.4 and §10.5.4.1.

use super::registers::{IA32_TSC_DEADLINE, Lvt, LvtEntry, Register};
use super::{Lapic, LvtError};
use crate::arch::x86_64::access::{Mmio32, Msrs};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimerMode {
    OneShot,
    Periodic,
    /// Only where CPUID leaf 1 has ECX bit 24.
    TscDeadline,
}

impl TimerMode {
    const fn bits(self) -> u32 {
        match self {
            Self::OneShot => 0,
            Self::Periodic => 1 << 17,
            Self::TscDeadline => 2 << 17,
        }
    }

    /// Of an LVT entry; `None` for the reserved one.
    const fn of(entry: LvtEntry) -> Option<Self> {
        match entry.bits() >> 17 & 3 {
            0 => Some(Self::OneShot),
            1 => Some(Self::Periodic),
            2 => Some(Self::TscDeadline),
            _ => None,
        }
    }
}

/// By what the input clock is divided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Divider {
    By1,
    By2,
    By4,
    By8,
    By16,
    By32,
    By64,
    By128,
}

impl Divider {
    pub const ALL: [Self; 8] =
        [Self::By1, Self::By2, Self::By4, Self::By8, Self::By16, Self::By32, Self::By64, Self::By128];

    pub const fn factor(self) -> u32 {
        1 << self as u32
    }

    /// Divide configuration (figure 10-10): bits 0, 1 and 3, with "by 1" last, as 111.
    const fn bits(self) -> u32 {
        let code = (self as u32).wrapping_sub(1) & 7;
        code & 3 | (code & 4) << 1
    }
}

impl<M: Mmio32, S: Msrs> Lapic<M, S> {
    /// Chooses what the timer does when it fires, and stops it. Interrupts are off.
    pub fn timer_setup(&self, mode: TimerMode, vector: u8, divider: Divider) -> Result<(), LvtError> {
        self.timer_disarm();
        self.write(Register::DIVIDE, divider.bits());
        self.set_lvt(Lvt::Timer, LvtEntry::fixed(vector).with_timer_mode(mode.bits()))?;
        if mode == TimerMode::TscDeadline {
            // "After writing the LVT, a MFENCE ... before the WRMSR to IA32_TSC_DEADLINE" (§10.5.4.1).
            self.msrs().fence();
        }
        Ok(())
    }

    /// One-shot: fires `count` ticks from now. Periodic: that, and from then on every `count` ticks.
    #[inline]
    pub fn timer_arm(&self, count: u32) {
        self.write(Register::INITIAL_COUNT, count.max(1));
    }

    /// TSC-deadline: fires as soon as the TSC is at or past `tsc`.
    #[inline]
    pub fn timer_arm_deadline(&self, tsc: u64) {
        self.msrs().write(IA32_TSC_DEADLINE, tsc.max(1));
    }

    /// Stops the timer, in whichever mode it is. An interrupt that has been requested already still comes.
    pub fn timer_disarm(&self) {
        let entry = LvtEntry::from_bits(self.read(Lvt::Timer.register()));
        if TimerMode::of(entry) == Some(TimerMode::TscDeadline) {
            self.msrs().fence();
            self.msrs().write(IA32_TSC_DEADLINE, 0);
        } else {
            self.write(Register::INITIAL_COUNT, 0);
        }
    }

    /// Ticks to go; 0 if it is stopped, has fired, or is in TSC-deadline mode.
    pub fn timer_count(&self) -> u32 {
        self.read(Register::CURRENT_COUNT)
    }

    /// Lets it run from its largest count down, without an interrupt: to be measured.
    /// The ticks that have passed since are [`Lapic::timer_elapsed`].
    pub fn timer_free_run(&self, divider: Divider) -> Result<(), LvtError> {
        self.timer_disarm();
        self.write(Register::DIVIDE, divider.bits());
        // A legal vector, masked or not: 0 would be reported as an error.
        self.set_lvt(Lvt::Timer, LvtEntry::fixed(0xFF).masked())?;
        self.write(Register::INITIAL_COUNT, u32::MAX);
        Ok(())
    }

    /// Ticks since [`Lapic::timer_free_run`]: what it can be measured by. Stays at its end, 2^32 - 1, when the
    /// timer has run out.
    pub fn timer_elapsed(&self) -> u64 {
        u64::from(u32::MAX - self.timer_count())
    }
}
