//! Every lock under threads: an invariant that needs it holds with it, and breaks without it.
//!
//! The last is not for show: [`violations`] is run over locks that do nothing, and has to find that. So if it finds
//! nothing over the others, that means something.

use super::parker::{self, PARKED};
use super::rank::Rank;
use super::{Completion, IrqLock, Mutex, RwLock, RwMutex, Semaphore, SpinLock, WaitQueue};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::Mutex as StdMutex;
use std::vec::Vec;

const THREADS: u64 = 4;

/// Two numbers that are the same whenever nobody is changing them, changed in steps that others may come between.
#[derive(Default)]
struct Pair(AtomicU64, AtomicU64);

impl Pair {
    fn change(&self, linger: bool) {
        let n = self.0.load(Relaxed);
        self.0.store(n + 1, Relaxed);
        if linger {
            std::thread::yield_now();
        }
        self.1.store(n + 1, Relaxed);
    }

    fn is_torn(&self) -> bool {
        self.0.load(Relaxed) != self.1.load(Relaxed)
    }
}

/// Runs threads that change a pair inside of `exclusive` and look at it inside of `shared`; returns how many changes
/// were lost, or seen half done.
fn violations(
    rounds: u64,
    exclusive: &(dyn Fn(&dyn Fn()) + Sync),
    shared: &(dyn Fn(&dyn Fn()) + Sync),
) -> u64 {
    let (pair, torn) = (Pair::default(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (pair, torn) = (&pair, &torn);
            scope.spawn(move || {
                for n in 0..rounds {
                    exclusive(&|| pair.change((n + thread) % 16 == 0));
                    shared(&|| _ = torn.fetch_add(u64::from(pair.is_torn()), Relaxed));
                }
            });
        }
    });
    torn.into_inner() + (THREADS * rounds - pair.0.load(Relaxed).min(THREADS * rounds))
}

#[test]
fn without_a_lock_it_breaks() {
    let nothing = |f: &dyn Fn()| f();
    assert!((0..50).any(|_| violations(2000, &nothing, &nothing) > 0));
    // A lock whose test and whose setting are two steps.
    let taken = AtomicBool::new(false);
    let broken = |f: &dyn Fn()| {
        while taken.load(SeqCst) {
            std::thread::yield_now();
        }
        std::thread::yield_now();
        taken.store(true, SeqCst);
        f();
        taken.store(false, SeqCst);
    };
    assert!((0..50).any(|_| violations(2000, &broken, &broken) > 0));
}

#[test]
fn spinning_locks_hold() {
    const ROUNDS: u64 = 3000;
    let spin = SpinLock::new(Rank::SpinInner, ());
    let with = |f: &dyn Fn()| {
        let _guard = spin.lock();
        f();
    };
    assert_eq!(violations(ROUNDS, &with, &with), 0, "SpinLock");
    let try_with = |f: &dyn Fn()| loop {
        if let Some(_guard) = spin.try_lock() {
            return f();
        }
        std::thread::yield_now();
    };
    assert_eq!(violations(ROUNDS, &try_with, &with), 0, "SpinLock, tried for");
    let irq = IrqLock::new(Rank::IrqInner, ());
    let with = |f: &dyn Fn()| {
        let _guard = irq.lock();
        f();
    };
    assert_eq!(violations(ROUNDS, &with, &with), 0, "IrqLock");
    let rw = RwLock::new(Rank::SpinInner, ());
    let write = |f: &dyn Fn()| {
        let _guard = rw.write();
        f();
    };
    let read = |f: &dyn Fn()| {
        let _guard = rw.read();
        f();
    };
    assert_eq!(violations(ROUNDS, &write, &read), 0, "RwLock");
}

