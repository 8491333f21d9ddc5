//! What is known of a file, and changing it: `stat`, `access`, `chmod`, `chown`, `utimensat`, `truncate`, `readlink`.

use super::super::busy::Written;
use super::super::cred::{Credentials, Owner, Want};
use super::super::file::{note_access, without_privileges};
use super::super::flags::{AtFlags, MountFlags};
use super::super::inode::{Inode, SetAttr};
use super::super::mode::{self, Kind};
use super::super::mount::{Mount, Path};
use super::super::namei::{At, Caller, Here, Last};
use super::super::refs::Ref;
use super::super::stat::Stat;
use super::super::time::Time;
use super::super::{Result, tidy};
use super::inode_of;
use crate::errno::Errno;
use alloc::vec::Vec;

/// A time for `utimensat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// `UTIME_NOW`.
    Now,
    /// `UTIME_OMIT`.
    Omit,
    To(Time),
}

fn stat_of(here: &Here<'_>) -> Stat {
    Stat {
        mount: here.mount.id,
        is_mount_root: core::ptr::eq(here.dentry, &**here.mount.root),
        ..Stat::of(here.inode)
    }
}

impl Path {
    /// What is known of what is there.
    pub fn stat(&self) -> Result<Stat> {
        let inode = self.dentry.inode().ok_or(Errno::Enoent)?;
        Ok(stat_of(&Here { mount: &self.mount, dentry: &self.dentry, inode }))
    }
}

