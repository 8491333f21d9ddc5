//! A pair, typed at and hung up: the order of things that a program that plays a terminal relies on.

use super::super::{Outcome, Trouble, check};
use super::{World, ask, change, order, read, write};
use crate::errno::Errno;
use crate::fs::file::File;
use crate::fs::flags::OpenFlags;
use crate::fs::initramfs::crc32::Crc32;
use crate::fs::poll::{Events, Watch};
use crate::fs::refs::Ref;
use crate::sync::parker::NEVER;
use crate::task::{Policy, spawn};
use crate::tty::ptys::PAIRS;
use crate::tty::termios::Termios;
use alloc::string::String;
use core::fmt::Write;
use core::sync::atomic::{AtomicUsize, Ordering};

const TIOCGPTN: u32 = 0x8004_5430;
const TIOCSPTLCK: u32 = 0x4004_5431;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;

/// Bytes that go through the pair, each way.
const BYTES: usize = 64 << 10;

/// What a call that must not fail has found otherwise.
fn fail(_: Errno) -> Trouble {
    Trouble::Failed("a call fails that must not")
}

pub fn run() -> Outcome {
    let before = pairs();
    {
        let world = World::new().map_err(fail)?;
        let master = world.open("ptmx", OpenFlags::empty()).map_err(fail)?;
        let number = ask(&master, TIOCGPTN).map_err(fail)?;
        let mut name = String::new();
        let _ = write!(name, "pts/{number}");
        check(world.open(&name, OpenFlags::empty()).err() == Some(Errno::Eio), "a locked slave opens")?;
        order(&master, TIOCSPTLCK, &mut [0; 4]).map_err(fail)?;
        let slave = world.open(&name, OpenFlags::empty()).map_err(fail)?;
        lines(&master, &slave)?;
        sizes(&master, &slave)?;
        waiting(&master, &slave)?;
        through(&master, &slave)?;
        drop(slave);
        let gone = read(&master, &mut [0; 8]).err();
        check(gone == Some(Errno::Eio), "the master reads though no slave is left")?;
        let slave = world.open(&name, OpenFlags::empty()).map_err(fail)?;
        hung_up(master, &slave)?;
        let gone = world.open(&name, OpenFlags::empty()).err();
        check(gone == Some(Errno::Enoent), "the slave of a closed master has a name")?;
    }
    check(pairs() == before, "the number of a closed pair is in use")
}

fn pairs() -> usize {
    let mut count = 0;
    PAIRS.each(&mut |_| count += 1);
    count
}

/// A line typed, one corrected, ^C, and the end of input.
fn lines(master: &File, slave: &File) -> Outcome {
    let table: &[(&[u8], &[u8], &[u8])] = &[
        // typed, read, seen
        (b"ls -l\r", b"ls -l\n", b"ls -l\r\n"),
        (b"lx\x7fs\r", b"ls\n", b"lx\x08 \x08s\r\n"),
        // ^C drops the echo that has not gone out, too.
        (b"forget\x03this\r", b"this\n", b"^Cthis\r\n"),
        (b"no end\x04", b"no end", b"no end"),
        (b"\x04", b"", b""),
    ];
    let mut buffer = [0; 64];
    for &(typed, line, seen) in table {
        check(write(master, typed) == Ok(typed.len()), "what is typed is not taken")?;
        check(read(slave, &mut buffer) == Ok(line), "another line than was typed")?;
        if !seen.is_empty() {
            check(read(master, &mut buffer) == Ok(seen), "another echo than is right")?;
        }
    }
    check(write(slave, b"out\n") == Ok(4), "the slave does not write")?;
    check(read(master, &mut buffer) == Ok(b"out\r\n"), "the output is not as OPOST makes it")
}

/// Either end says how large the window is, and the other knows.
fn sizes(master: &File, slave: &File) -> Outcome {
    for (says, asks, rows) in [(master, slave, 50), (slave, master, 25)] {
        let mut size = [rows, 0, 80, 0, 0, 0, 0, 0];
        order(says, TIOCSWINSZ, &mut size).map_err(fail)?;
        let mut seen = [0; 8];
        order(asks, TIOCGWINSZ, &mut seen).map_err(fail)?;
        check(seen == size, "the window has another size than was said")?;
    }
    Ok(())
}

/// A file as a thread's argument. The thread is joined before the reference ends.
fn argument(file: &File) -> usize {
    core::ptr::from_ref(file) as usize
}

/// # Safety
/// The argument is from [`argument`], and its file is there.
unsafe fn file_of(argument: usize) -> &'static File {
    // SAFETY: the caller's promise.
    unsafe { &*(argument as *const File) }
}

