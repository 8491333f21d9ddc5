//! Commands about files: the same calls that programs make, as user 0.

mod tree;

use super::{Call, Result};
use crate::errno::Errno;
use crate::fs;
use crate::fs::calls::OpenHow;
use crate::fs::file::{Entries, File};
use crate::fs::flags::{AtFlags, MountFlags, OpenFlags};
use crate::fs::initramfs::crc32::Crc32;
use crate::fs::io::{From, Into};
use crate::fs::mode::{self, Kind};
use crate::fs::mount::Path;
use crate::fs::namei::{At, Caller};
use crate::fs::refs::Ref;
use crate::fs::stat::Stat;
use crate::fs::time::Time;
use crate::kernel::files;
use crate::mm::vma::room;
use crate::monitor::parse::{self, Problem};
use crate::time::date::DateTime;
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// What is read at once.
const PIECE: usize = 16 << 10;
/// What `cat` prints if nothing else is said.
const SHOWN: u64 = 64 << 10;

/// Runs `work` on a path, and says which error it ended with.
fn on_path<'a>(
    call: &mut Call<'a, '_>,
    path: &'a str,
    work: impl FnOnce(&Caller<'_>, &mut dyn Write) -> fs::Result<()>,
) -> Result<'a> {
    let result = match files::caller() {
        Some(caller) => work(&caller, call.out),
        None => Err(Errno::Enodev),
    };
    fs::tidy();
    if let Err(error) = result {
        let _ = writeln!(call.out, "{path}: {error}");
    }
    Ok(())
}

/// The one path that a command wants.
fn path<'a>(call: &mut Call<'a, '_>) -> core::result::Result<&'a str, Problem<'a>> {
    call.words.next().ok_or(Problem::Missing("PATH"))
}

/// Kind and permissions, as `ls` writes them.
struct Mode(u32);

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char(match Kind::from_mode(self.0) {
            Some(Kind::Fifo) => 'p',
            Some(Kind::CharDevice) => 'c',
            Some(Kind::Directory) => 'd',
            Some(Kind::BlockDevice) => 'b',
            Some(Kind::Regular) => '-',
            Some(Kind::Symlink) => 'l',
            Some(Kind::Socket) => 's',
            None => '?',
        })?;
        for (shift, special, letter) in
            [(6, mode::SETUID, 's'), (3, mode::SETGID, 's'), (0, mode::STICKY, 't')]
        {
            let bits = self.0 >> shift;
            f.write_char(if bits & 4 != 0 { 'r' } else { '-' })?;
            f.write_char(if bits & 2 != 0 { 'w' } else { '-' })?;
            f.write_char(match (self.0 & special != 0, bits & 1 != 0) {
                (true, true) => letter,
                (true, false) => letter.to_ascii_uppercase(),
                (false, true) => 'x',
                (false, false) => '-',
            })?;
        }
        Ok(())
    }
}

/// Bytes as text; what is none as `\xNN`.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\n' | '\t' => f.write_char(c)?,
                    c if c.is_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                    c => f.write_char(c)?,
                }
            }
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

fn date(time: Time) -> DateTime {
    DateTime::from_unix_ns(time.seconds.saturating_mul(1_000_000_000).saturating_add(time.nanoseconds.into()))
}

/// One line of `ls`.
fn line(out: &mut dyn Write, stat: &Stat, name: &[u8], target: Option<&[u8]>) {
    let _ = write!(out, "  {} {:3} {:5} {:5} ", Mode(stat.mode), stat.links, stat.uid, stat.gid);
    let is_device = Kind::from_mode(stat.mode).is_some_and(Kind::is_device);
    let _ = match is_device {
        true => write!(out, "{:4}, {:4}", stat.of_device.major, stat.of_device.minor),
        false => write!(out, "{:10}", stat.size),
    };
    let _ = write!(out, " {} {}", date(stat.times.modified), Text(name));
    let _ = match target {
        Some(target) => writeln!(out, " -> {}", Text(target)),
        None => writeln!(out),
    };
}

/// Where a symbolic link leads.
fn target_of(caller: &Caller<'_>, at: At<'_>, name: &[u8], stat: &Stat) -> fs::Result<Option<Vec<u8>>> {
    let is_link = Kind::from_mode(stat.mode) == Some(Kind::Symlink);
    if is_link { caller.read_link(at, name).map(Some) } else { Ok(None) }
}

/// The names in a directory.
#[derive(Default)]
struct Names {
    names: Vec<Vec<u8>>,
    is_out_of_memory: bool,
}

