//! Locks on files against a model that knows each byte, and waiting.

use super::world::{Calls, World};
use crate::errno::Errno;
use crate::fs::flags::OpenFlags;
use crate::fs::locks::{EVER, LockOwner, RangeLock, range};
use crate::sync::interrupt::interrupted;
use crate::sync::parker::PARKED;
use crate::testing::Random;
use core::sync::atomic::Ordering;
use std::vec::Vec;

const BYTES: usize = 24;

const fn process(id: u64) -> LockOwner {
    LockOwner::Process { id, pid: id as i32 }
}

const fn lock(id: u64, start: u64, end: u64, exclusive: bool) -> RangeLock {
    RangeLock { owner: process(id), start, end, exclusive }
}

#[test]
fn each_byte_is_locked_as_in_the_model() {
    let world = World::new();
    let file = world.open_as("f", OpenFlags::CREAT | OpenFlags::RDWR, 0o600).unwrap();
    let mut random = Random::new(7);
    // For each byte what each owner has: 0 nothing, 1 shared, 2 exclusive.
    let mut model = [[0u8; 3]; BYTES];
    for round in 0..30_000 {
        let owner = random.index(3);
        let start = random.index(BYTES);
        let end = start + 1 + random.index(BYTES - start);
        let exclusive = random.below(2) == 0;
        let wanted = lock(owner as u64, start as u64, end as u64, exclusive);
        let stands = |byte: &[u8; 3]| {
            (0..3).any(|other| other != owner && byte[other] > 0 && (exclusive || byte[other] == 2))
        };
        let blocked = model[start..end].iter().any(stands);
        let found = file.locks().blocker(&wanted);
        assert_eq!(found.is_some(), blocked, "round {round}");
        if let Some(found) = found {
            let bytes = &model[found.start as usize..found.end as usize];
            assert!(
                bytes.iter().all(|byte| byte[found.owner.pid() as usize] == 1 + u8::from(found.exclusive))
            );
        }
        if random.below(3) == 0 {
            file.locks().unset(process(owner as u64), start as u64, end as u64).unwrap();
            model[start..end].iter_mut().for_each(|byte| byte[owner] = 0);
        } else {
            let outcome = file.locks().try_set(&wanted);
            assert_eq!(outcome, if blocked { Err(Errno::Eagain) } else { Ok(()) }, "round {round}");
            if outcome.is_ok() {
                model[start..end].iter_mut().for_each(|byte| byte[owner] = 1 + u8::from(exclusive));
            }
        }
        // The list says the same of each byte, once, in as few pieces as can be.
        let mut shown = [[0u8; 3]; BYTES];
        let mut all: Vec<RangeLock> = Vec::new();
        file.locks().for_each(|lock| all.push(*lock));
        for lock in &all {
            let owner = lock.owner.pid() as usize;
            for byte in &mut shown[lock.start as usize..lock.end as usize] {
                assert_eq!(
                    core::mem::replace(&mut byte[owner], 1 + u8::from(lock.exclusive)),
                    0,
                    "round {round}"
                );
            }
        }
        assert_eq!(shown, model, "round {round}");
        let joins = |a: &RangeLock, b: &RangeLock| {
            a.owner == b.owner && a.exclusive == b.exclusive && a.end == b.start
        };
        assert!(!all.iter().any(|a| all.iter().any(|b| joins(a, b))), "round {round}: {all:?}");
    }
    for owner in 0..3 {
        file.locks().owner_gone(process(owner));
    }
    let mut left = 0;
    file.locks().for_each(|_| left += 1);
    assert_eq!(left, 0);
}

#[test]
fn ranges_as_programs_give_them() {
    assert_eq!(range(0, 0, 0), Ok((0, EVER)));
    assert_eq!(range(10, 5, 5), Ok((15, 20)));
    assert_eq!(range(10, -5, -5), Ok((0, 5)));
    assert_eq!(range(0, 5, -6), Err(Errno::Einval));
    assert_eq!(range(0, -1, 5), Err(Errno::Einval));
    assert_eq!(range(0, i64::MAX, 1), Ok((i64::MAX as u64, EVER)));
    assert_eq!(range(0, i64::MAX, 2), Err(Errno::Eoverflow));
    assert_eq!(range(1, i64::MAX, 1), Err(Errno::Eoverflow));
}

/// Waits until one more thread sleeps than before.
fn until_asleep(before: u64) {
    while PARKED.load(Ordering::Relaxed) <= before {
        std::thread::yield_now();
    }
}

