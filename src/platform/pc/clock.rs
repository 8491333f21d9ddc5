//! The clock: which counter of this machine is the time, at what rate, and the time of day.
//!
//! `time::choice` chooses and `time::clock` computes; here are the chips. The TSC's rate is what CPUID states, or is
//! measured against the best other counter for [`COARSE_NS`]; where there is no other, it is what the loader found
//! with the firmware's help.

use super::{acpi, memory};
use crate::acpi::gas::{Gas, Space};
use crate::acpi::{self as tables, Signature};
use crate::arch::x86_64::access::{MappedRegisters, Ports, RealPorts};
use crate::arch::x86_64::cpu::{self, Features};
use crate::arch::x86_64::hpet::Hpet;
use crate::arch::x86_64::pmtimer::{PmTimer, Width};
use crate::arch::x86_64::rtc::Rtc;
use crate::arch::x86_64::{tsc, tsc_rate};
use crate::platform::Cache;
use crate::time::calibrate::coarse;
use crate::time::choice::{self, Found, Tsc};
use crate::time::clock::{Clock, Timebase};
use crate::time::counter::{Counter, Counters, Source};
use crate::time::date::DateTime;
use crate::time::rate::Rate;
use crate::time::wall::WallClock;
use core::sync::atomic::{AtomicU16, Ordering};
use log::{info, warn};
use spin::Once;

/// How long the TSC is measured at boot.
const COARSE_NS: u64 = 5_000_000;
/// The ACPI PM timer's rate (ACPI 6.5 §4.8.2.1).
const PM_TIMER_HZ: u64 = 3_579_545;
/// Bytes of the HPET's registers.
const HPET_WINDOW: u32 = 0x400;

/// The counters that were found.
struct Chips {
    hpet: Once<Hpet<MappedRegisters>>,
    pm_timer: Once<PmTimer<fn() -> u32>>,
}

static CHIPS: Chips = Chips { hpet: Once::new(), pm_timer: Once::new() };
static CLOCK: Clock = Clock::new();
static WALL: WallClock = WallClock::new();
/// The PM timer's port.
static PM_PORT: AtomicU16 = AtomicU16::new(0);

/// What the command line says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub nohpet: bool,
    pub notsc: bool,
}

impl Counters for Chips {
    #[inline(always)]
    fn read(&self, source: Source) -> u64 {
        match source {
            Source::Tsc => tsc::read_ordered(),
            Source::Hpet => self.hpet.get().map_or(0, Hpet::count),
            Source::PmTimer => self.pm_timer.get().map_or(0, PmTimer::count),
            // Not offered to the choice: it is the timer of machines without a local APIC.
            Source::Pit => 0,
        }
    }
}

