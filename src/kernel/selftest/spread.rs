//! Threads on all CPUs of the live machine: they go where they are sent, all CPUs work, and no wake-up is lost on the way.

use super::{Outcome, Trouble, check};
use crate::arch::x86_64::percpu;
use crate::platform::{Machine, Platform};
use crate::sync::WaitQueue;
use crate::task::{self, CpuSet, JoinHandle, Policy, schedule};
use crate::testing::Random;
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

const MS: u64 = 1_000_000;

static STOP: AtomicBool = AtomicBool::new(false);

fn cpus() -> Result<Vec<usize>, Trouble> {
    let cpus: Vec<_> = schedule::online().iter().collect();
    if cpus.len() < 2 { Err(Trouble::Skipped("one CPU")) } else { Ok(cpus) }
}

fn spawn(policy: Policy, entry: task::thread::Entry, argument: usize) -> Result<JoinHandle, &'static str> {
    task::spawn("test", policy, entry, argument).map_err(|_| "no memory for a thread")
}

/// `smp-moves`.
pub fn moves() -> Outcome {
    let cpus = cpus()?;
    for &cpu in &cpus {
        let pinned = task::spawn_on(cpu, "test", Policy::Normal(0), |_| percpu::number(), 0);
        check(pinned.map_err(|_| "no memory for a thread")?.join() == cpu, "a thread runs where it may not")?;
    }
    // One that runs is moved away from under itself.
    let mover = spawn(
        Policy::Normal(0),
        |_| {
            let mut wrong = 0;
            for round in 0..200 {
                for cpu in schedule::online().iter() {
                    schedule::set_allowed(&task::current(), &CpuSet::one(cpu));
                    wrong += usize::from(percpu::number() != cpu);
                    if round % 2 == 0 {
                        // Also while it sleeps, and then wakes up.
                        task::sleep_until(Machine::now_ns() + 1000);
                        wrong += usize::from(percpu::number() != cpu);
                    }
                }
            }
            wrong
        },
        0,
    )?;
    check(mover.join() == 0, "a thread stays where it may not be")?;
    let nowhere = schedule::set_allowed(&task::current(), &CpuSet::EMPTY);
    check(!nowhere, "a thread may run nowhere at all")?;
    hunted(&cpus)
}

/// Whose turn it is of two, and their queues, for each of the pairs of [`hunted`].
static TURNS: [AtomicUsize; PAIRS] = [const { AtomicUsize::new(0) }; PAIRS];
static QUEUES: [[WaitQueue; 2]; PAIRS] = [const { [const { WaitQueue::new() }; 2] }; PAIRS];
static FINISHED: AtomicUsize = AtomicUsize::new(0);
const PAIRS: usize = 3;
const ROUNDS: usize = 3_000;

fn player(number: usize) -> usize {
    let (pair, me) = (number / 2, number % 2);
    for _ in 0..ROUNDS {
        QUEUES[pair][me].wait_until(|| TURNS[pair].load(Ordering::SeqCst) % 2 == me);
        TURNS[pair].fetch_add(1, Ordering::SeqCst);
        QUEUES[pair][1 - me].wake_one();
    }
    FINISHED.fetch_add(1, Ordering::SeqCst);
    0
}

/// Pairs that wake each other are sent from CPU to CPU, and from class to class, while they run, wait and sleep.
fn hunted(cpus: &[usize]) -> Outcome {
    FINISHED.store(0, Ordering::SeqCst);
    TURNS.iter().for_each(|turn| turn.store(0, Ordering::SeqCst));
    let mut players = Vec::new();
    for number in 0..2 * PAIRS {
        players.push(spawn(Policy::Normal(0), player, number)?);
    }
    let mut random = Random::new(5);
    let end = Machine::now_ns() + 120_000 * MS;
    let (mut last, mut last_change) = (0, Machine::now_ns());
    while FINISHED.load(Ordering::SeqCst) < players.len() {
        let victim = players[random.below(players.len() as u64) as usize].thread();
        let set = match random.below(3) {
            0 => CpuSet::ALL,
            _ => CpuSet::one(cpus[random.below(cpus.len() as u64) as usize]),
        };
        check(schedule::set_allowed(victim, &set), "a CPU that runs is refused")?;
        let policy = match random.below(4) {
            0 => Policy::Fifo(1 + random.below(5) as u8),
            1 => Policy::RoundRobin(2),
            2 => Policy::Batch(3),
            _ => Policy::Normal(random.below(40) as i8 - 20),
        };
        schedule::set_policy(victim, policy);
        let sum: usize = TURNS.iter().map(|turn| turn.load(Ordering::SeqCst)).sum();
        if sum != last {
            (last, last_change) = (sum, Machine::now_ns());
        }
        let now = Machine::now_ns();
        check(now < end || now - last_change < 30_000 * MS, "two threads that wake each other stand still")?;
        task::sleep_until(now + 20_000);
    }
    players.into_iter().for_each(|thread| _ = thread.join());
    Ok(())
}

static WORK: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

/// Works until it is to stop; notes on which CPUs. Returns its CPU time in microseconds.
fn work(_: usize) -> usize {
    while !STOP.load(Ordering::Relaxed) {
        let cpu = percpu::number();
        WORK[cpu % WORK.len()].fetch_add(1, Ordering::Relaxed);
        (0..1000).for_each(|n| _ = black_box(n));
    }
    schedule::account();
    (task::current().cpu_ns() / 1000) as usize
}

/// `smp-spread`: twice as many threads as CPUs, all of which only work. How equal their parts are is printed, and asserted
/// by test/boot under -icount: on a machine that is busy with other things nobody can promise anything.
pub fn spread() -> Outcome {
    let cpus = cpus()?;
    const WALL_NS: u64 = 10_000 * MS;
    STOP.store(false, Ordering::Relaxed);
    WORK.iter().for_each(|work| work.store(0, Ordering::Relaxed));
    let start = Machine::now_ns();
    let mut threads = Vec::new();
    for _ in 0..2 * cpus.len() {
        threads.push(spawn(Policy::Normal(0), work, 0)?);
    }
    task::sleep_until(start + WALL_NS);
    STOP.store(true, Ordering::Relaxed);
    let times: Vec<_> = threads.into_iter().map(|thread| thread.join() as u64).collect();
    let wall_us = (Machine::now_ns() - start) / 1000;
    let least = times.iter().copied().min().unwrap_or(0);
    let most = times.iter().copied().max().unwrap_or(0);
    log::info!(target: "selftest", "smp-spread: {least} to {most} us of {} each", wall_us / 2);
    let idle = cpus.iter().filter(|&&cpu| WORK[cpu % WORK.len()].load(Ordering::Relaxed) == 0).count();
    check(idle == 0, "a CPU did nothing while threads waited")?;
    check(times.iter().sum::<u64>() <= wall_us * cpus.len() as u64, "more CPU time than there was")
}
