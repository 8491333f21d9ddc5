//! The clock: which counter of this machine is the time, at what rate, and the time of day.
//!
//! `time::choice` chooses and `time::clock` computes; [`chips`] has the counters. The TSC's rate is measured against
//! the best other counter for [`COARSE_NS`]. What CPUID states is preferred, if the measurement bears it out. What
//! goes on behind the clock's back, once there are timers, is in [`upkeep`]: the rate gets better, the TSC is
//! watched, a narrow counter is read before it comes round. [`compare`] is for looking at all that.

pub mod chips;
pub mod compare;
pub mod upkeep;

use super::acpi;
use crate::arch::x86_64::access::RealPorts;
use crate::arch::x86_64::cpu::{self, Features};
use crate::arch::x86_64::rtc::{Rtc, RtcError};
use crate::arch::x86_64::tsc_rate::{self, TscRate};
use crate::sync::{IrqLock, Rank};
use crate::time::calibrate::{Coarse, coarse};
use crate::time::choice::{self, Choice, Found, Tsc};
use crate::time::clock::{Busy, Clock, Timebase};
use crate::time::counter::Source;
use crate::time::date::DateTime;
use crate::time::page::ClockPage;
use crate::time::rate::Rate;
use crate::time::wall::WallClock;
use chips::{CHIPS, Chip};
use core::sync::atomic::{AtomicBool, Ordering};
use log::{info, warn};
use spin::Once;

/// How long the TSC is measured at boot.
const COARSE_NS: u64 = 5_000_000;

static CLOCK: Clock = Clock::new();
static WALL: WallClock = WallClock::new();
/// Somebody is changing one of the two.
static CHANGING: AtomicBool = AtomicBool::new(false);
/// Where programs read both.
static PAGE: Once<&'static ClockPage> = Once::new();
static RTC: IrqLock<Option<Rtc<RealPorts>>> = IrqLock::new(Rank::Rtc, None);

/// What the command line says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub nohpet: bool,
    pub notsc: bool,
}

/// Finds the counters, chooses, measures, starts the clock where the log's time is, and says so.
/// `loader_hz`: the TSC's rate as the loader estimated it, 0 if it could not.
pub fn init(options: Options, loader_hz: u64) {
    let mut found = Found {
        tsc: Tsc::Absent,
        hpet: chips::find_hpet(options.nohpet),
        pm_timer: chips::find_pm_timer(),
        pit: false,
        nohpet: options.nohpet,
        notsc: options.notsc,
    };
    // Only where nothing else counts: three port accesses a read are as slow as clocks get.
    found.pit = found.measure().is_none() && chips::find_pit();
    let mut tsc = Chip::of(Source::Tsc);
    let mut measured = None;
    if Features::detect().contains(Features::TSC) {
        (found.tsc, tsc.rate, measured) =
            if options.notsc { (Tsc::Unmeasured, None, None) } else { measure_tsc(&found) };
    }
    let choice = choice::choose(&found);
    let chip = choice.map(|choice| if choice.clock == Source::Tsc { tsc } else { Chip::of(choice.clock) });
    if let (Some(choice), Some(timebase)) = (choice, chip.and_then(|chip| chip.timebase())) {
        start(timebase);
        info!(target: "clock", "{choice}");
        upkeep::prepare(found, &choice, measured);
    } else if let Some(rate) = Rate::from_hz(loader_hz).filter(|_| !options.notsc) {
        start(Timebase { source: Source::Tsc, rate, width_bits: tsc.width_bits });
        warn!(target: "clock", "TSC, at {loader_hz} Hz by the loader's estimate: there is nothing to measure it by");
    } else {
        warn!(target: "clock", "none: nothing counts at a rate that is known");
        return;
    }
    set_wall_clock();
}

