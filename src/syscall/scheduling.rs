//! Who runs where and how much, limits, what was used, and futexes.

use super::clocks::{after, timespec};
use super::{Arguments, Call};
use crate::arch::x86_64::{percpu, usercopy};
use crate::boot::layout::MAX_CPUS;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::refs::Ref;
use crate::platform::{Machine, Platform};
use crate::proc::cpu_time;
use crate::proc::futex::{self as words, Word};
use crate::proc::limits::{Limit, Resource};
use crate::proc::process::{Process, TREE, Task};
use crate::sync::parker::NEVER;
use crate::task::sched::entity::{QUANTUM_NS, SLICE_NS};
use crate::task::{self, CpuSet, Policy, ThreadRef, schedule};
use core::sync::atomic::Ordering;

pub fn sched_yield(_: &mut Call<'_>, _: Arguments) -> Result<u64> {
    task::yield_now();
    Ok(0)
}

pub fn getcpu(_: &mut Call<'_>, [cpu, node, ..]: Arguments) -> Result<u64> {
    if cpu != 0 {
        usercopy::write(cpu, &(percpu::number() as u32))?;
    }
    if node != 0 {
        usercopy::write(node, &0_u32)?;
    }
    Ok(0)
}

/// A thread by its number, 0 being oneself.
fn thread(call: &Call<'_>, tid: u64) -> Result<(Ref<Process>, ThreadRef)> {
    with_task(call, tid, |task| Ok((task.process.clone(), task.thread.get().cloned().ok_or(Errno::Esrch)?)))
}

/// Calls `look` with such a thread's part of its process.
fn with_task<R>(call: &Call<'_>, tid: u64, look: impl FnOnce(&Task) -> Result<R>) -> Result<R> {
    match tid as u32 {
        0 => look(call.task),
        tid => {
            let task = TREE.lock().thread(tid).cloned().ok_or(Errno::Esrch)?;
            look(&task)
        }
    }
}

/// Whether a process may change another's scheduling.
fn may_change(call: &Call<'_>, other: &Process) -> Result<()> {
    let (mine, theirs) = (call.process().credentials(), other.credentials());
    let may = mine.effective_uid == 0 || [theirs.uid, theirs.effective_uid].contains(&mine.effective_uid);
    if may { Ok(()) } else { Err(Errno::Eperm) }
}

pub fn sched_getaffinity(call: &mut Call<'_>, [tid, size, to, ..]: Arguments) -> Result<u64> {
    let (_, thread) = thread(call, tid)?;
    let allowed = thread.allowed().and(&schedule::online());
    let size = size & 0xFFFF_FFFF;
    let highest = schedule::online().iter().last().unwrap_or(0);
    let len = (highest / 64 + 1) * 8;
    if size < len as u64 || size % 8 != 0 {
        return Err(Errno::Einval);
    }
    for n in 0..len / 8 {
        let word =
            (0..64).filter(|bit| allowed.contains(n * 64 + bit)).fold(0_u64, |word, bit| word | 1 << bit);
        usercopy::write(to + n as u64 * 8, &word)?;
    }
    Ok(len as u64)
}

pub fn sched_setaffinity(call: &mut Call<'_>, [tid, size, from, ..]: Arguments) -> Result<u64> {
    let (process, thread) = thread(call, tid)?;
    may_change(call, &process)?;
    let mut set = CpuSet::EMPTY;
    for n in 0..(size & 0xFFFF_FFFF).min(MAX_CPUS as u64 / 8) {
        let byte: u8 = usercopy::read(from + n)?;
        (0..8).filter(|bit| byte >> bit & 1 != 0).for_each(|bit| set.insert(n as usize * 8 + bit));
    }
    if schedule::set_allowed(&thread, &set) { Ok(0) } else { Err(Errno::Einval) }
}

const SCHED_OTHER: u64 = 0;
const SCHED_FIFO: u64 = 1;
const SCHED_RR: u64 = 2;
const SCHED_BATCH: u64 = 3;
const SCHED_IDLE: u64 = 5;
/// May be set beside the policy.
const RESET_ON_FORK: u64 = 0x4000_0000;

