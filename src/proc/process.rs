//! What is kept of a process and of its threads, and where they are found.
//!
//! ```text
//! Tree (one lock) ── numbers, parents, groups, sessions
//!   │
//!   ├─► Process: memory, files, place, credentials, limits       shared by its threads
//!   │     └─ Group (one lock): actions, what was sent to all, the list of threads, how it ends or has stopped
//!   └─► Task: one thread: its number, what was sent to it, what it is to look at
//! ```
//!
//! A process lives as long as its last thread; then it is a zombie in the tree, of which only the status is asked. What it
//! had is given back at once, by the thread that goes last, and not when the last reference to it goes.
//!
//! **Locks.** The tree's comes first, then a group's, then a thread's own. The latter two are taken in interrupt handlers
//! as well, as timers send signals.

use super::signal::SigSet;
use super::signal::action::Actions;
use super::signal::altstack::AltStack;
use super::signal::mask::Mask;
use super::signal::pending::Pending;
use super::tree::Tree;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::busy::Running;
use crate::fs::context::FsContext;
use crate::fs::cred::Credentials;
use crate::fs::fd::FdTable;
use crate::fs::locks::LockOwner;
use crate::fs::mount::Mounts;
use crate::fs::namei::Caller;
use crate::fs::refs::{Last, Part, Ref, Slot};
use crate::fs::super_block::FsType;
use crate::mm::space::live::{ListedSpace, UserSpace};
use crate::proc::limits::{Limits, Resource};
use crate::sync::irq_lock::IrqGuard;
use crate::sync::parker::NEVER;
use crate::sync::{IrqLock, Rank, SpinLock, WaitQueue};
use crate::task::context::{self, Lower};
use crate::task::{self, Name, ThreadRef};
use core::cell::UnsafeCell;
use core::ptr::null;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};
use spin::Once;

/// A program's memory. The last reference empties it.
pub struct Memory {
    pub space: ListedSpace,
    /// Where the program's first strings lie, for `/proc`: arguments, then environment.
    pub strings: SpinLock<Strings>,
    /// The file that the program is.
    pub executable: Part<Option<Ref<Running>>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Strings {
    pub arguments: (u64, u64),
    pub environment: (u64, u64),
    pub stack: u64,
}

impl Memory {
    pub fn new(space: ListedSpace, strings: Strings, executable: Option<Ref<Running>>) -> Result<Ref<Self>> {
        let strings = SpinLock::new(Rank::ProcessParts, strings);
        Ref::with_last(Self { space, strings, executable: Part::new(executable) })
    }
}

impl Last for Memory {
    fn last(&self) {
        self.space.clear();
        // This is dropped where nobody may wait.
        self.space.leave();
        // SAFETY: the last reference is gone, and nobody finds a program's memory but by one.
        unsafe { self.executable.end() };
    }
}

impl Last for FdTable {
    fn last(&self) {
        self.close_range(0, i32::MAX);
    }
}

/// That a child has no need of its maker's memory any more.
pub struct Vfork {
    done: AtomicBool,
    queue: WaitQueue,
}

impl Vfork {
    pub const fn new() -> Self {
        Self { done: AtomicBool::new(false), queue: WaitQueue::new() }
    }

    pub fn complete(&self) {
        self.done.store(true, Ordering::Release);
        self.queue.wake_all();
    }

