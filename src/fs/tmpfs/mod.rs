//! tmpfs: a file system in memory, and the shortest one that has everything.
//!
//! ```text
//!   Tmpfs      budget of pages and inodes, and all inodes that have a name, by number
//!   Node       what an inode is: a directory, bytes, a link's target, or nothing more than its mode
//!   dir        names to numbers
//! ```
//!
//! A file's bytes are pages of the page cache that nothing keeps: they are the file, and stay as long as it has them. The
//! file system is their backing, and counts them.
//!
//! Directories name inodes by number, and the file system keeps the inodes: so nothing refers to anything below it, and
//! the end of the file system, or of a tree of a million levels, is the end of a list.

mod dir;
mod options;

pub use options::Options;

use super::Result;
use super::dcache::Dcache;
use super::file::{Entries, File, FileOps, seek_in};
use super::flags::{FallocateFlags, Whence};
use super::inode::{Birth, Inode, InodeOps, Name, New, Rename};
use super::io::{Sink, Source};
use super::mode::{Device, Kind};
use super::pagecache::{self, Backing, Piece, ReadAhead};
use super::pages::{self, Pages};
use super::refs::Ref;
use super::super_block::{FsFlags, FsOps, FsType, StatFs, SuperBlock};
use super::time::{Time, Times};
use crate::boot::layout::PAGE_SIZE;
use crate::errno::Errno;
use crate::mm::vma::room;
use crate::sync::{Rank, RwMutex};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use dir::{Dir, Target};

/// As `statfs` knows it.
pub const MAGIC: u32 = 0x0102_1994;
/// Bytes that an entry adds to its directory's size.
const ENTRY_BYTES: u64 = 20;
const LINKS_MAX: u32 = 65_000;
/// Of `.` in every directory; of `..` in the root.
const ROOT: u64 = 1;

/// How much may be used, and how much is.
#[derive(Debug)]
pub struct Budget {
    used: AtomicU64,
    /// `u64::MAX` is none.
    limit: AtomicU64,
}