pub fn sched_getscheduler(call: &mut Call<'_>, [tid, ..]: Arguments) -> Result<u64> {
    with_task(call, tid, |task| {
        let thread = task.thread.get().ok_or(Errno::Esrch)?;
        let resets = if task.resets_on_fork.load(Ordering::Relaxed) { RESET_ON_FORK } else { 0 };
        Ok(number_of(thread.policy()) | resets)
    })
}

const fn number_of(policy: Policy) -> u64 {
    match policy {
        Policy::Normal(_) => SCHED_OTHER,
        Policy::Fifo(_) => SCHED_FIFO,
        Policy::RoundRobin(_) => SCHED_RR,
        Policy::Batch(_) => SCHED_BATCH,
        Policy::Idle => SCHED_IDLE,
    }
}

pub fn sched_getparam(call: &mut Call<'_>, [tid, to, ..]: Arguments) -> Result<u64> {
    if to == 0 {
        return Err(Errno::Einval);
    }
    let (_, thread) = thread(call, tid)?;
    let priority = match thread.policy() {
        Policy::Fifo(priority) | Policy::RoundRobin(priority) => u32::from(priority),
        _ => 0,
    };
    usercopy::write(to, &priority)?;
    Ok(0)
}

pub fn sched_setscheduler(call: &mut Call<'_>, [tid, policy, from, ..]: Arguments) -> Result<u64> {
    set_policy(call, tid, Some(policy), from)
}

/// The policy stays, its priority changes.
pub fn sched_setparam(call: &mut Call<'_>, [tid, from, ..]: Arguments) -> Result<u64> {
    set_policy(call, tid, None, from)
}

/// How long a thread may run before its equals do.
pub fn sched_rr_get_interval(call: &mut Call<'_>, [tid, to, ..]: Arguments) -> Result<u64> {
    let (_, thread) = thread(call, tid)?;
    let ns = match thread.policy() {
        Policy::Fifo(_) => 0,
        Policy::RoundRobin(_) => QUANTUM_NS,
        _ => SLICE_NS,
    };
    usercopy::write(to, &[ns / 1_000_000_000, ns % 1_000_000_000])?;
    Ok(0)
}

fn set_policy(call: &Call<'_>, tid: u64, policy: Option<u64>, from: u64) -> Result<u64> {
    if from == 0 {
        return Err(Errno::Einval);
    }
    let priority: u32 = usercopy::read(from)?;
    with_task(call, tid, |task| set_policy_of(call, task, policy, priority)).map(|()| 0)
}

fn set_policy_of(call: &Call<'_>, task: &Task, policy: Option<u64>, priority: u32) -> Result<()> {
    let thread = task.thread.get().ok_or(Errno::Esrch)?;
    may_change(call, &task.process)?;
    let did_reset = task.resets_on_fork.load(Ordering::Relaxed);
    let resets = policy.map_or(did_reset, |policy| policy & RESET_ON_FORK != 0);
    let policy = policy.unwrap_or_else(|| number_of(thread.policy()));
    let policy = match (policy & 0xFFFF_FFFF & !RESET_ON_FORK, priority) {
        (SCHED_OTHER, 0) => Policy::Normal(nice(thread)),
        (SCHED_BATCH, 0) => Policy::Batch(nice(thread)),
        (SCHED_IDLE, 0) => Policy::Idle,
        (SCHED_FIFO, 1..=99) => Policy::Fifo(priority as u8),
        (SCHED_RR, 1..=99) => Policy::RoundRobin(priority as u8),
        _ => return Err(Errno::Einval),
    };
    if call.process().credentials().effective_uid != 0 {
        let before = thread.policy();
        let allowed = task.process.limits.lock().soft(Resource::RealTimePriority);
        let urgency = |policy: Policy| match policy {
            Policy::Fifo(priority) | Policy::RoundRobin(priority) => u64::from(priority),
            _ => 0,
        };
        let (is_other, more) = (number_of(policy) != number_of(before), urgency(policy) > urgency(before));
        if urgency(policy) > 0 && (is_other && allowed == 0 || more && urgency(policy) > allowed) {
            return Err(Errno::Eperm);
        }
        if did_reset && !resets {
            return Err(Errno::Eperm);
        }
    }
    task.resets_on_fork.store(resets, Ordering::Relaxed);
    schedule::set_policy(thread, policy);
    Ok(())
}

