//! `mount` and `umount`, for user 0 (`CAP_SYS_ADMIN`).

use super::super::dcache::Dcache;
use super::super::flags::MountFlags;
use super::super::inode::Inode;
use super::super::mount::{Mount, Path};
use super::super::namei::{At, Caller, Last};
use super::super::refs::Ref;
use super::super::super_block::FsType;
use super::super::{Result, tidy};
use crate::errno::Errno;

impl Caller<'_> {
    fn may_mount(&self) -> Result<()> {
        if self.credentials.is_root() { Ok(()) } else { Err(Errno::Eperm) }
    }

    /// Mounts a file system of that kind.
    pub fn mount(
        &self,
        cache: &Ref<Dcache>,
        kind: &'static dyn FsType,
        source: &[u8],
        on: &[u8],
        flags: MountFlags,
        options: &[u8],
    ) -> Result<Ref<Mount>> {
        self.may_mount()?;
        let on = self.resolve(At::Cwd, on, Last::Follow)?;
        if !on.dentry.inode().is_some_and(Inode::is_directory) {
            return Err(Errno::Enotdir);
        }
        let fs = kind.mount(cache, source, options, flags.contains(MountFlags::RDONLY))?;
        let root = fs.root()?;
        self.mounts.mount(fs, root, source, flags, &on)
    }

    /// `MS_BIND`, with `MS_REC` or without.
    pub fn bind(&self, from: &[u8], on: &[u8], recursive: bool) -> Result<Ref<Mount>> {
        self.may_mount()?;
        let from = self.resolve(At::Cwd, from, Last::Follow)?;
        let on = self.resolve(At::Cwd, on, Last::Follow)?;
        self.mounts.bind(&from, &on, recursive)
    }

    /// `MS_MOVE`.
    pub fn move_mount(&self, from: &[u8], on: &[u8]) -> Result<()> {
        self.may_mount()?;
        let from = self.resolve(At::Cwd, from, Last::Follow)?;
        let on = self.resolve(At::Cwd, on, Last::Follow)?;
        self.mounts.move_to(&from, &on)
    }

    /// `MS_REMOUNT`: other flags for the mount, and, unless it is `MS_BIND` as well, for the file system.
    pub fn remount(&self, on: &[u8], flags: MountFlags, options: &[u8], only_mount: bool) -> Result<()> {
        self.may_mount()?;
        let on = self.resolve(At::Cwd, on, Last::Follow)?;
        // What may be refused comes first: then nothing has changed.
        if !only_mount {
            on.mount.fs.ops.remount(options)?;
        }
        self.mounts.remount(&on, flags)?;
        if !only_mount {
            on.mount.fs.set_read_only(flags.contains(MountFlags::RDONLY));
        }
        Ok(())
    }

    /// `umount2`; `lazy` is `MNT_DETACH`.
    pub fn unmount(&self, path: &[u8], last: Last, lazy: bool) -> Result<()> {
        self.may_mount()?;
        let found: Path = self.resolve(At::Cwd, path, last)?;
        let result = self.mounts.unmount(found, lazy);
        tidy();
        result
    }
}
