//! `open`.

use super::super::busy::Written;
use super::super::cred::Want;
use super::super::dcache::DentryRef;
use super::super::device;
use super::super::file::{File, Opened};
use super::super::flags::{MountFlags, OpenFlags};
use super::super::inode::Inode;
use super::super::mode::Kind;
use super::super::mount::{Mount, Path};
use super::super::namei::{At, Caller, LINKS_MAX, Last, Parent, lookup_locked};
use super::super::pipe;
use super::super::refs::Ref;
use super::super::{Result, tidy};
use super::inode_of;
use crate::errno::Errno;

/// Flags and mode, as they are heeded.
#[derive(Clone, Copy, Debug)]
pub struct OpenHow {
    pub flags: OpenFlags,
    pub mode: u32,
}

impl OpenHow {
    /// What Linux's `open` makes of them: with `O_PATH` only a few flags count; unknown ones do not; `mode` only if
    /// something is made.
    pub fn new(flags: u32, mode: u32) -> Result<Self> {
        let mut flags = OpenFlags::from_bits_truncate(flags) | OpenFlags::LARGEFILE;
        if flags.contains(OpenFlags::PATH) {
            flags &= OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW | OpenFlags::CLOEXEC;
        }
        let is_unnamed = flags.contains(OpenFlags::TMPFILE);
        if is_unnamed && !flags.access().write {
            return Err(Errno::Einval);
        }
        // The bit of TMPFILE without that of DIRECTORY, and a directory that is to be created, make no sense.
        let tmpfile_bit = OpenFlags::TMPFILE - OpenFlags::DIRECTORY;
        if flags.contains(tmpfile_bit) && !is_unnamed
            || flags.contains(OpenFlags::CREAT | OpenFlags::DIRECTORY)
        {
            return Err(Errno::Einval);
        }
        let makes = is_unnamed || flags.contains(OpenFlags::CREAT);
        Ok(Self { flags, mode: if makes { mode & super::super::mode::PERMISSIONS } else { 0 } })
    }

    fn has(&self, flag: OpenFlags) -> bool {
        self.flags.contains(flag)
    }

    /// What must be allowed.
    fn want(&self) -> Want {
        let access = self.flags.access();
        let mut want = Want::empty();
        // 3, which is neither, needs both.
        if access.read || self.flags.bits() & 3 == 3 {
            want |= Want::READ;
        }
        if access.write || self.flags.bits() & 3 == 3 || self.has(OpenFlags::TRUNC) {
            want |= Want::WRITE;
        }
        want
    }
}

/// What a symbolic link at the end of a path leads to: the end of a path of its own, or, from /proc, the thing itself.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a call, on the stack, where a box would be a request for memory"
)]
enum End {
    Named(Parent),
    There(Path),
}

