//! Commands about time.

use super::{Call, Result};
use crate::kernel::image::Named;
use crate::monitor::parse::{self, Problem};
use crate::platform::pc::clock::compare::{self, Passed, Snapshot, Steps};
use crate::platform::pc::clock::{self, upkeep};
use crate::platform::{Machine, Platform, timers};
use crate::task;
use crate::time::date::DateTime;

/// Nanoseconds, printed as seconds.
struct Seconds(u64);

impl core::fmt::Display for Seconds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{:06} s", self.0 / 1_000_000_000, self.0 / 1000 % 1_000_000)
    }
}

pub fn uptime<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let _ = writeln!(call.out, "  {}", Seconds(Machine::now_ns()));
    Ok(())
}

pub fn date<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let _ = match Machine::unix_ns().map(DateTime::from_unix_ns) {
        Some(date) => writeln!(call.out, "  {date}"),
        None => writeln!(call.out, "  this machine does not know"),
    };
    Ok(())
}

pub fn sleep<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let word = call.words.next().ok_or(Problem::Missing("SECONDS"))?;
    call.words.end()?;
    let ns = parse::seconds(word).ok_or(Problem::NotANumber(word))?;
    let start = Machine::now_ns();
    sleep_for(ns);
    let _ = writeln!(call.out, "  slept {}", Seconds(Machine::now_ns() - start));
    Ok(())
}

fn sleep_for(ns: u64) {
    task::sleep_until(Machine::now_ns().saturating_add(ns));
}

pub fn timers<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let out = &mut *call.out;
    let now = Machine::now_ns();
    timers::for_each(&mut |cpu, armed| {
        let left = Seconds(armed.deadline_ns.saturating_sub(now));
        let _ = writeln!(out, "  cpu {cpu}, in {left}: {}", Named(armed.callback as usize as u64));
    });
    if let Some((ticks, ns)) = timers::ticks() {
        let _ = writeln!(out, "  {ticks} ticks in {}", Seconds(ns));
    }
    compare::for_each_counter(&mut |source, count, bits, rate| {
        let _ = match rate {
            Some(rate) => writeln!(out, "  {source}: {count}, {bits} bits at {} Hz", rate.hz()),
            None => writeln!(out, "  {source}: {count}, {bits} bits"),
        };
    });
    Ok(())
}

/// `clocks`: the counters against the clock; its other two words are for tests.
pub fn clocks<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let word = call.words.next().unwrap_or("1");
    match word {
        "reads" => {
            let word = call.words.next().ok_or(Problem::Missing("N"))?;
            call.words.end()?;
            let reads = word.parse().map_err(|_| Problem::NotANumber(word))?;
            count_steps(call, reads);
        }
        "stray" => {
            let word = call.words.next().ok_or(Problem::Missing("PPM"))?;
            call.words.end()?;
            let ppm = word.parse::<i32>().map_err(|_| Problem::NotANumber(word))?;
            let _ = if upkeep::stray(ppm.into()) {
                writeln!(call.out, "  the clock takes the TSC for another by {ppm} ppm")
            } else {
                writeln!(call.out, "  the TSC is not the clock")
            };
        }
        seconds => {
            call.words.end()?;
            let ns = parse::seconds(seconds).ok_or(Problem::NotANumber(seconds))?;
            compare_over(call, ns);
        }
    }
    Ok(())
}

fn count_steps(call: &mut Call<'_, '_>, reads: u64) {
    let Some(steps) = compare::count_steps(reads) else {
        let _ = writeln!(call.out, "  no clock, or no timer is free");
        return;
    };
    let Steps { back, largest_ns, changes, took_ns } = steps;
    let _ = writeln!(call.out, "  {reads} reads in {}, {changes} changes of the rate", Seconds(took_ns));
    let _ = writeln!(call.out, "  {back} steps back, the largest of {largest_ns} ns");
}

fn compare_over(call: &mut Call<'_, '_>, ns: u64) {
    let out = &mut *call.out;
    let Some(source) = clock::source() else {
        let _ = writeln!(out, "  there is no clock");
        return;
    };
    let start = Snapshot::take();
    let start_ns = Machine::now_ns();
    sleep_for(ns);
    let end = Snapshot::take();
    let _ = writeln!(out, "  {source}, the clock: {}", Seconds(Machine::now_ns() - start_ns));
    start.until(&end, &mut |source, passed| {
        let _ = match passed {
            Passed::Time { ns, clock_ns } => {
                let tenths =
                    (i128::from(ns) - i128::from(clock_ns)) * 10_000_000 / i128::from(clock_ns.max(1));
                let sign = if tenths < 0 { '-' } else { '+' };
                let size = tenths.unsigned_abs();
                writeln!(out, "  {source}: {}, {sign}{}.{} ppm", Seconds(ns), size / 10, size % 10)
            }
            Passed::Rate(rate) => writeln!(out, "  {source}: {} Hz by the clock", rate.hz()),
        };
    });
    let _ = match start.rtc_until(&end) {
        Some((seconds, clock_ns)) => writeln!(out, "  RTC: {seconds} s in {}", Seconds(clock_ns)),
        None => writeln!(out, "  RTC: cannot be read"),
    };
}
