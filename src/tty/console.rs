//! The kernel's own console: the serial line and the framebuffer.
//!
//! Before it has been configured, and whenever the kernel is dying, output goes to COM1, which is set up
//! when first needed: the very first instructions can already fail with a message.
//!
//! Two locks, never one inside the other. [`SERIAL`] guards the UART and what it has received: its interrupt
//! handler takes it, so it is held with interrupts off and only for as many bytes as the FIFO has room for.
//! [`SCREEN`] guards the text on the framebuffer, whose painting takes long: no interrupt handler touches it.
//! Log lines made in a handler wait in the ring until [`print_log`] is called from somewhere else.

use super::options::{DEFAULT_BAUD, Selection};
use crate::drivers::fbcon::Console as TextConsole;
use crate::drivers::framebuffer::Framebuffer;
use crate::drivers::serial::uart16550::Uart;
use crate::log;
use crate::platform::{Machine, Platform};
use crate::sync::{IrqLock, Rank, SpinLock, WaitQueue, hooks};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// Bytes typed ahead that are kept.
const INPUT: usize = 1024;

/// The serial port in use.
struct Serial {
    uart: Option<Uart<<Machine as Platform>::Serial>>,
    /// Its number; ttyS0 until configured.
    port: usize,
    /// Whether somebody has looked for it yet.
    probed: bool,
    /// Whether it interrupts when something arrives.
    by_interrupt: bool,
    input: [u8; INPUT],
    first: usize,
    len: usize,
    /// Bytes that came by an interrupt, and by asking.
    received: Received,
}

/// How bytes have come in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    pub by_interrupt: u64,
    pub polled: u64,
    /// Bytes that had no room.
    pub lost: u64,
}

static SERIAL: IrqLock<Serial> = IrqLock::new(
    Rank::Serial,
    Serial {
        uart: None,
        port: 0,
        probed: false,
        by_interrupt: false,
        input: [0; INPUT],
        first: 0,
        len: 0,
        received: Received { by_interrupt: 0, polled: 0, lost: 0 },
    },
);

/// The framebuffer; its text is apart, so that its 128 KiB of zeros stay out of the image file.
static SCREEN: SpinLock<Option<Framebuffer>> = SpinLock::new(Rank::Screen, None);

/// Whether the screen shows less than its text.
static IS_STALE: AtomicBool = AtomicBool::new(false);

/// What the screen shows. Locked only while [`SCREEN`] is.
static TEXT: SpinLock<TextConsole> = SpinLock::new(Rank::ScreenText, TextConsole::new());

impl Serial {
    fn open(&mut self, port: Option<(usize, u32)>) {
        self.probed = true;
        self.by_interrupt = false;
        self.uart = port.and_then(|(number, baud)| {
            self.port = number;
            Uart::probe(Machine::serial(number)?, baud).ok()
        });
    }

    fn push(&mut self, byte: u8) {
        if self.len == INPUT {
            self.received.lost += 1;
            return;
        }
        self.input[(self.first + self.len) % INPUT] = byte;
        self.len += 1;
    }

    fn pop(&mut self) -> Option<u8> {
        self.len = self.len.checked_sub(1)?;
        let byte = self.input[self.first];
        self.first = (self.first + 1) % INPUT;
        Some(byte)
    }
}

/// Sends bytes, a FIFO's worth at a time, with interrupts on in between.
fn write_serial(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let mut serial = SERIAL.lock();
        if !serial.probed {
            serial.open(Some((0, DEFAULT_BAUD)));
        }
        let Some(uart) = &mut serial.uart else { return };
        let mut sent = uart.try_write(bytes);
        if sent == 0 {
            // No room: wait for one byte, within the driver's bound.
            uart.write_byte(bytes[0]);
            sent = 1;
        }
        bytes = &bytes[sent..];
    }
}

/// Writes text to both; a line feed becomes CR LF. The screen is painted later: see [`paint`].
fn write(text: &str) {
    for piece in text.split_inclusive('\n') {
        let (line, end) = match piece.strip_suffix('\n') {
            Some(line) => (line, "\r\n"),
            None => (piece, ""),
        };
        for part in [line, end] {
            write_serial(part.as_bytes());
            let screen = SCREEN.lock();
            TEXT.lock().write(part.as_bytes());
            IS_STALE.store(true, Ordering::Relaxed);
            drop(screen);
        }
    }
}

