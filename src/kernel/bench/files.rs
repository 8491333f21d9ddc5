//! What files cost: the calls that programs will make, without the way from ring 3 and back.

use super::OPERATIONS;
use crate::arch::x86_64::tsc;
use crate::errno::Errno;
use crate::fs::calls::OpenHow;
use crate::fs::file::{Entries, File};
use crate::fs::flags::{AtFlags, OpenFlags};
use crate::fs::io::{From, Into};
use crate::fs::mode::{Device, Kind};
use crate::fs::namei::{At, Caller};
use crate::fs::refs::Ref;
use crate::fs::{Result, tidy};
use crate::kernel::files;
use core::hint::black_box;

const DIR: &[u8] = b"/bench";
const INNER: &[u8] = b"/bench/inner";
const FILE: &[u8] = b"/bench/inner/file";
const OTHER: &[u8] = b"/bench/inner/other";
const FIFO: &[u8] = b"/bench/inner/fifo";
const PAGE: usize = 4096;
/// Entries of the directory that is listed, and how often.
const MANY: usize = 1000;
const LISTINGS: u64 = 20;

fn open(caller: &Caller<'_>, path: &[u8], flags: OpenFlags) -> Result<Ref<File>> {
    caller.open(At::Cwd, path, OpenHow::new(flags.bits(), 0o644)?)
}

/// Takes away what is there: also what an earlier one has left.
fn clear(caller: &Caller<'_>) {
    for path in [FILE, OTHER, FIFO] {
        let _ = caller.unlink(At::Cwd, path);
    }
    let _ = caller.rmdir(At::Cwd, INNER);
    let _ = caller.rmdir(At::Cwd, DIR);
}

/// Hundredths of ticks for each of `count` calls, of what `prepare` makes in a directory. Interrupts stay on: the calls
/// may sleep.
fn measure<'a, T>(
    caller: &'a Caller<'a>,
    count: u64,
    prepare: impl FnOnce(&'a Caller<'a>) -> Result<T>,
    mut call: impl FnMut(&'a Caller<'a>, &T) -> Result<()>,
) -> Option<u64> {
    clear(caller);
    let prepared = caller.mkdir(At::Cwd, DIR, 0o755).and_then(|()| caller.mkdir(At::Cwd, INNER, 0o755));
    let result = prepared.and_then(|()| {
        let file = open(caller, FILE, OpenFlags::CREAT | OpenFlags::RDWR)?;
        file.write(&mut From(&[7; PAGE]))?;
        let prepared = prepare(caller)?;
        // Once, for what the caches are to know.
        call(caller, &prepared)?;
        let start = tsc::read_ordered();
        for _ in 0..count {
            call(caller, black_box(&prepared))?;
        }
        Ok((tsc::read_ordered() - start) * 100 / count)
    });
    clear(caller);
    tidy();
    result.ok()
}

fn run<T>(
    prepare: impl for<'a> FnOnce(&'a Caller<'a>) -> Result<T>,
    call: impl for<'a> FnMut(&'a Caller<'a>, &T) -> Result<()>,
) -> Option<u64> {
    let caller = files::caller()?;
    measure(&caller, OPERATIONS, prepare, call)
}

pub fn open_close() -> Option<u64> {
    run(
        |_| Ok(()),
        |caller, ()| {
            Caller::close(open(caller, FILE, OpenFlags::empty())?);
            Ok(())
        },
    )
}

pub fn stat() -> Option<u64> {
    run(
        |_| Ok(()),
        |caller, ()| {
            black_box(caller.stat(At::Cwd, black_box(FILE), AtFlags::empty())?);
            Ok(())
        },
    )
}

/// Reads a whole buffer, or fails.
fn read(file: &File, buffer: &mut [u8]) -> Result<()> {
    let done = file.read_at(&mut Into::new(buffer), 0)?;
    if done == buffer.len() { Ok(()) } else { Err(Errno::Eio) }
}

pub fn read_zero() -> Option<u64> {
    run(|caller| open(caller, b"/dev/zero", OpenFlags::empty()), |_, file| read(file, black_box(&mut [1])))
}

pub fn pread() -> Option<u64> {
    let mut buffer = [0; PAGE];
    run(|caller| open(caller, FILE, OpenFlags::empty()), |_, file| read(file, black_box(&mut buffer)))
}

pub fn pipe() -> Option<u64> {
    const BYTES: usize = 64;
    let mut buffer = [0; BYTES];
    run(
        |caller| {
            caller.mknod(At::Cwd, FIFO, Kind::Fifo.bits() | 0o600, Device::NONE)?;
            open(caller, FIFO, OpenFlags::RDWR)
        },
        |_, file| {
            let written = file.write(&mut From(black_box(&[5; BYTES])))?;
            let done = file.read(&mut Into::new(black_box(&mut buffer)))?;
            if (written, done) == (BYTES, BYTES) { Ok(()) } else { Err(Errno::Eio) }
        },
    )
}

pub fn create_unlink() -> Option<u64> {
    run(
        |_| Ok(()),
        |caller, ()| {
            Caller::close(open(caller, OTHER, OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::WRONLY)?);
            caller.unlink(At::Cwd, OTHER)
        },
    )
}

/// Counts entries.
struct Count(usize);

impl Entries for Count {
    fn add(&mut self, name: &[u8], number: u64, kind: Kind, next: u64) -> bool {
        black_box((name, number, kind, next));
        self.0 += 1;
        true
    }
}

/// A name of four bytes with `number` in it.
fn entry(path: &mut [u8; INNER.len() + 5], number: usize) -> &[u8] {
    path[..INNER.len()].copy_from_slice(INNER);
    path[INNER.len()] = b'/';
    for (at, digit) in path[INNER.len() + 1..].iter_mut().zip([1000, 100, 10, 1]) {
        *at = b'0' + (number / digit % 10) as u8;
    }
    path
}

pub fn readdir() -> Option<u64> {
    let caller = files::caller()?;
    let mut path = [0; INNER.len() + 5];
    let result = measure(
        &caller,
        LISTINGS,
        |caller| {
            let mut path = [0; INNER.len() + 5];
            (0..MANY - 1)
                .try_for_each(|number| caller.mknod(At::Cwd, entry(&mut path, number), 0o644, Device::NONE))
        },
        |caller, ()| {
            let dir = open(caller, INNER, OpenFlags::DIRECTORY)?;
            let mut count = Count(0);
            dir.readdir(&mut count)?;
            // With the file that is always there, `.` and `..`.
            if count.0 == MANY + 2 { Ok(()) } else { Err(Errno::Eio) }
        },
    );
    for number in 0..MANY - 1 {
        let _ = caller.unlink(At::Cwd, entry(&mut path, number));
    }
    clear(&caller);
    result
}
