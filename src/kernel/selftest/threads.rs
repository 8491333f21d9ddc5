//! Threads on the live machine: whose turn it is, that nothing of one gets into another, and that nothing is left.

mod patterns;

use super::{Outcome, check, settle};
use crate::arch::x86_64::cr::Cr0;
use crate::arch::x86_64::percpu;
use crate::arch::x86_64::preempt::NoPreemption;
use crate::mm::{frames, heap};
use crate::platform::{Machine, Platform};
use crate::sync::WaitQueue;
use crate::task::{self, JoinHandle, Policy, schedule, stack, thread};
use crate::testing::Random;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

const MS: u64 = 1_000_000;

fn spawn(policy: Policy, entry: thread::Entry, argument: usize) -> Result<JoinHandle, &'static str> {
    task::spawn("test", policy, entry, argument).map_err(|_| "no memory for a thread")
}

/// The same, on this CPU alone.
fn spawn_here(policy: Policy, entry: thread::Entry, argument: usize) -> Result<JoinHandle, &'static str> {
    let spawned = task::spawn_on(percpu::number(), "test", policy, entry, argument);
    spawned.map_err(|_| "no memory for a thread")
}

/// Sleeps until `done` says so, or the time is over; whether it did.
fn comes_true(within_ns: u64, mut done: impl FnMut() -> bool) -> bool {
    let end = Machine::now_ns() + within_ns;
    while !done() {
        if Machine::now_ns() > end {
            return false;
        }
        task::sleep_until(Machine::now_ns() + MS);
    }
    true
}

/// What a run of [`switch`] shares.
static ORDER: [AtomicU32; 16] = [const { AtomicU32::new(0) }; 16];
static TAKEN: AtomicUsize = AtomicUsize::new(0);

fn note(number: u32) {
    ORDER[TAKEN.fetch_add(1, Ordering::SeqCst) % ORDER.len()].store(number, Ordering::SeqCst);
}

fn order() -> Vec<u32> {
    let taken = TAKEN.swap(0, Ordering::SeqCst).min(ORDER.len());
    ORDER[..taken].iter().map(|number| number.load(Ordering::SeqCst)).collect()
}

fn note_thrice(number: usize) -> usize {
    for _ in 0..3 {
        note(number as u32);
        task::yield_now();
    }
    number
}

/// `smp-switch`.
pub fn switch() -> Outcome {
    order();
    // Who is more urgent runs before `spawn` is over, unless preemption is off; then as soon as it is on.
    spawn_here(
        Policy::Fifo(5),
        |_| {
            note(1);
            0
        },
        0,
    )?
    .join();
    let keeps_cpu = NoPreemption::new();
    let urgent = spawn_here(
        Policy::Fifo(5),
        |_| {
            note(3);
            0
        },
        0,
    )?;
    note(2);
    drop(keeps_cpu);
    note(4);
    urgent.join();
    check(order() == [1, 2, 3, 4], "threads did not run by urgency")?;
    // Three of one priority begin before any runs, and take turns by yielding; a lower one comes after all of them.
    let keeps_cpu = NoPreemption::new();
    let mut threads = Vec::new();
    for (number, priority) in [(9, 4), (1, 5), (2, 5), (3, 5)] {
        threads.push(spawn_here(Policy::Fifo(priority), note_thrice, number)?);
    }
    drop(keeps_cpu);
    let results: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
    check(results == [9, 1, 2, 3], "join returns something else than the thread")?;
    check(order() == [1, 2, 3, 1, 2, 3, 1, 2, 3, 9, 9, 9], "threads of one priority did not take turns")?;
    fair()
}

static STOP: AtomicBool = AtomicBool::new(false);
/// Counts what all of [`work`] do.
static SHARED: AtomicU64 = AtomicU64::new(0);

/// Works until [`STOP`], and returns its CPU time in microseconds.
fn work(_: usize) -> usize {
    while !STOP.load(Ordering::Relaxed) {
        SHARED.fetch_add(1, Ordering::Relaxed);
    }
    schedule::account();
    (task::current().cpu_ns() / 1000) as usize
}

/// Threads that only work share the CPU, by slices, and the account of it is complete. How equal the parts are is printed:
/// an emulator that stands still for a while charges whoever runs just then, so test/boot asserts it under -icount.
fn fair() -> Outcome {
    const THREADS: usize = 8;
    const WALL_NS: u64 = 800 * MS;
    STOP.store(false, Ordering::Relaxed);
    let old_ns = schedule::set_slice(MS);
    let start = Machine::now_ns();
    let mut threads = Vec::new();
    for _ in 0..THREADS {
        threads.push(spawn_here(Policy::Normal(0), work, 0)?);
    }
    task::sleep_until(start + WALL_NS);
    let late_ns = Machine::now_ns() - start - WALL_NS;
    STOP.store(true, Ordering::Relaxed);
    let times: Vec<_> = threads.into_iter().map(|thread| thread.join() as u64 * 1000).collect();
    let wall_ns = Machine::now_ns() - start;
    schedule::set_slice(old_ns);
    let (sum, least) = (times.iter().sum::<u64>(), times.iter().copied().min().unwrap_or(0));
    let most = times.iter().copied().max().unwrap_or(0);
    log::info!(target: "selftest", "smp-switch: {} to {} us of {} each, woken {} us late", least / 1000, most / 1000, wall_ns / THREADS as u64 / 1000, late_ns / 1000);
    check(sum <= wall_ns && sum >= wall_ns / 2, "the account of CPU time is not complete")?;
    check(least > 0, "a thread had no time at all")?;
    unequal()
}

