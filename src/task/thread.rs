//! What is kept of a thread, and who may hold it.
//!
//! A thread is counted: the scheduler has one reference as long as the thread lives, whoever may join it another, and
//! [`ThreadRef`] is one. The last gives the memory back. So a thread that one has a reference to may be dead, and is
//! never somebody else.

use super::context::Context;
use super::sched::entity::Statistics;
use super::sched::{CpuSet, Entity, Policy};
use super::schedule;
use super::stack::Stack;
use crate::arch::x86_64::switch;
use crate::mm::heap;
use crate::mm::slab::Cache;
use crate::platform::{Machine, Platform};
use crate::sync::checks::TaskLocks;
use crate::sync::{IrqLock, Rank};
use core::cell::UnsafeCell;
use core::fmt;
use core::ops::Deref;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It waits for a CPU.
    Ready = 0,
    Running = 1,
    /// It waits for somebody who unparks it.
    Parked = 2,
    Dead = 3,
}

/// What a thread executes: with the argument that it was spawned with. What it returns is what `join` returns.
pub type Entry = fn(usize) -> usize;

/// A thread.
#[repr(C)]
pub struct Thread {
    /// What asm/switch.S has kept; of no meaning while it runs.
    pub(super) stack_pointer: UnsafeCell<u64>,
    /// What it has of a CPU beside its stack.
    pub(super) context: Context,
    state: AtomicU8,
    /// An unpark that came while it was not parked. Under its queue's lock.
    pub(super) token: AtomicU8,
    /// Its CPU is asked of it rather than taken: it wants no further look at the clock.
    pub(super) entity: Entity,
    id: u32,
    references: AtomicU32,
    /// Up to 32 bytes of UTF-8, zeros behind.
    name: [AtomicU64; NAME_WORDS],
    pub(super) entry: Entry,
    pub(super) argument: usize,
    /// `None` for the thread that the kernel began as, which is on the boot stack. Taken by who buries it.
    pub(super) stack: UnsafeCell<Option<Stack>>,
    pub(super) end: IrqLock<Ending>,
    /// The locks that it holds of those that sleep, in builds that keep count.
    pub(super) locks: TaskLocks,
    /// When it was made, nanoseconds since the kernel's entry.
    start_ns: u64,
    /// Neighbours in the list of all threads, under its lock.
    next: AtomicPtr<Thread>,
    previous: AtomicPtr<Thread>,
}

/// How it ended, and who waits for that.
pub(super) struct Ending {
    pub result: Option<usize>,
    pub is_buried: bool,
    pub joiner: Option<ThreadRef>,
}

// SAFETY: `stack_pointer` and `stack` are used by whoever switches or buries it, of whom there is one at a time, under
// the lock of its run queue or behind it; all else is atomic, locked, or never changed.
unsafe impl Sync for Thread {}
// SAFETY: nothing in it belongs to a CPU.
unsafe impl Send for Thread {}

const NAME_WORDS: usize = 4;

/// A thread's name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name([u8; NAME_WORDS * 8]);

