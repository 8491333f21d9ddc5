//! Reading and writing: what moves bytes between files and a program's memory.

use super::{Arguments, Call};
use crate::arch::x86_64::usercopy;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::file::File;
use crate::fs::flags::{OpenFlags, Whence};
use crate::fs::io;
use crate::mm::vma::room;
use crate::proc::limits::Resource;
use crate::proc::send;
use crate::proc::signal::{Info, Signal};
use crate::proc::user::{Span, Spans};
use crate::sync::interrupt;
use alloc::vec::Vec;

/// The most that one call moves, as on Linux (`MAX_RW_COUNT`).
const MOST: usize = 0x7FFF_F000;
/// Pieces in one call (`IOV_MAX`).
const SPANS_MAX: u64 = 1024;

fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(MOST).min(MOST)
}

fn limit(call: &Call<'_>) -> u64 {
    call.process().limits.lock().soft(Resource::FileSize)
}

/// What a write has come to: one that nobody reads from, all of it or the rest, or that a limit has cut off, has its signal.
pub fn wrote(call: &Call<'_>, result: Result<usize>, is_broken_off: bool) -> Result<u64> {
    let signal = match result {
        Err(Errno::Epipe) => Signal::PIPE,
        Ok(_) if is_broken_off => Signal::PIPE,
        Err(Errno::Efbig) if limit(call) != u64::MAX => Signal::XFSZ,
        _ => return result.map(|done| done as u64),
    };
    send::to_thread(call.task, Info::kernel(signal));
    result.map(|done| done as u64)
}

pub fn read(call: &mut Call<'_>, [fd, buf, len, ..]: Arguments) -> Result<u64> {
    let file = call.file(fd)?;
    Ok(file.read(&mut one(buf, len)?)? as u64)
}

pub fn write(call: &mut Call<'_>, [fd, buf, len, ..]: Arguments) -> Result<u64> {
    let file = call.file(fd)?;
    let mut from = one(buf, len)?.up_to(limit(call));
    let result = file.write(&mut from);
    wrote(call, result, from.is_broken_off())
}

pub fn pread(call: &mut Call<'_>, [fd, buf, len, offset, ..]: Arguments) -> Result<u64> {
    let file = call.file(fd)?;
    Ok(file.read_at(&mut one(buf, len)?, offset)? as u64)
}

pub fn pwrite(call: &mut Call<'_>, [fd, buf, len, offset, ..]: Arguments) -> Result<u64> {
    let file = call.file(fd)?;
    let result = file.write_at(&mut one(buf, len)?.up_to(limit(call)), offset);
    wrote(call, result, false)
}

/// One piece. EFAULT if it is not all of the user's half, whether or not there is anything to be moved.
fn one(address: u64, len: u64) -> Result<Spans<'static>> {
    usercopy::check(address, len)?;
    Ok(Spans::one(address, count(len)))
}

/// A list of pieces, cut off where the call is at its end.
fn spans(address: u64, len: u64) -> Result<Vec<Span>> {
    if len > SPANS_MAX {
        return Err(Errno::Einval);
    }
    let mut spans = room::with_room(len as usize)?;
    let mut total = 0_usize;
    for n in 0..len {
        let [address, len]: [u64; 2] = usercopy::read(address + n * 16)?;
        if i64::try_from(len).is_err() {
            return Err(Errno::Einval);
        }
        usercopy::check(address, len)?;
        let len = count(len).min(MOST - total);
        total += len;
        spans.push(Span { address, len });
    }
    Ok(spans)
}

pub fn readv(call: &mut Call<'_>, [fd, address, len, ..]: Arguments) -> Result<u64> {
    let file = call.file(fd)?;
    Ok(file.read(&mut Spans::of(&spans(address, len)?))? as u64)
}

pub fn writev(call: &mut Call<'_>, [fd, address, len, ..]: Arguments) -> Result<u64> {
    let file = call.file(fd)?;
    let spans = spans(address, len)?;
    let mut from = Spans::of(&spans).up_to(limit(call));
    let result = file.write(&mut from);
    wrote(call, result, from.is_broken_off())
}

