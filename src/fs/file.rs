//! An open file: an inode, the path that led there, a position, and what may be done.
//!
//! [`File`] is what several descriptors may share, after `dup` and `fork`. What reading and writing mean is a
//! [`FileOps`]' business: that of the inode itself ([`Opened::Node`]), or an object of this one opening
//! ([`Opened::Object`]), as pipes and the files of procfs have.
//!
//! Positions: `read`, `write` and `lseek` take turns, by the position's lock, as POSIX wants it; `pread` and its like do
//! not, and neither does what is a stream.

use super::Result;
use super::busy::Written;
use super::cred::Credentials;
use super::flags::{Access, FallocateFlags, MountFlags, OpenFlags, Whence};
use super::inode::Inode;
use super::io::{Sink, Source, User};
use super::locks::FileLocks;
use super::mode::{self, Kind};
use super::mount::{Path, Writing};
use super::poll::{Events, Watch};
use super::refs::{Counted, Last, Part, Ref};
use super::time::Time;
use crate::errno::Errno;
use crate::sync::{Mutex, Rank};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Gets a directory's entries.
pub trait Entries {
    /// One entry; `next` is where to go on behind it. False: no more fit, and this one did not either.
    fn add(&mut self, name: &[u8], number: u64, kind: Kind, next: u64) -> bool;

    /// That was all for this time. After an error they come again: the file's position stays.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What an open file does. What is not there is refused with Linux's error.
pub trait FileOps: Send + Sync {
    /// Reads at a position, which a stream does not look at. 0 is the end.
    fn read(&self, file: &File, to: &mut dyn Sink, at: u64) -> Result<usize> {
        let _ = (file, to, at);
        Err(Errno::Einval)
    }

    /// Writes at a position. With the inode's lock held for writing if it is a regular file.
    fn write(&self, file: &File, from: &mut dyn Source, at: u64) -> Result<usize> {
        let _ = (file, from, at);
        Err(Errno::Einval)
    }

    /// Whether it has no positions: `lseek` and `pread` are refused with ESPIPE.
    fn is_stream(&self) -> bool {
        false
    }

    /// Which position `lseek` leads to, from `current`. The size is the inode's unless said otherwise.
    fn seek(&self, file: &File, offset: i64, whence: Whence, current: u64) -> Result<u64> {
        seek_in(file.inode.ops.size(), offset, whence, current)
    }

    /// Entries of a directory from the position `at` on, 0 being the first: calls `to` until it wants no more, and
    /// returns where to go on. With the directory's lock held for reading. An entry that is there all the time comes
    /// once, whatever comes and goes meanwhile. `.` and `..` are the file system's to give; their positions are 0 and 1.
    fn readdir(&self, file: &File, at: u64, to: &mut dyn Entries) -> Result<u64> {
        let _ = (file, at, to);
        Err(Errno::Enotdir)
    }

    fn ioctl(&self, file: &File, command: u32, argument: u64, user: &mut dyn User) -> Result<u64> {
        let _ = (file, command, argument, user);
        Err(Errno::Enotty)
    }

    /// What could be done without waiting. `watch`: who wants to know when that changes; the file adds the queues that
    /// are woken then, and looks at its state after that.
    fn poll(&self, file: &File, watch: Option<&mut Watch>) -> Events {
        let _ = (file, watch);
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }

    /// Makes what was written safe; `data`: not the times.
    fn fsync(&self, file: &File, data: bool) -> Result<()> {
        let _ = (file, data);
        Ok(())
    }

    fn fallocate(&self, file: &File, flags: FallocateFlags, offset: u64, len: u64) -> Result<()> {
        let _ = (file, flags, offset, len);
        Err(Errno::Eopnotsupp)
    }

    /// `fcntl(F_GETPIPE_SZ)`: bytes that a pipe can hold.
    fn pipe_size(&self, file: &File) -> Result<usize> {
        let _ = file;
        Err(Errno::Ebadf)
    }

