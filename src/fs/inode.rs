//! An inode: a file, whatever it is called and whether or not it is called anything.
//!
//! [`Inode`] is the half that all file systems share: number and kind, which never change, and owner, mode, links and
//! times, which are read without a lock. The other half is the file system's, an [`InodeOps`]. Its functions are called
//! by the layer above (`namei`), which has looked at permissions and taken the locks:
//!
//! | called | with |
//! | --- | --- |
//! | `lookup`, `readdir` | the file system's tree for reading, the directory for reading |
//! | `create`, `link`, `unlink` | the tree for reading, the directory for writing |
//! | `rename`, `rmdir` | the tree for writing: nobody else is in any directory of it |
//! | `truncate`, `write`, `fallocate`, attributes | the file's inode for writing |
//! | `read`, `size`, `blocks`, `link_target`, `is_valid` | nothing |
//!
//! So a file system has to protect its structures against its own other callers only where it says so itself. The last
//! reference to an inode ends in [`InodeOps::evict`], where a file without links gives its blocks back.

use super::Result;
use super::busy::Busy;
use super::cred::Owner;
use super::file::{FileOps, NoFile, Opened};
use super::flags::OpenFlags;
use super::locks::FileLocks;
use super::mode::{self, Device, Kind};
use super::mount::Path;
use super::pages::Pages;
use super::refs::{Counted, Last, Ref};
use super::super_block::SuperBlock;
use super::time::{Time, Times};
use crate::errno::Errno;
use crate::sync::{Rank, RwMutex, SeqLock};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU32, Ordering};

/// A name in a directory: 1 to 255 bytes, none of them 0 or `/`; neither `.` nor `..`.
pub type Name = [u8];

/// Longest name.
pub const NAME_MAX: usize = 255;
/// Longest path, with the 0 that ends it.
pub const PATH_MAX: usize = 4096;

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    pub kind: Kind,
    /// Mode, without the kind's bits, and whose it is to be; the umask and the directory's setgid bit are in it already.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Of a device.
    pub device: Device,
    /// Of a symbolic link.
    pub target: &'a [u8],
}

/// Where a symbolic link leads that has to be asked for.
pub enum Followed {
    /// To this path, from the link's directory.
    Text(Vec<u8>),
    /// Right there: a link of procfs.
    Jump(Path),
}

/// Something called a name, and what it is called from now on.
pub struct Rename<'a> {
    pub from: &'a Inode,
    pub name: &'a Name,
    pub inode: &'a Ref<Inode>,
    pub to: &'a Inode,
    pub new_name: &'a Name,
    /// What has the new name: it goes, unless it is exchanged. A directory that goes has to be empty, which the file
    /// system sees to. Never the same inode.
    pub replaced: Option<&'a Ref<Inode>>,
    pub exchange: bool,
}

/// Attributes to be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// Permissions, without the kind's bits.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub accessed: Option<Time>,
    pub modified: Option<Time>,
}

/// What a file system does for one inode. What is not there is refused with Linux's error.
pub trait InodeOps: Send + Sync {
    /// Itself, for the file system to know its own again.
    fn as_any(&self) -> &dyn Any;

    /// Finds a name. `None`: there is none, which is remembered.
    fn lookup(&self, dir: &Inode, name: &Name) -> Result<Option<Ref<Inode>>> {
        let _ = (dir, name);
        Err(Errno::Enotdir)
    }

    /// Makes a file, a directory, a link, a device.
    fn create(&self, dir: &Inode, name: &Name, new: &New<'_>) -> Result<Ref<Inode>> {
        let _ = (dir, name, new);
        Err(Errno::Eperm)
    }

    /// Makes a file without a name (`O_TMPFILE`), which never gets one if it is so `for_good` (`O_EXCL`).
    fn create_unnamed(&self, dir: &Inode, new: &New<'_>, for_good: bool) -> Result<Ref<Inode>> {
        let _ = (dir, new, for_good);
        Err(Errno::Eopnotsupp)
    }

    /// Gives an inode one more name.
    fn link(&self, dir: &Inode, name: &Name, inode: &Ref<Inode>) -> Result<()> {
        let _ = (dir, name, inode);
        Err(Errno::Eperm)
    }

    /// Takes a name away from something that is no directory.
    fn unlink(&self, dir: &Inode, name: &Name, inode: &Ref<Inode>) -> Result<()> {
        let _ = (dir, name, inode);
        Err(Errno::Eperm)
    }

