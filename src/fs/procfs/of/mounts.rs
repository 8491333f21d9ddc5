//! `mounts` and `mountinfo`: a mount a record, as seen from the process's root.

use super::super::super::calls::path_from;
use super::super::super::flags::MountFlags;
use super::super::super::format::{Text, escape};
use super::super::super::mount::{Mount, Path};
use super::super::super::refs::Ref;
use super::super::Sources;
use super::super::process::Process;
use alloc::vec::Vec;
use core::fmt::Write;

/// The mount that was made next after the one with number `after`, and where it is; passed over is what cannot be reached
/// from the process's root.
fn next(sources: &Sources, process: &dyn Process, after: Option<u64>) -> Option<(Ref<Mount>, Vec<u8>)> {
    let mounts = sources.system.mounts()?;
    process.owner()?;
    let root = process.root().ok()?;
    let mut after = after;
    loop {
        let mount = mounts.next(after)?;
        after = Some(mount.id);
        let place = Path { dentry: Ref::clone(&mount.root), mount };
        let Ok(at) = path_from(&root, &place) else { continue };
        if at.starts_with(b"/") {
            return Some((place.mount, at));
        }
    }
}

/// What a mount allows, with a comma before each.
fn options(out: &mut Text, flags: MountFlags) {
    for (flag, name) in [
        (MountFlags::SYNCHRONOUS, ",sync"),
        (MountFlags::NOSUID, ",nosuid"),
        (MountFlags::NODEV, ",nodev"),
        (MountFlags::NOEXEC, ",noexec"),
        (MountFlags::NOATIME, ",noatime"),
        (MountFlags::NODIRATIME, ",nodiratime"),
        (MountFlags::RELATIME, ",relatime"),
    ] {
        if flags.contains(flag) {
            let _ = out.write_str(name);
        }
    }
}

const fn access(is_read_only: bool) -> &'static str {
    if is_read_only { "ro" } else { "rw" }
}

/// Source, where, kind, options, and two zeroes. Source: fstab(5).
pub fn mounts(sources: &Sources, process: &dyn Process, after: Option<u64>, out: &mut Text) -> Option<u64> {
    let (mount, at) = next(sources, process, after)?;
    let _ = source(out, &mount);
    let _ = out.push(b" ");
    let _ = escape::name(out, &at, escape::MOUNTS);
    let flags = mount.flags();
    let is_read_only = flags.contains(MountFlags::RDONLY) || mount.fs.is_read_only();
    let _ = write!(out, " {} {}", mount.fs.kind.name(), access(is_read_only));
    options(out, flags);
    let _ = mount.fs.ops.show_options(out);
    let _ = out.write_str(" 0 0\n");
    Some(mount.id)
}

fn source(out: &mut Text, mount: &Mount) -> core::fmt::Result {
    let name: &[u8] = if mount.source.is_empty() { b"none" } else { &mount.source };
    escape::name(out, name, escape::MOUNTS)
}

/// Number, the number of the mount below, device, which part of the file system, where, options of the mount; then kind,
/// source, options of the file system. Source: proc_pid_mountinfo(5).
pub fn mountinfo(
    sources: &Sources,
    process: &dyn Process,
    after: Option<u64>,
    out: &mut Text,
) -> Option<u64> {
    let (mount, at) = next(sources, process, after)?;
    let below = mount.mounted_on().map_or(mount.id, |on| on.mount.id);
    let device = mount.fs.device;
    let _ = write!(out, "{} {below} {}:{} ", mount.id, device.major, device.minor);
    let part = mount.part().unwrap_or_default();
    let _ = escape::name(out, &part, escape::MOUNTS);
    let _ = out.push(b" ");
    let _ = escape::name(out, &at, escape::MOUNTS);
    let flags = mount.flags();
    let _ = write!(out, " {}", access(flags.contains(MountFlags::RDONLY)));
    options(out, flags);
    let _ = write!(out, " - {} ", mount.fs.kind.name());
    let _ = source(out, &mount);
    let _ = write!(out, " {}", access(mount.fs.is_read_only()));
    let _ = mount.fs.ops.show_options(out);
    let _ = out.write_str("\n");
    Some(mount.id)
}
