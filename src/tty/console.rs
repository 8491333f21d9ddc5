//! The kernel's own console: the serial line and the framebuffer.
//!
//! Before it has been configured, and whenever the kernel is dying, output goes to COM1, which is set up
//! when first needed: the very first instructions can already fail with a message.
//!
//! It is the terminal above a serial port (`drivers::serial`): what is typed arrives in a ring by the port's interrupt,
//! and what the monitor and programs write leaves from another one by it. The kernel's own lines, those of the log and
//! those of a panic, go out polled, behind what is in the ring and in one piece: see `drivers::serial::port`.
//!
//! The port is shared. As long as nobody has its terminal open (`tty::serial`), it is the console's, and so the monitor's.
//! Who opens it borrows it ([`lend`]), and the last who closes it gives it back. What programs write there is on the
//! framebuffer as well ([`show`]).
//!
//! [`RINGS`] is taken under the port's lock. [`SCREEN`] guards the text on the framebuffer, whose painting takes long: no
//! interrupt handler touches it. Log lines made in a handler wait in the log's ring until [`print_log`] is called from
//! somewhere else.

use super::options::{DEFAULT_BAUD, Selection};
use crate::arch::x86_64::interrupts;
use crate::drivers::fbcon::Console as TextConsole;
use crate::drivers::framebuffer::Framebuffer;
use crate::drivers::serial::live::{self as serial, Driven, Held};
use crate::drivers::serial::port::{Events, Room, Upper};
use crate::drivers::serial::settings::{Character, Settings};
use crate::log;
use crate::platform::{Machine, Platform};
use crate::sync::{IrqLock, Rank, SpinLock, WaitQueue, hooks};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// Bytes typed ahead that are kept.
const INPUT: usize = 1024;
/// Bytes written that wait for the serial line.
const OUTPUT: usize = 4096;

/// Bytes between the console and its port.
struct Rings {
    input: Ring<INPUT>,
    output: Ring<OUTPUT>,
    received: Received,
    /// ^C that nobody has looked at yet.
    interrupt_keys: usize,
    /// The port is somebody else's.
    is_lent: bool,
}

/// How bytes have come in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    pub by_interrupt: u64,
    pub polled: u64,
    /// Bytes that had no room.
    pub lost: u64,
}

static RINGS: IrqLock<Rings> = IrqLock::new(
    Rank::SerialRings,
    Rings {
        input: Ring::new(),
        output: Ring::new(),
        received: Received { by_interrupt: 0, polled: 0, lost: 0 },
        interrupt_keys: 0,
        is_lent: false,
    },
);

/// The port's number; [`NO_PORT`] if there is none.
static PORT: AtomicUsize = AtomicUsize::new(NO_PORT);
const NO_PORT: usize = usize::MAX;
/// Whether somebody has looked for it yet.
static PROBED: AtomicBool = AtomicBool::new(false);
/// Whether it interrupts.
static BY_INTERRUPT: AtomicBool = AtomicBool::new(false);

/// Whether the kernel is dying.
static DYING: AtomicBool = AtomicBool::new(false);

/// The framebuffer; its text is apart, so that its 128 KiB of zeros stay out of the image file.
static SCREEN: SpinLock<Option<Framebuffer>> = SpinLock::new(Rank::Screen, None);

/// Whether the screen shows less than its text.
static IS_STALE: AtomicBool = AtomicBool::new(false);

/// Whether there is a screen.
static HAS_SCREEN: AtomicBool = AtomicBool::new(false);

/// What programs have written on the console's port and the screen's text has not had yet; of too much, the end, which is
/// all that the screen would be left with.
static UNSHOWN: IrqLock<Ring<UNSHOWN_BYTES>> = IrqLock::new(Rank::SerialRings, Ring::new());
const UNSHOWN_BYTES: usize = 16 << 10;
/// Bytes of it that are moved at a time, with interrupts off.
const PORTION: usize = 128;

/// What the screen shows. Locked only while [`SCREEN`] is.
static TEXT: SpinLock<TextConsole> = SpinLock::new(Rank::ScreenText, TextConsole::new());

struct Ring<const N: usize> {
    bytes: [u8; N],
    first: usize,
    len: usize,
}

impl<const N: usize> Ring<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], first: 0, len: 0 }
    }

    /// False if it is full.
    fn push(&mut self, byte: u8) -> bool {
        if self.len == N {
            return false;
        }
        self.bytes[(self.first + self.len) % N] = byte;
        self.len += 1;
        true
    }

    /// Takes the first such byte out, wherever it is.
    fn remove(&mut self, unwanted: u8) {
        let mut is_gone = false;
        for _ in 0..self.len {
            match self.pop() {
                Some(byte) if byte == unwanted && !is_gone => is_gone = true,
                Some(byte) => _ = self.push(byte),
                None => {}
            }
        }
    }

    fn pop(&mut self) -> Option<u8> {
        self.len = self.len.checked_sub(1)?;
        let byte = self.bytes[self.first];
        self.first = (self.first + 1) % N;
        Some(byte)
    }
}

