//! `RLIMIT_CPU`: a process that has had its time is told of it, each second, and in the end is ended.
//!
//! One timer for all, which is armed only while somebody has such a limit. When it comes each process with one is looked at; it comes
//! again when the first of them can have used up what is left to it, all its threads being on CPUs of their own. So nothing is
//! counted where time is spent.
//!
//! Source: getrlimit(2); Linux, kernel/time/posix-cpu-timers.c (`check_process_timers`).

use super::limits::{Due, INFINITY, Resource};
use super::process::{Process, TREE};
use super::send;
use super::signal::Info;
use crate::platform::timers;
use crate::platform::{Machine, Platform};
use crate::task::schedule;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// It comes no more often, and no less: who has little left may make more threads.
const PERIODS_NS: (u64, u64) = (10_000_000, 100_000_000);

/// The timer is armed, or somebody is looking.
static AT_WORK: AtomicBool = AtomicBool::new(false);
/// How often a process has been given a limit: one that is given while others are looked at is not missed.
static GIVEN: AtomicU64 = AtomicU64::new(0);

/// A process has another limit, or is one more with its maker's.
pub fn watch(process: &Process) {
    let limit = process.limits.lock().get(Resource::Cpu);
    if limit.soft == INFINITY && limit.hard == INFINITY {
        return;
    }
    GIVEN.fetch_add(1, Ordering::SeqCst);
    if !AT_WORK.swap(true, Ordering::SeqCst) {
        arm(PERIODS_NS.0);
    }
}

fn arm(after_ns: u64) {
    if timers::at(Machine::now_ns().saturating_add(after_ns), rings, 0).is_err() {
        // No timer is free: whoever comes next tries again.
        AT_WORK.store(false, Ordering::SeqCst);
    }
}

/// In an interrupt handler: the tree is not to be looked at here.
fn rings(_: usize) {
    if !Machine::defer(look, 0) {
        arm(PERIODS_NS.0);
    }
}

fn look(_: usize) {
    let given = GIVEN.load(Ordering::SeqCst);
    schedule::account();
    let (mut from, mut next_ns) = (0, u64::MAX);
    loop {
        let found = TREE.lock().next(from).map(|(pid, process)| (pid, process.clone()));
        let Some((pid, process)) = found else { break };
        from = pid + 1;
        let threads = process.group().threads as u64;
        if threads == 0 {
            continue;
        }
        let used_ns = process.cpu_ns();
        let Due { signal, left_ns, .. } = {
            // With the lock all the time: somebody may be about to set another.
            let mut limits = process.limits.lock();
            let due = limits.get(Resource::Cpu).due(used_ns);
            let _ = limits.set(Resource::Cpu, due.limit, true);
            due
        };
        if let Some(signal) = signal {
            send::to_process(&process, Info::kernel(signal));
        }
        next_ns = next_ns.min(left_ns.map_or(u64::MAX, |left| left / threads));
    }
    if next_ns == u64::MAX {
        AT_WORK.store(false, Ordering::SeqCst);
        if GIVEN.load(Ordering::SeqCst) == given || AT_WORK.swap(true, Ordering::SeqCst) {
            return;
        }
    }
    arm(next_ns.clamp(PERIODS_NS.0, PERIODS_NS.1));
}
