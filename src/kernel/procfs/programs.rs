//! Processes, as /proc shows them: from the tree that they are in.
//!
//! A view has a reference to what is kept of the process, which does not keep what it has: a process that has ended has no
//! memory and no files, whoever looks. It is there as long as the tree has it under its number, as a zombie too; a thread, as
//! long as its process lists it.

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
    process: Ref<Process>,
    tid: u32,
}

fn view(process: Ref<Process>, tid: u32) -> Option<Ref<dyn View>> {
    Ref::process(Program { process, tid }).ok()
}

impl Processes for Everybody {
    fn next(&self, from: u32) -> Option<Ref<dyn View>> {
        if from < NUMBERS {
            let found = TREE.lock().next(from).map(|(pid, process)| (pid, process.clone()));
            if let Some((pid, process)) = found {
                return view(process, pid);
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
        view(found?, id)
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
    /// Its thread, if that is there: the process's first may have ended before the others.
    fn task(&self) -> Option<Ref<Task>> {
        let found = TREE.lock().thread(self.tid).cloned();
        found.filter(|task| task.process.is(&self.process))
    }

    fn is_there(&self) -> bool {
        let is_listed = {
            let tree = TREE.lock();
            tree.get(self.process.pid).is_some_and(|process| process.is(&self.process))
        };
        is_listed && (self.tid == self.process.pid || self.task().is_some())
    }

    fn state(&self, whole: bool) -> State {
        match TREE.lock().state(self.process.pid) {
            Some(tree::State::Zombie(_)) | None => return State::Zombie,
            Some(tree::State::Stopped(_)) => return State::Stopped,
            Some(tree::State::Alive) => {}
        }
        let group = self.process.group();
        let mut tasks = group.iter().filter(|task| whole || task.tid() == self.tid);
        let runs = |task: &Task| {
            let state = task.thread.get().map(|thread| thread.state());
            matches!(state, Some(ThreadState::Ready | ThreadState::Running))
        };
        if tasks.any(runs) { State::Running } else { State::Sleeping }
    }

    /// Signals that are not told apart by thread, and those of this one.
    fn signals(&self) -> Signals {
        let queue_limit = self.process.limits.lock().get(Resource::SignalsPending).soft;
        let group = self.process.group();
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
        self.process.pid
    }

    fn id(&self) -> u32 {
        self.tid
    }

    fn owner(&self) -> Option<(u32, u32)> {
        let who = self.process.credentials();
        self.is_there().then_some((who.effective_uid, who.effective_gid))
    }

    fn facts(&self, whole: bool) -> Option<Facts> {
        schedule::account();
        if !self.is_there() {
            return None;
        }
        let pid = self.process.pid;
        let mut facts = Facts { state: self.state(whole), signals: self.signals(), ..Facts::default() };
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
        facts.terminal = terminal_of(&self.process).map(|TtyId(number)| {
            let foreground = controlling::foreground(TtyId(number));
            (Device::decode(number), foreground.map_or(-1, |group| group as i32))
        });
        facts.start_ns = self.process.begun_ns;
        facts.personality = self.process.personality.load(Ordering::Relaxed);
        facts.no_new_privileges = self.process.no_new_privileges.load(Ordering::Relaxed);
        facts.umask = self.process.standing().place.umask();
        facts.resident_limit = self.process.limits.lock().get(Resource::Resident).soft;
        // All of a program's time: nobody counts yet what of it was the kernel's.
        facts.user_ns = self.process.cpu_ns();
        facts.child_user_ns = self.process.children_ns.load(Ordering::Relaxed);
        facts.threads = self.process.group().threads as u32;
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
        let is_own = run::current().is_some_and(|task| task.pid() == self.process.pid);
        let name = core::str::from_utf8(name).ok().filter(|_| is_own).ok_or(Errno::Einval)?;
        let task = self.task().ok_or(Errno::Esrch)?;
        *task.name.lock() = Name::new(name);
        Ok(())
    }

    fn credentials(&self) -> Result<Ref<Credentials>> {
        Ok(self.process.credentials())
    }

    fn capabilities(&self) -> Capabilities {
        use crate::fs::procfs::process::ALL_CAPABILITIES;
        let has = if self.process.credentials().effective_uid == 0 { ALL_CAPABILITIES } else { 0 };
        Capabilities { permitted: has, effective: has, bounding: ALL_CAPABILITIES, ..Capabilities::default() }
    }

    /// Who is user 0, or is the very user that it runs as, whatever it has come from.
    fn may_be_looked_into(&self) -> bool {
        let Some(task) = run::current() else { return true };
        let (mine, theirs) = (task.process.credentials(), self.process.credentials());
        let uids = [theirs.uid, theirs.effective_uid, theirs.saved_uid];
        let gids = [theirs.gid, theirs.effective_gid, theirs.saved_gid];
        mine.fs_uid == 0 || uids == [mine.fs_uid; 3] && gids == [mine.fs_gid; 3]
    }

    fn allowed_cpus(&self) -> CpuSet {
        let task = self.task();
        let thread = task.as_ref().and_then(|task| task.thread.get());
        thread.map_or(CpuSet::ALL, |thread| thread.allowed())
    }

    fn next_thread(&self, from: u32) -> Option<Ref<dyn View>> {
        let tid = {
            let group = self.process.group();
            group.iter().map(Task::tid).filter(|&tid| tid >= from).min()
        };
        view(self.process.clone(), tid?)
    }

    fn root(&self) -> Result<Path> {
        Ok(self.process.standing().place.root())
    }

    fn cwd(&self) -> Result<Path> {
        self.process.memory().ok_or(Errno::Enoent)?;
        Ok(self.process.standing().place.cwd())
    }

    fn exe(&self) -> Result<Path> {
        let memory = self.process.memory().ok_or(Errno::Enoent)?;
        memory.executable.as_ref().map(|file| Path::clone(&file.path)).ok_or(Errno::Enoent)
    }

    fn files(&self) -> Option<Ref<FdTable>> {
        self.process.memory().map(|_| self.process.files())
    }

    fn memory(&self) -> Option<Memory> {
        let memory = self.process.memory()?;
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
        self.process.images.load(Ordering::Relaxed)
    }

    fn bytes(&self, what: Bytes, at: u64, to: &mut [u8]) -> Result<usize> {
        let Some(memory) = self.process.memory() else { return Ok(0) };
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
        let Some(memory) = self.process.memory() else { return Ok(None) };
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
        let limits = *self.process.limits.lock();
        core::array::from_fn(|which| match Resource::new(which as u64) {
            Ok(which) => {
                let limit = limits.get(which);
                Limit { soft: limit.soft, hard: limit.hard }
            }
            Err(_) => Limit::NONE,
        })
    }
}