    /// Takes away an empty directory.
    fn rmdir(&self, dir: &Inode, name: &Name, inode: &Ref<Inode>) -> Result<()> {
        let _ = (dir, name, inode);
        Err(Errno::Eperm)
    }

    fn rename(&self, rename: &Rename<'_>) -> Result<()> {
        let _ = rename;
        Err(Errno::Eperm)
    }

    /// Where a symbolic link leads, if that is in memory. Never waits.
    fn link_target(&self) -> Option<&[u8]> {
        None
    }

    /// The same for a link that has to be read, or leads somewhere without a path. May wait.
    fn follow(&self, inode: &Inode) -> Result<Followed> {
        let _ = inode;
        Err(Errno::Einval)
    }

    /// What `readlink` says of a link that [`Self::follow`] jumps over.
    fn read_link(&self, inode: &Inode) -> Result<Vec<u8>> {
        match self.follow(inode)? {
            Followed::Text(text) => Ok(text),
            Followed::Jump(_) => Err(Errno::Einval),
        }
    }

    /// Whether what was looked up is still that. Asked on file systems with
    /// [`FsFlags::REVALIDATE`](super::super_block::FsFlags) only; never waits.
    fn is_valid(&self) -> bool {
        true
    }

    /// Bytes.
    fn size(&self) -> u64 {
        0
    }

    /// What it takes, in units of 512 bytes.
    fn blocks(&self) -> u64 {
        self.size().div_ceil(512)
    }

    /// Makes it that long; what is added is zeroes.
    fn truncate(&self, inode: &Inode, size: u64) -> Result<()> {
        let _ = (inode, size);
        Err(Errno::Einval)
    }

    /// Its bytes, if they are in the page cache: then it can be mapped.
    fn pages(&self) -> Option<&Pages> {
        None
    }

    /// Attributes are about to be changed so: the last chance to refuse, and to write it down.
    fn changing(&self, inode: &Inode, change: &SetAttr) -> Result<()> {
        let _ = (inode, change);
        Ok(())
    }

    /// Opens it. FIFOs, sockets and devices are not asked: theirs is registered ([`super::device`]).
    fn open(&self, inode: &Ref<Inode>, flags: OpenFlags) -> Result<Opened> {
        let _ = (inode, flags);
        Ok(Opened::Node)
    }

    /// The operations of a file that is [`Opened::Node`].
    fn file(&self) -> &dyn FileOps {
        &NoFile
    }

    /// Nobody refers to the inode any more. If it has no links its blocks are free.
    fn evict(&self, inode: &Inode) {
        let _ = inode;
    }
}

impl Ref<dyn InodeOps> {
    /// A file system's half.
    pub fn ops<T: InodeOps + 'static>(ops: T) -> Result<Self> {
        Ok(Ref::new(ops)?.coerce(|at| at as *mut Counted<dyn InodeOps>))
    }
}

/// An inode.
pub struct Inode {
    /// Unique in its file system.
    pub number: u64,
    pub kind: Kind,
    /// Which one, if it is a device.
    pub device: Device,
    pub fs: Ref<SuperBlock>,
    pub ops: Ref<dyn InodeOps>,
    /// [`Owner`] as words.
    owner: SeqLock<2>,
    /// [`Times`] as words.
    times: SeqLock<6>,
    links: AtomicU32,
    /// Of a directory its entries, of a file its length and attributes.
    pub lock: RwMutex<()>,
    /// Of a regular file: who writes it, or what runs from it.
    pub busy: Busy,
    pub(super) file_locks: FileLocks,
}

fn owner_words(owner: Owner) -> [u64; 2] {
    [u64::from(owner.mode), u64::from(owner.uid) | u64::from(owner.gid) << 32]
}

fn times_words(times: &Times) -> [u64; 6] {
    let four = [times.accessed, times.modified, times.changed, times.born];
    let pair = |a: Time, b: Time| u64::from(a.nanoseconds) | u64::from(b.nanoseconds) << 32;
    let seconds = four.map(|time| time.seconds as u64);
    [seconds[0], seconds[1], seconds[2], seconds[3], pair(four[0], four[1]), pair(four[2], four[3])]
}

fn times_of(words: [u64; 6]) -> Times {
    let time =
        |n: usize| Time { seconds: words[n] as i64, nanoseconds: (words[4 + n / 2] >> (n % 2 * 32)) as u32 };
    Times { accessed: time(0), modified: time(1), changed: time(2), born: time(3) }
}

