//! The live terminal on a line: a driver, a discipline, and those who wait.
//!
//! ```text
//!   interrupt handler             a thread                      programs
//!     arrived() ──▶ arrivals ──▶ work() ──▶ discipline ──▶ read()
//!     sent()    ─────────────────wakes──────────────────▶ write(), and echo that had no room
//! ```
//!
//! Interrupt handlers put bytes into a queue behind a lock of their own, and no more. All else is done by threads, under
//! a lock that sleeps. Whoever connects a driver calls [`Tty::arrived`] and [`Tty::sent`] in its handler, has one thread
//! in [`Tty::run`], and gives files to read, write, poll and order. One reader at a time, and one writer, so that what one
//! write brings stays together.
//!
//! Locks: readers' and writers' turns, the terminal, then the arrivals or the driver's.

#[cfg(test)]
mod tests;

use super::error::Error;
use super::ioctl::{self, Argument, Command, Memory, Modem};
use super::job::{Processes, Side, TtyId};
use super::n_tty::{Backlog, Events, Line, Mark, Step};
use super::terminal::{Answer, Opened, Order, Poll, Terminal};
use super::termios::{Control, Input, Termios, cc};
use super::waiting::Waiting;
use crate::sync::parker::NEVER;
use crate::sync::{IrqLock, Mutex, Rank};
use core::sync::atomic::{AtomicU64, Ordering};

/// Bytes between the interrupt handler and the discipline.
const ARRIVALS: usize = 4096;
/// Bytes that are taken over at a time with interrupts off.
const PORTION: usize = 128;
/// How long a break is that no length was given for, as Linux has it.
const BREAK_NS: u64 = 250_000_000;
/// How long the last who closes waits for a line that does not move, likewise.
const CLOSING_NS: u64 = 30_000_000_000;

/// What a driver does for a terminal. Called with the terminal's lock held, but for the questions.
pub trait Driver: Send + Sync {
    /// Bytes that it takes now.
    fn room(&self) -> usize;
    /// Takes bytes, at most as many as that, and begins to send.
    fn send(&self, bytes: &[u8]);
    /// Bytes taken and not sent.
    fn unsent(&self) -> usize;
    /// Drops them.
    fn discard(&self);
    /// Sends nothing but [`Self::send_now`]'s until it is told to go on.
    fn stop(&self, stopped: bool);
    /// Has the other end wait, by the modem's lines.
    fn hold(&self, held: bool);
    /// Sends a byte before all others, even while stopped.
    fn send_now(&self, byte: u8);
    /// Takes speed, size, parity and so on; changes in `settings` what it cannot do.
    fn configure(&self, settings: &mut Termios);
    /// Lines of the modem, by the bits of [`ioctl::modem`].
    ///
    /// # Errors
    /// [`Error::NotTty`] if it has none.
    fn modem(&self) -> Result<u32, Error>;
    /// Changes those that are outputs.
    ///
    /// # Errors
    /// As above.
    fn set_modem(&self, on: u32, off: u32) -> Result<(), Error>;
    /// Holds the line low.
    fn set_break(&self, on: bool);
}

/// What a terminal needs besides its driver.
#[derive(Clone, Copy)]
pub struct Surroundings {
    pub processes: &'static dyn Processes,
    /// The monotonic clock, in nanoseconds.
    pub now_ns: fn() -> u64,
}

/// The terminal.
pub struct Tty<D: Driver> {
    driver: D,
    around: Surroundings,
    inner: Mutex<Inner>,
    arrivals: IrqLock<Backlog>,
    /// Bytes that no room was left for.
    lost: AtomicU64,
    read_turn: Mutex<()>,
    write_turn: Mutex<()>,
    readers: Waiting,
    writers: Waiting,
    worker: Waiting,
}

struct Inner {
    terminal: Terminal,
    /// Taken over from the interrupt handler.
    backlog: Backlog,
    files: u32,
}

/// The driver as the discipline knows it.
struct Wire<'a, D: Driver>(&'a D);

impl<D: Driver> Line for Wire<'_, D> {
    fn room(&self) -> usize {
        self.0.room()
    }
    fn send(&mut self, bytes: &[u8]) {
        self.0.send(bytes);
    }
    fn discard(&mut self) {
        self.0.discard();
    }
}

