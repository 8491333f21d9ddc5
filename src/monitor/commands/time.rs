//! Commands about time.

use super::{Call, Result};
use crate::kernel::idle;
use crate::kernel::image::Named;
use crate::monitor::parse::{self, Problem};
use crate::platform::pc::clock;
use crate::platform::{Machine, Platform, timers};
use crate::time::date::DateTime;
use core::sync::atomic::{AtomicBool, Ordering};

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
    let _ = if sleep_for(ns) {
        writeln!(call.out, "  slept {}", Seconds(Machine::now_ns() - start))
    } else {
        writeln!(call.out, "  no timer is free")
    };
    Ok(())
}

/// Sleeps; false if no timer was to be had.
fn sleep_for(ns: u64) -> bool {
    static DONE: AtomicBool = AtomicBool::new(false);
    DONE.store(false, Ordering::Relaxed);
    let end = Machine::now_ns().saturating_add(ns);
    let armed = timers::at(end, |_| DONE.store(true, Ordering::Relaxed), 0).is_ok();
    if armed {
        idle::wait_until(|| DONE.load(Ordering::Relaxed));
    }
    armed
}

pub fn timers<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let out = &mut *call.out;
    let now = Machine::now_ns();
    timers::for_each(&mut |armed| {
        let left = Seconds(armed.deadline_ns.saturating_sub(now));
        let _ = writeln!(out, "  in {left}: {}", Named(armed.callback as usize as u64));
    });
    if timers::ticks() > 0 {
        let _ = writeln!(out, "  {} ticks", timers::ticks());
    }
    clock::for_each_counter(&mut |source, count, hz| {
        let _ = match hz {
            Some(hz) => writeln!(out, "  {source}: {count} at {hz} Hz"),
            None => writeln!(out, "  {source}: {count}"),
        };
    });
    Ok(())
}