/// One of the chips, as `time::calibrate` wants it.
struct Chip {
    source: Source,
    rate: Option<Rate>,
    width_bits: u32,
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

impl Chip {
    fn of(source: Source, tsc_rate: Option<Rate>) -> Self {
        let (rate, width_bits) = match source {
            Source::Tsc | Source::Pit => (tsc_rate, 64),
            Source::Hpet => {
                let hpet = CHIPS.hpet.get();
                let rate = hpet.and_then(|hpet| Rate::from_period_fs(hpet.period_fs().into()));
                (rate, hpet.map_or(64, Hpet::width_bits))
            }
            Source::PmTimer => {
                (Rate::from_hz(PM_TIMER_HZ), CHIPS.pm_timer.get().map_or(24, |timer| timer.width().bits()))
            }
        };
        Self { source, rate, width_bits }
    }
}

/// Finds the counters, chooses, measures, starts the clock at `start_ns`, and says so in one line.
/// `loader_hz`: the TSC's rate as the loader estimated it, 0 if it could not.
pub fn init(options: Options, loader_hz: u64, start_ns: u64) {
    let ask = |leaf, subleaf| {
        let r = cpu::cpuid(leaf, subleaf);
        [r.eax, r.ebx, r.ecx, r.edx]
    };
    let hpet = find_hpet();
    let pm_timer = find_pm_timer();
    let stated = tsc_rate::stated(&ask).ok().and_then(|stated| Rate::from_hz(stated.hz));
    // With nothing to measure it by, the firmware's word has to do.
    let nothing_else = matches!(hpet, choice::Hpet::Absent) && pm_timer.is_none();
    let known = stated.or(if nothing_else { Rate::from_hz(loader_hz) } else { None });
    let found = Found {
        tsc: match Features::detect().contains(Features::TSC) {
            true => Tsc::Present { invariant: tsc_rate::is_invariant(&ask), states_rate: known.is_some() },
            false => Tsc::Absent,
        },
        hpet,
        pm_timer,
        pit: false,
        nohpet: options.nohpet,
        notsc: options.notsc,
    };
    let Some(choice) = choice::choose(&found) else {
        warn!(target: "clock", "nothing counts but the TSC, at a rate that nobody knows");
        return;
    };
    let mut chip = Chip::of(choice.clock, known);
    if let Some(by) = choice.measured_by {
        match coarse(&chip, &Chip::of(by, None), COARSE_NS) {
            Ok(measured) => {
                chip.rate = Some(measured.estimate.rate);
                info!(
                    target: "clock",
                    "TSC {} Hz, measured by {by}, within {} ppm",
                    measured.estimate.rate.hz(),
                    measured.estimate.error_ppm()
                );
            }
            Err(error) => {
                warn!(target: "clock", "measuring by {by}: {error}; the loader's estimate serves");
                chip.rate = Rate::from_hz(loader_hz);
            }
        }
    }
    let Some(rate) = chip.rate else {
        warn!(target: "clock", "{choice}: of unknown rate");
        return;
    };
    let timebase = Timebase { source: chip.source, rate, width_bits: chip.width_bits };
    if CLOCK.start(&CHIPS, timebase, start_ns).is_ok() {
        let by_loader = chip.source == Source::Tsc && choice.measured_by.is_none() && stated.is_none();
        if by_loader {
            info!(target: "clock", "TSC, at the rate that the loader estimated: nothing else counts");
        } else {
            info!(target: "clock", "{choice}");
        }
    }
    set_wall_clock();
}

/// Nanoseconds since the kernel's entry; never less than an earlier answer. 0 before [`init`].
#[inline]
pub fn now_ns() -> u64 {
    CLOCK.now_ns(&CHIPS)
}

/// The TSC's rate, if the TSC is the clock.
pub fn tsc_rate() -> Option<Rate> {
    CLOCK.timebase().filter(|timebase| timebase.source == Source::Tsc).map(|timebase| timebase.rate)
}

/// What counts, and the longest time between two calls of [`refresh`]; `None` before [`init`].
pub fn max_gap_ns() -> Option<u64> {
    CLOCK.timebase().map(|timebase| timebase.max_gap_ns())
}

/// Notes the count before the counter comes round.
pub fn refresh() {
    // Busy: another refresh is under way, which does as well.
    let _ = CLOCK.refresh(&CHIPS);
}

/// Nanoseconds since 1970, UTC; `None` if the machine has no clock for the time of day.
pub fn unix_ns() -> Option<i64> {
    WALL.is_set().then(|| WALL.unix_ns(now_ns()))
}

/// Every counter there is, now: for comparing them.
pub fn for_each_counter(visit: &mut dyn FnMut(Source, u64, Option<u64>)) {
    let tsc = tsc_rate();
    let there = [true, CHIPS.hpet.get().is_some(), CHIPS.pm_timer.get().is_some()];
    for (source, _) in
        [Source::Tsc, Source::Hpet, Source::PmTimer].into_iter().zip(there).filter(|(_, is)| *is)
    {
        visit(source, CHIPS.read(source), Chip::of(source, tsc).rate.map(Rate::hz));
    }
}

fn set_wall_clock() {
    let century = acpi::fadt().map_or(0, |fadt| fadt.century);
    // SAFETY: the RTC's two ports are this module's alone.
    match Rtc::new(unsafe { RealPorts::new() }, century).now() {
        Ok(now) => {
            let unix_ns =
                i64::try_from(now.to_unix()).ok().and_then(|seconds| seconds.checked_mul(1_000_000_000));
            if let Some(unix_ns) = unix_ns {
                WALL.set(unix_ns, now_ns());
                info!(target: "clock", "it is {}", DateTime::from_unix_ns(unix_ns));
            }
        }
        Err(error) => warn!(target: "clock", "{error}"),
    }
}

fn find_hpet() -> choice::Hpet {
    let table = acpi::tables().and_then(|tables| tables.find(Signature::HPET));
    let Some(found) = table.and_then(|table| tables::Hpet::parse(&table).ok()) else {
        return choice::Hpet::Absent;
    };
    if found.base.space != Space::Memory {
        return choice::Hpet::Absent;
    }
    let Ok(virt) = memory::map_device(found.base.address, HPET_WINDOW.into(), Cache::Uncached) else {
        return choice::Hpet::Absent;
    };
    // SAFETY: just mapped, uncached, for good; the HPET is this module's.
    let registers = unsafe { MappedRegisters::new(virt as usize, HPET_WINDOW) };
    match Hpet::start(registers) {
        Ok(hpet) => {
            let width_bits = CHIPS.hpet.call_once(|| hpet).width_bits();
            choice::Hpet::Present { width_bits }
        }
        Err(error) => {
            warn!(target: "clock", "{error}");
            choice::Hpet::Stuck
        }
    }
}

fn find_pm_timer() -> Option<u32> {
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
        Ok(timer) => Some(CHIPS.pm_timer.call_once(|| timer).width().bits()),
        Err(error) => {
            warn!(target: "clock", "{error}");
            None
        }
    }
}
