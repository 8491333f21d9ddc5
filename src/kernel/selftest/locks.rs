//! Every kind of lock under several CPUs: an invariant that needs it holds with it.
//!
//! And breaks without it, or it would say nothing: with `brokenlock=NAME,…` or `brokenlock=all` on the command line these
//! locks are not taken at all, and the boot test wants to see each of them fail. What is protected is changed by plain
//! loads and stores, in steps with pauses in between. One change in sixteen under an [`IrqLock`] is made by an interrupt
//! handler on another CPU.

use super::{Outcome, check};
use crate::arch::x86_64::percpu::copies;
use crate::kernel::boot_info;
use crate::platform::pc::ipi::call;
use crate::platform::{Machine, Platform};
use crate::sync::epoch::{Fresh, Protected};
use crate::sync::grace::EPOCHS;
use crate::sync::{
    Completion, IrqLock, Mutex, Rank, RwLock, RwMutex, Semaphore, SeqLock, SpinLock, WaitQueue,
};
use crate::task::{self, JoinHandle, Policy, schedule};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, Ordering::Relaxed};
use log::info;

/// How often each changes and looks, at most, and for how long. A lock that is fought for goes from CPU to CPU; where a
/// host has fewer than there are here, each time may take one of its turns, some milliseconds.
const ROUNDS: u64 = if cfg!(debug_assertions) { 500 } else { 2000 };
const LONGEST_NS: u64 = 1_500_000_000;
/// Threads that fight for a lock that sleeps.
const THREADS: usize = 8;

/// What is done under a lock.
type Step<'a> = &'a (dyn Fn() + Sync);
/// Takes a lock and does a step.
type Under<'a> = &'a (dyn Fn(Step<'_>) + Sync);
/// Has work done by many: `work(number)` for each of them.
type Many = fn(&(dyn Fn(usize) + Sync));

fn pause() {
    for _ in 0..20 {
        core::hint::spin_loop();
    }
}

/// Waits until all are there, so that they begin together.
fn meet(arrived: &AtomicU64, all: u64) {
    arrived.fetch_add(1, Ordering::SeqCst);
    while arrived.load(Ordering::SeqCst) < all {
        core::hint::spin_loop();
        task::yield_now();
    }
}

/// Calls `step` again and again for a while; returns how often.
fn repeat(mut step: impl FnMut(u64)) -> u64 {
    let end_ns = Machine::now_ns() + LONGEST_NS;
    let mut round = 0;
    while round < ROUNDS && Machine::now_ns() < end_ns {
        step(round);
        round += 1;
    }
    round
}

/// By each CPU once, at the same time.
fn by_cpus(work: &(dyn Fn(usize) + Sync)) {
    let all = copies::online();
    let (arrived, count) = (AtomicU64::new(0), copies::online_count() as u64);
    let together = |cpu| {
        meet(&arrived, count);
        work(cpu);
    };
    by(&all.iter().map(|cpu| (cpu, Some(cpu))).collect::<Vec<_>>(), &together);
}

/// By threads, more than there are CPUs, which run where there is room, and lose their CPUs every now and then.
fn by_threads(work: &(dyn Fn(usize) + Sync)) {
    let old_ns = schedule::set_slice(100_000);
    by(&(0..THREADS).map(|number| (number, None)).collect::<Vec<_>>(), work);
    schedule::set_slice(old_ns);
}

/// By threads with these numbers, on these CPUs.
///
/// # Panics
/// If memory is out: whoever had begun would wait for the others for ever.
fn by(threads: &[(usize, Option<usize>)], work: &(dyn Fn(usize) + Sync)) {
    struct Share<'a>(&'a (dyn Fn(usize) + Sync), usize);
    fn entry(share: usize) -> usize {
        // SAFETY: one of the shares below, which are there until the thread has been joined.
        let share = unsafe { &*(share as *const Share<'_>) };
        (share.0)(share.1);
        0
    }
    let shares: Vec<_> = threads.iter().map(|&(number, _)| Share(work, number)).collect();
    let spawn = |(share, (_, cpu)): (&Share<'_>, &(usize, Option<usize>))| {
        let (policy, share) = (Policy::Normal(0), core::ptr::from_ref(share) as usize);
        match *cpu {
            Some(cpu) => task::spawn_on(cpu, "torture", policy, entry, share),
            None => task::spawn("torture", policy, entry, share),
        }
        .expect("memory for a thread")
    };
    let threads: Vec<_> = shares.iter().zip(threads).map(spawn).collect();
    threads.into_iter().for_each(|thread| _ = JoinHandle::join(thread));
}

/// Has many change two numbers under `exclusive` that are the same whenever nobody is changing them, and look at them
/// under `shared`. Returns how many changes were lost, or seen half done.
fn violations(many: Many, is_broken: bool, exclusive: Under<'_>, shared: Under<'_>) -> u64 {
    let nothing = |step: Step<'_>| step();
    let (exclusive, shared) =
        if is_broken { (&nothing as Under<'_>, &nothing as Under<'_>) } else { (exclusive, shared) };
    let (first, second, torn) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let change = || {
        let n = first.load(Relaxed);
        pause();
        first.store(n + 1, Relaxed);
        pause();
        second.store(n + 1, Relaxed);
    };
    let look = || {
        let before = first.load(Relaxed);
        pause();
        torn.fetch_add(u64::from(second.load(Relaxed) != before), Relaxed);
    };
    let rounds = AtomicU64::new(0);
    many(&|_| {
        let done = repeat(|_| {
            exclusive(&change);
            shared(&look);
        });
        rounds.fetch_add(done, Relaxed);
    });
    torn.into_inner() + rounds.into_inner().abs_diff(first.into_inner())
}

fn spin_lock(is_broken: bool) -> u64 {
    let lock = SpinLock::new(Rank::SpinInner, ());
    let with = |step: Step<'_>| {
        let _guard = lock.lock();
        step();
    };
    violations(by_cpus, is_broken, &with, &with)
}

fn irq_lock(is_broken: bool) -> u64 {
    let (lock, turn) = (IrqLock::new(Rank::IrqInner, ()), AtomicUsize::new(0));
    let with = |step: Step<'_>| {
        let _guard = lock.lock();
        step();
    };
    let also_in_handlers = |step: Step<'_>| {
        let turn = turn.fetch_add(1, Relaxed);
        if turn % 16 == 0 {
            call::run_on(turn / 16 % copies::online_count(), &|| with(step));
        } else {
            with(step);
        }
    };
    violations(by_cpus, is_broken, &also_in_handlers, &with)
}

