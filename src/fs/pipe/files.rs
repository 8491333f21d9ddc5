//! Pipes and FIFOs as files: which inode has which pipe.
//!
//! That of a pipe without a name is in its inode, which lives as long as an end is open. A FIFO's inode is a file system's,
//! and its pipe is in a list as long as an end is open.

use super::account::Charge;
use super::ends::{End, Shared, Watchers};
use super::{Access, Pipe};
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::cred::Credentials;
use crate::fs::file::{self, File};
use crate::fs::flags::OpenFlags;
use crate::fs::inode::{Inode, InodeOps};
use crate::fs::mode::Kind;
use crate::fs::nameless;
use crate::fs::pages::{self, Machine};
use crate::fs::refs::Ref;
use crate::mm::vma::room;
use crate::sync::{Mutex, Rank};
use alloc::vec::Vec;
use core::any::Any;

/// A FIFO that somebody has open, or is opening.
struct Fifo {
    /// Its address: whoever is counted in `users` refers to it.
    inode: usize,
    pipe: Ref<Shared<Machine>>,
    users: usize,
}

static FIFOS: Mutex<Vec<Fifo>> = Mutex::new(Rank::Fifos, Vec::new());

fn address(inode: &Ref<Inode>) -> usize {
    core::ptr::from_ref::<Inode>(inode).addr()
}

/// For a new pipe of this user's. ENFILE, ENOMEM.
fn charge(who: &Credentials) -> Result<Charge> {
    Ok(Charge::new(who.uid, who.is_root())?)
}

/// The pipe of a FIFO, with one more who uses it.
fn pipe_of(inode: &Ref<Inode>, who: &Credentials) -> Result<Ref<Shared<Machine>>> {
    let mut fifos = FIFOS.lock();
    if let Some(fifo) = fifos.iter_mut().find(|fifo| fifo.inode == address(inode)) {
        fifo.users += 1;
        return Ok(fifo.pipe.clone());
    }
    room::reserve(&mut fifos, 1).map_err(|_| Errno::Enomem)?;
    let pipe = Ref::new(Pipe::fifo(pages::machine(), Watchers::default(), charge(who)?)?)?;
    fifos.push(Fifo { inode: address(inode), pipe: pipe.clone(), users: 1 });
    Ok(pipe)
}

/// One less.
fn closed(inode: &Ref<Inode>, _: &Ref<Shared<Machine>>) {
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

/// Opens a FIFO, or the pipe that is behind a file of /proc's.
pub fn open(inode: &Ref<Inode>, flags: OpenFlags, who: &Credentials) -> Result<file::Opened> {
    // A pipe without a name that is opened again, by `/proc/self/fd`.
    if let Some(nameless) = inode.ops.as_any().downcast_ref::<Nameless>() {
        return End::open(inode, nameless.pipe.clone(), flags, |_, _| {}).map(file::Opened::shared);
    }
    let pipe = pipe_of(inode, who)?;
    End::open(inode, pipe, flags, closed).map(file::Opened::shared)
}

/// The inode of a pipe without a name.
struct Nameless {
    pipe: Ref<Shared<Machine>>,
}

impl InodeOps for Nameless {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `pipe2`: the end that is read, and the end that is written to. Of `flags` only `O_NONBLOCK` is the ends' own.
pub fn pair(flags: OpenFlags, owner: &Ref<Credentials>) -> Result<[Ref<File>; 2]> {
    let pipe = Ref::new(Pipe::pair(pages::machine(), Watchers::default(), charge(owner)?)?)?;
    let ops = Ref::ops(Nameless { pipe: pipe.clone() })?;
    let (inode, path) = nameless::inode("pipe", Kind::Fifo, ops, owner)?;
    // Both, before a file is made: an end that is dropped is closed, and then it was one of the two.
    let [read, write] = [Access::Read, Access::Write].map(|access| End::of(&inode, &pipe, access));
    let flags = (flags & OpenFlags::NONBLOCK) | OpenFlags::LARGEFILE;
    let open = |end: Ref<End<Machine>>, access| {
        let opened = file::Opened::shared(end);
        File::new(path.clone(), inode.clone(), flags | access, owner.clone(), opened, None)
    };
    Ok([open(read?, OpenFlags::empty())?, open(write?, OpenFlags::WRONLY)?])
}
