//! Many bytes over a serial port, while threads keep all CPUs busy: whole, by checksum, whoever is at the other end.

use super::{World, change, read, write};
use crate::drivers::serial::live;
use crate::errno::Errno;
use crate::fs::file::File;
use crate::fs::flags::OpenFlags;
use crate::fs::initramfs::crc32::Crc32;
use crate::platform::{Machine, Platform};
use crate::task::{JoinHandle, Policy, sleep_until, spawn};
use crate::tty::serial;
use crate::tty::termios::{Input, cc};
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

/// Threads that do nothing, and never rest.
const LOADS: usize = 4;
/// A stalled reader lets so many bytes through between two stalls, and reads on when the sender has been told to stop: by
/// then fewer than this many wait.
const STALL_EVERY: usize = 64 << 10;
const STALLED: usize = 4096;
/// Between two looks of a stalled reader.
const LOOK_NS: u64 = 1_000_000;

/// How bytes are moved.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// The reader stalls.
    pub stalls: bool,
    /// Without the chip's FIFO.
    pub without_fifo: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub bytes: usize,
    pub sum: u32,
    /// Bytes that the terminal had no room for, and characters that the chip had none for.
    pub lost: u64,
    pub overruns: u32,
}

/// Keeps the CPUs busy.
struct Load {
    threads: [Option<JoinHandle>; LOADS],
}

static IS_OVER: AtomicBool = AtomicBool::new(false);

impl Load {
    fn new() -> Self {
        IS_OVER.store(false, Ordering::Relaxed);
        let work = |_| {
            while !IS_OVER.load(Ordering::Relaxed) {
                core::hint::spin_loop();
            }
            0
        };
        Self { threads: core::array::from_fn(|_| spawn("load", Policy::Normal(0), work, 0).ok()) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        IS_OVER.store(true, Ordering::Relaxed);
        self.threads.iter_mut().filter_map(Option::take).for_each(|thread| _ = thread.join());
    }
}

/// The port's file, raw and with IXOFF; VMIN is 1.
fn with_port(
    number: usize,
    how: How,
    work: impl FnOnce(&File) -> Result<(usize, u32), Errno>,
) -> Result<Report, Errno> {
    let world = World::new()?;
    let name = ["ttyS0", "ttyS1"].get(number).ok_or(Errno::Enxio)?;
    let file = world.open(name, OpenFlags::empty())?;
    change(&file, |settings| {
        settings.make_raw();
        settings.input |= Input::IXOFF;
        (settings.cc[cc::VMIN], settings.cc[cc::VTIME]) = (1, 0);
        (settings.input_speed, settings.output_speed) = (115_200, 115_200);
    })?;
    let tty = serial::terminal(number).ok_or(Errno::Enxio)?;
    let overruns = || live::counts(number).map_or(0, |(_, errors)| errors.overruns);
    let before = (tty.lost(), overruns());
    live::use_fifo(number, !how.without_fifo);
    let done = {
        let _load = Load::new();
        work(&file)
    };
    live::use_fifo(number, true);
    let (bytes, sum) = done?;
    Ok(Report { bytes, sum, lost: tty.lost() - before.0, overruns: overruns() - before.1 })
}

/// Takes bytes from the port; says on `out` when it is ready for them.
///
/// # Errors
/// Those of the calls on files.
pub fn take(number: usize, bytes: usize, how: How, out: &mut dyn Write) -> Result<Report, Errno> {
    with_port(number, how, |file| {
        let _ = writeln!(out, "ttyS{number}: ready for {bytes} bytes");
        let (mut got, mut sum, mut buffer) = (0, Crc32::new(), [0; 1024]);
        let mut next_stall = 0;
        while got < bytes {
            if how.stalls && got >= next_stall && bytes - got >= 2 * STALLED {
                while !live::has_stopped_sender(number) {
                    sleep_until(Machine::now_ns() + LOOK_NS);
                }
                next_stall = got + STALL_EVERY;
            }
            let wanted = buffer.len().min(bytes - got);
            let some = read(file, &mut buffer[..wanted])?;
            if some.is_empty() {
                break;
            }
            got += some.len();
            sum.update(some);
        }
        Ok((got, sum.value()))
    })
}

/// Sends bytes, which nobody could guess, by the port.
///
/// # Errors
/// Those of the calls on files.
pub fn give(number: usize, bytes: usize, how: How) -> Result<Report, Errno> {
    with_port(number, how, |file| {
        let (mut sent, mut sum, mut buffer) = (0, Crc32::new(), [0; 3000]);
        let mut state = Machine::now_ns() | 1;
        while sent < bytes {
            let len = buffer.len().min(bytes - sent);
            for byte in &mut buffer[..len] {
                // Xorshift: G. Marsaglia, "Xorshift RNGs" (2003), 64 bits by 13, 7, 17.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = (state >> 56) as u8;
            }
            let count = write(file, &buffer[..len])?;
            sum.update(&buffer[..count]);
            sent += count;
            if count < len {
                break;
            }
        }
        Ok((sent, sum.value()))
    })
}

/// As `serial` prints it.
impl core::fmt::Display for Report {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { bytes, sum, lost, overruns } = self;
        write!(f, "{bytes} bytes, CRC-32 {sum:08x}, {lost} lost, {overruns} overruns")
    }
}