/// Nice 0 beside nice 5, which get time by their weights; and a real-time thread, which leaves neither any. Printed as
/// well.
fn unequal() -> Outcome {
    const WALL_NS: u64 = 600 * MS;
    STOP.store(false, Ordering::Relaxed);
    let start = Machine::now_ns();
    let nice = spawn_here(Policy::Normal(5), work, 0)?;
    let normal = spawn_here(Policy::Normal(0), work, 0)?;
    task::sleep_until(start + WALL_NS);
    // By a thread before which neither has its turn.
    let urgent = spawn_here(
        Policy::Fifo(1),
        |_| {
            schedule::account();
            let before = SHARED.load(Ordering::Relaxed);
            let end = Machine::now_ns() + 50 * MS;
            while Machine::now_ns() < end {
                black_box(0);
            }
            usize::from(SHARED.load(Ordering::Relaxed) != before)
        },
        0,
    )?;
    let got_in = urgent.join();
    STOP.store(true, Ordering::Relaxed);
    let [normal, nice] = [normal, nice].map(JoinHandle::join);
    log::info!(target: "selftest", "smp-switch: nice 0 {normal} us, nice 5 {nice} us");
    check(got_in == 0, "a thread of the fair class ran beside a real-time one")?;
    check(normal > nice, "nice 5 got as much as nice 0")
}

/// `smp-threads`.
pub fn many() -> Outcome {
    const THREADS: usize = 10_000;
    const AT_ONCE: usize = 20;
    let settle = || {
        stack::shrink(0);
        settle();
        let slabs = heap::HEAP.stats().find(|cache| cache.name == "thread").map_or(0, |cache| cache.in_use);
        (frames::free_frames(), stack::counts(), slabs, thread::count())
    };
    // The first time page tables are made, which stay.
    round(AT_ONCE)?;
    let before = settle();
    for _ in 0..THREADS / AT_ONCE {
        round(AT_ONCE)?;
    }
    // Detached: nobody waits for it, and it goes all the same.
    drop(spawn(Policy::Fifo(1), |_| 0, 0)?);
    let after = settle();
    if before != after {
        log::error!(target: "selftest", "frames, stacks, threads: {before:?} before, {after:?} after");
    }
    check(before == after, "something was left behind")
}

fn round(threads: usize) -> Outcome {
    let mut handles = Vec::new();
    for number in 0..threads {
        // Some are done before `spawn` returns, others not before `join`.
        let policy = if number % 3 == 0 { Policy::Fifo(1) } else { Policy::Normal(0) };
        handles.push(spawn(
            policy,
            |number| if number % 2 == 0 { number + 1 } else { task::exit(number + 1) },
            number,
        )?);
    }
    for (number, handle) in handles.into_iter().enumerate() {
        check(handle.join() == number + 1, "a thread returned something else")?;
    }
    Ok(())
}

/// Whose turn it is in [`ping`], and the queues of the two.
static TURN: AtomicUsize = AtomicUsize::new(0);
static PLAYERS: [WaitQueue; 2] = [const { WaitQueue::new() }; 2];
static DONE: AtomicUsize = AtomicUsize::new(0);
const ROUNDS: usize = 20_000;

fn ping(me: usize) -> usize {
    for _ in 0..ROUNDS {
        PLAYERS[me].wait_until(|| TURN.load(Ordering::SeqCst) % 2 == me);
        TURN.fetch_add(1, Ordering::SeqCst);
        PLAYERS[1 - me].wake_one();
    }
    DONE.fetch_add(1, Ordering::SeqCst);
    0
}

/// Sleeps that ended early, and how long the latest came.
static EARLY: AtomicUsize = AtomicUsize::new(0);

/// Short sleeps, some of which have passed before they begin.
fn sleeper(seed: usize) -> usize {
    let mut random = Random::new(seed as u64);
    for _ in 0..200 {
        let until = Machine::now_ns() + random.below(100_000);
        task::sleep_until(until);
        if Machine::now_ns() < until {
            EARLY.fetch_add(1, Ordering::SeqCst);
        }
    }
    DONE.fetch_add(1, Ordering::SeqCst);
    0
}

