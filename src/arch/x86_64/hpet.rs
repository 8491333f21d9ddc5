//! The HPET: one counter that always runs, at 10 MHz or more, and comparators that interrupt when it reaches
//! a value.
//!
//! The ACPI table of the same name says where it is; who brings up the clocks makes an [`Hpet`] of it and reads it
//! through [`Counter`], anybody at any time. The comparators belong to one owner, who lets nobody else near them: it
//! is the alarm where there is no local APIC.
//!
//! Invariants:
//! * a period of 0 or above 100 ns is no HPET's, and is not divided by;
//! * the counter is written only while it stands still;
//! * all accesses are 32 bits wide: a wide counter is read upper half, lower half, upper half, since not every machine
//!   (QEMU before 9.1 under TCG is one that does not) takes a 64-bit read, or takes it in one piece;
//! * legacy replacement, which takes IRQ 0 and IRQ 8 away from the 8254 and the RTC, is on only where it was asked for:
//!   without I/O APICs it is the comparators' one way to the CPU;
//! * comparators are used with 32 bits, wide or not, so that one write sets them: a value set in two would match in
//!   between. They match again when 32 bits have wrapped, and some at the wrap: an interrupt is a hint to look
//!   at the clock, never proof;
//! * MSIs of its own (FSB delivery) are not used.
//!
//! Source: IA-PC HPET specification 1.0a, §2.3 "Register definitions", §2.4 "Theory of operation".

use super::access::Mmio32;
use super::line::Trigger;
use crate::time::counter::Counter;
use crate::time::rate::Rate;
use core::fmt;

/// Bytes of registers.
pub const BYTES: u32 = 0x400;

/// Offsets; each register has 64 bits, so its upper half is 4 further on.
mod reg {
    pub const CAPABILITIES: u32 = 0x000;
    pub const PERIOD_FS: u32 = 0x004;
    pub const CONFIGURATION: u32 = 0x010;
    pub const INTERRUPT_STATUS: u32 = 0x020;
    pub const COUNTER: u32 = 0x0F0;
    pub const COUNTER_HIGH: u32 = 0x0F4;

    pub const fn timer(n: u8) -> u32 {
        0x100 + 0x20 * n as u32
    }
    pub const fn routes(n: u8) -> u32 {
        timer(n) + 4
    }
    pub const fn comparator(n: u8) -> u32 {
        timer(n) + 8
    }
}

/// General configuration.
const ENABLE_CNF: u32 = 1 << 0;
const LEG_RT_CNF: u32 = 1 << 1;
/// General capabilities.
const COUNT_SIZE_CAP: u32 = 1 << 13;
const LEG_RT_CAP: u32 = 1 << 15;
/// Of a timer: level-triggered, interrupts on, periodic, can be periodic, 64 bits, the next write sets the
/// accumulator, use 32 bits, where to (5 bits), MSIs on, can do MSIs.
const INT_TYPE: u32 = 1 << 1;
const INT_ENB: u32 = 1 << 2;
const TYPE_PERIODIC: u32 = 1 << 3;
const PER_INT_CAP: u32 = 1 << 4;
const SIZE_CAP: u32 = 1 << 5;
const VAL_SET: u32 = 1 << 6;
const MODE_32: u32 = 1 << 8;
const ROUTE_SHIFT: u32 = 9;
const ROUTE: u32 = 0x1F << ROUTE_SHIFT;
const FSB_EN: u32 = 1 << 14;

/// "Must be less than or equal to 05F5_E100h", 100 ns.
const MAX_PERIOD_FS: u32 = 100_000_000;
/// How often the counter is read before it counts as standing. It moves within 100 ns, a read takes longer.
const SPINS: u32 = 10_000;
/// A comparator set this few ticks ahead is too late: the write may take its time to arrive.
const MIN_AHEAD: u32 = 64;
/// And this is as far ahead as it is set; half a turn would look like the past.
const MAX_AHEAD: u32 = 0x7FFF_FFFF;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HpetError {
    /// The capabilities read as ones or zeros.
    Absent,
    /// A period in femtoseconds that no HPET has.
    Period(u32),
    /// The counter does not move.
    Stopped,
    /// It has fewer comparators.
    NoSuchTimer(u8),
    /// The comparator cannot interrupt there; the ones that it can are in the mask.
    Route { irq: u8, routes: u32 },
    /// The comparator has no periodic mode.
    NotPeriodic,
    /// It cannot take the place of the 8254 and the RTC.
    NoLegacy,
}

