//! Many threads in one address space.

use super::super::fault::Outcome;
use super::objects::{File, Thing, assert_all_back};
use super::program::{BASE, RW, Space, anonymous, machine, new_space, of_file, page};
use crate::boot::layout::PAGE_SIZE;
use crate::mm::vma::area::Prot;
use crate::mm::vma::space::MapFlags;
use crate::testing::Random;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One thread waits for a disk in its fault; meanwhile others fault, in another mapping and in the same.
#[test]
fn faults_do_not_wait_for_each_other() {
    let host = machine();
    let before = host.free_frames();
    let slow = File::new(host, 1, 40, true);
    let space = new_space(host);
    space.map(of_file(BASE, 40, Prot::READ, MapFlags::PRIVATE, &Thing::File(slow.clone()), 0)).unwrap();
    space.map(anonymous(page(100), 4, RW, MapFlags::empty())).unwrap();
    let [seen, go] = slow.gate.as_ref().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| space.read(page(20)));
        seen.wait();
        // It is in the middle of its fault now, and stays there until the last line.
        assert_eq!(space.write(page(101), 5), Ok(()));
        assert_eq!(space.read(page(101)), Ok(5));
        assert_eq!(space.read(page(60)), Err(Outcome::Segv { mapped: false }));
        assert_eq!(space.write(page(1), 5), Err(Outcome::Segv { mapped: true }));
        assert!(!waiting.is_finished());
        go.wait();
        assert!(waiting.join().unwrap().is_ok());
    });
    drop((space, slow));
    assert_all_back(host, before);
}

const PAGES: u64 = 24;
const WRITERS: usize = 4;
/// What each writer and the forking thread do at least.
const ROUNDS: u64 = 1500;
const FORKS: u64 = 20;

/// How many have not done that yet.
struct Busy(AtomicUsize);

impl Busy {
    fn goes_on(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }
}

/// One of them; a panic ends it too.
struct Worker<'a>(&'a Busy);

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Each writer has a word of its own in every page, and must always find there what it wrote last.
fn write_and_read(space: &Space, word: usize, busy: &Busy) {
    let mut random = Random::new(word as u64);
    let mut last = [0; PAGES as usize];
    let mut worker = Some(Worker(busy));
    for round in 1.. {
        if round > ROUNDS {
            drop(worker.take());
            if !busy.goes_on() {
                return;
            }
        }
        let n = random.below(PAGES);
        let new = (random.below(3) != 0).then_some(round);
        let found = loop {
            match space.access(page(n), word, new) {
                Ok(found) => break found,
                // Write-protected at the moment.
                Err(Outcome::Segv { mapped: true }) if new.is_some() => std::thread::yield_now(),
                Err(why) => panic!("{why:?}"),
            }
        };
        assert_eq!(found, last[n as usize], "page {n}, round {round}");
        last[n as usize] = new.unwrap_or(found);
    }
}

/// What a child has never changes, unless it does it itself.
fn fork_and_look(space: &Space, seed: u64) {
    let mut random = Random::new(seed);
    let child = space.fork().expect("memory for a child");
    for n in 0..PAGES {
        let look = |word| child.access(page(n), word, None).expect("a child can read");
        let before: [u64; WRITERS] = core::array::from_fn(look);
        if random.below(3) == 0 {
            // The parent has such a word as well, and nobody writes to it there.
            while child.access(page(n), 100, Some(seed)).is_err() {
                child.protect(BASE, PAGES * PAGE_SIZE, RW, false).unwrap();
            }
        }
        std::thread::yield_now();
        assert_eq!(before, core::array::from_fn(look), "a page of the child's has changed");
        assert_eq!(space.access(page(n), 100, None), Ok(0), "a child has written to its parent");
    }
}

#[test]
fn threads_fork_protect_and_fault_on_the_same_pages() {
    let host = machine();
    let before = host.free_frames();
    let space = new_space(host);
    space.map(anonymous(BASE, PAGES, RW, MapFlags::empty())).unwrap();
    let (busy, changes) = (Busy(AtomicUsize::new(WRITERS + 1)), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for word in 0..WRITERS {
            let (space, busy) = (&space, &busy);
            scope.spawn(move || write_and_read(space, word, busy));
        }
        scope.spawn(|| {
            let _worker = Worker(&busy);
            (1..=FORKS).for_each(|seed| fork_and_look(&space, seed));
        });
        scope.spawn(|| {
            let mut random = Random::new(9);
            while busy.goes_on() {
                let first = random.below(PAGES);
                let len = (1 + random.below(PAGES - first)) * PAGE_SIZE;
                space.protect(page(first), len, Prot::READ, false).unwrap();
                std::thread::yield_now();
                space.protect(BASE, PAGES * PAGE_SIZE, RW, false).unwrap();
                changes.fetch_add(1, Ordering::SeqCst);
            }
        });
        // Somewhere else mappings come and go, with their tables.
        scope.spawn(|| {
            while busy.goes_on() {
                space.map(anonymous(1 << 40, 3, RW, MapFlags::empty())).unwrap();
                space.write(1 << 40, 1).unwrap();
                assert_eq!(space.read(1 << 40), Ok(1));
                space.unmap(1 << 40, 3 * PAGE_SIZE).unwrap();
            }
        });
    });
    assert!(changes.load(Ordering::SeqCst) != 0);
    drop(space);
    assert_all_back(host, before);
}

/// All threads want the same new page at once; one frame is enough for it.
#[test]
fn one_of_many_brings_the_page() {
    let host = machine();
    let before = host.free_frames();
    let space = new_space(host);
    let kinds = [MapFlags::empty(), MapFlags::SHARED];
    for (round, kind) in (0..60).flat_map(|round| kinds.map(|kind| (round, kind))) {
        space.map(anonymous(BASE, 1, RW, kind)).unwrap();
        let start = std::sync::Barrier::new(3);
        std::thread::scope(|scope| {
            for word in 0..3 {
                let (space, start) = (&space, &start);
                scope.spawn(move || {
                    start.wait();
                    assert_eq!(space.access(BASE, word, Some(round)), Ok(0));
                });
            }
        });
        assert_eq!([0, 1, 2].map(|word| space.access(BASE, word, None)), [Ok(round); 3]);
        space.unmap(BASE, PAGE_SIZE).unwrap();
    }
    drop(space);
    assert_all_back(host, before);
}
