//! Processes, as /proc shows them: from the tree that they are in.
//!
//! A view is a number and what the process with that number was called when it was found, and looks it up each time: names
//! under /proc stay in the dentry cache after a process has gone, and keep nothing of it. A process is there as long as the tree
//! has it, as a zombie too; a thread, as long as its process lists it.

use super::threads;
use crate::boot::layout::PAGE_SIZE;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::cred::Credentials;
use crate::fs::fd::FdTable;
use crate::fs::format::Text;
use crate::fs::mapped;
use crate::fs::mode::Device;
use crate::fs::mount::Path;
use crate::fs::procfs::process::{
    Bytes, Capabilities, Counts, Facts, LIMITS, Limit, Memory, Process as View, Processes, Region,
    RegionName, Signals, State,
};
use crate::fs::refs::Ref;
use crate::kernel::processes::terminal_of;
use crate::mm::vma::area::{Backing, Flags, Prot};
use crate::proc::limits::Resource;
use crate::proc::process::{Process, TREE, Task};
use crate::proc::run;
use crate::proc::tree::{self, NUMBERS};
use crate::task::thread::{self, State as ThreadState};
use crate::task::{CpuSet, Name, schedule};
use crate::tty::controlling;
use crate::tty::job::TtyId;
use core::fmt::Write;
use core::sync::atomic::Ordering;

/// All processes, and behind them the kernel's threads.
pub struct Everybody;

pub static EVERYBODY: Everybody = Everybody;

/// A process, or one of its threads.
struct Program {
    pid: u32,
    /// Which of those that had the number.
    serial: u64,
    tid: u32,
}

fn view(process: &Process, tid: u32) -> Option<Ref<dyn View>> {
    Ref::process(Program { pid: process.pid, serial: process.serial, tid }).ok()
}

impl Processes for Everybody {
    fn next(&self, from: u32) -> Option<Ref<dyn View>> {
        if from < NUMBERS {
            let found = TREE.lock().next(from).map(|(pid, process)| (pid, process.clone()));
            if let Some((pid, process)) = found {
                return view(&process, pid);
            }
        }
        threads::next(from.max(NUMBERS))
    }

    fn find(&self, id: u32) -> Option<Ref<dyn View>> {
        if id >= NUMBERS {
            return threads::by_number(id);
        }
        let found = {
            let tree = TREE.lock();
            tree.get(id).cloned().or_else(|| tree.thread(id).map(|task| task.process.clone()))
        };
        let found = found?;
        view(&found, id)
    }

    fn current(&self) -> Option<(u32, u32)> {
        match run::current() {
            Some(task) => Some((task.pid(), task.tid())),
            None => {
                let number = threads::number(thread::try_current()?.id());
                Some((number, number))
            }
        }
    }

    fn counts(&self) -> Counts {
        Counts {
            threads: thread::count() as u64,
            running: schedule::active(),
            blocked: 0,
            last_id: TREE.lock().last(),
            ever: thread::ever().into(),
        }
    }
}

impl Program {
    /// The process, as long as the tree has it.
    fn process(&self) -> Option<Ref<Process>> {
        let found = TREE.lock().get(self.pid).cloned();
        found.filter(|process| process.serial == self.serial)
    }

    /// Its thread, if that is there: the process's first may have ended before the others.
    fn task(&self) -> Option<Ref<Task>> {
        let found = TREE.lock().thread(self.tid).cloned();
        found.filter(|task| task.process.serial == self.serial)
    }

    /// The process, if this one of its threads is there; or if it is asked about as a whole.
    fn there(&self) -> Option<Ref<Process>> {
        let process = self.process()?;
        (self.tid == self.pid || self.task().is_some()).then_some(process)
    }

    /// That of its first thread is a process's as well, as on Linux: a zombie, if that has ended before the others.
    fn state(&self, process: &Process) -> State {
        match TREE.lock().state(self.pid) {
            Some(tree::State::Zombie(_)) | None => return State::Zombie,
            Some(tree::State::Stopped(_)) => return State::Stopped,
            Some(tree::State::Alive) => {}
        }
        let group = process.group();
        let Some(task) = group.iter().find(|task| task.tid() == self.tid) else { return State::Zombie };
        match task.thread.get().map(|thread| thread.state()) {
            Some(ThreadState::Ready | ThreadState::Running) => State::Running,
            _ => State::Sleeping,
        }
    }

    /// Signals that are not told apart by thread, and those of this one.
    fn signals(&self, process: &Process) -> Signals {
        let queue_limit = process.limits.lock().get(Resource::SignalsPending).soft;
        let group = process.group();
        let (ignored, caught) = group.actions.ignored_and_caught();
        let mut signals = Signals {
            shared_pending: group.pending.set().bits(),
            ignored: ignored.bits(),
            caught: caught.bits(),
            queue_limit,
            ..Signals::default()
        };
        if let Some(task) = group.iter().find(|task| task.tid() == self.tid) {
            let mine = task.signals.lock();
            signals.pending = mine.pending.set().bits();
            signals.blocked = mine.mask.now().bits();
        }
        signals
    }
}