/// What stands above the port.
struct Terminal;

impl Upper for Terminal {
    /// Damaged characters and breaks are nothing that was typed.
    fn received(&self, characters: &[Character]) -> Room {
        let mut rings = RINGS.lock();
        for character in characters.iter().filter(|character| !character.is_bad()) {
            rings.interrupt_keys += usize::from(character.byte == CTRL_C);
            if !rings.input.push(character.byte) {
                rings.received.lost += 1;
            }
            let by_interrupt = BY_INTERRUPT.load(Ordering::Relaxed);
            let Received { by_interrupt: counted, polled, .. } = &mut rings.received;
            *(if by_interrupt { counted } else { polled }) += 1;
        }
        Room::Enough
    }

    fn fill(&self, to: &mut [u8]) -> usize {
        let mut rings = RINGS.lock();
        let mut len = 0;
        while len < to.len() {
            let Some(byte) = rings.output.pop() else { break };
            to[len] = byte;
            len += 1;
        }
        len
    }

    fn notify(&self, events: Events) {
        // A dying kernel wakes nobody: it could wait for the list's lock for ever.
        if !events.contains(Events::RECEIVED) || DYING.load(Ordering::Relaxed) {
            return;
        }
        // What comes while a line is printed may come under whatever lock.
        if Machine::in_interrupt() || hooks::preemption_depth() == 0 {
            has_come(0);
        } else {
            Machine::defer(has_come, 0);
        }
    }
}

/// Opens the port, and lets go of the one before.
fn open(port: Option<(usize, u32)>) -> Option<serial::Found> {
    PROBED.store(true, Ordering::Relaxed);
    serial::close(PORT.swap(NO_PORT, Ordering::Relaxed));
    let (number, baud) = port?;
    let found = serial::open(number, baud)?;
    serial::attach(number, &Terminal);
    PORT.store(number, Ordering::Relaxed);
    Some(found)
}

/// The port's number. Before anybody has chosen one it is ttyS0.
fn port() -> Option<usize> {
    if !PROBED.load(Ordering::Relaxed) {
        open(Some((0, DEFAULT_BAUD)));
    }
    Some(PORT.load(Ordering::Relaxed)).filter(|&port| port != NO_PORT)
}

/// Puts bytes into the ring, from which they leave by interrupt. Where that could not be, since interrupts are off or
/// nobody serves the port yet, they go out as the kernel's own lines do.
fn write_serial(mut bytes: &[u8]) {
    let Some(port) = port() else { return };
    if serial::driven(port).is_none() || Machine::in_interrupt() || !interrupts::are_on() {
        Held::new(port).write(bytes);
        return;
    }
    while !bytes.is_empty() {
        let mut rings = RINGS.lock();
        if rings.is_lent {
            drop(rings);
            Held::new(port).write(bytes);
            return;
        }
        let len = bytes.iter().take_while(|&&byte| rings.output.push(byte)).count();
        drop(rings);
        serial::start_tx(port);
        bytes = &bytes[len..];
        // If the ring is full, whoever writes so much lends a hand; or waits, while a line of the log goes out.
        if !bytes.is_empty() && !serial::push(port) && serial::driven(port).is_none() {
            return;
        }
    }
}

/// Writes text to both; a line feed becomes CR LF. The screen is painted later: see [`paint`]. To the serial line it goes
/// by `send`.
fn write(text: &str, send: &dyn Fn(&[u8])) {
    for piece in text.split_inclusive('\n') {
        let (line, end) = match piece.strip_suffix('\n') {
            Some(line) => (line, "\r\n"),
            None => (piece, ""),
        };
        for part in [line, end].iter().filter(|part| !part.is_empty()) {
            send(part.as_bytes());
            let screen = SCREEN.lock();
            let mut text = TEXT.lock();
            take_over(&mut text);
            text.write(part.as_bytes());
            drop(text);
            IS_STALE.store(true, Ordering::Relaxed);
            drop(screen);
        }
    }
}

/// Paints what has changed on the screen. Painting is the expensive part, so a burst of lines is painted once.
fn paint() {
    if let Some(framebuffer) = &mut *SCREEN.lock() {
        let mut text = TEXT.lock();
        take_over(&mut text);
        text.flush(framebuffer);
    }
}

