//! `clone`: another thread, or another process.

use super::cpu_time;
use super::limits::Resource;
use super::process::{Memory, Parts, Process, TREE, Task, Vfork};
use super::run::Begin;
use super::send;
use super::signal::action::Actions;
use super::signal::mask::Mask;
use super::tree::{self, Birth};
use crate::arch::x86_64::frame::TrapFrame;
use crate::arch::x86_64::user::Start;
use crate::arch::x86_64::usercopy;
use crate::boot::layout::USER_END;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::refs::Ref;
use crate::mm::vma::room;
use crate::task::{Policy, context, fpu};
use alloc::vec::Vec;
use bitflags::bitflags;
use core::sync::atomic::Ordering;

bitflags! {
    /// `CLONE_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CloneFlags: u64 {
        const VM = 0x100;
        const FS = 0x200;
        const FILES = 0x400;
        const SIGHAND = 0x800;
        const PIDFD = 0x1000;
        const PTRACE = 0x2000;
        const VFORK = 0x4000;
        const PARENT = 0x8000;
        const THREAD = 0x1_0000;
        const NEWNS = 0x2_0000;
        const SYSVSEM = 0x4_0000;
        const SETTLS = 0x8_0000;
        const PARENT_SETTID = 0x10_0000;
        const CHILD_CLEARTID = 0x20_0000;
        const DETACHED = 0x40_0000;
        const UNTRACED = 0x80_0000;
        const CHILD_SETTID = 0x100_0000;
        const NEWCGROUP = 0x200_0000;
        const NEWUTS = 0x400_0000;
        const NEWIPC = 0x800_0000;
        const NEWUSER = 0x1000_0000;
        const NEWPID = 0x2000_0000;
        const NEWNET = 0x4000_0000;
        const IO = 0x8000_0000;
        const CLEAR_SIGHAND = 0x1_0000_0000;
    }
}

impl CloneFlags {
    /// What this kernel has one of.
    const SPACES: Self = Self::NEWNS
        .union(Self::NEWCGROUP)
        .union(Self::NEWUTS)
        .union(Self::NEWIPC)
        .union(Self::NEWUSER)
        .union(Self::NEWPID)
        .union(Self::NEWNET);