    /// Waits for that; only the waiting thread's own end comes before it.
    pub fn wait(&self, task: &Task) {
        let done = || self.done.load(Ordering::Acquire);
        self.queue.wait_until_or(done, || super::end::is_ending(task), NEVER);
    }
}

impl Default for Vfork {
    fn default() -> Self {
        Self::new()
    }
}

/// In [`Task::work`]: something was sent.
pub const WORK_SIGNAL: u32 = 1 << 0;
/// The thread is to end.
pub const WORK_END: u32 = 1 << 1;
/// It is to stop.
pub const WORK_STOP: u32 = 1 << 2;
/// The mask of before a wait is to come back.
pub const WORK_MASK: u32 = 1 << 3;

/// A thread of a process.
pub struct Task {
    tid: AtomicU32,
    pub process: Ref<Process>,
    pub thread: Once<ThreadRef>,
    /// What it is to look at before it goes back to ring 3.
    work: AtomicU32,
    pub signals: IrqLock<TaskSignals>,
    /// Where a 0 is written when it ends, and a futex woken (`set_tid_address`).
    pub clear_tid: AtomicU64,
    pub robust_list: AtomicU64,
    /// What it has given to `exit`: counts if it is the last.
    pub status: AtomicU32,
    /// What `restart_syscall` goes on with: a time.
    pub rest_ns: AtomicU64,
    /// What it makes has no urgency of its own (`SCHED_RESET_ON_FORK`).
    pub resets_on_fork: AtomicBool,
    /// Whoever waits until this thread has memory of its own, or ends (`vfork`).
    pub vfork: SpinLock<Option<Ref<Vfork>>>,
    pub name: SpinLock<Name>,
    /// What it begins with; taken when it does.
    pub(super) start: SpinLock<Option<super::run::Begin>>,
    /// Error code, vector and address of its last exception, as its handlers are shown them.
    pub last_fault: IrqLock<(u64, u64, u64)>,
    /// The memory that it has in CR3; its own.
    active: UnsafeCell<Option<Ref<Memory>>>,
    /// Next in the group's list.
    next: AtomicPtr<Task>,
}

// SAFETY: `active` is used by the thread itself alone; all else is atomic or locked.
unsafe impl Sync for Task {}
// SAFETY: nothing in it belongs to a CPU.
unsafe impl Send for Task {}

/// What a thread has of signals.
pub struct TaskSignals {
    pub mask: Mask,
    pub pending: Pending<()>,
    pub stack: AltStack,
}

/// The execution domain of programs for 32 bits: `uname` says i686. Source: personality(2).
pub const PER_LINUX32: u32 = 8;

/// A process.
pub struct Process {
    pub pid: u32,
    /// The how-manieth process it is: tells it from others that had or will have its number.
    pub serial: u64,
    /// Its parent's number, as the tree has it, for who asks without the tree's lock.
    pub parent: AtomicU32,
    /// `None` once it has ended.
    memory: SpinLock<Option<Ref<Memory>>>,
    files: Slot<FdTable>,
    place: Slot<FsContext>,
    credentials: Slot<Credentials>,
    pub limits: SpinLock<Limits>,
    group: IrqLock<Group>,
    /// Woken when a child has news.
    pub children: WaitQueue,
    /// Who waits for a stopped process's continuation: its threads.
    pub continued: WaitQueue,
    pub begun_ns: u64,
    /// CPU time of threads that have ended, and of children that were waited for.
    pub ended_ns: AtomicU64,
    pub children_ns: AtomicU64,
    /// The number of the terminal that controls it, plus one.
    pub terminal: AtomicU64,
    /// Its execution domain (`personality`), 0 or [`PER_LINUX32`]; and its class and priority among those who wait for
    /// disks (`ioprio_set`), 0 as long as nobody has set any.
    pub personality: AtomicU32,
    pub io_priority: AtomicU32,
    /// No execve gives it rights that it does not have (`PR_SET_NO_NEW_PRIVS`).
    pub no_new_privileges: AtomicBool,
    /// The signal that it is sent when its parent ends; 0 for none (`PR_SET_PDEATHSIG`).
    pub death_signal: AtomicU8,
    /// Others of its user's may look into it (`PR_SET_DUMPABLE`).
    pub is_dumpable: AtomicBool,
    /// How many signals may wait in one queue: `RLIMIT_SIGPENDING`, for who asks in an interrupt handler.
    queue_limit: AtomicU32,
    /// How often it has had other memory.
    pub images: AtomicU64,
    pub timer: IrqLock<super::alarm::Alarm>,
}

/// What threads share of signals, and of their end.
pub struct Group {
    pub actions: Actions,
    pub pending: Pending<()>,
    /// The first of its threads; the references are in the list.
    first: *const Task,
    pub threads: usize,
    /// It ends, with this status.
    pub end: Option<u32>,
    /// It is stopped, by this signal.
    pub stopped: Option<u8>,
    /// A thread has taken a signal that stops it, and SIGCONT has not come since.
    pub is_to_stop: bool,
    /// An `execve` goes on alone, as this thread.
    pub executing: Option<u32>,
    /// It is the first process's.
    pub is_init: bool,
}

// SAFETY: the list holds references, which may be used everywhere.
unsafe impl Send for Group {}

impl Group {
    /// Its threads.
    pub fn iter(&self) -> impl Iterator<Item = &Task> {
        // SAFETY: what is in the list has its reference there, and the lock is held.
        let mut at = unsafe { self.first.as_ref() };
        core::iter::from_fn(move || {
            let found = at?;
            // SAFETY: as above.
            at = unsafe { found.next.load(Ordering::Relaxed).as_ref() };
            Some(found)
        })
    }