/// The screen is to show what a program's terminal sends on the console's port. It comes there later, so whoever writes
/// waits for no painting.
pub fn show(bytes: &[u8]) {
    if !HAS_SCREEN.load(Ordering::Relaxed) {
        return;
    }
    for portion in bytes.chunks(PORTION) {
        let mut unshown = UNSHOWN.lock();
        for &byte in portion {
            if !unshown.push(byte) {
                unshown.pop();
                unshown.push(byte);
            }
        }
    }
    IS_STALE.store(true, Ordering::Relaxed);
}

/// Has the screen's text catch up with programs.
fn take_over(text: &mut TextConsole) {
    loop {
        let (mut portion, mut count) = ([0; PORTION], 0);
        let mut unshown = UNSHOWN.lock();
        while count < PORTION
            && let Some(byte) = unshown.pop()
        {
            portion[count] = byte;
            count += 1;
        }
        drop(unshown);
        if count == 0 {
            return;
        }
        text.write(&portion[..count]);
    }
}

/// What there is to say about the console once it is set up.
pub struct Found {
    /// Name and FIFO depth of the serial port's chip.
    pub serial: Option<(&'static str, u8)>,
    /// Columns and rows on the framebuffer.
    pub text: Option<(usize, usize)>,
}

/// Sets up the devices of `selection`. What was written before stays on the serial line only.
pub fn configure(selection: &Selection, framebuffer: Option<Framebuffer>) -> Found {
    let chip = open(selection.serial).map(|found| (found.model.name(), found.depth));

    let mut screen = SCREEN.lock();
    *screen = framebuffer.filter(|_| selection.framebuffer);
    HAS_SCREEN.store(screen.is_some(), Ordering::Relaxed);
    let mut text = TEXT.lock();
    if let Some(framebuffer) = &mut *screen {
        text.attach(framebuffer);
    }
    let size = Some(text.size()).filter(|&(columns, rows)| columns > 0 && rows > 0);
    Found { serial: chip, text: size }
}

/// The serial port in use, if there is one.
pub fn serial_port() -> Option<usize> {
    port()
}

/// From here on the serial port interrupts when there is something to do, or a timer looks after it. `None` if neither is
/// possible: then it has to be asked.
pub fn drive(by_interrupt: bool) -> Option<Driven> {
    let driven = serial::drive(port()?, by_interrupt);
    BY_INTERRUPT.store(driven == Some(Driven::ByInterrupt), Ordering::Relaxed);
    driven
}

// ---- the port as a terminal of programs ----

/// Gives the port to a terminal that somebody has opened; its number, if there is one. What is typed is that terminal's
/// from then on, and the monitor hears nothing. What the monitor has written goes out first; what it writes later goes
/// out polled, whole, between the terminal's bytes, as do lines of the log.
pub fn lend() -> Option<usize> {
    let port = port()?;
    RINGS.lock().is_lent = true;
    serial::drain(port);
    Some(port)
}

/// Nobody has that terminal open any more: the port is the monitor's. Speed and format stay as they are set, for the
/// other end will go by them; what could keep the monitor from being heard does not.
pub fn take_back() {
    let Some(port) = port() else { return };
    serial::attach(port, &Terminal);
    RINGS.lock().is_lent = false;
    if let Some(now) = serial::settings(port) {
        let baud = if now.baud == 0 { DEFAULT_BAUD } else { now.baud };
        let settings = Settings { baud, rts_cts: false, obeys: None, sends: None, receives: true, ..now };
        // It is a part of what was set before.
        let _ = serial::set_settings(port, settings);
    }
    serial::set_stopped(port, false);
    serial::unthrottle(port);
    serial::set_break(port, false);
}

/// Whether the kernel is dying: then nobody is woken, and no lock is waited for.
pub fn is_dying() -> bool {
    DYING.load(Ordering::Relaxed)
}

/// Who waits for something typed.
pub static READERS: WaitQueue = WaitQueue::new();

/// What ^C interrupts: `fn() -> bool`, which says whether there was anything. Called with no lock held, in an interrupt
/// handler or not.
static INTERRUPT_KEY: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
const CTRL_C: u8 = 0x03;

/// Says what ^C interrupts, when it is typed on the serial line. Where there is nothing, it is a key like others.
pub fn on_interrupt_key(interrupt: fn() -> bool) {
    INTERRUPT_KEY.store(interrupt as *mut (), Ordering::Release);
}

fn interrupt_key() -> bool {
    let interrupt = INTERRUPT_KEY.load(Ordering::Acquire);
    // SAFETY: `on_interrupt_key` alone stores there, and what it stores is such a function.
    !interrupt.is_null() && unsafe { core::mem::transmute::<*mut (), fn() -> bool>(interrupt) }()
}

/// Something has been typed. A ^C that has interrupted something is taken back.
fn has_come(_: usize) {
    let keys = core::mem::take(&mut RINGS.lock().interrupt_keys);
    for _ in 0..keys {
        if interrupt_key() {
            RINGS.lock().input.remove(CTRL_C);
        }
    }
    READERS.wake_all();
}

/// How bytes have come in so far.
pub fn received() -> Received {
    RINGS.lock().received
}

/// The next byte typed, if there is one.
pub fn read() -> Option<u8> {
    if must_poll() {
        serial::poll(port()?);
    }
    RINGS.lock().input.pop()
}

/// Whether [`read`] has something.
pub fn has_input() -> bool {
    RINGS.lock().input.len > 0
}

/// Whether the port must be asked for what it has received: then there is no sleeping until it interrupts.
pub fn must_poll() -> bool {
    port().is_some_and(|port| serial::driven(port).is_none())
}

/// What to do when there is nothing else to do: prints what waits.
pub fn idle() {
    if log::is_waiting() {
        print_log();
    }
}

/// The same for the screen, by one CPU's idle thread: whoever writes to the screen waits while it is painted.
pub fn idle_painter() {
    if IS_STALE.swap(false, Ordering::Relaxed) {
        paint();
    }
}

/// Waits until everything has left, as before a reset.
pub fn drain() {
    if SCREEN.try_lock().is_some() {
        paint();
    }
    if let Some(port) = port() {
        serial::drain(port);
    }
}

/// Prints the log lines that the consoles have not had. In an interrupt handler, and under a lock that spins, it does
/// nothing, and they wait: printing takes locks and long.
pub fn print_log() {
    if !Machine::in_interrupt() && hooks::preemption_depth() == 0 {
        let mut buffer = log::LineBuffer::new();
        // Line by line to oneself: another thread that printed the next one before this one would mix them up. One that
        // is printing now looks again when it is through.
        while log::is_waiting() {
            let Some(_together) = PRINTER.try_lock() else { return };
            if QUIET.load(Ordering::Relaxed) > 0 {
                return;
            }
            print_line(&mut buffer);
        }
    }
}

/// Whoever prints a line of the log.
static PRINTER: SpinLock<()> = SpinLock::new(Rank::Printer, ());

/// How many of [`Quiet`] there are. Rises before the printer's lock is taken, and is looked at under it.
static QUIET: AtomicU32 = AtomicU32::new(0);

/// As long as it lives, lines of the log wait, and do not get in between what its owner writes. Not for long.
pub struct Quiet(());

impl Quiet {
    pub fn new() -> Self {
        QUIET.fetch_add(1, Ordering::Relaxed);
        // Whoever prints a line now is through with it after this.
        drop(PRINTER.lock());
        Self(())
    }
}

impl Default for Quiet {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUIET.fetch_sub(1, Ordering::Release);
        print_log();
    }
}

