//! One rule at a time.

use super::disk::{Call, Disk, Faulting, PAGE, Ram, TestFile, cache, file};
use super::program::Program;
use crate::boot::layout::PAGE_SIZE;
use crate::fs::pagecache::limits::EXPIRE_NS;
use crate::fs::pagecache::{Counts, Error, Position, ReadAhead};
use crate::mm::space::Outcome;
use core::sync::atomic::Ordering::SeqCst;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

const BASE: u64 = 0x1000_0000;

fn read(file: &TestFile, at: u64, len: usize, ahead: &ReadAhead) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0xAA; len];
    let took = file.read_at(at, len, &mut &mut bytes[..], ahead)?;
    bytes.truncate(took);
    Ok(bytes)
}

fn write(file: &TestFile, at: u64, bytes: &[u8]) -> Result<usize, Error> {
    file.write_at(Position::At(at), bytes.len(), &mut &bytes[..]).map(|written| written.len)
}

/// A file of that many pages, whose words on the disk are their page's number plus one.
fn on_disk(disk: &Disk, pages: u64) -> u64 {
    let mut all = disk.pages.lock().unwrap();
    all.extend((0..pages).map(|page| (page, vec![page as u8 + 1; PAGE])));
    pages * PAGE_SIZE
}

fn reads(calls: &[Call]) -> Vec<(u64, usize)> {
    let read = |call: &Call| if let Call::Read(first, count) = *call { Some((first, count)) } else { None };
    calls.iter().filter_map(read).collect()
}

#[test]
fn windows_grow_for_who_reads_in_order() {
    let (cache, disk) = (cache(600), Disk::new());
    let size = on_disk(&disk, 200);
    let file = file(cache, disk.clone(), size);
    let ahead = ReadAhead::new();
    for page in 0..200 {
        assert_eq!(read(&file, page * PAGE_SIZE, PAGE, &ahead), Ok(vec![page as u8 + 1; PAGE]));
    }
    // 4, 32, 128, and what is left; no more than 32 in one go.
    let expected = [(0, 4), (4, 32), (36, 32), (68, 32), (100, 32), (132, 32), (164, 32), (196, 4)];
    assert_eq!(reads(&disk.take_calls()), expected);
    assert_eq!(file.counts(), Counts { pages: 200, dirty: 0, write_back: 0 });
    assert_eq!(file.invalidate(10 * PAGE_SIZE..20 * PAGE_SIZE), 10);
    assert_eq!(read(&file, 15 * PAGE_SIZE + 7, 1, &ahead), Ok(vec![16]));
    assert_eq!(reads(&disk.take_calls()), [(15, 1)], "there is no order in that");
}

#[test]
fn a_window_that_fails_is_asked_for_page_by_page() {
    let (cache, disk) = (cache(600), Disk::new());
    let size = on_disk(&disk, 8);
    let file = file(cache, disk.clone(), size);
    let ahead = ReadAhead::new();
    disk.reads_left.store(0, SeqCst);
    assert_eq!(read(&file, 0, 10, &ahead), Ok(vec![1; 10]), "the page itself can be read");
    assert_eq!(reads(&disk.take_calls()), [(0, 4), (0, 1)]);
    // What comes before the error is told first.
    disk.pages.lock().unwrap().clear();
    disk.reads_left.store(0, SeqCst);
    *disk.error.lock().unwrap() = Some(Error::NoMemory);
    let one = ReadAhead::new();
    one.advise(crate::fs::pagecache::readahead::Advice::Random);
    assert_eq!(read(&file, PAGE_SIZE, 10, &one), Err(Error::NoMemory));
    assert_eq!(file.counts().pages, 1, "a page that could not be read is not there");
}

