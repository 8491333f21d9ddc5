//! A program that runs: what the kernel keeps for it, the list of all, and how one is ended from outside.
//!
//! A program is a thread that is in ring 3 most of the time. Its [`Running`] is part of whoever waits for its end: on
//! the stack of the thread itself ([`Running::run`]), or in a [`Started`]. The thread knows where
//! (`task::context::program`), and so system calls and faults come to it on whichever CPU they come.
//!
//! **Ended from outside.** A flag, and a push: [`Running::stop`] sets the one and has the thread woken and its CPU look for
//! another thread. A program is looked at on each of its ways back to ring 3 that can have missed the push: after a
//! system call and a fault, with interrupts off already; at the end of an interrupt that found another thread wanted; and
//! before the first time. So it executes nothing more when its CPU has had the interrupt.

use super::End;
use super::calls::{self, State};
use super::space::Space;
use crate::arch::x86_64::frame::TrapFrame;
use crate::arch::x86_64::interrupts;
use crate::arch::x86_64::user::Start;
use crate::mm::pressure::Victim;
use crate::mm::vma::{Error, room};
use crate::platform::{Machine, Platform};
use crate::sync::hooks;
use crate::sync::{IrqLock, Rank};
use crate::task::context::Program;
use crate::task::fault::Answer;
use crate::task::{self, JoinHandle, NoThread, Policy, ThreadRef, context, fpu, schedule};
use crate::tty::console;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

/// A program, from before its beginning until whoever waits has asked how it ended.
pub struct Running {
    space: Space,
    start: Start,
    /// What its system calls keep; theirs alone.
    state: UnsafeCell<State>,
    /// How it ended; written by its thread, for whoever waits.
    end: UnsafeCell<Option<End>>,
    /// It does not go back to ring 3.
    is_over: AtomicBool,
    /// While it is in the list: its number there, its thread, and the next one. Under the list's lock.
    number: AtomicU64,
    thread: UnsafeCell<Option<ThreadRef>>,
    next: AtomicPtr<Running>,
}

// SAFETY: `state` and `end` are used by the program's own thread, `end` by who waits after that has said that it is over;
// `thread` under the list's lock.
unsafe impl Sync for Running {}
// SAFETY: before it runs it is no thread's, and afterwards neither.
unsafe impl Send for Running {}

/// All that run, the latest first.
struct List {
    first: *const Running,
    begun: u64,
}

// SAFETY: what is in the list may be looked at everywhere.
unsafe impl Send for List {}

static LIST: IrqLock<List> = IrqLock::new(Rank::Programs, List { first: null(), begun: 0 });

impl List {
    fn iter(&self) -> impl Iterator<Item = &Running> {
        // SAFETY: what is in the list is there until it has taken itself out, for which it needs the lock.
        let mut at = unsafe { self.first.as_ref() };
        core::iter::from_fn(move || {
            let found = at?;
            // SAFETY: as above.
            at = unsafe { found.next.load(Ordering::Relaxed).as_ref() };
            Some(found)
        })
    }
}

/// How many run.
pub fn count() -> usize {
    LIST.lock().iter().count()
}

impl Running {
    /// A program of that memory, which has not begun.
    pub fn new(space: Space, start: Start) -> Self {
        Self {
            state: UnsafeCell::new(State::new(space.name())),
            space,
            start,
            end: UnsafeCell::new(None),
            is_over: AtomicBool::new(false),
            number: AtomicU64::new(0),
            thread: UnsafeCell::new(None),
            next: AtomicPtr::new(null_mut()),
        }
    }

    /// Runs it in the thread that calls this, which has no floating-point state, to its end. ENOMEM: it has not begun.
    pub fn run(&self) -> Result<End, Error> {
        fpu::own().map_err(|_| Error::NoMemory)?;
        let active = self.space.activate();
        self.enlist();
        // SAFETY: the lower half is the program's until `active` is dropped.
        context::on_behalf_of(self, || unsafe { context::enter(&self.start) });
        self.unlist();
        drop(active);
        fpu::disown();
        // SAFETY: the program is over, so nobody else writes there.
        Ok(unsafe { (*self.end.get()).take() }.unwrap_or(End::Stopped))
    }

