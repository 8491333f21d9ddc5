//! A file on a disk: what write-back and reclaim need to have something to do, before there is a driver for any disk.
//!
//! [`Disk`] is a [`Backing`] as a file system's would be: slow, asked for runs of pages, and sometimes broken. What it keeps
//! is kept in memory, in one of two ways. [`Disk::exact`] has every byte. [`Disk::vast`] has eight bytes for a page, and so may
//! be larger than the machine's memory; it can keep only pages that [`stamp`] has made, and knows if it was given another.
//!
//! [`open`] makes an open file of it, with an inode of its own: it is read, written, mapped and cut by the calls that all
//! files are.

use super::super::Result;
use super::super::cred::Credentials;
use super::super::file::{File, FileOps, Opened};
use super::super::flags::{FallocateFlags, OpenFlags};
use super::super::inode::{Inode, InodeOps};
use super::super::io::{Sink, Source};
use super::super::mode::Kind;
use super::super::nameless;
use super::super::pagecache::{Backing, Error, Piece, ReadAhead, Seen};
use super::super::pages::{self, Pages};
use super::super::refs::Ref;
use crate::boot::layout::PAGE_SIZE;
use crate::errno::Errno;
use crate::mm::vma::room;
use crate::sync::{Mutex, Rank};
use alloc::vec::Vec;
use core::any::Any;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const PAGE: usize = PAGE_SIZE as usize;
/// Bytes of a page that are looked at and made at a time.
const PART: usize = 256;

/// Fills bytes `at` and on of a page with what its number and its version say; the version is in its first eight bytes.
/// Version 0 is a page that was never written: zeroes.
pub fn stamp(page: u64, version: u64, at: usize, to: &mut [u8]) {
    debug_assert!(at % 8 == 0 && to.len() % 8 == 0);
    let word = (page << 32 ^ version).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for (n, bytes) in to.chunks_exact_mut(8).enumerate() {
        let place = at / 8 + n;
        let value = match (version, place) {
            (0, _) => 0,
            (_, 0) => version,
            _ => {
                let mixed = word.wrapping_add(place as u64).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                mixed ^ mixed >> 29
            }
        };
        bytes.copy_from_slice(&value.to_le_bytes());
    }
}

/// The version of a page that was stamped; `None` if it is another page, or parts of two.
pub fn version(page: u64, bytes: &[u8]) -> Option<u64> {
    let version = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    let mut expected = [0; PART];
    let good = bytes.chunks_exact(PART).enumerate().all(|(n, part)| {
        stamp(page, version, n * PART, &mut expected);
        part == expected
    });
    good.then_some(version)
}

/// Instead of a version: a page that came while it was being written to. It will come again.
const TORN: u64 = u64::MAX;

/// What is on it.
enum Kept {
    Exact(Vec<u8>),
    Versions(Vec<u64>),
}

/// A disk with one file on it.
pub struct Disk {
    kept: Mutex<Kept>,
    /// How long it takes; with no lock held but those of who asks.
    pause: fn(),
    /// It refuses what it is given.
    broken: AtomicBool,
    pub reads: AtomicU64,
    pub writes: AtomicU64,
    /// Most pages that were dirty or on their way when something came.
    pub most_unwritten: AtomicU64,
}

impl Disk {
    fn new(kept: Kept, pause: fn()) -> Result<Ref<Self>> {
        Ref::new(Self {
            kept: Mutex::new(Rank::Disk, kept),
            pause,
            broken: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            most_unwritten: AtomicU64::new(0),
        })
    }

    /// With room for that many pages, whatever is in them. ENOMEM.
    pub fn exact(pages: usize, pause: fn()) -> Result<Ref<Self>> {
        let mut bytes = room::with_room(pages * PAGE).map_err(|_| Error::NoMemory)?;
        bytes.resize(pages * PAGE, 0);
        Self::new(Kept::Exact(bytes), pause)
    }

    /// With room for that many stamped pages. ENOMEM.
    pub fn vast(pages: usize, pause: fn()) -> Result<Ref<Self>> {
        let mut versions = room::with_room(pages).map_err(|_| Error::NoMemory)?;
        versions.resize(pages, 0);
        Self::new(Kept::Versions(versions), pause)
    }

    /// From now on it refuses what it is given, or no more.
    pub fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::Relaxed);
    }

    /// Which version of a page it has; `None` if that is none, or it is not one that has versions.
    pub fn version(&self, page: u64) -> Option<u64> {
        match &*self.kept.lock() {
            Kept::Exact(_) => None,
            Kept::Versions(versions) => {
                versions.get(page as usize).copied().filter(|&version| version != TORN)
            }
        }
    }

    /// The pages of a call, one after the other, with the first one's place.
    fn each(first: u64, pages: &[Piece<'_>], mut work: impl FnMut(u64, Piece<'_>)) {
        for (n, piece) in pages.iter().enumerate() {
            work(first + n as u64, *piece);
        }
    }
}

impl Backing for Disk {
    fn size_limit(&self) -> u64 {
        match &*self.kept.lock() {
            Kept::Exact(bytes) => bytes.len() as u64,
            Kept::Versions(versions) => versions.len() as u64 * PAGE_SIZE,
        }
    }

