//! Beginning, end and burial.
//!
//! A thread cannot free the stack that it is on. So the one that goes on after it on that CPU does (`schedule::arrive`):
//! it keeps the stack for the next thread, tells who waits, and gives up the scheduler's reference. Whoever `join`
//! returns to therefore finds all of it done.

use super::recorder;
use super::sched::{CpuSet, Policy};
use super::schedule;
use super::stack::{self, Stack};
use super::thread::{Entry, Name, State, Thread, ThreadRef, try_current};
use super::{fpu, worker};
use crate::arch::x86_64::{interrupts, percpu, preempt, switch};
use crate::platform::{Machine, Platform};
use crate::sync::checks;

/// Memory for a thread is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoThread;

/// A thread's end can be waited for. Dropped without that, the thread is detached: it ends all the same.
pub struct JoinHandle(ThreadRef);

impl JoinHandle {
    pub fn thread(&self) -> &ThreadRef {
        &self.0
    }

    /// Waits for its end. Returns what its function returned, or what it gave to [`exit`].
    pub fn join(self) -> usize {
        loop {
            {
                let mut end = self.0.end.lock();
                if end.is_buried {
                    return end.result.unwrap_or(0);
                }
                end.joiner = Some(super::current());
            }
            schedule::park();
        }
    }
}

/// Begins a thread that executes `entry(argument)`, on the CPU that has least to do. Not in interrupt handlers.
pub fn spawn(name: &str, policy: Policy, entry: Entry, argument: usize) -> Result<JoinHandle, NoThread> {
    spawn_within(&CpuSet::ALL, name, policy, entry, argument)
}

/// The same, of a thread that stays on one CPU.
pub fn spawn_on(
    cpu: usize,
    name: &str,
    policy: Policy,
    entry: Entry,
    argument: usize,
) -> Result<JoinHandle, NoThread> {
    spawn_within(&CpuSet::one(cpu), name, policy, entry, argument)
}

/// The same, of a thread that stays on some CPUs, of which one runs.
pub fn spawn_within(
    allowed: &CpuSet,
    name: &str,
    policy: Policy,
    entry: Entry,
    argument: usize,
) -> Result<JoinHandle, NoThread> {
    let thread = prepare(name, policy, entry, argument)?;
    thread.entity.set_allowed(allowed);
    // Two references: the scheduler's, which `bury` gives up, and the handle's.
    let handle = JoinHandle(thread.clone());
    schedule::start(&thread);
    core::mem::forget(thread);
    Ok(handle)
}

/// A thread that has all but a CPU.
fn prepare(name: &str, policy: Policy, entry: Entry, argument: usize) -> Result<ThreadRef, NoThread> {
    let stack = Stack::new().map_err(|_| NoThread)?;
    let top = stack.top();
    let Some(thread) = Thread::create(Name::new(name), policy, None, (entry, argument)) else {
        stack.keep();
        return Err(NoThread);
    };
    // SAFETY: nobody else knows the thread but by name; the stack is its own and empty.
    unsafe {
        *thread.stack.get() = Some(stack);
        *thread.stack_pointer.get() = switch::prepare(top, core::ptr::from_ref(&*thread) as u64);
    }
    Ok(thread)
}

/// Where a thread begins: from asm/switch.S, with interrupts off.
#[unsafe(no_mangle)]
extern "sysv64" fn thread_main(thread: &Thread) -> ! {
    schedule::arrive();
    interrupts::enable();
    exit((thread.entry)(thread.argument))
}

/// Ends the thread that runs this.
///
/// # Panics
/// If it is one that cannot end: what a CPU began as.
pub fn exit(result: usize) -> ! {
    let me = try_current().expect("task::init comes first");
    // SAFETY: only who buries it takes the stack.
    let has_stack = unsafe { (*me.stack.get()).is_some() };
    assert!(has_stack, "task {} cannot end", me.name());
    checks::task_ends();
    fpu::disown();
    debug_assert!(me.context.is_empty(), "{} ends with a program or its memory", me.name());
    interrupts::disable();
    me.end.lock().result = Some(result);
    schedule::leave_for_good()
}

/// After a thread was left for good: by the one that follows it on its CPU, with interrupts off.
///
/// # Safety
/// It is dead and off its stack. Once.
pub(super) unsafe fn bury(thread: &Thread) {
    debug_assert!(thread.state() == State::Dead);
    // SAFETY: nobody else touches a dead thread's stack.
    let stack = unsafe { (*thread.stack.get()).take() };
    if stack.is_some_and(Stack::keep) {
        Machine::defer(stack::shrink_to_kept, 0);
    }
    recorder::end(thread);
    thread.unlist();
    // From here on `join` may return, so this is the last but for the reference.
    let joiner = {
        let mut end = thread.end.lock();
        end.is_buried = true;
        end.joiner.take()
    };
    if let Some(joiner) = joiner {
        schedule::unpark(&joiner);
    }
    // SAFETY: the scheduler's reference, which `spawn` left behind.
    drop(unsafe { ThreadRef::from_raw(core::ptr::from_ref(thread) as usize) });
}

/// Makes the code that runs the first thread, which stays on this CPU, and begins the CPU's idle thread, which executes
/// `idle`. Once, with interrupts off.
///
/// # Panics
/// If memory is out.
pub fn init(idle: Entry) {
    fn nothing(_: usize) -> usize {
        0
    }
    let boot = Thread::create(Name::new("boot"), Policy::Normal(0), None, (nothing, 0));
    let idle = prepare("idle/0", Policy::Idle, idle, 0);
    let (Some(boot), Ok(idle)) = (boot, idle) else { panic!("no memory for the first threads") };
    fpu::init();
    boot.entity.set_allowed(&CpuSet::one(percpu::number()));
    // Neither ends, so their references stay for good.
    let [boot, idle] = [boot, idle].map(|thread| {
        // SAFETY: as said.
        unsafe { &*(thread.into_raw() as *const Thread) }
    });
    // SAFETY: once, and on this CPU.
    unsafe { schedule::adopt(boot, idle) };
    preempt::on_wanted(schedule::preempted);
    super::parker::init();
}

/// Begins the worker of each CPU that runs. Once, when they do, with interrupts on.
pub fn init_workers() {
    schedule::online().iter().for_each(worker::init);
}

/// Makes the code that another CPU runs since it was started that CPU's idle thread. Once on each, with interrupts off.
///
/// # Panics
/// If memory is out.
pub fn init_cpu() {
    let number = percpu::number();
    let idle = Thread::create(Name::numbered("idle/", number), Policy::Idle, None, (|_| 0, 0));
    let Some(idle) = idle else { panic!("no memory for the idle thread of CPU {number}") };
    // SAFETY: it never ends, so its reference stays for good.
    let idle = unsafe { &*(idle.into_raw() as *const Thread) };
    // SAFETY: once, and on this CPU.
    unsafe { schedule::adopt(idle, idle) };
}