/// Paints what has changed on the screen. Painting is the expensive part, so a burst of lines is painted once.
fn paint() {
    if let Some(framebuffer) = &mut *SCREEN.lock() {
        TEXT.lock().flush(framebuffer);
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
    let mut serial = SERIAL.lock();
    if let Some(uart) = &mut serial.uart {
        uart.flush();
    }
    serial.open(selection.serial);
    let chip = serial.uart.as_ref().map(|uart| (uart.model().name(), uart.model().depth()));
    drop(serial);

    let mut screen = SCREEN.lock();
    *screen = framebuffer.filter(|_| selection.framebuffer);
    let mut text = TEXT.lock();
    if let Some(framebuffer) = &mut *screen {
        text.attach(framebuffer);
    }
    let size = Some(text.size()).filter(|&(columns, rows)| columns > 0 && rows > 0);
    Found { serial: chip, text: size }
}

/// The serial port in use, if there is one.
pub fn serial_port() -> Option<usize> {
    let serial = SERIAL.lock();
    serial.uart.as_ref().map(|_| serial.port)
}

/// From here on the serial port interrupts when something arrives, and [`serial_interrupt`] is called then.
pub fn use_interrupt() {
    let mut serial = SERIAL.lock();
    if let Some(uart) = &mut serial.uart {
        uart.set_receive_interrupt(true);
        serial.by_interrupt = true;
    }
}

/// Who waits for something typed.
pub static READERS: WaitQueue = WaitQueue::new();

/// What ^C interrupts: `fn() -> bool`, which says whether there was anything. Called in an interrupt handler.
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

/// The serial port's interrupt handler: empties the receiver.
pub fn serial_interrupt(_: usize) {
    let mut came = false;
    loop {
        let mut serial = SERIAL.lock();
        let Some(byte) = serial.uart.as_mut().and_then(Uart::try_read) else { break };
        serial.received.by_interrupt += 1;
        if byte == CTRL_C {
            drop(serial);
            if interrupt_key() {
                continue;
            }
            serial = SERIAL.lock();
        }
        serial.push(byte);
        came = true;
    }
    if came {
        READERS.wake_all();
    }
}

/// How bytes have come in so far.
pub fn received() -> Received {
    SERIAL.lock().received
}

/// The next byte typed, if there is one.
pub fn read() -> Option<u8> {
    let mut serial = SERIAL.lock();
    let mut byte = serial.pop();
    if byte.is_none() && !serial.by_interrupt {
        byte = serial.uart.as_mut().and_then(Uart::try_read);
        serial.received.polled += u64::from(byte.is_some());
    }
    byte
}

/// Whether [`read`] has something that came by an interrupt.
pub fn has_input() -> bool {
    SERIAL.lock().len > 0
}

/// Whether the UART must be asked for what it has received: then there is no sleeping until it interrupts.
pub fn must_poll() -> bool {
    let serial = SERIAL.lock();
    serial.uart.is_some() && !serial.by_interrupt
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
    if let Some(mut serial) = SERIAL.try_lock() {
        serial.uart.as_mut().map(Uart::flush);
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
            print_line(&mut buffer);
        }
    }
}

/// Whoever prints a line of the log.
static PRINTER: SpinLock<()> = SpinLock::new(Rank::Printer, ());

fn print_line(buffer: &mut log::LineBuffer) {
    if let Some(line) = log::next_for_console(buffer) {
        write(line);
        write("\n");
    }
}

/// The console as a `fmt::Write`. What is written reaches the serial line at once, and the screen when nothing
/// is left to do.
pub struct Output;

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text);
        Ok(())
    }
}

/// The console of a dying kernel: it takes the locks from whoever has them.
pub struct Emergency(());

impl Emergency {
    /// For panics alone: nothing else may run on this CPU afterwards.
    pub fn new() -> Self {
        // SAFETY: the holder of the locks is the code that panicked, and will not go on.
        unsafe {
            SERIAL.force_unlock();
            SCREEN.force_unlock();
            TEXT.force_unlock();
        }
        // Whatever `console=` says: a panic is worth a line that may be watched.
        let mut serial = SERIAL.lock();
        if serial.uart.is_none() {
            serial.open(Some((0, DEFAULT_BAUD)));
        }
        Self(())
    }
}

impl Default for Emergency {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Emergency {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text);
        // Line by line: a fault in between shows how far it came.
        if text.ends_with('\n') {
            paint();
        }
        Ok(())
    }
}