    /// `fcntl(F_SETPIPE_SZ)`: a pipe can hold at least so many bytes from now on; returns how many. EBUSY: more are in it.
    /// EPERM: 1 MiB is the most for who is not `privileged` (`CAP_SYS_RESOURCE`).
    fn set_pipe_size(&self, file: &File, bytes: usize, privileged: bool) -> Result<usize> {
        let _ = (file, bytes, privileged);
        Err(Errno::Ebadf)
    }

    /// A descriptor is closed; others may be left.
    fn flush(&self, file: &File) {
        let _ = file;
    }

    /// The last one is gone.
    fn release(&self, file: &File) {
        let _ = file;
    }
}

/// The end of `lseek` in something of `size` bytes, all of which are data.
pub fn seek_in(size: u64, offset: i64, whence: Whence, current: u64) -> Result<u64> {
    let base = match whence {
        Whence::Set => 0,
        Whence::Current => current,
        Whence::End => size,
        Whence::Data | Whence::Hole => {
            let at = u64::try_from(offset).ok().filter(|&at| at < size).ok_or(Errno::Enxio)?;
            return Ok(if whence == Whence::Data { at } else { size });
        }
    };
    let at = base.checked_add_signed(offset).ok_or(Errno::Einval)?;
    if i64::try_from(at).is_ok() { Ok(at) } else { Err(Errno::Eoverflow) }
}

/// A file that can do nothing.
pub struct NoFile;

impl FileOps for NoFile {}

/// Whose operations an open file has.
pub enum Opened {
    /// The inode's.
    Node,
    Object(Ref<dyn FileOps>),
}

impl Opened {
    /// An object made for this one opening.
    pub fn object<T: FileOps + 'static>(ops: T) -> Result<Self> {
        Ok(Self::Object(Ref::new(ops)?.coerce(|at| at as *mut Counted<dyn FileOps>)))
    }

    /// One that others have too.
    pub fn shared<T: FileOps + 'static>(ops: Ref<T>) -> Self {
        Self::Object(ops.coerce(|at| at as *mut Counted<dyn FileOps>))
    }
}

/// An open file.
pub struct File {
    pub path: Part<Path>,
    pub inode: Part<Ref<Inode>>,
    pub access: Access,
    /// Who opened it.
    pub credentials: Ref<Credentials>,
    ops: Opened,
    flags: AtomicU32,
    /// Whose turn it is to use the position, and the position.
    turn: Mutex<()>,
    position: AtomicU64,
    /// The mount may not become read-only meanwhile, nor does a program run from the file.
    writing: Part<Option<(Writing, Written)>>,
}

impl File {
    /// `flags` without those that only mattered while it was opened. The caller has looked at permissions.
    pub(super) fn new(
        path: Path,
        inode: Ref<Inode>,
        flags: OpenFlags,
        credentials: Ref<Credentials>,
        ops: Opened,
        writing: Option<(Writing, Written)>,
    ) -> Result<Ref<Self>> {
        let access = if flags.contains(OpenFlags::PATH) {
            Access { read: false, write: false }
        } else {
            flags.access()
        };
        Ref::with_last(Self {
            path: Part::new(path),
            inode: Part::new(inode),
            access,
            credentials,
            ops,
            flags: AtomicU32::new(flags.bits()),
            turn: Mutex::new(Rank::FilePosition, ()),
            position: AtomicU64::new(0),
            writing: Part::new(writing),
        })
    }

    /// Its operations.
    pub fn ops(&self) -> &dyn FileOps {
        match &self.ops {
            _ if self.is_path() => &NoFile,
            Opened::Node => self.inode.ops.file(),
            Opened::Object(ops) => &**ops,
        }
    }

    /// The locks on it. Whoever closes a descriptor of a process has the process's own taken away
    /// ([`FileLocks::owner_gone`]).
    pub fn locks(&self) -> &FileLocks {
        &self.inode.file_locks
    }