/// `smp-wait`.
pub fn wait() -> Outcome {
    const LIMIT_NS: u64 = 60_000 * MS;
    let old_ns = schedule::set_slice(MS / 20);
    let outcome = (|| {
        // A wake-up that comes first is not lost: the second time only does it wait.
        task::unpark(&task::current());
        task::park();
        let (mut threads, mut sleepers) = (Vec::new(), Vec::new());
        DONE.store(0, Ordering::SeqCst);
        TURN.store(0, Ordering::SeqCst);
        for me in 0..2 {
            threads.push(spawn(Policy::Normal(0), ping, me)?);
        }
        check(
            comes_true(LIMIT_NS, || DONE.load(Ordering::SeqCst) == 2),
            "two threads that wake each other stand still",
        )?;
        DONE.store(0, Ordering::SeqCst);
        EARLY.store(0, Ordering::SeqCst);
        for seed in 0..16 {
            let policy = if seed % 2 == 0 { Policy::Normal(0) } else { Policy::RoundRobin(3) };
            sleepers.push(spawn(policy, sleeper, seed)?);
        }
        // Wake-ups that mean nothing come in between, also when a timer is about to.
        let all_awake = comes_true(LIMIT_NS, || {
            sleepers.iter().for_each(|sleeper| task::unpark(sleeper.thread()));
            DONE.load(Ordering::SeqCst) == sleepers.len()
        });
        check(all_awake, "a sleeper did not wake up")?;
        threads.into_iter().chain(sleepers).for_each(|thread| _ = thread.join());
        check(EARLY.load(Ordering::SeqCst) == 0, "a sleep ended early")
    })();
    schedule::set_slice(old_ns);
    outcome
}

/// Checks that failed in [`survive`]: the last code; and loops that were done.
static WRONG: AtomicU32 = AtomicU32::new(0);
static LOOPS: AtomicU64 = AtomicU64::new(0);

fn hold(seed: usize) -> usize {
    let kind = patterns::Kind::of(seed);
    if kind.needs_fpu() && task::fpu::own().is_err() {
        WRONG.store(u32::MAX, Ordering::Relaxed);
        return 0;
    }
    let block = patterns::Block::new(seed as u64);
    while goes_on(block.hold(kind)) {}
    0
}

/// `smp-fpu`.
pub fn registers() -> Outcome {
    survive(hold, 10_000, "smp-fpu")
}

/// `long-fpu`.
pub fn registers_long() -> Outcome {
    survive(hold, 1_000_000, "long-fpu")
}

/// 64 threads of `hold(seed)`, as long as it takes for so many switches.
pub(super) fn survive(hold: thread::Entry, switches: u64, name: &str) -> Outcome {
    const THREADS: usize = 64;
    const SLICE_NS: u64 = 50_000;
    /// Switches that there have to be within that time.
    const SOME: u64 = 1000;
    const STANDSTILL_NS: u64 = 120_000 * MS;
    STOP.store(false, Ordering::Relaxed);
    WRONG.store(0, Ordering::Relaxed);
    LOOPS.store(0, Ordering::Relaxed);
    let old_ns = schedule::set_slice(SLICE_NS);
    let mut threads = Vec::new();
    for seed in 0..THREADS {
        threads.push(spawn(Policy::Normal(0), hold, seed)?);
    }
    let before = schedule::switches();
    let switched = || schedule::switches() - before;
    // It takes as long as it takes: on a busy host no more than a few hundred a second. But they must go on.
    let is_done = || switched() >= switches || WRONG.load(Ordering::Relaxed) != 0;
    let gets_further = || {
        let next = switched() + SOME;
        comes_true(STANDSTILL_NS, || switched() >= next || is_done())
    };
    while !is_done() && gets_further() {}
    let enough = is_done();
    STOP.store(true, Ordering::Relaxed);
    schedule::set_slice(old_ns);
    threads.into_iter().for_each(|thread| _ = thread.join());
    let code = WRONG.load(Ordering::Relaxed);
    log::info!(target: "selftest", "{name}: {} switches, {} loops, {}", switched(), LOOPS.load(Ordering::Relaxed), patterns::Kind::of(0).name());
    if code != 0 {
        log::error!(target: "selftest", "check {code} of asm/patterns.h found something else than was left there");
    }
    check(code == 0, "a register was changed by another thread")?;
    check(enough, "threads were not preempted")?;
    check(Cr0::read().contains(Cr0::TS), "a thread without such state could use another's")
}

/// For a thread of [`survive`]: whether it is to go on, after a loop that found what `code` says.
pub(super) fn goes_on(code: u32) -> bool {
    match code {
        0 => _ = LOOPS.fetch_add(1, Ordering::Relaxed),
        code => WRONG.store(code, Ordering::Relaxed),
    }
    !STOP.load(Ordering::Relaxed) && WRONG.load(Ordering::Relaxed) == 0
}
