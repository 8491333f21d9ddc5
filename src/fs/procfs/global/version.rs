//! `version` and `cmdline`.

use super::super::super::format::Text;
use super::super::open::once;
use super::super::{Sources, uts};
use core::fmt::Write;

pub fn version(_: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || {
        let _ = writeln!(out, "{} version {} {} {}", uts::OS_TYPE, uts::RELEASE, uts::BUILT, uts::VERSION);
    })
}

pub fn command_line(sources: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || _ = writeln!(out, "{}", sources.system.command_line()))
}