pub fn sched_get_priority_max(_: &mut Call<'_>, [policy, ..]: Arguments) -> Result<u64> {
    priorities(policy).map(|(_, most)| most)
}

pub fn sched_get_priority_min(_: &mut Call<'_>, [policy, ..]: Arguments) -> Result<u64> {
    priorities(policy).map(|(least, _)| least)
}

fn priorities(policy: u64) -> Result<(u64, u64)> {
    match policy & 0xFFFF_FFFF {
        SCHED_FIFO | SCHED_RR => Ok((1, 99)),
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE => Ok((0, 0)),
        _ => Err(Errno::Einval),
    }
}

fn nice(thread: &ThreadRef) -> i8 {
    if let Policy::Normal(nice) | Policy::Batch(nice) = thread.policy() { nice } else { 0 }
}

/// The threads that `getpriority` and `setpriority` are about.
fn meant(call: &Call<'_>, which: u64, who: u64) -> Result<alloc::vec::Vec<(Ref<Process>, ThreadRef)>> {
    let which = which & 0xFFFF_FFFF;
    let mut found = alloc::vec::Vec::new();
    if which == 0 {
        crate::mm::vma::room::reserve(&mut found, 1)?;
        found.push(thread(call, who)?);
        return Ok(found);
    }
    let tree = TREE.lock();
    let group = if who == 0 { tree.group(call.task.pid()).unwrap_or(0) } else { who as u32 };
    let uid = if who == 0 { call.process().credentials().uid } else { who as u32 };
    let mut from = 0;
    while let Some((pid, process)) = tree.next(from) {
        from = pid + 1;
        let is_meant = match which {
            1 => tree.group(pid) == Some(group),
            2 => process.credentials().uid == uid,
            _ => return Err(Errno::Einval),
        };
        let thread = process.group().iter().next().and_then(|task| task.thread.get().cloned());
        if let Some(thread) = thread.filter(|_| is_meant) {
            crate::mm::vma::room::reserve(&mut found, 1)?;
            found.push((process.clone(), thread));
        }
    }
    if found.is_empty() { Err(Errno::Esrch) } else { Ok(found) }
}

/// From 40 for the most down to 1, as the call itself has it.
pub fn getpriority(call: &mut Call<'_>, [which, who, ..]: Arguments) -> Result<u64> {
    let found = meant(call, which, who)?;
    let best = found.iter().map(|(_, thread)| nice(thread)).min().unwrap_or(0);
    Ok((20 - i64::from(best)) as u64)
}

pub fn setpriority(call: &mut Call<'_>, [which, who, value, ..]: Arguments) -> Result<u64> {
    let wanted = (value as i32).clamp(-20, 19) as i8;
    for (process, thread) in meant(call, which, who)? {
        may_change(call, &process)?;
        // RLIMIT_NICE counts from 1, which is 19, to 40, which is -20.
        let allowed = process.limits.lock().soft(Resource::Nice);
        let is_allowed = (20 - i64::from(wanted)) as u64 <= allowed;
        if wanted < nice(&thread) && !is_allowed && call.process().credentials().effective_uid != 0 {
            return Err(Errno::Eacces);
        }
        match thread.policy() {
            Policy::Normal(_) => schedule::set_policy(&thread, Policy::Normal(wanted)),
            Policy::Batch(_) => schedule::set_policy(&thread, Policy::Batch(wanted)),
            _ => {}
        }
    }
    Ok(0)
}

fn write_limit(to: u64, limit: Limit) -> Result<()> {
    Ok(usercopy::write(to, &[limit.soft, limit.hard])?)
}

pub fn getrlimit(call: &mut Call<'_>, [resource, to, ..]: Arguments) -> Result<u64> {
    let limit = call.process().limits.lock().get(Resource::new(resource & 0xFFFF_FFFF)?);
    write_limit(to, limit).map(|()| 0)
}

