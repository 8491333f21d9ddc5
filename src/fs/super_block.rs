//! A mounted file system, once for all places where it is mounted; and the kinds of file systems that there are.
//!
//! A file system that is mounted makes a [`SuperBlock`], with its [`FsOps`], then its root inode, and gives both to the
//! VFS ([`SuperBlock::set_root`]). Inodes refer to the super block; what it keeps of inodes in turn it lets go in
//! [`FsOps::shutdown`], which is called when it is mounted nowhere any more.

use super::Result;
use super::dcache::{Dcache, DentryRef};
use super::inode::Inode;
use super::mode::Device;
use super::refs::{Counted, Ref};
use crate::errno::Errno;
use crate::sync::{Rank, RwMutex, SpinLock};
use bitflags::bitflags;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

bitflags! {
    /// How a file system wants to be treated.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct FsFlags: u32 {
        /// What was looked up may be gone without anybody having been told: each walk asks
        /// [`InodeOps::is_valid`](super::inode::InodeOps::is_valid), and that a name was not there is not remembered.
        const REVALIDATE = 1;
        /// There is no device below it: `/proc/filesystems` says `nodev`.
        const NO_DEVICE = 2;
        /// No path leads to its files: see [`nameless`](super::nameless).
        const NAMELESS = 4;
    }
}

/// What `statfs` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatFs {
    /// In units of the block size.
    pub blocks: u64,
    pub free: u64,
    /// Free for others than user 0.
    pub available: u64,
    pub files: u64,
    pub free_files: u64,
}

/// What a file system does as a whole.
pub trait FsOps: Send + Sync {
    fn statfs(&self) -> StatFs;

    /// Writes down everything that is not yet.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// New options for a file system that is mounted (`mount -o remount`).
    fn remount(&self, options: &[u8]) -> Result<()> {
        if options.is_empty() { Ok(()) } else { Err(Errno::Einval) }
    }

    /// Writes its options, as `/proc/mounts` shows them: each with a comma before it.
    fn show_options(&self, to: &mut dyn core::fmt::Write) -> core::fmt::Result {
        let _ = to;
        Ok(())
    }

    /// It is mounted nowhere any more, no file of it is open, and nobody will call again.
    fn shutdown(&self) {}
}

/// A kind of file system.
pub trait FsType: Sync {
    /// As `mount -t` names it.
    fn name(&self) -> &'static str;
    fn flags(&self) -> FsFlags;
    /// Makes one, or finds the one that there is. `source` is the device, or whatever it was called.
    fn mount(
        &self,
        cache: &Ref<Dcache>,
        source: &[u8],
        options: &[u8],
        is_read_only: bool,
    ) -> Result<Ref<SuperBlock>>;
}

/// A file system.
pub struct SuperBlock {
    pub kind: &'static dyn FsType,
    /// What `stat` names it by.
    pub device: Device,
    /// What `statfs` knows the kind by.
    pub magic: u32,
    pub block_size: u32,
    pub flags: FsFlags,
    pub ops: Ref<dyn FsOps>,
    /// For reading: the directories are changed, one at a time each. For writing: several at a time.
    pub tree: RwMutex<()>,
    pub cache: Ref<Dcache>,
    root: SpinLock<Option<DentryRef>>,
    is_read_only: AtomicBool,
    /// Mounts of it.
    mounts: AtomicUsize,
}

impl SuperBlock {
    /// A file system without a root yet.
    pub fn new(
        kind: &'static dyn FsType,
        cache: &Ref<Dcache>,
        device: Device,
        magic: u32,
        block_size: u32,
        ops: Ref<dyn FsOps>,
    ) -> Result<Ref<Self>> {
        Ref::new(Self {
            kind,
            device,
            magic,
            block_size,
            flags: kind.flags(),
            ops,
            tree: RwMutex::new(Rank::FsTree, ()),
            cache: cache.clone(),
            root: SpinLock::new(Rank::FsRoot, None),
            is_read_only: AtomicBool::new(false),
            mounts: AtomicUsize::new(0),
        })
    }

    /// Device numbers for file systems without a device, as `stat` shows them: 0 and a number of their own.
    pub fn anonymous_device() -> Device {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Device::new(0, NEXT.fetch_add(1, Ordering::Relaxed) & 0xF_FFFF)
    }

    /// Its root directory. Once.
    pub fn set_root(&self, root: Ref<Inode>) -> Result<()> {
        let dentry = self.cache.new_root(root)?;
        *self.root.lock() = Some(dentry);
        Ok(())
    }

    /// The entry of its root directory; none once it is shut down.
    pub fn root(&self) -> Result<DentryRef> {
        self.root.lock().clone().ok_or(Errno::Enodev)
    }

    pub fn is_read_only(&self) -> bool {
        self.is_read_only.load(Ordering::Acquire)
    }

    pub fn set_read_only(&self, on: bool) {
        self.is_read_only.store(on, Ordering::Release);
    }

    /// One mount more.
    pub(super) fn mounted(&self) {
        self.mounts.fetch_add(1, Ordering::AcqRel);
    }

    /// It was made, and will not be mounted: it ends, unless it is mounted elsewhere.
    pub(super) fn abandon(&self) {
        self.mounted();
        self.unmounted();
    }

    /// One less; with the last it ends.
    pub(super) fn unmounted(&self) {
        if self.mounts.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let root = self.root.lock().take();
        drop(root);
        self.cache.forget(self);
        self.ops.shutdown();
    }
}

impl Ref<dyn FsOps> {
    /// A file system's own part.
    pub fn fs<T: FsOps + 'static>(ops: T) -> Result<Self> {
        Ok(Ref::new(ops)?.coerce(|at| at as *mut Counted<dyn FsOps>))
    }

    /// One that the file system has a reference to itself.
    pub fn fs_shared<T: FsOps + 'static>(ops: Ref<T>) -> Self {
        ops.coerce(|at| at as *mut Counted<dyn FsOps>)
    }
}
