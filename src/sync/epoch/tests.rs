//! Threads that play CPUs: nothing is freed under a reader, and everything is freed in the end.

use super::*;
use core::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Barrier};

const N: usize = 4;

/// The CPUs of a test: threads, which are numbered by [`run_as`].
struct Threads;

std::thread_local! {
    static CPU: Cell<usize> = const { Cell::new(usize::MAX) };
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

fn run_as(cpu: usize) {
    CPU.with(|number| number.set(cpu));
}

impl Cpus for Threads {
    fn count() -> usize {
        N
    }

    fn current() -> usize {
        CPU.with(Cell::get)
    }

    fn disable_preemption() {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
    }

    fn enable_preemption() {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }

    fn preemption_depth() -> u32 {
        DEPTH.with(Cell::get)
    }

    fn relax() {
        std::thread::yield_now();
    }
}

type TestEpochs = Epochs<Threads, N>;

/// Notes in a place that outlives it that it has been freed.
struct Noting {
    n: usize,
    freed: Arc<Vec<AtomicBool>>,
}

impl Drop for Noting {
    fn drop(&mut self) {
        assert!(!self.freed[self.n].swap(true, Ordering::SeqCst), "freed twice");
    }
}

use std::vec::Vec;

fn places(count: usize) -> Arc<Vec<AtomicBool>> {
    Arc::new((0..count).map(|_| AtomicBool::new(false)).collect())
}

/// Readers on all CPUs but one, where `change` is called with each number in turn; returns how often a reader saw one
/// that had been freed.
fn torture(
    freed: &Arc<Vec<AtomicBool>>,
    protected: &Protected<Noting>,
    epochs: &TestEpochs,
    change: impl Fn(usize),
) -> usize {
    let (done, seen) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for cpu in 1..N {
            let (done, seen) = (&done, &seen);
            scope.spawn(move || {
                run_as(cpu);
                epochs.leave_idle();
                while !done.load(Ordering::Relaxed) {
                    let reading = epochs.read();
                    // By number, so that even a broken one is looked at without touching what is gone.
                    let n = protected.get(&reading).map(|value| value.n);
                    for _ in 0..3 {
                        std::thread::yield_now();
                        let is_gone = n.is_some_and(|n| freed[n].load(Ordering::SeqCst));
                        seen.fetch_add(usize::from(is_gone), Ordering::Relaxed);
                    }
                    drop(reading);
                    epochs.quiescent();
                }
                epochs.enter_idle();
            });
        }
        run_as(0);
        epochs.leave_idle();
        (0..freed.len()).for_each(change);
        done.store(true, Ordering::Relaxed);
    });
    seen.into_inner()
}

#[test]
fn nothing_is_freed_under_a_reader() {
    let (freed, protected, epochs) = (places(300), Protected::new(), TestEpochs::new());
    let seen = torture(&freed, &protected, &epochs, |n| {
        let old = protected.replace(Some(Fresh::new(Noting { n, freed: freed.clone() })));
        if n % 2 == 0 {
            old.wait(&epochs);
            assert!(n == 0 || freed[n - 1].load(Ordering::SeqCst));
        } else {
            epochs.retire(old);
            epochs.quiescent();
            epochs.collect();
        }
    });
    assert_eq!(seen, 0);
    // All readers are idle now.
    epochs.quiescent();
    epochs.collect();
    assert!(!epochs.has_retired());
    assert!(freed[..299].iter().all(|freed| freed.load(Ordering::SeqCst)));
    drop(protected);
    assert!(freed[299].load(Ordering::SeqCst));
}

/// The same without waiting for the readers: the torture finds it.
#[test]
fn without_waiting_it_is_seen() {
    let (freed, protected, epochs) = (places(2000), Protected::new(), TestEpochs::new());
    let kept = std::sync::Mutex::new(Vec::new());
    let seen = torture(&freed, &protected, &epochs, |n| {
        let old = protected.replace(Some(Fresh::new(Noting { n, freed: places(n + 1) })));
        if n > 0 {
            // As if: it says that it is gone, and is not.
            freed[n - 1].store(true, Ordering::SeqCst);
        }
        kept.lock().unwrap().push(old.0 as usize);
        std::thread::yield_now();
    });
    assert!(seen > 0);
    for old in kept.into_inner().unwrap() {
        if let Some(node) = Retired(old as *mut Node<Noting>).take() {
            // SAFETY: out of a box, unlinked, and the readers have ended.
            drop(unsafe { Box::from_raw(node.as_ptr()) });
        }
    }
}

#[test]
fn a_reader_holds_it_up_and_an_idle_cpu_does_not() {
    let (freed, protected, epochs) = (places(2), Protected::new(), TestEpochs::new());
    run_as(0);
    for cpu in 0..N {
        run_as(cpu);
        if cpu < 2 { epochs.leave_idle() } else { epochs.enter_idle() }
    }
    run_as(0);
    let fresh = |n| Some(Fresh::new(Noting { n, freed: freed.clone() }));
    let _ = protected.replace(fresh(0));
    let (inside, over) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            run_as(1);
            let reading = epochs.read();
            assert_eq!(protected.get(&reading).map(|value| value.n), Some(0));
            inside.wait();
            over.wait();
            assert_eq!(protected.get(&reading).map(|value| value.n), Some(1));
            drop(reading);
            epochs.quiescent();
            inside.wait();
        });
        inside.wait();
        epochs.retire(protected.replace(fresh(1)));
        epochs.quiescent();
        assert_eq!((epochs.collect(), freed[0].load(Ordering::SeqCst)), (0, false));
        over.wait();
        inside.wait();
        assert_eq!((epochs.collect(), freed[0].load(Ordering::SeqCst)), (1, true));
    });
}

#[test]
#[should_panic(expected = "a quiescent state in a read section")]
fn a_quiescent_state_in_a_read_section_is_none() {
    let epochs = TestEpochs::new();
    run_as(0);
    let _reading = epochs.read();
    epochs.quiescent();
}
