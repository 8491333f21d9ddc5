//! `limits` and `io`.

use super::super::super::format::Text;
use super::super::Sources;
use super::super::open::once;
use super::super::process::Process;
use core::fmt::{self, Write};

/// Names and units, by `RLIMIT_*` number.
const NAMES: [(&str, &str); super::super::process::LIMITS] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

/// A number, or that there is none, 20 columns wide.
struct Shown(u64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == u64::MAX { f.pad("unlimited") } else { write!(f, "{:<20}", self.0) }
    }
}

pub fn limits(_: &Sources, process: &dyn Process, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || {
        let _ = writeln!(out, "{:<25} {:<20} {:<20} {:<10}", "Limit", "Soft Limit", "Hard Limit", "Units");
        for (limit, (name, unit)) in process.limits().iter().zip(NAMES) {
            let _ = write!(out, "{name:<25} {:<20} {:<20} ", Shown(limit.soft), Shown(limit.hard));
            // What has no unit has no column for it.
            let _ = if unit.is_empty() { writeln!(out) } else { writeln!(out, "{unit:<10}") };
        }
    })
}

pub fn io(_: &Sources, process: &dyn Process, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || {
        let io = process.io();
        for (name, value) in [
            ("rchar", io.read_bytes),
            ("wchar", io.written_bytes),
            ("syscr", io.read_calls),
            ("syscw", io.write_calls),
            ("read_bytes", io.device_read_bytes),
            ("write_bytes", io.device_written_bytes),
            ("cancelled_write_bytes", io.cancelled_bytes),
        ] {
            let _ = writeln!(out, "{name}: {value}");
        }
    })
}