#[test]
fn only_dirty_pages_are_written_in_runs() {
    let (cache, disk) = (cache(600), Disk::new());
    let size = on_disk(&disk, 100);
    let file = file(cache, disk.clone(), size);
    file.read_ahead(0..size);
    disk.take_calls();
    for page in [3, 4, 5, 9, 40] {
        assert_eq!(write(&file, page * PAGE_SIZE + 10, b"new"), Ok(3));
    }
    (50..90).for_each(|page| assert_eq!(write(&file, page * PAGE_SIZE, &[7; PAGE]), Ok(PAGE)));
    assert_eq!(file.counts().dirty, 45);
    assert_eq!(disk.take_calls(), [], "nothing is read or written");
    let seen = file.seen();
    assert_eq!(file.sync(4 * PAGE_SIZE..10 * PAGE_SIZE, &seen), Ok(()));
    assert_eq!(disk.take_calls(), [Call::Write(4, 2), Call::Write(9, 1)]);
    assert_eq!(file.fsync(true, &seen), Ok(()));
    let expected =
        [Call::Write(3, 1), Call::Write(40, 1), Call::Write(50, 32), Call::Write(82, 8), Call::Flush];
    assert_eq!(disk.take_calls(), expected);
    assert_eq!(file.counts(), Counts { pages: 100, dirty: 0, write_back: 0 });
    assert_eq!(&disk.pages.lock().unwrap()[&4][9..14], [5, b'n', b'e', b'w', 5]);
}

#[test]
fn a_whole_page_is_not_read_before_it_is_written() {
    let (cache, disk) = (cache(600), Disk::new());
    let size = on_disk(&disk, 4) - 100;
    let file = file(cache, disk.clone(), size);
    assert_eq!(write(&file, PAGE_SIZE, &[9; PAGE]), Ok(PAGE));
    // The last page: all that there is of it.
    assert_eq!(write(&file, 3 * PAGE_SIZE, &[9; PAGE - 100]), Ok(PAGE - 100));
    assert_eq!(disk.take_calls(), []);
    assert_eq!(write(&file, 1, &[9; 1]), Ok(1));
    assert_eq!(disk.take_calls(), [Call::Read(0, 1)]);
    // It stops in the middle: the rest has to be read after all.
    let mut half = Faulting(&[8; PAGE][..], 1000);
    assert_eq!(file.write_at(Position::At(2 * PAGE_SIZE), PAGE, &mut half).unwrap().len, 1000);
    assert_eq!(disk.take_calls(), [Call::Read(2, 1)]);
    let found = read(&file, 2 * PAGE_SIZE, PAGE, &ReadAhead::new()).unwrap();
    assert!(found[..1000] == [8; 1000] && found[1000..] == [3; PAGE - 1000]);
    assert_eq!(file.write_at(Position::End, 10, &mut Faulting(&[8; 10][..], 0)), Err(Error::Fault));
    assert_eq!(file.size(), size);
}

#[test]
fn errors_in_writing_are_told_to_each_once() {
    let (cache, disk) = (cache(600), Disk::new());
    let file = file(cache, disk.clone(), 0);
    let (one, two) = (file.seen(), file.seen());
    write(&file, 0, &[1; PAGE]).unwrap();
    disk.writes_left.store(0, SeqCst);
    // Nobody asks for this one.
    assert_eq!(file.write_back(0..u64::MAX), ());
    assert_eq!(file.counts(), Counts { pages: 1, dirty: 0, write_back: 0 });
    assert_eq!([file.fsync(false, &one), file.fsync(false, &one)], [Err(Error::Io), Ok(())]);
    let late = file.seen();
    assert_eq!([file.fsync(false, &two), file.fsync(false, &two)], [Err(Error::Io), Ok(())]);
    assert_eq!(file.fsync(false, &late), Ok(()));
    // For want of memory nothing is lost: it is dirty still.
    write(&file, 0, &[2; PAGE]).unwrap();
    (*disk.error.lock().unwrap(), _) = (Some(Error::NoMemory), disk.writes_left.store(0, SeqCst));
    assert_eq!(file.fsync(false, &one), Err(Error::NoMemory));
    assert_eq!(file.counts().dirty, 1);
    assert_eq!(file.fsync(false, &one), Ok(()));
    assert_eq!(disk.pages.lock().unwrap()[&0], [2; PAGE]);
}