impl Names {
    fn keep(&mut self, name: &[u8]) -> core::result::Result<(), room::NoMemory> {
        room::reserve(&mut self.names, 1)?;
        let mut copy = room::with_room(name.len())?;
        copy.extend_from_slice(name);
        self.names.push(copy);
        Ok(())
    }
}

impl Entries for Names {
    fn add(&mut self, name: &[u8], _: u64, _: Kind, _: u64) -> bool {
        self.is_out_of_memory |= name != b"." && name != b".." && self.keep(name).is_err();
        !self.is_out_of_memory
    }
}

/// A directory, and what is in it, sorted.
fn directory(caller: &Caller<'_>, at: At<'_>, path: &[u8]) -> fs::Result<(Ref<File>, Vec<Vec<u8>>)> {
    let dir = caller.open(at, path, OpenHow::new(OpenFlags::DIRECTORY.bits(), 0)?)?;
    let mut names = Names::default();
    dir.readdir(&mut names)?;
    if names.is_out_of_memory {
        return Err(Errno::Enomem);
    }
    names.names.sort_unstable();
    Ok((dir, names.names))
}

pub fn ls<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let path = call.words.next().unwrap_or("/");
    call.words.end()?;
    on_path(call, path, |caller, out| list(caller, path.as_bytes(), out))
}

fn list(caller: &Caller<'_>, path: &[u8], out: &mut dyn Write) -> fs::Result<()> {
    let stat = caller.stat(At::Cwd, path, AtFlags::SYMLINK_NOFOLLOW)?;
    if Kind::from_mode(stat.mode) != Some(Kind::Directory) {
        line(out, &stat, path, target_of(caller, At::Cwd, path, &stat)?.as_deref());
        return Ok(());
    }
    let (dir, names) = directory(caller, At::Cwd, path)?;
    let at = At::Path(&dir.path);
    for name in &names {
        let stat = match caller.stat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
            // Gone meanwhile.
            Err(Errno::Enoent) => continue,
            result => result?,
        };
        line(out, &stat, name, target_of(caller, at, name, &stat)?.as_deref());
    }
    Ok(())
}

pub fn stat<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let path = path(call)?;
    call.words.end()?;
    on_path(call, path, |caller, out| {
        let stat = caller.stat(At::Cwd, path.as_bytes(), AtFlags::SYMLINK_NOFOLLOW)?;
        let target = target_of(caller, At::Cwd, path.as_bytes(), &stat)?;
        line(out, &stat, path.as_bytes(), target.as_deref());
        let (on, of) = (stat.device, stat.of_device);
        let _ = write!(out, "  inode {} on {}:{}, mode {:06o}", stat.inode, on.major, on.minor, stat.mode);
        let _ = writeln!(out, ", {} blocks of 512 bytes, device {}:{}", stat.blocks, of.major, of.minor);
        let times = stat.times;
        for (what, time) in [
            ("read", times.accessed),
            ("written", times.modified),
            ("changed", times.changed),
            ("made", times.born),
        ] {
            let _ = writeln!(out, "  {what:8} {:.9}", date(time));
        }
        Ok(())
    })
}

/// Opens a file to be read, and reads up to `limit` bytes, piece by piece, until there is no more at the moment; returns
/// whether there may be more.
fn read(
    caller: &Caller<'_>,
    at: At<'_>,
    path: &[u8],
    limit: u64,
    take: &mut dyn FnMut(&[u8]) -> usize,
) -> fs::Result<bool> {
    let how = OpenHow::new(OpenFlags::NONBLOCK.bits(), 0)?;
    let file = caller.open(at, path, how)?;
    let mut buffer: Vec<u8> = room::with_room(PIECE).map_err(|_| Errno::Enomem)?;
    buffer.resize(PIECE, 0);
    let (mut left, mut kept) = (limit, 0);
    let result = loop {
        let wanted = left.min((PIECE - kept) as u64) as usize;
        if wanted == 0 {
            break Ok(true);
        }
        let done = match file.read(&mut Into::new(&mut buffer[kept..kept + wanted])) {
            Ok(0) | Err(Errno::Eagain) => break Ok(false),
            Ok(done) => done,
            Err(error) => break Err(error),
        };
        left -= done as u64;
        let have = kept + done;
        let taken = take(&buffer[..have]);
        buffer.copy_within(taken..have, 0);
        kept = have - taken;
    };
    // What would have been the beginning of a character.
    if kept > 0 {
        take(&buffer[..kept]);
    }
    Caller::close(file);
    result
}

/// A number that may stand at the end.
fn limit<'a>(call: &mut Call<'a, '_>, default: u64) -> core::result::Result<u64, Problem<'a>> {
    let word = call.words.next();
    call.words.end()?;
    word.map_or(Ok(default), |word| parse::number(word).ok_or(Problem::NotANumber(word)))
}

