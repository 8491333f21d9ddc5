//! The live pseudo-terminal: a [`Pty`], its lock, and those who wait.
//!
//! Two kinds of files belong to it, the master's and the slave's. What they do is in [`super::pty`]; here somebody who has
//! to wait sleeps, and whoever made way wakes him.

#[cfg(test)]
mod tests;

use super::device::Surroundings;
use super::error::Error;
use super::ioctl::Memory;
use super::job::TtyId;
use super::n_tty::Step;
use super::pty::{Pty, Wake};
use super::terminal::{self, Answer, Opened, Order, Poll};
use super::waiting::Waiting;
use crate::sync::parker::NEVER;
use crate::sync::{Mutex, Rank};

/// The pair.
pub struct Pair {
    around: Surroundings,
    pty: Mutex<Pty>,
    read_turn: Mutex<()>,
    write_turn: Mutex<()>,
    slave_readers: Waiting,
    slave_writers: Waiting,
    master_readers: Waiting,
    master_writers: Waiting,
}

impl Pair {
    /// A new pair, its master open.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn new(number: u32, id: TtyId, around: Surroundings) -> Result<Self, Error> {
        Ok(Self {
            around,
            pty: Mutex::new(Rank::Terminal, Pty::new(number, id)?),
            read_turn: Mutex::new(Rank::TerminalReader, ()),
            write_turn: Mutex::new(Rank::TerminalWriter, ()),
            slave_readers: Waiting::new(),
            slave_writers: Waiting::new(),
            master_readers: Waiting::new(),
            master_writers: Waiting::new(),
        })
    }

    /// Works on the pair, and wakes whoever can go on then.
    fn with<T>(&self, work: impl FnOnce(&mut Pty) -> T) -> T {
        let (result, wake) = {
            let mut pty = self.pty.lock();
            (work(&mut pty), pty.take_wake())
        };
        let queues = [
            (Wake::SLAVE_READERS, &self.slave_readers),
            (Wake::SLAVE_WRITERS, &self.slave_writers),
            (Wake::MASTER_READERS, &self.master_readers),
            (Wake::MASTER_WRITERS, &self.master_writers),
        ];
        for (flag, queue) in queues {
            if wake.contains(flag) {
                queue.notify();
            }
        }
        result
    }

    fn interrupted(&self) -> bool {
        self.around.processes.has_signal()
    }

    /// Repeats `work` until it does something other than [`Error::Again`]; gives up for who does not want to wait.
    fn again<T>(
        &self,
        queue: &Waiting,
        nonblocking: bool,
        mut work: impl FnMut(&mut Pty) -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            let mut seen = 0;
            let result = self.with(|pty| {
                seen = queue.seen();
                work(pty)
            });
            match result {
                Err(Error::Again) if nonblocking => return Err(Error::Again),
                Err(Error::Again) if self.interrupted() => return Err(Error::Restart),
                Err(Error::Again) => queue.wait(seen, NEVER, &|| self.interrupted()),
                other => return other,
            }
        }
    }

    // ---- opening and closing ----

    pub fn open_slave(&self, readable: bool, controls: bool) -> Result<Opened, Error> {
        self.with(|pty| pty.open_slave(readable, controls, self.around.processes))
    }

    pub fn close_slave(&self) {
        self.with(Pty::close_slave);
    }

    pub fn close_master(&self) {
        self.with(|pty| pty.close_master(self.around.processes));
    }

    /// Whether both ends are closed, and its number is free.
    pub fn is_over(&self) -> bool {
        self.with(|pty| pty.is_over())
    }

    pub fn leader_exits(&self) {
        self.with(|pty| pty.leader_exits(self.around.processes));
    }

    /// vhangup(2).
    pub fn hang_up(&self) {
        self.with(|pty| pty.hang_up(self.around.processes));
    }

    /// The group in the foreground of the session that it controls.
    pub fn foreground(&self) -> Option<u32> {
        self.with(|pty| pty.foreground(self.around.processes))
    }

    // ---- the master ----

    /// Reads what the slave has sent.
    ///
    /// # Errors
    /// [`Error::Io`] once no slave is left and all is read.
    pub fn master_read(&self, buffer: &mut [u8], nonblocking: bool) -> Result<usize, Error> {
        self.again(&self.master_readers, nonblocking, |pty| pty.master_read(buffer, self.around.processes))
    }

    /// Types; all of it, unless it may not wait.
    pub fn master_write(&self, bytes: &[u8], nonblocking: bool) -> Result<usize, Error> {
        let mut written = 0;
        while written < bytes.len() {
            let rest = &bytes[written..];
            let result = self.again(&self.master_writers, nonblocking, |pty| {
                pty.master_write(rest, self.around.processes)
            });
            match result {
                Ok(count) => written += count,
                Err(_) if written > 0 => break,
                Err(problem) => return Err(problem),
            }
        }
        Ok(written)
    }

    pub fn master_poll(&self) -> Poll {
        self.with(|pty| pty.master_poll())
    }

    // ---- the slave ----

    /// Reads what was typed.
    ///
    /// # Errors
    /// [`Error::Io`] in the background, or if the master closes meanwhile.
    pub fn slave_read(&self, file: &Opened, buffer: &mut [u8], nonblocking: bool) -> Result<usize, Error> {
        let processes = self.around.processes;
        if !self.with(|pty| pty.may_read(file, processes))? || buffer.is_empty() {
            return Ok(0);
        }
        let _turn = match nonblocking {
            true => self.read_turn.try_lock().ok_or(Error::Again)?,
            false => self.read_turn.lock_unless(&|| self.interrupted()).ok_or(Error::Restart)?,
        };
        let now_ns = (self.around.now_ns)();
        let mut reading = self.with(|pty| pty.begin_read(now_ns));
        loop {
            let mut seen = 0;
            let now_ns = (self.around.now_ns)();
            let step = self.with(|pty| {
                seen = self.slave_readers.seen();
                pty.read(file, &mut reading, buffer, now_ns, processes)
            })?;
            let stop = nonblocking || self.interrupted();
            match step {
                Step::Done => return Ok(reading.got),
                Step::Wait { .. } if stop && reading.got > 0 => return Ok(reading.got),
                Step::Wait { .. } if nonblocking => return Err(Error::Again),
                Step::Wait { .. } if stop => return Err(Error::Restart),
                Step::Wait { until_ns } => self.slave_readers.wait(seen, until_ns, &|| self.interrupted()),
            }
        }
    }

    /// Writes; all of it, unless it may not wait.
    ///
    /// # Errors
    /// [`Error::Io`] without a master.
    pub fn slave_write(&self, file: &Opened, bytes: &[u8], nonblocking: bool) -> Result<usize, Error> {
        let processes = self.around.processes;
        self.with(|pty| pty.may_write(file, processes))?;
        let _turn = match nonblocking {
            true => self.write_turn.try_lock().ok_or(Error::Again)?,
            false => self.write_turn.lock_unless(&|| self.interrupted()).ok_or(Error::Restart)?,
        };
        let mut written = 0;
        while written < bytes.len() {
            let rest = &bytes[written..];
            let result =
                self.again(&self.slave_writers, nonblocking, |pty| pty.slave_write(file, rest, processes));
            match result {
                Ok(count) => written += count,
                Err(_) if written > 0 => break,
                Err(problem) => return Err(problem),
            }
        }
        Ok(written)
    }

    pub fn slave_poll(&self, file: &Opened) -> Poll {
        self.with(|pty| pty.slave_poll(file))
    }

    // ---- orders ----

    /// An order to the slave, or with no file to the master; the argument is a number or an address in `memory`.
    ///
    /// # Errors
    /// [`Error::NotTty`] for one that is not known here, and what the order itself may meet.
    pub fn ioctl(
        &self,
        slave: Option<&Opened>,
        number: u32,
        value: u64,
        memory: &mut dyn Memory,
    ) -> Result<u64, Error> {
        terminal::serve(number, value, memory, |order| self.order(slave, order))
    }

    /// The same, its argument read. Nothing has to be drained: what was written is with the master.
    pub fn order(&self, slave: Option<&Opened>, order: &Order<'_>) -> Result<Answer, Error> {
        self.with(|pty| match slave {
            Some(file) => pty.slave_order(file, order, self.around.processes),
            None => pty.master_order(order, self.around.processes),
        })
    }

    /// Who sleeps for the master's sake: readers, writers; for poll(2).
    pub fn master_waiting(&self) -> (&Waiting, &Waiting) {
        (&self.master_readers, &self.master_writers)
    }

    /// The same for the slave's.
    pub fn slave_waiting(&self) -> (&Waiting, &Waiting) {
        (&self.slave_readers, &self.slave_writers)
    }
}
