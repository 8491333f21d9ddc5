//! The kernel's own console: the serial line and the framebuffer, under one lock (the text of the screen
//! has a second one, taken inside the first, only so that its 128 KiB of zeros stay out of the image file).
//!
//! Before it has been configured, and whenever the kernel is dying, output goes to COM1, which is set up
//! when first needed: the very first instructions can already fail with a message.
//! Input comes from the serial line, polled, until there are interrupts.

use super::options::{DEFAULT_BAUD, Selection};
use crate::drivers::fbcon::Console as TextConsole;
use crate::drivers::framebuffer::Framebuffer;
use crate::drivers::serial::uart16550::Uart;
use crate::platform::{self, PortBlock};
use core::fmt::{self, Write};
use spin::Mutex;

struct Console {
    serial: Option<Uart<PortBlock>>,
    /// Whether somebody has looked for the serial port yet.
    probed: bool,
    framebuffer: Option<Framebuffer>,
}

static CONSOLE: Mutex<Console> = Mutex::new(Console { serial: None, probed: false, framebuffer: None });

/// What the screen shows. Locked only while [`CONSOLE`] is.
static TEXT: Mutex<TextConsole> = Mutex::new(TextConsole::new());

impl Console {
    fn open_serial(&mut self, port: Option<(usize, u32)>) {
        self.probed = true;
        self.serial = port.and_then(|(number, baud)| {
            let registers = platform::serial_registers(number)?;
            Uart::probe(registers, baud).ok()
        });
    }

    /// Writes text; a line feed becomes CR LF.
    fn write(&mut self, text: &str) {
        if !self.probed {
            self.open_serial(Some((0, DEFAULT_BAUD)));
        }
        let mut screen = TEXT.lock();
        for piece in text.split_inclusive('\n') {
            let (line, end) = match piece.strip_suffix('\n') {
                Some(line) => (line, "\r\n"),
                None => (piece, ""),
            };
            for part in [line, end] {
                if let Some(serial) = &mut self.serial {
                    serial.write_bytes(part.as_bytes());
                }
                screen.write(part.as_bytes());
            }
        }
    }

    fn flush(&mut self) {
        if let Some(framebuffer) = &mut self.framebuffer {
            TEXT.lock().flush(framebuffer);
        }
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
    let mut console = CONSOLE.lock();
    if let Some(serial) = &mut console.serial {
        serial.flush();
    }
    console.open_serial(selection.serial);
    console.framebuffer = framebuffer.filter(|_| selection.framebuffer);
    let mut text = TEXT.lock();
    if let Some(framebuffer) = &mut console.framebuffer {
        text.attach(framebuffer);
    }
    Found {
        serial: console.serial.as_ref().map(|uart| (uart.model().name(), uart.model().depth())),
        text: Some(text.size()).filter(|&(columns, rows)| columns > 0 && rows > 0),
    }
}

/// The next byte typed, if there is one. If there is none, this is the time to paint.
pub fn read() -> Option<u8> {
    let mut console = CONSOLE.lock();
    let byte = console.serial.as_mut().and_then(Uart::try_read);
    if byte.is_none() {
        console.flush();
    }
    byte
}

/// Whether nobody is printing. Asked with interrupts off, on the only CPU, the answer holds.
pub fn is_free() -> bool {
    !CONSOLE.is_locked() && !TEXT.is_locked()
}

/// Waits until everything has left, as before a reset.
pub fn drain() {
    if let Some(mut console) = CONSOLE.try_lock() {
        console.flush();
        console.serial.as_mut().map(Uart::flush);
    }
}

/// Prints a line of the log.
pub fn print_log_line(line: crate::log::Line<'_>) {
    let _ = writeln!(Output, "{line}");
}

/// The console as a `fmt::Write`. What is written reaches the serial line at once, and the screen when
/// nothing is left to do: painting is the expensive part, and a burst of lines is painted once.
pub struct Output;

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        CONSOLE.lock().write(text);
        Ok(())
    }
}

/// The console of a dying kernel: it takes the lock from whoever has it.
pub struct Emergency(());

impl Emergency {
    /// For panics alone: nothing else may run on this CPU afterwards.
    pub fn new() -> Self {
        // SAFETY: the holder of the locks is the code that panicked, and will not go on.
        unsafe {
            CONSOLE.force_unlock();
            TEXT.force_unlock();
        }
        // Whatever `console=` says: a panic is worth a line that may be watched.
        let mut console = CONSOLE.lock();
        if console.serial.is_none() {
            console.open_serial(Some((0, DEFAULT_BAUD)));
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
        let mut console = CONSOLE.lock();
        console.write(text);
        // Line by line: a fault in between shows how far it came.
        if text.ends_with('\n') {
            console.flush();
        }
        Ok(())
    }
}