    fn enlist(&self) {
        let me = task::current();
        let mut list = LIST.lock();
        list.begun += 1;
        self.number.store(list.begun, Ordering::Relaxed);
        self.next.store(list.first.cast_mut(), Ordering::Relaxed);
        // SAFETY: under the list's lock.
        unsafe { *self.thread.get() = Some(me) };
        list.first = self;
    }

    fn unlist(&self) {
        let mut list = LIST.lock();
        let next = self.next.load(Ordering::Relaxed);
        let previous = list.iter().find(|other| core::ptr::eq(other.next.load(Ordering::Relaxed), self));
        let is_first = previous.inspect(|one| one.next.store(next, Ordering::Relaxed)).is_none();
        if is_first {
            list.first = next;
        }
        // SAFETY: under the list's lock.
        let thread = unsafe { (*self.thread.get()).take() };
        drop(list);
        drop(thread);
    }

    /// Says how it ended. By its own thread, which is to leave next.
    pub fn set_end(&self, how: End) {
        // SAFETY: the program's own thread, and nobody reads before that has left.
        unsafe { *self.end.get() = Some(how) };
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// Whether it is not to go back to ring 3.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub fn space(&self) -> &Space {
        &self.space
    }

    /// For the system call that its thread makes.
    ///
    /// # Safety
    /// By that thread, for one call at a time.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn state(&self) -> &mut State {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.state.get() }
    }

    /// Ends it from outside; if it has not begun, when it does. Also in interrupt handlers.
    pub fn stop(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        let list = LIST.lock();
        // SAFETY: under the list's lock.
        let thread = unsafe { (*self.thread.get()).clone() };
        drop(list);
        if let Some(thread) = thread {
            schedule::prod(&thread);
        }
        // It may wait for something typed.
        console::READERS.wake_all();
    }
}

impl Program for Running {
    fn system_call(&self, frame: &mut TrapFrame) {
        calls::serve(self, frame);
        interrupts::disable();
        self.look(frame);
    }

    fn exception(&self, frame: &TrapFrame, cr2: u64, answer: Answer) {
        self.set_end(super::end_by(frame, cr2, answer));
    }

    /// Not if it is over.
    fn look(&self, _: &mut TrapFrame) {
        if self.is_over() {
            // SAFETY: the thread is in `context::enter`, on its way to ring 3, and holds nothing.
            unsafe { context::leave() }
        }
    }
}

/// A program that has a thread of its own. Dropped without [`wait`](Self::wait), it is stopped.
pub struct Started {
    /// One, that does not move: a box that can be refused.
    job: Vec<Job>,
    thread: Option<JoinHandle>,
}

struct Job {
    running: Running,
    result: UnsafeCell<Option<Result<End, Error>>>,
}

/// Begins a program of that memory. ENOMEM.
pub fn start(space: Space, start: Start) -> Result<Started, Error> {
    let mut started = Started::new(space, start)?;
    started.begin()?;
    Ok(started)
}

impl Started {
    fn new(space: Space, start: Start) -> Result<Self, Error> {
        let mut job = room::with_room(1)?;
        job.push(Job { running: Running::new(space, start), result: UnsafeCell::new(None) });
        Ok(Self { job, thread: None })
    }

    fn begin(&mut self) -> Result<(), Error> {
        fn run(job: usize) -> usize {
            // SAFETY: `Started` has it, and waits for this thread's end before it gives it back.
            let job = unsafe { &*(job as *const Job) };
            let result = job.running.run();
            // SAFETY: read after this thread's end only.
            unsafe { *job.result.get() = Some(result) };
            0
        }
        let (name, job) = (self.running().space.name(), self.job.as_ptr() as usize);
        let thread = task::spawn(name, Policy::Normal(0), run, job);
        self.thread = Some(thread.map_err(|NoThread| Error::NoMemory)?);
        Ok(())
    }

    pub fn running(&self) -> &Running {
        &self.job[0].running
    }

    /// Its thread, until it has been waited for.
    pub fn thread(&self) -> Option<&ThreadRef> {
        self.thread.as_ref().map(JoinHandle::thread)
    }

