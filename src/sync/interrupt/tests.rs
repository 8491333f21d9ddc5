//! Every way to sleep that a signal ends, ended by one; and none of them too soon, or never.

use super::*;
use crate::sync::parker::{NEVER, now_ns};
use crate::sync::{Mutex, Rank, WaitQueue};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

#[test]
fn a_signal_ends_a_sleep() {
    assert_eq!(interrupted(|| sleep_until(NEVER)), Err(Interrupted));
    assert_eq!(sleep_until(now_ns() + 1_000_000), Ok(()), "nobody has sent one to this thread");
    let signals = Signals::mine();
    signals.send();
    assert_eq!(sleep_until(NEVER), Err(Interrupted), "it was there before");
    signals.clear();
    assert_eq!(sleep_until(0), Ok(()));
}

#[test]
fn a_signal_ends_waiting_in_a_queue() {
    let queue = WaitQueue::<Kernel>::new();
    assert_eq!(interrupted(|| queue.wait_or_signal(|| false, NEVER)), Err(Interrupted));
    assert!(queue.is_empty());
    assert_eq!(queue.wait_or_signal(|| false, now_ns() + 1_000_000), Ok(false));
    // What is there already is not given up for a signal.
    assert_eq!(interrupted(|| queue.wait_or_signal(|| true, NEVER)), Ok(true));
    // Uninterruptible waits go on, whoever wakes the thread.
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let (queue, is_done) = (&queue, &is_done);
        let waits = scope.spawn(move || {
            tell.send(Signals::mine()).unwrap();
            queue.wait_until(|| is_done.load(Ordering::Acquire));
            is_done.load(Ordering::Acquire)
        });
        let signals = told.recv().unwrap();
        while queue.is_empty() {
            std::thread::yield_now();
        }
        (0..100).for_each(|_| signals.send());
        is_done.store(true, Ordering::Release);
        queue.wake_all();
        assert!(waits.join().unwrap());
    });
}

/// A wake-up that went to one who left for a signal must not be missed by the others.
#[test]
fn signals_swallow_no_wake_up() {
    let (queue, permits, taken) = (WaitQueue::<Kernel>::new(), AtomicU32::new(0), AtomicU32::new(0));
    let take =
        || permits.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| count.checked_sub(1)).is_ok();
    const ROUNDS: u32 = 2_000;
    std::thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        for _ in 0..3 {
            let tell = tell.clone();
            let (queue, taken) = (&queue, &taken);
            scope.spawn(move || {
                let signals = Signals::mine();
                tell.send(signals.clone()).unwrap();
                while taken.load(Ordering::Acquire) < ROUNDS {
                    let over = || taken.load(Ordering::Acquire) >= ROUNDS;
                    let mut got = false;
                    let outcome = queue.wait_or_signal(
                        || {
                            got = got || take();
                            got || over()
                        },
                        NEVER,
                    );
                    assert_eq!(outcome.is_err(), !got && !over());
                    signals.clear();
                    if got && taken.fetch_add(1, Ordering::AcqRel) + 1 >= ROUNDS {
                        queue.wake_all();
                    }
                }
            });
        }
        let all: std::vec::Vec<_> = (0..3).map(|_| told.recv().unwrap()).collect();
        let mut given = 0;
        while taken.load(Ordering::Acquire) < ROUNDS {
            if given < ROUNDS && given - taken.load(Ordering::Acquire) < 3 {
                permits.fetch_add(1, Ordering::AcqRel);
                given += 1;
                queue.wake_one();
            }
            all[given as usize % 3].send();
            std::thread::yield_now();
        }
    });
}

#[test]
fn a_signal_ends_waiting_for_a_mutex() {
    let lock: Mutex<u32> = Mutex::new(Rank::SleepInner, 0);
    {
        let _held = lock.lock();
        assert!(interrupted(|| lock.lock_unless(&is_pending).is_none()));
    }
    // The mark that somebody waited has gone with the holder.
    *lock.lock_unless(&is_pending).expect("it is free") += 1;
    // Many take it, and signals come all the time: it is never lost, nor had twice.
    let (count, over) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let workers: std::vec::Vec<_> = (0..3)
            .map(|_| {
                let tell = tell.clone();
                let (lock, count) = (&lock, &count);
                scope.spawn(move || {
                    let signals = Signals::mine();
                    tell.send(signals.clone()).unwrap();
                    let mut had = 0;
                    while had < 1000 {
                        match lock.lock_unless(&is_pending) {
                            Some(mut guard) => {
                                *guard += 1;
                                had += 1;
                                count.fetch_add(1, Ordering::Relaxed);
                            }
                            None => signals.clear(),
                        }
                    }
                })
            })
            .collect();
        let all: std::vec::Vec<_> = (0..3).map(|_| told.recv().unwrap()).collect();
        let over = &over;
        let sender = scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                all.iter().for_each(Signals::send);
                std::thread::yield_now();
            }
        });
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        over.store(true, Ordering::Relaxed);
        sender.join().unwrap();
    });
    assert_eq!(*lock.lock(), 1 + count.load(Ordering::Relaxed));
}