#[test]
fn a_disk_that_is_full_says_so_before_anything_is_written() {
    let (cache, disk) = (cache(600), Disk::new());
    let size = on_disk(&disk, 2);
    let file = Arc::new(file(cache, disk.clone(), size));
    disk.full.store(true, SeqCst);
    assert_eq!(write(&file, 5, b"x"), Err(Error::NoSpace));
    assert_eq!(write(&file, size, &[1; PAGE]), Err(Error::NoSpace));
    assert_eq!(file.truncate(5), Err(Error::NoSpace));
    let program = Program::new(cache.env);
    program.map(BASE, 2, true, &file, 0);
    assert_eq!(program.load(BASE, 0), Ok(0x0101_0101_0101_0101));
    assert_eq!(program.store(BASE, 0, 5), Err(Outcome::Bus));
    assert_eq!((file.size(), file.counts().dirty), (size, 0));
    assert_eq!(read(&file, 5, 1, &ReadAhead::new()), Ok(vec![1]));
    disk.full.store(false, SeqCst);
    assert_eq!(program.store(BASE, 0, 5), Ok(()));
    assert_eq!(file.counts().dirty, 1);
}

#[test]
fn what_a_program_writes_is_written_back_each_time() {
    let (cache, disk) = (cache(600), Disk::new());
    let size = on_disk(&disk, 20);
    let file = Arc::new(file(cache, disk.clone(), size));
    let program = Program::new(cache.env);
    program.map(BASE, 20, true, &file, 0);
    let seen = file.seen();
    for round in 1..4 {
        assert_eq!(program.store(BASE, 16, round), Ok(()));
        assert_eq!(program.store(BASE, 5 * PAGE_SIZE, round), Ok(()));
        assert_eq!(program.load(BASE, 9 * PAGE_SIZE), Ok(u64::from_le_bytes([10; 8])));
        assert_eq!(file.counts().dirty, 2);
        assert_eq!(file.fsync(false, &seen), Ok(()));
        assert_eq!(file.counts().dirty, 0);
        assert_eq!(disk.pages.lock().unwrap()[&0][16..24], round.to_le_bytes());
        assert_eq!(disk.pages.lock().unwrap()[&5][..8], round.to_le_bytes());
    }
    // Mapped, and so nobody's to take.
    assert_eq!((file.invalidate(0..u64::MAX), file.counts().pages), (0, 16));
    program.0.unmap(BASE, 20 * PAGE_SIZE).unwrap();
}

#[test]
fn what_is_cut_off_is_gone_from_programs() {
    let (cache, disk) = (cache(600), Disk::new());
    let size = on_disk(&disk, 8);
    let file = Arc::new(file(cache, disk.clone(), size));
    let program = Program::new(cache.env);
    program.map(BASE, 8, true, &file, 0);
    program.map(2 * BASE, 4, false, &file, 4);
    program.store(BASE, 5 * PAGE_SIZE, 55).unwrap();
    program.store(2 * BASE, PAGE_SIZE, 77).unwrap();
    assert_eq!(program.load(2 * BASE, PAGE_SIZE), Ok(77));
    // A hole takes the file's pages, and not a copy.
    assert_eq!(file.punch_hole(5 * PAGE_SIZE..6 * PAGE_SIZE), Ok(()));
    assert_eq!((program.load(BASE, 5 * PAGE_SIZE), program.load(2 * BASE, PAGE_SIZE)), (Ok(0), Ok(77)));
    // A smaller size takes both.
    assert_eq!(file.truncate(5 * PAGE_SIZE - 8), Ok(()));
    assert_eq!(program.load(BASE, 5 * PAGE_SIZE), Err(Outcome::Bus));
    assert_eq!(program.load(2 * BASE, PAGE_SIZE), Err(Outcome::Bus));
    assert_eq!(program.load(BASE, 5 * PAGE_SIZE - 8), Ok(0));
    assert_eq!(program.load(BASE, 5 * PAGE_SIZE - 16), Ok(0x0505_0505_0505_0505));
    assert_eq!(file.truncate(size), Ok(()));
    assert_eq!([program.load(BASE, 5 * PAGE_SIZE), program.load(2 * BASE, PAGE_SIZE)], [Ok(0); 2]);
}