    /// Whether they go together.
    fn check(self) -> Result<()> {
        let is_wrong = self.contains(Self::THREAD) && !self.contains(Self::SIGHAND)
            || self.contains(Self::SIGHAND) && !self.contains(Self::VM)
            || self.contains(Self::NEWNS | Self::FS)
            || self.contains(Self::SIGHAND | Self::CLEAR_SIGHAND)
            // Handlers are shared by the threads of a process, and by nobody else.
            || self.contains(Self::SIGHAND) && !self.contains(Self::THREAD);
        if is_wrong || self.intersects(Self::SPACES | Self::PIDFD) { Err(Errno::Einval) } else { Ok(()) }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct CloneArgs {
    pub flags: CloneFlags,
    /// Sent to the parent at the end; 0 for none.
    pub exit_signal: u8,
    /// 0: as the maker's.
    pub stack: u64,
    pub parent_tid: u64,
    pub child_tid: u64,
    pub tls: u64,
}

/// A number that is given back unless somebody is called by it in the end.
struct Number(Option<u32>);

impl Number {
    /// One more of its user's, who may have `RLIMIT_NPROC`, unless he is user 0.
    fn reserve(process: &Process) -> Result<Self> {
        let user = process.credentials().uid;
        let most = if user == 0 { u64::MAX } else { process.limits.lock().soft(Resource::Processes) };
        TREE.lock().reserve(user, most).map(|number| Self(Some(number)))
    }

    fn get(&self) -> u32 {
        self.0.expect("a number is kept once")
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        if let Some(number) = self.0 {
            TREE.lock().release(number);
        }
    }
}

/// Makes it; returns its number. EINVAL, EAGAIN, ENOMEM.
pub fn clone(task: &Task, frame: &TrapFrame, args: &CloneArgs) -> Result<u32> {
    let flags = args.flags;
    flags.check()?;
    if flags.contains(CloneFlags::SETTLS) && args.tls >= USER_END {
        return Err(Errno::Eperm);
    }
    let number = Number::reserve(&task.process)?;
    let tid = number.get();
    let floating = floating()?;
    let mut registers = Start { frame: *frame, segments: context::segments() };
    registers.frame.rax = 0;
    // It is not in a call any more: nothing is to be begun again.
    registers.frame.vector = 0;
    if args.stack != 0 {
        registers.frame.rsp = args.stack;
    }
    if flags.contains(CloneFlags::SETTLS) {
        registers.segments = registers.segments.with_other_bases(args.tls, registers.segments.gs_base());
    }
    let memory = task.active().ok_or(Errno::Esrch)?;
    let memory = if flags.contains(CloneFlags::VM) { memory } else { copy_of(&memory)? };
    let is_thread = flags.contains(CloneFlags::THREAD);
    let mask = Mask::inherited(&task.signals.lock().mask);
    let process =
        if is_thread { task.process.clone() } else { copy_of_process(task, tid, flags, memory.clone())? };
    let name = *task.name.lock();
    let new = Task::new(tid, process, mask, name)?;
    if flags.contains(CloneFlags::CHILD_CLEARTID) {
        new.clear_tid.store(args.child_tid, Ordering::Relaxed);
    }
    if !flags.contains(CloneFlags::VM) || flags.contains(CloneFlags::VFORK) {
        let stack = task.signals.lock().stack;
        new.signals.lock().stack = stack;
    }
    let waiting = match flags.contains(CloneFlags::VFORK) {
        true => {
            let waiting = Ref::new(Vfork::new())?;
            *new.vfork.lock() = Some(waiting.clone());
            Some(waiting)
        }
        false => None,
    };
    if flags.contains(CloneFlags::PARENT_SETTID) {
        // Nobody is told if it cannot be written, as on Linux.
        let _ = usercopy::write(args.parent_tid, &tid);
    }
    let policy = task.thread.get().map_or(Policy::Normal(0), |thread| thread.policy());
    let policy = if task.resets_on_fork.load(Ordering::Relaxed) { without_urgency(policy) } else { policy };
    let set_tid = if flags.contains(CloneFlags::CHILD_SETTID) { args.child_tid } else { 0 };
    let begin = Begin::Copy { memory, registers, floating, set_tid };
    let birth = match flags.contains(CloneFlags::PARENT) {
        true if task.pid() == tree::INIT => return Err(Errno::Einval),
        true => Birth::Brother,
        false => Birth::Child { exit_signal: args.exit_signal },
    };
    Task::enlist(&new)?;
    let begun = {
        let mut tree = TREE.lock();
        let inserted = if is_thread {
            Ok(())
        } else {
            let handle = new.process.clone();
            // What was sent to the group before there was this process in it is its own as well: the call comes again.
            let sent = if send::has_news(task) { Err(Errno::Erestartnointr) } else { Ok(()) };
            sent.and_then(|()| tree.insert(tid, task.pid(), birth, handle)).inspect(|()| {
                new.process.parent.store(tree.parent(tid).unwrap_or(0), Ordering::Relaxed);
            })
        };
        inserted.map(|()| tree.set_thread(tid, new.clone()))
    };
    let begun = begun.and_then(|()| Task::begin(&new, begin, policy));
    if let Err(error) = begun {
        new.unlist();
        let mut tree = TREE.lock();
        tree.take_thread(tid);
        if !is_thread && tree.get(tid).is_some() {
            tree.set_zombie(tid, 0);
            tree.reap(tid);
            number.keep();
        }
        return Err(error);
    }
    number.keep();
    if !is_thread {
        cpu_time::watch(&new.process);
    }
    if let Some(waiting) = waiting {
        waiting.wait(task);
    }
    Ok(tid)
}

/// What `SCHED_RESET_ON_FORK` leaves of a policy. Source: sched(7).
const fn without_urgency(policy: Policy) -> Policy {
    match policy {
        Policy::Fifo(_) | Policy::RoundRobin(_) | Policy::Normal(..0) => Policy::Normal(0),
        Policy::Batch(..0) => Policy::Batch(0),
        other => other,
    }
}

fn floating() -> Result<Vec<u8>> {
    let mut bytes = room::with_room(fpu::size()).map_err(|_| Errno::Enomem)?;
    fpu::save(|state| bytes.extend_from_slice(state));
    Ok(bytes)
}

fn copy_of(memory: &Memory) -> Result<Ref<Memory>> {
    let space = memory.space.fork()?;
    Memory::new(space, *memory.strings.lock(), Option::clone(&memory.executable))
}

fn copy_of_process(task: &Task, pid: u32, flags: CloneFlags, memory: Ref<Memory>) -> Result<Ref<Process>> {
    let old = &task.process;
    let limits = *old.limits.lock();
    let credentials = old.credentials();
    let standing = old.standing();
    let place =
        if flags.contains(CloneFlags::FS) { standing.place } else { Ref::new(standing.place.copy()?)? };
    let files = old.files();
    let files = if flags.contains(CloneFlags::FILES) { files } else { Ref::with_last(files.copy()?)? };
    let mut actions = Actions::new();
    {
        let group = old.group();
        actions.clone_from(&group.actions);
    }
    if flags.contains(CloneFlags::CLEAR_SIGHAND) {
        actions.exec();
    }
    let terminal = old.terminal.load(Ordering::Relaxed);
    let parts = Parts { memory: Some(memory), files, place, credentials, limits, actions, terminal };
    let new = Process::new(pid, parts)?;
    for (to, from) in [(&new.personality, &old.personality), (&new.io_priority, &old.io_priority)] {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    let bound = old.no_new_privileges.load(Ordering::Relaxed);
    new.no_new_privileges.store(bound, Ordering::Relaxed);
    new.is_dumpable.store(old.is_dumpable.load(Ordering::Relaxed), Ordering::Relaxed);
    Ok(new)
}
