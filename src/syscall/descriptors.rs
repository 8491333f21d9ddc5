//! Descriptors: closing, duplicating, pipes, `fcntl`, `ioctl`, locks.

use super::{Arguments, Call};
use crate::arch::x86_64::usercopy;
use crate::errno::Errno;
use crate::fs::fd::FdTable;
use crate::fs::file::File;
use crate::fs::flags::OpenFlags;
use crate::fs::locks::{LockOwner, RangeLock, range};
use crate::fs::refs::Ref;
use crate::fs::{self, Result};
use crate::proc::limits::Resource;
use crate::proc::user::{self, Mine};

/// `RLIMIT_NOFILE`.
pub fn limit(call: &Call<'_>) -> u64 {
    call.process().limits.lock().soft(Resource::Files)
}

/// What ends with a process's descriptor of a file, whichever it is: its own locks on it.
fn closed(call: &Call<'_>, file: Ref<File>) {
    if !file.is_path() {
        file.locks().owner_gone(owner(call));
    }
    drop(file);
    fs::tidy();
}

fn owner(call: &Call<'_>) -> LockOwner {
    LockOwner::Process { id: u64::from(call.task.pid()), pid: call.task.pid() as i32 }
}

pub fn close(call: &mut Call<'_>, [fd, ..]: Arguments) -> Result<u64> {
    let file = FdTable::close(&call.process().files(), fd as i32)?;
    closed(call, file);
    Ok(0)
}

pub fn close_range(call: &mut Call<'_>, [first, last, flags, ..]: Arguments) -> Result<u64> {
    const UNSHARE: u64 = 2;
    const CLOEXEC: u64 = 4;
    let (first, last, flags) = (first as u32, last as u32, flags & 0xFFFF_FFFF);
    if first > last || flags & !(UNSHARE | CLOEXEC) != 0 {
        return Err(Errno::Einval);
    }
    let mut files = call.process().files();
    if flags & UNSHARE != 0 && files.count() > 2 {
        call.process().set_files(Ref::with_last(files.copy()?)?);
        files = call.process().files();
    }
    let last = i32::try_from(last).unwrap_or(i32::MAX);
    let Ok(first) = i32::try_from(first) else { return Ok(0) };
    if flags & CLOEXEC == 0 {
        let mut at = first;
        while let Some(fd) = files.next_open(at).filter(|&fd| fd <= last) {
            if let Ok(file) = FdTable::close(&files, fd) {
                closed(call, file);
            }
            let Some(next) = fd.checked_add(1) else { break };
            at = next;
        }
        return Ok(0);
    }
    let mut at = first;
    while let Some(fd) = files.next_open(at).filter(|&fd| fd <= last) {
        let _ = files.set_close_on_exec(fd, true);
        let Some(next) = fd.checked_add(1) else { break };
        at = next;
    }
    Ok(0)
}

pub fn dup(call: &mut Call<'_>, [fd, ..]: Arguments) -> Result<u64> {
    call.process().files().duplicate(fd as i32, 0, false, limit(call)).map(|fd| fd as u64)
}

pub fn dup2(call: &mut Call<'_>, [fd, to, ..]: Arguments) -> Result<u64> {
    if fd as i32 == to as i32 {
        call.process().files().get(fd as i32)?;
        return Ok(to & 0xFFFF_FFFF);
    }
    duplicate_to(call, fd, to, false)
}

pub fn dup3(call: &mut Call<'_>, [fd, to, flags, ..]: Arguments) -> Result<u64> {
    let flags = flags & 0xFFFF_FFFF;
    if flags & !u64::from(OpenFlags::CLOEXEC.bits()) != 0 || fd as i32 == to as i32 {
        return Err(Errno::Einval);
    }
    duplicate_to(call, fd, to, flags != 0)
}

fn duplicate_to(call: &mut Call<'_>, fd: u64, to: u64, close_on_exec: bool) -> Result<u64> {
    let old = call.process().files().duplicate_to(fd as i32, to as i32, close_on_exec, limit(call))?;
    if let Some(old) = old {
        closed(call, old);
    }
    Ok(to & 0xFFFF_FFFF)
}