impl Caller<'_> {
    /// What a path of a call ending in `at` leads to: with `AT_EMPTY_PATH` and no path that is the descriptor itself.
    pub fn resolve_at(&self, at: At<'_>, path: &[u8], flags: AtFlags) -> Result<Path> {
        if path.is_empty() && flags.contains(AtFlags::EMPTY_PATH) {
            return Ok(match at {
                At::Cwd => self.context.cwd(),
                At::Path(path) => path.clone(),
            });
        }
        self.resolve(at, path, Self::last(flags))
    }

    const fn last(flags: AtFlags) -> Last {
        if flags.contains(AtFlags::SYMLINK_NOFOLLOW) { Last::NoFollow } else { Last::Follow }
    }

    /// `stat`, `lstat`, `fstatat`, `statx`. Of what is in the cache it takes no lock and counts no reference.
    pub fn stat(&self, at: At<'_>, path: &[u8], flags: AtFlags) -> Result<Stat> {
        if path.is_empty() && flags.contains(AtFlags::EMPTY_PATH) {
            return self.resolve_at(at, path, flags)?.stat();
        }
        self.look(at, path, Self::last(flags), |here| Some(stat_of(&here)))
    }

    /// `faccessat2`: whether the real user, or with `AT_EACCESS` the effective one, may do that.
    pub fn access(&self, at: At<'_>, path: &[u8], want: Want, flags: AtFlags) -> Result<()> {
        let real;
        let caller = if flags.contains(AtFlags::EACCESS) {
            *self
        } else {
            real = Ref::new(self.credentials.real()?)?;
            Caller { credentials: &real, ..*self }
        };
        let found = caller.resolve_at(at, path, flags)?;
        let inode = inode_of(&found.dentry)?;
        let mount = found.mount.flags();
        if inode.kind == Kind::Regular && want.contains(Want::EXECUTE) && mount.contains(MountFlags::NOEXEC) {
            return Err(Errno::Eacces);
        }
        caller.credentials.check(inode.owner(), want)?;
        let writes = want.contains(Want::WRITE)
            && matches!(inode.kind, Kind::Regular | Kind::Directory | Kind::Symlink);
        if writes && (mount.contains(MountFlags::RDONLY) || inode.fs.is_read_only()) {
            return Err(Errno::Erofs);
        }
        Ok(())
    }

    /// `readlinkat`.
    pub fn read_link(&self, at: At<'_>, path: &[u8]) -> Result<Vec<u8>> {
        let found = match at {
            // Linux lets a descriptor of a link itself be read.
            At::Path(path_of) if path.is_empty() => path_of.clone(),
            _ => self.resolve(at, path, Last::NoFollow)?,
        };
        let inode = inode_of(&found.dentry)?;
        if inode.kind != Kind::Symlink {
            return Err(if path.is_empty() { Errno::Enoent } else { Errno::Einval });
        }
        note_access(&found, &inode);
        let Some(target) = inode.ops.link_target() else { return inode.ops.read_link(&inode) };
        let mut text = Vec::new();
        crate::mm::vma::room::reserve(&mut text, target.len()).map_err(|_| Errno::Enomem)?;
        text.extend_from_slice(target);
        Ok(text)
    }

    /// Changes attributes, which were allowed, with the inode's lock held.
    fn change(&self, inode: &Inode, change: SetAttr) -> Result<()> {
        inode.ops.changing(inode, &change)?;
        inode.set_owner(|old| Owner {
            mode: change.mode.map_or(old.mode, |mode| old.mode & mode::FORMAT | mode & mode::PERMISSIONS),
            uid: change.uid.unwrap_or(old.uid),
            gid: change.gid.unwrap_or(old.gid),
        });
        let now = Time::now();
        inode.set_times(|times| {
            times.accessed = change.accessed.unwrap_or(times.accessed);
            times.modified = change.modified.unwrap_or(times.modified);
            times.changed = now;
        });
        Ok(())
    }

    /// `chmod` of what was found.
    pub fn chmod(&self, path: &Path, bits: u32) -> Result<()> {
        let inode = inode_of(&path.dentry)?;
        let _writing = Mount::want_write(&path.mount)?;
        if inode.kind == Kind::Symlink {
            return Err(Errno::Eopnotsupp);
        }
        let _lock = inode.lock.write();
        let owner = inode.owner();
        if !self.credentials.owns(owner) {
            return Err(Errno::Eperm);
        }
        let mut bits = bits & mode::PERMISSIONS;
        if !self.credentials.is_in(owner.gid) && !self.credentials.is_root() {
            bits &= !mode::SETGID;
        }
        self.change(&inode, SetAttr { mode: Some(bits), ..SetAttr::default() })
    }

    /// `chown` of what was found; `None` leaves it. The owner may give it to another group of his, user 0 (`CAP_CHOWN`) to
    /// anybody. It does not run as its owner any more.
    pub fn chown(&self, path: &Path, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let inode = inode_of(&path.dentry)?;
        let _writing = Mount::want_write(&path.mount)?;
        let _lock = inode.lock.write();
        let owner = inode.owner();
        let is_owner = self.credentials.fs_uid == owner.uid;
        let may = self.credentials.is_root()
            || uid.is_none_or(|uid| is_owner && uid == owner.uid)
                && gid.is_none_or(|gid| is_owner && (gid == owner.gid || self.credentials.is_in(gid)));
        if !may {
            return Err(Errno::Eperm);
        }
        let mut change = SetAttr { uid, gid, ..SetAttr::default() };
        if !inode.is_directory() {
            change.mode = Some(without_privileges(owner.mode) & mode::PERMISSIONS);
        }
        self.change(&inode, change)
    }

    /// `utimensat` of what was found.
    pub fn set_times(&self, path: &Path, accessed: SetTime, modified: SetTime) -> Result<()> {
        let inode = inode_of(&path.dentry)?;
        if (accessed, modified) == (SetTime::Omit, SetTime::Omit) {
            return Ok(());
        }
        let _writing = Mount::want_write(&path.mount)?;
        let _lock = inode.lock.write();
        let owner = inode.owner();
        if !self.credentials.owns(owner) {
            // Who may write to it may say that it was just written to.
            if (accessed, modified) != (SetTime::Now, SetTime::Now) {
                return Err(Errno::Eperm);
            }
            self.credentials.check(owner, Want::WRITE)?;
        }
        let now = Time::now();
        let time = |time| match time {
            SetTime::Now => Ok(Some(now)),
            SetTime::Omit => Ok(None),
            SetTime::To(time) if time.nanoseconds < 1_000_000_000 => Ok(Some(time)),
            SetTime::To(_) => Err(Errno::Einval),
        };
        let change = SetAttr { accessed: time(accessed)?, modified: time(modified)?, ..SetAttr::default() };
        self.change(&inode, change)
    }

    /// `truncate`; `limit` is `RLIMIT_FSIZE`.
    pub fn truncate(&self, at: At<'_>, path: &[u8], size: i64, limit: u64) -> Result<()> {
        let size = u64::try_from(size).map_err(|_| Errno::Einval)?;
        let found = self.resolve(at, path, Last::Follow)?;
        let inode = inode_of(&found.dentry)?;
        match inode.kind {
            Kind::Regular => (),
            Kind::Directory => return Err(Errno::Eisdir),
            _ => return Err(Errno::Einval),
        }
        let _writing = Mount::want_write(&found.mount)?;
        self.credentials.check(inode.owner(), Want::WRITE)?;
        if size > limit && size > inode.ops.size() {
            return Err(Errno::Efbig);
        }
        let _written = Written::new(inode.clone())?;
        let result = self.truncate_inode(&inode, size);
        tidy();
        result
    }

    /// `ftruncate`.
    pub fn truncate_file(&self, file: &super::super::file::File, size: i64, limit: u64) -> Result<()> {
        let size = u64::try_from(size).map_err(|_| Errno::Einval)?;
        if !file.access.write {
            return Err(if file.is_path() { Errno::Ebadf } else { Errno::Einval });
        }
        if file.inode.kind != Kind::Regular {
            return Err(Errno::Einval);
        }
        if size > limit && size > file.inode.ops.size() {
            return Err(Errno::Efbig);
        }
        self.truncate_inode(&file.inode, size)
    }

    /// Makes a file that long, which was allowed.
    pub(super) fn truncate_inode(&self, inode: &Inode, size: u64) -> Result<()> {
        let _lock = inode.lock.write();
        let owner = inode.owner();
        let kept = without_privileges(owner.mode);
        let mut change = SetAttr { size: Some(size), ..SetAttr::default() };
        if kept != owner.mode && !self.credentials.is_root() {
            change.mode = Some(kept & mode::PERMISSIONS);
        }
        change.modified = Some(Time::now());
        inode.ops.truncate(inode, size)?;
        self.change(inode, change)
    }
}

/// Whether a program may be run from there: what `exec` asks.
pub fn may_execute(path: &Path, credentials: &Credentials) -> Result<()> {
    let inode = inode_of(&path.dentry)?;
    if inode.kind != Kind::Regular || path.mount.flags().contains(MountFlags::NOEXEC) {
        return Err(Errno::Eacces);
    }
    credentials.check(inode.owner(), Want::EXECUTE)
}
