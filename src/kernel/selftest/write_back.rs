//! Write-back on the live machine: a file over a disk that is memory, and that counts what it is asked.
//!
//! Nobody here calls `sync` where it is the thread that has to write. What it does is waited for, and not timed.

use super::mm::balanced;
use super::{Outcome, Trouble, check};
use crate::boot::layout::PAGE_SIZE;
use crate::fs::pagecache::limits::{BACKGROUND_PERCENT, EXPIRE_NS, LIMIT_PERCENT, PERIOD_NS};
use crate::fs::pagecache::live::CACHE;
use crate::fs::pagecache::{Backing, Error, Piece, Position, ReadAhead};
use crate::fs::pages::{self, Pages};
use crate::fs::refs::Ref;
use crate::platform::{Machine, Platform};
use crate::sync::{Mutex, Rank};
use crate::task;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const PAGE: usize = PAGE_SIZE as usize;
/// Pages of the disk.
const PAGES: usize = 600;
/// How long something is waited for, at most.
const PATIENCE_NS: u64 = 60_000_000_000;

/// The disk.
struct Disk {
    bytes: Mutex<Vec<Vec<u8>>>,
    reads: AtomicU64,
    writes: AtomicU64,
    flushes: AtomicU64,
    fails: AtomicBool,
}

impl Disk {
    fn new() -> Result<Ref<Self>, Trouble> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(PAGES).map_err(|_| "no memory")?;
        for _ in 0..PAGES {
            let mut page = Vec::new();
            page.try_reserve_exact(PAGE).map_err(|_| "no memory")?;
            page.resize(PAGE, 0);
            bytes.push(page);
        }
        Ok(Ref::new(Self {
            bytes: Mutex::new(Rank::SleepInner, bytes),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            fails: AtomicBool::new(false),
        })?)
    }

    fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }
}

/// The disk, as a mapping has it: the lock of its bytes comes before all that the cache has, so it is let go of by halves.
impl Backing for Disk {
    fn size_limit(&self) -> u64 {
        (PAGES * PAGE) as u64
    }

    fn read(&self, first: u64, pages: &[Piece<'_>]) -> Result<(), Error> {
        self.reads.fetch_add(pages.len() as u64, Ordering::SeqCst);
        let bytes = self.bytes.lock();
        for (page, to) in (first as usize..).zip(pages) {
            to.copy_in(bytes.get(page).ok_or(Error::Io)?);
        }
        Ok(())
    }

    fn write(&self, first: u64, pages: &[Piece<'_>], _: u64) -> Result<(), Error> {
        self.writes.fetch_add(pages.len() as u64, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) {
            return Err(Error::Io);
        }
        let mut bytes = self.bytes.lock();
        for (page, from) in (first as usize..).zip(pages) {
            from.copy_out(bytes.get_mut(page).ok_or(Error::Io)?);
        }
        Ok(())
    }

    fn flush(&self, _: bool) -> Result<(), Error> {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn reserve(&self, _: u64) -> Result<(), Error> {
        Ok(())
    }
}

fn failed(_: Error) -> Trouble {
    Trouble::Failed("the page cache refuses what it should not")
}

/// The byte of a page, in a round.
const fn byte(page: usize, round: u8) -> u8 {
    (page as u8).wrapping_mul(31) ^ round
}

fn write(file: &Pages, first: usize, count: usize, round: u8) -> Outcome {
    for page in first..first + count {
        let bytes = [byte(page, round); PAGE];
        let at = Position::At((page * PAGE) as u64);
        let written = file.write_at(at, PAGE, &mut &bytes[..]).map_err(failed)?;
        check(written.len == PAGE, "a write takes less than a page")?;
    }
    Ok(())
}

fn holds(file: &Pages, first: usize, count: usize, round: u8) -> Result<bool, Trouble> {
    let ahead = ReadAhead::new();
    let mut bytes = [0; PAGE];
    for page in first..first + count {
        let got = file.read_at((page * PAGE) as u64, PAGE, &mut &mut bytes[..], &ahead).map_err(failed)?;
        if got != PAGE || bytes.iter().any(|&got| got != byte(page, round)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Waits until it is so.
fn comes(what: impl Fn() -> bool) -> bool {
    let end = Machine::now_ns() + PATIENCE_NS;
    while !what() {
        if Machine::now_ns() > end {
            return false;
        }
        task::sleep_until(Machine::now_ns() + 1_000_000);
    }
    true
}

pub fn run() -> Outcome {
    let outcome = balanced(|| {
        let disk = Disk::new()?;
        let file = pages::new(Ref::backing(disk.clone()), 0)?;
        with(&disk, &file)
    });
    CACHE.set_percent(BACKGROUND_PERCENT, LIMIT_PERCENT);
    CACHE.set_times(EXPIRE_NS, PERIOD_NS);
    outcome
}

fn with(disk: &Disk, file: &Pages) -> Outcome {
    // Young, and few: they stay.
    CACHE.set_percent(BACKGROUND_PERCENT, LIMIT_PERCENT);
    CACHE.set_times(u64::MAX, 5_000_000);
    write(file, 0, 10, 1)?;
    task::sleep_until(Machine::now_ns() + 50_000_000);
    check(
        file.counts().dirty == 10 && disk.writes() == 0,
        "pages are written that are neither old nor many",
    )?;
    // Old: they go, without anybody's asking.
    CACHE.set_times(0, 5_000_000);
    check(comes(|| file.counts().dirty + file.counts().write_back == 0), "old pages are never written")?;
    check(disk.writes() == 10, "another number of pages is written than was dirty")?;
    check(
        holds(file, 0, 10, 1)? && disk.reads.load(Ordering::SeqCst) == 0,
        "what was written is read again",
    )?;
    // Many: they go whatever their age, and who makes them waits rather than to have the memory full of them.
    CACHE.set_times(u64::MAX, PERIOD_NS);
    CACHE.set_percent(0, 0);
    let limits = CACHE.limits();
    let mut most = 0;
    for page in 0..PAGES {
        write(file, page, 1, 2)?;
        most = most.max(CACHE.total.unwritten());
    }
    // Each writer asks every 16 pages.
    check(most <= limits.limit + 32, "more is dirty than may be")?;
    check(comes(|| !CACHE.is_pressed()), "there is always too much that is dirty")?;
    check(disk.writes() >= 10 + PAGES as u64 - limits.limit, "too few pages were written")?;
    CACHE.set_percent(BACKGROUND_PERCENT, LIMIT_PERCENT);
    let seen = file.seen();
    file.fsync(false, &seen).map_err(failed)?;
    check(file.counts().dirty == 0 && disk.flushes.load(Ordering::SeqCst) == 1, "fsync leaves something")?;
    // Clean pages are memory that can be had, and come again.
    let before = file.counts().pages;
    check(before == PAGES as u64 && CACHE.reclaimable() >= before, "clean pages are not there")?;
    super::settle();
    check(file.counts().pages < before, "clean pages are not given back")?;
    check(holds(file, 0, PAGES, 2)?, "a page came back with other bytes")?;
    check(disk.reads.load(Ordering::SeqCst) > 0, "nothing was read again")?;
    // A disk that fails is told of, once.
    disk.fails.store(true, Ordering::SeqCst);
    write(file, 3, 1, 3)?;
    check(file.fsync(false, &seen) == Err(Error::Io), "a disk that fails is not told of")?;
    disk.fails.store(false, Ordering::SeqCst);
    check(file.fsync(false, &seen) == Ok(()), "a disk that failed once fails for ever")
}
