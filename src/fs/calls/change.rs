//! `unlink` and `rmdir`: calls that take a name away.

use super::super::dcache::DentryRef;
use super::super::inode::Inode;
use super::super::mount::Mount;
use super::super::namei::{At, Caller, Parent, lookup_locked};
use super::super::refs::Ref;
use super::super::{Result, tidy};
use super::inode_of;
use crate::errno::Errno;

impl Caller<'_> {
    /// What has the name; with the directory locked.
    fn named(&self, parent: &Parent, dir: &Inode) -> Result<(DentryRef, Ref<Inode>)> {
        let dentry = lookup_locked(&parent.dir.dentry, dir, parent.name())?;
        let inode = inode_of(&dentry)?;
        Ok((dentry, inode))
    }

    /// `unlinkat`, of what is no directory.
    pub fn unlink(&self, at: At<'_>, path: &[u8]) -> Result<()> {
        let parent = self.resolve_parent(at, path)?;
        if !parent.is_plain() {
            return Err(Errno::Eisdir);
        }
        let result = self.unlink_in(&parent);
        drop(parent);
        tidy();
        result
    }

    fn unlink_in(&self, parent: &Parent) -> Result<()> {
        let dir = inode_of(&parent.dir.dentry)?;
        let writing = Mount::want_write(&parent.dir.mount);
        // Both go behind the locks: the last reference may give a file's blocks back.
        let (dentry, inode);
        let _tree = dir.fs.tree.read();
        let _lock = dir.lock.write();
        (dentry, inode) = self.named(parent, &dir)?;
        if parent.is_slashed {
            return Err(if inode.is_directory() { Errno::Eisdir } else { Errno::Enotdir });
        }
        let _writing = writing?;
        self.may_remove(&dir, &inode)?;
        if inode.is_directory() {
            return Err(Errno::Eisdir);
        }
        if dentry.is_mounted_on() {
            return Err(Errno::Ebusy);
        }
        dir.ops.unlink(&dir, parent.name(), &inode)?;
        dir.touch_modified();
        inode.touch_changed();
        dir.fs.cache.remove(&dentry);
        Ok(())
    }

    /// `unlinkat` with `AT_REMOVEDIR`.
    pub fn rmdir(&self, at: At<'_>, path: &[u8]) -> Result<()> {
        let parent = self.resolve_parent(at, path)?;
        match parent.name() {
            b"." => return Err(Errno::Einval),
            b".." => return Err(Errno::Enotempty),
            b"" => return Err(Errno::Ebusy),
            _ => (),
        }
        let result = self.rmdir_in(&parent);
        drop(parent);
        tidy();
        result
    }

    fn rmdir_in(&self, parent: &Parent) -> Result<()> {
        let dir = inode_of(&parent.dir.dentry)?;
        let writing = Mount::want_write(&parent.dir.mount);
        let (dentry, inode);
        let _tree = dir.fs.tree.write();
        (dentry, inode) = self.named(parent, &dir)?;
        let _writing = writing?;
        self.may_remove(&dir, &inode)?;
        if !inode.is_directory() {
            return Err(Errno::Enotdir);
        }
        if dentry.is_mounted_on() {
            return Err(Errno::Ebusy);
        }
        dir.ops.rmdir(&dir, parent.name(), &inode)?;
        dir.touch_modified();
        inode.touch_changed();
        dir.fs.cache.remove(&dentry);
        dir.fs.cache.forget_children(&dentry);
        Ok(())
    }
}