pub fn pipe(call: &mut Call<'_>, [fds, ..]: Arguments) -> Result<u64> {
    pipe2(call, [fds, 0, 0, 0, 0, 0])
}

pub fn pipe2(call: &mut Call<'_>, [fds, flags, ..]: Arguments) -> Result<u64> {
    let known = OpenFlags::CLOEXEC | OpenFlags::NONBLOCK;
    let flags = OpenFlags::from_bits_retain(flags as u32);
    if !known.contains(flags) {
        return Err(Errno::Einval);
    }
    let close_on_exec = flags.contains(OpenFlags::CLOEXEC);
    let standing = call.standing();
    let [read, write] = standing.caller().pipe(flags)?;
    let files = call.process().files();
    let first = files.reserve(0, close_on_exec, limit(call))?;
    let second = files.reserve(0, close_on_exec, limit(call))?;
    usercopy::write(fds, &[first.number() as u32, second.number() as u32])?;
    first.install(read);
    second.install(write);
    Ok(0)
}

pub fn memfd_create(call: &mut Call<'_>, [name, flags, ..]: Arguments) -> Result<u64> {
    const CLOEXEC: u64 = 1;
    const NAME_MAX: usize = 250;
    let flags = flags & 0xFFFF_FFFF;
    if flags & !CLOEXEC != 0 {
        return Err(Errno::Einval);
    }
    let name = user::string(name, NAME_MAX, Errno::Einval)?;
    let files = call.process().files();
    let number = files.reserve(0, flags & CLOEXEC != 0, limit(call))?;
    let file = call.standing().caller().memory_file(&name)?;
    Ok(number.install(file) as u64)
}

const F_DUPFD: u64 = 0;
const F_GETFD: u64 = 1;
const F_SETFD: u64 = 2;
const F_GETFL: u64 = 3;
const F_SETFL: u64 = 4;
const F_GETLK: u64 = 5;
const F_SETLK: u64 = 6;
const F_SETLKW: u64 = 7;
const F_OFD_GETLK: u64 = 36;
const F_OFD_SETLK: u64 = 37;
const F_OFD_SETLKW: u64 = 38;
const F_DUPFD_CLOEXEC: u64 = 1030;
const F_SETPIPE_SZ: u64 = 1031;
const F_GETPIPE_SZ: u64 = 1032;

pub fn fcntl(call: &mut Call<'_>, [fd, command, argument, ..]: Arguments) -> Result<u64> {
    let command = command & 0xFFFF_FFFF;
    let files = call.process().files();
    match command {
        F_DUPFD | F_DUPFD_CLOEXEC => {
            let from = i32::try_from(argument).map_err(|_| Errno::Einval)?;
            files.duplicate(fd as i32, from, command == F_DUPFD_CLOEXEC, limit(call)).map(|fd| fd as u64)
        }
        F_GETFD => files.is_close_on_exec(fd as i32).map(u64::from),
        F_SETFD => files.set_close_on_exec(fd as i32, argument & 1 != 0).map(|()| 0),
        F_GETFL => Ok(u64::from(files.get(fd as i32)?.flags().bits())),
        F_SETFL => {
            files.get_file(fd as i32)?.set_flags(OpenFlags::from_bits_retain(argument as u32));
            Ok(0)
        }
        F_GETLK | F_SETLK | F_SETLKW => {
            let file = files.get_file(fd as i32)?;
            let owner = owner(call);
            let done = lock(&file, owner, argument, command == F_GETLK, command == F_SETLKW)?;
            // Another thread may have closed it since: what that gave back was not all.
            if command != F_GETLK
                && !call.process().files().get_file(fd as i32).is_ok_and(|now| now.is(&file))
            {
                file.locks().owner_gone(owner);
                return Err(Errno::Ebadf);
            }
            Ok(done)
        }
        F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW => {
            let file = files.get_file(fd as i32)?;
            let owner = LockOwner::of(&file);
            lock(&file, owner, argument, command == F_OFD_GETLK, command == F_OFD_SETLKW)
        }
        F_SETPIPE_SZ | F_GETPIPE_SZ => {
            let file = files.get_file(fd as i32)?;
            let wanted = (command == F_SETPIPE_SZ).then_some(argument);
            let privileged = call.process().credentials().is_root();
            let size = match wanted {
                Some(bytes) => {
                    file.ops().set_pipe_size(&file, usize::try_from(bytes).unwrap_or(usize::MAX), privileged)
                }
                None => file.ops().pipe_size(&file),
            };
            size.map(|size| size as u64)
        }
        _ => {
            files.get(fd as i32)?;
            Err(Errno::Einval)
        }
    }
}