impl View for Program {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn id(&self) -> u32 {
        self.tid
    }

    fn owner(&self) -> Option<(u32, u32)> {
        let process = self.there()?;
        if !process.is_dumpable.load(Ordering::Relaxed) {
            return Some((0, 0));
        }
        let who = process.credentials();
        Some((who.effective_uid, who.effective_gid))
    }

    fn facts(&self, whole: bool) -> Option<Facts> {
        schedule::account();
        let process = self.there()?;
        let pid = self.pid;
        let mut facts =
            Facts { state: self.state(&process), signals: self.signals(&process), ..Facts::default() };
        {
            let tree = TREE.lock();
            facts.parent = tree.parent(pid).unwrap_or(0);
            facts.group = tree.group(pid).unwrap_or(0);
            facts.session = tree.session(pid).unwrap_or(0);
            facts.exit_signal = tree.exit_signal(pid).into();
            if let Some(tree::State::Zombie(status)) = tree.state(pid) {
                facts.exit_code = status as i32;
            }
        }
        facts.terminal = terminal_of(&process).map(|TtyId(number)| {
            let foreground = controlling::foreground(TtyId(number));
            (Device::decode(number), foreground.map_or(-1, |group| group as i32))
        });
        facts.start_ns = process.begun_ns;
        facts.personality = process.personality.load(Ordering::Relaxed);
        facts.no_new_privileges = process.no_new_privileges.load(Ordering::Relaxed);
        facts.umask = process.standing().place.umask();
        facts.resident_limit = process.limits.lock().get(Resource::Resident).soft;
        // All of a program's time: nobody counts yet what of it was the kernel's.
        facts.user_ns = process.cpu_ns();
        facts.child_user_ns = process.children_ns.load(Ordering::Relaxed);
        facts.threads = process.group().threads as u32;
        if let Some(thread) = self.task().as_ref().and_then(|task| task.thread.get()) {
            let statistics = thread.statistics();
            (facts.class, facts.cpu) = (threads::class(thread.policy()), thread.cpu() as u32);
            facts.voluntary_switches = statistics.voluntary;
            facts.involuntary_switches = statistics.involuntary;
            if !whole {
                facts.user_ns = thread.cpu_ns();
            }
            if self.tid != pid {
                facts.start_ns = thread.start_ns();
            }
        }
        Some(facts)
    }

    fn name(&self, to: &mut Text) {
        // A process whose first thread has ended is called as that was, which nobody knows any more.
        let name = self.task().map_or(Name::new("?"), |task| *task.name.lock());
        let name = name.as_str();
        let _ = to.write_str(name.get(..crate::fs::procfs::of::NAME_BYTES).unwrap_or(name));
    }

    fn set_name(&self, name: &[u8]) -> Result<()> {
        let is_own = run::current().is_some_and(|task| task.pid() == self.pid);
        let name = core::str::from_utf8(name).ok().filter(|_| is_own).ok_or(Errno::Einval)?;
        let task = self.task().ok_or(Errno::Esrch)?;
        *task.name.lock() = Name::new(name);
        Ok(())
    }

    fn credentials(&self) -> Result<Ref<Credentials>> {
        Ok(self.process().ok_or(Errno::Esrch)?.credentials())
    }

    fn capabilities(&self) -> Capabilities {
        use crate::fs::procfs::process::ALL_CAPABILITIES;
        let is_root = self.process().is_some_and(|process| process.credentials().effective_uid == 0);
        let has = if is_root { ALL_CAPABILITIES } else { 0 };
        Capabilities { permitted: has, effective: has, bounding: ALL_CAPABILITIES, ..Capabilities::default() }
    }

    /// Who is itself, or user 0, or the very user that it runs as, whatever it has come from, if it has not said no.
    fn may_be_looked_into(&self) -> bool {
        let Some(task) = run::current() else { return true };
        let Some(process) = self.process() else { return false };
        if task.pid() == self.pid {
            return true;
        }
        let (mine, theirs) = (task.process.credentials(), process.credentials());
        let uids = [theirs.uid, theirs.effective_uid, theirs.saved_uid];
        let gids = [theirs.gid, theirs.effective_gid, theirs.saved_gid];
        let is_open = process.is_dumpable.load(Ordering::Relaxed);
        mine.fs_uid == 0 || is_open && uids == [mine.fs_uid; 3] && gids == [mine.fs_gid; 3]
    }