    /// The process's first thread is the first here as well, and the others come after it, the newest first.
    fn add(&mut self, task: Ref<Task>) {
        // SAFETY: what is in the list has its reference there, and the lock is held.
        match unsafe { self.first.as_ref() } {
            Some(first) => {
                task.next.store(first.next.load(Ordering::Relaxed), Ordering::Relaxed);
                first.next.store(task.leak().cast_mut(), Ordering::Relaxed);
            }
            None => {
                task.next.store(core::ptr::null_mut(), Ordering::Relaxed);
                self.first = task.leak();
            }
        }
        self.threads += 1;
    }

    /// Takes a thread out; the reference that the list had is the caller's.
    fn take_out(&mut self, task: &Task) -> Option<Ref<Task>> {
        let next = task.next.load(Ordering::Relaxed);
        if core::ptr::eq(self.first, task) {
            self.first = next;
        } else {
            let before = self.iter().find(|one| core::ptr::eq(one.next.load(Ordering::Relaxed), task))?;
            before.next.store(next, Ordering::Relaxed);
        }
        self.threads -= 1;
        // SAFETY: `add` has left it open.
        Some(unsafe { Ref::unleak(core::ptr::from_ref(task)) })
    }
}

/// What a new process begins with.
pub struct Parts {
    pub memory: Option<Ref<Memory>>,
    pub files: Ref<FdTable>,
    pub place: Ref<FsContext>,
    pub credentials: Ref<Credentials>,
    pub limits: Limits,
    pub actions: Actions,
    pub terminal: u64,
}

/// Everybody.
pub static TREE: SpinLock<Tree<Ref<Process>, Ref<Task>>> = SpinLock::new(Rank::Processes, Tree::new());

/// What all programs see mounted.
static MOUNTS: Once<&'static Mounts> = Once::new();
/// A table for processes that have ended.
static NO_FILES: Once<Ref<FdTable>> = Once::new();

/// What can be mounted.
static TYPES: Once<&'static [&'static dyn FsType]> = Once::new();

/// Says what is mounted, and what can be. Once, before the first process.
pub fn init(mounts: &'static Mounts, types: &'static [&'static dyn FsType]) -> Result<()> {
    let none = Ref::with_last(FdTable::new()?)?;
    NO_FILES.call_once(|| none);
    MOUNTS.call_once(|| mounts);
    TYPES.call_once(|| types);
    Ok(())
}

pub fn mounts() -> &'static Mounts {
    MOUNTS.get().expect("processes come after files")
}

/// Has all that is mounted write what it has kept for later. The first error, but all are asked.
pub fn sync() -> Result<()> {
    let mut all = Ok(());
    mounts().for_each(|mount| all = all.and(mount.fs.ops.sync()));
    all
}

/// The kinds of file systems that there are.
pub fn types() -> &'static [&'static dyn FsType] {
    TYPES.get().copied().unwrap_or(&[])
}

/// A process's root and directory, and who it is: what a [`Caller`] borrows.
pub struct Standing {
    pub place: Ref<FsContext>,
    pub credentials: Ref<Credentials>,
}

impl Standing {
    pub fn caller(&self) -> Caller<'_> {
        Caller { mounts: mounts(), context: &self.place, credentials: &self.credentials }
    }
}