/// struct flock: type, whence, start, len, pid.
fn lock(file: &File, owner: LockOwner, address: u64, only_asks: bool, waits: bool) -> Result<u64> {
    const READ: u16 = 0;
    const WRITE: u16 = 1;
    const UNLOCK: u16 = 2;
    let mut bytes = [0; 32];
    usercopy::copy_in(&mut bytes, address)?;
    let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let word = |at: usize| i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let (kind, whence, start, len) = (half(0), half(2), word(8), word(16));
    let base = match whence {
        0 => 0,
        1 => file.position(),
        2 => file.inode.ops.size(),
        _ => return Err(Errno::Einval),
    };
    let (start, end) = range(base, start, len)?;
    if kind > UNLOCK {
        return Err(Errno::Einval);
    }
    if !only_asks {
        if kind == READ && !file.access.read || kind == WRITE && !file.access.write {
            return Err(Errno::Ebadf);
        }
        let wanted = RangeLock { owner, start, end, exclusive: kind == WRITE };
        return match kind {
            UNLOCK => file.locks().unset(owner, start, end),
            _ if waits => file.locks().set(&wanted),
            _ => file.locks().try_set(&wanted),
        }
        .map(|()| 0);
    }
    if kind == UNLOCK {
        return Err(Errno::Einval);
    }
    match file.locks().blocker(&RangeLock { owner, start, end, exclusive: kind == WRITE }) {
        None => bytes[0..2].copy_from_slice(&UNLOCK.to_le_bytes()),
        Some(found) => {
            let len = if found.end == crate::fs::locks::EVER { 0 } else { found.end - found.start };
            bytes[0..2].copy_from_slice(&u16::from(found.exclusive).to_le_bytes());
            bytes[2..4].fill(0);
            bytes[8..16].copy_from_slice(&found.start.to_le_bytes());
            bytes[16..24].copy_from_slice(&len.to_le_bytes());
            bytes[24..28].copy_from_slice(&found.owner.pid().to_le_bytes());
        }
    }
    usercopy::copy_out(address, &bytes)?;
    Ok(0)
}

pub fn flock(call: &mut Call<'_>, [fd, operation, ..]: Arguments) -> Result<u64> {
    const NONBLOCK: u64 = 4;
    let operation = operation & 0xFFFF_FFFF;
    let file = call.file(fd)?;
    let exclusive = match operation & !NONBLOCK {
        1 => Some(false),
        2 => Some(true),
        8 => None,
        _ => return Err(Errno::Einval),
    };
    file.locks().flock(&file, exclusive, operation & NONBLOCK == 0).map(|()| 0)
}

pub fn ioctl(call: &mut Call<'_>, [fd, command, argument, ..]: Arguments) -> Result<u64> {
    const FIONBIO: u32 = 0x5421;
    const FIOCLEX: u32 = 0x5451;
    const FIONCLEX: u32 = 0x5450;
    let file = call.file(fd)?;
    match command as u32 {
        FIONBIO => {
            let on: u32 = usercopy::read(argument)?;
            let flags = file.flags();
            file.set_flags(if on != 0 { flags | OpenFlags::NONBLOCK } else { flags - OpenFlags::NONBLOCK });
            Ok(0)
        }
        FIOCLEX => call.process().files().set_close_on_exec(fd as i32, true).map(|()| 0),
        FIONCLEX => call.process().files().set_close_on_exec(fd as i32, false).map(|()| 0),
        command => file.ops().ioctl(&file, command, argument, &mut Mine),
    }
}