    /// As `fcntl(F_GETFL)` gives them.
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// `fcntl(F_SETFL)`: those of `flags` that may be changed.
    pub fn set_flags(&self, flags: OpenFlags) {
        let new = flags & OpenFlags::SETTABLE;
        let change = |old| Some(((OpenFlags::from_bits_retain(old) - OpenFlags::SETTABLE) | new).bits());
        let _ = self.flags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Whether it was opened with `O_PATH`, and is a place and no file.
    pub fn is_path(&self) -> bool {
        self.flags().contains(OpenFlags::PATH)
    }

    fn readable(&self) -> Result<()> {
        if !self.access.read {
            return Err(Errno::Ebadf);
        }
        if self.inode.is_directory() { Err(Errno::Eisdir) } else { Ok(()) }
    }

    fn writable(&self) -> Result<()> {
        if self.access.write { Ok(()) } else { Err(Errno::Ebadf) }
    }

    /// `read`.
    pub fn read(&self, to: &mut dyn Sink) -> Result<usize> {
        self.readable()?;
        if self.ops().is_stream() {
            return match self.inode.kind {
                Kind::Fifo => self.read_from(to, 0),
                _ => self.ops().read(self, to, 0).inspect(|_| self.inode.touch_terminal(false)),
            };
        }
        let _turn = self.turn.lock();
        let position = self.position();
        let done = self.read_from(to, position)?;
        self.position.store(position + done as u64, Ordering::Relaxed);
        Ok(done)
    }

    /// `pread`.
    pub fn read_at(&self, to: &mut dyn Sink, at: u64) -> Result<usize> {
        self.readable()?;
        if self.ops().is_stream() {
            return Err(Errno::Espipe);
        }
        i64::try_from(at).map_err(|_| Errno::Einval)?;
        self.read_from(to, at)
    }

    fn read_from(&self, to: &mut dyn Sink, at: u64) -> Result<usize> {
        let done = self.ops().read(self, to, at)?;
        // At the end as well: that there is nothing more has been read.
        self.note_access();
        Ok(done)
    }

    /// Something was read: a new atime, if that is worth it.
    pub fn note_access(&self) {
        if self.flags().contains(OpenFlags::NOATIME) {
            return;
        }
        note_access(&self.path, &self.inode);
    }

    /// `write`.
    pub fn write(&self, from: &mut dyn Source) -> Result<usize> {
        self.writable()?;
        if self.ops().is_stream() {
            let done = self.ops().write(self, from, 0)?;
            match self.inode.kind {
                _ if done == 0 => {}
                Kind::Fifo => self.inode.touch_modified(),
                _ => self.inode.touch_terminal(true),
            }
            return Ok(done);
        }
        let _turn = self.turn.lock();
        let (done, end) = self.write_to(from, self.position())?;
        self.position.store(end, Ordering::Relaxed);
        Ok(done)
    }

    /// `pwrite`. With `O_APPEND` it writes at the end, as on Linux, whatever POSIX says.
    pub fn write_at(&self, from: &mut dyn Source, at: u64) -> Result<usize> {
        self.writable()?;
        if self.ops().is_stream() {
            return Err(Errno::Espipe);
        }
        i64::try_from(at).map_err(|_| Errno::Einval)?;
        self.write_to(from, at).map(|(done, _)| done)
    }

    /// Bytes that were written, and the position behind them.
    fn write_to(&self, from: &mut dyn Source, at: u64) -> Result<(usize, u64)> {
        if self.inode.kind != Kind::Regular {
            return self.ops().write(self, from, at).map(|done| (done, at + done as u64));
        }
        let _lock = self.inode.lock.write();
        if from.left() == 0 {
            return Ok((0, at));
        }
        let at = if self.flags().contains(OpenFlags::APPEND) { self.inode.ops.size() } else { at };
        if at >= from.file_size_limit() {
            return Err(Errno::Efbig);
        }
        self.drop_privileges()?;
        let done = self.ops().write(self, from, at)?;
        if done > 0 {
            self.inode.touch_modified();
        }
        Ok((done, at + done as u64))
    }

    /// A file that is written to by somebody else than user 0 runs as its owner no more.
    fn drop_privileges(&self) -> Result<()> {
        let old = self.inode.owner();
        let kept = without_privileges(old.mode);
        if kept == old.mode || self.credentials.is_root() {
            return Ok(());
        }
        let change = super::inode::SetAttr { mode: Some(kept & mode::PERMISSIONS), ..Default::default() };
        self.inode.ops.changing(&self.inode, &change)?;
        self.inode.set_owner(|owner| super::cred::Owner { mode: without_privileges(owner.mode), ..owner });
        Ok(())
    }

    /// `lseek`.
    pub fn seek(&self, offset: i64, whence: Whence) -> Result<u64> {
        if self.is_path() {
            return Err(Errno::Ebadf);
        }
        if self.ops().is_stream() {
            return Err(Errno::Espipe);
        }
        let _turn = self.turn.lock();
        let position = self.ops().seek(self, offset, whence, self.position())?;
        self.position.store(position, Ordering::Relaxed);
        Ok(position)
    }

    /// Where the next `read` begins. Whoever shows it does not wait for one that is going on.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// `getdents64`: entries from the position on.
    pub fn readdir(&self, to: &mut dyn Entries) -> Result<()> {
        if self.is_path() || !self.access.read {
            return Err(Errno::Ebadf);
        }
        if !self.inode.is_directory() {
            return Err(Errno::Enotdir);
        }
        let _turn = self.turn.lock();
        let position = {
            let _tree = self.inode.fs.tree.read();
            let _lock = self.inode.lock.read();
            if self.inode.links() == 0 {
                return Err(Errno::Enoent);
            }
            self.ops().readdir(self, self.position(), to)?
        };
        to.finish()?;
        self.position.store(position, Ordering::Relaxed);
        self.note_access();
        Ok(())
    }

    /// `fallocate`.
    pub fn fallocate(&self, flags: FallocateFlags, offset: i64, len: i64, limit: u64) -> Result<()> {
        let (Ok(offset), Ok(len)) = (u64::try_from(offset), u64::try_from(len)) else {
            return Err(Errno::Einval);
        };
        if len == 0 {
            return Err(Errno::Einval);
        }
        self.writable()?;
        let is_punch = flags.contains(FallocateFlags::PUNCH_HOLE);
        if flags.bits() & !FallocateFlags::all().bits() != 0
            || is_punch && !flags.contains(FallocateFlags::KEEP_SIZE)
        {
            return Err(Errno::Eopnotsupp);
        }
        match self.inode.kind {
            Kind::Regular => (),
            Kind::Fifo => return Err(Errno::Espipe),
            Kind::Directory => return Err(Errno::Eisdir),
            _ => return Err(Errno::Enodev),
        }
        if i64::try_from(offset + len).is_err() {
            return Err(Errno::Efbig);
        }
        let _lock = self.inode.lock.write();
        if !flags.contains(FallocateFlags::KEEP_SIZE) && offset + len > limit.max(self.inode.ops.size()) {
            return Err(Errno::Efbig);
        }
        self.drop_privileges()?;
        self.ops().fallocate(self, flags, offset, len)?;
        self.inode.touch_modified();
        Ok(())
    }
}

/// Mode bits, less those that let a program run as somebody else.
pub(super) const fn without_privileges(bits: u32) -> u32 {
    let group = if bits & mode::GROUP_EXECUTE != 0 { mode::SETGID } else { 0 };
    bits & !(mode::SETUID | group)
}

/// Something was read: a new atime, if the mount and the file system write any, and it is worth it.
pub(super) fn note_access(path: &Path, inode: &Inode) {
    let flags = path.mount.flags();
    if flags.contains(MountFlags::RDONLY) || inode.fs.is_read_only() {
        return;
    }
    let now = Time::now();
    if inode.times().wants_access(now, flags, inode.is_directory()) {
        inode.set_times(|times| times.accessed = now);
    }
}

impl Last for File {
    fn last(&self) {
        if !self.is_path() {
            self.inode.file_locks.file_closed(self);
            self.ops().release(self);
        }
        // SAFETY: the last reference is gone, and who still sees the file in a table looks at none of these.
        unsafe {
            self.writing.end();
            self.inode.end();
            self.path.end();
        }
    }
}
