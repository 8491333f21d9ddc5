//! Files, on the live machine: FIFOs between threads, one directory for several of them, devices in pieces of odd sizes.
//!
//! What the calls promise is tested on the host. Here they are called with interrupts, preemption and real frames, and what
//! they took must be given back.

use super::{Outcome, Trouble, check};
use crate::errno::Errno;
use crate::fs::calls::OpenHow;
use crate::fs::file::File;
use crate::fs::flags::OpenFlags;
use crate::fs::io::{From, Into};
use crate::fs::mode::{Device, Kind};
use crate::fs::namei::{At, Caller};
use crate::fs::poll::Events;
use crate::fs::refs::Ref;
use crate::fs::{self, pipe};
use crate::kernel::files;
use crate::task::{self, Policy};
use core::sync::atomic::{AtomicUsize, Ordering};

const FIFO: &[u8] = b"/tmp/selftest-fifo";
const DIR: &[u8] = b"/tmp/selftest";
/// Bytes that go through the FIFO, in pieces that are no divisor of a page.
const BYTES: usize = 1 << 20;
const PIECE: usize = 1021;
const THREADS: usize = 4;
const ROUNDS: usize = 500;

impl core::convert::From<Errno> for Trouble {
    fn from(_: Errno) -> Self {
        Self::Failed("a call was refused that should not have been")
    }
}

fn open(caller: &Caller<'_>, path: &[u8], flags: OpenFlags) -> fs::Result<Ref<File>> {
    caller.open(At::Cwd, path, OpenHow::new(flags.bits(), 0o600)?)
}

/// The byte at a place of the stream.
const fn byte(at: usize) -> u8 {
    (at as u32).wrapping_mul(0x9E37_79B9).to_be_bytes()[0]
}

/// Writes the stream; returns how many bytes.
fn write_stream(_: usize) -> usize {
    let Some(caller) = files::caller() else { return 0 };
    let Ok(end) = open(&caller, FIFO, OpenFlags::WRONLY) else { return 0 };
    let (mut buffer, mut done) = ([0; PIECE], 0);
    while done < BYTES {
        let piece = &mut buffer[..PIECE.min(BYTES - done)];
        piece.iter_mut().enumerate().for_each(|(n, at)| *at = byte(done + n));
        match end.write(&mut From(piece)) {
            Ok(written) if written == piece.len() => done += written,
            _ => break,
        }
    }
    Caller::close(end);
    done
}

fn fifo(caller: &Caller<'_>) -> Outcome {
    caller.mknod(At::Cwd, FIFO, Kind::Fifo.bits() | 0o600, Device::NONE)?;
    let refused = open(caller, FIFO, OpenFlags::WRONLY | OpenFlags::NONBLOCK);
    check(refused.is_err_and(|error| error == Errno::Enxio), "a FIFO without readers can be written to")?;
    let writer = task::spawn("fifo", Policy::Normal(0), write_stream, 0)
        .map_err(|_| Trouble::Skipped("no thread to be had"))?;
    // Waits for the writer.
    let end = open(caller, FIFO, OpenFlags::empty())?;
    let (mut buffer, mut done, mut same) = ([0; 4096 + 77], 0, true);
    loop {
        let mut into = Into::new(&mut buffer);
        if end.read(&mut into)? == 0 {
            break;
        }
        let came = into.filled();
        same &= came.iter().enumerate().all(|(n, &got)| got == byte(done + n));
        done += came.len();
    }
    let written = writer.join();
    check((done, written) == (BYTES, BYTES), "bytes are missing at the end of a FIFO")?;
    check(same, "bytes came out of a FIFO other than they went in")?;
    check(end.ops().poll(&end, None).contains(Events::HUP), "a FIFO without writers does not say so")?;
    check(
        end.seek(0, fs::flags::Whence::Set).is_err_and(|error| error == Errno::Espipe),
        "a FIFO has positions",
    )?;
    Caller::close(end);
    caller.unlink(At::Cwd, FIFO)?;
    check(pipe::files::count() == 0, "a FIFO that nobody has open is still there")
}

