//! Calls on paths, and what is known of files. What each checks, and the rest of it, is in [`crate::fs::calls`].

use super::{Arguments, Call, descriptors, transfer};
use crate::arch::x86_64::usercopy;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::calls::{OpenHow, SetTime};
use crate::fs::cred::Want;
use crate::fs::file::Entries;
use crate::fs::flags::{AtFlags, FallocateFlags, MountFlags, OpenFlags, RenameFlags};
use crate::fs::mode::{Device, Kind};
use crate::fs::mount::Path;
use crate::fs::namei::{At, Last};
use crate::fs::stat::statfs as statfs_bytes;
use crate::fs::time::Time;
use crate::mm::vma::room;
use crate::proc::limits::Resource;
use crate::proc::user;
use alloc::vec::Vec;

/// `AT_FDCWD`, as a register has it.
const CWD: u64 = -100_i64 as u64;

fn at_flags(flags: u64, known: AtFlags) -> Result<AtFlags> {
    let flags = AtFlags::from_bits(flags as u32).ok_or(Errno::Einval)?;
    if known.contains(flags) { Ok(flags) } else { Err(Errno::Einval) }
}

/// A path that may be empty, if `AT_EMPTY_PATH` says so, or null.
fn path(address: u64, flags: AtFlags) -> Result<Vec<u8>> {
    if address == 0 && flags.contains(AtFlags::EMPTY_PATH) {
        return Ok(Vec::new());
    }
    user::path(address)
}

/// Where a path leads.
fn resolve(call: &Call<'_>, dir: u64, address: u64, flags: AtFlags) -> Result<Path> {
    let path = path(address, flags)?;
    let place = call.place(dir, &path)?;
    call.standing().caller().resolve_at(place.at(), &path, flags)
}

pub fn open(call: &mut Call<'_>, [path, flags, mode, ..]: Arguments) -> Result<u64> {
    openat(call, [CWD, path, flags, mode, 0, 0])
}

pub fn creat(call: &mut Call<'_>, [path, mode, ..]: Arguments) -> Result<u64> {
    let flags = OpenFlags::CREAT | OpenFlags::WRONLY | OpenFlags::TRUNC;
    openat(call, [CWD, path, u64::from(flags.bits()), mode, 0, 0])
}

pub fn openat(call: &mut Call<'_>, [dir, address, flags, mode, ..]: Arguments) -> Result<u64> {
    let how = OpenHow::new(flags as u32, mode as u32)?;
    let path = user::path(address)?;
    let place = call.place(dir, &path)?;
    let files = call.process().files();
    let number = files.reserve(0, how.flags.contains(OpenFlags::CLOEXEC), descriptors::limit(call))?;
    let file = call.standing().caller().open(place.at(), &path, how)?;
    Ok(number.install(file) as u64)
}

pub fn stat(call: &mut Call<'_>, [path, to, ..]: Arguments) -> Result<u64> {
    newfstatat(call, [CWD, path, to, 0, 0, 0])
}

pub fn lstat(call: &mut Call<'_>, [path, to, ..]: Arguments) -> Result<u64> {
    newfstatat(call, [CWD, path, to, u64::from(AtFlags::SYMLINK_NOFOLLOW.bits()), 0, 0])
}

pub fn fstat(call: &mut Call<'_>, [fd, to, ..]: Arguments) -> Result<u64> {
    let stat = call.path_of(fd)?.stat()?;
    usercopy::copy_out(to, &stat.to_stat())?;
    Ok(0)
}

const STAT_FLAGS: AtFlags = AtFlags::SYMLINK_NOFOLLOW.union(AtFlags::NO_AUTOMOUNT).union(AtFlags::EMPTY_PATH);

pub fn newfstatat(call: &mut Call<'_>, [dir, address, to, flags, ..]: Arguments) -> Result<u64> {
    let flags = at_flags(flags, STAT_FLAGS)?;
    let path = path(address, flags)?;
    let place = call.place(dir, &path)?;
    let stat = call.standing().caller().stat(place.at(), &path, flags)?;
    usercopy::copy_out(to, &stat.to_stat())?;
    Ok(0)
}