impl Process {
    pub fn new(pid: u32, parts: Parts) -> Result<Ref<Self>> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let queue_limit = parts.limits.soft(Resource::SignalsPending);
        Ref::new(Self {
            pid,
            serial: MADE.fetch_add(1, Ordering::Relaxed),
            parent: AtomicU32::new(0),
            memory: SpinLock::new(Rank::ProcessParts, parts.memory),
            files: Slot::new(parts.files),
            place: Slot::new(parts.place),
            credentials: Slot::new(parts.credentials),
            limits: SpinLock::new(Rank::ProcessParts, parts.limits),
            group: IrqLock::new(
                Rank::ProcessGroup,
                Group {
                    actions: parts.actions,
                    pending: Pending::new(),
                    first: null(),
                    threads: 0,
                    end: None,
                    stopped: None,
                    is_to_stop: false,
                    executing: None,
                    is_init: pid == super::tree::INIT,
                },
            ),
            children: WaitQueue::new(),
            continued: WaitQueue::new(),
            begun_ns: crate::log::now_ns(),
            ended_ns: AtomicU64::new(0),
            children_ns: AtomicU64::new(0),
            terminal: AtomicU64::new(parts.terminal),
            personality: AtomicU32::new(0),
            io_priority: AtomicU32::new(0),
            no_new_privileges: AtomicBool::new(false),
            death_signal: AtomicU8::new(0),
            is_dumpable: AtomicBool::new(true),
            queue_limit: AtomicU32::new(u32::try_from(queue_limit).unwrap_or(u32::MAX)),
            images: AtomicU64::new(0),
            timer: IrqLock::new(Rank::ProcessTimer, super::alarm::Alarm::NONE),
        })
    }

    /// How many signals may wait in one queue.
    pub fn queue_limit(&self) -> usize {
        self.queue_limit.load(Ordering::Relaxed) as usize
    }

    pub fn set_queue_limit(&self, limit: u64) {
        self.queue_limit.store(u32::try_from(limit).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    pub fn group(&self) -> IrqGuard<'_, Group> {
        self.group.lock()
    }

    pub fn memory(&self) -> Option<Ref<Memory>> {
        self.memory.lock().clone()
    }

    pub fn set_memory(&self, memory: Option<Ref<Memory>>) -> Option<Ref<Memory>> {
        self.images.fetch_add(1, Ordering::Relaxed);
        core::mem::replace(&mut *self.memory.lock(), memory)
    }

    pub fn files(&self) -> Ref<FdTable> {
        self.files.load()
    }

    pub fn set_files(&self, files: Ref<FdTable>) {
        drop(self.files.replace(files));
    }

    /// It has ended: it has no files any more.
    pub fn drop_files(&self) {
        self.give_locks_back(|_, _| true);
        let none = NO_FILES.get().expect("there are processes").clone();
        drop(self.files.replace(none));
        crate::fs::tidy();
    }

    /// The process's own locks on the files of those descriptors, which are about to be closed.
    pub fn give_locks_back(&self, which: impl Fn(&FdTable, i32) -> bool) {
        let owner = LockOwner::Process { id: u64::from(self.pid), pid: self.pid as i32 };
        let files = self.files();
        let mut at = 0;
        while let Some(fd) = files.next_open(at) {
            if which(&files, fd) {
                if let Ok(file) = files.get_file(fd) {
                    file.locks().owner_gone(owner);
                }
            }
            let Some(next) = fd.checked_add(1) else { break };
            at = next;
        }
    }

    pub fn standing(&self) -> Standing {
        Standing { place: self.place.load(), credentials: self.credentials.load() }
    }

    pub fn credentials(&self) -> Ref<Credentials> {
        self.credentials.load()
    }

    pub fn set_credentials(&self, credentials: Ref<Credentials>) {
        let old = self.credentials();
        let (before, now) = (old.uid, credentials.uid);
        let acts_as = |who: &Credentials| (who.effective_uid, who.effective_gid, who.fs_uid, who.fs_gid);
        if acts_as(&old) != acts_as(&credentials) {
            // It may have what its new user is not to see, and its parent is none of his.
            self.is_dumpable.store(false, Ordering::Relaxed);
            self.death_signal.store(0, Ordering::Relaxed);
        }
        drop(self.credentials.replace(credentials));
        if before != now {
            let mut tree = TREE.lock();
            // Without memory for another count they stay in the old one.
            let _ = tree.count_in(self.pid, now);
            self.group().iter().for_each(|task| _ = tree.count_in(task.tid(), now));
        }
    }

    pub fn set_place(&self, place: Ref<FsContext>) {
        drop(self.place.replace(place));
    }

    /// Nanoseconds that its threads have run.
    pub fn cpu_ns(&self) -> u64 {
        let running: u64 =
            self.group().iter().filter_map(|task| task.thread.get()).map(|thread| thread.cpu_ns()).sum();
        self.ended_ns.load(Ordering::Relaxed) + running
    }
}

