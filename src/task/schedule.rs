//! The switch, and what asks for it.
//!
//! Whoever gives the CPU away comes through [`leave`]: interrupts off, this CPU's run queue locked, its thread's new
//! state written. The policy names the next thread, and asm/switch.S goes over to it. The lock is *not* let go in
//! between: the next thread does that, in [`arrive`], on its own stack. Until then nobody can put the old thread into a
//! queue, and so no other CPU can run it on the stack that it is still on.
//!
//! Nobody sleeps through a wake-up: [`park`] looks for the token of an early [`unpark`] under the same lock under which
//! `unpark` looks at the state, so one of them sees the other. A token says no more than "look again": whoever parks
//! does so in a loop around what it waits for.
//!
//! There is no tick. A timer is set when somebody waits for the end of a slice, and for nothing else. It is not taken
//! back when that somebody runs sooner: it comes early then, once, and is set again if there is still reason to.

use super::fpu;
use super::life;
use super::sched::entity::SLICE_NS;
use super::sched::{Arrival, Board, Entity, Leaving, RunQueue};
use super::thread::{State, Thread, ThreadRef, try_current};
use crate::arch::x86_64::percpu::Pinned;
use crate::arch::x86_64::percpu::per_cpu;
use crate::arch::x86_64::{interrupts, percpu, preempt, switch};
use crate::platform::{Machine, Platform, timers};
use crate::sync::checks;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::ops::{Deref, DerefMut};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use spin::{Mutex, MutexGuard};

/// What a CPU has for its threads.
pub(super) struct Cpu {
    /// Locked with interrupts off, and across switches.
    queue: Mutex<Option<RunQueue>>,
    /// The thread that was left last, for the one that goes on to see to.
    left: UnsafeCell<Left>,
    /// When the timer for the end of a slice comes; `NEVER` if none is set. Under the queue's lock.
    timer_ns: AtomicU64,
    /// Switches to another thread, for display.
    pub switches: AtomicU64,
}

struct Left {
    thread: *const Thread,
    is_dead: bool,
}

// SAFETY: `left` is its CPU's own, used with interrupts off around a switch only.
unsafe impl Sync for Cpu {}

const NEVER: u64 = u64::MAX;

per_cpu! {
    static CPU: Cpu = Cpu {
        queue: Mutex::new(None),
        left: UnsafeCell::new(Left { thread: ptr::null(), is_dead: false }),
        timer_ns: AtomicU64::new(NEVER),
        switches: AtomicU64::new(0),
    };
}

/// Interrupts are off: this module's functions say so where they make one.
struct Off;

// SAFETY: without interrupts there is no other thread; made only as said.
unsafe impl Pinned for Off {}

/// This CPU's. With interrupts off.
#[inline]
fn here() -> &'static Cpu {
    CPU.here(&Off)
}

/// Another CPU's, or this one's.
#[inline]
fn cpu(number: usize) -> &'static Cpu {
    CPU.on(number).expect("a thread is on a CPU that there is")
}

/// All CPUs'.
fn all() -> impl Iterator<Item = &'static Cpu> {
    (0..percpu::copies()).filter_map(|number| CPU.on(number))
}

/// What the CPUs show each other of their load.
static BOARD: Board = Board::new();

/// A run queue, locked.
struct Queue(MutexGuard<'static, Option<RunQueue>>);

impl Cpu {
    #[inline]
    fn lock(&'static self) -> Queue {
        Queue(self.queue.lock())
    }
}

impl Deref for Queue {
    type Target = RunQueue;

    #[inline]
    fn deref(&self) -> &RunQueue {
        self.0.as_ref().expect("this CPU has threads")
    }
}

impl DerefMut for Queue {
    #[inline]
    fn deref_mut(&mut self) -> &mut RunQueue {
        self.0.as_mut().expect("this CPU has threads")
    }
}

/// Has another CPU look at its run queue. Set once there are other CPUs and interrupts between them.
static RESCHEDULE: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Says how another CPU is told that it should switch: `tell(cpu)` makes it call [`reschedule_here`] in an interrupt.
pub fn on_remote_wake_up(tell: fn(usize)) {
    RESCHEDULE.store(tell as *mut (), Ordering::Release);
}

/// For the interrupt that another CPU has sent: at its end this CPU switches.
pub fn reschedule_here() {
    preempt::want();
}

fn want_on(number: usize) {
    if number == percpu::number() {
        return preempt::want();
    }
    let tell = RESCHEDULE.load(Ordering::Acquire);
    if !tell.is_null() {
        // SAFETY: `on_remote_wake_up` alone stores there, and what it stores is such a function.
        let tell = unsafe { core::mem::transmute::<*mut (), fn(usize)>(tell) };
        tell(number);
    }
}

/// The thread that an entity is part of.
#[inline]
fn thread_of(entity: *const Entity) -> *const Thread {
    entity.wrapping_byte_sub(offset_of!(Thread, entity)).cast()
}

/// The thread that runs this, which has begun.
#[inline]
fn me() -> &'static Thread {
    try_current().expect("task::init comes first")
}