fn rw_lock(is_broken: bool) -> u64 {
    let lock = RwLock::new(Rank::SpinInner, ());
    let write = |step: Step<'_>| {
        let _guard = lock.write();
        step();
    };
    let read = |step: Step<'_>| {
        let _guard = lock.read();
        step();
    };
    violations(by_cpus, is_broken, &write, &read)
}

/// Words that belong together.
fn words(n: u64) -> [u64; 4] {
    [n, n.wrapping_mul(3), !n, n ^ 0xA5A5]
}

fn seq_lock(is_broken: bool) -> u64 {
    let (lock, torn, rounds) = (SeqLock::new(words(0)), AtomicU64::new(0), AtomicU64::new(0));
    let bare = words(0).map(AtomicU64::new);
    by_cpus(&|_| {
        let done = repeat(|_| {
            let read = if is_broken {
                let next = words(bare[0].load(Relaxed) + 1);
                for (word, next) in bare.iter().zip(next) {
                    pause();
                    word.store(next, Relaxed);
                }
                bare.each_ref().map(|word| word.load(Relaxed))
            } else {
                lock.update(|[n, ..]: [u64; 4]| words(n + 1));
                lock.read()
            };
            torn.fetch_add(u64::from(read != words(read[0])), Relaxed);
        });
        rounds.fetch_add(done, Relaxed);
    });
    let [n, ..] = if is_broken { bare.map(AtomicU64::into_inner) } else { lock.read() };
    torn.into_inner() + rounds.into_inner().abs_diff(n)
}

/// How many values the epochs' writer puts in place.
const VALUES: usize = 200;
static GONE: [AtomicBool; VALUES] = [const { AtomicBool::new(false) }; VALUES];

/// Notes that it has been freed.
struct Noting(usize);

impl Drop for Noting {
    fn drop(&mut self) {
        GONE[self.0].store(true, Ordering::SeqCst);
    }
}

/// One CPU replaces a value again and again; the others read it, and must not find one that is gone. In the end all are,
/// and nobody had to ask for that.
fn epochs(is_broken: bool) -> u64 {
    let (protected, done, seen) = (Protected::new(), AtomicBool::new(false), AtomicU64::new(0));
    GONE.iter().for_each(|gone| gone.store(false, Ordering::SeqCst));
    let writer = 0;
    by_cpus(&|cpu| {
        while cpu != writer && !done.load(Ordering::SeqCst) {
            let reading = EPOCHS.read();
            // By number: a broken one is looked at without touching what is gone.
            if let Some(n) = protected.get(&reading).map(|value: &Noting| value.0) {
                pause();
                seen.fetch_add(u64::from(GONE[n].load(Ordering::SeqCst)), Relaxed);
            }
        }
        for n in (0..VALUES).filter(|_| cpu == writer) {
            pause();
            let old = protected.replace(Some(Fresh::new(Noting(n))));
            if is_broken && n > 0 {
                GONE[n - 1].store(true, Ordering::SeqCst);
                pause();
            }
            if n % 8 == 0 {
                old.wait(&EPOCHS);
            } else {
                EPOCHS.retire(old);
            }
        }
        if cpu == writer {
            EPOCHS.retire(protected.replace(None));
            done.store(true, Ordering::SeqCst);
        }
    });
    let end_ns = Machine::now_ns() + 30_000_000_000;
    while GONE.iter().any(|gone| !gone.load(Ordering::SeqCst)) && Machine::now_ns() < end_ns {
        task::sleep_until(Machine::now_ns() + 1_000_000);
    }
    let left = GONE.iter().filter(|gone| !gone.load(Ordering::SeqCst)).count();
    seen.into_inner() + left as u64
}

