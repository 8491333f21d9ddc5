//! `mkdir`, `mknod`, `symlink` and `link`: calls that make a name.

use super::super::Result;
use super::super::dcache::DentryRef;
use super::super::flags::AtFlags;
use super::super::inode::{Inode, New, PATH_MAX};
use super::super::mode::{self, Device, Kind};
use super::super::mount::{Mount, Path};
use super::super::namei::{At, Caller, Last, Parent, lookup_locked};
use super::super::refs::Ref;
use super::inode_of;
use crate::errno::Errno;

impl Caller<'_> {
    /// Has `make` put something under a name where there is nothing, with the directory locked; the inode that it returns
    /// has that name from then on.
    fn make(
        &self,
        parent: &Parent,
        is_directory: bool,
        make: impl FnOnce(&Ref<Inode>) -> Result<Ref<Inode>>,
    ) -> Result<DentryRef> {
        if !parent.is_plain() {
            return Err(Errno::Eexist);
        }
        let dir = inode_of(&parent.dir.dentry)?;
        let writing = Mount::want_write(&parent.dir.mount);
        let _tree = dir.fs.tree.read();
        let _lock = dir.lock.write();
        let dentry = lookup_locked(&parent.dir.dentry, &dir, parent.name())?;
        if dentry.inode().is_some() {
            return Err(Errno::Eexist);
        }
        if parent.is_slashed && !is_directory {
            return Err(Errno::Enoent);
        }
        let _writing = writing?;
        self.may_change(&dir)?;
        let made = make(&dir)?;
        dir.touch_modified();
        dentry.set_inode(made);
        Ok(dentry)
    }

    fn make_new(
        &self,
        at: At<'_>,
        path: &[u8],
        kind: Kind,
        bits: u32,
        device: Device,
        target: &[u8],
    ) -> Result<Path> {
        let parent = self.resolve_parent(at, path)?;
        let is_directory = kind == Kind::Directory;
        let dentry = self.make(&parent, is_directory, |dir| {
            let owner = self.new_owner(dir, bits, is_directory);
            // A link's mode is not looked at.
            let mode = if kind == Kind::Symlink { 0o777 } else { owner.mode };
            let new = New { kind, mode, uid: owner.uid, gid: owner.gid, device, target };
            dir.ops.create(dir, parent.name(), &new)
        })?;
        Ok(Path { mount: parent.dir.mount, dentry })
    }

    /// `mkdirat`.
    pub fn mkdir(&self, at: At<'_>, path: &[u8], bits: u32) -> Result<()> {
        let bits = bits & (0o777 | mode::STICKY);
        self.make_new(at, path, Kind::Directory, bits, Device::NONE, b"").map(|_| ())
    }

    /// `mknodat`: a file, a FIFO, a socket, or, by user 0, a device (`CAP_MKNOD`).
    pub fn mknod(&self, at: At<'_>, path: &[u8], bits: u32, device: Device) -> Result<()> {
        self.make_node(at, path, bits, device).map(|_| ())
    }

    /// The same; where it is, for who binds a socket.
    pub fn make_node(&self, at: At<'_>, path: &[u8], bits: u32, device: Device) -> Result<Path> {
        let kind = match bits & mode::FORMAT {
            0 => Kind::Regular,
            _ => match Kind::from_mode(bits) {
                Some(Kind::Directory) => return Err(Errno::Eperm),
                Some(Kind::Symlink) | None => return Err(Errno::Einval),
                Some(kind) => kind,
            },
        };
        if kind.is_device() && !self.credentials.is_root() {
            return Err(Errno::Eperm);
        }
        self.make_new(at, path, kind, bits, device, b"")
    }

    /// `symlinkat`.
    pub fn symlink(&self, target: &[u8], at: At<'_>, path: &[u8]) -> Result<()> {
        if target.is_empty() {
            return Err(Errno::Enoent);
        }
        if target.len() >= PATH_MAX {
            return Err(Errno::Enametoolong);
        }
        self.make_new(at, path, Kind::Symlink, 0o777, Device::NONE, target).map(|_| ())
    }

    /// `linkat`.
    pub fn link(&self, from: At<'_>, old: &[u8], to: At<'_>, new: &[u8], flags: AtFlags) -> Result<()> {
        let allowed = AtFlags::SYMLINK_FOLLOW | AtFlags::EMPTY_PATH;
        if !allowed.contains(flags) {
            return Err(Errno::Einval);
        }
        let last = if flags.contains(AtFlags::SYMLINK_FOLLOW) { Last::Follow } else { Last::NoFollow };
        let old = match from {
            At::Path(path) if old.is_empty() && flags.contains(AtFlags::EMPTY_PATH) => path.clone(),
            _ => self.resolve(from, old, last)?,
        };
        let inode = inode_of(&old.dentry)?;
        let parent = self.resolve_parent(to, new)?;
        self.make(&parent, false, |dir| {
            if !parent.dir.mount.is(&old.mount) {
                return Err(Errno::Exdev);
            }
            if inode.is_directory() {
                return Err(Errno::Eperm);
            }
            self.may_link(&inode)?;
            dir.ops.link(dir, parent.name(), &inode)?;
            inode.touch_changed();
            Ok(inode.clone())
        })
        .map(|_| ())
    }

    /// Whether they may give it another name: what is theirs, or what they may read and write, if it is a plain file
    /// (`fs.protected_hardlinks` of Linux, at 1).
    fn may_link(&self, inode: &Inode) -> Result<()> {
        use super::super::cred::Want;
        let owner = inode.owner();
        if self.credentials.owns(owner) {
            return Ok(());
        }
        let runs_as = mode::SETUID | if owner.mode & mode::GROUP_EXECUTE != 0 { mode::SETGID } else { 0 };
        let is_plain = inode.kind == Kind::Regular && owner.mode & runs_as == 0;
        if is_plain && self.credentials.check(owner, Want::READ | Want::WRITE).is_ok() {
            Ok(())
        } else {
            Err(Errno::Eperm)
        }
    }
}
