//! A pseudo-terminal: a terminal at whose other end is a program.
//!
//! ```text
//!   who plays the terminal                                  programs that have a terminal
//!      write ──▶ to_slave ──▶ ┌────────────────────┐ ──▶ read
//!                             │ discipline (slave) │
//!      read ◀── to_master ◀── └────────────────────┘ ◀── write
//!          master                                            slave
//! ```
//!
//! The master has no discipline to speak of: bytes go in and out as they are. Settings, size and the foreground are the
//! slave's, and can be asked for and set from both sides.
//!
//! Either side may go first. When the last slave closes, the master reads what is left and then gets EIO, until a slave
//! is opened again; what it writes meanwhile waits for that one. When the master closes, the slave is hung up: SIGHUP
//! to the session, and its files are dead. This object is pure; [`super::pair`] is the live one.

#[cfg(test)]
mod tests;

use super::error::Error;
use super::ioctl::{Command, flush_of};
use super::job::{Processes, Side, TtyId};
use super::n_tty::{Backlog, Events, Flush, Line, Reading, Step};
use super::terminal::{Answer, Opened, Order, Poll, Terminal};
use super::termios::{Control, Termios};
use bitflags::bitflags;

/// Bytes that wait on either way.
pub const QUEUE: usize = 8192;

bitflags! {
    /// Who may go on.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Wake: u8 {
        const SLAVE_READERS = 1;
        const SLAVE_WRITERS = 2;
        const MASTER_READERS = 4;
        const MASTER_WRITERS = 8;
    }
}

/// The pair.
pub struct Pty {
    number: u32,
    terminal: Terminal,
    to_slave: Backlog,
    to_master: Output,
    slaves: u32,
    /// A slave was open, and none is.
    slave_left: bool,
    /// All slaves that are open are dead, though the master is there.
    hung_up: bool,
    master_open: bool,
    locked: bool,
    wake: Wake,
}

/// The way to the master: the slave's line.
struct Output {
    queue: Backlog,
    /// Something has come.
    came: bool,
}

impl Line for Output {
    fn room(&self) -> usize {
        self.queue.room()
    }

    fn send(&mut self, bytes: &[u8]) {
        self.queue.push(bytes);
        self.came = true;
    }

    /// What the master could have read is beyond recall.
    fn discard(&mut self) {}
}

impl Pty {
    /// A new pair, with its master open and its slave locked. `number` is the name under /dev/pts.
    pub fn new(number: u32, id: TtyId) -> Result<Self, Error> {
        let mut settings = Termios::standard();
        settings.control.remove(Control::HUPCL);
        Ok(Self {
            number,
            terminal: Terminal::new(id, settings, true)?,
            to_slave: Backlog::new(QUEUE, false)?,
            to_master: Output { queue: Backlog::new(QUEUE, false)?, came: false },
            slaves: 0,
            slave_left: false,
            hung_up: false,
            master_open: true,
            locked: true,
            wake: Wake::empty(),
        })
    }

    /// Who may go on, since it was asked last.
    pub fn take_wake(&mut self) -> Wake {
        core::mem::replace(&mut self.wake, Wake::empty())
    }

    /// Whether both ends are closed.
    pub fn is_over(&self) -> bool {
        !self.master_open && self.slaves == 0
    }

    /// After each call that may have moved something: brings in what waits, sends signals, notes who is to be woken.
    fn settle(&mut self, processes: &dyn Processes) {
        loop {
            let waiting = self.to_slave.len();
            self.to_slave.feed(&mut self.terminal.discipline, &mut self.to_master);
            if self.to_slave.len() < waiting {
                self.wake |= Wake::MASTER_WRITERS;
            }
            let events = self.terminal.discipline.take_events();
            self.terminal.signal(events, processes);
            self.wake.set(
                Wake::SLAVE_READERS,
                self.wake.contains(Wake::SLAVE_READERS) || events.contains(Events::READABLE),
            );
            self.wake.set(
                Wake::SLAVE_WRITERS,
                self.wake.contains(Wake::SLAVE_WRITERS) || events.contains(Events::WRITABLE),
            );
            if !events.contains(Events::ROOM) {
                break;
            }
        }
        if core::mem::take(&mut self.to_master.came) {
            self.wake |= Wake::MASTER_READERS;
        }
    }

