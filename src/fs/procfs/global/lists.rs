//! `filesystems`, `devices`, `partitions`, `swaps`: lists of what there is.

use super::super::super::device;
use super::super::super::format::Text;
use super::super::super::mode::Kind;
use super::super::super::super_block::FsFlags;
use super::super::Sources;
use super::super::open::once;
use core::fmt::Write;

/// A kind a line, `nodev` before those that need no device.
pub fn filesystems(sources: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || {
        for kind in sources.system.types() {
            let nodev = if kind.flags().contains(FsFlags::NO_DEVICE) { "nodev" } else { "" };
            let _ = writeln!(out, "{nodev}\t{}", kind.name());
        }
    })
}

/// Drivers by major number.
pub fn devices(_: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || {
        for (kind, head) in
            [(Kind::CharDevice, "Character devices:\n"), (Kind::BlockDevice, "\nBlock devices:\n")]
        {
            let _ = out.write_str(head);
            let of_kind = || device::drivers().filter(move |driver| driver.kind == kind);
            // By number; those of one number in the order in which they came.
            let mut last = None;
            while let Some(major) = of_kind()
                .map(|driver| driver.major)
                .filter(|&major| last.is_none_or(|last| major > last))
                .min()
            {
                for driver in of_kind().filter(|driver| driver.major == major) {
                    let _ = writeln!(out, "{major:3} {}", driver.name);
                }
                last = Some(major);
            }
        }
    })
}

/// No disk is driven yet: a heading, as on a Linux without any.
pub fn partitions(_: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || _ = out.write_str("major minor  #blocks  name\n\n"))
}

/// Nothing is swapped.
pub fn swaps(_: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || _ = out.write_str("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"))
}
