//! The checks at work: each CPU's list and each task's, and what is asked of them.

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
}

impl Account {
    const fn new() -> Self {
        Self { held: Held::new(), off: None, busy: false, telling: false }
    }
}

#[cfg(not(test))]
mod place {
    use super::{Account, hooks, interrupts};
    use crate::arch::x86_64::percpu::MAX_CPUS;
    use core::cell::UnsafeCell;

    /// One account, with whatever comes between off while it is used.
    pub struct Place(UnsafeCell<Account>);

    // SAFETY: `with` gives it to one at a time, on one CPU, or in one task.
    unsafe impl Sync for Place {}

    /// The CPUs' accounts. The debugger looks here.
    pub static CPU_LOCKS: [Place; MAX_CPUS] = [const { Place(UnsafeCell::new(Account::new())) }; MAX_CPUS];
    /// The account of the only task.
    pub static TASK_LOCKS: Place = Place(UnsafeCell::new(Account::new()));

    impl Place {
        fn with<R>(&self, f: impl FnOnce(&mut Account) -> R) -> Option<R> {
            let were_on = interrupts::disable();
            let account = self.0.get();
            // SAFETY: this CPU's or this task's, with interrupts off. An NMI finds `busy` set, and goes away; it is written
            // through the pointer, as the NMI reads it.
            let result = unsafe {
                if (&raw const (*account).busy).read_volatile() {
                    None
                } else {
                    (&raw mut (*account).busy).write_volatile(true);
                    let result = f(&mut *account);
                    (&raw mut (*account).busy).write_volatile(false);
                    Some(result)
                }
            };
            interrupts::restore(were_on);
            result
        }
    }

    pub fn with_cpu<R>(f: impl FnOnce(&mut Account) -> R) -> Option<R> {
        CPU_LOCKS[hooks::cpu()].with(f)
    }

    pub fn with_task<R>(f: impl FnOnce(&mut Account) -> R) -> Option<R> {
        TASK_LOCKS.with(f)
    }
}

use place::{with_cpu, with_task};

/// Tells of a finding, with the checks of this CPU off meanwhile.
#[cold]
#[inline(never)]
fn found(violation: Violation) {
    let set = |telling| with_cpu(|cpu| core::mem::replace(&mut cpu.telling, telling)).unwrap_or(true);
    if !GIVEN_UP.load(Relaxed) && !set(true) {
        tell(&violation);
        set(false);
    }
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
    let look = |cpu: &mut Account| (cpu.held.entries().last().copied(), cpu.off);
    let Some((last, off)) = with_cpu(look) else { return };
    // On the host interrupts are neither on nor off.
    let is_off = cfg!(not(test)) && !interrupts::are_on();
    let (what, before) = match (last, off) {
        (Some(entry), _) => (What::Sleep, Some((Some(entry.rank.name()), entry.place))),
        _ if hooks::in_handler() => (What::SleepInHandler, None),
        (None, Some((_, since))) => (What::SleepOff, Some((None, since))),
        (None, None) if is_off || hooks::preemption_depth() > 0 => (What::SleepOff, None),
        (None, None) => return,
    };
    found(Violation { what, lock: None, place, before });
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