pub fn statx(call: &mut Call<'_>, [dir, address, flags, mask, to, _]: Arguments) -> Result<u64> {
    const RESERVED: u64 = 1 << 31;
    let known = STAT_FLAGS | AtFlags::STATX_FORCE_SYNC | AtFlags::STATX_DONT_SYNC;
    let flags = at_flags(flags, known)?;
    if mask & RESERVED != 0 || flags.contains(AtFlags::STATX_FORCE_SYNC | AtFlags::STATX_DONT_SYNC) {
        return Err(Errno::Einval);
    }
    let path = path(address, flags)?;
    let place = call.place(dir, &path)?;
    let stat = call.standing().caller().stat(place.at(), &path, flags)?;
    usercopy::copy_out(to, &stat.to_statx())?;
    Ok(0)
}

pub fn access(call: &mut Call<'_>, [path, mode, ..]: Arguments) -> Result<u64> {
    faccessat2(call, [CWD, path, mode, 0, 0, 0])
}

pub fn faccessat(call: &mut Call<'_>, [dir, path, mode, ..]: Arguments) -> Result<u64> {
    faccessat2(call, [dir, path, mode, 0, 0, 0])
}

pub fn faccessat2(call: &mut Call<'_>, [dir, address, mode, flags, ..]: Arguments) -> Result<u64> {
    let known = AtFlags::EACCESS | AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    let flags = at_flags(flags, known)?;
    let want = Want::from_bits(mode as u32).ok_or(Errno::Einval)?;
    let path = path(address, flags)?;
    let place = call.place(dir, &path)?;
    call.standing().caller().access(place.at(), &path, want, flags).map(|()| 0)
}

pub fn truncate(call: &mut Call<'_>, [path, len, ..]: Arguments) -> Result<u64> {
    let path = user::path(path)?;
    let limit = call.process().limits.lock().soft(Resource::FileSize);
    let result = call.standing().caller().truncate(At::Cwd, &path, len as i64, limit);
    transfer::wrote(call, result.map(|()| 0), false)
}

pub fn ftruncate(call: &mut Call<'_>, [fd, len, ..]: Arguments) -> Result<u64> {
    let file = call.file(fd)?;
    let limit = call.process().limits.lock().soft(Resource::FileSize);
    let result = call.standing().caller().truncate_file(&file, len as i64, limit);
    transfer::wrote(call, result.map(|()| 0), false)
}

pub fn fallocate(call: &mut Call<'_>, [fd, mode, offset, len, ..]: Arguments) -> Result<u64> {
    let flags = FallocateFlags::from_bits_retain(mode as u32);
    let limit = call.process().limits.lock().soft(Resource::FileSize);
    let result = call.file(fd)?.fallocate(flags, offset as i64, len as i64, limit);
    transfer::wrote(call, result.map(|()| 0), false)
}

/// Entries on their way to a program: struct linux_dirent64.
struct Listing {
    to: u64,
    bytes: Vec<u8>,
    room: usize,
    was_full: bool,
}

impl Entries for Listing {
    fn add(&mut self, name: &[u8], number: u64, kind: Kind, next: u64) -> bool {
        const HEAD: usize = 19;
        let len = (HEAD + name.len() + 1).next_multiple_of(8);
        if self.bytes.len() + len > self.room || room::reserve(&mut self.bytes, len).is_err() {
            self.was_full = true;
            return false;
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&number.to_le_bytes());
        self.bytes.extend_from_slice(&next.to_le_bytes());
        self.bytes.extend_from_slice(&(len as u16).to_le_bytes());
        self.bytes.push((kind.bits() >> 12) as u8);
        self.bytes.extend_from_slice(name);
        self.bytes.resize(at + len, 0);
        true
    }

    fn finish(&mut self) -> Result<()> {
        if self.bytes.is_empty() && self.was_full {
            return Err(Errno::Einval);
        }
        Ok(usercopy::copy_out(self.to, &self.bytes)?)
    }
}

/// Bytes that are gathered before they are copied.
const LISTING: usize = 32 << 10;

