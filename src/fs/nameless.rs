//! Files that no path leads to: pipes, and memory that is a file (`memfd_create`).
//!
//! An open file has a path, that is a mount and an entry, like any other; but the mount stands nowhere, and each entry is
//! its own. What it is called is only shown: `pipe:[7]`, `/memfd:name (deleted)`. There are two file systems for it, made
//! once ([`init`]): one whose inodes are ends of something (pipefs), and a tmpfs.

use super::Result;
use super::cred::Credentials;
use super::dcache::Dcache;
use super::file::{File, Opened};
use super::flags::{MountFlags, OpenFlags};
use super::inode::{Birth, Inode, InodeOps, New};
use super::mode::{Device, Kind};
use super::mount::{Mounts, Path};
use super::refs::Ref;
use super::super_block::{FsFlags, FsOps, FsType, StatFs, SuperBlock};
use super::time::{Time, Times};
use super::tmpfs;
use crate::boot::layout::PAGE_SIZE;
use crate::errno::Errno;
use crate::mm::vma::room;
use core::any::Any;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};
use spin::Once;

/// As `statfs` knows pipes.
const PIPEFS_MAGIC: u32 = 0x5049_5045;
/// Around the name of [`memory`].
const AROUND: [&[u8]; 2] = [b"/memfd:", b" (deleted)"];
/// Longest name for it, which is 249 bytes on Linux: what is shown is a name as well.
const MEMORY_NAME_MAX: usize = super::inode::NAME_MAX - AROUND[0].len() - AROUND[1].len();

/// The mounts that stand nowhere.
struct Nameless {
    pipes: Path,
    memory: Path,
    /// They are in no namespace but this.
    _mounts: Mounts,
}

static NAMELESS: Once<Nameless> = Once::new();

/// The kind of file system whose inodes are ends of something.
struct Type;

static TYPE: Type = Type;

impl FsType for Type {
    fn name(&self) -> &'static str {
        "pipefs"
    }

    fn flags(&self) -> FsFlags {
        FsFlags::NO_DEVICE | FsFlags::NAMELESS
    }

    fn mount(&self, _: &Ref<Dcache>, _: &[u8], _: &[u8], _: bool) -> Result<Ref<SuperBlock>> {
        Err(Errno::Einval)
    }
}

struct Whole;

impl FsOps for Whole {
    fn statfs(&self) -> StatFs {
        StatFs::default()
    }
}

/// A directory without anything in it.
struct Root;

impl InodeOps for Root {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A tmpfs that is mounted nowhere.
struct MemoryType;

static MEMORY_TYPE: MemoryType = MemoryType;

impl FsType for MemoryType {
    fn name(&self) -> &'static str {
        "tmpfs"
    }

    fn flags(&self) -> FsFlags {
        FsFlags::NO_DEVICE | FsFlags::NAMELESS
    }

    fn mount(&self, _: &Ref<Dcache>, _: &[u8], _: &[u8], _: bool) -> Result<Ref<SuperBlock>> {
        Err(Errno::Einval)
    }
}

fn make(cache: &Ref<Dcache>) -> Result<Nameless> {
    let mounts = Mounts::new()?;
    let block = SuperBlock::new(
        &TYPE,
        cache,
        SuperBlock::anonymous_device(),
        PIPEFS_MAGIC,
        PAGE_SIZE as u32,
        Ref::fs(Whole)?,
    )?;
    let root = New { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0, device: Device::NONE, target: b"" };
    let birth = Birth { number: 1, links: 2, times: Times::all(Time::now()) };
    block.set_root(Inode::new(&block, birth, &root, Ref::ops(Root)?)?)?;
    let pipes = mounts.mount_root(block, b"pipefs", MountFlags::empty())?;
    let options = tmpfs::Options { pages: Some(0), inodes: Some(0), ..tmpfs::Options::NONE };
    let (block, _) = tmpfs::make(cache, &MEMORY_TYPE, options)?;
    let memory = mounts.mount_root(block, b"tmpfs", MountFlags::empty())?;
    Ok(Nameless { pipes, memory, _mounts: mounts })
}

/// Makes them, once, with the cache that is to have their entries. ENOMEM.
pub fn init(cache: &Ref<Dcache>) -> Result<()> {
    if NAMELESS.get().is_none() {
        let made = make(cache)?;
        NAMELESS.call_once(|| made);
    }
    Ok(())
}

fn nameless() -> Result<&'static Nameless> {
    NAMELESS.get().ok_or(Errno::Enosys)
}

/// A text that is too long ends early.
struct Name {
    bytes: [u8; super::inode::NAME_MAX],
    len: usize,
}

impl Name {
    const fn new() -> Self {
        Self { bytes: [0; super::inode::NAME_MAX], len: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        let len = bytes.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + len].copy_from_slice(&bytes[..len]);
        self.len += len;
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Write for Name {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// An inode of pipefs, of that kind and with these operations: nobody's but the caller's. It is called `what:[number]`.
pub fn inode(
    what: &str,
    kind: Kind,
    ops: Ref<dyn InodeOps>,
    owner: &Credentials,
) -> Result<(Ref<Inode>, Path)> {
    static NEXT: AtomicU64 = AtomicU64::new(2);
    let home = &nameless()?.pipes;
    let birth =
        Birth { number: NEXT.fetch_add(1, Ordering::Relaxed), links: 1, times: Times::all(Time::now()) };
    let new =
        New { kind, mode: 0o600, uid: owner.fs_uid, gid: owner.fs_gid, device: Device::NONE, target: b"" };
    let inode = Inode::new(&home.mount.fs, birth, &new, ops)?;
    let mut name = Name::new();
    let _ = write!(name, "{what}:[{}]", birth.number);
    let dentry = home.mount.fs.cache.unnamed(&home.dentry, name.get(), inode.clone())?;
    Ok((inode, Path { mount: home.mount.clone(), dentry }))
}

/// `memfd_create`: an empty file of tmpfs, open for reading and writing, that no directory has. EINVAL: too long a name.
pub fn memory(name: &[u8], owner: &Ref<Credentials>) -> Result<Ref<File>> {
    if name.len() > MEMORY_NAME_MAX || name.contains(&0) {
        return Err(Errno::Einval);
    }
    let home = &nameless()?.memory;
    let root = home.dentry.inode_ref().ok_or(Errno::Enoent)?;
    let new = New {
        kind: Kind::Regular,
        mode: 0o777,
        uid: owner.fs_uid,
        gid: owner.fs_gid,
        device: Device::NONE,
        target: b"",
    };
    let made = root.ops.create_unnamed(&root, &new, true)?;
    let mut shown = Name::new();
    [AROUND[0], name, AROUND[1]].into_iter().for_each(|part| shown.push(part));
    let dentry = home.mount.fs.cache.unnamed(&home.dentry, shown.get(), made.clone())?;
    let path = Path { mount: home.mount.clone(), dentry };
    File::new(path, made, OpenFlags::RDWR | OpenFlags::LARGEFILE, owner.clone(), Opened::Node, None)
}

/// What the path of such a file is shown as; `None` for others.
pub fn shown(path: &Path) -> Option<Result<alloc::vec::Vec<u8>>> {
    path.mount.fs.flags.contains(FsFlags::NAMELESS).then(|| {
        let reading = crate::sync::grace::EPOCHS.read();
        let name = path.dentry.entry_in(&reading).name();
        let mut text = room::with_room(name.len()).map_err(|_| Errno::Enomem)?;
        text.extend_from_slice(name);
        Ok(text)
    })
}