/// Bytes up to the last one that does not begin a character whose rest is still to come.
fn whole_characters(bytes: &[u8]) -> usize {
    match core::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && bytes.len() - error.valid_up_to() < bytes.len() => {
            error.valid_up_to()
        }
        _ => bytes.len(),
    }
}

pub fn cat<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let path = path(call)?;
    let limit = limit(call, SHOWN)?;
    on_path(call, path, |caller, out| {
        let mut last = b'\n';
        let has_more = read(caller, At::Cwd, path.as_bytes(), limit, &mut |bytes| {
            let whole = whole_characters(bytes);
            last = bytes[whole - 1];
            let _ = write!(out, "{}", Text(&bytes[..whole]));
            whole
        });
        if last != b'\n' {
            let _ = writeln!(out);
        }
        if has_more? {
            let _ = writeln!(out, "({limit} bytes)");
        }
        Ok(())
    })
}

pub fn sum<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let path = path(call)?;
    let limit = limit(call, u64::MAX)?;
    on_path(call, path, |caller, out| {
        let stat = caller.stat(At::Cwd, path.as_bytes(), AtFlags::empty())?;
        if Kind::from_mode(stat.mode) == Some(Kind::Directory) {
            return tree::sum(caller, path.as_bytes(), out);
        }
        let (mut len, mut crc) = (0, Crc32::new());
        read(caller, At::Cwd, path.as_bytes(), limit, &mut |bytes| {
            len += bytes.len();
            crc.update(bytes);
            bytes.len()
        })?;
        let _ = writeln!(out, "  {len} bytes, CRC-32 {:08x}", crc.value());
        Ok(())
    })
}

pub fn mount<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    on_path(call, "/", |caller, out| {
        let mut all = Vec::new();
        let mut is_out_of_memory = false;
        caller.mounts.for_each(|mount| {
            if room::reserve(&mut all, 1).is_ok() {
                all.push(mount.clone());
            } else {
                is_out_of_memory = true;
            }
        });
        for mount in &all {
            let place = Path { mount: mount.clone(), dentry: Ref::clone(&mount.root) };
            let on = caller.path_of(&place)?;
            let _ = write!(out, "  {} on {} type {}", Text(&mount.source), Text(&on), mount.fs.kind.name());
            let flags = mount.flags();
            let read_only = flags.contains(MountFlags::RDONLY) || mount.fs.is_read_only();
            let _ = write!(out, " ({}", if read_only { "ro" } else { "rw" });
            for (flag, name) in [
                (MountFlags::NOSUID, "nosuid"),
                (MountFlags::NODEV, "nodev"),
                (MountFlags::NOEXEC, "noexec"),
                (MountFlags::NOATIME, "noatime"),
                (MountFlags::NODIRATIME, "nodiratime"),
                (MountFlags::RELATIME, "relatime"),
            ] {
                if flags.contains(flag) {
                    let _ = write!(out, ",{name}");
                }
            }
            let _ = mount.fs.ops.show_options(out);
            let _ = writeln!(out, ")");
        }
        if is_out_of_memory { Err(Errno::Enomem) } else { Ok(()) }
    })
}

pub fn write<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let path = path(call)?;
    let text = call.words.rest();
    on_path(call, path, |caller, _| {
        let mut bytes: Vec<u8> = room::with_room(text.len() + 1).map_err(|_| Errno::Enomem)?;
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'\n');
        let flags = OpenFlags::CREAT | OpenFlags::TRUNC | OpenFlags::WRONLY | OpenFlags::NONBLOCK;
        let file = caller.open(At::Cwd, path.as_bytes(), OpenHow::new(flags.bits(), 0o644)?)?;
        let result = write_all(&file, &bytes);
        Caller::close(file);
        result
    })
}

fn write_all(file: &File, bytes: &[u8]) -> fs::Result<()> {
    let mut from = From(bytes);
    while !from.0.is_empty() {
        if file.write(&mut from)? == 0 {
            return Err(Errno::Enospc);
        }
        // What takes bytes without looking at them.
        if from.0.len() == bytes.len() {
            break;
        }
    }
    Ok(())
}

pub fn mkdir<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let path = path(call)?;
    call.words.end()?;
    on_path(call, path, |caller, _| caller.mkdir(At::Cwd, path.as_bytes(), 0o777))
}

pub fn rm<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let path = path(call)?;
    call.words.end()?;
    on_path(call, path, |caller, _| match caller.unlink(At::Cwd, path.as_bytes()) {
        Err(Errno::Eisdir) => caller.rmdir(At::Cwd, path.as_bytes()),
        result => result,
    })
}
