//! `chdir`, `chroot`, and where something is: `getcwd` and the names in `/proc`.

use super::super::Result;
use super::super::cred::Want;
use super::super::dcache::Dentry;
use super::super::mount::{Mount, Path};
use super::super::namei::{At, Caller, Last};
use super::super::nameless;
use super::inode_of;
use crate::errno::Errno;
use crate::mm::vma::room;
use crate::sync::grace::EPOCHS;
use alloc::vec::Vec;
use core::ptr::from_ref;

impl Caller<'_> {
    fn may_enter(&self, path: &Path) -> Result<()> {
        let inode = inode_of(&path.dentry)?;
        if !inode.is_directory() {
            return Err(Errno::Enotdir);
        }
        self.credentials.check(inode.owner(), Want::EXECUTE)
    }

    /// `chdir`.
    pub fn chdir(&self, at: At<'_>, path: &[u8]) -> Result<()> {
        let path = self.resolve(at, path, Last::Follow)?;
        self.chdir_to(path)
    }

    /// `fchdir`.
    pub fn chdir_to(&self, path: Path) -> Result<()> {
        self.may_enter(&path)?;
        self.context.set_cwd(path)
    }

    /// `chroot` (`CAP_SYS_CHROOT`).
    pub fn chroot(&self, path: &[u8]) -> Result<()> {
        let path = self.resolve(At::Cwd, path, Last::Follow)?;
        self.may_enter(&path)?;
        if !self.credentials.is_root() {
            return Err(Errno::Eperm);
        }
        self.context.set_root(path)
    }

    /// `getcwd`: ENOENT if the directory was removed.
    pub fn getcwd(&self) -> Result<Vec<u8>> {
        let places = self.context.places();
        let removed = places.cwd.dentry.is_removed();
        if removed {
            return Err(Errno::Enoent);
        }
        self.path_of(&places.cwd)
    }

    /// The path from the process's root to a place. What is not below the root begins with `(unreachable)`, and what was
    /// removed ends in ` (deleted)`, as on Linux.
    pub fn path_of(&self, path: &Path) -> Result<Vec<u8>> {
        if let Some(shown) = nameless::shown(path) {
            return shown;
        }
        let root = self.context.root();
        let cache = &path.mount.fs.cache;
        // Names from the end to the root, each turned round; so is the whole in the end.
        let mut text: Vec<u8> = room::with_room(256).map_err(|_| Errno::Enomem)?;
        let reached = cache.while_nothing_moves(|| -> Result<bool> {
            text.clear();
            let reading = EPOCHS.read();
            let (mut mount, mut dentry): (&Mount, &Dentry) = (&path.mount, &path.dentry);
            loop {
                if core::ptr::eq(mount, from_ref(&*root.mount))
                    && core::ptr::eq(dentry, from_ref(&*root.dentry))
                {
                    return Ok(true);
                }
                if core::ptr::eq(dentry, from_ref(&**mount.root)) {
                    let Some((below, at)) = mount.place_in(&reading) else { return Ok(false) };
                    (mount, dentry) = (below, at);
                    continue;
                }
                let entry = dentry.entry_in(&reading);
                let name = entry.name();
                room::reserve(&mut text, name.len() + 1).map_err(|_| Errno::Enomem)?;
                text.extend(name.iter().rev());
                text.push(b'/');
                let Some(parent) = dentry.parent_in(&reading) else { return Ok(false) };
                dentry = parent;
            }
        })?;
        if text.is_empty() {
            room::reserve(&mut text, 1).map_err(|_| Errno::Enomem)?;
            text.push(b'/');
        }
        let (before, behind): (&[u8], &[u8]) = (
            if reached { b"" } else { b"(unreachable)" },
            if path.dentry.is_removed() { b" (deleted)" } else { b"" },
        );
        let mut whole =
            room::with_room(before.len() + text.len() + behind.len()).map_err(|_| Errno::Enomem)?;
        whole.extend_from_slice(before);
        whole.extend(text.iter().rev());
        whole.extend_from_slice(behind);
        Ok(whole)
    }
}
