//! Open files of terminals: a serial line's, a pair's master and slave.
//!
//! What is read and written goes through a buffer of the kernel's: a program's memory may fault, and nobody waits for that
//! with a terminal's lock held. One read takes at most as much as a discipline holds, so that a buffer of that size never
//! ends a line too early. A write goes in pieces of that size, each of which stays together.

use super::super::error::Error;
use super::super::ioctl::Memory;
use super::super::pair::Pair;
use super::super::ptys::PAIRS;
use super::super::serial::{self, SerialTty};
use super::super::terminal::{Opened, Poll};
use super::super::waiting::Waiting;
use super::errno;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::file::{File, FileOps};
use crate::fs::flags::OpenFlags;
use crate::fs::io::{Sink, Source, User, moved};
use crate::fs::poll::{Events, Watch};
use crate::fs::refs::Ref;
use crate::mm::vma::room;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// Bytes that are moved at once.
const PIECE: usize = 4096;

/// What is open; closed once, by the file's end or, if there never was a file, by its own.
struct Closing(AtomicBool);

impl Closing {
    const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    fn is_first(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

fn buffer(wanted: usize) -> Result<Vec<u8>> {
    let len = wanted.min(PIECE);
    let mut buffer = room::with_room(len).map_err(|_| Errno::Enomem)?;
    buffer.resize(len, 0);
    Ok(buffer)
}

fn is_nonblocking(file: &File) -> bool {
    file.flags().contains(OpenFlags::NONBLOCK)
}

/// One read into a buffer, and from there to whoever wants it.
fn read_to(
    to: &mut dyn Sink,
    read: impl FnOnce(&mut [u8]) -> core::result::Result<usize, Error>,
) -> Result<usize> {
    let mut buffer = buffer(to.room())?;
    let got = read(&mut buffer).map_err(errno)?;
    if got == 0 { Ok(0) } else { moved(to.put(&buffer[..got])) }
}

/// Writes until there is nothing left, or a piece is not written as a whole.
fn write_from(
    from: &mut dyn Source,
    mut write: impl FnMut(&[u8]) -> core::result::Result<usize, Error>,
) -> Result<usize> {
    let mut buffer = buffer(from.left())?;
    let mut done = 0;
    loop {
        let wanted = from.left().min(buffer.len());
        let len = from.take(&mut buffer[..wanted]);
        // Nothing at all is written too: who may not write is told.
        let count = match write(&buffer[..len]) {
            Ok(count) => count,
            Err(_) if done > 0 => return Ok(done),
            Err(problem) => return Err(errno(problem)),
        };
        done += count;
        match (len < wanted, from.left()) {
            (true, _) => return moved(done),
            (false, 0) => return Ok(done),
            _ if count < len => return Ok(done),
            _ => {}
        }
    }
}

/// Has the watch in both queues; the state is looked at afterwards.
fn enlist(watch: Option<&mut Watch>, readers: &Waiting, writers: &Waiting) {
    if let Some(watch) = watch {
        // SAFETY: the queues are a terminal's that the file refers to, and who polls keeps the file.
        unsafe {
            watch.add(readers.queue());
            watch.add(writers.queue());
        }
    }
}

/// Both have Linux's numbers.
fn events(poll: Poll) -> Events {
    Events::from_bits_truncate(poll.bits() as u16)
}

/// Whoever gives an order, as terminals know him.
struct Giver<'a>(RefCell<&'a mut dyn User>);

impl Memory for Giver<'_> {
    fn read(&self, address: u64, to: &mut [u8]) -> core::result::Result<(), Error> {
        self.0.borrow_mut().copy_in(to, address).map_err(|_| Error::Fault)
    }

    fn write(&mut self, address: u64, from: &[u8]) -> core::result::Result<(), Error> {
        self.0.get_mut().copy_out(address, from).map_err(|_| Error::Fault)
    }
}

/// A file of a serial line.
pub struct SerialFile {
    tty: &'static SerialTty,
    opened: Opened,
    closing: Closing,
}

impl SerialFile {
    pub const fn new(tty: &'static SerialTty, opened: Opened) -> Self {
        Self { tty, opened, closing: Closing::new() }
    }

    fn close(&self) {
        if self.closing.is_first() {
            serial::close(self.tty, &self.opened);
        }
    }
}

