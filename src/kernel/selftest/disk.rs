//! Write-back and reclaim on the live machine, on a disk of the exercisers' ([`fs::exercise::disk`](crate::fs::exercise::disk)):
//! its pages are written by the write-back thread, given back when memory is short, and brought again.

use super::exercise::{nothing_lost, said, steps, with_fsx};
use super::{Outcome, Trouble, check};
use crate::boot::layout::PAGE_SIZE;
use crate::errno::Errno;
use crate::fs::exercise::disk::{self, Disk, stamp, version};
use crate::fs::exercise::fsx::MOST;
use crate::fs::file::File;
use crate::fs::io::{From, Into};
use crate::fs::pagecache::limits::{EXPIRE_NS, PERIOD_NS};
use crate::fs::pagecache::live::CACHE;
use crate::kernel::files;
use crate::mm::frames;
use crate::platform::{Machine, Platform};
use crate::task::{self, JoinHandle, Policy};
use alloc::vec;
use core::ptr::from_ref;
use core::sync::atomic::{AtomicBool, Ordering};
use log::{error, info};

const PAGE: usize = PAGE_SIZE as usize;
const THREADS: usize = 4;

/// A quick disk.
fn pause() {
    task::sleep_until(Machine::now_ns() + 100_000);
}

/// Takes away the pages of a file that can be had, again and again.
struct Squeeze<'a> {
    file: &'a File,
    over: AtomicBool,
}

