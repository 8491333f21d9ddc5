//! The machine's serial ports as terminals: ttyS0 and ttyS1.
//!
//! ```text
//! files      open, close ──► [`open`], [`close`]        one lock: who is the first, who is the last
//! Tty        discipline, readers, writers; a thread of its own per port
//! Wires      below the Tty: a ring of bytes to send     Driver
//! Above      above the port: takes and gives bytes      Upper
//! port       drivers::serial
//! ```
//!
//! A terminal is made when it is opened first, and stays. While nobody has it open it hears nothing. The console's port is
//! borrowed from the console for as long as somebody has its terminal open: see [`console::lend`] for the rule.

use super::console;
use super::device::{Driver, Surroundings, Tty};
use super::error::Error;
use super::job::{TtyId, processes};
use super::line;
use super::n_tty::Backlog;
use super::options::DEFAULT_BAUD;
use super::terminal::Opened;
use super::termios::{Control, Termios};
use crate::drivers::serial::live::{self, PORTS};
use crate::drivers::serial::port::{Events, Room, Upper};
use crate::drivers::serial::settings::{Character, Lines};
use crate::fs::mode::Device;
use crate::platform::{Machine, Platform};
use crate::sync::{IrqLock, Mutex, Rank, hooks, interrupt};
use crate::task::{Policy, spawn};
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use spin::Once;

/// The first one's number; its minor number, too.
pub const MAJOR: u32 = 4;
pub const FIRST_MINOR: u32 = 64;

/// Bytes that wait for the line.
const OUTPUT: usize = 4096;
/// Writers are woken when it is no more than this.
const LOW: usize = 1024;
/// Between two looks whether the chip has sent its last bytes, and how many there are at most: two seconds, in which
/// the deepest FIFO is empty at 75 baud.
const LOOK_NS: u64 = 2_000_000;
const LOOKS: usize = 1000;

/// The driver's side of a port.
pub struct Wires {
    number: usize,
    output: IrqLock<Backlog>,
    carrier_lost: AtomicBool,
    /// A break has come, and somebody wants to know.
    has_break: AtomicBool,
    is_open: AtomicBool,
}

/// A serial terminal.
pub type SerialTty = Tty<Wires>;

impl Wires {
    /// Whether the monitor has the port, so that the line is not the terminal's to work on. What is asked of it meanwhile
    /// is made up for when it comes back.
    fn is_away(&self) -> bool {
        IS_SEIZED.load(Ordering::Relaxed) && console::serial_port() == Some(self.number)
    }
}

impl Driver for Wires {
    fn room(&self) -> usize {
        self.output.lock().room()
    }

    fn send(&self, bytes: &[u8]) {
        self.output.lock().push(bytes);
        live::start_tx(self.number);
        if console::serial_port() == Some(self.number) {
            console::show(bytes);
        }
    }

    fn unsent(&self) -> usize {
        self.output.lock().len()
    }

    fn finish(&self) -> Result<(), Error> {
        for _ in 0..LOOKS {
            if live::is_idle(self.number) {
                break;
            }
            interrupt::sleep_until(Machine::now_ns() + LOOK_NS).map_err(|_| Error::Restart)?;
        }
        Ok(())
    }

    fn discard(&self) {
        self.output.lock().clear();
    }

    fn stop(&self, stopped: bool) {
        if self.is_away() {
            return;
        }
        live::set_stopped(self.number, stopped);
    }

    fn hold(&self, held: bool) {
        if self.is_away() {
            return;
        }
        let tell = if held { live::throttle } else { live::unthrottle };
        tell(self.number);
    }

    fn send_now(&self, byte: u8) {
        if self.is_away() {
            return;
        }
        live::send_now(self.number, byte);
    }

    fn configure(&self, settings: &mut Termios) {
        if self.is_away() {
            return;
        }
        let Some(now) = live::settings(self.number) else { return };
        let new = line::settings_of(settings, &now);
        if new != now {
            // It is possible: that was looked at.
            let _ = live::set_settings(self.number, new);
        }
    }

    fn modem(&self) -> Result<u32, Error> {
        let lines = live::lines(self.number).ok_or(Error::Io)? - Lines::LOOPBACK;
        Ok(lines.bits().into())
    }

    fn set_modem(&self, on: u32, off: u32) -> Result<(), Error> {
        let lines = |bits: u32| Lines::from_bits_truncate(bits as u16) - Lines::LOOPBACK;
        live::set_lines(self.number, lines(on | off), lines(on));
        Ok(())
    }

    fn set_break(&self, on: bool) {
        if self.is_away() {
            return;
        }
        live::set_break(self.number, on);
    }
}

/// What stands above a port that is a terminal.
struct Above(usize);

