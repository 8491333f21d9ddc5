//! An initramfs becomes files: a [`Sink`] that makes what an image lists, by the calls that programs use.
//!
//! What Linux does with images that say a thing twice is done here too, as distributions' images lean on it: a directory
//! that is there gets the new attributes; a file that is there keeps its inode and is emptied; anything else that is there
//! under a name gives way to what comes, unless it is a directory that has something in it. Times of directories are set at
//! the end, since each name that is made in one changes them.
//!
//! Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst.

use super::Result;
use super::calls::{OpenHow, SetTime};
use super::file::File;
use super::flags::{AtFlags, OpenFlags};
use super::initramfs::{Meta, Node, Sink};
use super::io::From;
use super::mode::{self, Device, Kind};
use super::mount::Path;
use super::namei::{At, Caller, Last};
use super::refs::Ref;
use super::time::Time;
use crate::errno::Errno;
use crate::mm::vma::room;
use alloc::vec::Vec;

/// Makes files below a directory.
pub struct Unpacker<'a> {
    caller: Caller<'a>,
    root: Path,
    /// The file that has begun, and the time that it gets.
    file: Option<(Ref<File>, u32)>,
    directories: Vec<(Path, u32)>,
}

const fn time(mtime: u32) -> SetTime {
    SetTime::To(Time { seconds: mtime as i64, nanoseconds: 0 })
}

impl<'a> Unpacker<'a> {
    /// `caller` is user 0, with a umask of 0.
    pub fn new(caller: Caller<'a>, root: &Path) -> Self {
        Self { caller, root: root.clone(), file: None, directories: Vec::new() }
    }

    /// Sets the directories' times. To be called when all is unpacked, or as much as there was.
    pub fn finish(self) -> Result<()> {
        for (path, mtime) in &self.directories {
            self.caller.set_times(path, time(*mtime), time(*mtime))?;
        }
        Ok(())
    }

    /// What has a name, if anything.
    fn find(&self, name: &[u8]) -> Result<Option<Path>> {
        match self.caller.resolve(At::Path(&self.root), name, Last::NoFollow) {
            Ok(path) => Ok(Some(path)),
            Err(Errno::Enoent) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes away what has the name, unless it is of that kind; returns what is there then.
    fn clear(&self, name: &[u8], kept: Option<Kind>) -> Result<Option<Path>> {
        let Some(found) = self.find(name)? else { return Ok(None) };
        let kind = found.dentry.inode().map(|inode| inode.kind).ok_or(Errno::Enoent)?;
        if Some(kind) == kept {
            return Ok(Some(found));
        }
        drop(found);
        let at = At::Path(&self.root);
        if kind == Kind::Directory {
            self.caller.rmdir(at, name)?
        } else {
            self.caller.unlink(at, name)?
        }
        Ok(None)
    }

    /// Whose it is, and who may do what.
    fn set_owner(&self, path: &Path, meta: &Meta) -> Result<()> {
        self.caller.chown(path, Some(meta.uid), Some(meta.gid))?;
        // After chown, which takes away what runs as somebody else. A link's mode is not looked at.
        match path.dentry.inode().map(|inode| inode.kind) {
            Some(Kind::Symlink) => Ok(()),
            _ => self.caller.chmod(path, u32::from(meta.mode)),
        }
    }

    fn set_all(&self, name: &[u8], meta: &Meta) -> Result<()> {
        let made = self.find(name)?.ok_or(Errno::Enoent)?;
        self.set_owner(&made, meta)?;
        self.caller.set_times(&made, time(meta.mtime), time(meta.mtime))
    }
}

impl Sink for Unpacker<'_> {
    type Error = Errno;

    fn directory(&mut self, name: &[u8], meta: &Meta) -> Result<()> {
        let path = match self.clear(name, Some(Kind::Directory))? {
            Some(path) => path,
            None => {
                self.caller.mkdir(At::Path(&self.root), name, 0o700)?;
                self.find(name)?.ok_or(Errno::Enoent)?
            }
        };
        self.set_owner(&path, meta)?;
        room::reserve(&mut self.directories, 1).map_err(|_| Errno::Enomem)?;
        self.directories.push((path, meta.mtime));
        Ok(())
    }

    fn file(&mut self, name: &[u8], meta: &Meta, _: u64) -> Result<()> {
        let there = self.clear(name, Some(Kind::Regular))?;
        // What is there is not created: in a sticky directory that would be refused, if it is somebody else's.
        let create = if there.is_some() { OpenFlags::empty() } else { OpenFlags::CREAT | OpenFlags::EXCL };
        let flags = create | OpenFlags::TRUNC | OpenFlags::WRONLY | OpenFlags::NOFOLLOW;
        let file = self.caller.open(At::Path(&self.root), name, OpenHow::new(flags.bits(), 0o600)?)?;
        self.set_owner(&file.path, meta)?;
        self.file = Some((file, meta.mtime));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        let (file, _) = self.file.as_ref().ok_or(Errno::Ebadf)?;
        let mut from = From(bytes);
        while !from.0.is_empty() {
            if file.write(&mut from)? == 0 {
                return Err(Errno::Enospc);
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let (file, mtime) = self.file.take().ok_or(Errno::Ebadf)?;
        self.caller.set_times(&file.path, time(mtime), time(mtime))?;
        Caller::close(file);
        Ok(())
    }

    fn symlink(&mut self, name: &[u8], target: &[u8], meta: &Meta) -> Result<()> {
        self.clear(name, None)?;
        self.caller.symlink(target, At::Path(&self.root), name)?;
        self.set_all(name, meta)
    }

    fn node(&mut self, name: &[u8], node: Node, meta: &Meta) -> Result<()> {
        let (kind, device) = match node {
            Node::CharDevice(major, minor) => (Kind::CharDevice, Device::new(major.into(), minor)),
            Node::BlockDevice(major, minor) => (Kind::BlockDevice, Device::new(major.into(), minor)),
            Node::Fifo => (Kind::Fifo, Device::NONE),
            Node::Socket => (Kind::Socket, Device::NONE),
        };
        self.clear(name, None)?;
        let bits = kind.bits() | u32::from(meta.mode) & mode::PERMISSIONS;
        self.caller.mknod(At::Path(&self.root), name, bits, device)?;
        self.set_all(name, meta)
    }

    fn hard_link(&mut self, existing: &[u8], name: &[u8]) -> Result<()> {
        let (old, new) = (self.find(existing)?.ok_or(Errno::Enoent)?, self.find(name)?);
        if new.is_some_and(|new| {
            new.dentry.inode_ref().zip(old.dentry.inode_ref()).is_some_and(|(a, b)| a.is(&b))
        }) {
            return Ok(());
        }
        self.clear(name, None)?;
        let at = At::Path(&self.root);
        self.caller.link(at, existing, at, name, AtFlags::empty())
    }
}
