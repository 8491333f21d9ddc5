//! The ends of pipes as open files.
//!
//! An end is closed when its file is ([`FileOps::release`]), or, should there never be a file, with the object itself.
//! EPIPE is all that is said here of a pipe that nobody reads: the signal is for who writes on behalf of a process.

use super::{Access, Caller, Error, Impatient, Notify, Opened, Patient, Pipe};
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::file::{File, FileOps};
use crate::fs::flags::OpenFlags;
use crate::fs::inode::Inode;
use crate::fs::io;
use crate::fs::pagecache::{self, Env, Piece};
use crate::fs::poll::{Events, Watch};
use crate::fs::refs::{Last, Ref};
use crate::sync::WaitQueue;
use core::sync::atomic::{AtomicBool, Ordering};

impl From<Error> for Errno {
    fn from(error: Error) -> Self {
        match error {
            Error::NotPermitted => Self::Eperm,
            Error::Interrupted => Self::Erestart,
            Error::NoReader => Self::Enxio,
            Error::WouldBlock => Self::Eagain,
            Error::NoMemory => Self::Enomem,
            Error::Fault => Self::Efault,
            Error::Busy => Self::Ebusy,
            Error::Invalid => Self::Einval,
            Error::TooMany => Self::Enfile,
            Error::BrokenPipe => Self::Epipe,
        }
    }
}

/// `ioctl`: how many bytes could be read.
const FIONREAD: u32 = 0x541B;

/// Who polls.
#[derive(Default)]
pub struct Watchers(WaitQueue);

impl Notify for Watchers {
    fn changed(&self) {
        if !self.0.is_empty() {
            self.0.wake_all();
        }
    }
}

/// A pipe that has ends which are files.
pub type Shared<E> = Pipe<E, Watchers>;

/// What is told that an end was closed.
pub type Closed<E> = fn(&Ref<Inode>, &Ref<Shared<E>>);

/// An end.
pub struct End<E: Env> {
    inode: Ref<Inode>,
    pipe: Ref<Shared<E>>,
    access: Access,
    opened: Opened,
    is_open: AtomicBool,
    closed: Closed<E>,
}

/// Waits, or does not, as the file says.
fn caller(flags: OpenFlags) -> &'static dyn Caller {
    if flags.contains(OpenFlags::NONBLOCK) { &Impatient } else { &Patient }
}

impl<E: Env> End<E> {
    /// Opens an end of a FIFO. `closed` is called when it is open no more, in any case once, also if this fails.
    pub fn open(
        inode: &Ref<Inode>,
        pipe: Ref<Shared<E>>,
        flags: OpenFlags,
        closed: Closed<E>,
    ) -> Result<Ref<Self>> {
        let access = match (flags.access().read, flags.access().write) {
            (true, false) => Ok(Access::Read),
            (false, true) => Ok(Access::Write),
            (true, true) => Ok(Access::Both),
            (false, false) => Err(Errno::Einval),
        };
        let opened = access.and_then(|access| Ok((access, pipe.open(access, caller(flags))?)));
        let (access, opened) = opened.inspect_err(|_| closed(inode, &pipe))?;
        let end = Self {
            inode: inode.clone(),
            pipe: pipe.clone(),
            access,
            opened,
            is_open: AtomicBool::new(true),
            closed,
        };
        Ref::with_last(end).inspect_err(|_| {
            Pipe::close(&pipe, access);
            closed(inode, &pipe);
        })
    }

    /// An end of a pipe that was made with both open. If there is no memory for it, it is closed.
    pub fn of(inode: &Ref<Inode>, pipe: &Ref<Shared<E>>, access: Access) -> Result<Ref<Self>> {
        let end = Self {
            inode: inode.clone(),
            pipe: pipe.clone(),
            access,
            opened: Opened::default(),
            is_open: AtomicBool::new(true),
            closed: |_, _| {},
        };
        Ref::with_last(end).inspect_err(|_| Pipe::close(pipe, access))
    }

    fn close(&self) {
        if self.is_open.swap(false, Ordering::AcqRel) {
            Pipe::close(&self.pipe, self.access);
            (self.closed)(&self.inode, &self.pipe);
        }
    }
}

impl<E: Env> Last for End<E> {
    fn last(&self) {
        self.close();
    }
}

/// A file's way of taking bytes, as pipes want it.
struct To<'a>(&'a mut dyn io::Sink);

impl pagecache::Sink for To<'_> {
    fn take(&mut self, bytes: Piece<'_>) -> usize {
        // SAFETY: a pipe's page is nobody else's, and the pipe calls this with its lock held: nobody writes to it.
        self.0.put(unsafe { core::slice::from_raw_parts(bytes.as_ptr(), bytes.len()) })
    }
}

/// A file's way of giving bytes, as pipes want it.
struct Of<'a>(&'a mut dyn io::Source);

impl pagecache::Source for Of<'_> {
    fn fill(&mut self, bytes: Piece<'_>) -> usize {
        // SAFETY: a pipe's page is nobody else's, and the pipe calls this with its lock held: nobody looks at it.
        self.0.take(unsafe { core::slice::from_raw_parts_mut(bytes.as_ptr(), bytes.len()) })
    }
}

impl<E: Env> FileOps for End<E> {
    fn read(&self, file: &File, to: &mut dyn io::Sink, _: u64) -> Result<usize> {
        Ok(self.pipe.read(to.room(), &mut To(to), caller(file.flags()))?)
    }

    fn write(&self, file: &File, from: &mut dyn io::Source, _: u64) -> Result<usize> {
        let wrote = self.pipe.write(from.left(), &mut Of(from), caller(file.flags()))?;
        if wrote.broken {
            from.nobody_reads();
        }
        Ok(wrote.len)
    }

    fn is_stream(&self) -> bool {
        true
    }

    fn poll(&self, _: &File, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            // SAFETY: the queue is the pipe's, which this end keeps; who polls keeps the file, and so the end.
            unsafe { watch.add(&self.pipe.notify.0) };
        }
        Events::from_bits_truncate(self.pipe.poll(self.access, &self.opened).0)
    }

    fn ioctl(&self, _: &File, command: u32, argument: u64, user: &mut dyn io::User) -> Result<u64> {
        if command != FIONREAD {
            return Err(Errno::Enotty);
        }
        let bytes = i32::try_from(self.pipe.len()).unwrap_or(i32::MAX);
        user.copy_out(argument, &bytes.to_ne_bytes()).map(|()| 0)
    }

    fn pipe_size(&self, _: &File) -> Result<usize> {
        Ok(self.pipe.size())
    }

    fn set_pipe_size(&self, _: &File, bytes: usize, privileged: bool) -> Result<usize> {
        Ok(self.pipe.set_size(bytes, privileged)?)
    }

    fn release(&self, _: &File) {
        self.close();
    }
}