    // ---- opening and closing ----

    /// Opens the slave.
    ///
    /// # Errors
    /// [`Error::Io`] while it is locked, or without a master.
    pub fn open_slave(
        &mut self,
        readable: bool,
        controls: bool,
        processes: &dyn Processes,
    ) -> Result<Opened, Error> {
        if self.locked || !self.master_open {
            return Err(Error::Io);
        }
        let opened = self.terminal.open(readable, controls, processes)?;
        self.slaves += 1;
        (self.slave_left, self.hung_up) = (false, false);
        Ok(opened)
    }

    /// One who had the slave open has closed it.
    pub fn close_slave(&mut self) {
        self.slaves = self.slaves.saturating_sub(1);
        if self.slaves == 0 {
            self.terminal.closed();
            self.slave_left = true;
            self.wake |= Wake::MASTER_READERS | Wake::MASTER_WRITERS;
        }
    }

    /// The master closes: the line is dead.
    pub fn close_master(&mut self, processes: &dyn Processes) {
        self.master_open = false;
        self.to_slave.clear();
        self.to_master.queue.clear();
        self.terminal.hang_up(processes);
        self.settle(processes);
        self.wake |= Wake::SLAVE_READERS | Wake::SLAVE_WRITERS;
    }

    /// vhangup(2): whoever has the slave open loses it. The master is not told. What it types until somebody opens the slave
    /// anew is for nobody.
    pub fn hang_up(&mut self, processes: &dyn Processes) {
        self.hung_up = true;
        self.to_slave.clear();
        self.terminal.hang_up(processes);
        self.settle(processes);
        self.wake = Wake::all();
    }

    /// The group in the foreground.
    pub fn foreground(&self, processes: &dyn Processes) -> Option<u32> {
        self.terminal.control.foreground(Side::Master, processes).ok().filter(|&group| group != 0)
    }

    // ---- the master ----

    /// Reads what came out of the slave.
    ///
    /// # Errors
    /// [`Error::Again`] if there is nothing; [`Error::Io`] if nothing can come, since no slave is left.
    pub fn master_read(&mut self, buffer: &mut [u8], processes: &dyn Processes) -> Result<usize, Error> {
        let count = self.to_master.queue.pop(buffer);
        if count > 0 {
            self.wake |= Wake::SLAVE_WRITERS;
            self.settle(processes);
            return Ok(count);
        }
        match (buffer.is_empty(), self.slave_left) {
            (true, _) => Ok(0),
            (false, true) => Err(Error::Io),
            (false, false) => Err(Error::Again),
        }
    }

    /// Types.
    ///
    /// # Errors
    /// [`Error::Again`] if there is no room at all.
    pub fn master_write(&mut self, bytes: &[u8], processes: &dyn Processes) -> Result<usize, Error> {
        let count = if self.hung_up { bytes.len() } else { self.to_slave.push(bytes) };
        self.settle(processes);
        if count == 0 && !bytes.is_empty() { Err(Error::Again) } else { Ok(count) }
    }

    pub fn master_poll(&self) -> Poll {
        let mut poll = Poll::empty();
        poll.set(Poll::READ, !self.to_master.queue.is_empty());
        poll.set(Poll::WRITE, self.to_slave.room() > 0);
        poll.set(Poll::HUP, self.slave_left);
        poll
    }

