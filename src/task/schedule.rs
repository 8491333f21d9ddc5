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
//!
//! A thread's CPU is written under the lock of the queue that it was in. Who sends it to another one writes that first
//! and lets the lock go; on the way there the thread is in no queue, and whoever looks for it waits at the lock of the
//! one that it is going to. So at no time does anybody hold two queues' locks, and no look at a thread is lost.

use super::context;
use super::life;
use super::recorder;
use super::sched::entity::{SLICE_NS, Whereabouts};
use super::sched::{Arrival, Board, CpuSet, Entity, Leaving, Policy, RunQueue, Topology, balance, place};
use super::thread::{State, Thread, ThreadRef, try_current};
use crate::arch::x86_64::percpu::Pinned;
use crate::arch::x86_64::percpu::per_cpu;
use crate::arch::x86_64::{interrupts, percpu, preempt, switch};
use crate::platform::{Machine, Platform, timers};
use crate::sync::checks;
use crate::sync::grace::{self, EPOCHS};
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
    switches: AtomicU64,
    /// What runs when there is nothing to do; null before the CPU has threads.
    idle: AtomicPtr<Thread>,
    /// Looks at whether the load is even.
    round: AtomicU64,
}

struct Left {
    thread: *const Thread,
    fate: Fate,
}

/// What becomes of a thread that was left.
#[derive(Clone, Copy)]
enum Fate {
    /// Whoever finds it in a queue, or wakes it, may run it.
    Stays,
    /// It goes to another CPU's queue.
    Moves,
    /// It is to be buried.
    IsDead,
}

// SAFETY: `left` is its CPU's own, used with interrupts off around a switch only.
unsafe impl Sync for Cpu {}

const NEVER: u64 = u64::MAX;

