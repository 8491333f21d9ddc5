//! Terminals as devices: names, numbers, modes, and what opening one gives.
//!
//! | node | number | opens |
//! | --- | --- | --- |
//! | ttyS0, ttyS1 | 4:64, 4:65 | a serial port's terminal |
//! | tty | 5:0 | the caller's controlling terminal, whichever that is |
//! | console | 5:1 | the terminal of the port that the kernel's console is on |
//! | ptmx | 5:2 | the master of a new pair |
//! | pts/N | 136:N | the slave of pair N |
//!
//! [`register`] makes the numbers known to the files' layer, and has /dev show [`NODES`]. The directory of the slaves is a
//! file system of its own, [`devpts`](super::devpts).
//!
//! Source: Linux's Documentation/admin-guide/devices.txt for the numbers.

mod files;

use super::console;
use super::devpts::{GROUP_TTY, PTMX_DEVICE};
use super::error::Error;
use super::job::{TtyId, processes};
use super::{ptys, serial};
use crate::drivers::serial::live::PORTS;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::devfs::{self, Node, Nodes};
use crate::fs::device::{self, Driver};
use crate::fs::file::Opened;
use crate::fs::flags::OpenFlags;
use crate::fs::mode::{Device, Kind};
use files::{MasterFile, SerialFile, SlaveFile};

/// The group of modems, by the number that distributions have.
const GROUP_DIALOUT: u32 = 20;
/// The major number of what is not itself a terminal.
const OTHERS: u32 = 5;
const TTY: u32 = 0;
const CONSOLE: u32 = 1;
const PTMX: u32 = PTMX_DEVICE.minor;

const fn node(name: &'static str, major: u32, minor: u32, mode: u32, gid: u32) -> Node {
    Node { name, kind: Kind::CharDevice, device: Device::new(major, minor), mode, gid, target: "" }
}

/// Those that are always there.
pub static NODES: Nodes = Nodes(&[
    node("console", OTHERS, CONSOLE, 0o600, 0),
    node("ptmx", OTHERS, PTMX, 0o666, GROUP_TTY),
    // The slaves' file system is mounted there.
    Node::directory("pts", 0o755),
    node("tty", OTHERS, TTY, 0o666, GROUP_TTY),
    node("ttyS0", serial::MAJOR, serial::FIRST_MINOR, 0o660, GROUP_DIALOUT),
    node("ttyS1", serial::MAJOR, serial::FIRST_MINOR + 1, 0o660, GROUP_DIALOUT),
]);

const LAST_PORT: u32 = serial::FIRST_MINOR + PORTS as u32 - 1;
const LAST_PAIR: u32 = ptys::PAIRS_MAX as u32 - 1;

static DRIVERS: [Driver; 5] = [
    driver("ttyS", serial::MAJOR, (serial::FIRST_MINOR, LAST_PORT), |inode, flags| {
        open_port((inode.device.minor - serial::FIRST_MINOR) as usize, flags, Role::Terminal)
    }),
    driver("/dev/tty", OTHERS, (TTY, TTY), |_, flags| {
        let TtyId(number) = processes().terminal().ok_or(Errno::Enxio)?;
        open_number(Device::decode(number), flags)
    }),
    driver("/dev/console", OTHERS, (CONSOLE, CONSOLE), |_, flags| {
        open_port(console::serial_port().ok_or(Errno::Enodev)?, flags, Role::Console)
    }),
    driver("/dev/ptmx", OTHERS, (PTMX, PTMX), |_, _| {
        let (number, pair) = ptys::PAIRS.make(serial::surroundings()).map_err(|problem| match problem {
            Error::Busy => Errno::Enospc,
            other => errno(other),
        })?;
        Opened::object(MasterFile::new(number, pair))
    }),
    driver("pts", ptys::MAJOR, (0, LAST_PAIR), |inode, flags| open_slave(inode.device.minor, flags)),
];

const fn driver(name: &'static str, major: u32, minors: (u32, u32), open: device::Open) -> Driver {
    Driver { name, kind: Kind::CharDevice, major, minors, open }
}

/// Makes the terminals known; false if there is no place for them all. Once, at boot.
#[must_use]
pub fn register() -> bool {
    DRIVERS.iter().all(device::register) && devfs::add(&NODES)
}

/// Opens a terminal by its number, as somebody's controlling one.
fn open_number(device: Device, flags: OpenFlags) -> Result<Opened> {
    match (device.major, device.minor) {
        (serial::MAJOR, minor @ serial::FIRST_MINOR..=LAST_PORT) => {
            open_port((minor - serial::FIRST_MINOR) as usize, flags, Role::Controlling)
        }
        (ptys::MAJOR, number) => open_slave(number, flags),
        _ => Err(Errno::Enxio),
    }
}

/// As what a port is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// By its own name: it may become the caller's controlling terminal.
    Terminal,
    /// It is that already.
    Controlling,
    /// Becomes nobody's controlling terminal, and is spared what ends a session.
    Console,
}

fn open_port(number: usize, flags: OpenFlags, role: Role) -> Result<Opened> {
    let controls = role == Role::Terminal && !flags.contains(OpenFlags::NOCTTY);
    let opened = serial::open(number, flags.access().read, controls).ok_or(Errno::Enxio)?;
    let (tty, opened) = opened.map_err(errno)?;
    let opened = if role == Role::Console { opened.of_console() } else { opened };
    Opened::object(SerialFile::new(tty, opened))
}

fn open_slave(number: u32, flags: OpenFlags) -> Result<Opened> {
    let controls = !flags.contains(OpenFlags::NOCTTY);
    let opened = ptys::PAIRS.open_slave(number, flags.access().read, controls).ok_or(Errno::Enxio)?;
    let (pair, opened) = opened.map_err(errno)?;
    Opened::object(SlaveFile::new(number, pair, opened))
}

/// The number of a terminal's error.
fn errno(error: Error) -> Errno {
    match error {
        Error::NotPermitted => Errno::Eperm,
        Error::NoGroup => Errno::Esrch,
        Error::Restart => Errno::Erestart,
        Error::Io => Errno::Eio,
        Error::Again => Errno::Eagain,
        Error::NoMemory => Errno::Enomem,
        Error::Fault => Errno::Efault,
        Error::Busy => Errno::Ebusy,
        Error::Invalid => Errno::Einval,
        Error::NotTty => Errno::Enotty,
    }
}