fn mutex(is_broken: bool) -> u64 {
    let lock: Mutex<()> = Mutex::new(Rank::SleepInner, ());
    let with = |step: Step<'_>| {
        let _guard = lock.lock();
        step();
    };
    violations(by_threads, is_broken, &with, &with)
}

fn rw_mutex(is_broken: bool) -> u64 {
    let lock: RwMutex<()> = RwMutex::new(Rank::SleepInner, ());
    let write = |step: Step<'_>| {
        let _guard = lock.write();
        step();
    };
    let read = |step: Step<'_>| {
        let _guard = lock.read();
        step();
    };
    violations(by_threads, is_broken, &write, &read)
}

fn semaphore(is_broken: bool) -> u64 {
    let permit: Semaphore = Semaphore::new(1);
    let with = |step: Step<'_>| {
        permit.take();
        step();
        permit.give();
    };
    violations(by_threads, is_broken, &with, &with)
}

/// Threads add to a number in turn, `rounds` times each: `wait(thread, number)` waits for the turn, `pass(thread)` gives it
/// to the next. Returns how often it was not somebody's turn.
fn turns(
    (is_broken, rounds): (bool, u64),
    wait: &(dyn Fn(usize, u64) + Sync),
    pass: &(dyn Fn(usize) + Sync),
    number: &AtomicU64,
) -> u64 {
    let wrong = AtomicU64::new(0);
    by_threads(&|thread| {
        for round in 0..rounds {
            let mine = round * THREADS as u64 + thread as u64;
            if !is_broken {
                wait(thread, mine);
            }
            let found = number.load(Relaxed);
            pause();
            wrong.fetch_add(u64::from(found != mine), Relaxed);
            number.store(found + 1, Relaxed);
            pass((thread + 1) % THREADS);
        }
    });
    wrong.into_inner()
}

fn completion(is_broken: bool) -> u64 {
    let turn: [Completion; THREADS] = [const { Completion::new() }; THREADS];
    turn[0].complete();
    let (wait, pass) = (|thread: usize, _| turn[thread].wait(), |next: usize| turn[next].complete());
    turns((is_broken, ROUNDS / 10), &wait, &pass, &AtomicU64::new(0))
}

/// All are woken each time, and all but one find that it is not their turn: so it takes longer.
fn wait_queue(is_broken: bool) -> u64 {
    let (queue, number): (WaitQueue, _) = (WaitQueue::new(), AtomicU64::new(0));
    let wait = |_: usize, mine| queue.wait_until(|| number.load(Ordering::Acquire) == mine);
    turns((is_broken, ROUNDS / 100), &wait, &|_| _ = queue.wake_all(), &number)
}

/// A kind of lock, and its torture: how often what it protects was broken, if it is taken or, on purpose, if it is not.
type Kind = (&'static str, fn(bool) -> u64);

const SPINNING: &[Kind] = &[
    ("SpinLock", spin_lock),
    ("IrqLock", irq_lock),
    ("RwLock", rw_lock),
    ("SeqLock", seq_lock),
    ("Epochs", epochs),
];

const SLEEPING: &[Kind] = &[
    ("Mutex", mutex),
    ("RwMutex", rw_mutex),
    ("Semaphore", semaphore),
    ("Completion", completion),
    ("WaitQueue", wait_queue),
];

fn run(kinds: &[Kind]) -> Outcome {
    super::smp::several()?;
    let broken = boot_info::command_line().last("brokenlock").unwrap_or("");
    let mut all = 0;
    for &(name, torture) in kinds {
        let is_broken = broken.split(',').any(|word| word == name || word == "all");
        let count = torture(is_broken);
        let how = if is_broken { ", not taken" } else { "" };
        info!(target: "selftest", "{name}{how}: {count} violations");
        all += count;
    }
    check(all == 0, "what a lock protects was broken")
}

/// `smp-spinning`.
pub fn spinning() -> Outcome {
    run(SPINNING)
}

/// `smp-sleeping`.
pub fn sleeping() -> Outcome {
    run(SLEEPING)
}