#[test]
fn files_in_memory_have_holes_and_a_limit() {
    let (cache, ram) = (cache(600), Ram::new(3));
    let file = Arc::new(file(cache, ram.clone(), 0));
    let ahead = ReadAhead::new();
    assert_eq!(file.truncate(100 * PAGE_SIZE), Ok(()));
    assert_eq!(read(&file, 50 * PAGE_SIZE, PAGE, &ahead), Ok(vec![0; PAGE]));
    assert_eq!((ram.used.load(SeqCst), file.counts().pages), (0, 0), "a hole costs nothing");
    assert_eq!(write(&file, 7 * PAGE_SIZE - 2, b"abcd"), Ok(4));
    assert_eq!(file.seek(0, true), Some(6 * PAGE_SIZE));
    assert_eq!(file.seek(6 * PAGE_SIZE + 5, true), Some(6 * PAGE_SIZE + 5));
    assert_eq!(file.seek(6 * PAGE_SIZE + 5, false), Some(8 * PAGE_SIZE));
    assert_eq!((file.seek(8 * PAGE_SIZE, true), file.seek(100 * PAGE_SIZE, false)), (None, None));
    let program = Program::new(cache.env);
    program.map(BASE, 100, true, &file, 0);
    assert_eq!(program.store(BASE, 20 * PAGE_SIZE, 3), Ok(()));
    assert_eq!(ram.used.load(SeqCst), 3);
    assert_eq!(program.load(BASE, 21 * PAGE_SIZE), Err(Outcome::Bus), "there is no more");
    assert_eq!(write(&file, 0, &[1; PAGE]), Err(Error::NoSpace));
    // As far as it goes.
    assert_eq!(write(&file, 7 * PAGE_SIZE, &[1; 2 * PAGE]), Ok(PAGE));
    assert_eq!(cache.reclaim(100), 0, "there is nowhere else that it could be");
    assert_eq!(file.invalidate(0..u64::MAX), 0);
    assert_eq!(file.punch_hole(6 * PAGE_SIZE + 1..8 * PAGE_SIZE), Ok(()));
    assert_eq!(ram.used.load(SeqCst), 2);
    assert_eq!(file.fsync(false, &file.seen()), Ok(()));
    program.0.unmap(BASE, 100 * PAGE_SIZE).unwrap();
    assert_eq!(file.truncate(0), Ok(()));
    assert_eq!((ram.used.load(SeqCst), file.counts().pages), (0, 0));
}

#[test]
fn what_was_used_twice_stays_longer() {
    let (cache, disk) = (cache(2000), Disk::new());
    let size = on_disk(&disk, 200);
    let (often, once) = (file(cache, disk.clone(), size / 2), file(cache, disk.clone(), size));
    let ahead = ReadAhead::new();
    for _ in 0..3 {
        for page in 0..100 {
            read(&often, page * PAGE_SIZE, PAGE, &ahead).unwrap();
        }
    }
    for page in 0..200 {
        read(&once, page * PAGE_SIZE, PAGE, &ahead).unwrap();
    }
    let before = often.counts().pages;
    let mut freed = 0;
    while freed < 150 {
        freed += cache.reclaim(30);
    }
    assert!(
        once.counts().pages <= 50 && often.counts().pages == before,
        "{:?} {:?}",
        once.counts(),
        often.counts()
    );
    // A page that somebody copies from is nobody's to take.
    write(&often, 0, b"x").unwrap();
    while cache.reclaim(1000) != 0 {}
    while cache.reclaim(1000) != 0 {}
    assert_eq!((often.counts().pages, once.counts().pages), (1, 0), "dirty ones stay");
    assert_eq!(cache.reclaimable(), 0);
}

