//! The kernel log: `log::info!(target: "area", …)` from anywhere, a line on the consoles, a record in the ring.
//!
//! A line looks like `[    0.123456] area: what`, in seconds since the kernel's entry. Every record goes to
//! the ring, which `dmesg` shows and a panic repeats; those urgent enough for `loglevel=` go to the
//! consoles as well. The consoles are in a layer above: they register a function that is called when there
//! is something new, and read it from the ring one record at a time ([`next_for_console`]). So a record made
//! in an interrupt costs that interrupt a copy, and is printed later.

pub mod ring;

use crate::sync::{IrqLock, Rank};
use ::log::{Level, LevelFilter, Log, Metadata};
use core::fmt::{self, Write as _};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use ring::{Cursor, Record, Ring};

/// Bytes of the ring.
pub const RING_BYTES: usize = 256 << 10;

static RING: IrqLock<Ring<RING_BYTES>> = IrqLock::new(Rank::LogRing, Ring::new());

/// Told that there are new records.
pub type Sink = fn();

/// The registered [`Sink`], as an address; 0 for none.
static SINK: AtomicUsize = AtomicUsize::new(0);
/// Records whose number is below this go to the consoles.
static CONSOLE_LEVEL: AtomicU8 = AtomicU8::new(7);
/// Until there is a clock: what the time-stamp counter reads as zero, and ticks a second; see [`set_clock`].
static CLOCK: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
/// What [`follow`] was given, as an address; 0 for none.
static FOLLOWED: AtomicUsize = AtomicUsize::new(0);

struct KernelLog;

impl Log for KernelLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &::log::Record<'_>) {
        // Without an explicit target it is the module's path, of which the last part says enough.
        let target = record.target().rsplit("::").next().unwrap_or("kernel");
        let level = severity(record.level());
        let timestamp_ns = now_ns();
        let mut ring = RING.lock();
        ring.push(timestamp_ns, level, target, *record.args());
        WAITING.store(true, Ordering::Relaxed);
        drop(ring);
        let sink = SINK.load(Ordering::Relaxed);
        if sink != 0 {
            // SAFETY: only `set_sink` stores there, and what it stores is a Sink.
            let sink = unsafe { core::mem::transmute::<usize, Sink>(sink) };
            sink();
        }
    }

    fn flush(&self) {}
}

/// A line, ready to print.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    pub timestamp_ns: u64,
    /// As in [`severity`].
    pub level: u8,
    pub target: &'a str,
    pub text: fmt::Arguments<'a>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.timestamp_ns / 1000;
        write!(f, "[{:5}.{:06}] {}: {}", us / 1_000_000, us % 1_000_000, self.target, self.text)
    }
}

/// Urgency by syslog's numbers, which `loglevel=` uses (RFC 5424 §6.2.1).
pub const fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug => 7,
        Level::Trace => 8,
    }
}

/// Reads `loglevel=`: a number (lines below it are printed), or the name of the least urgent level to print.
pub fn parse_console_level(text: &str) -> Option<u8> {
    if let Ok(level) = text.parse::<Level>() {
        return Some(severity(level) + 1);
    }
    text.parse().ok().filter(|&number: &u8| number <= 9)
}

/// Records a line from where nothing can be waited for, an NMI above all: false if the ring's lock is taken. It is
/// printed when somebody prints next.
pub fn try_record(level: Level, target: &str, text: fmt::Arguments<'_>) -> bool {
    let Some(mut ring) = RING.try_lock() else { return false };
    ring.push(now_ns(), severity(level), target, text);
    WAITING.store(true, Ordering::Relaxed);
    true
}

/// Makes this the logger of the `log` crate. May be called again.
pub fn init() {
    static LOGGER: KernelLog = KernelLog;
    if ::log::set_logger(&LOGGER).is_ok() {
        ::log::set_max_level(LevelFilter::Trace);
    }
}

/// Sets the time that lines show as zero, and the rate of the time-stamp counter: what they go by until there is a
/// clock to [`follow`].
pub fn set_clock(zero_ticks: u64, hz: u64) {
    CLOCK[0].store(zero_ticks, Ordering::Relaxed);
    CLOCK[1].store(hz, Ordering::Relaxed);
}

/// From now on lines bear the time of this clock, which shows no less than [`now_ns`] did.
pub fn follow(now_ns: fn() -> u64) {
    FOLLOWED.store(now_ns as usize, Ordering::Release);
}

/// Nanoseconds since the kernel's entry.
pub fn now_ns() -> u64 {
    let followed = FOLLOWED.load(Ordering::Acquire);
    if followed != 0 {
        // SAFETY: only `follow` stores there, and what it stores is such a function.
        return unsafe { core::mem::transmute::<usize, fn() -> u64>(followed) }();
    }
    use crate::arch::x86_64::tsc;
    let [zero, hz] = [&CLOCK[0], &CLOCK[1]].map(|value| value.load(Ordering::Relaxed));
    tsc::to_ns(tsc::read().saturating_sub(zero), hz)
}

/// Time since the kernel's entry, in seconds, as it prints.
pub struct Elapsed(u64);

impl Elapsed {
    pub fn now() -> Self {
        Self(now_ns())
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0 / 1000;
        write!(f, "{}.{:06}", us / 1_000_000, us % 1_000_000)
    }
}

/// Sets where lines are printed.
pub fn set_sink(sink: Sink) {
    SINK.store(sink as usize, Ordering::Relaxed);
}

/// Which lines are printed: those with a number below it.
pub fn console_level() -> u8 {
    CONSOLE_LEVEL.load(Ordering::Relaxed)
}

