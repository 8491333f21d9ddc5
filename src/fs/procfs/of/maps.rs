//! `maps` and `smaps`: an area of memory a record. `smaps_rollup`: their sum.

use super::super::super::format::{Text, escape};
use super::super::Sources;
use super::super::links::shown;
use super::super::open::once;
use super::super::process::{Present, Process, Region, RegionName};
use crate::boot::layout::PAGE_SIZE;
use core::fmt::Write;

/// Columns before the name.
const NAME_COLUMN: usize = 73;

/// The area behind the one that ended at `after`.
fn next(process: &dyn Process, after: Option<u64>) -> Option<Region> {
    process.owner()?;
    process.region(after.unwrap_or(0)).ok().flatten()
}

pub fn maps(_: &Sources, process: &dyn Process, after: Option<u64>, out: &mut Text) -> Option<u64> {
    let region = next(process, after)?;
    line(out, process, &region);
    Some(region.end)
}

/// An area's line.
fn line(out: &mut Text, process: &dyn Process, region: &Region) {
    let before = out.bytes().len();
    let letter = |on: bool, letter: char| if on { letter } else { '-' };
    let (start, end, offset) = (region.start, region.end, region.offset);
    let _ = write!(
        out,
        "{start:08x}-{end:08x} {}{}{}{} {offset:08x} ",
        letter(region.read, 'r'),
        letter(region.write, 'w'),
        letter(region.execute, 'x'),
        if region.is_shared { 's' } else { 'p' }
    );
    let file = match &region.name {
        RegionName::File(path) => Some(path),
        _ => None,
    };
    let (device, inode) = file
        .and_then(|path| path.dentry.inode())
        .map_or((Default::default(), 0), |inode| (inode.fs.device, inode.number));
    let _ = write!(out, "{:02x}:{:02x} {inode}", device.major, device.minor);
    if !matches!(region.name, RegionName::Nothing) {
        // One blank at least.
        let column = out.bytes().len() - before;
        let width = NAME_COLUMN.saturating_sub(column).max(1);
        let _ = write!(out, "{:width$}", "");
    }
    let _ = match &region.name {
        RegionName::Nothing => Ok(()),
        RegionName::Word(word) => out.write_str(word),
        RegionName::File(path) => match shown(process, path) {
            Ok(name) => escape::name(out, &name, escape::MAPS),
            Err(_) => out.write_str("?"),
        },
    };
    // Linux ends the line of an area without a name with a blank.
    let _ = out.write_str(if matches!(region.name, RegionName::Nothing) { " \n" } else { "\n" });
}

/// The figures, in KiB.
fn figures(out: &mut Text, present: &Present) {
    let kib = |pages: u64| pages * PAGE_SIZE / 1024;
    let resident =
        present.shared_clean + present.shared_dirty + present.private_clean + present.private_dirty;
    for (name, kib) in [
        ("Rss", kib(resident)),
        ("Pss", present.proportional * (PAGE_SIZE / 1024) / 4096),
        ("Pss_Dirty", kib(present.private_dirty)),
        ("Shared_Clean", kib(present.shared_clean)),
        ("Shared_Dirty", kib(present.shared_dirty)),
        ("Private_Clean", kib(present.private_clean)),
        ("Private_Dirty", kib(present.private_dirty)),
        ("Referenced", kib(present.referenced)),
        ("Anonymous", kib(present.anonymous)),
        ("KSM", 0),
        ("LazyFree", 0),
        ("AnonHugePages", 0),
        ("ShmemPmdMapped", 0),
        ("FilePmdMapped", 0),
        ("Shared_Hugetlb", 0),
        ("Private_Hugetlb", 0),
        ("Swap", 0),
        ("SwapPss", 0),
        ("Locked", kib(present.locked)),
    ] {
        let width = 23 - name.len();
        let _ = writeln!(out, "{name}:{kib:>width$} kB");
    }
}

pub fn smaps(_: &Sources, process: &dyn Process, after: Option<u64>, out: &mut Text) -> Option<u64> {
    let region = next(process, after)?;
    line(out, process, &region);
    let _ = writeln!(out, "Size:           {:8} kB", (region.end - region.start) / 1024);
    let _ = writeln!(out, "KernelPageSize: {:8} kB", PAGE_SIZE / 1024);
    let _ = writeln!(out, "MMUPageSize:    {:8} kB", PAGE_SIZE / 1024);
    figures(out, &process.present(&region));
    let _ = out.write_str("THPeligible:           0\nVmFlags:");
    for (on, word) in [
        (region.read, "rd"),
        (region.write, "wr"),
        (region.execute, "ex"),
        (region.is_shared, "sh"),
        (true, "mr"),
        (true, "mw"),
        (true, "me"),
        (matches!(region.name, RegionName::Word("[stack]")), "gd"),
    ] {
        if on {
            let _ = write!(out, " {word}");
        }
    }
    let _ = out.write_str(" \n");
    Some(region.end)
}

pub fn smaps_rollup(_: &Sources, process: &dyn Process, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || {
        let (mut sum, mut at, mut first, mut last) = (Present::default(), None, None, 0);
        while let Some(region) = next(process, at) {
            let one = process.present(&region);
            sum = Present {
                shared_clean: sum.shared_clean + one.shared_clean,
                shared_dirty: sum.shared_dirty + one.shared_dirty,
                private_clean: sum.private_clean + one.private_clean,
                private_dirty: sum.private_dirty + one.private_dirty,
                referenced: sum.referenced + one.referenced,
                anonymous: sum.anonymous + one.anonymous,
                locked: sum.locked + one.locked,
                proportional: sum.proportional + one.proportional,
            };
            first = first.or(Some(region.start));
            (at, last) = (Some(region.end), region.end);
        }
        // A thread of the kernel's has none.
        let Some(first) = first else { return };
        let _ = write!(out, "{first:08x}-{last:08x} ---p 00000000 00:00 0");
        let width = NAME_COLUMN.saturating_sub(out.bytes().len());
        let _ = writeln!(out, "{:width$}[rollup]", "");
        figures(out, &sum);
    })
}