fn print_line(buffer: &mut log::LineBuffer) {
    if let Some(line) = log::next_for_console(buffer) {
        let held = port().map(Held::new);
        let send = |bytes: &[u8]| _ = held.as_ref().map(|held| held.write(bytes));
        write(line, &send);
        write("\n", &send);
    }
}

/// The console as a `fmt::Write`. What is written leaves by the serial line as fast as that can, and is on the screen when
/// nothing is left to do.
pub struct Output;

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text, &write_serial);
        Ok(())
    }
}

/// The console of a dying kernel: it takes the locks from whoever has them. What others had written comes out first, and
/// nothing of theirs afterwards.
pub struct Emergency(Option<Held>);

impl Emergency {
    /// For panics alone: nothing else may run on this CPU afterwards.
    pub fn new() -> Self {
        DYING.store(true, Ordering::Relaxed);
        // SAFETY: the holder of the locks is the code that panicked, and will not go on.
        unsafe {
            serial::break_in(PORT.load(Ordering::Relaxed));
            RINGS.force_unlock();
            UNSHOWN.force_unlock();
            SCREEN.force_unlock();
            TEXT.force_unlock();
        }
        // Whatever `console=` says: a panic is worth a line that may be watched.
        if port().is_none() {
            open(Some((0, DEFAULT_BAUD)));
        }
        Self(port().map(Held::new))
    }
}

impl Default for Emergency {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Emergency {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text, &|bytes| _ = self.0.as_ref().map(|held| held.write(bytes)));
        // Line by line: a fault in between shows how far it came.
        if text.ends_with('\n') {
            paint();
        }
        Ok(())
    }
}