    /// Waits for its end. ENOMEM: it has not begun.
    pub fn wait(mut self) -> Result<End, Error> {
        self.join();
        // SAFETY: the thread has ended.
        unsafe { (*self.job[0].result.get()).take() }.unwrap_or(Err(Error::NoMemory))
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.running().stop();
            self.join();
        }
    }
}

/// The program that the console's interrupt key is for.
struct Foreground(*const Running);

// SAFETY: a Running may be stopped from everywhere.
unsafe impl Send for Foreground {}

static FOREGROUND: IrqLock<Foreground> = IrqLock::new(Rank::Foreground, Foreground(null()));

/// Runs a program of that memory, which ^C ends. ENOMEM.
pub fn run_in_foreground(space: Space, start: Start) -> Result<End, Error> {
    let mut started = Started::new(space, start)?;
    let before = core::mem::replace(&mut FOREGROUND.lock().0, started.running());
    let begun = started.begin();
    started.join();
    FOREGROUND.lock().0 = before;
    begun.and_then(|()| started.wait())
}

/// What the console calls for ^C, in an interrupt handler. Whether anybody was ended.
pub fn interrupt_key() -> bool {
    let foreground = FOREGROUND.lock();
    // SAFETY: `run_in_foreground` has it, and takes it from here before it lets it go.
    let running = unsafe { foreground.0.as_ref() };
    running.map(Running::stop).is_some()
}

/// Memory is out, for a page fault of this thread's: the program that has most of it goes. Waits until it has gone, unless
/// it is this thread's own.
pub fn victim() -> Option<Victim> {
    let myself = task::current();
    let me = {
        let list = LIST.lock();
        // SAFETY: under the list's lock.
        let is_mine = |one: &&Running| {
            unsafe { (*one.thread.get()).as_ref() }.is_some_and(|thread| thread.id() == myself.id())
        };
        // SAFETY: a program that this thread runs is there until the thread has left ring 3 for good, which it has not.
        list.iter().find(is_mine).map(|one| unsafe { &*core::ptr::from_ref(one) })?
    };
    let own = me.number.load(Ordering::Relaxed);
    let victim_of = |space: &Space, pages, is_asker| Some(Victim::new(space.name(), pages, is_asker));
    let own_pages = me.space.space().resident();
    let (mut largest, mut from) = (None::<(u64, u64, Space)>, 0);
    // One after the other: to count pages takes another lock.
    loop {
        let next = {
            let list = LIST.lock();
            let number = |one: &&Running| one.number.load(Ordering::Relaxed);
            let found = list.iter().filter(|one| number(one) > from).min_by_key(number);
            found.map(|one| (one.number.load(Ordering::Relaxed), one.space.clone()))
        };
        let Some((number, space)) = next else { break };
        from = number;
        let pages = space.space().resident();
        // Not another thread with this one's memory either, which is to be cleared.
        let is_other = number != own && space.space().root() != me.space.space().root();
        if is_other && pages > own_pages && largest.as_ref().is_none_or(|best| pages > best.1) {
            largest = Some((number, pages, space));
        }
    }
    let Some((number, pages, space)) = largest.filter(|_| hooks::preemption_depth() == 0) else {
        return victim_of(&me.space, own_pages, true);
    };
    let mut is_stopped = false;
    loop {
        let list = LIST.lock();
        let Some(found) = list.iter().find(|one| one.number.load(Ordering::Relaxed) == number) else { break };
        if !core::mem::replace(&mut is_stopped, true) {
            found.is_over.store(true, Ordering::SeqCst);
            // SAFETY: under the list's lock.
            let thread = unsafe { (*found.thread.get()).clone() };
            drop(list);
            thread.iter().for_each(|thread| schedule::prod(thread));
            console::READERS.wake_all();
        } else {
            drop(list);
        }
        if me.is_over() {
            // Somebody waits for this one in the same way.
            return victim_of(&me.space, own_pages, true);
        }
        task::sleep_until(Machine::now_ns() + 1_000_000);
    }
    // Whoever waits for its end may take his time, and its memory is wanted now.
    space.space().clear();
    victim_of(&space, pages, false)
}