/// What an inode begins with, besides what is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Birth {
    pub number: u64,
    pub links: u32,
    pub times: Times,
}

impl Inode {
    /// An inode of `fs`, with its first reference.
    pub fn new(
        fs: &Ref<SuperBlock>,
        birth: Birth,
        new: &New<'_>,
        ops: Ref<dyn InodeOps>,
    ) -> Result<Ref<Self>> {
        let owner =
            Owner { mode: new.kind.bits() | new.mode & mode::PERMISSIONS, uid: new.uid, gid: new.gid };
        Ref::with_last(Self {
            number: birth.number,
            kind: new.kind,
            device: if new.kind.is_device() { new.device } else { Device::NONE },
            fs: fs.clone(),
            ops,
            owner: SeqLock::new(owner_words(owner)),
            times: SeqLock::new(times_words(&birth.times)),
            links: AtomicU32::new(birth.links),
            lock: RwMutex::new(Rank::Inode, ()),
            busy: Busy::new(),
            file_locks: FileLocks::new(),
        })
    }

    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Mode and ids, as of one moment.
    #[inline]
    pub fn owner(&self) -> Owner {
        let [mode, ids] = self.owner.read();
        Owner { mode: mode as u32, uid: ids as u32, gid: (ids >> 32) as u32 }
    }

    /// Changes mode and ids.
    pub fn set_owner(&self, change: impl FnOnce(Owner) -> Owner) {
        self.owner.update(|[mode, ids]: [u64; 2]| {
            let old = Owner { mode: mode as u32, uid: ids as u32, gid: (ids >> 32) as u32 };
            owner_words(change(old))
        });
    }

    pub fn times(&self) -> Times {
        times_of(self.times.read())
    }

    pub fn set_times(&self, change: impl FnOnce(&mut Times)) {
        self.times.update(|words| {
            let mut times = times_of(words);
            change(&mut times);
            times_words(&times)
        });
    }

    /// Contents have changed, now.
    pub fn touch_modified(&self) {
        let now = Time::now();
        self.set_times(|times| (times.modified, times.changed) = (now, now));
    }

    /// A terminal was read from or written to, about now: `who` and `w` see when somebody was last there, to eight seconds and
    /// not to a keystroke, as on Linux.
    pub fn touch_terminal(&self, is_written: bool) {
        const STEP_S: i64 = 8;
        let (now, times) = (Time::now(), self.times());
        let last = if is_written { times.modified } else { times.accessed };
        if now.seconds / STEP_S != last.seconds / STEP_S {
            let now = Time { nanoseconds: 0, ..now };
            self.set_times(|times| {
                *(if is_written { &mut times.modified } else { &mut times.accessed }) = now
            });
        }
    }

    /// Attributes or links have changed, now.
    pub fn touch_changed(&self) {
        let now = Time::now();
        self.set_times(|times| times.changed = now);
    }

    /// Names that it has; a directory's own `.` and its children's `..` count.
    pub fn links(&self) -> u32 {
        self.links.load(Ordering::Acquire)
    }

    /// One name more; refused for one that has none left, or `max`.
    pub fn add_link(&self, max: u32) -> Result<()> {
        let more = |links: u32| (links > 0 && links < max).then_some(links + 1);
        match self.links.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more) {
            Ok(_) => Ok(()),
            Err(0) => Err(Errno::Enoent),
            Err(_) => Err(Errno::Emlink),
        }
    }

    /// For an inode without a name that gets its first.
    pub fn set_links(&self, links: u32) {
        self.links.store(links, Ordering::Release);
    }

    /// So many names less.
    pub fn drop_links(&self, count: u32) {
        let before = self.links.fetch_sub(count, Ordering::AcqRel);
        debug_assert!(before >= count, "more names are gone than there were");
    }

    /// Another reference, for who has found it in a directory of its own.
    ///
    /// # Safety
    /// As for [`Ref::try_from`].
    pub unsafe fn try_ref(&self) -> Option<Ref<Self>> {
        // SAFETY: the caller's promise; inodes are made by `new` alone.
        unsafe { Ref::try_from(self) }
    }
}

impl Last for Inode {
    fn last(&self) {
        self.ops.evict(self);
    }
}

impl core::fmt::Debug for Inode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "inode {} ({:?}, {} links)", self.number, self.kind, self.links())
    }
}
