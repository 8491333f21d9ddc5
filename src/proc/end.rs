//! Ends: of a thread, of a process, and who is told.
//!
//! ```text
//! exit_group, a signal ──► begin: the status is noted, every thread has WORK_END
//!                              │ each on its way back to ring 3
//!                              ▼
//! exit ──────────────────► thread_ends: futexes, its number        the last one: process_ends
//!                                                                       │ memory, files, children
//!                                                                       ▼
//!                                                        a zombie; the parent is told, or it is reaped at once
//! ```

use super::process::{Group, Process, TREE, Task, WORK_END, WORK_SIGNAL, WORK_STOP};
use super::send;
use super::signal::info::{Child, code};
use super::signal::{Info, Signal};
use super::tree;
use crate::arch::x86_64::usercopy;
use crate::fs::refs::Ref;
use crate::proc::{SIGCHLD, futex};
use core::sync::atomic::Ordering;
use spin::Once;

/// The status of a process that ended by itself.
pub const fn exited(code: u8) -> u32 {
    (code as u32) << 8
}

/// That of one that a signal ended. None leaves a core.
pub const fn killed(signal: Signal) -> u32 {
    signal.number() as u32
}

/// What is done when the first process ends, and when a session loses its leader.
pub struct Hooks {
    /// With its status; does not come back to the process.
    pub init_ended: fn(u32),
    /// The leader of a session that has a terminal ends: the terminal is told.
    pub leader_ends: fn(&Process),
}

static HOOKS: Once<Hooks> = Once::new();

/// Says what else is done. Once, before the first process.
pub fn on_end(hooks: Hooks) {
    HOOKS.call_once(|| hooks);
}

/// The process of the thread that runs is to end with this status; also every other thread of it.
pub fn begin(task: &Task, status: u32) {
    begin_in(&task.process, &mut task.process.group(), status);
}

/// The same of any process, with its threads' part at hand.
pub fn begin_in(process: &Process, group: &mut Group, status: u32) {
    group.end.get_or_insert(status);
    for one in group.iter() {
        one.done(WORK_STOP);
        one.alert(WORK_END);
    }
    process.continued.wake_all();
}

/// The thread that runs is over: it is not in ring 3 any more, its memory is still in place. `status` counts if it is the
/// last of its process, and nobody has said how that ends; so it is on Linux since 6.0, where before the first one's counted.
pub fn thread_ends(task: &Ref<Task>, status: u32) {
    leave_memory(task);
    release_vfork(task);
    task.activate(None);
    let process = task.process.clone();
    if let Some(thread) = task.thread.get() {
        process.ended_ns.fetch_add(thread.cpu_ns(), Ordering::Relaxed);
    }
    let left = {
        let tid = task.tid();
        let mut tree = TREE.lock();
        tree.take_thread(tid);
        if tid != process.pid {
            tree.release(tid);
        }
        // Last: an execve that finds itself alone takes the process's number.
        task.unlist()
    };
    // It has heard that it is to end, and is nobody's to send signals to: what it waits for from here on, such as a terminal that
    // has yet to send what was written, it waits for as anybody does.
    task.done(WORK_END | WORK_SIGNAL | WORK_STOP);
    send::pass_on(&process);
    // An execve of another thread's waits to be alone.
    process.children.wake_all();
    if left == 0 {
        let status = process.group().end.unwrap_or(status);
        process_ends(&process, status);
    }
}

/// The thread that runs is about to have no part any more in the memory that it works in: who waits there for its locks, or
/// for its end, is told.
pub fn leave_memory(task: &Task) {
    futex::leave_robust(task.robust_list.swap(0, Ordering::Relaxed), task.tid());
    let clear = task.clear_tid.swap(0, Ordering::Relaxed);
    if clear != 0 {
        // Nobody who could be waiting knows of an error.
        let _ = usercopy::write(clear, &0_u32);
        futex::wake_at(clear);
    }
}

/// Whoever waits for this thread to have memory of its own goes on.
pub fn release_vfork(task: &Task) {
    if let Some(waiting) = task.vfork.lock().take() {
        waiting.complete();
    }
}