    /// An order to the master.
    pub fn master_order(&mut self, order: &Order<'_>, processes: &dyn Processes) -> Result<Answer, Error> {
        match order.command {
            Command::PairNumber => return Ok(Answer::number(self.number)),
            Command::IsPairLocked => return Ok(Answer::number(self.locked.into())),
            Command::LockPair => {
                self.locked = order.int()? != 0;
                return Ok(Answer::NOTHING);
            }
            Command::Available => return Ok(Answer::number(self.to_master.queue.len() as u32)),
            Command::Unsent => return Ok(Answer::number(0)),
            // Its input is what the slave has written.
            Command::Flush => {
                if flush_of(order.value).ok_or(Error::Invalid)? != Flush::Output {
                    self.to_master.queue.clear();
                    self.wake |= Wake::SLAVE_WRITERS;
                }
                return Ok(Answer::NOTHING);
            }
            // A master is not stopped; and it is nobody's controlling terminal.
            Command::Flow => return Ok(Answer::NOTHING),
            Command::Acquire | Command::GiveUp => return Err(Error::NotTty),
            _ => {}
        }
        self.terminal.may_order(Side::Master, order.command, processes)?;
        let file = Opened::of_master();
        let answer = self.terminal.order(Side::Master, &file, order, &mut self.to_master, processes);
        self.settle(processes);
        answer
    }

    // ---- the slave ----

    /// Whether the caller may read the slave at all; false if the file is dead and the read over.
    pub fn may_read(&self, file: &Opened, processes: &dyn Processes) -> Result<bool, Error> {
        if self.terminal.is_dead(file) {
            return Ok(false);
        }
        self.terminal.may_read(processes)?;
        Ok(true)
    }

    /// Begins a read of the slave, at `now_ns`.
    pub fn begin_read(&self, now_ns: u64) -> Reading {
        self.terminal.discipline.begin_read(now_ns)
    }

    /// Goes on with it.
    ///
    /// # Errors
    /// [`Error::Io`] if the master went while it waited. A hang-up is an end.
    pub fn read(
        &mut self,
        file: &Opened,
        reading: &mut Reading,
        buffer: &mut [u8],
        now_ns: u64,
        processes: &dyn Processes,
    ) -> Result<Step, Error> {
        if self.terminal.is_dead(file) {
            let is_end = reading.got > 0 || self.master_open;
            return if is_end { Ok(Step::Done) } else { Err(Error::Io) };
        }
        let step = self.terminal.discipline.read(reading, buffer, now_ns);
        self.settle(processes);
        Ok(step)
    }

    /// Whether the caller may write at all.
    pub fn may_write(&self, file: &Opened, processes: &dyn Processes) -> Result<(), Error> {
        if self.terminal.is_dead(file) {
            return Err(Error::Io);
        }
        self.terminal.may_write(processes)
    }

    /// Writes to the master.
    ///
    /// # Errors
    /// [`Error::Again`] if nothing can be written now, [`Error::Io`] without a master.
    pub fn slave_write(
        &mut self,
        file: &Opened,
        bytes: &[u8],
        processes: &dyn Processes,
    ) -> Result<usize, Error> {
        if self.terminal.is_dead(file) {
            return Err(Error::Io);
        }
        let count = self.terminal.discipline.write(bytes, &mut self.to_master);
        self.settle(processes);
        if count == 0 && !bytes.is_empty() { Err(Error::Again) } else { Ok(count) }
    }

    pub fn slave_poll(&self, file: &Opened) -> Poll {
        if self.terminal.is_dead(file) {
            return Poll::DEAD;
        }
        let mut poll = Poll::empty();
        poll.set(Poll::READ, self.terminal.discipline.is_readable(true));
        poll.set(Poll::WRITE, self.terminal.discipline.is_writable(&self.to_master));
        poll
    }

    /// An order to the slave.
    pub fn slave_order(
        &mut self,
        file: &Opened,
        order: &Order<'_>,
        processes: &dyn Processes,
    ) -> Result<Answer, Error> {
        if self.terminal.is_dead(file) {
            return Err(if order.command == Command::SetForeground { Error::NotTty } else { Error::Io });
        }
        if order.command == Command::Unsent {
            // Whatever was written is with the master already.
            return Ok(Answer::number(0));
        }
        self.terminal.may_order(Side::Terminal, order.command, processes)?;
        let answer = self.terminal.order(Side::Terminal, file, order, &mut self.to_master, processes);
        self.settle(processes);
        answer
    }

    /// The leader of the session that it controls ends.
    pub fn leader_exits(&mut self, processes: &dyn Processes) {
        let _not_his = self.terminal.control.give_up(true, processes);
    }
}