#[test]
fn who_waits_gets_it_and_who_would_wait_for_himself_is_told() {
    let world = World::new();
    let file = world.open_as("f", OpenFlags::CREAT | OpenFlags::RDWR, 0o600).unwrap();
    let locks = file.locks();
    // Numbers that no other test's processes have: waits are known to all.
    let [one, two, three] = [1001, 1002, 1003];
    locks.try_set(&lock(one, 0, 1, true)).unwrap();
    locks.try_set(&lock(two, 1, 2, true)).unwrap();
    locks.try_set(&lock(three, 2, 3, true)).unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| locks.set(&lock(one, 1, 2, true)));
        let second = scope.spawn(|| locks.set(&lock(two, 2, 3, false)));
        // Until both wait, closing the ring is no deadlock yet: it would only wait. So it is asked for when they do.
        let mut outcome = Ok(());
        for _ in 0..1_000_000 {
            outcome = locks.try_set(&lock(three, 0, 1, true));
            assert_eq!(outcome, Err(Errno::Eagain));
            if crate::fs::locks::waiting(one) && crate::fs::locks::waiting(two) {
                outcome = locks.set(&lock(three, 0, 1, true));
                break;
            }
            std::thread::yield_now();
        }
        assert_eq!(outcome, Err(Errno::Edeadlk));
        locks.unset(process(three), 0, EVER).unwrap();
        assert_eq!(second.join().unwrap(), Ok(()));
        locks.owner_gone(process(two));
        assert_eq!(first.join().unwrap(), Ok(()));
    });
    assert!(!crate::fs::locks::waiting(one) && !crate::fs::locks::waiting(two));
    assert_eq!(locks.blocker(&lock(three, 0, EVER, false)).map(|lock| (lock.start, lock.end)), Some((0, 2)));
}

#[test]
fn a_signal_ends_the_wait_for_a_lock() {
    let world = World::new();
    let open = || world.open_as("f", OpenFlags::CREAT | OpenFlags::RDWR, 0o600).unwrap();
    let (a, b) = (open(), open());
    let [one, two] = [2001, 2002];
    a.locks().try_set(&lock(one, 0, 10, true)).unwrap();
    assert_eq!(interrupted(|| a.locks().set(&lock(two, 5, 6, false))), Err(Errno::Erestart));
    assert!(!crate::fs::locks::waiting(two), "he is still said to wait");
    a.locks().flock(&a, Some(true), true).unwrap();
    assert_eq!(interrupted(|| b.locks().flock(&b, Some(false), true)), Err(Errno::Erestart));
    // What can be had is had, signal or not.
    a.locks().owner_gone(process(one));
    assert_eq!(interrupted(|| a.locks().set(&lock(two, 5, 6, false))), Ok(()));
}

#[test]
fn flock_is_the_open_files() {
    let world = World::new();
    let open = || world.open_as("f", OpenFlags::CREAT | OpenFlags::RDWR, 0o600).unwrap();
    let (a, b, c) = (open(), open(), open());
    let flock = |file: &crate::fs::file::File, how, wait| file.locks().flock(file, how, wait);
    assert_eq!(flock(&a, Some(false), false), Ok(()));
    assert_eq!(flock(&b, Some(false), false), Ok(()));
    assert_eq!(flock(&c, Some(true), false), Err(Errno::Eagain));
    assert_eq!(flock(&a, Some(true), false), Err(Errno::Eagain), "and the shared one is gone");
    assert_eq!(flock(&b, Some(true), false), Ok(()));
    assert_eq!(a.locks().blocker(&lock(1, 0, EVER, true)), None, "the two kinds do not meet");
    // One that belongs to the open file goes with it, as `flock`'s does.
    let ofd = RangeLock { owner: LockOwner::of(&b), start: 0, end: 5, exclusive: true };
    assert_eq!(b.locks().try_set(&ofd), Ok(()));
    assert_eq!(a.locks().try_set(&lock(1, 4, 6, false)), Err(Errno::Eagain));
    std::thread::scope(|scope| {
        let before = PARKED.load(Ordering::Relaxed);
        let waits = scope.spawn(|| flock(&c, Some(true), true));
        until_asleep(before);
        drop(b);
        assert_eq!(waits.join().unwrap(), Ok(()));
    });
    assert_eq!(a.locks().try_set(&lock(1, 4, 6, false)), Ok(()));
    assert_eq!(flock(&c, None, false), Ok(()));
    assert_eq!(flock(&a, Some(true), false), Ok(()));
}
