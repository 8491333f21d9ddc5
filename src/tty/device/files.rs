//! What files do with a live terminal: open, read, write, poll, close.
//!
//! A read and a write are loops: try with the terminal's lock held, and sleep without it until something has changed. A
//! signal ends the sleep. What was read or written by then counts; else the system call is done again when the signal
//! was seen to.

use super::super::error::Error;
use super::super::job::{Side, Signal};
use super::super::n_tty::{Flush, Step};
use super::super::terminal::{Opened, Poll};
use super::super::termios::Termios;
use super::{Driver, Tty, Wire};
use crate::sync::parker::NEVER;

/// How long the last who closes waits for a line that does not move, as Linux does.
const CLOSING_NS: u64 = 30_000_000_000;
/// How long at the end of a session, whose next one is not to wait for long.
const LEAVING_NS: u64 = 1_000_000_000;

impl<D: Driver> Tty<D> {
    /// Opens it; `controls` if it may become the caller's controlling terminal (no O_NOCTTY).
    pub fn open(&self, readable: bool, controls: bool) -> Result<Opened, Error> {
        let mut inner = self.inner.lock();
        let opened = inner.terminal.open(readable, controls, self.around.processes)?;
        inner.files += 1;
        Ok(opened)
    }

    /// Closes a file; with the last, waits until what was written is sent.
    pub fn close(&self, file: &Opened) {
        let last = {
            let mut inner = self.inner.lock();
            inner.files = inner.files.saturating_sub(1);
            if inner.files == 0 {
                inner.terminal.closed();
            }
            inner.files == 0 && !inner.terminal.is_dead(file)
        };
        if last {
            let _ended_early = self.drain_until((self.around.now_ns)() + CLOSING_NS);
        }
    }

    /// The other end is gone: carrier lost, or vhangup(2).
    pub fn hang_up(&self) {
        let mut inner = self.inner.lock();
        self.driver.discard();
        inner.backlog.clear();
        self.arrivals.lock().clear();
        inner.terminal.hang_up(self.around.processes);
        self.settle(&mut inner);
        drop(inner);
        self.readers.notify();
        self.writers.notify();
    }

    /// Nobody has it open any more: what was typed, and what could not be sent, is forgotten; the settings are not.
    pub fn forget(&self) {
        let mut inner = self.inner.lock();
        inner.backlog.clear();
        self.arrivals.lock().clear();
        let discipline = &mut inner.terminal.discipline;
        discipline.program_start();
        discipline.flush(Flush::Both, &mut Wire(&self.driver));
        self.settle(&mut inner);
    }

    /// The driver is set as the settings say, which may have changed what it does, and as its flow is at the moment.
    pub fn configure(&self) {
        let mut inner = self.inner.lock();
        let mut settings = inner.terminal.discipline.settings().clone();
        self.driver.configure(&mut settings);
        inner.terminal.discipline.adjust(settings);
        self.driver.stop(inner.terminal.discipline.is_stopped());
        self.driver.hold(inner.is_held);
    }

    /// The settings as they are.
    pub fn settings(&self) -> Termios {
        self.inner.lock().terminal.discipline.settings().clone()
    }

    /// The caller ends. If he leads the session that it controls, that is over: the group in the foreground gets SIGHUP, and
    /// the line is hung up, so that who comes next has it for himself.
    pub fn leader_exits(&self) {
        {
            let inner = self.inner.lock();
            if !inner.terminal.control.is_led(self.around.processes) {
                return;
            }
            inner.terminal.control.signal(Signal::Hup, self.around.processes);
        }
        // A hang-up forgets what is not sent, and that is what the leader said last.
        let _ended_early = self.drain_until((self.around.now_ns)() + LEAVING_NS);
        self.hang_up();
    }

    /// The group in the foreground of the session that it controls.
    pub fn foreground(&self) -> Option<u32> {
        let group = self.inner.lock().terminal.control.foreground(Side::Master, self.around.processes);
        group.ok().filter(|&group| group != 0)
    }

    pub(super) fn interrupted(&self) -> bool {
        self.around.processes.has_signal()
    }

