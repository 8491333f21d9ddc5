//! The kernel's threads, shown as Linux shows its own: processes without memory, arguments, or a program.
//!
//! Their numbers are their ids behind all numbers that processes can have ([`NUMBERS`]): so the two never meet, and a list of
//! both has the processes first. Idle threads are not listed, as on Linux; they are the CPUs' rest. A view keeps the id
//! alone, which is never given out again: what it shows it looks up each time, and a thread that is buried is found no more.

use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::format::Text;
use crate::fs::mount::Path;
use crate::fs::procfs::process::{Class, Facts, Process, Signals, State, flags};
use crate::fs::refs::Ref;
use crate::kernel::files;
use crate::proc::run;
use crate::proc::tree::NUMBERS;
use crate::task::thread::{self, State as ThreadState, Thread, ThreadRef};
use crate::task::{CpuSet, Policy, schedule};
use core::fmt::Write;

/// A thread's number.
pub const fn number(id: u32) -> u32 {
    NUMBERS.saturating_add(id)
}

/// The thread with a number, if it is there and no idle thread.
fn find(number: u32) -> Option<ThreadRef> {
    let id = number.checked_sub(NUMBERS)?;
    thread::next_from(id).filter(|found| found.id() == id && is_shown(found))
}

/// Whether it is one of the kernel's own. Those of programs are shown as processes, also before they get to ring 3 and when
/// they are past it.
fn is_shown(thread: &Thread) -> bool {
    !thread.is_idle() && !thread.has_program() && !run::is_of_process(thread)
}

/// What one view shows.
struct View(u32);

fn view(thread: &Thread) -> Option<Ref<dyn Process>> {
    Ref::process(View(number(thread.id()))).ok()
}

pub fn state(thread: &Thread) -> State {
    match thread.state() {
        ThreadState::Ready | ThreadState::Running => State::Running,
        ThreadState::Parked => State::Sleeping,
        ThreadState::Dead => State::Dead,
    }
}

pub const fn class(policy: Policy) -> Class {
    let (policy, real_time, nice) = match policy {
        Policy::Normal(nice) => (0, 0, nice),
        Policy::Fifo(priority) => (1, priority, 0),
        Policy::RoundRobin(priority) => (2, priority, 0),
        Policy::Batch(nice) => (3, 0, nice),
        Policy::Idle => (5, 0, 0),
    };
    Class { policy, real_time: real_time as u32, nice: nice as i32 }
}

/// The one with the lowest number that is not below `from`.
pub fn next(from: u32) -> Option<Ref<dyn Process>> {
    let mut id = from.saturating_sub(NUMBERS);
    loop {
        let found = thread::next_from(id)?;
        if is_shown(&found) {
            return view(&found);
        }
        id = found.id() + 1;
    }
}

/// The one with that number.
pub fn by_number(number: u32) -> Option<Ref<dyn Process>> {
    view(&*find(number)?)
}

impl Process for View {
    fn pid(&self) -> u32 {
        self.0
    }

    fn id(&self) -> u32 {
        self.0
    }

    fn owner(&self) -> Option<(u32, u32)> {
        find(self.0).map(|_| (0, 0))
    }

    fn facts(&self, _: bool) -> Option<Facts> {
        schedule::account();
        let thread = find(self.0)?;
        let statistics = thread.statistics();
        Some(Facts {
            state: state(&thread),
            flags: flags::KERNEL_THREAD | flags::FORKED,
            system_ns: thread.cpu_ns(),
            start_ns: thread.start_ns(),
            class: class(thread.policy()),
            threads: 1,
            cpu: thread.cpu() as u32,
            voluntary_switches: statistics.voluntary,
            involuntary_switches: statistics.involuntary,
            umask: 0o022,
            exit_signal: SIGCHLD,
            resident_limit: u64::MAX,
            signals: Signals { ignored: u64::MAX, ..Signals::default() },
            ..Facts::default()
        })
    }

    fn name(&self, to: &mut Text) {
        if let Some(thread) = find(self.0) {
            let _ = to.write_str(thread.name().as_str());
        }
    }

    fn allowed_cpus(&self) -> CpuSet {
        find(self.0).map_or(CpuSet::ALL, |thread| thread.allowed())
    }

    fn next_thread(&self, from: u32) -> Option<Ref<dyn Process>> {
        (from <= self.0).then(|| find(self.0).and_then(|thread| view(&thread)))?
    }

    fn root(&self) -> Result<Path> {
        find(self.0).ok_or(Errno::Esrch)?;
        Ok(files::caller().ok_or(Errno::Enoent)?.context.root())
    }

    fn cwd(&self) -> Result<Path> {
        find(self.0).ok_or(Errno::Esrch)?;
        Ok(files::caller().ok_or(Errno::Enoent)?.context.cwd())
    }
}

/// What Linux's kernel threads say that their end would be told by.
const SIGCHLD: i32 = 17;
