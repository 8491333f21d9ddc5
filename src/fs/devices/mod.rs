//! Devices that are no hardware: major number 1.
//!
//! | node | minor | reading | writing |
//! | --- | --- | --- | --- |
//! | null | 3 | the end of the file | is forgotten |
//! | zero | 5 | zeroes | is forgotten |
//! | full | 7 | zeroes | ENOSPC |
//! | random | 8 | random numbers, once they are ready | stirs the pool |
//! | urandom | 9 | random numbers | stirs the pool |
//! | kmsg | 11 | the kernel's log, a record at a time | a line of the log |
//!
//! Source: Linux Documentation/admin-guide/devices.txt; man-pages 6, null(4), full(4), random(4).

pub mod kmsg;
mod memory;
#[cfg(target_os = "none")]
mod random;

use super::Result;
use super::devfs::{self, Node, Nodes};
use super::device::{self, Driver};
use super::file::Opened;
use super::flags::OpenFlags;
use super::inode::Inode;
use super::mode::Kind;
use super::refs::Ref;
use crate::errno::Errno;

/// Its major number.
pub const MAJOR: u32 = 1;
const NULL: u32 = 3;
const ZERO: u32 = 5;
const FULL: u32 = 7;
const RANDOM: u32 = 8;
const URANDOM: u32 = 9;
const KMSG: u32 = 11;

static NODES: Nodes = Nodes(&[
    Node::character("null", 0o666, MAJOR, NULL),
    Node::character("zero", 0o666, MAJOR, ZERO),
    Node::character("full", 0o666, MAJOR, FULL),
    Node::character("random", 0o666, MAJOR, RANDOM),
    Node::character("urandom", 0o666, MAJOR, URANDOM),
    Node::character("kmsg", 0o644, MAJOR, KMSG),
    // Whose descriptors these are is for /proc to say.
    Node::link("fd", "/proc/self/fd"),
    Node::link("stdin", "/proc/self/fd/0"),
    Node::link("stdout", "/proc/self/fd/1"),
    Node::link("stderr", "/proc/self/fd/2"),
    // Shared memory by name: something is mounted there.
    Node::directory("shm", 0o755),
]);

static DRIVER: Driver = Driver { name: "mem", kind: Kind::CharDevice, major: MAJOR, minors: (1, KMSG), open };

/// Makes them known, once; false if there is no place for one more driver.
#[must_use]
pub fn init() -> bool {
    device::register(&DRIVER) && devfs::add(&NODES)
}

fn open(inode: &Ref<Inode>, flags: OpenFlags) -> Result<Opened> {
    match inode.device.minor {
        NULL => Opened::object(memory::Null),
        ZERO => Opened::object(memory::Zero),
        FULL => Opened::object(memory::Full),
        #[cfg(target_os = "none")]
        RANDOM => Opened::object(random::Random { waits: true }),
        #[cfg(target_os = "none")]
        URANDOM => Opened::object(random::Random { waits: false }),
        KMSG => Opened::object(kmsg::Kmsg::new(flags)),
        _ => Err(Errno::Enxio),
    }
}
