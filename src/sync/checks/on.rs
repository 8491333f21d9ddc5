//! The checks at work: each CPU's list and each task's, and what is asked of them.

#[cfg(not(test))]
use super::Seen;
use super::held::{Entry, Held};
use super::{GIVEN_UP, HZ, OFF_LIMIT_NS, Place, Violation, What, tell};
use crate::arch::x86_64::{interrupts, tsc};
use crate::sync::hooks;
use crate::sync::rank::{Group, Rank};
use core::panic::Location;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// What is kept of a CPU, or of a task.
pub struct Account {
    pub held: Held,
    /// Since when interrupts are off, by the time-stamp counter, and where they were turned off by a lock.
    off: Option<(u64, Place)>,
    /// The account is being changed. What comes meanwhile is an NMI, whose locks are not noted.
    #[cfg_attr(test, expect(dead_code, reason = "the host has no NMIs"))]
    busy: bool,
    /// A finding is being told; that is done with locks as well, on top of whatever was wrong.
    telling: bool,
    /// Locks taken so far.
    taken: u64,
    /// Atomic changes of words that others change too, as far as [`note_shared_write`] is told of them.
    shared_writes: u64,
}

impl Account {
    const fn new() -> Self {
        Self { held: Held::new(), off: None, busy: false, telling: false, taken: 0, shared_writes: 0 }
    }
}

#[cfg(not(test))]
mod place {
    use super::{Account, hooks, interrupts};
    use crate::arch::x86_64::percpu::MAX_CPUS;
    use crate::sync::parker;
    use core::cell::UnsafeCell;

    /// One account, with whatever comes between off while it is used.
    pub struct TaskLocks(UnsafeCell<Account>);

    // SAFETY: `with` gives it to one at a time, on one CPU, or in one task.
    unsafe impl Sync for TaskLocks {}

    /// The CPUs' accounts. The debugger looks here.
    pub static CPU_LOCKS: [TaskLocks; MAX_CPUS] = [const { TaskLocks::new() }; MAX_CPUS];
    /// The account of the only task, before there are threads. A thread has its own in it.
    pub static TASK_LOCKS: TaskLocks = TaskLocks::new();

    impl TaskLocks {
        pub const fn new() -> Self {
            Self(UnsafeCell::new(Account::new()))
        }

        /// With interrupts off.
        fn with<R>(&self, f: impl FnOnce(&mut Account) -> R) -> Option<R> {
            let account = self.0.get();
            // SAFETY: this CPU's or this task's, with interrupts off. An NMI finds `busy` set, and goes away; it is written
            // through the pointer, as the NMI reads it.
            unsafe {
                if (&raw const (*account).busy).read_volatile() {
                    return None;
                }
                (&raw mut (*account).busy).write_volatile(true);
                let result = f(&mut *account);
                (&raw mut (*account).busy).write_volatile(false);
                Some(result)
            }
        }

        /// What it shows to another CPU, without any lock.
        pub fn peek(&self) -> *const Account {
            self.0.get()
        }
    }

    impl Default for TaskLocks {
        fn default() -> Self {
            Self::new()
        }
    }

    /// With this CPU's account. Interrupts go off before it is asked which that is: a moment later it may be another one.
    pub fn with_cpu<R>(f: impl FnOnce(&mut Account) -> R) -> Option<R> {
        let were_on = interrupts::disable();
        let result = CPU_LOCKS[hooks::cpu()].with(f);
        interrupts::restore(were_on);
        result
    }

    /// With this task's, which goes with it from CPU to CPU.
    pub fn with_task<R>(f: impl FnOnce(&mut Account) -> R) -> Option<R> {
        let were_on = interrupts::disable();
        let result = parker::task_locks().unwrap_or(&TASK_LOCKS).with(f);
        interrupts::restore(were_on);
        result
    }
}

#[cfg(not(test))]
pub use place::TaskLocks;
use place::{with_cpu, with_task};

/// Tells of a finding, with the checks of this CPU off meanwhile; so it stays on this CPU.
#[cold]
#[inline(never)]
fn found(violation: Violation) {
    hooks::disable_preemption();
    let set = |telling| with_cpu(|cpu| core::mem::replace(&mut cpu.telling, telling)).unwrap_or(true);
    if !GIVEN_UP.load(Relaxed) && !set(true) {
        tell(&violation);
        set(false);
    }
    hooks::enable_preemption();
}

/// What a lock carries for the checks.
pub struct Tag {
    rank: Rank,
    /// Where the holder took it; null for readers, of whom there may be many.
    holder: AtomicPtr<Location<'static>>,
}