    fn allowed_cpus(&self) -> CpuSet {
        let task = self.task();
        let thread = task.as_ref().and_then(|task| task.thread.get());
        thread.map_or(CpuSet::ALL, |thread| thread.allowed())
    }

    fn next_thread(&self, from: u32) -> Option<Ref<dyn View>> {
        let process = self.process()?;
        let tid = {
            let group = process.group();
            group.iter().map(Task::tid).filter(|&tid| tid >= from).min()
        };
        view(&process, tid?)
    }

    fn root(&self) -> Result<Path> {
        Ok(self.process().ok_or(Errno::Enoent)?.standing().place.root())
    }

    fn cwd(&self) -> Result<Path> {
        let process = self.process().ok_or(Errno::Enoent)?;
        process.memory().ok_or(Errno::Enoent)?;
        Ok(process.standing().place.cwd())
    }

    fn exe(&self) -> Result<Path> {
        let memory = self.process().and_then(|process| process.memory()).ok_or(Errno::Enoent)?;
        memory.executable.as_ref().map(|file| Path::clone(&file.path)).ok_or(Errno::Enoent)
    }

    fn files(&self) -> Option<Ref<FdTable>> {
        let process = self.process()?;
        process.memory().map(|_| process.files())
    }

    fn memory(&self) -> Option<Memory> {
        let memory = self.process()?.memory()?;
        let strings = *memory.strings.lock();
        let resident = memory.space.resident();
        let mut found = memory.space.look(|space| {
            let totals = space.totals();
            let mut found =
                Memory { size: totals.mapped, data: totals.data, stack: totals.stack, ..Memory::default() };
            for area in space.areas().iter() {
                if area.attr.prot.contains(Prot::EXEC) {
                    found.code += area.span.pages();
                    let (first, last) = found.code_range;
                    let first = if first == 0 { area.span.start } else { first };
                    found.code_range = (first, area.span.end.max(last));
                }
            }
            found.brk_start = space.heap().0;
            found
        });
        found.anonymous = resident;
        found.stack_start = strings.stack;
        (found.argument_range, found.environment_range) = (strings.arguments, strings.environment);
        Some(found)
    }

    fn image(&self) -> u64 {
        self.process().map_or(0, |process| process.images.load(Ordering::Relaxed))
    }

    fn bytes(&self, what: Bytes, at: u64, to: &mut [u8]) -> Result<usize> {
        let Some(memory) = self.process().and_then(|process| process.memory()) else { return Ok(0) };
        let strings = *memory.strings.lock();
        let (start, end) = match what {
            Bytes::Arguments => strings.arguments,
            Bytes::Environment => strings.environment,
            // Where it is nobody keeps.
            Bytes::Auxiliary => return Ok(0),
        };
        let Some(from) = start.checked_add(at).filter(|&from| from < end) else { return Ok(0) };
        let len = to.len().min((end - from) as usize);
        Ok(memory.space.peek(from, &mut to[..len]))
    }

    fn region(&self, from: u64) -> Result<Option<Region>> {
        let Some(memory) = self.process().and_then(|process| process.memory()) else { return Ok(None) };
        Ok(memory.space.look(|space| {
            let areas = space.areas();
            let entry = areas.find(from).or_else(|| areas.at_or_above(from))?;
            let (span, area) = (entry.span, entry.attr);
            let heap = space.heap();
            let file = match &area.backing {
                Backing::Object { object, .. } => mapped::file_of(object),
                Backing::Zero => None,
            };
            let name = if let Some(file) = file {
                RegionName::File(Path::clone(&file.path))
            } else if area.flags.contains(Flags::GROWS_DOWN) {
                RegionName::Word("[stack]")
            } else if heap.0 < heap.1 && span.start < heap.1 && span.end > heap.0 {
                RegionName::Word("[heap]")
            } else {
                RegionName::Nothing
            };
            Some(Region {
                start: span.start,
                end: span.end,
                read: area.prot.contains(Prot::READ),
                write: area.prot.contains(Prot::WRITE),
                execute: area.prot.contains(Prot::EXEC),
                is_shared: area.flags.contains(Flags::SHARED),
                offset: match &area.backing {
                    Backing::Object { offset, .. } => offset / PAGE_SIZE * PAGE_SIZE,
                    Backing::Zero => 0,
                },
                name,
            })
        }))
    }

    fn limits(&self) -> [Limit; LIMITS] {
        let Some(process) = self.process() else { return [Limit::NONE; LIMITS] };
        let limits = *process.limits.lock();
        core::array::from_fn(|which| match Resource::new(which as u64) {
            Ok(which) => {
                let limit = limits.get(which);
                Limit { soft: limit.soft, hard: limit.hard }
            }
            Err(_) => Limit::NONE,
        })
    }
}
