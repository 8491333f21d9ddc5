//! Memory is out: the process that has most of it goes.
//!
//! Asked by a page fault that finds no frame. The first process is nobody's victim as long as there is another. Who asks
//! waits until the victim's memory is back, though not for ever: the victim may wait for something that the asker has.

use super::process::{Process, TREE};
use super::signal::{Info, Signal};
use super::{end, run, send, tree};
use crate::fs::refs::Ref;
use crate::mm::pressure::Victim;
use crate::platform::{Machine, Platform};
use crate::sync::hooks;
use crate::task::{self, Name};

/// How long a victim's end is waited for before the asker goes itself.
const PATIENCE_NS: u64 = 5_000_000_000;
/// How often is looked.
const PERIOD_NS: u64 = 1_000_000;

/// Chooses one and has it killed; `None` if the thread that runs is no process's.
pub fn victim() -> Option<Victim> {
    let task = run::current()?;
    let own = &task.process;
    let own_pages = resident(own);
    let least = if own.pid == tree::INIT { 0 } else { own_pages };
    let largest = largest_but(own).filter(|&(pages, _)| pages > least);
    if let Some((pages, other)) = largest.filter(|_| hooks::preemption_depth() == 0) {
        let name = name_of(&other);
        send::to_process(&other, Info::kernel(Signal::KILL));
        let until = Machine::now_ns() + PATIENCE_NS;
        while Machine::now_ns() < until && !end::is_ending(task) {
            if other.memory().is_none() {
                return Some(Victim::new(name.as_str(), pages, false));
            }
            task::sleep_until(Machine::now_ns() + PERIOD_NS);
        }
    }
    // In the midst of a call it would be told EFAULT, and go on.
    send::force(task, Info::kernel(Signal::KILL));
    Some(Victim::new(name_of(own).as_str(), own_pages, true))
}

/// Pages that a process has; 0 of one that has ended.
fn resident(process: &Process) -> u64 {
    process.memory().map_or(0, |memory| memory.space.resident())
}

fn name_of(process: &Process) -> Name {
    let group = process.group();
    group.iter().next().map_or(Name::new("?"), |task| *task.name.lock())
}

/// Of all others but the first process, the one with most.
fn largest_but(own: &Process) -> Option<(u64, Ref<Process>)> {
    let (mut largest, mut from) = (None::<(u64, Ref<Process>)>, tree::INIT + 1);
    loop {
        // One after the other: to count pages takes a lock that sleeps.
        let next = TREE.lock().next(from).map(|(pid, process)| (pid, process.clone()));
        let Some((pid, process)) = next else { return largest };
        from = pid + 1;
        let pages = if pid == own.pid { 0 } else { resident(&process) };
        if pages > largest.as_ref().map_or(0, |(pages, _)| *pages) {
            largest = Some((pages, process));
        }
    }
}
