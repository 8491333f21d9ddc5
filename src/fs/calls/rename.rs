//! `rename`: a name is given to something that has one, and what had the name before goes, in one moment.

use super::super::dcache::Dcache;
use super::super::flags::RenameFlags;
use super::super::inode::{Inode, Rename};
use super::super::mount::Mount;
use super::super::namei::{At, Caller, Parent, lookup_locked};
use super::super::refs::Ref;
use super::super::{Result, tidy};
use super::inode_of;
use crate::errno::Errno;
use crate::sync::grace::EPOCHS;

impl Caller<'_> {
    /// `renameat2`. Whiteouts are refused, as by a file system that has none.
    pub fn rename(&self, from: At<'_>, old: &[u8], to: At<'_>, new: &[u8], flags: RenameFlags) -> Result<()> {
        let both = RenameFlags::NOREPLACE | RenameFlags::EXCHANGE;
        if flags.contains(both) || !both.contains(flags) {
            return Err(Errno::Einval);
        }
        let source = self.resolve_parent(from, old)?;
        let target = self.resolve_parent(to, new)?;
        if !source.dir.mount.is(&target.dir.mount) {
            return Err(Errno::Exdev);
        }
        if !source.is_plain() {
            return Err(Errno::Ebusy);
        }
        if !target.is_plain() {
            return Err(if flags.contains(RenameFlags::NOREPLACE) { Errno::Eexist } else { Errno::Ebusy });
        }
        let writing = Mount::want_write(&source.dir.mount);
        let may_write = writing.as_ref().map(|_| ()).map_err(|&error| error);
        let result = self.rename_in(&source, &target, flags, may_write);
        drop(writing);
        drop((source, target));
        tidy();
        result
    }

    fn rename_in(
        &self,
        source: &Parent,
        target: &Parent,
        flags: RenameFlags,
        writing: Result<()>,
    ) -> Result<()> {
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let from = inode_of(&source.dir.dentry)?;
        let to = inode_of(&target.dir.dentry)?;
        let (moved, other);
        let _tree = from.fs.tree.write();
        moved = lookup_locked(&source.dir.dentry, &from, source.name())?;
        let inode = inode_of(&moved)?;
        other = lookup_locked(&target.dir.dentry, &to, target.name())?;
        let replaced = other.inode_ref();
        if flags.contains(RenameFlags::NOREPLACE) && replaced.is_some() {
            return Err(Errno::Eexist);
        }
        if exchange && replaced.is_none() {
            return Err(Errno::Enoent);
        }
        Self::check_slashes(source, target, &inode, replaced.as_ref(), exchange)?;
        // Neither into itself, nor onto a directory that it is in.
        {
            let reading = EPOCHS.read();
            if Dcache::is_below(&reading, &target.dir.dentry, &moved) {
                return Err(Errno::Einval);
            }
            if replaced.is_some() && Dcache::is_below(&reading, &source.dir.dentry, &other) {
                return Err(if exchange { Errno::Einval } else { Errno::Enotempty });
            }
        }
        writing?;
        if replaced.as_ref().is_some_and(|replaced| replaced.is(&inode)) {
            // Two names of one file: nothing is to be done, and nothing is.
            return Ok(());
        }
        self.may_rename(&from, &to, &inode, replaced.as_ref(), exchange)?;
        if moved.is_mounted_on() || other.is_mounted_on() {
            return Err(Errno::Ebusy);
        }
        // What the cache needs is had before the file system changes anything.
        let prepared =
            from.fs.cache.prepare_rename(&moved, &target.dir.dentry, target.name(), &other, exchange)?;
        from.ops.rename(&Rename {
            from: &from,
            name: source.name(),
            inode: &inode,
            to: &to,
            new_name: target.name(),
            replaced: replaced.as_ref(),
            exchange,
        })?;
        from.touch_modified();
        if !from.is(&to) {
            to.touch_modified();
        }
        inode.touch_changed();
        if let Some(replaced) = &replaced {
            replaced.touch_changed();
        }
        from.fs.cache.rename(&moved, &target.dir.dentry, &other, prepared);
        if replaced.is_some_and(|replaced| replaced.is_directory()) && !exchange {
            from.fs.cache.forget_children(&other);
        }
        Ok(())
    }

    /// A name with slashes behind it means a directory.
    fn check_slashes(
        source: &Parent,
        target: &Parent,
        inode: &Inode,
        replaced: Option<&Ref<Inode>>,
        exchange: bool,
    ) -> Result<()> {
        let is_directory = |inode: &Inode| inode.is_directory();
        if !is_directory(inode) && (source.is_slashed || !exchange && target.is_slashed) {
            return Err(Errno::Enotdir);
        }
        if exchange && target.is_slashed && !replaced.is_some_and(|inode| is_directory(inode)) {
            return Err(Errno::Enotdir);
        }
        Ok(())
    }

    fn may_rename(
        &self,
        from: &Inode,
        to: &Inode,
        inode: &Inode,
        replaced: Option<&Ref<Inode>>,
        exchange: bool,
    ) -> Result<()> {
        use super::super::cred::Want;
        self.may_remove(from, inode)?;
        match replaced {
            None => {
                if to.links() == 0 {
                    return Err(Errno::Enoent);
                }
                self.may_change(to)?;
            }
            Some(replaced) => {
                self.may_remove(to, replaced)?;
                if !exchange {
                    match (inode.is_directory(), replaced.is_directory()) {
                        (true, false) => return Err(Errno::Enotdir),
                        (false, true) => return Err(Errno::Eisdir),
                        _ => (),
                    }
                }
            }
        }
        // A directory that comes into another one is written to: its `..` changes.
        let moves = core::ptr::from_ref(from) != core::ptr::from_ref(to);
        if moves && inode.is_directory() {
            self.credentials.check(inode.owner(), Want::WRITE)?;
        }
        if moves
            && exchange
            && let Some(replaced) = replaced.filter(|replaced| replaced.is_directory())
        {
            self.credentials.check(replaced.owner(), Want::WRITE)?;
        }
        Ok(())
    }
}