impl fmt::Display for HpetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("HPET: nobody at its address"),
            Self::Period(fs) => write!(f, "HPET: a period of {fs} fs is none"),
            Self::Stopped => f.write_str("HPET: the counter stands still"),
            Self::NoSuchTimer(n) => write!(f, "HPET: no comparator {n}"),
            Self::Route { irq, routes } => {
                write!(f, "HPET: no way to I/O APIC line {irq}, only to {routes:#x}")
            }
            Self::NotPeriodic => f.write_str("HPET: the comparator has no periodic mode"),
            Self::NoLegacy => f.write_str("HPET: no legacy replacement"),
        }
    }
}

/// What a comparator can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Abilities {
    pub periodic: bool,
    /// It has 64 bits.
    pub wide: bool,
    /// Lines of the I/O APIC (bit n for n) that it can be routed to.
    pub routes: u32,
}

/// What became of an attempt to arm a comparator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Armed {
    /// It will interrupt when the time has come; or earlier, if that is more than 2^31 ticks away.
    Ahead,
    /// The time has come, or is too close: there may or may not be an interrupt. Act as if there had been one.
    Now,
}

/// The chip, its counter running.
#[derive(Debug)]
pub struct Hpet<M> {
    registers: M,
    rate: Rate,
    period_fs: u32,
    wide: bool,
    timers: u8,
}

impl<M: Mmio32> Hpet<M> {
    /// Looks whether there is one behind `registers`, and starts its counter from 0, comparators off.
    pub fn start(registers: M) -> Result<Self, HpetError> {
        let capabilities = registers.read(reg::CAPABILITIES);
        if capabilities == u32::MAX || capabilities == 0 {
            return Err(HpetError::Absent);
        }
        let period = registers.read(reg::PERIOD_FS);
        let rate = match Rate::from_period_fs(u64::from(period)) {
            Some(rate) if period <= MAX_PERIOD_FS => rate,
            _ => return Err(HpetError::Period(period)),
        };
        let wide = capabilities & COUNT_SIZE_CAP != 0;
        let timers = (capabilities >> 8 & 0x1F) as u8 + 1;
        let this = Self { registers, rate, period_fs: period, wide, timers };
        // Bits that are not ours, here and below, are kept: §2.3.1 asks for it.
        let configuration = this.registers.read(reg::CONFIGURATION) & !(ENABLE_CNF | LEG_RT_CNF);
        this.registers.write(reg::CONFIGURATION, configuration);
        for n in 0..timers {
            this.change(n, INT_ENB | TYPE_PERIODIC | FSB_EN, 0);
        }
        // Left over from level-triggered ones; written as ones to clear.
        this.registers.write(reg::INTERRUPT_STATUS, u32::MAX);
        this.registers.write(reg::COUNTER, 0);
        this.registers.write(reg::COUNTER_HIGH, 0);
        this.registers.write(reg::CONFIGURATION, configuration | ENABLE_CNF);
        if !this.moves() {
            this.registers.write(reg::CONFIGURATION, configuration);
            return Err(HpetError::Stopped);
        }
        Ok(this)
    }

    /// Stops the counter and everything that hangs on it.
    pub fn stop(self) {
        for n in 0..self.timers {
            self.change(n, INT_ENB, 0);
        }
        let configuration = self.registers.read(reg::CONFIGURATION);
        self.registers.write(reg::CONFIGURATION, configuration & !ENABLE_CNF);
    }

    fn moves(&self) -> bool {
        let start = self.low();
        (0..SPINS).any(|_| self.low() != start)
    }

    #[inline]
    fn low(&self) -> u32 {
        self.registers.read(reg::COUNTER)
    }

    /// All 64 bits. The upper half changes every 40 s at the most often, so two rounds are enough.
    fn wide(&self) -> u64 {
        let mut high = self.registers.read(reg::COUNTER_HIGH);
        for _ in 0..2 {
            let low = self.low();
            let again = self.registers.read(reg::COUNTER_HIGH);
            if again == high {
                return u64::from(high) << 32 | u64::from(low);
            }
            high = again;
        }
        u64::from(high) << 32
    }

    /// Femtoseconds in a tick; valid.
    pub const fn period_fs(&self) -> u32 {
        self.period_fs
    }

    /// How many comparators there are.
    pub const fn timers(&self) -> u8 {
        self.timers
    }

    fn check(&self, n: u8) -> Result<(), HpetError> {
        if n < self.timers { Ok(()) } else { Err(HpetError::NoSuchTimer(n)) }
    }

    pub fn abilities(&self, n: u8) -> Result<Abilities, HpetError> {
        self.check(n)?;
        let timer = self.registers.read(reg::timer(n));
        Ok(Abilities {
            periodic: timer & PER_INT_CAP != 0,
            wide: timer & SIZE_CAP != 0,
            routes: self.registers.read(reg::routes(n)),
        })
    }