static ABOVE: [Above; PORTS] = [Above(0), Above(1)];
static TERMINALS: [Once<SerialTty>; PORTS] = [const { Once::new() }; PORTS];
/// How many files each has.
static FILES: Mutex<[u32; PORTS]> = Mutex::new(Rank::TerminalOpening, [0; PORTS]);
/// The monitor has taken the console's port from its terminal, for a while. Changed with [`FILES`] locked.
static IS_SEIZED: AtomicBool = AtomicBool::new(false);

impl Above {
    fn tty(&self) -> Option<&'static SerialTty> {
        TERMINALS[self.0].get().filter(|tty| tty.driver().is_open.load(Ordering::Relaxed))
    }
}

impl Upper for Above {
    fn received(&self, characters: &[Character]) -> Room {
        let Some(tty) = self.tty().filter(|_| !console::is_dying()) else { return Room::Enough };
        let mut characters = characters;
        // A break that somebody else waits for is nothing that was typed.
        while wants_break(self.0)
            && let Some(at) = characters.iter().position(Character::is_break)
        {
            take_in(tty, &characters[..at]);
            characters = &characters[at + 1..];
            tty.driver().has_break.store(true, Ordering::Relaxed);
        }
        take_in(tty, characters);
        if tty.is_crowded() { Room::Short } else { Room::Enough }
    }

    fn wants_break(&self) -> bool {
        wants_break(self.0)
    }

    fn fill(&self, to: &mut [u8]) -> usize {
        let Some(tty) = self.tty() else { return 0 };
        let output = &tty.driver().output;
        // Whoever died may have held the lock.
        let output = if console::is_dying() { output.try_lock() } else { Some(output.lock()) };
        output.map_or(0, |mut output| output.pop(to))
    }

    fn notify(&self, events: Events) {
        if console::is_dying() {
            return;
        }
        PENDING[self.0].fetch_or(events.bits(), Ordering::Relaxed);
        // What comes while a line is printed may come under whatever lock.
        if Machine::in_interrupt() || hooks::preemption_depth() == 0 {
            has_happened(self.0);
        } else {
            // If there is no room among what is deferred, the next one tells it too.
            Machine::defer(has_happened, self.0);
        }
    }
}

fn take_in(tty: &SerialTty, characters: &[Character]) {
    tty.take_in(characters.iter().flat_map(|&character| line::marked(character)).flatten());
}

/// Who has the console's port when no program has.
pub struct Monitor {
    /// A break came on the line while it is lent to a terminal, whose number this is told. The terminal's thread calls
    /// it, which may sleep; no program sees the break.
    pub on_break: fn(usize),
    /// The port has come back: the last program has closed the terminal.
    pub on_return: fn(),
}

static MONITOR: Once<Monitor> = Once::new();

/// Says who that is, once.
pub fn set_monitor(monitor: Monitor) {
    MONITOR.call_once(|| monitor);
}

fn wants_break(number: usize) -> bool {
    MONITOR.get().is_some() && console::serial_port() == Some(number)
}

/// What has happened on each port, and nobody was told yet.
static PENDING: [AtomicU8; PORTS] = [const { AtomicU8::new(0) }; PORTS];

/// Wakes whoever it concerns.
fn has_happened(number: usize) {
    let events = Events::from_bits_truncate(PENDING[number].swap(0, Ordering::Relaxed));
    let Some(tty) = TERMINALS[number].get() else { return };
    if events.contains(Events::SENT) && tty.driver().unsent() <= LOW {
        tty.sent();
    }
    if events.contains(Events::HANGUP) {
        tty.driver().carrier_lost.store(true, Ordering::Relaxed);
    }
    if events.intersects(Events::RECEIVED | Events::HANGUP) {
        tty.poke();
    }
}

/// The terminal's thread.
fn work(number: usize) -> usize {
    let Some(tty) = TERMINALS[number].get() else { return 0 };
    loop {
        let Wires { carrier_lost: lost, has_break, .. } = tty.driver();
        tty.work_until(&|| lost.load(Ordering::Relaxed) || has_break.load(Ordering::Relaxed));
        if has_break.swap(false, Ordering::Relaxed)
            && let Some(Monitor { on_break: act, .. }) = MONITOR.get()
        {
            act(number);
        }
        // Without a modem there is no carrier to be lost.
        if lost.swap(false, Ordering::Relaxed) && !tty.settings().control.contains(Control::CLOCAL) {
            tty.hang_up();
        }
    }
}

/// What terminals of this machine need besides their drivers. Who has processes has registered before one is opened.
pub fn surroundings() -> Surroundings {
    Surroundings { processes: processes(), now_ns: Machine::now_ns }
}