/// A reader that sleeps, and one that polls, are woken by what is typed.
fn waiting(master: &File, slave: &File) -> Outcome {
    let reader = |argument| {
        // SAFETY: whoever spawned this thread joins it and has the file.
        let slave = unsafe { file_of(argument) };
        let mut buffer = [0; 16];
        read(slave, &mut buffer).map_or(0, <[u8]>::len)
    };
    let thread = spawn("test", Policy::Normal(0), reader, argument(slave)).map_err(|_| "no thread")?;
    let typed = write(master, b"wake up\r");
    check(thread.join() == 8 && typed == Ok(8), "who sleeps in a read is not woken")?;

    let mut watch = Watch::new(2).map_err(fail)?;
    let polled = slave.ops().poll(slave, Some(&mut watch));
    check(!polled.contains(Events::IN) && polled.contains(Events::OUT), "poll says something else")?;
    let writer = |argument| {
        // SAFETY: as above.
        let master = unsafe { file_of(argument) };
        write(master, b"again\r").unwrap_or(0)
    };
    let thread = spawn("test", Policy::Normal(0), writer, argument(master)).map_err(|_| "no thread")?;
    while !slave.ops().poll(slave, None).contains(Events::IN) {
        watch.sleep(NEVER).map_err(fail)?;
        watch.clear();
        slave.ops().poll(slave, Some(&mut watch));
    }
    let written = thread.join();
    let mut buffer = [0; 64];
    check(written == 6 && read(slave, &mut buffer) == Ok(b"again\n"), "who polls reads something else")?;
    // The echo of both.
    check(read(master, &mut buffer).is_ok(), "there is no echo")
}

/// A byte of the stream, by its place.
fn byte(at: usize) -> u8 {
    (at.wrapping_mul(0x9E37_79B1) >> 13) as u8
}

/// Many bytes both ways at once, raw.
fn through(master: &File, slave: &File) -> Outcome {
    change(slave, Termios::make_raw).map_err(fail)?;
    let sender = |argument| {
        // SAFETY: as in `waiting`.
        let file = unsafe { file_of(argument) };
        let (mut sent, mut piece) = (0, [0; 777]);
        while sent < BYTES {
            let len = piece.len().min(BYTES - sent);
            (0..len).for_each(|at| piece[at] = byte(sent + at));
            match write(file, &piece[..len]) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
        }
        sent
    };
    let receiver = |argument| {
        // SAFETY: as in `waiting`.
        let file = unsafe { file_of(argument) };
        let (mut got, mut sum, mut buffer) = (0, Crc32::new(), [0; 1000]);
        while got < BYTES {
            match read(file, &mut buffer) {
                Ok(bytes) if !bytes.is_empty() => {
                    got += bytes.len();
                    sum.update(bytes);
                }
                _ => break,
            }
        }
        sum.value() as usize
    };
    let mut right = Crc32::new();
    (0..BYTES).for_each(|at| right.update(&[byte(at)]));
    let start =
        |entry, file| spawn("test", Policy::Normal(0), entry, argument(file)).map_err(|_| "no thread");
    let threads =
        [start(sender, master)?, start(receiver, slave)?, start(sender, slave)?, start(receiver, master)?];
    let [sent, got, answered, heard] = threads.map(|thread| thread.join());
    check((sent, answered) == (BYTES, BYTES), "not all was sent")?;
    let right = right.value() as usize;
    check((got, heard) == (right, right), "other bytes came than were sent")?;
    change(slave, |settings| *settings = Termios { cc: settings.cc, ..Termios::standard() }).map_err(fail)
}

/// The thread that `hung_up` waits for is about to read.
static READING: AtomicUsize = AtomicUsize::new(0);

/// The master goes while somebody reads.
fn hung_up(master: Ref<File>, slave: &File) -> Outcome {
    READING.store(0, Ordering::Relaxed);
    let reader = |argument| {
        // SAFETY: as in `waiting`.
        let slave = unsafe { file_of(argument) };
        READING.store(1, Ordering::Release);
        match read(slave, &mut [0; 8]) {
            Err(Errno::Eio) => 1,
            // It came too late to sleep.
            Ok([]) => 2,
            _ => 3,
        }
    };
    let thread = spawn("test", Policy::Normal(0), reader, argument(slave)).map_err(|_| "no thread")?;
    while READING.load(Ordering::Acquire) == 0 {
        crate::task::yield_now();
    }
    drop(master);
    check(matches!(thread.join(), 1 | 2), "a reader is not told that the master is gone")?;
    check(read(slave, &mut [0; 8]) == Ok(b""), "a dead slave's read has no end")?;
    check(write(slave, b"x") == Err(Errno::Eio), "a dead slave can be written to")?;
    let polled = slave.ops().poll(slave, None);
    check(polled.contains(Events::HUP | Events::ERR | Events::IN), "poll does not say that it is dead")
}
