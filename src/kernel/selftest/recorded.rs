//! A few threads on all CPUs, recorded: some that work, one that is urgent, two that wake each other, one that is sent away.
//!
//! The recording stays, for `trace dump`: test/boot looks at it closely, and docs/13-scheduling.md has a picture of one.

use super::{Outcome, Trouble, check};
use crate::platform::{Machine, Platform};
use crate::sync::WaitQueue;
use crate::task::trace::Event;
use crate::task::{self, CpuSet, JoinHandle, Name, Policy, recorder, schedule};
use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const MS: u64 = 1_000_000;
/// Half of the workers end after the first half of it.
const HALF_NS: u64 = 18 * MS;

static STOP: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
/// Whose turn it is of the two that wake each other.
static TURN: AtomicUsize = AtomicUsize::new(0);
static QUEUES: [WaitQueue; 2] = [const { WaitQueue::new() }; 2];

fn is_over(half: usize) -> bool {
    STOP[half].load(Ordering::Relaxed)
}

fn work_for(ns: u64) {
    let end = Machine::now_ns() + ns;
    while Machine::now_ns() < end {
        (0..100).for_each(|n| _ = black_box(n));
    }
}

/// Works without a break.
fn worker(half: usize) -> usize {
    while !is_over(half) {
        work_for(MS / 20);
    }
    0
}

/// Comes every 5 ms, for 1 ms, before all others.
fn urgent(_: usize) -> usize {
    while !is_over(1) {
        task::sleep_until(Machine::now_ns() + 5 * MS);
        work_for(MS);
    }
    0
}

/// One of two: works a little, wakes the other, waits for its turn.
fn player(me: usize) -> usize {
    while !is_over(1) {
        QUEUES[me].wait_until(|| TURN.load(Ordering::SeqCst) % 2 == me || is_over(1));
        work_for(MS / 2);
        TURN.store(1 - me, Ordering::SeqCst);
        QUEUES[1 - me].wake_one();
    }
    0
}

/// `smp-trace`.
pub fn run() -> Outcome {
    let cpus: Vec<_> = schedule::online().iter().collect();
    if cpus.len() < 2 {
        return Err(Trouble::Skipped("one CPU"));
    }
    recorder::on().map_err(|_| "no memory for a recording")?;
    let played = play(&cpus);
    recorder::off();
    played?;
    let (mut switches, mut wake_ups, mut starts, mut migrations) = (0, 0, 0, 0);
    recorder::for_each(&mut |_, _, event| match event {
        Event::Switch { .. } => switches += 1,
        Event::Wake { .. } => wake_ups += 1,
        Event::Start { .. } => starts += 1,
        Event::Migrate { .. } => migrations += 1,
    });
    log::info!(target: "selftest", "smp-trace: {switches} switches, {wake_ups} wake-ups, {starts} beginnings, {migrations} migrations");
    check(starts > cpus.len() + 3, "threads began that are not in the recording")?;
    check(wake_ups > 0 && switches > starts, "threads woke that are not in the recording")?;
    check(migrations > 0, "a thread was sent away, and that is not in the recording")
}

fn play(cpus: &[usize]) -> Outcome {
    STOP.iter().for_each(|stop| stop.store(false, Ordering::Relaxed));
    TURN.store(0, Ordering::Relaxed);
    let start = Machine::now_ns();
    let mut threads = Vec::new();
    let began = begin(cpus, &mut threads);
    if began.is_ok() {
        task::sleep_until(start + HALF_NS / 2);
        // Wherever it is, one of these is another CPU.
        if let Some(first) = threads.first().map(JoinHandle::thread) {
            for &cpu in cpus.iter().filter(|&&cpu| cpu != first.cpu()).take(1).chain(&cpus[..2]) {
                schedule::set_allowed(first, &CpuSet::one(cpu));
                task::sleep_until(Machine::now_ns() + MS);
            }
            schedule::set_allowed(first, &CpuSet::ALL);
        }
        task::sleep_until(start + HALF_NS);
        STOP[0].store(true, Ordering::Relaxed);
        task::sleep_until(start + 2 * HALF_NS);
    }
    STOP.iter().for_each(|stop| stop.store(true, Ordering::Relaxed));
    QUEUES.iter().for_each(|queue| _ = queue.wake_all());
    threads.into_iter().for_each(|thread| _ = thread.join());
    began
}

/// Two workers more than CPUs, and the others. The first is one that ends late.
fn begin(cpus: &[usize], threads: &mut Vec<JoinHandle>) -> Outcome {
    let none = |_| "no memory for a thread";
    for number in 0..cpus.len() + 2 {
        let name = Name::numbered("work/", number);
        let half = 1 - number % 2;
        threads.push(task::spawn(name.as_str(), Policy::Normal(0), worker, half).map_err(none)?);
    }
    threads.push(task::spawn_on(cpus[1], "urgent", Policy::Fifo(10), urgent, 0).map_err(none)?);
    for (me, name) in ["ping", "pong"].into_iter().enumerate() {
        threads.push(task::spawn(name, Policy::Normal(0), player, me).map_err(none)?);
    }
    Ok(())
}