#[test]
fn sleeping_locks_hold() {
    const ROUNDS: u64 = 3000;
    let mutex: Mutex<()> = Mutex::new(Rank::SleepInner, ());
    let with = |f: &dyn Fn()| {
        let _guard = mutex.lock();
        f();
    };
    assert_eq!(violations(ROUNDS, &with, &with), 0, "Mutex");
    let rw: RwMutex<()> = RwMutex::new(Rank::SleepInner, ());
    let write = |f: &dyn Fn()| {
        let _guard = rw.write();
        f();
    };
    let read = |f: &dyn Fn()| {
        let _guard = rw.read();
        f();
    };
    assert_eq!(violations(ROUNDS, &write, &read), 0, "RwMutex");
    assert!(rw.try_write().is_some() && mutex.try_lock().is_some(), "free in the end");
    let semaphore: Semaphore = Semaphore::new(1);
    let with = |f: &dyn Fn()| {
        semaphore.take();
        f();
        semaphore.give();
    };
    assert_eq!(violations(ROUNDS, &with, &with), 0, "Semaphore");
    assert_eq!(semaphore.permits(), 1);
}

/// Starts threads that wait one after another, `release`s them, and returns the order in which they went on.
fn order(wait: impl Fn(usize) + Sync, release: impl FnOnce()) -> Vec<usize> {
    let (order, ready) = (StdMutex::new(Vec::new()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for n in 0..5 {
            let before = PARKED.load(SeqCst);
            let (order, ready, wait) = (&order, &ready, &wait);
            scope.spawn(move || {
                ready.fetch_add(1, SeqCst);
                wait(n);
                order.lock().unwrap().push(n);
            });
            while ready.load(SeqCst) != n + 1 || PARKED.load(SeqCst) == before {
                std::thread::yield_now();
            }
        }
        release();
    });
    order.into_inner().unwrap()
}

/// With a permit for one at a time, so that they go on in the order in which they were woken. Other tests' threads park as
/// well, so that one may begin to wait before the one who came first: then once more.
fn is_fair(attempt: impl Fn() -> Vec<usize>) -> bool {
    (0..20).any(|_| attempt() == [0, 1, 2, 3, 4])
}

#[test]
fn who_came_first_goes_first() {
    assert!(is_fair(|| {
        let mutex: Mutex<Vec<usize>> = Mutex::new(Rank::SleepInner, Vec::new());
        let guard = mutex.lock();
        order(|n| mutex.lock().push(n), || drop(guard));
        mutex.into_inner()
    }));
    assert!(is_fair(|| {
        let rw: RwMutex<Vec<usize>> = RwMutex::new(Rank::SleepInner, Vec::new());
        let guard = rw.read();
        order(|n| rw.write().push(n), || drop(guard));
        rw.write().clone()
    }));
    assert!(is_fair(|| {
        let (semaphore, seen) = (Semaphore::<parker::Kernel>::new(0), StdMutex::new(Vec::new()));
        let wait = |n| {
            semaphore.take();
            seen.lock().unwrap().push(n);
            semaphore.give();
        };
        order(wait, || semaphore.give());
        seen.into_inner().unwrap()
    }));
}

/// Readers that wait behind a writer go in together, and one that comes while a writer waits stays out.
#[test]
fn readers_go_in_together_behind_a_writer() {
    let rw: RwMutex<u32> = RwMutex::new(Rank::SleepInner, 0);
    let inside = std::sync::Barrier::new(2);
    let first = rw.read();
    std::thread::scope(|scope| {
        scope.spawn(|| *rw.write() += 1);
        while rw.try_read().is_some() {
            std::thread::yield_now();
        }
        for _ in 0..2 {
            scope.spawn(|| {
                let guard = rw.read();
                assert_eq!(*guard, 1, "before the writer");
                inside.wait();
            });
        }
        drop(first);
    });
    assert_eq!(*rw.try_write().expect("free"), 1);
}

/// Many pass a number of things on through a queue: none is lost, and nobody sleeps for ever.
#[test]
fn no_wake_up_is_lost() {
    const THINGS: u64 = 20_000;
    let (there, taken, queue) = (AtomicU64::new(0), AtomicU64::new(0), WaitQueue::<parker::Kernel>::new());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let mut last = false;
                    queue.wait_until(|| {
                        last = taken.load(SeqCst) == THINGS;
                        last || there.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok()
                    });
                    if last {
                        return;
                    }
                    if taken.fetch_add(1, SeqCst) + 1 == THINGS {
                        queue.wake_all();
                    }
                }
            });
        }
        for n in 0..THINGS {
            there.fetch_add(1, SeqCst);
            queue.wake_one();
            if n % 64 == 0 {
                std::thread::yield_now();
            }
        }
    });
    assert_eq!((there.into_inner(), taken.into_inner()), (0, THINGS));
    assert!(queue.is_empty());
}