impl<D: Driver> Tty<D> {
    /// A terminal on `driver`, with `initial` settings.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn new(driver: D, id: TtyId, mut initial: Termios, around: Surroundings) -> Result<Self, Error> {
        driver.configure(&mut initial);
        let inner = Inner {
            terminal: Terminal::new(id, initial, false)?,
            backlog: Backlog::new(ARRIVALS, true)?,
            files: 0,
        };
        Ok(Self {
            driver,
            around,
            inner: Mutex::new(Rank::Terminal, inner),
            arrivals: IrqLock::new(Rank::TerminalInput, Backlog::new(ARRIVALS, true)?),
            lost: AtomicU64::new(0),
            read_turn: Mutex::new(Rank::TerminalReader, ()),
            write_turn: Mutex::new(Rank::TerminalWriter, ()),
            readers: Waiting::new(),
            writers: Waiting::new(),
            worker: Waiting::new(),
        })
    }

    pub fn driver(&self) -> &D {
        &self.driver
    }

    pub fn readers(&self) -> &Waiting {
        &self.readers
    }

    pub fn writers(&self) -> &Waiting {
        &self.writers
    }

    /// Bytes that came and had no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    // ---- the driver's calls, in interrupt handlers ----

    /// Bytes have come, each with what the line says of it; returns how many had room.
    pub fn arrived(&self, bytes: impl Iterator<Item = (u8, Mark)>) -> usize {
        let mut taken = 0;
        {
            let mut arrivals = self.arrivals.lock();
            for (byte, mark) in bytes {
                if arrivals.push_marked(byte, mark) {
                    taken += 1;
                } else {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        self.worker.notify();
        taken
    }

    /// Bytes that there is room for now: for a driver that can leave them in its chip.
    pub fn arrivals_room(&self) -> usize {
        self.arrivals.lock().room()
    }

    /// There is room again for bytes to send, or all are sent.
    pub fn sent(&self) {
        self.writers.notify();
        self.worker.notify();
    }

    // ---- the thread's ----

    /// Brings in what has arrived, for as long as the kernel runs.
    pub fn run(&self) -> ! {
        loop {
            self.work_until(&|| false);
        }
    }

    /// Brings in what has arrived, until `stop` says so; asked after each piece of work.
    pub fn work_until(&self, stop: &dyn Fn() -> bool) {
        while !stop() {
            let seen = self.worker.seen();
            self.work();
            self.worker.wait(seen, NEVER, stop);
        }
    }

    /// Has the worker look again whether it is to stop.
    pub fn poke(&self) {
        self.worker.notify();
    }

    /// Brings in what has arrived so far.
    pub fn work(&self) {
        let mut inner = self.inner.lock();
        inner.terminal.discipline.resume(&mut Wire(&self.driver));
        self.settle(&mut inner);
    }

    /// With the lock held, after whatever may have moved something: feeds the discipline, and does what it wants done.
    fn settle(&self, inner: &mut Inner) {
        let Inner { terminal, backlog, .. } = inner;
        loop {
            let moved = self.arrivals.lock().move_to(backlog, PORTION);
            let more = backlog.feed_some(&mut terminal.discipline, &mut Wire(&self.driver));
            let events = terminal.discipline.take_events();
            terminal.signal(events, self.around.processes);
            if events.contains(Events::FLOW) {
                self.driver.stop(terminal.discipline.is_stopped());
            }
            if events.contains(Events::THROTTLE) {
                self.throttle(&terminal.discipline.settings().clone(), terminal.discipline.is_throttled());
            }
            if events.contains(Events::READABLE) {
                self.readers.notify();
            }
            if events.contains(Events::WRITABLE) {
                self.writers.notify();
            }
            if moved == 0 && !more && !events.contains(Events::ROOM) {
                break;
            }
        }
    }

    /// Holds the other end, or lets it go on, by whichever means the settings have.
    fn throttle(&self, settings: &Termios, held: bool) {
        if settings.input.contains(Input::IXOFF) {
            let byte = settings.cc[if held { cc::VSTOP } else { cc::VSTART }];
            self.driver.send_now(byte);
        }
        if settings.control.contains(Control::CRTSCTS) {
            self.driver.hold(held);
        }
    }

    // ---- files ----

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
        inner.terminal.hang_up(self.around.processes);
        self.settle(&mut inner);
        drop(inner);
        self.readers.notify();
        self.writers.notify();
    }

    /// The leader of the session that it controls ends.
    pub fn leader_exits(&self) {
        let _not_his = self.inner.lock().terminal.control.give_up(true, self.around.processes);
    }

    fn interrupted(&self) -> bool {
        self.around.processes.has_signal()
    }

    /// Reads. A dead file is at its end.
    ///
    /// # Errors
    /// [`Error::Again`] instead of waiting; [`Error::Restart`] if a signal came; [`Error::Io`] in the background.
    pub fn read(&self, file: &Opened, buffer: &mut [u8], nonblocking: bool) -> Result<usize, Error> {
        let reading = {
            let inner = self.inner.lock();
            if inner.terminal.is_dead(file) || buffer.is_empty() {
                return Ok(0);
            }
            inner.terminal.may_read(self.around.processes)?;
            inner.terminal.discipline.begin_read((self.around.now_ns)())
        };
        let _turn = match nonblocking {
            true => self.read_turn.try_lock().ok_or(Error::Again)?,
            false => self.read_turn.lock(),
        };
        let mut reading = reading;
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
                Step::Wait { .. } if reading.got > 0 && (nonblocking || self.interrupted()) => return Ok(reading.got),
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
            false => self.write_turn.lock(),
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
            if self.driver.unsent() == 0 || (self.around.now_ns)() >= until_ns {
                return Ok(());
            }
            if self.interrupted() {
                return Err(Error::Restart);
            }
            self.writers.wait(seen, until_ns, &|| self.interrupted());
        }
    }

    // ---- orders ----

    /// An order by its number; the argument is a number or an address in `memory`.
    ///
    /// # Errors
    /// [`Error::NotTty`] for one that is not known here, and what the order itself may meet.
    pub fn ioctl(&self, file: &Opened, number: u32, value: u64, memory: &mut dyn Memory) -> Result<u64, Error> {
        let (command, argument) = ioctl::find(number).ok_or(Error::NotTty)?;
        let mut buffer = [0; ioctl::LARGEST];
        let data = ioctl::take(argument, value, &mut buffer, memory)?;
        let answer = self.order(file, &Order { command, value, data })?;
        if let Argument::Out(_) = argument {
            memory.write(value, answer.bytes())?;
        }
        Ok(0)
    }

    /// The same, its argument read.
    pub fn order(&self, file: &Opened, order: &Order<'_>) -> Result<Answer, Error> {
        let command = order.command;
        {
            let inner = self.inner.lock();
            if inner.terminal.is_dead(file) {
                return Err(if command == Command::SetForeground { Error::NotTty } else { Error::Io });
            }
            inner.terminal.may_order(Side::Terminal, command, self.around.processes)?;
        }
        if command.drains() {
            self.drain()?;
        }
        match command {
            Command::Unsent => return Ok(Answer::number(self.driver.unsent() as u32)),
            Command::GetModem => return self.driver.modem().map(Answer::number),
            Command::SetModem(how) => {
                let bits = order.int()? as u32;
                let (on, off) = match how {
                    Modem::Set => (bits, !bits),
                    Modem::On => (bits, 0),
                    Modem::Off => (0, bits),
                };
                return self.driver.set_modem(on, off).map(|()| Answer::NOTHING);
            }
            Command::BreakOn | Command::BreakOff => {
                self.driver.set_break(command == Command::BreakOn);
                return Ok(Answer::NOTHING);
            }
            Command::SendBreak if order.value != 0 => return Ok(Answer::NOTHING),
            Command::SendBreak | Command::SendBreakFor => {
                let tenths = if command == Command::SendBreakFor { order.value } else { 0 };
                self.send_break(if tenths == 0 { BREAK_NS } else { tenths.min(255) * 100_000_000 });
                return Ok(Answer::NOTHING);
            }
            _ => {}
        }
        let mut inner = self.inner.lock();
        let terminal = &mut inner.terminal;
        let answer = terminal.order(Side::Terminal, file, order, &mut Wire(&self.driver), self.around.processes);
        if let (Command::SetSettings(..), Ok(_)) = (command, &answer) {
            let mut settings = terminal.discipline.settings().clone();
            self.driver.configure(&mut settings);
            terminal.discipline.adjust(settings);
        }
        self.settle(&mut inner);
        answer
    }

    fn send_break(&self, length_ns: u64) {
        self.driver.set_break(true);
        let until_ns = (self.around.now_ns)() + length_ns;
        while (self.around.now_ns)() < until_ns && !self.interrupted() {
            self.writers.wait(self.writers.seen(), until_ns, &|| self.interrupted());
        }
        self.driver.set_break(false);
    }
}
