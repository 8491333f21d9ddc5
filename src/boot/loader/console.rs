//! Where the loader's lines go: the UEFI console, and COM1.
//!
//! Most firmware shows its console on the serial port as well. Writing there too would double every line,
//! so COM1 is written to only if no terminal driver of the firmware has it open: through the Serial I/O
//! protocol if there is one, else with our own driver.
//! Source: UEFI 2.10 §12.4 (simple text output), §12.8 (serial I/O).

use super::firmware::{Firmware, call};
use crate::arch::x86_64::port::{COM1, PortBlock};
use crate::drivers::serial::uart16550::{DEFAULT_BAUD, Uart};
use core::fmt::{self, Write};
use core::ptr::{self, NonNull};
use spin::Mutex;
use uefi_raw::Status;
use uefi_raw::protocol::console::SimpleTextOutputProtocol;
use uefi_raw::protocol::console::serial::SerialIoProtocol;

/// Prints one line, `loader: …`.
macro_rules! say {
    ($($arg:tt)*) => { $crate::boot::loader::console::line(format_args!($($arg)*)) };
}

/// COM1, if the firmware's console does not reach it.
enum Serial {
    /// The firmware's terminal is on it, or there is none.
    None,
    Protocol(NonNull<SerialIoProtocol>),
    Own(Uart<PortBlock>),
    /// To be opened by our own driver when there is something to say.
    Unopened,
}

struct Console {
    text: *mut SimpleTextOutputProtocol,
    serial: Serial,
}

// SAFETY: the loader runs on one processor, and the firmware's event handlers do not call it.
unsafe impl Send for Console {}

static CONSOLE: Mutex<Console> = Mutex::new(Console { text: ptr::null_mut(), serial: Serial::None });

/// Finds out where to write.
pub fn init(firmware: &Firmware) {
    let mut console = CONSOLE.lock();
    console.text = firmware.console();
    console.serial = find_serial(firmware);
}

/// From here on, only COM1 is left: ExitBootServices takes console and protocols away.
pub fn firmware_is_gone() {
    *CONSOLE.lock() = Console { text: ptr::null_mut(), serial: Serial::Unopened };
}

/// The loader panicked, perhaps in the middle of a line.
pub fn force_unlock() {
    // SAFETY: the holder of the lock is the code that panicked, and will not go on.
    unsafe { CONSOLE.force_unlock() };
}

/// Prints one line.
pub fn line(text: fmt::Arguments<'_>) {
    let mut console = CONSOLE.lock();
    let _ = write!(console, "loader: {text}\r\n");
}

fn own_uart() -> Serial {
    // SAFETY: COM1 is a UART or nothing, and nobody else drives it now.
    let registers = unsafe { PortBlock::new(COM1) };
    Uart::probe(registers, DEFAULT_BAUD).map_or(Serial::None, Serial::Own)
}

fn find_serial(firmware: &Firmware) -> Serial {
    const BY_DRIVER: u32 = 0x10;
    let (handles, count) = firmware.handles::<32>(&SerialIoProtocol::GUID);
    let com1 =
        handles[..count].iter().find(|&&handle| super::devices::uart_port_of(firmware, handle) == Some(COM1));
    let Some(&handle) = com1 else { return own_uart() };
    let (mut entries, mut entry_count) = (ptr::null(), 0);
    // SAFETY: out pointers of our own; the firmware allocates the list, which is read and given back.
    let has_terminal = unsafe {
        let boot = firmware.boot();
        let status = call(|| {
            (boot.open_protocol_information)(handle, &SerialIoProtocol::GUID, &mut entries, &mut entry_count)
        });
        if status != Status::SUCCESS || entries.is_null() {
            false
        } else {
            let open = core::slice::from_raw_parts(entries, entry_count);
            let found = open.iter().any(|entry| entry.attributes & BY_DRIVER != 0);
            let _ = (boot.free_pool)(entries.cast_mut().cast());
            found
        }
    };
    if has_terminal {
        return Serial::None;
    }
    firmware.protocol(handle, &SerialIoProtocol::GUID).map_or(Serial::None, Serial::Protocol)
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if matches!(self.serial, Serial::Unopened) {
            self.serial = own_uart();
        }
        match &mut self.serial {
            Serial::None | Serial::Unopened => {}
            Serial::Protocol(serial) => {
                let mut len = text.len();
                // SAFETY: the protocol is valid until ExitBootServices, which resets this field.
                let _ = call(|| unsafe { (serial.as_ref().write)(serial.as_ptr(), &mut len, text.as_ptr()) });
            }
            Serial::Own(uart) => uart.write_bytes(text.as_bytes()),
        }
        if self.text.is_null() {
            return Ok(());
        }
        // UCS-2 with a terminating zero, in pieces.
        let mut units = [0u16; 65];
        let mut len = 0;
        let flush = |units: &mut [u16; 65], len: &mut usize| {
            units[*len] = 0;
            *len = 0;
            // SAFETY: the console is valid until ExitBootServices, and the string ends in a zero.
            let _ = call(|| unsafe { ((*self.text).output_string)(self.text, units.as_ptr()) });
        };
        for c in text.chars() {
            // The console knows no surrogates.
            units[len] = u16::try_from(u32::from(c)).unwrap_or(b'?'.into());
            len += 1;
            if len == units.len() - 1 {
                flush(&mut units, &mut len);
            }
        }
        if len > 0 {
            flush(&mut units, &mut len);
        }
        Ok(())
    }
}
