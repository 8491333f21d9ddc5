//! One sum over a whole tree, to compare what an archive has become with what it was made of.
//!
//! Every entry counts, directories before what is in them, each directory's in the order of their names' bytes:
//!
//! ```text
//! path from the top, 0 │ mode, uid, gid: 4 bytes each │ time of writing in s: 8 │
//!     but for directories: links: 4 │ size: 8 │ of a device its number: 8 │ contents, or where a link leads
//! ```
//!
//! Little end first. test/boot/test_initramfs.py computes the same on the host.

use super::{directory, read, target_of};
use crate::errno::Errno;
use crate::fs;
use crate::fs::flags::AtFlags;
use crate::fs::initramfs::crc32::Crc32;
use crate::fs::mode::Kind;
use crate::fs::mount::Path;
use crate::fs::namei::{At, Caller};
use crate::mm::vma::room;
use alloc::vec::Vec;
use core::fmt::Write;

/// A directory that is being gone through: what it is called, and what of it is still to come, the next one last.
struct Level {
    dir: Path,
    name_len: usize,
    names: Vec<Vec<u8>>,
}

struct Sum<'a> {
    caller: &'a Caller<'a>,
    crc: Crc32,
    entries: u64,
    bytes: u64,
    /// The path of the directory that is gone through, from the top.
    path: Vec<u8>,
}

impl Sum<'_> {
    /// One entry; the directory that it is, if it is one.
    fn entry(&mut self, at: At<'_>, name: &[u8]) -> fs::Result<Option<Level>> {
        let stat = self.caller.stat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = Kind::from_mode(stat.mode);
        self.entries += 1;
        self.crc.update(&self.path);
        self.crc.update(&[0]);
        [stat.mode, stat.uid, stat.gid].iter().for_each(|word| self.crc.update(&word.to_le_bytes()));
        self.crc.update(&stat.times.modified.seconds.to_le_bytes());
        if kind == Some(Kind::Directory) {
            let (dir, mut names) = directory(self.caller, at, name)?;
            names.reverse();
            return Ok(Some(Level { dir: dir.path.clone(), name_len: self.path.len(), names }));
        }
        self.crc.update(&stat.links.to_le_bytes());
        self.crc.update(&stat.size.to_le_bytes());
        if kind.is_some_and(Kind::is_device) {
            self.crc.update(&stat.of_device.encode().to_le_bytes());
        } else if kind == Some(Kind::Regular) {
            let (crc, bytes) = (&mut self.crc, &mut self.bytes);
            read(self.caller, at, name, u64::MAX, &mut |piece| {
                crc.update(piece);
                *bytes += piece.len() as u64;
                piece.len()
            })?;
        } else if let Some(target) = target_of(self.caller, at, name, &stat)? {
            self.crc.update(&target);
        }
        Ok(None)
    }
}

/// Prints the sum of what is at and below `path`.
pub fn sum(caller: &Caller<'_>, path: &[u8], out: &mut dyn Write) -> fs::Result<()> {
    let mut sum = Sum { caller, crc: Crc32::new(), entries: 0, bytes: 0, path: Vec::new() };
    let mut levels: Vec<Level> = Vec::new();
    let mut next = sum.entry(At::Cwd, path)?;
    loop {
        if let Some(level) = next.take() {
            room::reserve(&mut levels, 1).map_err(|_| Errno::Enomem)?;
            levels.push(level);
        }
        let Some(level) = levels.last_mut() else { break };
        sum.path.truncate(level.name_len);
        let Some(name) = level.names.pop() else {
            levels.pop();
            continue;
        };
        room::reserve(&mut sum.path, name.len() + 1).map_err(|_| Errno::Enomem)?;
        if level.name_len > 0 {
            sum.path.push(b'/');
        }
        sum.path.extend_from_slice(&name);
        let dir = level.dir.clone();
        next = sum.entry(At::Path(&dir), &name)?;
    }
    let Sum { entries, bytes, crc, .. } = sum;
    let _ = writeln!(out, "  {entries} entries, {bytes} bytes, CRC-32 {:08x}", crc.value());
    Ok(())
}