impl Tag {
    pub const fn new(rank: Rank) -> Self {
        Self { rank, holder: AtomicPtr::new(core::ptr::null_mut()) }
    }

    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    fn with<R>(&self, f: impl FnOnce(&mut Account) -> R) -> Option<R> {
        if self.rank.group() == Group::Sleep { with_task(f) } else { with_cpu(f) }
    }

    /// Somebody is going to wait for the lock.
    #[track_caller]
    pub fn wanted(&self) {
        let (place, address) = (Place::here(), self.address());
        if GIVEN_UP.load(Relaxed) {
            return;
        }
        if self.rank.group() == Group::Sleep {
            may_sleep();
        }
        let refused = self.with(|account| account.held.refuse(address, self.rank, place)).flatten();
        let in_handler = self.rank.group() == Group::Spin && hooks::in_handler();
        if let Some(violation) = refused {
            found(violation);
        } else if in_handler {
            found(Violation { what: What::InHandler, lock: Some(self.rank.name()), place, before: None });
        }
    }

    /// This CPU or task has it, alone.
    #[track_caller]
    pub fn taken(&self) {
        self.holder.store(core::ptr::from_ref(Location::caller()).cast_mut(), Relaxed);
        self.taken_shared();
    }

    /// It has it together with others.
    #[track_caller]
    pub fn taken_shared(&self) {
        let entry = Entry { lock: self.address(), rank: self.rank, place: Place::here() };
        self.with(|account| account.held.add(entry));
        with_cpu(|cpu| cpu.taken += 1);
    }

    /// It is about to be given back.
    pub fn released(&self) {
        let address = self.address();
        let had =
            self.with(|account| account.held.remove(address) || account.held.count == super::held::DEPTH);
        if had == Some(false) && !GIVEN_UP.load(Relaxed) {
            found(Violation {
                what: What::Foreign,
                lock: Some(self.rank.name()),
                place: Place::NONE,
                before: self.holder().map(|place| (Some(self.rank.name()), place)),
            });
        }
        self.holder.store(core::ptr::null_mut(), Relaxed);
    }

    fn holder(&self) -> Option<Place> {
        // SAFETY: only `taken` stores there, and what it stores lives for ever.
        let at = unsafe { self.holder.load(Relaxed).as_ref() };
        at.map(|at| Place { file: at.file(), line: at.line() })
    }

    /// To be called now and then while the lock is waited for: tells once if that takes too long.
    #[track_caller]
    pub fn stuck(&self) -> impl FnMut() {
        const LIMIT_NS: u64 = 10_000_000_000;
        let (place, mut since) = (Place::here(), None);
        move || {
            let hz = HZ.load(Relaxed);
            if hz == 0 {
                return;
            }
            let now = tsc::read();
            let ns = tsc::to_ns(now.wrapping_sub(*since.get_or_insert(now)), hz);
            if ns >= LIMIT_NS && !GIVEN_UP.load(Relaxed) {
                since = Some(now);
                found(Violation {
                    what: What::Stuck(ns),
                    lock: Some(self.rank.name()),
                    place,
                    before: self.holder().map(|place| (Some(self.rank.name()), place)),
                });
            }
        }
    }
}

/// A word that other CPUs write too is changed by an atomic operation.
pub fn note_shared_write() {
    with_cpu(|cpu| cpu.shared_writes += 1);
}

/// Locks that this CPU has taken, and shared words that it has changed. For who measures a piece of code.
pub fn counts() -> (u64, u64) {
    with_cpu(|cpu| (cpu.taken, cpu.shared_writes)).unwrap_or((0, 0))
}

/// A lock has turned interrupts off, which were on.
#[track_caller]
pub fn interrupts_off(were_on: bool) {
    if were_on {
        let off = Some((tsc::read(), Place::here()));
        with_cpu(|cpu| cpu.off = off);
    }
}

/// Interrupts that were off for too long, to be told of once they are on.
pub struct TooLong(Option<Violation>);

impl TooLong {
    pub fn report(self) {
        if let Some(violation) = self.0 {
            found(violation);
        }
    }
}