pub fn preadv(call: &mut Call<'_>, [fd, address, len, offset, ..]: Arguments) -> Result<u64> {
    let file = call.file(fd)?;
    Ok(file.read_at(&mut Spans::of(&spans(address, len)?), offset)? as u64)
}

pub fn pwritev(call: &mut Call<'_>, [fd, address, len, offset, ..]: Arguments) -> Result<u64> {
    let file = call.file(fd)?;
    let spans = spans(address, len)?;
    let result = file.write_at(&mut Spans::of(&spans).up_to(limit(call)), offset);
    wrote(call, result, false)
}

pub fn lseek(call: &mut Call<'_>, [fd, offset, whence, ..]: Arguments) -> Result<u64> {
    let whence = Whence::from_number(whence as u32).ok_or(Errno::Einval)?;
    call.file(fd)?.seek(offset as i64, whence)
}

pub fn fsync(call: &mut Call<'_>, [fd, ..]: Arguments) -> Result<u64> {
    let file = call.file(fd)?;
    file.ops().fsync(&file, false).map(|()| 0)
}

pub fn fdatasync(call: &mut Call<'_>, [fd, ..]: Arguments) -> Result<u64> {
    let file = call.file(fd)?;
    file.ops().fsync(&file, true).map(|()| 0)
}

/// Advice, which may be left unheeded.
pub fn fadvise64(call: &mut Call<'_>, [fd, _, _, advice, ..]: Arguments) -> Result<u64> {
    let file = call.file(fd)?;
    if file.ops().is_stream() {
        return Err(Errno::Espipe);
    }
    if advice as u32 > 5 { Err(Errno::Einval) } else { Ok(0) }
}

/// Bytes that are moved at once from one file to another.
const PIECE: usize = 32 << 10;

pub fn sendfile(call: &mut Call<'_>, [to, from, offset, len, ..]: Arguments) -> Result<u64> {
    let (from, to) = (call.file(from)?, call.file(to)?);
    if to.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::Einval);
    }
    let mut at = if offset == 0 { None } else { Some(usercopy::read::<u64>(offset)?) };
    if at.is_none() && from.ops().is_stream() {
        return Err(Errno::Einval);
    }
    let mut is_broken_off = false;
    let result = copy(call, &from, &to, &mut at, count(len), &mut is_broken_off);
    if let Some(at) = at {
        usercopy::write(offset, &at)?;
    }
    wrote(call, result, is_broken_off)
}

fn copy(
    call: &Call<'_>,
    from: &File,
    to: &File,
    at: &mut Option<u64>,
    len: usize,
    is_broken_off: &mut bool,
) -> Result<usize> {
    let mut buffer = room::with_room(PIECE.min(len))?;
    buffer.resize(PIECE.min(len), 0);
    let mut done = 0;
    while done < len {
        if done > 0 && interrupt::is_pending() {
            break;
        }
        let wanted = (len - done).min(buffer.len());
        let begin = at.map_or_else(|| from.position(), |at| at);
        let got = match from.read_at(&mut io::Into::new(&mut buffer[..wanted]), begin) {
            Err(_) if done > 0 => break,
            other => other?,
        };
        if got == 0 {
            break;
        }
        let mut source = Bounded {
            bytes: io::From(&buffer[..got]),
            limit: limit(call),
            is_broken_off: &mut *is_broken_off,
        };
        let put = match to.write(&mut source) {
            Err(_) if done > 0 => break,
            other => other?,
        };
        done += put;
        match at {
            Some(at) => *at += put as u64,
            None => _ = from.seek((begin + put as u64) as i64, Whence::Set)?,
        }
        if put < got {
            break;
        }
    }
    Ok(done)
}

/// Bytes for a file that may not become larger than it may.
struct Bounded<'a> {
    bytes: io::From<'a>,
    limit: u64,
    is_broken_off: &'a mut bool,
}

impl io::Source for Bounded<'_> {
    fn left(&self) -> usize {
        self.bytes.left()
    }

    fn take(&mut self, to: &mut [u8]) -> usize {
        self.bytes.take(to)
    }

    fn file_size_limit(&self) -> u64 {
        self.limit
    }

    fn nobody_reads(&mut self) {
        *self.is_broken_off = true;
    }
}