/// The TSC's rate, stated or measured.
fn measure_tsc(found: &Found) -> (Tsc, Option<Rate>, Option<Coarse>) {
    let ask = |leaf, subleaf| {
        let r = cpu::cpuid(leaf, subleaf);
        [r.eax, r.ebx, r.ecx, r.edx]
    };
    let invariant = tsc_rate::is_invariant(&ask);
    let stated = tsc_rate::stated(&ask).ok();
    let measured =
        found.measure().and_then(|by| match coarse(&Chip::of(Source::Tsc), &Chip::of(by), COARSE_NS) {
            Ok(coarse) => {
                let estimate = coarse.estimate;
                info!(
                    target: "clock",
                    "TSC {} Hz, measured by {by}, within {} ppm",
                    estimate.rate.hz(),
                    estimate.error_ppm()
                );
                Some(coarse)
            }
            Err(error) => {
                warn!(target: "clock", "measuring the TSC by {by}: {error}");
                None
            }
        });
    let estimate = measured.as_ref().map(|coarse| &coarse.estimate);
    match tsc_rate::decide(stated, estimate) {
        None => (Tsc::Unmeasured, None, None),
        Some(TscRate { source: tsc_rate::Source::Measured, .. }) => {
            if let Some(stated) = stated {
                let source = stated.source.name();
                warn!(target: "clock", "{source} says {} Hz, which is not what it does", stated.hz);
            }
            let tsc = Tsc::Present { invariant, states_rate: false };
            // Not the whole hertz that were decided about.
            (tsc, estimate.map(|estimate| estimate.rate), measured)
        }
        Some(stated) => (Tsc::Present { invariant, states_rate: true }, Rate::from_hz(stated.hz), None),
    }
}

/// Changes the clock, as all do who change it: programs that read the clock page ask the kernel meanwhile.
fn change(how: impl FnOnce(&Clock) -> Result<(), Busy>) -> Result<(), Busy> {
    if CHANGING.swap(true, Ordering::Acquire) {
        return Err(Busy);
    }
    let page = PAGE.get().and_then(|page| page.begin());
    let result = how(&CLOCK);
    if let Some(page) = page {
        page.end(CLOCK.line(), WALL.offset_ns());
    }
    CHANGING.store(false, Ordering::Release);
    result
}

/// From here on the clock is shown on this page, which programs can read. Once; not from interrupts.
pub fn show_on(page: &'static ClockPage) {
    while CHANGING.swap(true, Ordering::Acquire) {
        core::hint::spin_loop();
    }
    if let Some(change) = PAGE.call_once(|| page).begin() {
        change.end(CLOCK.line(), WALL.offset_ns());
    }
    CHANGING.store(false, Ordering::Release);
}

/// Sets the time of day. Not from interrupts: it waits for a change of the clock that is under way.
pub fn set_unix_ns(unix_ns: i64) {
    while change(|_| {
        WALL.set(unix_ns, now_ns());
        Ok(())
    })
    .is_err()
    {
        core::hint::spin_loop();
    }
}

/// Starts the clock. The log's lines go by it from here on: their time goes on from where it was.
fn start(timebase: Timebase) {
    if change(|clock| clock.start(&CHIPS, timebase, crate::log::now_ns())).is_ok() {
        crate::log::follow(now_ns);
    }
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

/// The HPET, if it may be used.
pub fn hpet() -> Option<&'static chips::Hpet> {
    CHIPS.hpet()
}

/// Nanoseconds since 1970, UTC; `None` if the machine has no clock for the time of day.
pub fn unix_ns() -> Option<i64> {
    WALL.is_set().then(|| WALL.unix_ns(now_ns()))
}

/// What the RTC shows.
fn read_rtc() -> Result<DateTime, RtcError> {
    RTC.lock().as_mut().map_or(Err(RtcError::Absent), Rtc::now)
}

fn set_wall_clock() {
    let century = acpi::fadt().map_or(0, |fadt| fadt.century);
    // SAFETY: the RTC's two ports are this module's alone.
    *RTC.lock() = Some(Rtc::new(unsafe { RealPorts::new() }, century));
    match read_rtc() {
        Ok(now) => {
            if let Some(unix_ns) = now.unix_ns() {
                set_unix_ns(unix_ns);
                info!(target: "clock", "it is {now}");
            }
        }
        Err(error) => warn!(target: "clock", "{error}"),
    }
}

/// What the clock is, for display.
pub fn source() -> Option<Source> {
    CLOCK.timebase().map(|timebase| timebase.source)
}

/// For the sake of [`upkeep::prepare`]: who measured the TSC, if its rate is not known otherwise.
fn measured_by(choice: &Choice) -> Option<Source> {
    choice.measured_by.filter(|_| choice.clock == Source::Tsc)
}