pub fn setrlimit(call: &mut Call<'_>, [resource, from, ..]: Arguments) -> Result<u64> {
    if from == 0 {
        return Err(Errno::Efault);
    }
    prlimit64(call, [0, resource, from, 0, 0, 0])
}

pub fn prlimit64(call: &mut Call<'_>, [pid, resource, new, old, ..]: Arguments) -> Result<u64> {
    let resource = Resource::new(resource & 0xFFFF_FFFF)?;
    let process = match pid as u32 {
        0 => call.process().clone(),
        pid => TREE.lock().get(pid).cloned().ok_or(Errno::Esrch)?,
    };
    if process.pid != call.task.pid() {
        let (mine, theirs) = (call.process().credentials(), process.credentials());
        let is_same = [theirs.uid, theirs.effective_uid, theirs.saved_uid] == [mine.uid; 3]
            && [theirs.gid, theirs.effective_gid, theirs.saved_gid] == [mine.gid; 3];
        if !is_same && mine.effective_uid != 0 {
            return Err(Errno::Eperm);
        }
    }
    let wanted = if new == 0 { None } else { Some(usercopy::read::<[u64; 2]>(new)?) };
    let before = {
        let privileged = call.process().credentials().effective_uid == 0;
        let mut limits = process.limits.lock();
        let before = limits.get(resource);
        if let Some([soft, hard]) = wanted {
            // No second at all would be the end before the program hears of it.
            let soft = if resource == Resource::Cpu && soft == 0 && hard > 0 { 1 } else { soft };
            limits.set(resource, Limit { soft, hard }, privileged)?;
        }
        before
    };
    if wanted.is_some() {
        new_bounds(&process);
    }
    if old != 0 {
        write_limit(old, before)?;
    }
    Ok(0)
}

/// Limits of memory are the memory's own, and others are kept where they are asked for.
fn new_bounds(process: &Process) {
    let limits = *process.limits.lock();
    let bounds = crate::mm::vma::space::Limits {
        address_space: limits.bound(Resource::AddressSpace),
        data: limits.bound(Resource::Data),
        stack: limits.bound(Resource::Stack),
        ..Default::default()
    };
    if let Some(memory) = process.memory() {
        memory.space.set_limits(bounds);
    }
    process.set_queue_limit(limits.soft(Resource::SignalsPending));
    cpu_time::watch(process);
}

/// struct rusage: user and system time, then counts that are not kept.
pub fn rusage(cpu_ns: u64) -> [u8; 144] {
    let mut bytes = [0; 144];
    bytes[0..8].copy_from_slice(&(cpu_ns / 1_000_000_000).to_le_bytes());
    bytes[8..16].copy_from_slice(&(cpu_ns % 1_000_000_000 / 1000).to_le_bytes());
    bytes
}

pub fn getrusage(call: &mut Call<'_>, [who, to, ..]: Arguments) -> Result<u64> {
    schedule::account();
    let ns = match who as i32 {
        0 => call.process().cpu_ns(),
        -1 => call.process().children_ns.load(Ordering::Relaxed),
        1 => call.task.thread.get().map_or(0, |thread| thread.cpu_ns()),
        _ => return Err(Errno::Einval),
    };
    usercopy::copy_out(to, &rusage(ns))?;
    Ok(0)
}

pub fn times(call: &mut Call<'_>, [to, ..]: Arguments) -> Result<u64> {
    const TICK_NS: u64 = 10_000_000;
    schedule::account();
    if to != 0 {
        let (own, children) = (call.process().cpu_ns(), call.process().children_ns.load(Ordering::Relaxed));
        usercopy::write(to, &[own / TICK_NS, 0, children / TICK_NS, 0])?;
    }
    Ok(Machine::now_ns() / TICK_NS)
}

const FUTEX_WAIT: u64 = 0;
const FUTEX_WAKE: u64 = 1;
const FUTEX_REQUEUE: u64 = 3;
const FUTEX_CMP_REQUEUE: u64 = 4;
const FUTEX_WAKE_OP: u64 = 5;
const FUTEX_WAIT_BITSET: u64 = 9;
const FUTEX_WAKE_BITSET: u64 = 10;
const FUTEX_PRIVATE: u64 = 128;
const FUTEX_CLOCK_REALTIME: u64 = 256;

