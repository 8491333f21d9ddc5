//! FIFOs on the machine: which inode has which pipe, as long as an end of it is open.

use super::Pipe;
use super::ends::{End, Shared, Watchers};
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::device::{self, Driver};
use crate::fs::file;
use crate::fs::flags::OpenFlags;
use crate::fs::inode::Inode;
use crate::fs::mode::Kind;
use crate::fs::refs::Ref;
use crate::mm::space::live::KernelEnv;
use crate::mm::vma::room;
use crate::sync::{Mutex, Rank};
use alloc::vec::Vec;

/// A FIFO that somebody has open, or is opening.
struct Fifo {
    /// Its address: whoever is counted in `users` refers to it.
    inode: usize,
    pipe: Ref<Shared<KernelEnv>>,
    users: usize,
}

static FIFOS: Mutex<Vec<Fifo>> = Mutex::new(Rank::Fifos, Vec::new());

static DRIVER: Driver = Driver { name: "fifo", kind: Kind::Fifo, major: 0, minors: (0, 0), open };

/// Makes FIFOs work, once; false if there is no place for one more driver.
#[must_use]
pub fn init() -> bool {
    device::register(&DRIVER)
}

fn address(inode: &Ref<Inode>) -> usize {
    core::ptr::from_ref::<Inode>(inode).addr()
}

/// The pipe of a FIFO, with one more who uses it.
fn pipe_of(inode: &Ref<Inode>) -> Result<Ref<Shared<KernelEnv>>> {
    let mut fifos = FIFOS.lock();
    if let Some(fifo) = fifos.iter_mut().find(|fifo| fifo.inode == address(inode)) {
        fifo.users += 1;
        return Ok(fifo.pipe.clone());
    }
    room::reserve(&mut fifos, 1).map_err(|_| Errno::Enomem)?;
    let pipe = Ref::new(Pipe::fifo(KernelEnv, Watchers::default())?)?;
    fifos.push(Fifo { inode: address(inode), pipe: pipe.clone(), users: 1 });
    Ok(pipe)
}

/// One less.
fn closed(inode: &Ref<Inode>, _: &Ref<Shared<KernelEnv>>) {
    let mut fifos = FIFOS.lock();
    let Some(at) = fifos.iter().position(|fifo| fifo.inode == address(inode)) else { return };
    fifos[at].users -= 1;
    let gone = (fifos[at].users == 0).then(|| fifos.swap_remove(at));
    drop(fifos);
    drop(gone);
}

/// FIFOs that are open: for tests that look whether something is left behind.
pub fn count() -> usize {
    FIFOS.lock().len()
}

fn open(inode: &Ref<Inode>, flags: OpenFlags) -> Result<file::Opened> {
    let pipe = pipe_of(inode)?;
    End::open(inode, pipe, flags, closed).map(file::Opened::shared)
}
