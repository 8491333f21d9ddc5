//! Waiting for children: what `wait4` and `waitid` are made of.

use super::end;
use super::process::{Process, TREE, Task};
use super::tree::{News, What, Which};
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::refs::Ref;
use crate::sync::interrupt::Interrupted;
use crate::sync::parker::NEVER;
use core::sync::atomic::Ordering;

/// A child that has news.
pub struct Waited {
    pub pid: u32,
    pub uid: u32,
    pub news: News,
    /// CPU time of its and of its own children's, if it has ended.
    pub cpu_ns: u64,
}

impl Waited {
    /// As `wait4` gives it.
    pub const fn status(&self) -> u32 {
        match self.news {
            News::Exited(status) => status,
            News::Stopped(signal) => (signal as u32) << 8 | 0x7F,
            News::Continued => 0xFFFF,
        }
    }
}

/// Waits. `Ok(None)`: nothing to tell, and `block` is false. ECHILD; ERESTARTSYS if a signal comes first.
pub fn wait(task: &Task, which: Which, what: What, block: bool) -> Result<Option<Waited>> {
    let process = &task.process;
    let mut found = Ok(None);
    let mut look = || {
        found = look_once(process, which, what);
        !matches!(found, Ok(None))
    };
    if !block {
        look();
        return found;
    }
    match process.children.wait_or_signal(look, NEVER) {
        Ok(_) => found,
        Err(Interrupted) => Err(Errno::Erestart),
    }
}

fn look_once(process: &Ref<Process>, which: Which, what: What) -> Result<Option<Waited>> {
    loop {
        let found = TREE.lock().find_child(process.pid, which, what)?;
        let Some(found) = found else { return Ok(None) };
        let child = &found.handle;
        let cpu_ns = child.ended_ns.load(Ordering::Relaxed) + child.children_ns.load(Ordering::Relaxed);
        let waited = Waited { pid: found.pid, uid: child.credentials().uid, news: found.news, cpu_ns };
        let is_end = matches!(found.news, News::Exited(_));
        if !is_end || what.leave || end::forget(process, found.pid) {
            return Ok(Some(waited));
        }
    }
}