impl Caller<'_> {
    /// Opens what a path leads to.
    pub fn open(&self, at: At<'_>, path: &[u8], how: OpenHow) -> Result<Ref<File>> {
        if how.has(OpenFlags::TMPFILE) {
            let dir = self.resolve(at, path, Last::Follow)?;
            return self.open_unnamed(&dir, how);
        }
        if how.has(OpenFlags::CREAT) {
            return self.open_or_create(at, path, how);
        }
        let last = if how.has(OpenFlags::NOFOLLOW) { Last::NoFollow } else { Last::Follow };
        let path = self.resolve(at, path, last)?;
        self.open_path(path, how)
    }

    /// Opens what was found: also what is open already, again.
    pub fn open_path(&self, path: Path, how: OpenHow) -> Result<Ref<File>> {
        let inode = inode_of(&path.dentry)?;
        if how.has(OpenFlags::DIRECTORY) && !inode.is_directory() {
            return Err(Errno::Enotdir);
        }
        if how.has(OpenFlags::PATH) {
            return File::new(path, inode, how.flags, self.credentials.clone(), Opened::Node, None);
        }
        let mount_flags = path.mount.flags();
        match inode.kind {
            Kind::Symlink => return Err(Errno::Eloop),
            Kind::Directory if how.want().contains(Want::WRITE) => return Err(Errno::Eisdir),
            Kind::Socket => return Err(Errno::Enxio),
            kind if kind.is_device() && mount_flags.contains(MountFlags::NODEV) => {
                return Err(Errno::Eacces);
            }
            _ => (),
        }
        self.credentials.check(inode.owner(), how.want())?;
        self.open_inode(path, inode, how)
    }

    /// The rest, with permissions looked at.
    fn open_inode(&self, path: Path, inode: Ref<Inode>, how: OpenHow) -> Result<Ref<File>> {
        if how.has(OpenFlags::NOATIME) && !self.credentials.owns(inode.owner()) {
            return Err(Errno::Eperm);
        }
        let is_regular = inode.kind == Kind::Regular;
        // What devices and FIFOs do is no business of the file system's.
        let changes = is_regular && how.want().contains(Want::WRITE);
        let writing = match changes {
            true => Some((Mount::want_write(&path.mount)?, Written::new(inode.clone())?)),
            false => None,
        };
        let opened = match inode.kind {
            Kind::Regular | Kind::Directory | Kind::Symlink => inode.ops.open(&inode, how.flags)?,
            Kind::Fifo => pipe::files::open(&inode, how.flags, self.credentials)?,
            _ => device::open(&inode, how.flags)?,
        };
        if is_regular && how.has(OpenFlags::TRUNC) {
            self.truncate_inode(&inode, 0)?;
        }
        let kept = how.flags
            - (OpenFlags::CREAT
                | OpenFlags::EXCL
                | OpenFlags::NOCTTY
                | OpenFlags::TRUNC
                | OpenFlags::CLOEXEC);
        File::new(path, inode, kept, self.credentials.clone(), opened, writing)
    }

    /// A file without a name, in the file system of a directory.
    fn open_unnamed(&self, dir: &Path, how: OpenHow) -> Result<Ref<File>> {
        let inode = inode_of(&dir.dentry)?;
        if !inode.is_directory() {
            return Err(Errno::Enotdir);
        }
        self.may_change(&inode)?;
        let _writing = Mount::want_write(&dir.mount)?;
        let new = self.new_file(&inode, how.mode);
        let made = inode.ops.create_unnamed(&inode, &new, how.has(OpenFlags::EXCL))?;
        let dentry = inode.fs.cache.unnamed(&dir.dentry, b"(unnamed)", made.clone())?;
        self.open_inode(Path { mount: dir.mount.clone(), dentry }, made, how)
    }

    /// `O_CREAT`: what is there is opened, or else made. Symbolic links at the end are followed, unless it has to be new.
    fn open_or_create(&self, at: At<'_>, path: &[u8], how: OpenHow) -> Result<Ref<File>> {
        let mut links = 0;
        let mut parent = self.resolve_parent_after(at, path, &mut links)?;
        loop {
            if !parent.is_plain() {
                // `.`, `..` and `/` are there, and directories.
                return Err(if how.has(OpenFlags::EXCL) { Errno::Eexist } else { Errno::Eisdir });
            }
            let (dentry, is_new) = self.find_or_create(&parent, how)?;
            let inode = inode_of(&dentry)?;
            if is_new {
                let path = Path { mount: parent.dir.mount, dentry };
                // Its own maker may open it, whatever its mode is.
                return self.open_inode(path, inode, OpenHow { flags: how.flags - OpenFlags::TRUNC, ..how });
            }
            if how.has(OpenFlags::EXCL) {
                return Err(Errno::Eexist);
            }
            if inode.kind == Kind::Symlink {
                if how.has(OpenFlags::NOFOLLOW) {
                    return Err(Errno::Eloop);
                }
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::Eloop);
                }
                match self.follow_end(&parent.dir, &inode, &mut links)? {
                    End::Named(next) => parent = next,
                    // What a jump leads to is there already, by whatever name.
                    End::There(path) if inode_of(&path.dentry)?.is_directory() => return Err(Errno::Eisdir),
                    End::There(path) => return self.open_path(path, how),
                }
                continue;
            }
            let path = self.mounts.top(&Path { mount: parent.dir.mount, dentry });
            let inode = inode_of(&path.dentry)?;
            if inode.is_directory() {
                return Err(Errno::Eisdir);
            }
            if parent.is_slashed {
                return Err(Errno::Enotdir);
            }
            self.may_open_in_sticky(&parent.dir.dentry, &inode)?;
            return self.open_path(path, how);
        }
    }

    /// What is at the end of the path: found, or made.
    fn find_or_create(&self, parent: &Parent, how: OpenHow) -> Result<(DentryRef, bool)> {
        let dir = inode_of(&parent.dir.dentry)?;
        let cached = dir.fs.cache.get(&parent.dir.dentry, parent.name());
        let is_volatile = dir.fs.flags.contains(super::super::super_block::FsFlags::REVALIDATE);
        if let Some(found) = cached.filter(|found| found.inode().is_some() && !is_volatile) {
            return Ok((found, false));
        }
        let writing = Mount::want_write(&parent.dir.mount);
        let _tree = dir.fs.tree.read();
        let _lock = dir.lock.write();
        let dentry = lookup_locked(&parent.dir.dentry, &dir, parent.name())?;
        if dentry.inode().is_some() {
            return Ok((dentry, false));
        }
        if parent.is_slashed {
            return Err(Errno::Eisdir);
        }
        let _writing = writing?;
        self.may_change(&dir)?;
        let new = self.new_file(&dir, how.mode);
        let made = dir.ops.create(&dir, parent.name(), &new)?;
        dir.touch_modified();
        dentry.set_inode(made);
        Ok((dentry, true))
    }

    /// In a sticky directory that others may write to, somebody else's file is not opened by who meant to make one
    /// (`fs.protected_regular` of Linux, at 1).
    fn may_open_in_sticky(&self, dir: &DentryRef, inode: &Inode) -> Result<()> {
        use super::super::mode::STICKY;
        let Some(parent) = dir.inode().map(Inode::owner) else { return Ok(()) };
        let owner = inode.owner();
        let is_trap = matches!(inode.kind, Kind::Regular | Kind::Fifo)
            && parent.mode & STICKY != 0
            && parent.mode & 0o002 != 0
            && owner.uid != parent.uid
            && owner.uid != self.credentials.fs_uid;
        if is_trap { Err(Errno::Eacces) } else { Ok(()) }
    }

    /// Where a symbolic link at the end of a path leads to.
    fn follow_end(&self, dir: &Path, link: &Inode, links: &mut u32) -> Result<End> {
        use super::super::inode::Followed;
        let at = At::Path(dir);
        match link.ops.link_target() {
            Some(target) => self.resolve_parent_after(at, target, links).map(End::Named),
            None => match link.ops.follow(link)? {
                Followed::Text(target) => self.resolve_parent_after(at, &target, links).map(End::Named),
                Followed::Jump(path) => Ok(End::There(path)),
            },
        }
    }

    /// `close`, for who has the last reference perhaps.
    pub fn close(file: Ref<File>) {
        drop(file);
        tidy();
    }
}