/// Makes what this CPU runs its first thread, `boot`, which may be the idle thread.
///
/// # Safety
/// Once on each CPU, with interrupts off. Neither thread ends.
pub(super) unsafe fn adopt(boot: &'static Thread, idle: &'static Thread) {
    idle.set_state(State::Ready);
    boot.set_state(State::Running);
    switch::set_current_thread(ptr::from_ref(boot) as u64);
    let now_ns = Machine::now_ns();
    let mut queue = RunQueue::new(percpu::number(), &idle.entity, &BOARD, now_ns);
    if !ptr::eq(boot, idle) {
        queue.enqueue(&boot.entity, Arrival::New, now_ns);
        queue.schedule(Leaving::Preempted, now_ns);
    }
    *here().queue.lock() = Some(queue);
}

/// How long new threads run before others have their turn.
static NEW_SLICE_NS: AtomicU64 = AtomicU64::new(SLICE_NS);

pub(super) fn slice_ns() -> u64 {
    NEW_SLICE_NS.load(Ordering::Relaxed)
}

/// Sets the slice of threads that begin from now on; returns what it was.
pub fn set_slice(slice_ns: u64) -> u64 {
    NEW_SLICE_NS.swap(slice_ns, Ordering::Relaxed)
}

/// Gives this CPU to whoever is next. Interrupts are off, and still are when it returns, which is when this thread has
/// its turn again.
#[inline]
fn leave(mut queue: Queue, why: Leaving) {
    let number = percpu::number();
    let cpu = here();
    let next = thread_of(queue.schedule(why, Machine::now_ns()));
    preempt::clear();
    if let Some(event_ns) = queue.next_event() {
        set_timer(number, event_ns);
    }
    let old = me();
    if ptr::eq(next, old) {
        old.set_state(State::Running);
        return;
    }
    // SAFETY: what the queue names is alive, and off its stack: whoever left it did so under this lock.
    let next = unsafe { &*next };
    next.set_state(State::Running);
    // SAFETY: this CPU's own, with interrupts off.
    unsafe { *cpu.left.get() = Left { thread: old, is_dead: old.state() == State::Dead } };
    cpu.switches.store(cpu.switches.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    // The lock goes over to the next thread, which lets it go in `arrive`.
    core::mem::forget(queue);
    fpu::switch(old, next);
    switch::set_current_thread(ptr::from_ref(next) as u64);
    // SAFETY: interrupts are off; the lock is held until this thread is off its stack.
    unsafe { switch::switch(old.stack_pointer.get(), *next.stack_pointer.get()) };
    arrive();
}

/// The first thing that a thread does when it has got a CPU, which may not be the one that it left.
#[inline]
pub(super) fn arrive() {
    let cpu = here();
    // SAFETY: this CPU's own, with interrupts off.
    let Left { thread, is_dead } = unsafe { cpu.left.get().read() };
    // SAFETY: locked by the thread that was left, for this one.
    unsafe { cpu.queue.force_unlock() };
    if is_dead {
        // SAFETY: it was left for good.
        unsafe { life::bury(&*thread) };
    }
}

/// Lets others run who want to. Returns soon if nobody does.
pub fn yield_now() {
    let were_on = interrupts::disable();
    let queue = here().lock();
    if queue.waiting() > 0 {
        me().set_state(State::Ready);
        leave(queue, Leaving::Yields);
    } else {
        drop(queue);
    }
    interrupts::restore(were_on);
}

/// What `arch::preempt` calls when this CPU is wanted and may be had, with interrupts off.
pub(super) fn preempted() {
    let queue = here().lock();
    me().set_state(State::Ready);
    leave(queue, Leaving::Preempted);
}

/// Waits until somebody calls [`unpark`], or returns at once if somebody has. It may also return for no reason.
///
/// # Panics
/// In a debug build, where nothing may sleep: with interrupts or preemption off.
#[cfg_attr(debug_assertions, track_caller)]
pub fn park() {
    checks::may_sleep();
    interrupts::disable();
    let queue = here().lock();
    let me = me();
    if me.token.swap(0, Ordering::Relaxed) == 0 {
        me.set_state(State::Parked);
        leave(queue, Leaving::Sleeps);
    } else {
        drop(queue);
    }
    interrupts::enable();
}

/// The thread that runs this is over. Interrupts are off.
pub(super) fn leave_for_good() -> ! {
    let queue = here().lock();
    me().set_state(State::Dead);
    leave(queue, Leaving::Sleeps);
    unreachable!("a dead thread runs")
}

/// Ends the thread's [`park`], or makes its next one return at once. Callable everywhere but in an NMI's handler.
pub fn unpark(thread: &Thread) {
    let were_on = interrupts::disable();
    let (number, mut queue) = lock_of(thread);
    match thread.state() {
        State::Parked => {
            thread.set_state(State::Ready);
            put(number, &mut queue, thread, Arrival::Woken);
        }
        _ => thread.token.store(1, Ordering::Relaxed),
    }
    drop(queue);
    interrupts::restore(were_on);
    if were_on {
        preempt::check();
    }
}

/// A new thread wants a CPU: this one.
pub(super) fn start(thread: &Thread) {
    let were_on = interrupts::disable();
    let mut queue = here().lock();
    thread.set_state(State::Ready);
    put(percpu::number(), &mut queue, thread, Arrival::New);
    drop(queue);
    interrupts::restore(were_on);
    if were_on {
        preempt::check();
    }
}

/// The queue that a thread is in, or was last; with interrupts off.
#[inline]
fn lock_of(thread: &Thread) -> (usize, Queue) {
    loop {
        let number = thread.cpu();
        let queue = cpu(number).lock();
        // It may have been moved while this waited for the lock.
        if thread.cpu() == number {
            return (number, queue);
        }
    }
}

#[inline]
fn put(number: usize, queue: &mut Queue, thread: &Thread, arrival: Arrival) {
    // SAFETY: the scheduler's reference keeps it until it is buried, and then it is in no queue.
    let entity: &'static Entity = unsafe { &*ptr::from_ref(&thread.entity) };
    if queue.enqueue(entity, arrival, Machine::now_ns()) {
        want_on(number);
    } else if let Some(event_ns) = queue.next_event() {
        set_timer(number, event_ns);
    }
}

/// Sees to it that [`slice_over`] comes by then. Under the queue's lock.
#[inline]
fn set_timer(number: usize, event_ns: u64) {
    let timer_ns = &cpu(number).timer_ns;
    if event_ns < timer_ns.load(Ordering::Relaxed) && timers::at(event_ns, slice_over, number).is_ok() {
        timer_ns.store(event_ns, Ordering::Relaxed);
    }
}

/// The timer: in an interrupt.
fn slice_over(number: usize) {
    let cpu = cpu(number);
    let mut queue = cpu.lock();
    cpu.timer_ns.store(NEVER, Ordering::Relaxed);
    let is_over = queue.tick(Machine::now_ns());
    if let Some(event_ns) = queue.next_event().filter(|_| !is_over) {
        set_timer(number, event_ns);
    }
    drop(queue);
    if is_over {
        want_on(number);
    }
}

/// Waits until a time of the clock.
pub fn sleep_until(deadline_ns: u64) {
    while Machine::now_ns() < deadline_ns {
        park_until(deadline_ns);
    }
}

/// Waits as [`park`] does, but not longer than until then.
pub(super) fn park_until(deadline_ns: u64) {
    let raw = super::current().into_raw();
    match timers::at(deadline_ns, wake_up, raw) {
        Ok(timer) => {
            park();
            if timers::cancel(timer) {
                // SAFETY: the timer has not used it and will not.
                drop(unsafe { ThreadRef::from_raw(raw) });
            }
        }
        Err(_) => {
            // SAFETY: no timer has it.
            drop(unsafe { ThreadRef::from_raw(raw) });
            // There are as many timers as there can be: others may run, and it is looked at the clock.
            yield_now();
        }
    }
}

/// A sleeper's time has come.
fn wake_up(raw: usize) {
    // SAFETY: `sleep_until` gave it away to this timer, which comes once.
    let thread = unsafe { ThreadRef::from_raw(raw) };
    unpark(&thread);
}

/// Charges the thread that runs for the time until now, so that its `cpu_ns` is right.
pub fn account() {
    let were_on = interrupts::disable();
    here().lock().account(Machine::now_ns());
    interrupts::restore(were_on);
}

/// Whether somebody waits for this CPU; for the idle thread, with interrupts off.
pub fn is_wanted() -> bool {
    here().lock().waiting() > 0
}

/// Switches to another thread, on all CPUs so far.
pub fn switches() -> u64 {
    all().map(|cpu| cpu.switches.load(Ordering::Relaxed)).sum()
}
