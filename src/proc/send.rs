//! Sending signals: to a thread, a process, a group.
//!
//! What is decided is in [`signal::send`](super::signal::send) and its like; here are the locks, the queues, and who is
//! woken.

use super::end;
use super::ids;
use super::process::{Group, Process, TREE, Task, WORK_END, WORK_SIGNAL, WORK_STOP};
use super::signal::deliver;
use super::signal::mask::Mask;
use super::signal::send::{self, Candidate, Effect};
use super::signal::{Info, SigSet, Signal};
use super::tree::State;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::refs::Ref;
use crate::task::thread;

/// Signals that wait in one queue, at most, whatever `RLIMIT_SIGPENDING` says: a queue is not to take the heap.
const QUEUED_MAX: usize = 1024;

/// Sends a signal to a process: one of its threads takes it.
pub fn to_process(process: &Ref<Process>, info: Info) {
    let _ = post(process, None, info);
}

/// Sends a signal to one thread.
pub fn to_thread(task: &Task, info: Info) {
    let _ = post(&task.process, Some(task), info);
}

/// The same, for who wants to know if it was lost (EAGAIN).
pub fn queue(process: &Ref<Process>, task: Option<&Task>, info: Info) -> Result<()> {
    post(process, task, info)
}

/// Sends the thread that runs a signal about what it did itself, which it cannot miss.
pub fn force(task: &Task, info: Info) {
    let signal = info.signal();
    let mut group = task.process.group();
    let mut mine = task.signals.lock();
    send::force(signal, &mut group.actions, &mut mine.mask);
    let _ = mine.pending.push(info, None, false);
    task.note(WORK_SIGNAL);
}

/// A child of a process's has ended: it may be waited for from now on, and `info` is sent of it, if any. Both at once: who
/// hears of it and then waits without blocking finds it, and who has waited for it finds that signal with him.
pub fn of_end(parent: &Ref<Process>, child: &Ref<Process>, info: Option<Info>) {
    let is_continued = {
        let mut tree = TREE.lock();
        // Somebody may have been quicker, and the number be another's.
        if tree.get(child.pid).is_some_and(|now| now.is(child)) {
            tree.announce(child.pid);
        }
        info.is_some_and(|info| post_in(parent, None, info).0)
    };
    if is_continued {
        end::tell_of_stop(parent, None);
    }
}

/// Nobody who calls holds the tree's lock or a group's.
fn post(process: &Ref<Process>, task: Option<&Task>, info: Info) -> Result<()> {
    let (is_continued, posted) = post_in(process, task, info);
    // The tree's lock comes before the group's.
    if is_continued {
        end::tell_of_stop(process, None);
    }
    posted
}

/// The same; true if the parent is to hear of a stopped process that goes on. Nobody who calls holds a group's lock.
fn post_in(process: &Process, task: Option<&Task>, info: Info) -> (bool, Result<()>) {
    let mut group = process.group();
    if group.threads == 0 {
        return (false, Ok(()));
    }
    let is_continued = take_back(process, &mut group, info.signal());
    (is_continued, put(process, &mut group, task, info))
}

/// What a signal takes back by being sent, whether or not anybody takes it. True if the parent is to hear of a stopped
/// process that goes on.
fn take_back(process: &Process, group: &mut Group, signal: Signal) -> bool {
    let effect = Effect::of(signal);
    if !effect.discard.is_empty() {
        group.pending.discard(effect.discard);
        for one in group.iter() {
            one.signals.lock().pending.discard(effect.discard);
        }
    }
    let has_gone_on = (effect.continues || signal == Signal::KILL) && goes_on(process, group);
    has_gone_on && effect.continues
}

/// Into a queue, and somebody is told.
fn put(process: &Process, group: &mut Group, task: Option<&Task>, info: Info) -> Result<()> {
    let signal = info.signal();
    let most = process.queue_limit().min(QUEUED_MAX);
    let first_mask = match task {
        Some(task) => task.signals.lock().mask,
        None => group.iter().next().map(|one| one.signals.lock().mask).unwrap_or_default(),
    };
    if send::is_ignored(signal, &group.actions, &first_mask, group.is_init) {
        return Ok(());
    }
    match task {
        Some(task) => {
            {
                let mut mine = task.signals.lock();
                let charge = (!mine.pending.is_full(most)).then_some(());
                mine.pending.push(info, charge, true)?;
            }
            let who = candidate(task);
            if who.wants(signal) {
                end_if_fatal(process, group, signal, &who.mask);
            }
            if !who.mask.now().contains(signal) {
                tell(group, task, signal);
            }
        }
        None => {
            let charge = (!group.pending.is_full(most)).then_some(());
            group.pending.push(info, charge, true)?;
            let picked = send::pick(signal, group.iter().map(candidate));
            if let Some(task) = picked.and_then(|found| group.iter().nth(found)) {
                let mask = task.signals.lock().mask;
                end_if_fatal(process, group, signal, &mask);
            }
            // Who was told of something before may have found nothing, it having been taken back, and be asleep again.
            let told = picked.and_then(|found| group.iter().nth(found));
            let told = told.or_else(|| group.iter().find(|one| !one.blocked().contains(signal)));
            if let Some(task) = told {
                tell(group, task, signal);
            }
        }
    }
    Ok(())
}

