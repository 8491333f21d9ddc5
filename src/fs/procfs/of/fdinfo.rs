//! `fdinfo/N`: where a descriptor's file is, and how it was opened.

use super::super::super::flags::OpenFlags;
use super::super::super::format::Text;
use super::super::process::Process;
use core::fmt::Write;

/// The whole of it; nothing for what was closed meanwhile.
pub fn make(process: &dyn Process, fd: i32, out: &mut Text) {
    let Some(files) = process.files() else { return };
    let Ok(file) = files.get(fd) else { return };
    let mut flags = file.flags();
    if files.is_close_on_exec(fd) == Ok(true) {
        flags |= OpenFlags::CLOEXEC;
    }
    let _ = writeln!(out, "pos:\t{}", file.position());
    let _ = writeln!(out, "flags:\t0{:o}", flags.bits());
    let _ = writeln!(out, "mnt_id:\t{}", file.path.mount.id);
    let _ = writeln!(out, "ino:\t{}", file.inode.number);
}