/// The terminal of a port, made if it is not there yet, with its thread. By one at a time.
fn make(number: usize, baud: u32) -> Result<&'static SerialTty, Error> {
    /// Those that have their thread.
    static SERVED: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
    let tty = match TERMINALS[number].get() {
        Some(tty) => tty,
        None => make_terminal(number, baud)?,
    };
    if !SERVED[number].load(Ordering::Relaxed) {
        let name = ["ttyS0", "ttyS1"][number];
        spawn(name, Policy::Normal(0), work, number).map_err(|_| Error::NoMemory)?;
        SERVED[number].store(true, Ordering::Relaxed);
    }
    Ok(tty)
}

fn make_terminal(number: usize, baud: u32) -> Result<&'static SerialTty, Error> {
    let wires = Wires {
        number,
        output: IrqLock::new(Rank::SerialRings, Backlog::new(OUTPUT, false)?),
        carrier_lost: AtomicBool::new(false),
        has_break: AtomicBool::new(false),
        is_open: AtomicBool::new(false),
    };
    let id = TtyId(Device::new(MAJOR, FIRST_MINOR + number as u32).encode() as u32);
    let tty = Tty::new(wires, id, line::initial(baud), surroundings())?;
    Ok(TERMINALS[number].call_once(|| tty))
}

/// Opens a port's terminal.
///
/// # Errors
/// `None`: there is no such port, or it cannot be served. Within: what [`Tty::open`] may meet, and [`Error::NoMemory`].
pub fn open(
    number: usize,
    readable: bool,
    controls: bool,
) -> Option<Result<(&'static SerialTty, Opened), Error>> {
    let mut files = FILES.lock();
    let count = files.get_mut(number)?;
    if live::found(number).is_none() {
        live::open(number, DEFAULT_BAUD)?;
    }
    if live::driven(number).is_none() {
        live::drive(number, true)?;
    }
    let baud = live::settings(number).map_or(DEFAULT_BAUD, |settings| settings.baud);
    let tty = match make(number, baud) {
        Ok(tty) => tty,
        Err(problem) => return Some(Err(problem)),
    };
    if *count == 0 {
        begin(tty);
    }
    let opened = tty.open(readable, controls);
    match opened {
        Ok(_) => *count += 1,
        Err(_) if *count == 0 => end(tty),
        Err(_) => {}
    }
    Some(opened.map(|opened| (tty, opened)))
}

/// Closes one file of it. The last waits until what was written is sent.
pub fn close(tty: &'static SerialTty, file: &Opened) {
    tty.close(file);
    let mut files = FILES.lock();
    let count = &mut files[tty.driver().number];
    *count -= 1;
    if *count == 0 {
        end(tty);
    }
}

/// A port's terminal, if anybody ever opened it.
pub fn terminal(number: usize) -> Option<&'static SerialTty> {
    TERMINALS.get(number)?.get()
}

/// Whether somebody has it open.
pub fn is_open(number: usize) -> bool {
    FILES.lock().get(number).is_some_and(|&count| count > 0)
}

/// With the first file.
fn begin(tty: &SerialTty) {
    let number = tty.driver().number;
    tty.driver().is_open.store(true, Ordering::Relaxed);
    if console::serial_port() == Some(number) {
        console::lend();
    }
    connect(tty);
}

fn connect(tty: &SerialTty) {
    let number = tty.driver().number;
    live::attach(number, &ABOVE[number]);
    live::set_lines(number, Lines::DTR | Lines::RTS, Lines::DTR | Lines::RTS);
    tty.configure();
}

/// The monitor takes the console's port back, though programs have its terminal open: what is typed is the monitor's, and
/// what they write waits. False if nobody has it open, so that it is the monitor's in any case, or if that was done
/// before.
pub fn seize() -> bool {
    let Some(number) = console::serial_port() else { return false };
    let files = FILES.lock();
    if files.get(number).is_none_or(|&count| count == 0) || IS_SEIZED.swap(true, Ordering::Relaxed) {
        return false;
    }
    console::take_back();
    true
}

/// Ends [`seize`]: they go on where they were. False if there was none, or nobody has the terminal open any more.
pub fn give_back() -> bool {
    let Some(number) = console::serial_port() else { return false };
    let files = FILES.lock();
    let was_seized = IS_SEIZED.swap(false, Ordering::Relaxed);
    let Some(tty) = terminal(number).filter(|_| was_seized && files[number] > 0) else { return false };
    console::lend();
    connect(tty);
    live::start_tx(number);
    true
}

/// After the last one.
fn end(tty: &SerialTty) {
    let number = tty.driver().number;
    tty.driver().is_open.store(false, Ordering::Relaxed);
    tty.forget();
    if console::serial_port() == Some(number) {
        let was_seized = IS_SEIZED.swap(false, Ordering::Relaxed);
        console::take_back();
        if let Some(monitor) = MONITOR.get().filter(|_| !was_seized) {
            (monitor.on_return)();
        }
    } else if tty.settings().control.contains(Control::HUPCL) {
        live::set_lines(number, Lines::DTR | Lines::RTS, Lines::empty());
    }
}