    fn change(&self, n: u8, clear: u32, set: u32) {
        let old = self.registers.read(reg::timer(n));
        self.registers.write(reg::timer(n), old & !clear | set);
    }

    /// Comparator `n` will interrupt by line `irq` of the I/O APIC. It stays off.
    pub fn route(&self, n: u8, irq: u8, trigger: Trigger) -> Result<(), HpetError> {
        let routes = self.abilities(n)?.routes;
        let refused = HpetError::Route { irq, routes };
        if irq >= 32 || routes >> irq & 1 == 0 {
            return Err(refused);
        }
        let level = if matches!(trigger, Trigger::Level) { INT_TYPE } else { 0 };
        let ours = INT_ENB | TYPE_PERIODIC | FSB_EN | ROUTE | INT_TYPE;
        self.change(n, ours, u32::from(irq) << ROUTE_SHIFT | MODE_32 | level);
        // "If the value is not supported ... the value read back will not match what was written."
        let held = (self.registers.read(reg::timer(n)) & ROUTE) >> ROUTE_SHIFT;
        if held == u32::from(irq) { Ok(()) } else { Err(refused) }
    }

    /// Puts comparator 0 in the place of the 8254, as IRQ 0, and comparator 1 in that of the RTC's interrupt, as IRQ 8:
    /// at the 8259s, and at the I/O APIC's lines 2 and 8. Neither chip interrupts any more.
    pub fn replace_legacy(&self) -> Result<(), HpetError> {
        if self.registers.read(reg::CAPABILITIES) & LEG_RT_CAP == 0 {
            return Err(HpetError::NoLegacy);
        }
        for n in 0..2.min(self.timers) {
            self.change(n, INT_ENB | TYPE_PERIODIC | FSB_EN | INT_TYPE, MODE_32);
        }
        let configuration = self.registers.read(reg::CONFIGURATION);
        self.registers.write(reg::CONFIGURATION, configuration | LEG_RT_CNF);
        let held = self.registers.read(reg::CONFIGURATION) & LEG_RT_CNF != 0;
        if held { Ok(()) } else { Err(HpetError::NoLegacy) }
    }

    /// One interrupt `ahead` ticks from now. The comparator fires when the counter *is* at its value, not when it is
    /// past: the counter is read again after the write, and a comparator that came too late says so.
    pub fn arm(&self, n: u8, ahead: u64) -> Result<Armed, HpetError> {
        self.check(n)?;
        let ahead = u32::try_from(ahead).unwrap_or(MAX_AHEAD).min(MAX_AHEAD);
        let value = self.low().wrapping_add(ahead);
        self.registers.write(reg::comparator(n), value);
        self.change(n, TYPE_PERIODIC, INT_ENB | MODE_32);
        let left = value.wrapping_sub(self.low()) as i32;
        Ok(if left < MIN_AHEAD as i32 { Armed::Now } else { Armed::Ahead })
    }

    /// An interrupt every `period` ticks from now on.
    pub fn arm_periodic(&self, n: u8, period: u32) -> Result<(), HpetError> {
        if !self.abilities(n)?.periodic {
            return Err(HpetError::NotPeriodic);
        }
        let period = period.clamp(MIN_AHEAD, MAX_AHEAD);
        self.change(n, INT_ENB, TYPE_PERIODIC | VAL_SET | MODE_32);
        // VAL_SET: this write is the first match, and the next one what is added each time. Some chips need
        // a moment between the two.
        self.registers.write(reg::comparator(n), self.low().wrapping_add(period));
        self.moves();
        self.registers.write(reg::comparator(n), period);
        self.change(n, 0, INT_ENB);
        Ok(())
    }

    /// No more interrupts from comparator `n`; one that is on its way still comes.
    pub fn disarm(&self, n: u8) -> Result<(), HpetError> {
        self.check(n)?;
        self.change(n, INT_ENB, 0);
        Ok(())
    }

    /// For a level-triggered comparator: has it interrupted? If so, its line goes down.
    pub fn acknowledge(&self, n: u8) -> Result<bool, HpetError> {
        self.check(n)?;
        let active = self.registers.read(reg::INTERRUPT_STATUS) >> n & 1 != 0;
        if active {
            self.registers.write(reg::INTERRUPT_STATUS, 1 << n);
        }
        Ok(active)
    }
}

impl<M: Mmio32> Counter for Hpet<M> {
    #[inline]
    fn read(&self) -> u64 {
        if self.wide { self.wide() } else { u64::from(self.low()) }
    }

    fn rate(&self) -> Option<Rate> {
        Some(self.rate)
    }

    fn width_bits(&self) -> u32 {
        if self.wide { 64 } else { 32 }
    }
}

#[cfg(test)]
mod tests;
