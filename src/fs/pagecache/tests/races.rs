//! Threads that write, read, map, cut off, write back and take away, all at once.
//!
//! Each writer owns some words of every page and knows what they are, or that they are past the end or were cut off: whatever
//! is found there is what its owner wrote last, or zero if the file was shorter in between. So bytes of another page, of an
//! earlier life of a frame, or from past an end are seen at once.

use super::disk::{Backed, Disk, PAGE, Ram, TestFile, cache, file};
use super::program::{Program, WORDS};
use crate::boot::layout::PAGE_SIZE;
use crate::fs::pagecache::{Cache, Position, ReadAhead};
use crate::mm::space::tests::machine::Host;
use crate::testing::Random;
use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::Arc;
use std::vec;

const PAGES: u64 = 20;
const BASE: u64 = 0x1000_0000;
const THREADS: u64 = 3;
const ROUNDS: u64 = 2500;

/// A word that says where it belongs, and how old it is.
fn word(page: u64, owner: u64, age: u64) -> u64 {
    0xC0DE << 48 | page << 40 | owner << 32 | age
}

struct Race {
    cache: &'static Cache<Host>,
    file: Arc<TestFile>,
    program: Arc<Program>,
    /// Whether somebody makes the file shorter.
    cut: bool,
    rounds: u64,
    busy: AtomicUsize,
}

struct Worker<'a>(&'a AtomicUsize);

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Race {
    /// Each owner has words `owner`, `owner + THREADS`, …: the first of them is what is looked at.
    fn write(&self, owner: u64) {
        let _worker = Worker(&self.busy);
        let (mut random, ahead) = (Random::new(owner), ReadAhead::new());
        let mut last = [0; PAGES as usize];
        for age in 1..=self.rounds {
            let page = random.below(PAGES);
            let at = page * PAGE_SIZE + owner * 8;
            let new = word(page, owner, age);
            let written = match random.below(3) {
                0 => self.program.store(BASE, at, new).is_ok(),
                _ => self.file.write_at(Position::At(at), 8, &mut &new.to_le_bytes()[..]).is_ok(),
            };
            let old = last[page as usize];
            if written {
                last[page as usize] = new;
            }
            let mut found = [0; 8];
            // With little memory, and all of it in use by others, a call may be refused.
            let Ok(took) = self.file.read_at(at, 8, &mut &mut found[..], &ahead) else { continue };
            let found = u64::from_le_bytes(found);
            let good = took == 0 || found == last[page as usize] || (self.cut && found == 0);
            // A store whose page was made a hole meanwhile went where nobody looks any more.
            assert!(
                good || (self.cut && found == old),
                "page {page}: {found:#x}, not {:#x}",
                last[page as usize]
            );
            if took != 0 {
                last[page as usize] = found;
            }
        }
    }

    fn look(&self, seed: u64) {
        let mut random = Random::new(seed);
        let ahead = ReadAhead::new();
        let mut page_bytes = vec![0; PAGE];
        while self.busy.load(SeqCst) != 0 {
            let page = random.below(PAGES);
            let read = self.file.read_at(page * PAGE_SIZE, PAGE, &mut &mut page_bytes[..], &ahead);
            let Ok(took) = read else { continue };
            for (index, bytes) in page_bytes[..took / 8 * 8].chunks(8).enumerate() {
                self.check(page, index as u64, u64::from_le_bytes(bytes.try_into().unwrap()));
            }
            let index = random.below(WORDS);
            if let Ok(found) = self.program.load(BASE, page * PAGE_SIZE + index * 8) {
                self.check(page, index, found);
            }
        }
    }

    fn check(&self, page: u64, index: u64, found: u64) {
        let owner = found >> 32 & 0xFF;
        let good = found == 0 || (index < THREADS && found >> 40 == 0xC0DE << 8 | page && owner == index);
        assert!(good, "page {page}, word {index}: {found:#x}");
    }

    fn cut(&self) {
        let mut random = Random::new(7);
        while self.busy.load(SeqCst) != 0 {
            let at = random.below(PAGES * PAGE_SIZE) & !7;
            match random.below(3) {
                0 => self.file.truncate(at).unwrap(),
                1 => self.file.truncate(PAGES * PAGE_SIZE).unwrap(),
                _ => self.file.punch_hole(at..at + random.below(5 * PAGE_SIZE) / 8 * 8).unwrap(),
            }
            std::thread::yield_now();
        }
    }

    fn upkeep(&self) {
        let (mut random, seen) = (Random::new(8), self.file.seen());
        while self.busy.load(SeqCst) != 0 {
            match random.below(6) {
                0 => self.file.fsync(false, &seen).unwrap(),
                1 => self.file.write_back(0..u64::MAX),
                2 => _ = self.cache.reclaim(10),
                3 => _ = self.file.invalidate(0..u64::MAX),
                4 => self.cache.sync(),
                _ => {
                    self.program.0.unmap(BASE, PAGES * PAGE_SIZE).unwrap();
                    self.program.map(BASE, PAGES, true, &self.file, 0);
                }
            }
            std::thread::yield_now();
        }
    }

    fn run(backing: Backed, frames: u32, rounds: u64, cut: bool) -> (&'static Cache<Host>, Arc<TestFile>) {
        let cache = cache(frames);
        let file = Arc::new(file(cache, backing, 0));
        file.truncate(PAGES * PAGE_SIZE).unwrap();
        let program = Program::new(cache.env);
        program.map(BASE, PAGES, true, &file, 0);
        let busy = AtomicUsize::new(THREADS as usize);
        let race = Self { cache, file: file.clone(), program, cut, rounds, busy };
        std::thread::scope(|scope| {
            let race = &race;
            (0..THREADS).for_each(|owner| _ = scope.spawn(move || race.write(owner)));
            scope.spawn(|| race.look(99));
            scope.spawn(|| race.upkeep());
            if cut {
                scope.spawn(|| race.cut());
            }
        });
        drop(race);
        (cache, file)
    }
}