fn squeeze(raw: usize) -> usize {
    // SAFETY: whoever spawns this keeps it until it has joined it.
    let it = unsafe { &*(raw as *const Squeeze<'_>) };
    let mut taken = 0;
    while !it.over.load(Ordering::Acquire) {
        taken += CACHE.reclaim(4) + disk::pages_of(it.file).invalidate(0..MOST as u64 / 2);
        task::sleep_until(Machine::now_ns() + 1_000_000);
    }
    taken as usize
}

/// One file at random, as `files-fsx`, while the write-back thread writes what is 2 ms old and somebody takes pages away.
pub fn write_back() -> Outcome {
    CACHE.set_times(2_000_000, 2_000_000);
    let outcome = nothing_lost(written_back);
    CACHE.set_times(EXPIRE_NS, PERIOD_NS);
    outcome
}

fn written_back() -> Outcome {
    let caller = files::caller().ok_or("there are no files")?;
    let disk = Disk::exact(MOST / PAGE, pause)?;
    let owner = crate::fs::cred::Credentials::root()?;
    let file = disk::open(&disk, &owner)?;
    let outcome = with_fsx(&caller, &file, |fsx| {
        let squeezing = Squeeze { file: &file, over: AtomicBool::new(false) };
        let thread = task::spawn("squeeze", Policy::Normal(0), squeeze, from_ref(&squeezing).addr());
        let outcome = said(fsx.run(steps()));
        squeezing.over.store(true, Ordering::Release);
        let taken = thread.map_or(0, JoinHandle::join);
        outcome?;
        info!(
            target: "selftest",
            "{} steps: {} pages written, {} brought, {taken} taken away",
            steps(),
            disk.writes.load(Ordering::Relaxed),
            disk.reads.load(Ordering::Relaxed)
        );
        check(taken > 0 && disk.reads.load(Ordering::Relaxed) > 0, "no page was taken away")?;
        check(disk.writes.load(Ordering::Relaxed) > 0, "nothing was written back")?;
        // All of it once more, from the disk.
        file.ops().fsync(&file, false)?;
        check(disk::pages_of(&file).counts().dirty == 0, "something is dirty behind an fsync")?;
        said(fsx.run(0))
    });
    outcome?;
    disk.set_broken(true);
    file.write_at(&mut From(b"lost"), 0)?;
    let told = file.ops().fsync(&file, false);
    check(told == Err(Errno::Eio), "a disk refuses a page, and nobody is told")?;
    check(file.ops().fsync(&file, false) == Ok(()), "an error is told twice")
}

/// A file that is larger than the memory: who writes is held back, and what was written is given back.
pub fn larger_than_memory() -> Outcome {
    nothing_lost(written_and_read)
}

/// A thread's part of the file.
struct Share<'a> {
    file: &'a File,
    first: u64,
    pages: u64,
    /// Version that is there, and the one that is to be there; every third page gets it, or all.
    seen: u64,
    next: Option<(u64, u64)>,
}

/// Which version a page has in the end.
const fn last_version(page: u64) -> u64 {
    if page % 3 == 0 { 2 } else { 1 }
}

/// Looks at each page of its part, and writes some; returns pages that were wrong.
fn work(raw: usize) -> usize {
    // SAFETY: as for `squeeze`.
    let it = unsafe { &*(raw as *const Share<'_>) };
    let (mut bytes, mut wrong) = (vec![0; PAGE], 0);
    for page in (it.first..it.pages).step_by(THREADS) {
        let at = page * PAGE_SIZE;
        if it.seen != 0 {
            let read = it.file.read_at(&mut Into::new(&mut bytes), at);
            wrong += usize::from(read != Ok(PAGE) || version(page, &bytes) != Some(it.seen));
        }
        if let Some((next, every)) = it.next
            && page % every == 0
        {
            stamp(page, next, 0, &mut bytes);
            wrong += usize::from(it.file.write_at(&mut From(&bytes), at) != Ok(PAGE));
        }
    }
    wrong
}

/// All threads go through the file once.
fn pass(file: &File, pages: u64, seen: u64, next: Option<(u64, u64)>) -> Outcome {
    let shares: [Share<'_>; THREADS] =
        core::array::from_fn(|n| Share { file, first: n as u64, pages, seen, next });
    let threads: [_; THREADS] =
        core::array::from_fn(|n| task::spawn("pages", Policy::Normal(0), work, from_ref(&shares[n]).addr()));
    let wrong: usize = threads.into_iter().map(|thread| thread.map_or(1, JoinHandle::join)).sum();
    if wrong != 0 {
        error!(target: "selftest", "{wrong} pages are wrong, where version {seen} should be");
    }
    check(wrong == 0, "a page came back other than it went")
}

fn written_and_read() -> Outcome {
    let managed = frames::managed_frames();
    let pages = managed + managed / 4;
    if pages > 1 << 17 {
        return Err(Trouble::Skipped("takes minutes with so much memory"));
    }
    let disk = Disk::vast(pages as usize, pause)?;
    let owner = crate::fs::cred::Credentials::root()?;
    let file = disk::open(&disk, &owner)?;
    let before = CACHE.total.reclaimed.load(Ordering::Relaxed);
    pass(&file, pages, 0, Some((1, 1)))?;
    pass(&file, pages, 1, Some((2, 3)))?;
    file.ops().fsync(&file, false)?;
    let wrong = (0..pages).filter(|&page| disk.version(page) != Some(last_version(page))).count();
    check(wrong == 0, "a page is not on the disk as it was written last")?;
    let mut bytes = vec![0; PAGE];
    for page in 0..pages {
        let read = file.read_at(&mut Into::new(&mut bytes), page * PAGE_SIZE)?;
        check(read == PAGE && version(page, &bytes) == Some(last_version(page)), "a page is not as it was")?;
    }
    let reclaimed = CACHE.total.reclaimed.load(Ordering::Relaxed) - before;
    let (most, limit) = (disk.most_unwritten.load(Ordering::Relaxed), CACHE.limits().limit);
    info!(
        target: "selftest",
        "{pages} pages in {managed} of memory: {} written, {} brought, {reclaimed} given back, at most {most} unwritten of {limit}",
        disk.writes.load(Ordering::Relaxed),
        disk.reads.load(Ordering::Relaxed)
    );
    check(reclaimed >= pages - managed, "more pages than there is memory, and none was given back")?;
    // Who writes looks now and then.
    check(most > limit / 4 && most <= limit + limit / 4, "what is dirty is not kept to its limit")
}