#[test]
fn old_pages_are_written_in_the_background() {
    let (cache, disk) = (cache(2000), Disk::new());
    let (one, two) = (file(cache, disk.clone(), 0), file(cache, Disk::new(), 0));
    let clock = &cache.env.now_ns;
    write(&one, 0, &[1; 3 * PAGE]).unwrap();
    clock.store(EXPIRE_NS / 2, SeqCst);
    write(&two, 0, &[1; PAGE]).unwrap();
    write(&one, 0, &[1; PAGE]).unwrap();
    assert_eq!(cache.write_back_pass(), 0, "none is old enough");
    clock.store(EXPIRE_NS, SeqCst);
    assert_eq!((cache.write_back_pass(), one.counts().dirty, two.counts().dirty), (3, 0, 1));
    clock.store(EXPIRE_NS * 3 / 2, SeqCst);
    write(&one, 0, b"x").unwrap();
    assert_eq!((cache.write_back_pass(), one.counts().dirty), (1, 1));
    cache.sync();
    assert_eq!((one.counts().dirty, cache.write_back_pass()), (0, 0));
    assert_eq!(cache.total.written.load(SeqCst), 5);
    drop((one, two));
    assert_eq!(cache.write_back_pass(), 0);
}

/// Every request for memory on the way of a call may be refused.
#[test]
fn without_memory_a_call_is_refused_and_nothing_is_lost() {
    let (cache, disk) = (cache(600), Disk::new());
    let file = file(cache, disk.clone(), 0);
    let ahead = ReadAhead::new();
    let mut refused = 0;
    for n in 0.. {
        cache.env.fail_after(n);
        let result = write(&file, 3 * PAGE_SIZE, &[5; 3 * PAGE]);
        if cache.env.fail_never() {
            assert_eq!(result, Ok(3 * PAGE));
            break;
        }
        refused += 1;
        assert!(
            matches!(result, Err(Error::NoMemory))
                || result.is_ok_and(|len| len < 3 * PAGE && len % PAGE == 0)
        );
        assert_eq!(file.truncate(0), Ok(()));
    }
    assert_eq!(refused, 3, "a frame for each page");
    file.fsync(false, &file.seen()).unwrap();
    file.invalidate(0..u64::MAX);
    cache.env.fail_after(0);
    assert_eq!(read(&file, 3 * PAGE_SIZE, 10, &ahead), Err(Error::NoMemory));
    cache.env.fail_after(1);
    assert_eq!(read(&file, 3 * PAGE_SIZE, 10, &ahead), Ok(vec![5; 10]), "less is brought ahead");
    cache.env.fail_never();
    drop(file);
    assert_eq!(cache.env.free_frames(), 599);
}

#[test]
fn sizes_that_cannot_be() {
    let (cache, disk) = (cache(600), Disk::new());
    let file = file(cache, disk, 0);
    assert_eq!(file.truncate((1 << 40) + 1), Err(Error::TooLarge));
    assert_eq!(write(&file, 1 << 40, b"x"), Err(Error::TooLarge));
    assert_eq!(write(&file, u64::MAX, b"xyz"), Err(Error::TooLarge));
    assert_eq!(write(&file, (1 << 40) - 2, b"xyz"), Ok(2), "as far as it goes");
    assert_eq!(read(&file, (1 << 40) - 3, 100, &ReadAhead::new()), Ok(vec![0, b'x', b'y']));
    assert_eq!(read(&file, u64::MAX, 100, &ReadAhead::new()), Ok(vec![]));
    assert_eq!(file.punch_hole(5..u64::MAX), Ok(()));
    assert_eq!(read(&file, (1 << 40) - 3, 100, &ReadAhead::new()), Ok(vec![0; 3]));
    assert_eq!(file.truncate(0), Ok(()));
}