fn assert_all_back(cache: &'static Cache<Host>, file: Arc<TestFile>) {
    drop(file);
    assert_eq!(cache.env.free_frames() as u64, cache.env.frames_in_all() - 1);
    for total in [&cache.total.pages, &cache.total.kept, &cache.total.dirty, &cache.total.write_back] {
        assert_eq!(total.load(SeqCst), 0);
    }
}

#[test]
fn nothing_is_lost() {
    let disk = Arc::new(Disk::with(1, false));
    let (cache, file) = Race::run(disk.clone(), 300, ROUNDS, false);
    file.fsync(false, &file.seen()).unwrap();
    let mut bytes = vec![0; (PAGES * PAGE_SIZE) as usize];
    let len = bytes.len();
    assert_eq!(file.read_at(0, len, &mut &mut bytes[..], &ReadAhead::new()), Ok(len));
    assert!(disk.content(len as u64) == bytes, "the disk has something else");
    assert_all_back(cache, file);
}

#[test]
fn what_is_cut_off_does_not_come_back() {
    for _ in 0..3 {
        let (cache, file) = Race::run(Arc::new(Disk::with(1, true)), 300, ROUNDS, true);
        assert_all_back(cache, file);
        let (cache, file) = Race::run(Ram::new(1000), 300, ROUNDS, true);
        assert_all_back(cache, file);
    }
}

/// Appends of several threads lie one behind the other, whole.
#[test]
fn appends_do_not_overlap() {
    let (cache, disk) = (cache(600), Disk::new());
    let file = Arc::new(file(cache, disk, 0));
    let wrong = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 1..=3u8 {
            let (file, wrong) = (&file, &wrong);
            scope.spawn(move || {
                for _ in 0..300 {
                    let written = file.write_at(Position::End, 100, &mut &[thread; 100][..]).unwrap();
                    let mut found = [0; 100];
                    file.read_at(written.start, 100, &mut &mut found[..], &ReadAhead::new()).unwrap();
                    wrong.fetch_add(u64::from(found != [thread; 100]), SeqCst);
                }
            });
        }
    });
    assert_eq!((file.size(), wrong.into_inner()), (90_000, 0));
    assert_all_back(cache, file);
}

/// Many want the same page at once: it is brought once.
#[test]
fn one_of_many_brings_the_page() {
    for _ in 0..50 {
        let (cache, disk) = (cache(300), Arc::new(Disk::with(5, false)));
        let file = Arc::new(file(cache, disk.clone(), 4 * PAGE_SIZE));
        let start = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    let mut byte = [1];
                    assert_eq!(file.read_at(5, 1, &mut &mut byte[..], &ReadAhead::new()), Ok(1));
                });
            }
        });
        assert_eq!(disk.take_calls().len(), 1);
        assert_all_back(cache, file);
    }
}