/// More than are woken before the lock is let go of.
#[test]
fn all_are_woken() {
    const WAITING: usize = super::waiters::BATCH * 2 + 3;
    let (go, went, queue) = (AtomicBool::new(false), AtomicUsize::new(0), WaitQueue::<parker::Kernel>::new());
    let all = Completion::<parker::Kernel>::new();
    std::thread::scope(|scope| {
        for _ in 0..WAITING {
            scope.spawn(|| {
                queue.wait_until(|| go.load(SeqCst));
                went.fetch_add(1, SeqCst);
                all.wait();
            });
        }
        go.store(true, SeqCst);
        queue.wake_all();
        while went.load(SeqCst) < WAITING {
            std::thread::yield_now();
        }
        assert!(!all.is_done());
        all.complete_all();
    });
    all.wait();
    assert!(queue.is_empty() && all.is_done());
}

#[test]
fn a_completion_lets_one_go_each_time() {
    let one = Completion::<parker::Kernel>::new();
    one.complete();
    one.complete();
    one.wait();
    assert!(one.is_done());
    one.wait();
    assert!(!one.is_done());
    // On the stack of the one who waits, and gone at once.
    for _ in 0..500 {
        let done = Completion::<parker::Kernel>::new();
        std::thread::scope(|scope| {
            scope.spawn(|| done.complete());
            done.wait();
        });
    }
}

#[test]
fn waiting_has_an_end() {
    let soon = || parker::now_ns() + 2_000_000;
    let queue = WaitQueue::<parker::Kernel>::new();
    assert!(!queue.wait_until_deadline(|| false, soon()));
    let mut asked = 0;
    let third_time = || {
        asked += 1;
        asked == 3
    };
    assert!(queue.wait_until_deadline(third_time, soon()), "asked once more at the end");
    let (semaphore, completion) = (Semaphore::<parker::Kernel>::new(0), Completion::<parker::Kernel>::new());
    assert!(!semaphore.take_until(soon()) && !completion.wait_until(soon()));
    // Nobody waits any more, so these are kept.
    semaphore.give();
    completion.complete();
    assert!(semaphore.take_until(soon()) && completion.wait_until(soon()));
    assert!(queue.is_empty() && !semaphore.try_take());
}

/// Permits and time-outs in each other's way: what is given is taken or left, never lost.
#[test]
fn time_outs_lose_no_permit() {
    let (semaphore, taken) = (Semaphore::<parker::Kernel>::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..300 {
                    let got = semaphore.take_until(parker::now_ns() + 20_000);
                    taken.fetch_add(u64::from(got), SeqCst);
                }
            });
        }
        for _ in 0..500 {
            semaphore.give();
            std::thread::yield_now();
        }
    });
    assert_eq!(taken.into_inner() + u64::from(semaphore.permits()), 500);
}

/// A mutex is known to the checks by its task.
#[test]
fn sleeping_locks_have_an_order_too() {
    use super::checks::tests::findings;
    let (outer, inner): (Mutex<()>, RwMutex<()>) =
        (Mutex::new(Rank::SleepOuter, ()), RwMutex::new(Rank::SleepInner, ()));
    let spin = SpinLock::new(Rank::SpinInner, ());
    assert!(findings(|| drop((outer.lock(), inner.read(), spin.lock()))).is_empty());
    let found = findings(|| {
        let _inner = inner.write();
        let _outer = outer.lock();
    });
    assert!(found.len() == 1 && found[0].starts_with("lock order: `outer sleeping experiment`"), "{found:?}");
    let found = findings(|| {
        let _spin = spin.lock();
        let _outer = outer.lock();
    });
    let line = line!() - 2;
    let expected =
        std::format!("sleep at {0}:{line} while `inner experiment` is held since {0}:{1}", file!(), line - 1);
    assert_eq!(found, [expected]);
}