fn process_ends(process: &Ref<Process>, status: u32) {
    let _ = super::alarm::set(process, 0, 0);
    let is_leader = TREE.lock().session(process.pid) == Some(process.pid);
    if is_leader {
        if let Some(hooks) = HOOKS.get() {
            (hooks.leader_ends)(process);
        }
    }
    process.drop_files();
    drop(process.set_memory(None));
    if process.pid == tree::INIT {
        end_everybody_else();
    }
    let (mut told, mut bereaved) = (alloc::vec::Vec::new(), alloc::vec::Vec::new());
    let (parent, exit_signal, orphaned) = {
        let mut tree = TREE.lock();
        let pid = process.pid;
        let group = tree.group(pid);
        let parent = tree.parent(pid);
        // Groups that only this process may have kept from being orphaned.
        let mut groups = alloc::vec::Vec::new();
        for theirs in group.into_iter().chain(tree.children(pid).filter_map(|(child, _)| tree.group(child))) {
            if !groups.contains(&theirs) && !tree.is_orphaned(theirs) && groups.try_reserve(1).is_ok() {
                groups.push(theirs);
            }
        }
        tree.leave_children(pid, |orphan| {
            orphan.child.parent.store(orphan.parent.pid, Ordering::Relaxed);
            let wants_to_know = orphan.child.death_signal.load(Ordering::Relaxed) != 0;
            if wants_to_know && bereaved.try_reserve(1).is_ok() {
                bereaved.push(orphan.child.clone());
            }
            if orphan.ended.is_some() && told.try_reserve(1).is_ok() {
                told.push(orphan);
            }
        });
        tree.set_zombie(pid, status);
        // Those whom nobody will continue any more are told so.
        groups.retain(|&theirs| tree.is_orphaned(theirs) && tree.has_stopped(theirs));
        (parent.and_then(|parent| tree.get(parent).cloned()), tree.exit_signal(pid), groups)
    };
    for group in orphaned {
        send::to_group(group, Info::kernel(Signal::HUP));
        send::to_group(group, Info::kernel(Signal::CONT));
    }
    for child in bereaved {
        if let Some(signal) = Signal::new(child.death_signal.load(Ordering::Relaxed).into()) {
            send::to_process(&child, Info::kernel(signal));
        }
    }
    for orphan in told {
        tell_of_end(&orphan.parent, &orphan.child, orphan.exit_signal, orphan.ended.unwrap_or(0));
    }
    match parent {
        Some(parent) => tell_of_end(&parent, process, exit_signal, status),
        // The first, or one without a parent.
        None => {
            TREE.lock().reap(process.pid);
            if process.pid == tree::INIT {
                if let Some(hooks) = HOOKS.get() {
                    (hooks.init_ended)(status);
                }
            }
        }
    }
}

/// The first process ends: so does everybody.
fn end_everybody_else() {
    let mut after = tree::INIT;
    loop {
        let next = TREE.lock().next(after + 1).map(|(pid, process)| (pid, process.clone()));
        let Some((pid, process)) = next else { return };
        after = pid;
        send::to_process(&process, Info::kernel(Signal::KILL));
    }
}

/// Tells a parent that its child has ended. Who wants to hear nothing has it reaped.
fn tell_of_end(parent: &Ref<Process>, child: &Ref<Process>, exit_signal: u8, status: u32) {
    let rules = parent.group().actions.child_rules();
    let is_usual = exit_signal == SIGCHLD;
    // Somebody may have been quicker, and the number be another's.
    let is_there = || TREE.lock().get(child.pid).is_some_and(|now| now.is(child));
    if rules.reap && is_usual && is_there() {
        forget(parent, child.pid);
    }
    let signal = Signal::new(u64::from(exit_signal)).filter(|_| !is_usual || rules.tell_end);
    let info = signal.map(|signal| {
        let (code, status) = match status & 0x7F {
            0 => (code::CLD_EXITED, (status >> 8 & 0xFF) as i32),
            by => (code::CLD_KILLED, by as i32),
        };
        Info::child(signal, &about(child, code, status))
    });
    send::of_end(parent, child, info);
    parent.children.wake_all();
}

fn about(child: &Process, code: i32, status: i32) -> Child {
    const TICK_NS: u64 = 10_000_000;
    let ticks = (child.ended_ns.load(Ordering::Relaxed) / TICK_NS) as i64;
    Child { pid: child.pid, uid: child.credentials().uid, code, status, user_ticks: ticks, system_ticks: 0 }
}

/// A zombie goes for good; its times are its parent's. False if somebody was quicker.
pub fn forget(parent: &Process, pid: u32) -> bool {
    let Some(child) = TREE.lock().reap(pid) else { return false };
    let total = child.ended_ns.load(Ordering::Relaxed) + child.children_ns.load(Ordering::Relaxed);
    parent.children_ns.fetch_add(total, Ordering::Relaxed);
    drop(child);
    crate::fs::tidy();
    true
}

/// A process has stopped, or (`by` is `None`) goes on: its parent hears of it.
pub fn tell_of_stop(process: &Process, by: Option<u8>) {
    let parent = {
        let mut tree = TREE.lock();
        if process.group().stopped != by {
            // It is different by now, and whoever made it so tells.
            return;
        }
        tree.set_stopped(process.pid, by);
        tree.parent(process.pid).and_then(|parent| tree.get(parent).cloned())
    };
    let Some(parent) = parent else { return };
    let tells = parent.group().actions.child_rules().tell_stop;
    if tells {
        let (code, status) = match by {
            Some(signal) => (code::CLD_STOPPED, i32::from(signal)),
            None => (code::CLD_CONTINUED, i32::from(Signal::CONT.number())),
        };
        send::to_process(&parent, Info::child(Signal::CHLD, &about(process, code, status)));
    }
    parent.children.wake_all();
}

/// Whether the thread that runs is to end.
pub fn is_ending(task: &Task) -> bool {
    let work = task.work();
    work & WORK_END != 0
        || work & WORK_SIGNAL != 0 && {
            let group = task.process.group();
            let mine = task.signals.lock();
            group.end.is_some() || group.pending.set().with(mine.pending.set()).contains(Signal::KILL)
        }
}