impl Name {
    /// As much of it as fits.
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; NAME_WORDS * 8];
        let mut len = text.len().min(bytes.len());
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        Self(bytes)
    }

    /// Of several that do the same: a word and a number.
    pub fn numbered(word: &str, number: usize) -> Self {
        let mut name = Self::new(word);
        let mut at = name.as_str().len();
        let digits = number.checked_ilog10().unwrap_or(0);
        for place in (0..=digits).rev() {
            if let Some(byte) = name.0.get_mut(at) {
                *byte = b'0' + (number / 10_usize.pow(place) % 10) as u8;
                at += 1;
            }
        }
        name
    }

    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        core::str::from_utf8(&self.0[..len]).unwrap_or("?")
    }

    fn words(self) -> [AtomicU64; NAME_WORDS] {
        core::array::from_fn(|word| {
            let bytes = &self.0[word * 8..word * 8 + 8];
            AtomicU64::new(bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

static CACHE: Cache = Cache::new("thread", size_of::<Thread>(), align_of::<Thread>());

/// All threads that are not buried, the newest first.
struct All {
    first: *const Thread,
    count: usize,
    next_id: u32,
}

// SAFETY: what it points to may be looked at everywhere.
unsafe impl Send for All {}

static ALL: IrqLock<All> =
    IrqLock::new(Rank::Threads, All { first: core::ptr::null(), count: 0, next_id: 0 });

impl Thread {
    /// A thread in the list of all, with one reference, that of the scheduler; `None` if memory is out.
    pub(super) fn create(
        name: Name,
        policy: Policy,
        stack: Option<Stack>,
        (entry, argument): (Entry, usize),
    ) -> Option<ThreadRef> {
        let place = heap::allocate_from(&CACHE)?.cast::<Self>();
        let mut all = ALL.lock();
        let thread = Self {
            stack_pointer: UnsafeCell::new(0),
            context: Context::new(),
            state: AtomicU8::new(State::Parked as u8),
            token: AtomicU8::new(0),
            entity: Entity::new(all.next_id, policy),
            id: all.next_id,
            references: AtomicU32::new(1),
            name: name.words(),
            entry,
            argument,
            stack: UnsafeCell::new(stack),
            end: IrqLock::new(Rank::ThreadEnd, Ending { result: None, is_buried: false, joiner: None }),
            locks: TaskLocks::new(),
            start_ns: Machine::now_ns(),
            next: AtomicPtr::new(all.first.cast_mut()),
            previous: AtomicPtr::new(null_mut()),
        };
        thread.entity.set_slice(schedule::slice_ns());
        // SAFETY: fresh memory of that size and alignment.
        unsafe { place.write(thread) };
        // SAFETY: in the list are threads that are alive.
        if let Some(first) = unsafe { all.first.as_ref() } {
            first.previous.store(place.as_ptr(), Ordering::Relaxed);
        }
        all.first = place.as_ptr();
        all.count += 1;
        all.next_id += 1;
        Some(ThreadRef(place))
    }

    /// Takes it out of the list of all.
    pub(super) fn unlist(&self) {
        let mut all = ALL.lock();
        let (next, previous) = (self.next.load(Ordering::Relaxed), self.previous.load(Ordering::Relaxed));
        // SAFETY: neighbours in the list are alive.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.store(next, Ordering::Relaxed),
            None => all.first = next,
        }
        // SAFETY: as above.
        if let Some(next) = unsafe { next.as_ref() } {
            next.previous.store(previous, Ordering::Relaxed);
        }
        all.count -= 1;
    }

    pub fn id(&self) -> u32 {
        self.id
    }

    pub fn name(&self) -> Name {
        let mut bytes = [0; NAME_WORDS * 8];
        for (part, word) in bytes.chunks_exact_mut(8).zip(&self.name) {
            part.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        Name(bytes)
    }

    /// Another name for the thread that runs. Who looks meanwhile may see some of each.
    pub fn rename(name: Name) {
        if let Some(current) = try_current() {
            for (to, from) in current.name.iter().zip(&name.words()) {
                to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
    }

    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Ready,
            1 => State::Running,
            2 => State::Parked,
            _ => State::Dead,
        }
    }

    /// Under the lock of its run queue.
    #[inline]
    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
    }

    pub fn policy(&self) -> Policy {
        self.entity.policy()
    }

    /// The CPU that it is on, or was last.
    pub fn cpu(&self) -> usize {
        self.entity.cpu()
    }

    /// Nanoseconds that it has run, up to when its CPU last looked.
    pub fn cpu_ns(&self) -> u64 {
        self.entity.cpu_ns()
    }

    /// How it has fared.
    pub fn statistics(&self) -> Statistics {
        self.entity.statistics()
    }

    /// The CPUs that it may run on.
    pub fn allowed(&self) -> CpuSet {
        self.entity.allowed()
    }

    /// When it was made, nanoseconds since the kernel's entry.
    pub fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// Whether it is what its CPU does when there is nothing to do.
    pub fn is_idle(&self) -> bool {
        schedule::is_idle_thread(self)
    }

    /// Whether it owns floating-point state.
    pub fn has_fpu(&self) -> bool {
        self.context.has_fpu()
    }

    /// Whether this is what it does.
    pub fn does(&self, entry: Entry) -> bool {
        core::ptr::fn_addr_eq(self.entry, entry)
    }

    /// Whether it runs a program in ring 3.
    pub fn has_program(&self) -> bool {
        self.context.is_in_ring_3()
    }
}

/// A counted reference to a thread.
pub struct ThreadRef(NonNull<Thread>);

// SAFETY: a Thread may be used and given up everywhere.
unsafe impl Send for ThreadRef {}
// SAFETY: as above.
unsafe impl Sync for ThreadRef {}

impl ThreadRef {
    /// One more reference to a thread that the caller knows to be alive.
    pub(super) fn of(thread: &Thread) -> Self {
        thread.references.fetch_add(1, Ordering::Relaxed);
        Self(NonNull::from(thread))
    }

    /// As a number, for contexts of timers. The reference is in it.
    pub(super) fn into_raw(self) -> usize {
        let raw = self.0.as_ptr() as usize;
        core::mem::forget(self);
        raw
    }

    /// # Safety
    /// From [`into_raw`](Self::into_raw), once.
    pub(super) unsafe fn from_raw(raw: usize) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { NonNull::new_unchecked(raw as *mut Thread) })
    }
}

impl Clone for ThreadRef {
    fn clone(&self) -> Self {
        Self::of(self)
    }
}

impl Deref for ThreadRef {
    type Target = Thread;

    #[inline]
    fn deref(&self) -> &Thread {
        // SAFETY: a reference keeps it.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for ThreadRef {
    fn drop(&mut self) {
        if self.references.fetch_sub(1, Ordering::Release) == 1 {
            core::sync::atomic::fence(Ordering::Acquire);
            // SAFETY: this was the last reference, so nobody is left to look; it came from the cache.
            unsafe {
                self.0.as_ptr().drop_in_place();
                heap::free_to(&CACHE, self.0.cast());
            }
        }
    }
}

/// The thread that runs this; `None` before there are any.
#[inline]
pub fn try_current() -> Option<&'static Thread> {
    let thread = switch::current_thread() as *const Thread;
    // SAFETY: it runs this code, so it is alive as long as that goes on; no reference outlives its thread's own use.
    unsafe { thread.as_ref() }
}

/// The thread that runs this.
///
/// # Panics
/// Before there are any.
pub fn current() -> ThreadRef {
    ThreadRef::of(try_current().expect("task::init comes first"))
}

/// Its name, for reports; "boot" before there are any.
pub fn current_name() -> Name {
    try_current().map_or_else(|| Name::new("boot"), Thread::name)
}

/// How many there are.
pub fn count() -> usize {
    ALL.lock().count
}

/// How many there ever were: the id that the next one gets.
pub fn ever() -> u32 {
    ALL.lock().next_id
}

/// The thread with the lowest id that is not below `from`.
pub fn next_from(from: u32) -> Option<ThreadRef> {
    let all = ALL.lock();
    let (mut at, mut best) = (all.first, None::<&Thread>);
    // SAFETY: in the list are threads that are alive.
    while let Some(thread) = unsafe { at.as_ref() } {
        // The newest comes first: what is below is so to the end.
        if thread.id < from {
            break;
        }
        best = Some(thread);
        at = thread.next.load(Ordering::Relaxed);
    }
    best.map(ThreadRef::of)
}

/// Calls `visit` with each thread, by ids upwards; one that begins meanwhile may be among them, one that ends may not.
pub fn for_each(visit: &mut dyn FnMut(&Thread)) {
    let mut from = 0;
    while let Some(thread) = next_from(from) {
        visit(&thread);
        from = thread.id + 1;
    }
}