impl Budget {
    const fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit: AtomicU64::new(limit) }
    }

    fn take(&self, count: u64) -> Result<()> {
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |used: u64| used.checked_add(count).filter(|&used| used <= limit);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(()),
            Err(_) => Err(Errno::Enospc),
        }
    }

    fn could_take(&self, count: u64) -> bool {
        let used = self.used.load(Ordering::Relaxed).checked_add(count);
        used.is_some_and(|used| used <= self.limit.load(Ordering::Relaxed))
    }

    fn give_back(&self, count: u64) {
        self.used.fetch_sub(count, Ordering::Relaxed);
    }

    /// Limit and what is free, as `statfs` shows them; 0 for what has no limit.
    fn shown(&self) -> (u64, u64) {
        match self.limit.load(Ordering::Relaxed) {
            u64::MAX => (0, 0),
            limit => (limit, limit.saturating_sub(self.used.load(Ordering::Relaxed))),
        }
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// The inodes that have names, by number.
struct Table {
    inodes: Vec<Option<Ref<Inode>>>,
    free: Vec<u32>,
}

/// The file system.
pub struct Tmpfs {
    pub pages: Budget,
    pub inodes: Budget,
    /// What its root was mounted as.
    root: Options,
    table: RwMutex<Table>,
}

impl Tmpfs {
    fn inode(&self, number: u64) -> Result<Ref<Inode>> {
        self.table.read().inodes.get(number as usize).cloned().flatten().ok_or(Errno::Enoent)
    }

    /// A number, and room for the inode under it.
    fn new_number(&self) -> Result<u64> {
        let mut table = self.table.write();
        if let Some(number) = table.free.pop() {
            return Ok(u64::from(number));
        }
        let number = u32::try_from(table.inodes.len()).map_err(|_| Errno::Enospc)?;
        room::reserve(&mut table.inodes, 1).map_err(|_| Errno::Enomem)?;
        // So that giving it back never fails.
        let missing = table.inodes.len() + 1 - table.free.len();
        room::reserve(&mut table.free, missing).map_err(|_| Errno::Enomem)?;
        table.inodes.push(None);
        Ok(u64::from(number))
    }

    fn keep(&self, inode: &Ref<Inode>) {
        self.table.write().inodes[inode.number as usize] = Some(inode.clone());
    }

    /// It has no name any more. The reference is the caller's to drop, when it has no locks.
    fn let_go(&self, number: u64) -> Option<Ref<Inode>> {
        self.table.write().inodes.get_mut(number as usize).and_then(Option::take)
    }

    fn free_number(&self, number: u64) {
        let mut table = self.table.write();
        // After the end of the file system there is no table.
        if (number as usize) < table.inodes.len() && table.free.len() < table.free.capacity() {
            table.free.push(number as u32);
        }
    }
}

/// Of all its files.
impl Backing for Tmpfs {
    fn keeps(&self) -> bool {
        false
    }

    fn read(&self, _: u64, _: &[Piece<'_>]) -> core::result::Result<(), pagecache::Error> {
        Err(pagecache::Error::Io)
    }

    fn write(&self, _: u64, _: &[Piece<'_>], _: u64) -> core::result::Result<(), pagecache::Error> {
        Err(pagecache::Error::Io)
    }

    fn reserve(&self, _: u64) -> core::result::Result<(), pagecache::Error> {
        self.pages.take(1).map_err(|_| pagecache::Error::NoSpace)
    }

    fn could_reserve(&self, pages: u64) -> core::result::Result<(), pagecache::Error> {
        if self.pages.could_take(pages) { Ok(()) } else { Err(pagecache::Error::NoSpace) }
    }

    fn release(&self, pages: u64) {
        self.pages.give_back(pages);
    }
}

/// As a whole.
struct Whole(Ref<Tmpfs>);

impl FsOps for Whole {
    fn statfs(&self) -> StatFs {
        let (blocks, free) = self.0.pages.shown();
        let (files, free_files) = self.0.inodes.shown();
        StatFs { blocks, free, available: free, files, free_files }
    }

    fn remount(&self, options: &[u8]) -> Result<()> {
        let options = Options::parse(options)?;
        for (budget, limit) in [(&self.0.pages, options.pages), (&self.0.inodes, options.inodes)] {
            let Some(limit) = limit else { continue };
            let limit = if limit == 0 { u64::MAX } else { limit };
            if budget.used() > limit {
                return Err(Errno::Einval);
            }
            budget.limit.store(limit, Ordering::Relaxed);
        }
        Ok(())
    }

    fn show_options(&self, to: &mut dyn core::fmt::Write) -> core::fmt::Result {
        // As Linux does: what is as it would be anyway is not shown, no limit is 0.
        let usual = default_limit();
        let limit =
            |budget: &Budget| (budget.limit.load(Ordering::Relaxed) != usual).then_some(budget.shown().0);
        if let Some(pages) = limit(&self.0.pages) {
            write!(to, ",size={}k", pages * PAGE_SIZE / 1024)?;
        }
        if let Some(inodes) = limit(&self.0.inodes) {
            write!(to, ",nr_inodes={inodes}")?;
        }
        let root = self.0.root;
        if root.mode != Options::NONE.mode {
            write!(to, ",mode={:03o}", root.mode)?;
        }
        if root.uid != 0 {
            write!(to, ",uid={}", root.uid)?;
        }
        if root.gid != 0 {
            write!(to, ",gid={}", root.gid)?;
        }
        to.write_str(",inode64")
    }

    fn shutdown(&self) {
        let inodes = core::mem::take(&mut self.0.table.write().inodes);
        drop(inodes);
    }
}

/// What an inode is.
enum Content {
    Dir(RwMutex<Dir>),
    File(Pages),
    Link(Vec<u8>),
    /// A device, a FIFO, a socket.
    Node,
}

/// An inode's half.
struct Node {
    fs: Ref<Tmpfs>,
    content: Content,
    /// Of a directory: the number of the one that it is in.
    parent: AtomicU64,
    /// Of a directory: how many names it has.
    entries: AtomicU64,
    /// Made without a name, and may get one.
    unnamed: AtomicBool,
}

impl Node {
    fn dir(&self) -> Result<&RwMutex<Dir>> {
        match &self.content {
            Content::Dir(dir) => Ok(dir),
            _ => Err(Errno::Enotdir),
        }
    }

    /// A new inode, of which nobody knows yet.
    fn make(
        fs: &Ref<Tmpfs>,
        block: &Ref<SuperBlock>,
        parent: u64,
        new: &New<'_>,
        links: u32,
    ) -> Result<Ref<Inode>> {
        fs.inodes.take(1)?;
        let made = fs.new_number().and_then(|number| {
            Self::make_as(fs, block, number, parent, new, links).inspect_err(|_| fs.free_number(number))
        });
        made.inspect_err(|_| fs.inodes.give_back(1))
    }

    fn make_as(
        fs: &Ref<Tmpfs>,
        block: &Ref<SuperBlock>,
        number: u64,
        parent: u64,
        new: &New<'_>,
        links: u32,
    ) -> Result<Ref<Inode>> {
        let content = match new.kind {
            Kind::Directory => Content::Dir(RwMutex::new(Rank::FsData, Dir::new())),
            Kind::Regular => Content::File(pages::new(Ref::backing(fs.clone()), 0)?),
            Kind::Symlink => {
                let mut target = Vec::new();
                room::reserve(&mut target, new.target.len()).map_err(|_| Errno::Enomem)?;
                target.extend_from_slice(new.target);
                Content::Link(target)
            }
            _ => Content::Node,
        };
        let node = Self {
            fs: fs.clone(),
            content,
            parent: AtomicU64::new(parent),
            entries: AtomicU64::new(0),
            unnamed: AtomicBool::new(links == 0),
        };
        let birth = Birth { number, links, times: Times::all(Time::now()) };
        Inode::new(block, birth, new, Ref::ops(node)?)
    }

    /// A name is gone; with the last one the inode is left to those who have it.
    fn name_gone(&self, inode: &Inode, links: u32) {
        inode.drop_links(links);
        if inode.links() == 0 {
            drop(self.fs.let_go(inode.number));
        }
    }

    /// The half of another inode of the file system.
    fn of(inode: &Inode) -> Result<&Self> {
        inode.ops.as_any().downcast_ref().ok_or(Errno::Exdev)
    }

    fn is_empty(&self) -> bool {
        self.entries.load(Ordering::Relaxed) == 0
    }

    /// Adds a name; `target` is made once nothing can fail but that.
    fn add(&self, name: &Name, target: impl FnOnce() -> Result<Target>) -> Result<()> {
        let mut dir = self.dir()?.write();
        let room = dir.reserve(name)?;
        dir.insert(room, target()?);
        self.entries.store(dir.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn remove(&self, name: &Name) -> Result<()> {
        let mut dir = self.dir()?.write();
        dir.remove(name);
        self.entries.store(dir.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

const fn target(inode: &Inode) -> Target {
    Target { number: inode.number, kind: inode.kind }
}

impl InodeOps for Node {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn lookup(&self, _: &Inode, name: &Name) -> Result<Option<Ref<Inode>>> {
        let found = self.dir()?.read().get(name);
        found.map(|found| self.fs.inode(found.number)).transpose()
    }

    fn create(&self, dir: &Inode, name: &Name, new: &New<'_>) -> Result<Ref<Inode>> {
        let is_directory = new.kind == Kind::Directory;
        if is_directory && dir.links() >= LINKS_MAX {
            return Err(Errno::Emlink);
        }
        let inode = Self::make(&self.fs, &dir.fs, dir.number, new, if is_directory { 2 } else { 1 })?;
        self.add(name, || Ok(target(&inode)))?;
        self.fs.keep(&inode);
        if is_directory {
            dir.add_link(u32::MAX)?;
        }
        Ok(inode)
    }

    fn create_unnamed(&self, dir: &Inode, new: &New<'_>, for_good: bool) -> Result<Ref<Inode>> {
        let inode = Self::make(&self.fs, &dir.fs, dir.number, new, 0)?;
        Self::of(&inode)?.unnamed.store(!for_good, Ordering::Relaxed);
        Ok(inode)
    }

    fn link(&self, _: &Inode, name: &Name, inode: &Ref<Inode>) -> Result<()> {
        let other = Self::of(inode)?;
        self.add(name, || {
            if other.unnamed.swap(false, Ordering::Relaxed) {
                inode.set_links(1);
            } else {
                inode.add_link(LINKS_MAX)?;
            }
            Ok(target(inode))
        })?;
        self.fs.keep(inode);
        Ok(())
    }

    fn unlink(&self, _: &Inode, name: &Name, inode: &Ref<Inode>) -> Result<()> {
        self.remove(name)?;
        self.name_gone(inode, 1);
        Ok(())
    }

    fn rmdir(&self, dir: &Inode, name: &Name, inode: &Ref<Inode>) -> Result<()> {
        if !Self::of(inode)?.is_empty() {
            return Err(Errno::Enotempty);
        }
        self.remove(name)?;
        dir.drop_links(1);
        self.name_gone(inode, 2);
        Ok(())
    }

    fn rename(&self, rename: &Rename<'_>) -> Result<()> {
        let Rename { from, name, inode, to, new_name, replaced, exchange } = *rename;
        let (to_node, node) = (Self::of(to)?, Self::of(inode)?);
        let other = match replaced {
            Some(replaced) => Some((replaced, Self::of(replaced)?)),
            None => None,
        };
        let is_directory = inode.is_directory();
        let was_directory = replaced.is_some_and(|replaced| replaced.is_directory());
        let moves = from.number != to.number;
        if !exchange && was_directory && other.is_some_and(|(_, node)| !node.is_empty()) {
            return Err(Errno::Enotempty);
        }
        let gains =
            |gets: bool, loses: bool, dir: &Inode| moves && gets && !loses && dir.links() >= LINKS_MAX;
        if gains(is_directory, was_directory, to) || exchange && gains(was_directory, is_directory, from) {
            return Err(Errno::Emlink);
        }
        match other {
            Some(_) => to_node.dir()?.write().replace(new_name, target(inode)),
            None => to_node.add(new_name, || Ok(target(inode)))?,
        }
        match other {
            Some((replaced, _)) if exchange => self.dir()?.write().replace(name, target(replaced)),
            _ => self.remove(name)?,
        }
        if is_directory && moves {
            from.drop_links(1);
            to.add_link(u32::MAX)?;
            node.parent.store(to.number, Ordering::Relaxed);
        }
        let Some((replaced, replaced_node)) = other else { return Ok(()) };
        if was_directory && (moves || !exchange) {
            to.drop_links(1);
            if exchange {
                from.add_link(u32::MAX)?;
                replaced_node.parent.store(from.number, Ordering::Relaxed);
            }
        }
        if !exchange {
            self.name_gone(replaced, if was_directory { 2 } else { 1 });
        }
        Ok(())
    }

    fn link_target(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Link(target) => Some(target),
            _ => None,
        }
    }

    fn size(&self) -> u64 {
        match &self.content {
            Content::Dir(_) => (self.entries.load(Ordering::Relaxed) + 2) * ENTRY_BYTES,
            Content::File(pages) => pages.size(),
            Content::Link(target) => target.len() as u64,
            Content::Node => 0,
        }
    }

    fn blocks(&self) -> u64 {
        match &self.content {
            Content::File(pages) => pages.pages_there() * (PAGE_SIZE / 512),
            _ => 0,
        }
    }

    fn truncate(&self, _: &Inode, size: u64) -> Result<()> {
        match &self.content {
            Content::File(pages) => Ok(pages.truncate(size)?),
            _ => Err(Errno::Einval),
        }
    }

    fn pages(&self) -> Option<&Pages> {
        match &self.content {
            Content::File(pages) => Some(pages),
            _ => None,
        }
    }

    fn file(&self) -> &dyn FileOps {
        self
    }

    fn evict(&self, inode: &Inode) {
        // Now, and not with the inode's memory.
        if let Content::File(pages) = &self.content
            && pages.pages_there() != 0
        {
            let punched = pages.punch_hole(0..i64::MAX as u64);
            debug_assert!(punched.is_ok(), "there is nothing that could refuse");
        }
        self.fs.inodes.give_back(1);
        self.fs.free_number(inode.number);
    }
}

impl FileOps for Node {
    fn read(&self, _: &File, to: &mut dyn Sink, at: u64) -> Result<usize> {
        match &self.content {
            Content::File(pages) => pages::read(pages, to, at, &ReadAhead::new()),
            _ => Err(Errno::Einval),
        }
    }

    fn write(&self, _: &File, from: &mut dyn Source, at: u64) -> Result<usize> {
        match &self.content {
            Content::File(pages) => pages::write(pages, from, at),
            _ => Err(Errno::Einval),
        }
    }

    fn seek(&self, _: &File, offset: i64, whence: Whence, current: u64) -> Result<u64> {
        let Content::File(pages) = &self.content else {
            // A position in a directory is any number.
            return seek_in(i64::MAX as u64, offset, whence, current);
        };
        match whence {
            Whence::Data | Whence::Hole => {
                let at = u64::try_from(offset).map_err(|_| Errno::Enxio)?;
                pages.seek(at, whence == Whence::Data).ok_or(Errno::Enxio)
            }
            _ => seek_in(pages.size(), offset, whence, current),
        }
    }

    fn readdir(&self, file: &File, at: u64, to: &mut dyn Entries) -> Result<u64> {
        let dir = self.dir()?;
        for (position, name, number) in
            [(0, b".".as_slice(), file.inode.number), (1, b"..", self.parent.load(Ordering::Relaxed))]
        {
            if at <= position && !to.add(name, number, Kind::Directory, position + 1) {
                return Ok(position);
            }
        }
        let see = |name: &[u8], target: Target, next| to.add(name, target.number, target.kind, next);
        Ok(dir.read().list(at.max(dir::FIRST), see))
    }

    fn fallocate(&self, _: &File, flags: FallocateFlags, offset: u64, len: u64) -> Result<()> {
        let Content::File(pages) = &self.content else { return Err(Errno::Eopnotsupp) };
        if flags.contains(FallocateFlags::PUNCH_HOLE) {
            return Ok(pages.punch_hole(offset..offset + len)?);
        }
        let keeps = flags.contains(FallocateFlags::KEEP_SIZE);
        Ok(pages.allocate(offset..offset + len, !keeps)?)
    }
}

/// The kind.
pub struct Type;

/// What `mount` calls it.
pub static TYPE: Type = Type;

/// Pages and inodes of one whose options do not say.
static DEFAULT_LIMIT: AtomicU64 = AtomicU64::new(1 << 18);

fn default_limit() -> u64 {
    DEFAULT_LIMIT.load(Ordering::Relaxed)
}

/// Half of the pages that the machine has, as on Linux.
pub fn set_default_limit(pages: u64) {
    DEFAULT_LIMIT.store(pages, Ordering::Relaxed);
}

impl FsType for Type {
    fn name(&self) -> &'static str {
        "tmpfs"
    }

    fn flags(&self) -> FsFlags {
        FsFlags::NO_DEVICE
    }

    fn mount(
        &self,
        cache: &Ref<Dcache>,
        _: &[u8],
        options: &[u8],
        is_read_only: bool,
    ) -> Result<Ref<SuperBlock>> {
        let block = make(cache, &TYPE, Options::parse(options)?)?.0;
        block.set_read_only(is_read_only);
        Ok(block)
    }
}

/// A tmpfs with a root directory; also under another kind's name.
pub fn make(
    cache: &Ref<Dcache>,
    kind: &'static dyn FsType,
    options: Options,
) -> Result<(Ref<SuperBlock>, Ref<Tmpfs>)> {
    let limit = |limit: Option<u64>| match limit {
        None => default_limit(),
        Some(0) => u64::MAX,
        Some(limit) => limit,
    };
    let fs = Ref::new(Tmpfs {
        pages: Budget::new(limit(options.pages)),
        inodes: Budget::new(limit(options.inodes)),
        root: options,
        table: RwMutex::new(Rank::FsTable, Table { inodes: Vec::new(), free: Vec::new() }),
    })?;
    let whole = Ref::fs(Whole(fs.clone()))?;
    let block = SuperBlock::new(kind, cache, SuperBlock::anonymous_device(), MAGIC, PAGE_SIZE as u32, whole)?;
    // Number 0 is nobody's.
    fs.new_number()?;
    let new = New {
        kind: Kind::Directory,
        mode: options.mode,
        uid: options.uid,
        gid: options.gid,
        device: Device::NONE,
        target: b"",
    };
    let root = Node::make(&fs, &block, ROOT, &new, 2)?;
    debug_assert_eq!(root.number, ROOT);
    fs.keep(&root);
    block.set_root(root)?;
    Ok((block, fs))
}
