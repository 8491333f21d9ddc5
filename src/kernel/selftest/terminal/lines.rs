//! Threads that have a serial port's terminal open as programs have, read lines from it, and say what they have read.
//!
//! They show what a line discipline does to what is typed, who gets a line if several read, and that the console's port
//! goes over to whoever opens its terminal and comes back. Each ends with the end of its input (^D).

use super::{World, read, write};
use crate::errno::Errno;
use crate::fs::file::File;
use crate::fs::flags::OpenFlags;
use crate::fs::refs::Ref;
use crate::task::{Policy, spawn};
use crate::tty::console;
use alloc::format;

/// The longest line that is read at once.
const LINE: usize = 256;
/// Most threads.
pub const READERS: usize = 8;

/// Opens the terminal: every other one as the console, if it is that.
fn open(number: usize, reader: usize) -> Result<Ref<File>, Errno> {
    let world = World::new()?;
    let is_console = console::serial_port() == Some(number) && reader % 2 == 1;
    let name = ["ttyS0", "ttyS1"].get(number).ok_or(Errno::Enxio)?;
    world.open(if is_console { "console" } else { name }, OpenFlags::empty())
}

/// Reads lines until there are no more.
fn run(argument: usize) -> usize {
    let (number, reader) = (argument / READERS, argument % READERS);
    let Ok(file) = open(number, reader) else { return 0 };
    let mut buffer = [0; LINE];
    let said = format!("reader {reader}: open\n");
    let mut written = write(&file, said.as_bytes());
    while written.is_ok() {
        match read(&file, &mut buffer) {
            Ok(line) if !line.is_empty() => {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                written = write(&file, format!("reader {reader}: {}\n", line.escape_ascii()).as_bytes());
            }
            _ => break,
        }
    }
    let _ = write(&file, format!("reader {reader}: over\n").as_bytes());
    0
}

/// Begins so many.
///
/// # Errors
/// ENXIO if there is no such port, ENOMEM.
pub fn start(number: usize, readers: usize) -> Result<(), Errno> {
    // Known before the port is somebody else's.
    drop(open(number, 0)?);
    for reader in 0..readers.min(READERS) {
        spawn("lines", Policy::Normal(0), run, number * READERS + reader).map_err(|_| Errno::Enomem)?;
    }
    Ok(())
}
