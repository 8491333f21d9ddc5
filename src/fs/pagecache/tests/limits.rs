//! Too much that is dirty: who writes, and who waits.

use super::disk::{Disk, PAGE, cache, file};
use crate::fs::pagecache::limits::Limits;
use crate::fs::pagecache::{Cache, Position};
use crate::mm::space::tests::machine::Host;
use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::Arc;

fn unwritten(cache: &Cache<Host>) -> u64 {
    cache.total.unwritten()
}

/// Nobody else writes: who makes too much dirty does it himself.
#[test]
fn a_writer_without_a_thread_writes() {
    let (cache, disk) = (cache(1000), Disk::new());
    assert_eq!(cache.limits(), Limits { background: 100, limit: 200 });
    let file = file(cache, disk.clone(), 0);
    for _ in 0..600 {
        file.write_at(Position::End, PAGE, &mut &[1; PAGE][..]).unwrap();
        assert!(unwritten(cache) <= 200 + 16);
    }
    assert!(disk.pages.lock().unwrap().len() >= 384);
    // With the limit lowered, it is another's file that is in the way.
    let other = super::disk::file(cache, Disk::new(), 0);
    cache.set_percent(1, 2);
    (0..17).for_each(|_| _ = other.write_at(Position::End, PAGE, &mut &[1; PAGE][..]).unwrap());
    assert!(unwritten(cache) <= 20 + 17, "{}", unwritten(cache));
}

/// With a thread, and a slow disk.
#[test]
fn the_thread_keeps_up_with_writers() {
    let cache = cache(1000);
    cache.set_percent(2, 5);
    let most = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    let disks: [Arc<Disk>; 3] = core::array::from_fn(|_| Arc::new(Disk::with(3, false)));
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut written = 0;
            while !done.load(SeqCst) {
                cache.wait_for_work(crate::sync::parker::now_ns() + 1_000_000);
                written += cache.write_back_pass();
            }
            written
        });
        let writers = disks.each_ref().map(|disk| {
            let most = &most;
            scope.spawn(move || {
                let file = file(cache, disk.clone(), 0);
                for n in 0..300u64 {
                    file.write_at(Position::At(n % 100 * PAGE as u64), PAGE, &mut &[n as u8; PAGE][..])
                        .unwrap();
                    most.fetch_max(unwritten(cache), SeqCst);
                }
                file.fsync(false, &file.seen()).unwrap();
                let bytes = disk.content(100 * PAGE as u64);
                assert!((0..100).all(|page| bytes[page * PAGE..][..PAGE] == [(200 + page) as u8; PAGE]));
            })
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, SeqCst);
        thread.join().unwrap();
    });
    assert_eq!(unwritten(cache), 0);
    // 50, and what three writers add before each looks again.
    assert!(most.load(SeqCst) <= 50 + 3 * 16 + 3, "{most:?} were dirty");
}

/// All that is dirty is on its way, and the way is blocked: a writer waits, and goes on when it is free.
#[test]
fn a_writer_waits_for_what_is_on_its_way() {
    let (cache, disk) = (cache(1000), Disk::new());
    cache.set_percent(1, 2);
    let one = file(cache, disk.clone(), 0);
    for n in 0..15 {
        one.write_at(Position::At(n * PAGE as u64), PAGE, &mut &[1; PAGE][..]).unwrap();
    }
    one.write_at(Position::End, 10 * PAGE, &mut &[1; 10 * PAGE][..]).unwrap();
    disk.hold.store(true, SeqCst);
    let (through, other) = (AtomicBool::new(false), file(cache, Disk::new(), 0));
    std::thread::scope(|scope| {
        scope.spawn(|| one.write_back(0..u64::MAX));
        while one.counts().dirty != 0 {
            std::thread::yield_now();
        }
        let parked = crate::sync::parker::PARKED.load(SeqCst);
        scope.spawn(|| {
            other.write_at(Position::At(0), PAGE, &mut &[2; PAGE][..]).unwrap();
            through.store(true, SeqCst);
        });
        while crate::sync::parker::PARKED.load(SeqCst) == parked {
            std::thread::yield_now();
        }
        assert!(unwritten(cache) > 20 && !through.load(SeqCst));
        disk.hold.store(false, SeqCst);
    });
    assert!(through.load(SeqCst));
}