pub fn getdents64(call: &mut Call<'_>, [fd, to, size, ..]: Arguments) -> Result<u64> {
    let file = call.file(fd)?;
    let room = usize::try_from(size & 0xFFFF_FFFF).unwrap_or(LISTING).min(LISTING);
    let mut listing = Listing { to, bytes: Vec::new(), room, was_full: false };
    file.readdir(&mut listing)?;
    Ok(listing.bytes.len() as u64)
}

pub fn getcwd(call: &mut Call<'_>, [to, size, ..]: Arguments) -> Result<u64> {
    let mut path = call.standing().caller().getcwd()?;
    room::reserve(&mut path, 1)?;
    path.push(0);
    if path.len() as u64 > size {
        return Err(Errno::Erange);
    }
    usercopy::copy_out(to, &path)?;
    Ok(path.len() as u64)
}

pub fn chdir(call: &mut Call<'_>, [path, ..]: Arguments) -> Result<u64> {
    let path = user::path(path)?;
    call.standing().caller().chdir(At::Cwd, &path).map(|()| 0)
}

pub fn fchdir(call: &mut Call<'_>, [fd, ..]: Arguments) -> Result<u64> {
    let path = call.path_of(fd)?;
    call.standing().caller().chdir_to(path).map(|()| 0)
}

pub fn chroot(call: &mut Call<'_>, [path, ..]: Arguments) -> Result<u64> {
    let path = user::path(path)?;
    call.standing().caller().chroot(&path).map(|()| 0)
}

pub fn mkdir(call: &mut Call<'_>, [path, mode, ..]: Arguments) -> Result<u64> {
    mkdirat(call, [CWD, path, mode, 0, 0, 0])
}

pub fn mkdirat(call: &mut Call<'_>, [dir, path, mode, ..]: Arguments) -> Result<u64> {
    let path = user::path(path)?;
    let place = call.place(dir, &path)?;
    call.standing().caller().mkdir(place.at(), &path, mode as u32).map(|()| 0)
}

pub fn mknod(call: &mut Call<'_>, [path, mode, device, ..]: Arguments) -> Result<u64> {
    mknodat(call, [CWD, path, mode, device, 0, 0])
}

pub fn mknodat(call: &mut Call<'_>, [dir, path, mode, device, ..]: Arguments) -> Result<u64> {
    let path = user::path(path)?;
    let place = call.place(dir, &path)?;
    call.standing().caller().mknod(place.at(), &path, mode as u32, Device::decode(device as u32)).map(|()| 0)
}

pub fn rmdir(call: &mut Call<'_>, [path, ..]: Arguments) -> Result<u64> {
    unlinkat(call, [CWD, path, u64::from(AtFlags::REMOVEDIR.bits()), 0, 0, 0])
}

pub fn unlink(call: &mut Call<'_>, [path, ..]: Arguments) -> Result<u64> {
    unlinkat(call, [CWD, path, 0, 0, 0, 0])
}

pub fn unlinkat(call: &mut Call<'_>, [dir, path, flags, ..]: Arguments) -> Result<u64> {
    let flags = at_flags(flags, AtFlags::REMOVEDIR)?;
    let path = user::path(path)?;
    let place = call.place(dir, &path)?;
    let standing = call.standing();
    let caller = standing.caller();
    if flags.contains(AtFlags::REMOVEDIR) {
        caller.rmdir(place.at(), &path)?;
    } else {
        caller.unlink(place.at(), &path)?;
    }
    Ok(0)
}

pub fn rename(call: &mut Call<'_>, [from, to, ..]: Arguments) -> Result<u64> {
    renameat2(call, [CWD, from, CWD, to, 0, 0])
}

pub fn renameat(call: &mut Call<'_>, [dir, from, to_dir, to, ..]: Arguments) -> Result<u64> {
    renameat2(call, [dir, from, to_dir, to, 0, 0])
}

