//! The counters of this machine: found, and read by name.
//!
//! Each is found once, before the clock starts, and from then on read by anybody: in interrupt handlers and NMIs, too.
//! For the PIT, whose count is read in three port accesses, that takes a lock; who finds it taken gets the last count
//! that was read, so that time stands for a moment and does not wait.
//!
//! Source: IA-PC HPET specification 1.0a §3.2.4 (the ACPI table); ACPI 6.5 §4.8.3.3 (PM timer).

use super::super::{acpi, memory};
use crate::acpi::gas::{Gas, Space};
use crate::acpi::{self as tables, Signature};
use crate::arch::x86_64::access::{MappedRegisters, Ports, RealPorts};
use crate::arch::x86_64::hpet::{self, HpetError};
use crate::arch::x86_64::pit::{self, Stopwatch};
use crate::arch::x86_64::pmtimer::{PmTimer, Width};
use crate::arch::x86_64::tsc;
use crate::platform::Cache;
use crate::sync::{IrqLock, Rank};
use crate::time::choice;
use crate::time::clock::Timebase;
use crate::time::counter::{Counter, Counters, Source};
use crate::time::rate::Rate;
use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use log::warn;
use spin::Once;

/// The HPET, as this kernel reaches it.
pub type Hpet = hpet::Hpet<MappedRegisters>;

/// The counters that were found. The TSC is always there.
pub struct Chips {
    hpet: Once<Hpet>,
    pm_timer: Once<PmTimer<fn() -> u32>>,
    pit: IrqLock<Option<Stopwatch<RealPorts>>>,
    /// The PIT's count when it was last read.
    pit_last: AtomicU64,
}

pub static CHIPS: Chips = Chips {
    hpet: Once::new(),
    pm_timer: Once::new(),
    pit: IrqLock::new(Rank::Pit, None),
    pit_last: AtomicU64::new(0),
};
/// The PM timer's port.
static PM_PORT: AtomicU16 = AtomicU16::new(0);

impl Counters for Chips {
    #[inline(always)]
    fn read(&self, source: Source) -> u64 {
        match source {
            Source::Tsc => tsc::read_ordered(),
            Source::Hpet => self.hpet.get().map_or(0, Counter::read),
            Source::PmTimer => self.pm_timer.get().map_or(0, Counter::read),
            Source::Pit => self.pit_count(),
        }
    }
}

impl Chips {
    /// Stored before the lock is given back: a reader that finds it taken gets no less than any that is done.
    fn pit_count(&self) -> u64 {
        let Some(mut pit) = self.pit.try_lock() else { return self.pit_last.load(Ordering::Relaxed) };
        let count = pit.as_mut().map_or(0, |pit| u64::from(pit.count()));
        self.pit_last.store(count, Ordering::Relaxed);
        count
    }

    /// The HPET, if there is one that works and may be used.
    pub fn hpet(&self) -> Option<&Hpet> {
        self.hpet.get()
    }

    pub fn has(&self, source: Source) -> bool {
        match source {
            Source::Tsc => true,
            Source::Hpet => self.hpet.get().is_some(),
            Source::PmTimer => self.pm_timer.get().is_some(),
            Source::Pit => self.pit.lock().is_some(),
        }
    }
}

/// One of the counters, with what it states of itself.
#[derive(Clone, Copy)]
pub struct Chip {
    pub source: Source,
    /// `None` for the TSC.
    pub rate: Option<Rate>,
    pub width_bits: u32,
}

impl Chip {
    pub fn of(source: Source) -> Self {
        let (rate, width_bits) = match source {
            Source::Tsc => (None, 64),
            Source::Hpet => CHIPS.hpet.get().map_or((None, 64), |hpet| (hpet.rate(), hpet.width_bits())),
            Source::PmTimer => {
                CHIPS.pm_timer.get().map_or((None, 24), |timer| (timer.rate(), timer.width_bits()))
            }
            Source::Pit => (Some(pit::rate()), 16),
        };
        Self { source, rate, width_bits }
    }

    /// As a clock's base; `None` while nobody knows its rate.
    pub fn timebase(&self) -> Option<Timebase> {
        let Self { source, rate, width_bits } = *self;
        Some(Timebase { source, rate: rate?, width_bits })
    }
}

impl Counter for Chip {
    fn read(&self) -> u64 {
        CHIPS.read(self.source)
    }

    fn rate(&self) -> Option<Rate> {
        self.rate
    }

    fn width_bits(&self) -> u32 {
        self.width_bits
    }
}

/// Finds the HPET, and starts it unless it is to be left alone.
pub fn find_hpet(nohpet: bool) -> choice::Hpet {
    let table = acpi::tables().and_then(|tables| tables.find(Signature::HPET));
    let Some(found) = table.and_then(|table| tables::Hpet::parse(&table).ok()) else {
        return choice::Hpet::Absent;
    };
    if found.base.space != Space::Memory {
        return choice::Hpet::Absent;
    }
    if nohpet {
        return choice::Hpet::Untouched;
    }
    let Ok(virt) = memory::map_device(found.base.address, hpet::BYTES.into(), Cache::Uncached) else {
        return choice::Hpet::Absent;
    };
    // SAFETY: just mapped, uncached, for good; the HPET is this module's.
    let registers = unsafe { MappedRegisters::new(virt as usize, hpet::BYTES) };
    match Hpet::start(registers) {
        Ok(hpet) => choice::Hpet::Present { width_bits: CHIPS.hpet.call_once(|| hpet).width_bits() },
        Err(error) => {
            warn!(target: "clock", "{error}");
            match error {
                HpetError::Period(fs) => choice::Hpet::BadPeriod(fs.into()),
                HpetError::Absent => choice::Hpet::Absent,
                _ => choice::Hpet::Stuck,
            }
        }
    }
}

/// Finds the PM timer; its width.
pub fn find_pm_timer() -> Option<u32> {
    let fadt = acpi::fadt().filter(|fadt| !fadt.is_hw_reduced())?;
    let timer = fadt.pm_timer?;
    let Gas { space: Space::Io, address, .. } = timer.register else { return None };
    PM_PORT.store(u16::try_from(address).ok()?, Ordering::Relaxed);
    let read: fn() -> u32 = || {
        // SAFETY: the port is the PM timer's, as the FADT says; reading it changes nothing.
        unsafe { RealPorts::new() }.read32(PM_PORT.load(Ordering::Relaxed))
    };
    let width = if timer.is_32_bit { Width::Bits32 } else { Width::Bits24 };
    match PmTimer::start(read, width, false) {
        Ok(timer) => Some(CHIPS.pm_timer.call_once(|| timer).width_bits()),
        Err(error) => {
            warn!(target: "clock", "{error}");
            None
        }
    }
}

/// Starts the PIT's counter 2; false if it does not count.
pub fn find_pit() -> bool {
    // SAFETY: counter 2 and its gate are this module's alone, and the alarm's counter 0 is apart from it.
    let found = Stopwatch::start(unsafe { RealPorts::new() });
    let mut pit = CHIPS.pit.lock();
    *pit = found;
    pit.is_some()
}