fn candidate(task: &Task) -> Candidate {
    let mask = task.signals.lock().mask;
    Candidate {
        mask,
        is_exiting: task.work() & WORK_END != 0,
        is_stopped: task.work() & WORK_STOP != 0,
        is_running: task.thread.get().is_some_and(|thread| thread.state() == thread::State::Running),
        is_alerted: task.work() & WORK_SIGNAL != 0,
    }
}

/// A thread is about to take a signal: if that will be the process's end, every thread of it hears so at once, whatever it
/// waits for.
fn end_if_fatal(process: &Process, group: &mut Group, signal: Signal, mask: &Mask) {
    if send::is_fatal(signal, &group.actions, mask, group.is_init) {
        end::begin_in(process, group, end::killed(signal));
    }
}

/// A thread is to take a signal; what ends the process is for all of them.
fn tell(group: &Group, task: &Task, signal: Signal) {
    task.alert(WORK_SIGNAL);
    if signal == Signal::KILL {
        group.iter().for_each(|one| one.alert(WORK_SIGNAL));
    }
}

/// It goes on. False if it was not stopped.
fn goes_on(process: &Process, group: &mut Group) -> bool {
    group.is_to_stop = false;
    let was_stopped = group.stopped.take().is_some();
    for task in group.iter() {
        task.done(WORK_STOP);
    }
    process.continued.wake_all();
    was_stopped
}

/// What `kill` may be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Process(u32),
    Group(u32),
    /// All but the first process and the caller's own.
    All,
}

/// `kill`: ESRCH, EPERM. `signal` is `None` for the mere question.
pub fn kill(from: &Process, target: Target, signal: Option<Signal>) -> Result<()> {
    let credentials = from.credentials();
    let may = |to: &Process| {
        let theirs = to.credentials();
        ids::may_signal(&credentials, &theirs)
            || signal == Some(Signal::CONT) && same_session(from.pid, to.pid)
    };
    let send = |to: &Ref<Process>| -> Result<()> {
        if !may(to) {
            return Err(Errno::Eperm);
        }
        if let Some(signal) = signal {
            to_process(to, Info::kill(signal, from.pid, credentials.uid));
        }
        Ok(())
    };
    if let Target::Process(pid) = target {
        let found = {
            let tree = TREE.lock();
            // A thread's number stands for its process.
            tree.get(pid).cloned().or_else(|| tree.thread(pid).map(|task| task.process.clone()))
        };
        return send(&found.ok_or(Errno::Esrch)?);
    }
    let (mut found, mut done, mut last) = (false, false, Ok(()));
    let mut after = 0;
    loop {
        // One after the other, by number: a group may change meanwhile.
        let next = {
            let tree = TREE.lock();
            match target {
                Target::Group(group) => {
                    let above =
                        tree.members(group).filter(|(pid, _)| *pid > after).min_by_key(|(pid, _)| *pid);
                    above.map(|(pid, process)| (pid, process.clone()))
                }
                _ => tree.next(after + 1).map(|(pid, process)| (pid, process.clone())),
            }
        };
        let Some((pid, process)) = next else { break };
        after = pid;
        if target == Target::All && (pid == super::tree::INIT || pid == from.pid) {
            continue;
        }
        found = true;
        match send(&process) {
            Ok(()) => done = true,
            Err(error) => last = Err(error),
        }
    }
    if done {
        Ok(())
    } else if found {
        last
    } else {
        Err(Errno::Esrch)
    }
}

fn same_session(one: u32, other: u32) -> bool {
    let tree = TREE.lock();
    tree.session(one).is_some() && tree.session(one) == tree.session(other)
}

/// Sends a signal of the kernel's to a group.
pub fn to_group(group: u32, info: Info) {
    let mut after = 0;
    loop {
        let next = {
            let tree = TREE.lock();
            let above = tree.members(group).filter(|(pid, _)| *pid > after).min_by_key(|(pid, _)| *pid);
            above.map(|(pid, process)| (pid, process.clone()))
        };
        let Some((pid, process)) = next else { return };
        after = pid;
        if !matches!(TREE.lock().state(pid), Some(State::Zombie(_))) {
            to_process(&process, info);
        }
    }
}

/// Somebody who may have been told of what waits for any thread will not take it: the others look.
pub fn pass_on(process: &Process) {
    let group = process.group();
    pass_on_in(&group, group.pending.set());
}

/// After a thread's mask or queue has changed: what it, or of what it blocks the others of its process instead, have to do
/// about signals. What it can take it takes, having been chosen for that.
pub fn look_again(task: &Task) {
    let group = task.process.group();
    task.look_in(&group);
    let blocked = task.blocked();
    pass_on_in(&group, group.pending.set().and(blocked));
}

fn pass_on_in(group: &Group, waiting: SigSet) {
    if waiting.is_empty() {
        return;
    }
    for one in group.iter() {
        if !waiting.without(one.blocked()).is_empty() {
            one.alert(WORK_SIGNAL);
        }
    }
}

/// Whether a thread has a signal that it does not block, or is to stop or to end: then it waits for nothing else.
pub fn has_news(task: &Task) -> bool {
    let work = task.work();
    work & (WORK_SIGNAL | WORK_STOP | WORK_END) != 0 && {
        work & WORK_END != 0 || {
            let group = task.process.group();
            let mine = task.signals.lock();
            deliver::is_needed(&mine.pending, &group.pending, mine.mask.now())
                || group.end.is_some()
                || work & WORK_STOP != 0 && group.stopped.is_some()
        }
    }
}
