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

mod files;
mod orders;
#[cfg(test)]
mod tests;

use super::error::Error;
use super::job::{Processes, TtyId};
use super::n_tty::{Backlog, Events, Line, Mark};
use super::terminal::Terminal;
use super::termios::Termios;
use super::waiting::Waiting;
use crate::sync::parker::NEVER;
use crate::sync::{IrqLock, Mutex, Rank};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes between the interrupt handler and the discipline.
const ARRIVALS: usize = 4096;
/// The other end is to wait when there is less room for them than this; it may go on when there is twice as much.
const CROWDED: usize = ARRIVALS / 4;
/// Bytes that are taken over at a time with interrupts off.
const PORTION: usize = 128;

/// What a driver does for a terminal. Called with the terminal's lock held, but for the questions.
pub trait Driver: Send + Sync {
    /// Bytes that it takes now.
    fn room(&self) -> usize;
    /// Takes bytes, at most as many as that, and begins to send.
    fn send(&self, bytes: &[u8]);
    /// Bytes taken and not sent.
    fn unsent(&self) -> usize;
    /// Waits until the last of them has left the chip, where the driver counts those no more. With no lock held.
    ///
    /// # Errors
    /// [`Error::Restart`] if a signal came.
    fn finish(&self) -> Result<(), Error> {
        Ok(())
    }
    /// Drops them.
    fn discard(&self);
    /// Sends nothing but [`Self::send_now`]'s until it is told to go on.
    fn stop(&self, stopped: bool);
    /// Has the other end wait, or go on, by whichever means the settings have: characters, the modem's lines, or none.
    fn hold(&self, held: bool);
    /// Sends a byte before all others, even while stopped.
    fn send_now(&self, byte: u8);
    /// Takes speed, size, parity and so on; changes in `settings` what it cannot do.
    fn configure(&self, settings: &mut Termios);
    /// Lines of the modem, by the bits of [`super::ioctl::modem`].
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
    /// There was little room for arrivals. Set with their lock held.
    is_crowded: AtomicBool,
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
    /// The other end was told to wait.
    is_held: bool,
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
    fn send_now(&mut self, byte: u8) {
        self.0.send_now(byte);
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
            is_held: false,
        };
        Ok(Self {
            driver,
            around,
            inner: Mutex::new(Rank::Terminal, inner),
            arrivals: IrqLock::new(Rank::TerminalInput, Backlog::new(ARRIVALS, true)?),
            is_crowded: AtomicBool::new(false),
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
        let taken = self.take_in(bytes);
        self.worker.notify();
        taken
    }

    /// The same under a lock of the driver's, where nobody can be woken: [`Self::poke`] is to follow.
    pub fn take_in(&self, bytes: impl Iterator<Item = (u8, Mark)>) -> usize {
        let mut taken = 0;
        let mut arrivals = self.arrivals.lock();
        for (byte, mark) in bytes {
            if arrivals.push_marked(byte, mark) {
                taken += 1;
            } else {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        if arrivals.room() < CROWDED {
            self.is_crowded.store(true, Ordering::Relaxed);
        }
        taken
    }

    /// Whether there is so little room for arrivals that a driver has the other end wait at once. It is told by
    /// [`Driver::hold`] when that is over.
    pub fn is_crowded(&self) -> bool {
        self.is_crowded.load(Ordering::Relaxed)
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
        // The other end waits for the discipline's sake, or for that of the arrivals, of which a driver may have told it
        // already: so when that is over it is told in any case.
        let is_eased = self.ease();
        let is_held = terminal.discipline.is_throttled() || self.is_crowded();
        if is_held != inner.is_held || is_eased {
            inner.is_held = is_held;
            self.driver.hold(is_held);
        }
    }

    /// Whether there was little room for arrivals, and there is enough again.
    fn ease(&self) -> bool {
        let arrivals = self.arrivals.lock();
        arrivals.room() >= 2 * CROWDED && self.is_crowded.swap(false, Ordering::Relaxed)
    }
}