pub fn renameat2(call: &mut Call<'_>, [dir, from, to_dir, to, flags, _]: Arguments) -> Result<u64> {
    let flags = RenameFlags::from_bits(flags as u32).ok_or(Errno::Einval)?;
    let (from, to) = (user::path(from)?, user::path(to)?);
    let (place, to_place) = (call.place(dir, &from)?, call.place(to_dir, &to)?);
    call.standing().caller().rename(place.at(), &from, to_place.at(), &to, flags).map(|()| 0)
}

pub fn link(call: &mut Call<'_>, [from, to, ..]: Arguments) -> Result<u64> {
    linkat(call, [CWD, from, CWD, to, 0, 0])
}

pub fn linkat(call: &mut Call<'_>, [dir, from, to_dir, to, flags, _]: Arguments) -> Result<u64> {
    let flags = at_flags(flags, AtFlags::SYMLINK_FOLLOW | AtFlags::EMPTY_PATH)?;
    let (from, to) = (path(from, flags)?, user::path(to)?);
    let (place, to_place) = (call.place(dir, &from)?, call.place(to_dir, &to)?);
    call.standing().caller().link(place.at(), &from, to_place.at(), &to, flags).map(|()| 0)
}

pub fn symlink(call: &mut Call<'_>, [target, path, ..]: Arguments) -> Result<u64> {
    symlinkat(call, [target, CWD, path, 0, 0, 0])
}

pub fn symlinkat(call: &mut Call<'_>, [target, dir, path, ..]: Arguments) -> Result<u64> {
    let (target, path) = (user::path(target)?, user::path(path)?);
    let place = call.place(dir, &path)?;
    call.standing().caller().symlink(&target, place.at(), &path).map(|()| 0)
}

pub fn readlink(call: &mut Call<'_>, [path, to, size, ..]: Arguments) -> Result<u64> {
    readlinkat(call, [CWD, path, to, size, 0, 0])
}

pub fn readlinkat(call: &mut Call<'_>, [dir, path, to, size, ..]: Arguments) -> Result<u64> {
    if size as i32 <= 0 {
        return Err(Errno::Einval);
    }
    let path = user::path(path)?;
    let place = call.place(dir, &path)?;
    let target = call.standing().caller().read_link(place.at(), &path)?;
    let len = target.len().min(size as i32 as usize);
    usercopy::copy_out(to, &target[..len])?;
    Ok(len as u64)
}

pub fn chmod(call: &mut Call<'_>, [path, mode, ..]: Arguments) -> Result<u64> {
    fchmodat(call, [CWD, path, mode, 0, 0, 0])
}

pub fn fchmod(call: &mut Call<'_>, [fd, mode, ..]: Arguments) -> Result<u64> {
    let file = call.file(fd)?;
    call.standing().caller().chmod(&file.path, mode as u32).map(|()| 0)
}

pub fn fchmodat(call: &mut Call<'_>, [dir, path, mode, ..]: Arguments) -> Result<u64> {
    let path = resolve(call, dir, path, AtFlags::empty())?;
    call.standing().caller().chmod(&path, mode as u32).map(|()| 0)
}

/// -1 leaves it as it is.
fn id(value: u64) -> Option<u32> {
    Some(value as u32).filter(|&id| id != u32::MAX)
}

pub fn chown(call: &mut Call<'_>, [path, uid, gid, ..]: Arguments) -> Result<u64> {
    fchownat(call, [CWD, path, uid, gid, 0, 0])
}

pub fn lchown(call: &mut Call<'_>, [path, uid, gid, ..]: Arguments) -> Result<u64> {
    fchownat(call, [CWD, path, uid, gid, u64::from(AtFlags::SYMLINK_NOFOLLOW.bits()), 0])
}

pub fn fchown(call: &mut Call<'_>, [fd, uid, gid, ..]: Arguments) -> Result<u64> {
    let file = call.file(fd)?;
    call.standing().caller().chown(&file.path, id(uid), id(gid)).map(|()| 0)
}

pub fn fchownat(call: &mut Call<'_>, [dir, path, uid, gid, flags, _]: Arguments) -> Result<u64> {
    let flags = at_flags(flags, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH)?;
    let path = resolve(call, dir, path, flags)?;
    call.standing().caller().chown(&path, id(uid), id(gid)).map(|()| 0)
}