impl FileOps for SerialFile {
    fn read(&self, file: &File, to: &mut dyn Sink, _: u64) -> Result<usize> {
        read_to(to, |buffer| self.tty.read(&self.opened, buffer, is_nonblocking(file)))
    }

    fn write(&self, file: &File, from: &mut dyn Source, _: u64) -> Result<usize> {
        write_from(from, |bytes| self.tty.write(&self.opened, bytes, is_nonblocking(file)))
    }

    fn is_stream(&self) -> bool {
        true
    }

    fn ioctl(&self, _: &File, command: u32, argument: u64, user: &mut dyn User) -> Result<u64> {
        self.tty.ioctl(&self.opened, command, argument, &mut Giver(RefCell::new(user))).map_err(errno)
    }

    fn poll(&self, _: &File, watch: Option<&mut Watch>) -> Events {
        enlist(watch, self.tty.readers(), self.tty.writers());
        events(self.tty.poll(&self.opened))
    }

    fn release(&self, _: &File) {
        self.close();
    }
}

impl Drop for SerialFile {
    fn drop(&mut self) {
        self.close();
    }
}

/// A pair's master.
pub struct MasterFile {
    number: u32,
    pair: Ref<Pair>,
    closing: Closing,
}

impl MasterFile {
    pub const fn new(number: u32, pair: Ref<Pair>) -> Self {
        Self { number, pair, closing: Closing::new() }
    }

    fn close(&self) {
        if self.closing.is_first() {
            PAIRS.close_master(self.number, &self.pair);
        }
    }
}

impl FileOps for MasterFile {
    fn read(&self, file: &File, to: &mut dyn Sink, _: u64) -> Result<usize> {
        read_to(to, |buffer| self.pair.master_read(buffer, is_nonblocking(file)))
    }

    fn write(&self, file: &File, from: &mut dyn Source, _: u64) -> Result<usize> {
        write_from(from, |bytes| self.pair.master_write(bytes, is_nonblocking(file)))
    }

    fn is_stream(&self) -> bool {
        true
    }

    fn ioctl(&self, file: &File, command: u32, argument: u64, user: &mut dyn User) -> Result<u64> {
        // Before anybody can have opened the slave, which the master has to unlock.
        PAIRS.set_user(self.number, file.credentials.fs_uid);
        self.pair.ioctl(None, command, argument, &mut Giver(RefCell::new(user))).map_err(errno)
    }

    fn poll(&self, _: &File, watch: Option<&mut Watch>) -> Events {
        let (readers, writers) = self.pair.master_waiting();
        enlist(watch, readers, writers);
        events(self.pair.master_poll())
    }

    fn release(&self, _: &File) {
        self.close();
    }
}

impl Drop for MasterFile {
    fn drop(&mut self) {
        self.close();
    }
}

/// A pair's slave.
pub struct SlaveFile {
    number: u32,
    pair: Ref<Pair>,
    opened: Opened,
    closing: Closing,
}

impl SlaveFile {
    pub const fn new(number: u32, pair: Ref<Pair>, opened: Opened) -> Self {
        Self { number, pair, opened, closing: Closing::new() }
    }

    fn close(&self) {
        if self.closing.is_first() {
            PAIRS.close_slave(self.number, &self.pair);
        }
    }
}

impl FileOps for SlaveFile {
    fn read(&self, file: &File, to: &mut dyn Sink, _: u64) -> Result<usize> {
        read_to(to, |buffer| self.pair.slave_read(&self.opened, buffer, is_nonblocking(file)))
    }

    fn write(&self, file: &File, from: &mut dyn Source, _: u64) -> Result<usize> {
        write_from(from, |bytes| self.pair.slave_write(&self.opened, bytes, is_nonblocking(file)))
    }

    fn is_stream(&self) -> bool {
        true
    }

    fn ioctl(&self, _: &File, command: u32, argument: u64, user: &mut dyn User) -> Result<u64> {
        let mut giver = Giver(RefCell::new(user));
        self.pair.ioctl(Some(&self.opened), command, argument, &mut giver).map_err(errno)
    }

    fn poll(&self, _: &File, watch: Option<&mut Watch>) -> Events {
        let (readers, writers) = self.pair.slave_waiting();
        enlist(watch, readers, writers);
        events(self.pair.slave_poll(&self.opened))
    }

    fn release(&self, _: &File) {
        self.close();
    }
}

impl Drop for SlaveFile {
    fn drop(&mut self) {
        self.close();
    }
}
