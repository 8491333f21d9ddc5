//! Who waits looks for as long as the holder runs, and sleeps when he does not.

use super::*;
use core::sync::atomic::AtomicBool;
use std::cell::Cell;

std::thread_local! {
    static PARKS: Cell<u32> = const { Cell::new(0) };
}

/// Whether the holder runs, and how often that was asked.
static RUNS: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicU32 = AtomicU32::new(0);

/// Tasks that say whether they run.
struct Told;

impl Parker for Told {
    type Token = <Kernel as Parker>::Token;

    fn current() -> Self::Token {
        Kernel::current()
    }

    fn number(task: Self::Token) -> usize {
        Kernel::number(task)
    }

    fn runs_on(_: usize, _: usize) -> bool {
        ASKED.fetch_add(1, Ordering::SeqCst);
        RUNS.load(Ordering::SeqCst)
    }

    fn park(ready: &dyn Fn() -> bool, deadline_ns: u64) -> bool {
        PARKS.set(PARKS.get() + 1);
        Kernel::park(ready, deadline_ns)
    }

    unsafe fn unpark(task: Self::Token) {
        // SAFETY: the caller's promise.
        unsafe { Kernel::unpark(task) };
    }
}

/// Has another thread wait for a lock until it has asked whether its holder runs, and then gives it back. Returns how
/// often the other slept.
fn parks(runs: bool) -> u32 {
    RUNS.store(runs, Ordering::SeqCst);
    ASKED.store(0, Ordering::SeqCst);
    let lock: Mutex<u32, Told> = Mutex::new(Rank::SleepInner, 0);
    let mut guard = lock.lock();
    *guard += 1;
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let guard = lock.lock();
            assert_eq!(*guard, 1);
            PARKS.get()
        });
        while ASKED.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        // A holder that does not run gives it back when there is somebody in the list.
        while !runs && lock.waiters.lock().is_empty() {
            std::thread::yield_now();
        }
        drop(guard);
        other.join().unwrap()
    })
}

/// One test, for the two share what they are told.
#[test]
fn who_waits_sleeps_only_if_the_holder_does() {
    assert_eq!(parks(false), 1);
    assert_eq!(ASKED.load(Ordering::SeqCst), 1, "it looked on, though the holder did not run");
    // The host may stop this thread for as long as the other looks: then it sleeps as well.
    assert!((0..50).any(|_| parks(true) == 0));
    // A holder that runs for ever is not waited for by spinning for ever.
    RUNS.store(true, Ordering::SeqCst);
    let lock: Mutex<u32, Told> = Mutex::new(Rank::SleepInner, 0);
    let guard = lock.lock();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| *lock.lock());
        while lock.waiters.lock().is_empty() {
            std::thread::yield_now();
        }
        drop(guard);
        assert_eq!(other.join().unwrap(), 0);
    });
    assert_eq!(lock.state.load(Ordering::SeqCst), 0);
}

/// The holder is named in the lock, also one whom it was handed to.
#[test]
fn the_holder_is_known() {
    let lock: Mutex<()> = Mutex::new(Rank::SleepInner, ());
    let me = Kernel::number(Kernel::current());
    let guard = lock.lock();
    assert_eq!(lock.state.load(Ordering::SeqCst), me | TAKEN);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let _guard = lock.lock();
            assert_eq!(lock.state.load(Ordering::SeqCst), Kernel::number(Kernel::current()) | TAKEN);
        });
        while lock.waiters.lock().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(lock.state.load(Ordering::SeqCst), me | TAKEN | WAITED_FOR);
        drop(guard);
        other.join().unwrap();
    });
    assert_eq!(lock.state.load(Ordering::SeqCst), 0);
}