pub fn umask(call: &mut Call<'_>, [mask, ..]: Arguments) -> Result<u64> {
    Ok(u64::from(call.standing().place.set_umask(mask as u32)))
}

/// A time as a program gives it: seconds, and nanoseconds or a special number.
fn set_time(seconds: i64, nanoseconds: i64) -> Result<SetTime> {
    const NOW: i64 = 0x3FFF_FFFF;
    const OMIT: i64 = 0x3FFF_FFFE;
    match nanoseconds {
        NOW => Ok(SetTime::Now),
        OMIT => Ok(SetTime::Omit),
        0..1_000_000_000 => Ok(SetTime::To(Time { seconds, nanoseconds: nanoseconds as u32 })),
        _ => Err(Errno::Einval),
    }
}

pub fn utimensat(call: &mut Call<'_>, [dir, address, times, flags, ..]: Arguments) -> Result<u64> {
    let flags = at_flags(flags, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH)?;
    let (accessed, modified) = match times {
        0 => (SetTime::Now, SetTime::Now),
        _ => {
            let [a, b, c, d]: [u64; 4] = usercopy::read(times)?;
            (set_time(a as i64, b as i64)?, set_time(c as i64, d as i64)?)
        }
    };
    // Without a path it is the descriptor's own file.
    let path = if address == 0 && dir as i32 != CWD as i32 {
        Path::clone(&call.file(dir)?.path)
    } else {
        resolve(call, dir, address, flags)?
    };
    call.standing().caller().set_times(&path, accessed, modified).map(|()| 0)
}

/// Two times in seconds and microseconds.
fn in_microseconds(times: u64) -> Result<(SetTime, SetTime)> {
    if times == 0 {
        return Ok((SetTime::Now, SetTime::Now));
    }
    let [a, b, c, d]: [u64; 4] = usercopy::read(times)?;
    let time = |seconds: u64, us: u64| match us {
        0..1_000_000 => set_time(seconds as i64, us as i64 * 1000),
        _ => Err(Errno::Einval),
    };
    Ok((time(a, b)?, time(c, d)?))
}

pub fn utimes(call: &mut Call<'_>, [path, times, ..]: Arguments) -> Result<u64> {
    futimesat(call, [CWD, path, times, 0, 0, 0])
}

pub fn futimesat(call: &mut Call<'_>, [dir, path, times, ..]: Arguments) -> Result<u64> {
    let (accessed, modified) = in_microseconds(times)?;
    let path = if path == 0 && dir as i32 != CWD as i32 {
        call.path_of(dir)?
    } else {
        resolve(call, dir, path, AtFlags::empty())?
    };
    call.standing().caller().set_times(&path, accessed, modified).map(|()| 0)
}

pub fn utime(call: &mut Call<'_>, [path, times, ..]: Arguments) -> Result<u64> {
    let (accessed, modified) = match times {
        0 => (SetTime::Now, SetTime::Now),
        _ => {
            let [a, b]: [u64; 2] = usercopy::read(times)?;
            (set_time(a as i64, 0)?, set_time(b as i64, 0)?)
        }
    };
    let path = resolve(call, CWD, path, AtFlags::empty())?;
    call.standing().caller().set_times(&path, accessed, modified).map(|()| 0)
}

pub fn statfs(call: &mut Call<'_>, [path, to, ..]: Arguments) -> Result<u64> {
    let path = resolve(call, CWD, path, AtFlags::empty())?;
    statfs_of(&path, to)
}

pub fn fstatfs(call: &mut Call<'_>, [fd, to, ..]: Arguments) -> Result<u64> {
    statfs_of(&call.path_of(fd)?, to)
}

/// Flags of a mount that have the same numbers in `ST_*`.
const ST_FLAGS: u64 = 0xF;

fn statfs_of(path: &Path, to: u64) -> Result<u64> {
    let bytes = statfs_bytes(&path.mount.fs, u64::from(path.mount.flags().bits()) & ST_FLAGS);
    usercopy::copy_out(to, &bytes)?;
    Ok(0)
}