    fn read(&self, first: u64, pages: &[Piece<'_>]) -> core::result::Result<(), Error> {
        (self.pause)();
        self.reads.fetch_add(pages.len() as u64, Ordering::Relaxed);
        let kept = self.kept.lock();
        let mut good = true;
        Self::each(first, pages, |page, piece| match &*kept {
            Kept::Exact(bytes) => match bytes.get(page as usize * PAGE..).filter(|rest| !rest.is_empty()) {
                Some(rest) => piece.copy_in(&rest[..PAGE]),
                None => piece.clear(),
            },
            Kept::Versions(versions) => {
                let version = versions.get(page as usize).copied().unwrap_or(0);
                good &= version != TORN;
                let mut part = [0; PART];
                for at in (0..PAGE).step_by(PART) {
                    stamp(page, version, at, &mut part);
                    piece.part(at, PART).copy_in(&part);
                }
            }
        });
        // Nobody forgets a page that has changed since it was written.
        if good { Ok(()) } else { Err(Error::Io) }
    }

    fn write(&self, first: u64, pages: &[Piece<'_>], _size: u64) -> core::result::Result<(), Error> {
        (self.pause)();
        self.writes.fetch_add(pages.len() as u64, Ordering::Relaxed);
        self.most_unwritten.fetch_max(pages::cache().total.unwritten(), Ordering::Relaxed);
        if self.broken.load(Ordering::Relaxed) {
            return Err(Error::Io);
        }
        let mut kept = self.kept.lock();
        Self::each(first, pages, |page, piece| match &mut *kept {
            Kept::Exact(bytes) => {
                let at = page as usize * PAGE;
                piece.copy_out(&mut bytes[at..at + PAGE]);
            }
            Kept::Versions(versions) => {
                let (mut first, mut same, mut part, mut expected) = ([0; 8], true, [0; PART], [0; PART]);
                piece.copy_out(&mut first);
                let version = u64::from_le_bytes(first);
                for at in (0..PAGE).step_by(PART) {
                    piece.part(at, PART).copy_out(&mut part);
                    stamp(page, version, at, &mut expected);
                    same &= part == expected;
                }
                versions[page as usize] = if same { version } else { TORN };
            }
        });
        Ok(())
    }

    fn reserve(&self, _page: u64) -> core::result::Result<(), Error> {
        Ok(())
    }

    fn resize(&self, old: u64, new: u64) -> core::result::Result<(), Error> {
        self.punch(new.div_ceil(PAGE_SIZE)..old.div_ceil(PAGE_SIZE))?;
        // The last page has nothing behind the end, whatever was there.
        if let Kept::Exact(bytes) = &mut *self.kept.lock() {
            let (from, to) = (new as usize, new.next_multiple_of(PAGE_SIZE) as usize);
            bytes[from.min(to)..to].fill(0);
        }
        Ok(())
    }

    fn punch(&self, pages: Range<u64>) -> core::result::Result<(), Error> {
        let pages = pages.start as usize..pages.end as usize;
        match &mut *self.kept.lock() {
            _ if pages.is_empty() => {}
            Kept::Exact(bytes) => {
                let end = (pages.end * PAGE).min(bytes.len());
                bytes[(pages.start * PAGE).min(end)..end].fill(0);
            }
            Kept::Versions(versions) => {
                let end = pages.end.min(versions.len());
                versions[pages.start.min(end)..end].fill(0);
            }
        }
        Ok(())
    }
}

/// The inode of one, and its open file.
struct Node {
    pages: Pages,
    ahead: ReadAhead,
    seen: Seen,
}

impl InodeOps for Node {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn size(&self) -> u64 {
        self.pages.size()
    }

    fn truncate(&self, _: &Inode, size: u64) -> Result<()> {
        Ok(self.pages.truncate(size)?)
    }

    fn pages(&self) -> Option<&Pages> {
        Some(&self.pages)
    }

    fn file(&self) -> &dyn FileOps {
        self
    }
}

impl FileOps for Node {
    fn read(&self, _: &File, to: &mut dyn Sink, at: u64) -> Result<usize> {
        pages::read(&self.pages, to, at, &self.ahead)
    }

    fn write(&self, _: &File, from: &mut dyn Source, at: u64) -> Result<usize> {
        pages::write(&self.pages, from, at)
    }

    fn fsync(&self, _: &File, data: bool) -> Result<()> {
        Ok(self.pages.fsync(data, &self.seen)?)
    }

    fn fallocate(&self, _: &File, flags: FallocateFlags, offset: u64, len: u64) -> Result<()> {
        if flags.contains(FallocateFlags::PUNCH_HOLE) {
            return Ok(self.pages.punch_hole(offset..offset + len)?);
        }
        Err(Errno::Eopnotsupp)
    }
}

/// The disk's file, empty, open for reading and writing. ENOMEM.
pub fn open(disk: &Ref<Disk>, owner: &Ref<Credentials>) -> Result<Ref<File>> {
    let pages = pages::new(Ref::backing(disk.clone()), 0)?;
    let seen = pages.seen();
    let ops = Ref::ops(Node { pages, ahead: ReadAhead::new(), seen })?;
    let (inode, path) = nameless::inode("disk", Kind::Regular, ops, owner)?;
    File::new(path, inode, OpenFlags::RDWR | OpenFlags::LARGEFILE, owner.clone(), Opened::Node, None)
}

/// The pages of such a file.
pub fn pages_of(file: &File) -> &Pages {
    file.inode.ops.pages().expect("it has pages")
}
