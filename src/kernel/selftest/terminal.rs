//! Terminals by their files: nodes in a file system in memory, opened, read, written and given orders as programs will.
//!
//! Kernel threads are the users. `pty` needs nobody at the other end of a line, and runs with the others; [`bulk`] moves many
//! bytes over a port, and whoever is at its other end compares.

pub mod bulk;
pub mod lines;
mod pty;
mod signals;

pub use pty::run as pty;
pub use signals::run as signals;

use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::calls::OpenHow;
use crate::fs::context::FsContext;
use crate::fs::cred::Credentials;
use crate::fs::dcache::Dcache;
use crate::fs::file::File;
use crate::fs::flags::{MountFlags, OpenFlags};
use crate::fs::io::{From, Into, User};
use crate::fs::mode::{Device, Kind};
use crate::fs::mount::Mounts;
use crate::fs::namei::{At, Caller};
use crate::fs::refs::Ref;
use crate::fs::tmpfs::{self, Options};
use crate::tty::devpts;
use crate::tty::nodes::NODES;
use crate::tty::termios::Termios;
use crate::tty::termios::layout::TERMIOS2;

const TCGETS2: u32 = 0x802c_542a;
const TCSETSF2: u32 = 0x402c_542d;

/// Names in the cache.
const NAMES: usize = 64;

/// A file system with the terminals' nodes in its root, and user 0 in it.
pub struct World {
    mounts: Mounts,
    context: FsContext,
    user: Ref<Credentials>,
}

impl World {
    pub fn new() -> Result<Self> {
        let cache = Dcache::new(NAMES)?;
        let mounts = Mounts::new()?;
        let (block, _) = tmpfs::make(&cache, &tmpfs::TYPE, Options::NONE)?;
        let root = mounts.mount_root(block, b"test", MountFlags::RELATIME)?;
        let world = Self { mounts, context: FsContext::new(&root)?, user: Credentials::root()? };
        for node in NODES.0.iter().filter(|node| node.kind.is_device()) {
            world.make(node.name, node.mode, node.device)?;
        }
        let caller = world.caller();
        caller.mkdir(At::Cwd, b"pts", 0o755)?;
        caller.mount(&cache, &devpts::TYPE, b"devpts", b"pts", MountFlags::RELATIME, b"")?;
        Ok(world)
    }

    fn caller(&self) -> Caller<'_> {
        Caller { mounts: &self.mounts, context: &self.context, credentials: &self.user }
    }

    fn make(&self, name: &str, mode: u32, device: Device) -> Result<()> {
        self.caller().mknod(At::Cwd, name.as_bytes(), Kind::CharDevice.bits() | mode, device)
    }

    /// Opens a node for reading and writing, and not as a controlling terminal.
    pub fn open(&self, name: &str, more: OpenFlags) -> Result<Ref<File>> {
        self.open_for(OpenFlags::RDWR | more, name)
    }

    /// Opens a node as the flags say, and not as a controlling terminal.
    pub fn open_for(&self, flags: OpenFlags, name: &str) -> Result<Ref<File>> {
        let flags = flags | OpenFlags::NOCTTY;
        self.caller().open(At::Cwd, name.as_bytes(), OpenHow::new(flags.bits(), 0)?)
    }
}

/// A buffer that stands for a program's memory; addresses count from its beginning.
struct Memory<'a>(&'a mut [u8]);

impl User for Memory<'_> {
    fn copy_in(&mut self, to: &mut [u8], from: u64) -> Result<()> {
        let from = from as usize;
        to.copy_from_slice(self.0.get(from..from + to.len()).ok_or(Errno::Efault)?);
        Ok(())
    }

    fn copy_out(&mut self, to: u64, from: &[u8]) -> Result<()> {
        let to = to as usize;
        self.0.get_mut(to..to + from.len()).ok_or(Errno::Efault)?.copy_from_slice(from);
        Ok(())
    }
}

/// An order whose argument is the address of `data`.
fn order(file: &File, number: u32, data: &mut [u8]) -> Result<u64> {
    file.ops().ioctl(file, number, 0, &mut Memory(data))
}

/// One that answers with a number.
fn ask(file: &File, number: u32) -> Result<u32> {
    let mut data = [0; 4];
    order(file, number, &mut data)?;
    Ok(u32::from_le_bytes(data))
}

/// Changes a terminal's settings, and drops what has come until then.
fn change(file: &File, change: impl FnOnce(&mut Termios)) -> Result<()> {
    let mut data = [0; TERMIOS2];
    order(file, TCGETS2, &mut data)?;
    let mut settings = Termios::standard().with_termios2(&data);
    change(&mut settings);
    settings.codes_from_speeds();
    order(file, TCSETSF2, &mut settings.to_termios2()).map(|_| ())
}

/// One read.
fn read<'a>(file: &File, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    let len = file.read(&mut Into::new(buffer))?;
    Ok(&buffer[..len])
}

/// One write.
fn write(file: &File, bytes: &[u8]) -> Result<usize> {
    file.write(&mut From(bytes))
}