/// Files are in memory: there is nothing to be waited for but what file systems say.
pub fn sync(_: &mut Call<'_>, _: Arguments) -> Result<u64> {
    // It tells of no error.
    let _ = crate::proc::process::sync();
    Ok(0)
}

pub fn syncfs(call: &mut Call<'_>, [fd, ..]: Arguments) -> Result<u64> {
    let path = call.path_of(fd)?;
    path.mount.fs.ops.sync().map(|()| 0)
}

/// `MS_*` that are no flags of a mount but say what is to be done.
const MS_REMOUNT: u64 = 32;
const MS_BIND: u64 = 4096;
const MS_MOVE: u64 = 8192;
const MS_REC: u64 = 16384;
const MS_PRIVATE: u64 = 1 << 18;
/// Unbindable, slave, shared.
const MS_PROPAGATION: u64 = 1 << 17 | 1 << 19 | 1 << 20;
const MS_MAGIC: u64 = 0xC0ED_0000;

pub fn mount(call: &mut Call<'_>, [source, target, kind, flags, data, _]: Arguments) -> Result<u64> {
    let flags = if flags & 0xFFFF_0000 == MS_MAGIC { flags & 0xFFFF } else { flags };
    let standing = call.standing();
    let caller = standing.caller();
    if !standing.credentials.is_root() {
        return Err(Errno::Eperm);
    }
    let target = user::path(target)?;
    let options = if data == 0 { Vec::new() } else { user::text(data, 4096)? };
    let source = if source == 0 { Vec::new() } else { user::path(source)? };
    let mount_flags = MountFlags::from_bits_truncate(flags as u32);
    // Where it is to be is looked for before anything else is looked at.
    let on = caller.resolve(At::Cwd, &target, Last::Follow)?;
    if flags & MS_REMOUNT != 0 {
        // Nothing said about times of access: they stay as they are.
        let times =
            if mount_flags.intersects(MountFlags::TIMES) { MountFlags::empty() } else { on.mount.flags() };
        let mount_flags = (mount_flags | times & MountFlags::TIMES).completed();
        return caller.remount(&target, mount_flags, &options, flags & MS_BIND != 0).map(|()| 0);
    }
    if flags & MS_BIND != 0 {
        return caller.bind(&source, &target, flags & MS_REC != 0).map(|_| 0);
    }
    if flags & MS_MOVE != 0 {
        return caller.move_mount(&source, &target).map(|()| 0);
    }
    // There is one tree of mounts, and it is nobody else's: private it is in any case.
    if flags & MS_PRIVATE != 0 {
        return Ok(0);
    }
    if flags & MS_PROPAGATION != 0 {
        return Err(Errno::Einval);
    }
    if kind == 0 {
        return Err(Errno::Einval);
    }
    let kind = user::string(kind, 256, Errno::Enodev)?;
    let kind = crate::fs::mount::find_type(crate::proc::process::types(), &kind)?;
    let source = if source.is_empty() { kind.name().as_bytes() } else { &source };
    let cache = &call.path_of_root().mount.fs.cache;
    caller.mount(cache, *kind, source, &target, mount_flags.completed(), &options).map(|_| 0)
}

pub fn umount2(call: &mut Call<'_>, [target, flags, ..]: Arguments) -> Result<u64> {
    const DETACH: u64 = 2;
    const NOFOLLOW: u64 = 8;
    let flags = flags & 0xFFFF_FFFF;
    if flags & !(DETACH | NOFOLLOW | 1 | 4) != 0 {
        return Err(Errno::Einval);
    }
    let standing = call.standing();
    if !standing.credentials.is_root() {
        return Err(Errno::Eperm);
    }
    let target = user::path(target)?;
    let last = if flags & NOFOLLOW != 0 { Last::NoFollow } else { Last::Follow };
    standing.caller().unmount(&target, last, flags & DETACH != 0).map(|()| 0)
}

impl Call<'_> {
    /// The process's root.
    fn path_of_root(&self) -> Path {
        self.standing().place.root()
    }
}