    /// Reads. A dead file is at its end.
    ///
    /// # Errors
    /// [`Error::Again`] instead of waiting; [`Error::Restart`] if a signal came; [`Error::Io`] in the background.
    pub fn read(&self, file: &Opened, buffer: &mut [u8], nonblocking: bool) -> Result<usize, Error> {
        {
            let inner = self.inner.lock();
            if inner.terminal.is_dead(file) || buffer.is_empty() {
                return Ok(0);
            }
            inner.terminal.may_read(self.around.processes)?;
        }
        let _turn = match nonblocking {
            true => self.read_turn.try_lock().ok_or(Error::Again)?,
            false => self.read_turn.lock_unless(&|| self.interrupted()).ok_or(Error::Restart)?,
        };
        let mut reading = self.inner.lock().terminal.discipline.begin_read((self.around.now_ns)());
        loop {
            let (step, seen) = {
                let mut inner = self.inner.lock();
                let seen = self.readers.seen();
                if inner.terminal.is_dead(file) {
                    return Ok(reading.got);
                }
                let now_ns = (self.around.now_ns)();
                let step = inner.terminal.discipline.read(&mut reading, buffer, now_ns);
                self.settle(&mut inner);
                (step, seen)
            };
            match step {
                Step::Done => return Ok(reading.got),
                Step::Wait { .. } if reading.got > 0 && (nonblocking || self.interrupted()) => {
                    return Ok(reading.got);
                }
                Step::Wait { .. } if nonblocking => return Err(Error::Again),
                Step::Wait { .. } if self.interrupted() => return Err(Error::Restart),
                Step::Wait { until_ns } => self.readers.wait(seen, until_ns, &|| self.interrupted()),
            }
        }
    }

    /// Writes all of it, unless a signal comes or it would have to wait and may not.
    ///
    /// # Errors
    /// As for [`Self::read`], where nothing was written; [`Error::Io`] if the file is dead.
    pub fn write(&self, file: &Opened, bytes: &[u8], nonblocking: bool) -> Result<usize, Error> {
        self.inner.lock().terminal.may_write(self.around.processes)?;
        let _turn = match nonblocking {
            true => self.write_turn.try_lock().ok_or(Error::Again)?,
            false => self.write_turn.lock_unless(&|| self.interrupted()).ok_or(Error::Restart)?,
        };
        let mut written = 0;
        loop {
            let seen = {
                let mut inner = self.inner.lock();
                let seen = self.writers.seen();
                if inner.terminal.is_dead(file) {
                    return if written > 0 { Ok(written) } else { Err(Error::Io) };
                }
                written += inner.terminal.discipline.write(&bytes[written..], &mut Wire(&self.driver));
                self.settle(&mut inner);
                seen
            };
            let stop = nonblocking || self.interrupted();
            match (written == bytes.len(), stop, written) {
                (true, ..) | (_, true, 1..) => return Ok(written),
                (_, true, 0) if nonblocking => return Err(Error::Again),
                (_, true, 0) => return Err(Error::Restart),
                _ => self.writers.wait(seen, NEVER, &|| self.interrupted()),
            }
        }
    }

    pub fn poll(&self, file: &Opened) -> Poll {
        let inner = self.inner.lock();
        if inner.terminal.is_dead(file) {
            return Poll::DEAD;
        }
        let mut poll = Poll::empty();
        poll.set(Poll::READ, inner.terminal.discipline.is_readable(true));
        poll.set(Poll::WRITE, inner.terminal.discipline.is_writable(&Wire(&self.driver)));
        poll
    }

    /// Waits until all that was written is sent.
    ///
    /// # Errors
    /// [`Error::Restart`] if a signal came.
    pub fn drain(&self) -> Result<(), Error> {
        self.drain_until(NEVER)
    }

    fn drain_until(&self, until_ns: u64) -> Result<(), Error> {
        loop {
            let seen = self.writers.seen();
            if self.driver.unsent() == 0 {
                return self.driver.finish();
            }
            if (self.around.now_ns)() >= until_ns {
                return Ok(());
            }
            if self.interrupted() {
                return Err(Error::Restart);
            }
            self.writers.wait(seen, until_ns, &|| self.interrupted());
        }
    }
}