/// It is about to turn them on, if they were.
pub fn interrupts_on(were_on: bool) -> TooLong {
    if !were_on || GIVEN_UP.load(Relaxed) {
        return TooLong(None);
    }
    let look = |cpu: &mut Account| {
        let off = cpu.off.take();
        let kept = cpu.held.entries().iter().find(|entry| entry.rank.group() == Group::Irq).copied();
        (off, kept)
    };
    let Some((Some((since, place)), kept)) = with_cpu(look) else { return TooLong(None) };
    if let Some(entry) = kept {
        let before = Some((Some(entry.rank.name()), entry.place));
        found(Violation { what: What::LetIn, lock: None, place, before });
    }
    let ns = tsc::to_ns(tsc::read().wrapping_sub(since), HZ.load(Relaxed));
    let is_long = ns > OFF_LIMIT_NS.load(Relaxed);
    let before = Some((None, place));
    TooLong(is_long.then_some(Violation { what: What::OffLong(ns), lock: None, place, before }))
}

/// Whoever calls this may have to sleep, and so must not hold anything that spins.
#[track_caller]
pub fn may_sleep() {
    let place = Place::here();
    if GIVEN_UP.load(Relaxed) {
        return;
    }
    // All of it of one CPU: where this may sleep, it may also be moved, and then it would be blamed for what another does.
    let were_on = interrupts::disable();
    let look = |cpu: &mut Account| (cpu.held.entries().last().copied(), cpu.off);
    let seen = with_cpu(look);
    let (in_handler, depth) = (hooks::in_handler(), hooks::preemption_depth());
    interrupts::restore(were_on);
    let Some((last, off)) = seen else { return };
    // On the host interrupts are neither on nor off.
    let is_off = cfg!(not(test)) && !were_on;
    let (what, before) = match (last, off) {
        (Some(entry), _) => (What::Sleep, Some((Some(entry.rank.name()), entry.place))),
        _ if in_handler => (What::SleepInHandler, None),
        (None, Some((_, since))) => (What::SleepOff, Some((None, since))),
        (None, None) if is_off || depth > 0 => (What::SleepOff, None),
        (None, None) => return,
    };
    found(Violation { what, lock: None, place, before });
}

/// A task is over: nobody would give back what it holds.
pub fn task_ends() {
    let last = with_task(|task| task.held.entries().last().copied()).flatten();
    if let Some(entry) = last.filter(|_| !GIVEN_UP.load(Relaxed)) {
        let before = Some((Some(entry.rank.name()), entry.place));
        found(Violation { what: What::Ends, lock: None, place: Place::NONE, before });
    }
}

/// What CPU `cpu` shows, which has stopped: a CPU that has not may be changing it, and then it is nothing.
#[cfg(not(test))]
pub fn seen_on(cpu: usize) -> Seen {
    let Some(account) = place::CPU_LOCKS.get(cpu).map(place::TaskLocks::peek) else { return Seen::default() };
    // SAFETY: accounts are there for good. Its CPU has done nothing for seconds; if it just wakes up, it says so by
    // `busy` before it changes anything.
    let (before, off, held, after) = unsafe {
        let busy = || (&raw const (*account).busy).read_volatile();
        let before = busy();
        let off = (&raw const (*account).off).read_volatile();
        let count = (&raw const (*account).held.count).read_volatile();
        let last = count.checked_sub(1).filter(|&last| last < super::held::DEPTH);
        (before, off, last.map(|last| (&raw const (*account).held.entries[last]).read_volatile()), busy())
    };
    if before || after {
        return Seen::default();
    }
    let held = held.map(|entry| (entry.rank.name(), entry.place));
    Seen { off: off.map(|(_, place)| place), held }
}

/// Calls `visit` with each lock that this CPU holds, outermost first.
pub fn for_each_held(visit: &mut dyn FnMut(Entry)) {
    let mut at = 0;
    while let Some(entry) = with_cpu(|cpu| cpu.held.entries().get(at).copied()).flatten() {
        visit(entry);
        at += 1;
    }
}

#[cfg(test)]
mod place {
    use super::Account;
    use core::cell::RefCell;

    std::thread_local! {
        static ACCOUNTS: [RefCell<Account>; 2] = const { [const { RefCell::new(Account::new()) }; 2] };
    }

    fn with<R>(number: usize, f: impl FnOnce(&mut Account) -> R) -> Option<R> {
        // A thread that ends may have dropped them.
        ACCOUNTS.try_with(|accounts| Some(f(&mut *accounts[number].try_borrow_mut().ok()?))).ok().flatten()
    }

    pub fn with_cpu<R>(f: impl FnOnce(&mut Account) -> R) -> Option<R> {
        with(0, f)
    }

    pub fn with_task<R>(f: impl FnOnce(&mut Account) -> R) -> Option<R> {
        with(1, f)
    }
}