impl Task {
    pub fn new(tid: u32, process: Ref<Process>, mask: Mask, name: Name) -> Result<Ref<Self>> {
        Ref::new(Self {
            tid: AtomicU32::new(tid),
            process,
            thread: Once::new(),
            work: AtomicU32::new(0),
            signals: IrqLock::new(
                Rank::TaskSignals,
                TaskSignals { mask, pending: Pending::new(), stack: AltStack::NONE },
            ),
            clear_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            status: AtomicU32::new(0),
            rest_ns: AtomicU64::new(0),
            resets_on_fork: AtomicBool::new(false),
            vfork: SpinLock::new(Rank::ProcessParts, None),
            name: SpinLock::new(Rank::ProcessParts, name),
            start: SpinLock::new(Rank::ProcessParts, None),
            last_fault: IrqLock::new(Rank::TaskSignals, (0, 0, 0)),
            active: UnsafeCell::new(None),
            next: AtomicPtr::new(core::ptr::null_mut()),
        })
    }

    /// Gives the thread that runs, which is this one, a memory to work in, or takes it away.
    pub fn activate(&self, memory: Option<Ref<Memory>>) {
        let lower = match &memory {
            Some(memory) => {
                Lower::new(memory.space.root(), core::ptr::from_ref::<UserSpace>(&memory.space).cast())
            }
            None => Lower::NONE,
        };
        // SAFETY: made with the kernel's half; `active` keeps it until this is called again.
        unsafe { context::set_lower(lower) };
        // SAFETY: the thread's own.
        drop(unsafe { core::mem::replace(&mut *self.active.get(), memory) });
    }

    /// The memory that it works in.
    pub fn active(&self) -> Option<Ref<Memory>> {
        // SAFETY: the thread's own, which runs this.
        unsafe { (*self.active.get()).clone() }
    }

    /// Makes it one of its process's threads. EAGAIN if that ends just now.
    pub fn enlist(task: &Ref<Self>) -> Result<()> {
        let mut group = task.process.group();
        if group.end.is_some() || group.executing.is_some() {
            return Err(Errno::Eagain);
        }
        if group.stopped.is_some() {
            task.note(WORK_STOP);
        }
        group.add(task.clone());
        Ok(())
    }

    /// Takes it out of its process; how many are left.
    pub fn unlist(&self) -> usize {
        let mut group = self.process.group();
        let mine = group.take_out(self);
        let left = group.threads;
        drop(group);
        drop(mine);
        left
    }

    /// What there is to look at.
    #[inline]
    pub fn work(&self) -> u32 {
        self.work.load(Ordering::Acquire)
    }

    /// There is something to look at: soon.
    pub fn alert(&self, what: u32) {
        self.work.fetch_or(what, Ordering::AcqRel);
        if let Some(thread) = self.thread.get() {
            task::interrupt(thread);
        }
    }

    /// The same for the thread itself, which is about to look.
    pub fn note(&self, what: u32) {
        self.work.fetch_or(what, Ordering::AcqRel);
    }

    /// It has looked.
    pub fn done(&self, what: u32) {
        self.work.fetch_and(!what, Ordering::AcqRel);
    }

    /// After its mask or its queue has changed: whether anything is to be done about a signal.
    pub fn look_again(&self) {
        self.look_in(&self.process.group());
    }

    /// The same with the process's part at hand.
    pub fn look_in(&self, group: &Group) {
        let mine = self.signals.lock();
        if super::signal::deliver::is_needed(&mine.pending, &group.pending, mine.mask.now()) {
            self.note(WORK_SIGNAL);
        } else {
            self.done(WORK_SIGNAL);
        }
    }

    /// What it blocks.
    pub fn blocked(&self) -> SigSet {
        self.signals.lock().mask.now()
    }

    pub fn pid(&self) -> u32 {
        self.process.pid
    }

    pub fn tid(&self) -> u32 {
        self.tid.load(Ordering::Relaxed)
    }

    /// By `execve` of a thread that is not the first, which takes the process's number.
    pub fn set_tid(&self, tid: u32) {
        self.tid.store(tid, Ordering::Relaxed);
    }
}