per_cpu! {
    static CPU: Cpu = Cpu {
        queue: Mutex::new(None),
        left: UnsafeCell::new(Left { thread: ptr::null(), fate: Fate::Stays }),
        timer_ns: AtomicU64::new(NEVER),
        switches: AtomicU64::new(0),
        idle: AtomicPtr::new(ptr::null_mut()),
        round: AtomicU64::new(0),
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

/// Which CPUs are near each other.
pub static TOPOLOGY: Topology = Topology::flat();

/// A run queue, locked.
struct Queue {
    queue: &'static mut RunQueue,
    cpu: &'static Cpu,
}

impl Cpu {
    #[inline]
    fn lock(&'static self) -> Queue {
        let queue = MutexGuard::leak(self.queue.lock()).as_mut().expect("this CPU has threads");
        Queue { queue, cpu: self }
    }
}

impl Drop for Queue {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: locked when it was made.
        unsafe { self.cpu.queue.force_unlock() };
    }
}

impl Deref for Queue {
    type Target = RunQueue;

    #[inline]
    fn deref(&self) -> &RunQueue {
        self.queue
    }
}

impl DerefMut for Queue {
    #[inline]
    fn deref_mut(&mut self) -> &mut RunQueue {
        self.queue
    }
}

/// Has another CPU look at its run queue. Set once there are other CPUs and interrupts between them.
static RESCHEDULE: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Says how another CPU is told that it should switch: `tell(cpu)` makes it call [`reschedule_here`] in an interrupt.
pub fn on_remote_wake_up(tell: fn(usize)) {
    RESCHEDULE.store(tell as *mut (), Ordering::Release);
}

/// For the interrupt that another CPU has sent: this CPU's queue has changed, or its thread was [`prod`]ded.
pub fn reschedule_here() {
    let number = percpu::number();
    let mut queue = here().lock();
    look(number, &mut queue);
    let me = me(&queue);
    if me.token.load(Ordering::Relaxed) != 0 && me.has_program() {
        preempt::want();
    }
}

/// Makes come true what a queue wants after it has been changed: a switch, or the timer set. If it is another CPU's, that
/// CPU is told, and looks itself.
#[inline]
fn look(number: usize, queue: &mut Queue) {
    if queue.wants_switch() {
        want_on(number);
    } else if let Some(event_ns) = queue.next_event() {
        set_timer(number, queue.cpu, event_ns);
    }
}

fn want_on(number: usize) {
    if number == percpu::number() { preempt::want() } else { tell(number) }
}

/// Has another CPU come to [`reschedule_here`].
fn tell(number: usize) {
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

/// The thread that runs this, on the CPU whose queue that is.
#[inline]
fn me(_: &Queue) -> &'static Thread {
    // SAFETY: `adopt` names a CPU's first thread before it makes the queue.
    unsafe { try_current().unwrap_unchecked() }
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
    here().idle.store(ptr::from_ref(idle).cast_mut(), Ordering::Release);
    *here().queue.lock() = Some(queue);
    EPOCHS.leave_idle();
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
/// its turn again. In line, so that each way to give it away has only what it needs.
#[inline(always)]
fn leave(mut queue: Queue, old: &'static Thread, why: Leaving, fate: Fate) {
    let next = queue.schedule(why, Machine::now_ns());
    go_on_with(queue, old, next, why, fate);
}

/// Switches from the thread that runs this to the one that the policy has named, if that is another one; else there is
/// nothing to do.
#[inline(always)]
fn go_on_with(queue: Queue, old: &'static Thread, next: &'static Entity, why: Leaving, fate: Fate) {
    // Whoever may be switched away from reads nothing under epochs.
    grace::pass();
    let cpu = queue.cpu;
    let next = thread_of(next);
    preempt::clear();
    if let Some(event_ns) = queue.next_event() {
        set_own_timer(cpu, event_ns);
    }
    if ptr::eq(next, old) {
        old.set_state(State::Running);
        return;
    }
    if let Fate::Moves = fate {
        let to = place::on_wake_up(&old.entity, &BOARD, &TOPOLOGY);
        old.entity.send_to(to.unwrap_or(percpu::number()));
    }
    // SAFETY: what the queue names is alive, and off its stack: whoever left it did so under this lock.
    let next = unsafe { &*next };
    next.set_state(State::Running);
    recorder::switch(old, next, why);
    // SAFETY: this CPU's own, with interrupts off.
    unsafe { *cpu.left.get() = Left { thread: old, fate } };
    cpu.switches.store(cpu.switches.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    grace::busy();
    // The lock goes over to the next thread, which lets it go in `arrive`.
    core::mem::forget(queue);
    context::switch(old, next);
    switch::set_current_thread(ptr::from_ref(next) as u64);
    // SAFETY: interrupts are off; the lock is held until this thread is off its stack.
    unsafe { switch::switch(old.stack_pointer.get(), *next.stack_pointer.get()) };
    arrive();
}

/// The first thing that a thread does when it has got a CPU, which may not be the one that it left.
#[inline(always)]
pub(super) fn arrive() {
    let cpu = here();
    // SAFETY: this CPU's own, with interrupts off.
    let Left { thread, fate } = unsafe { cpu.left.get().read() };
    // SAFETY: locked by the thread that was left, for this one.
    unsafe { cpu.queue.force_unlock() };
    match fate {
        Fate::Stays => {}
        // SAFETY: it is in no queue, so only this CPU can let it go on, and end.
        Fate::Moves => deliver(unsafe { &*thread }, Arrival::Moved),
        // SAFETY: it was left for good.
        Fate::IsDead => unsafe { life::bury(&*thread) },
    }
}

/// Lets others run who want to. Returns soon if nobody does.
pub fn yield_now() {
    let were_on = interrupts::disable();
    let queue = here().lock();
    if queue.is_wanted() {
        let me = me(&queue);
        me.set_state(State::Ready);
        leave(queue, me, Leaving::Yields, Fate::Stays);
    } else {
        drop(queue);
    }
    interrupts::restore(were_on);
}

/// What `arch::preempt` calls when this CPU is wanted and may be had, with interrupts off.
pub(super) fn preempted() {
    let queue = here().lock();
    let me = me(&queue);
    me.set_state(State::Ready);
    if me.entity.may_run_on(percpu::number()) {
        leave(queue, me, Leaving::Preempted, Fate::Stays);
    } else {
        leave(queue, me, Leaving::Moves, Fate::Moves);
    }
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
    let me = me(&queue);
    if me.token.swap(0, Ordering::Relaxed) == 0 {
        me.set_state(State::Parked);
        leave(queue, me, Leaving::Sleeps, Fate::Stays);
    } else {
        drop(queue);
    }
    interrupts::enable();
}

/// The thread that runs this is over. Interrupts are off.
pub(super) fn leave_for_good() -> ! {
    let queue = here().lock();
    let me = me(&queue);
    me.set_state(State::Dead);
    leave(queue, me, Leaving::Sleeps, Fate::IsDead);
    unreachable!("a dead thread runs")
}

/// Ends the thread's [`park`], or makes its next one return at once. Callable everywhere but in an NMI's handler.
pub fn unpark(thread: &Thread) {
    let were_on = interrupts::disable();
    let (number, mut queue) = lock_of(thread);
    if thread.state() == State::Parked {
        thread.set_state(State::Ready);
        let to = place::on_wake_up(&thread.entity, &BOARD, &TOPOLOGY).unwrap_or(number);
        if to != number {
            thread.entity.send_to(to);
            drop(queue);
            deliver(thread, Arrival::Woken);
        } else if were_on && may_switch(number, me(&queue)) {
            // The shortest way: no second look at the clock, the queue and the board.
            let next = queue.enqueue_and_schedule(entity_of(thread), Arrival::Woken, Machine::now_ns());
            recorder::arrival(thread, number, Arrival::Woken);
            let me = me(&queue);
            me.set_state(State::Ready);
            go_on_with(queue, me, next, Leaving::Preempted, Fate::Stays);
            interrupts::enable();
            return;
        } else {
            put(number, &mut queue, thread, Arrival::Woken);
            drop(queue);
        }
    } else {
        thread.token.store(1, Ordering::Relaxed);
        drop(queue);
    }
    interrupts::restore(were_on);
    if were_on {
        preempt::check();
    }
}

/// Whether the thread that runs this, which has interrupts on, may be switched away from, to go on on this CPU later; and
/// `number` is this CPU.
#[inline]
fn may_switch(number: usize, me: &Thread) -> bool {
    number == percpu::number() && preempt::depth() == 0 && me.entity.may_run_on(number)
}

/// A new thread wants a CPU: the least loaded.
pub(super) fn start(thread: &Thread) {
    let were_on = interrupts::disable();
    thread.set_state(State::Ready);
    let number = percpu::number();
    thread.entity.send_to(place::on_fork(&thread.entity, number, &BOARD, &TOPOLOGY).unwrap_or(number));
    deliver(thread, Arrival::New);
    interrupts::restore(were_on);
    if were_on {
        preempt::check();
    }
}

/// Puts a ready thread that is in no queue into that of the CPU it was sent to. By one at a time. Interrupts are off.
fn deliver(thread: &Thread, arrival: Arrival) {
    loop {
        let (number, mut queue) = lock_of(thread);
        if thread.entity.may_run_on(number) {
            return put(number, &mut queue, thread, arrival);
        }
        // Where it may run was changed on the way.
        let to = place::on_wake_up(&thread.entity, &BOARD, &TOPOLOGY);
        thread.entity.send_to(to.expect("`set_allowed` refuses sets without a CPU that runs"));
    }
}

/// A thread is to run on none but these CPUs from now on. False if none of them runs.
pub fn set_allowed(thread: &Thread, allowed: &CpuSet) -> bool {
    if allowed.and(&BOARD.online()).is_empty() {
        return false;
    }
    let were_on = interrupts::disable();
    let (number, mut queue) = lock_of(thread);
    thread.entity.set_allowed(allowed);
    if !allowed.contains(number) {
        match thread.entity.whereabouts() {
            // Who wakes it, or has it on the way, looks where it may go.
            Whereabouts::Away => {}
            Whereabouts::Queued => {
                take_out(number, &mut queue, thread);
                let to = place::on_wake_up(&thread.entity, &BOARD, &TOPOLOGY);
                thread.entity.send_to(to.unwrap_or(number));
                drop(queue);
                deliver(thread, Arrival::Moved);
                interrupts::restore(were_on);
                return true;
            }
            Whereabouts::Running => want_on(number),
        }
    }
    drop(queue);
    interrupts::restore(were_on);
    if were_on {
        preempt::check();
    }
    true
}

/// Another policy for a thread.
///
/// # Panics
/// If a real-time priority is not 1 to 99.
pub fn set_policy(thread: &Thread, policy: Policy) {
    let were_on = interrupts::disable();
    let (number, mut queue) = lock_of(thread);
    queue.set_policy(entity_of(thread), policy, Machine::now_ns());
    look(number, &mut queue);
    drop(queue);
    interrupts::restore(were_on);
    if were_on {
        preempt::check();
    }
}

/// Has a thread look at what has changed for it: from a sleep, or on its way back to ring 3. As [`unpark`].
pub fn prod(thread: &Thread) {
    unpark(thread);
    let were_on = interrupts::disable();
    want_on(thread.cpu());
    interrupts::restore(were_on);
}

/// Carries out a [`balance::Move`]; false if there is no thread for it any more. With interrupts off.
fn carry_out(plan: balance::Move) -> bool {
    let mut from = cpu(plan.from).lock();
    let Some(entity) = plan.candidate(&from) else { return false };
    // SAFETY: what is in a queue is alive.
    let thread = unsafe { &*thread_of(entity) };
    take_out(plan.from, &mut from, thread);
    entity.send_to(plan.to);
    drop(from);
    deliver(thread, Arrival::Moved);
    true
}

fn take_out(number: usize, queue: &mut Queue, thread: &Thread) {
    queue.dequeue(entity_of(thread), Machine::now_ns());
    look(number, queue);
}

/// For the idle thread, with interrupts off: fetches a thread that waits for another CPU. True if there is one to run.
pub fn pull() -> bool {
    let number = percpu::number();
    [false, true]
        .into_iter()
        .any(|again| balance::on_idle(number, again, &BOARD, &TOPOLOGY).is_some_and(carry_out))
}

/// Whether the load is even, as seen from a CPU on which somebody waits. With interrupts off.
#[cold]
fn balance_from(number: usize) {
    let round = cpu(number).round.fetch_add(1, Ordering::Relaxed);
    if let Some(plan) = balance::plan(number, round, &BOARD) {
        carry_out(plan);
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
fn entity_of(thread: &Thread) -> &'static Entity {
    // SAFETY: the scheduler's reference keeps it until it is buried, and then it is in no queue.
    unsafe { &*ptr::from_ref(&thread.entity) }
}

#[inline(always)]
fn put(number: usize, queue: &mut Queue, thread: &Thread, arrival: Arrival) {
    let was_wanted = queue.wants_switch();
    recorder::arrival(thread, number, arrival);
    queue.enqueue(entity_of(thread), arrival, Machine::now_ns());
    // A CPU that is wanted has been told.
    if !was_wanted {
        look(number, queue);
    }
}

/// Sees to it that [`slice_over`] comes by then, for this CPU. Under the queue's lock.
#[inline]
fn set_own_timer(cpu: &Cpu, event_ns: u64) {
    if event_ns < cpu.timer_ns.load(Ordering::Relaxed) {
        arm(cpu, event_ns);
    }
}

#[inline(never)]
fn arm(cpu: &Cpu, event_ns: u64) {
    if timers::at(event_ns, slice_over, percpu::number()).is_ok() {
        cpu.timer_ns.store(event_ns, Ordering::Relaxed);
    }
}

/// The same for any CPU.
#[inline]
fn set_timer(number: usize, cpu: &Cpu, event_ns: u64) {
    if number == percpu::number() {
        set_own_timer(cpu, event_ns);
    } else if event_ns < cpu.timer_ns.load(Ordering::Relaxed) {
        tell(number);
    }
}

/// The timer: in an interrupt, on that CPU or, if it has no alarm, on the boot CPU.
fn slice_over(number: usize) {
    let cpu = cpu(number);
    let mut queue = cpu.lock();
    cpu.timer_ns.store(NEVER, Ordering::Relaxed);
    let now_ns = Machine::now_ns();
    queue.tick(now_ns);
    look(number, &mut queue);
    let is_due = queue.is_balance_due(now_ns);
    drop(queue);
    if is_due {
        balance_from(number);
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
    match timers::at_leaving_some(deadline_ns, wake_up, raw) {
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
            // More room is being made, or there are as many timers as there can be: others may run, and it is looked at the clock.
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

/// Charges the threads that run for the time until now, so that their `cpu_ns` is right.
pub fn account() {
    for number in BOARD.online().iter() {
        let were_on = interrupts::disable();
        let mut queue = cpu(number).lock();
        let was_wanted = queue.wants_switch();
        queue.account(Machine::now_ns());
        if !was_wanted {
            look(number, &mut queue);
        }
        drop(queue);
        interrupts::restore(were_on);
    }
    preempt::check();
}

/// Whether somebody waits for this CPU; for the idle thread, with interrupts off.
pub fn is_wanted() -> bool {
    here().lock().is_wanted()
}

/// CPUs that threads may run on.
pub fn online() -> CpuSet {
    BOARD.online()
}

/// Threads that run or wait for a CPU, as the CPUs have shown it last.
pub fn active() -> u64 {
    BOARD.online().iter().map(|cpu| u64::from(BOARD.load(cpu).threads)).sum()
}

/// Since when a CPU has threads, and how long it had nothing to do since then, up to when it last looked: nanoseconds.
pub fn idle_ns(number: usize) -> (u64, u64) {
    idle_thread(number).map_or((0, 0), |idle| (idle.start_ns(), idle.cpu_ns()))
}

/// What a CPU runs when there is nothing to do.
fn idle_thread(number: usize) -> Option<&'static Thread> {
    // SAFETY: null or an idle thread, and those never end.
    unsafe { CPU.on(number)?.idle.load(Ordering::Acquire).as_ref() }
}

/// Whether a thread is that of its CPU.
pub fn is_idle_thread(thread: &Thread) -> bool {
    idle_thread(thread.cpu()).is_some_and(|idle| ptr::eq(idle, thread))
}

/// Switches to another thread, on this CPU so far. With interrupts off.
pub fn switches_here() -> u64 {
    here().switches.load(Ordering::Relaxed)
}

/// Switches to another thread, on all CPUs so far.
pub fn switches() -> u64 {
    all().map(|cpu| cpu.switches.load(Ordering::Relaxed)).sum()
}
