//! The calls on paths: what each checks, what it locks, and what it has the file system do.
//!
//! | calls | locks |
//! | --- | --- |
//! | `open`, `mkdir`, `mknod`, `symlink`, `link`, `unlink` | the tree for reading, the directory for writing |
//! | `rename`, `rmdir` | the tree for writing |
//! | `chmod`, `chown`, `utimes`, `truncate` | the inode for writing |
//! | `stat`, `access`, `readlink` | nothing |
//!
//! So no two directories are ever locked together: what changes two of them, or must keep everybody out of one that is
//! going, has the whole file system's tree. Order: mounts, tree, inode, the file system's own.

mod attributes;
mod change;
mod create;
mod mounting;
mod nameless;
mod open;
mod place;
mod rename;

pub use attributes::{SetTime, may_execute};
pub use open::OpenHow;
pub use place::{path_from, path_within};

use super::Result;
use super::cred::{Owner, Want};
use super::inode::{Inode, New};
use super::mode::{self, Device, Kind};
use super::namei::Caller;
use super::refs::Ref;
use crate::errno::Errno;

impl Caller<'_> {
    /// Whether entries of a directory may be made or taken away.
    fn may_change(&self, dir: &Inode) -> Result<()> {
        self.credentials.check(dir.owner(), Want::WRITE | Want::EXECUTE)
    }

    /// Whether an entry may be taken out of a directory.
    fn may_remove(&self, dir: &Inode, inode: &Inode) -> Result<()> {
        self.may_change(dir)?;
        self.credentials.check_sticky(dir.owner(), inode.owner())
    }

    /// Mode and ids of what is made in a directory: the umask is taken off, and a setgid directory gives its group, and to
    /// directories the bit itself. A program's setgid bit is not had for a group that is not one's own.
    fn new_owner(&self, dir: &Inode, mode: u32, is_directory: bool) -> Owner {
        let mut mode = mode & mode::PERMISSIONS & !self.context.umask();
        let mut gid = self.credentials.fs_gid;
        let parent = dir.owner();
        if parent.mode & mode::SETGID != 0 {
            gid = parent.gid;
            if is_directory {
                mode |= mode::SETGID;
            } else if mode & mode::GROUP_EXECUTE != 0
                && !self.credentials.is_in(gid)
                && !self.credentials.is_root()
            {
                mode &= !mode::SETGID;
            }
        }
        Owner { mode, uid: self.credentials.fs_uid, gid }
    }

    /// A regular file, as open(2) makes it in a directory.
    fn new_file(&self, dir: &Inode, mode: u32) -> New<'static> {
        let Owner { mode, uid, gid } = self.new_owner(dir, mode, false);
        New { kind: Kind::Regular, mode, uid, gid, device: Device::NONE, target: b"" }
    }
}

/// The inode behind an entry somebody has a reference to.
fn inode_of(dentry: &super::dcache::Dentry) -> Result<Ref<Inode>> {
    dentry.inode_ref().ok_or(Errno::Enoent)
}
