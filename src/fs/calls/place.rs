//! `chdir`, `chroot`, and where something is: `getcwd` and the names in `/proc`.

use super::super::Result;
use super::super::cred::Want;
use super::super::dcache::{Dentry, DentryRef};
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

    /// The path from the process's root to a place: [`path_from`].
    pub fn path_of(&self, path: &Path) -> Result<Vec<u8>> {
        path_from(&self.context.root(), path)
    }
}

/// The path from a root to a place. What is not below the root begins with `(unreachable)`, and what was removed ends in
/// ` (deleted)`, as on Linux.
pub fn path_from(root: &Path, path: &Path) -> Result<Vec<u8>> {
    if let Some(shown) = nameless::shown(path) {
        return shown;
    }
    let mut text = Backwards::new()?;
    let reached = path.mount.fs.cache.while_nothing_moves(|| -> Result<bool> {
        text.0.clear();
        let reading = EPOCHS.read();
        let (mut mount, mut dentry): (&Mount, &Dentry) = (&path.mount, &path.dentry);
        loop {
            if core::ptr::eq(mount, from_ref(&*root.mount)) && core::ptr::eq(dentry, from_ref(&*root.dentry))
            {
                return Ok(true);
            }
            if core::ptr::eq(dentry, from_ref(&**mount.root)) {
                let Some((below, at)) = mount.place_in(&reading) else { return Ok(false) };
                (mount, dentry) = (below, at);
                continue;
            }
            text.add(dentry.entry_in(&reading).name())?;
            let Some(parent) = dentry.parent_in(&reading) else { return Ok(false) };
            dentry = parent;
        }
    })?;
    text.turned(
        if reached { b"" } else { b"(unreachable)" },
        if path.dentry.is_removed() { b" (deleted)" } else { b"" },
    )
}

/// The path from its file system's root to an entry.
pub fn path_within(dentry: &DentryRef) -> Result<Vec<u8>> {
    let mut text = Backwards::new()?;
    let Some(inode) = dentry.inode() else { return Err(Errno::Enoent) };
    inode.fs.cache.while_nothing_moves(|| -> Result<()> {
        text.0.clear();
        let reading = EPOCHS.read();
        let mut at: &Dentry = dentry;
        while let Some(parent) = at.parent_in(&reading) {
            text.add(at.entry_in(&reading).name())?;
            at = parent;
        }
        Ok(())
    })?;
    text.turned(b"", b"")
}

/// Names from the end to the root, each turned round; so is the whole in the end.
struct Backwards(Vec<u8>);

impl Backwards {
    fn new() -> Result<Self> {
        room::with_room(256).map(Self).map_err(|_| Errno::Enomem)
    }

    fn add(&mut self, name: &[u8]) -> Result<()> {
        room::reserve(&mut self.0, name.len() + 1).map_err(|_| Errno::Enomem)?;
        self.0.extend(name.iter().rev());
        self.0.push(b'/');
        Ok(())
    }

    fn turned(&self, before: &[u8], behind: &[u8]) -> Result<Vec<u8>> {
        let text: &[u8] = if self.0.is_empty() { b"/" } else { &self.0 };
        let mut whole =
            room::with_room(before.len() + text.len() + behind.len()).map_err(|_| Errno::Enomem)?;
        whole.extend_from_slice(before);
        whole.extend(text.iter().rev());
        whole.extend_from_slice(behind);
        Ok(whole)
    }
}