/// Two names, one digit each, in the shared directory.
fn name(thread: usize, round: usize) -> [u8; 17] {
    let mut name = *b"/tmp/selftest/0-0";
    name[14] = b'0' + thread as u8;
    name[16] = b'0' + (round % 8) as u8;
    name
}

/// Makes, writes, reads, and removes; returns how many rounds went well.
fn work_in_directory(thread: usize) -> usize {
    let Some(caller) = files::caller() else { return 0 };
    let round = |round: usize| -> fs::Result<bool> {
        let name = name(thread, round);
        let file = open(&caller, &name, OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::RDWR)?;
        let (sent, mut got) = ([(thread * 16 + round % 16) as u8; 5000], [0; 5001]);
        let written = file.write_at(&mut From(&sent), 100)?;
        let mut into = Into::new(&mut got);
        let read = file.read_at(&mut into, 99)?;
        let good =
            written == sent.len() && read == 5001 && into.filled()[0] == 0 && into.filled()[1..] == sent;
        Caller::close(file);
        // Somebody else's name, which is there or not.
        let other = self::name((thread + 1) % THREADS, round);
        let seen = caller.stat(At::Cwd, &other, fs::flags::AtFlags::empty());
        caller.unlink(At::Cwd, &name)?;
        Ok(good && !matches!(seen, Err(error) if error != Errno::Enoent))
    };
    (0..ROUNDS).filter(|&n| round(n) == Ok(true)).count()
}

fn directory(caller: &Caller<'_>) -> Outcome {
    caller.mkdir(At::Cwd, DIR, 0o700)?;
    let threads: [_; THREADS] =
        core::array::from_fn(|thread| task::spawn("files", Policy::Normal(0), work_in_directory, thread));
    let good: usize = threads.into_iter().map(|thread| thread.map_or(0, task::JoinHandle::join)).sum();
    caller.rmdir(At::Cwd, DIR)?;
    check(good == THREADS * ROUNDS, "a thread did not find what it had written")
}

fn devices(caller: &Caller<'_>) -> Outcome {
    let zero = open(caller, b"/dev/zero", OpenFlags::RDWR)?;
    let full = open(caller, b"/dev/full", OpenFlags::RDWR)?;
    let null = open(caller, b"/dev/null", OpenFlags::RDWR)?;
    let random = open(caller, b"/dev/urandom", OpenFlags::empty())?;
    for len in [0, 1, 255, 256, 257, 1000] {
        for (file, expected) in [(&zero, len), (&full, len), (&null, 0), (&random, len)] {
            let mut buffer = [0xAA; 1001];
            let done = file.read_at(&mut Into::new(&mut buffer[..len]), 12_345)?;
            check(done == expected, "a device gives another number of bytes than was asked for")?;
            check(buffer[len..].iter().all(|&byte| byte == 0xAA), "a device writes behind the buffer")?;
        }
        let mut buffer = [0xAA; 1000];
        zero.read(&mut Into::new(&mut buffer[..len]))?;
        check(buffer[..len].iter().all(|&byte| byte == 0), "/dev/zero has something else")?;
        check(zero.write(&mut From(&buffer[..len]))? == len, "/dev/zero does not take everything")?;
        check(null.write(&mut From(&buffer[..len]))? == len, "/dev/null does not take everything")?;
    }
    let refused = full.write(&mut From(b"x"));
    check(refused.is_err_and(|error| error == Errno::Enospc), "/dev/full takes something")?;
    // A record of the log fits, or is refused and still there.
    let log = open(caller, b"/dev/kmsg", OpenFlags::NONBLOCK)?;
    let mut small = [0; 4];
    let refused = log.read(&mut Into::new(&mut small));
    check(refused.is_err_and(|error| error == Errno::Einval), "a record went into four bytes")?;
    let mut large = [0; 8192];
    check(log.read(&mut Into::new(&mut large))? > 4, "there is no record")
}

pub fn run() -> Outcome {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    let caller = files::caller().ok_or(Trouble::Failed("there are no files"))?;
    check(RUNNING.swap(1, Ordering::Relaxed) == 0, "it is running already")?;
    let result = fifo(&caller).and_then(|()| directory(&caller)).and_then(|()| devices(&caller));
    RUNNING.store(0, Ordering::Relaxed);
    fs::tidy();
    result
}