pub fn futex(_: &mut Call<'_>, [word, operation, value, timeout, second, value3]: Arguments) -> Result<u64> {
    let operation = operation & 0xFFFF_FFFF;
    let command = operation & !(FUTEX_PRIVATE | FUTEX_CLOCK_REALTIME);
    let value = value as u32;
    let is_private = operation & FUTEX_PRIVATE != 0;
    let (word, second) = (Word { address: word, is_private }, Word { address: second, is_private });
    match command {
        FUTEX_WAIT => {
            let deadline = if timeout == 0 { NEVER } else { after(timespec(timeout)?) };
            let result = words::wait(word, value, words::ANY, deadline).map(|()| 0);
            // Begun again behind a handler it would wait for all of it again.
            result.map_err(|error| {
                if error == Errno::Erestart && timeout != 0 { Errno::Erestartnohand } else { error }
            })
        }
        FUTEX_WAIT_BITSET => {
            let deadline = match timeout {
                0 => NEVER,
                at => {
                    let wanted = timespec(at)?;
                    let real = operation & FUTEX_CLOCK_REALTIME != 0;
                    let now = if real {
                        Machine::unix_ns().map_or_else(Machine::now_ns, |ns| ns as u64)
                    } else {
                        Machine::now_ns()
                    };
                    after(wanted.saturating_sub(now))
                }
            };
            words::wait(word, value, value3 as u32, deadline).map(|()| 0)
        }
        FUTEX_WAKE => words::wake(word, value, words::ANY).map(u64::from),
        FUTEX_WAKE_BITSET => words::wake(word, value, value3 as u32).map(u64::from),
        FUTEX_REQUEUE => words::requeue(word, value, second, timeout as u32, None).map(u64::from),
        FUTEX_CMP_REQUEUE => {
            words::requeue(word, value, second, timeout as u32, Some(value3 as u32)).map(u64::from)
        }
        FUTEX_WAKE_OP => words::wake_op(word, value, second, timeout as u32, value3 as u32).map(u64::from),
        _ => Err(Errno::Enosys),
    }
}

/// The class of an I/O priority, and what goes with it. Source: ioprio_set(2).
const IO_CLASS_SHIFT: u64 = 13;

/// The processes that `ioprio_get` and `ioprio_set` are about. All threads of a process have one priority here.
fn meant_by_io(call: &Call<'_>, which: u64, who: u64) -> Result<alloc::vec::Vec<Ref<Process>>> {
    // The numbers of `setpriority`, and one more.
    let which = (which & 0xFFFF_FFFF).checked_sub(1).filter(|which| *which < 3).ok_or(Errno::Einval)?;
    let mut found = alloc::vec::Vec::new();
    for (process, _) in meant(call, which, who)? {
        crate::mm::vma::room::reserve(&mut found, 1)?;
        found.push(process);
    }
    Ok(found)
}

/// The best of theirs: where one has a class and another has none, the class.
pub fn ioprio_get(call: &mut Call<'_>, [which, who, ..]: Arguments) -> Result<u64> {
    let found = meant_by_io(call, which, who)?;
    let all = found.iter().map(|process| process.io_priority.load(Ordering::Relaxed));
    Ok(all.filter(|priority| *priority != 0).min().unwrap_or(0).into())
}

/// It is kept, and handed down: no disk is waited for yet whose driver would ask.
pub fn ioprio_set(call: &mut Call<'_>, [which, who, priority, ..]: Arguments) -> Result<u64> {
    let priority = priority & 0xFFFF_FFFF;
    let (class, data) = (priority >> IO_CLASS_SHIFT, priority & ((1 << IO_CLASS_SHIFT) - 1));
    match class {
        // Real time.
        1 if call.process().credentials().effective_uid != 0 => return Err(Errno::Eperm),
        1 | 2 if data < 8 => {}
        3 => {}
        0 if data == 0 => {}
        _ => return Err(Errno::Einval),
    }
    for process in meant_by_io(call, which, who)? {
        may_change(call, &process)?;
        process.io_priority.store(priority as u32, Ordering::Relaxed);
    }
    Ok(0)
}