/// Sets which lines are printed: those with a number below `level`.
pub fn set_console_level(level: u8) {
    CONSOLE_LEVEL.store(level, Ordering::Relaxed);
}

/// Copies the next line that the consoles have not had yet into `buffer`, and returns it; `None` if they have
/// had all. Lines that `loglevel=` does not let through are passed over. Nothing is locked while it is printed.
pub fn next_for_console(buffer: &mut LineBuffer) -> Option<&str> {
    let ring = RING.lock();
    let mut cursor = NEXT.lock();
    loop {
        let Some(record) = ring.read(&mut cursor) else {
            WAITING.store(false, Ordering::Relaxed);
            return None;
        };
        if record.level < CONSOLE_LEVEL.load(Ordering::Relaxed) {
            buffer.copy(&record);
            break;
        }
    }
    Some(buffer.as_str())
}

/// Whether there may be a line that the consoles have not had: asked by every CPU that has nothing to do, so it is one
/// load. Written under the ring's lock.
static WAITING: AtomicBool = AtomicBool::new(false);

#[inline]
pub fn is_waiting() -> bool {
    WAITING.load(Ordering::Relaxed)
}

/// The first record that the consoles have not had. Locked inside the ring's lock.
static NEXT: IrqLock<Cursor> = IrqLock::new(Rank::LogCursor, Cursor::START);

/// Room for one line.
pub struct LineBuffer {
    bytes: [u8; ring::TEXT_MAX + ring::TARGET_MAX + 32],
    len: usize,
}

impl LineBuffer {
    pub const fn new() -> Self {
        Self { bytes: [0; ring::TEXT_MAX + ring::TARGET_MAX + 32], len: 0 }
    }

    /// Becomes the record's line.
    fn copy(&mut self, record: &Record<'_>) {
        self.len = 0;
        visit(record, &mut |line| {
            let _ = write!(self, "{line}");
        });
    }

    /// The line.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
}

impl Default for LineBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Write for LineBuffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.len;
        let len = crate::utf8::floor_boundary(text.as_bytes(), room);
        self.bytes[self.len..self.len + len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
}

/// What is known of a record beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Counts records from 0.
    pub sequence: u64,
    /// Since the kernel's entry.
    pub timestamp_ns: u64,
    /// As in [`severity`].
    pub level: u8,
}

/// Copies the record at `cursor`, as `target: text`, into `buffer` and moves the cursor on; `None` if there is none yet.
pub fn copy(cursor: &mut Cursor, buffer: &mut LineBuffer) -> Option<Meta> {
    let ring = RING.lock();
    let Record { sequence, timestamp_ns, level, target, text } = ring.read(cursor)?;
    buffer.len = 0;
    let _ = write!(buffer, "{target}: {text}");
    Some(Meta { sequence, timestamp_ns, level })
}

/// The same as the console shows it, with its time; returns how urgent it is, as in [`severity`].
pub fn copy_line(cursor: &mut Cursor, buffer: &mut LineBuffer) -> Option<u8> {
    let ring = RING.lock();
    let record = ring.read(cursor)?;
    buffer.copy(&record);
    Some(record.level)
}

/// Behind the last record.
pub fn end() -> Cursor {
    RING.lock().end()
}

/// Calls `f` with each line of the ring, oldest first, and returns how many older ones are lost. Nothing is locked
/// meanwhile. `f` must not log: it would never end.
pub fn for_each(f: &mut dyn FnMut(&str)) -> u64 {
    let (mut buffer, mut cursor) = (LineBuffer::new(), Cursor::START);
    let lost = RING.lock().lost();
    while copy_line(&mut cursor, &mut buffer).is_some() {
        f(buffer.as_str());
    }
    lost
}

/// The same with the last `count` records, for a panic: the lock's holder may be what panicked.
pub fn last_unlocked(count: usize, f: &mut dyn FnMut(Line<'_>)) {
    // SAFETY: after a panic nothing else runs on this CPU, and whoever held the lock never will again.
    unsafe {
        RING.force_unlock();
        NEXT.force_unlock();
    }
    RING.lock().last(count, |record| visit(&record, f));
}

fn visit(record: &Record<'_>, f: &mut dyn FnMut(Line<'_>)) {
    let Record { timestamp_ns, level, target, text, .. } = *record;
    f(Line { timestamp_ns, level, target, text: format_args!("{text}") });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn a_line_has_six_digits_of_a_second() {
        let line = Line { timestamp_ns: 123_456_789, level: 6, target: "cpu", text: format_args!("on") };
        assert_eq!(format!("{line}"), "[    0.123456] cpu: on");
        let line = Line { timestamp_ns: 98_765_000_001_999, ..line };
        assert_eq!(format!("{line}"), "[98765.000001] cpu: on");
    }

    /// Before there is a clock it is 0 here, as nobody has set the counter's rate.
    #[test]
    fn the_time_is_the_followed_clocks() {
        static NOW: AtomicU64 = AtomicU64::new(5);
        assert_eq!(now_ns(), 0);
        follow(|| NOW.load(Ordering::Relaxed));
        assert_eq!(now_ns(), 5);
        NOW.store(7, Ordering::Relaxed);
        assert_eq!(now_ns(), 7);
        FOLLOWED.store(0, Ordering::Relaxed);
    }

    #[test]
    fn loglevel_takes_numbers_and_names() {
        assert_eq!(parse_console_level("0"), Some(0));
        assert_eq!(parse_console_level("8"), Some(8));
        assert_eq!(parse_console_level("warn"), Some(5));
        assert_eq!(parse_console_level("debug"), Some(8));
        for bad in ["", "-1", "10", "256", "loud"] {
            assert_eq!(parse_console_level(bad), None, "{bad}");
        }
    }
}
