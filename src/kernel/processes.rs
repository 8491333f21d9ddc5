//! Processes, as terminals know them: who is in which group, and what signals do.
//!
//! A terminal asks with its lock held, which sleeps; here only locks that spin are taken, and nothing of terminals is
//! asked.

use crate::proc::process::{Process, TREE};
use crate::proc::run;
use crate::proc::send;
use crate::proc::signal::{self, Info};
use crate::tty::job::{self, Signal, TtyId};
use core::sync::atomic::Ordering;

struct Live;

/// Terminals know processes from here on. Once.
pub fn init() {
    job::register(&Live);
}

fn pid() -> u32 {
    run::current().map_or(0, |task| task.pid())
}

fn number(signal: Signal) -> signal::Signal {
    signal::Signal::new(signal as u64).unwrap_or(signal::Signal::HUP)
}

/// The terminal that controls a process.
pub fn terminal_of(process: &Process) -> Option<TtyId> {
    let kept = process.terminal.load(Ordering::Relaxed);
    kept.checked_sub(1).map(|id| TtyId(id as u32))
}

fn set_terminal_of(process: &Process, terminal: Option<TtyId>) {
    process.terminal.store(terminal.map_or(0, |TtyId(id)| u64::from(id) + 1), Ordering::Relaxed);
}

impl job::Processes for Live {
    fn group(&self) -> u32 {
        TREE.lock().group(pid()).unwrap_or(0)
    }

    fn session(&self) -> u32 {
        TREE.lock().session(pid()).unwrap_or(0)
    }

    fn is_leader(&self) -> bool {
        let pid = pid();
        pid != 0 && TREE.lock().session(pid) == Some(pid)
    }

    fn terminal(&self) -> Option<TtyId> {
        run::current().and_then(|task| terminal_of(&task.process))
    }

    fn set_terminal(&self, terminal: Option<TtyId>) {
        if let Some(task) = run::current() {
            set_terminal_of(&task.process, terminal);
        }
    }

    fn is_privileged(&self) -> bool {
        run::current().is_none_or(|task| task.process.credentials().effective_uid == 0)
    }

    fn is_deaf_to(&self, signal: Signal) -> bool {
        let Some(task) = run::current() else { return true };
        let signal = number(signal);
        let group = task.process.group();
        group.actions.get(signal).is_ignore() || task.signals.lock().mask.blocks(signal)
    }

    fn is_orphaned(&self) -> bool {
        let tree = TREE.lock();
        tree.group(pid()).is_none_or(|group| tree.is_orphaned(group))
    }

    fn session_of(&self, group: u32) -> Option<u32> {
        TREE.lock().session_of_group(group)
    }

    fn signal_group(&self, group: u32, signal: Signal) {
        send::to_group(group, Info::kernel(number(signal)));
    }

    fn signal_leader(&self, session: u32, signal: Signal) {
        let leader = TREE.lock().get(session).cloned();
        if let Some(leader) = leader {
            send::to_process(&leader, Info::kernel(number(signal)));
        }
    }

    fn release_session(&self, session: u32, terminal: TtyId) {
        let tree = TREE.lock();
        let mut from = 0;
        while let Some((pid, process)) = tree.next(from) {
            from = pid + 1;
            if tree.session(pid) == Some(session) && terminal_of(process) == Some(terminal) {
                set_terminal_of(process, None);
            }
        }
    }
}
