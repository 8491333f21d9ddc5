//! Tables that are read on every call and changed seldom: readers pay next to nothing, whoever changes them waits.
//!
//! A table is reached by one pointer ([`Protected`]). Readers follow it between [`Epochs::read`] and the guard's end; that
//! is turning preemption off and on, a count of their own CPU's, and nothing else: no lock, no shared line that is
//! written. Whoever changes the table makes a new one and exchanges the pointer. The old one may have readers; it is
//! freed when they must be gone.
//!
//! When is that? Readers are not preempted and do not sleep. So a CPU that has come to a *quiescent state* since, a
//! switch of threads or the idle loop, has no reader left that could have seen the old pointer. Each change begins a
//! new epoch; a CPU in a quiescent state notes the epoch that it sees. Once all have noted the change's epoch, or a
//! later one, or are idle, the old table is nobody's.
//!
//! ```text
//! epoch   7              8 (pointer exchanged)
//! CPU 0   |--read--|  q7      |--read--|        q8
//! CPU 1        |--------read--------|  q8
//! CPU 2   idle .............................................
//!                                               ^ freed here
//! ```
//!
//! Source: P. E. McKenney, J. D. Slingwine, "Read-copy update: using execution history to solve concurrency problems"
//! (1998); T. E. Hart and others, "Performance of memory reclamation for lockless synchronization" (2007), §3.1, for
//! quiescent states compared with other ways.

use super::irq_lock::IrqLock;
use super::rank::Rank;
use super::waiters::BATCH;
use alloc::boxed::Box;
use core::marker::PhantomData;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering, fence};

/// The CPUs whose readers count.
pub trait Cpus: 'static {
    /// How many have begun. Each of them has called [`Epochs::leave_idle`] first; the number never becomes less.
    fn count() -> usize;
    /// The one that this code runs on. With preemption off.
    fn current() -> usize;
    /// This code stays on its CPU, and nobody else runs there, until the next call.
    fn disable_preemption();
    fn enable_preemption();
    /// How often preemption is off: 0 where a quiescent state can be.
    fn preemption_depth() -> u32;
    /// Something useful or nothing, while other CPUs are waited for.
    fn relax();
    /// What that CPU has noted in quiescent states by other means than [`Epochs::quiescent`], as of a moment ago: the
    /// scheduler has a shorter way. Each is a number that was [`Epochs::current`] there and then.
    fn passed(_cpu: usize) -> u64 {
        0
    }
    /// Has CPU `cpu` come to a quiescent state soon, which may have one thread and no reason to leave it.
    fn hurry(_cpu: usize) {}
    /// Something waits for [`Epochs::collect`], as it may have before.
    fn retired() {}
}

/// What a CPU has noted, in a cache line of its own.
#[repr(align(64))]
struct Noted(AtomicU64);

/// No reader there, until it says otherwise.
const IDLE: u64 = u64::MAX;

/// The epochs of up to `N` CPUs.
pub struct Epochs<C: Cpus, const N: usize> {
    current: AtomicU64,
    noted: [Noted; N],
    retired: IrqLock<Queue>,
    cpus: PhantomData<C>,
}

// SAFETY: everything in it is atomic or behind a lock.
unsafe impl<C: Cpus, const N: usize> Sync for Epochs<C, N> {}

/// A read section.
pub struct Reading<'a, C: Cpus, const N: usize> {
    epochs: &'a Epochs<C, N>,
    not_send: PhantomData<*mut ()>,
}

impl<C: Cpus, const N: usize> Drop for Reading<'_, C, N> {
    #[inline(always)]
    fn drop(&mut self) {
        C::enable_preemption();
    }
}

impl<C: Cpus, const N: usize> Epochs<C, N> {
    pub const fn new() -> Self {
        Self {
            current: AtomicU64::new(1),
            noted: [const { Noted(AtomicU64::new(IDLE)) }; N],
            retired: IrqLock::new(Rank::Retired, Queue { first: null_mut(), last: null_mut() }),
            cpus: PhantomData,
        }
    }

    /// Begins a read section: what [`Protected::get`] gives stays until the guard is dropped. No sleeping in it.
    #[inline(always)]
    pub fn read(&self) -> Reading<'_, C, N> {
        C::disable_preemption();
        Reading { epochs: self, not_send: PhantomData }
    }

    /// This CPU is in a quiescent state: a thread is switched to, ring 3 was interrupted, or anything else with
    /// preemption on.
    #[inline]
    pub fn quiescent(&self) {
        C::disable_preemption();
        debug_assert_eq!(C::preemption_depth(), 1, "a quiescent state in a read section");
        self.noted[C::current()].0.store(self.current.load(Ordering::Acquire), Ordering::Release);
        C::enable_preemption();
    }

    /// The epoch that is going on: what a CPU notes in a quiescent state, if it notes it for [`Cpus::passed`].
    #[inline(always)]
    pub fn current(&self) -> u64 {
        self.current.load(Ordering::Acquire)
    }

    /// This CPU goes to sleep, and reads nothing until it has called [`Self::leave_idle`]. With preemption off.
    pub fn enter_idle(&self) {
        self.noted[C::current()].0.store(IDLE, Ordering::Release);
    }

    /// It begins, or goes on. With preemption off.
    pub fn leave_idle(&self) {
        self.noted[C::current()].0.store(self.current.load(Ordering::Relaxed), Ordering::Relaxed);
        // Against the fence in `begin`: who begins an epoch sees that this CPU is not idle, or this CPU sees what he did
        // before.
        fence(Ordering::SeqCst);
    }

    /// A new epoch begins: what was unlinked before is not seen in it by readers that begin.
    fn begin(&self) -> u64 {
        let epoch = self.current.fetch_add(1, Ordering::SeqCst) + 1;
        fence(Ordering::SeqCst);
        epoch
    }

    /// Whether no CPU has a reader from before `epoch`.
    fn is_over(&self, epoch: u64) -> bool {
        let is_over = (0..C::count()).all(|cpu| !self.is_late(cpu, epoch));
        // What the readers of those that have noted it by other means did is over as well.
        fence(Ordering::Acquire);
        is_over
    }

    #[inline]
    fn is_late(&self, cpu: usize, epoch: u64) -> bool {
        self.noted[cpu].0.load(Ordering::Acquire) < epoch && C::passed(cpu) < epoch
    }

    /// Has the CPUs hurry that keep `epoch` from being over, this one excepted.
    fn hurry(&self, epoch: u64) {
        C::disable_preemption();
        let own = C::current();
        C::enable_preemption();
        (0..C::count()).filter(|&cpu| cpu != own && self.is_late(cpu, epoch)).for_each(C::hurry);
    }

    /// Has those hurry that [`Self::collect`] waits for: for who has waited for a while.
    pub fn hurry_up(&self) {
        // SAFETY: links in the queue are its own, and it is locked.
        let first = |queue: &Queue| unsafe { queue.first.as_ref() }.map(|link| link.epoch);
        let epoch = first(&self.retired.lock());
        if let Some(epoch) = epoch {
            self.hurry(epoch);
        }
    }

    /// Waits until every read section that is going on has ended. Not in a read section.
    pub fn synchronize(&self) {
        /// Looks after which those that are late are asked to hurry, as they are again after as many.
        const LOOKS: usize = 1000;
        let epoch = self.begin();
        for look in 0.. {
            self.quiescent();
            if self.is_over(epoch) {
                return;
            }
            if look % LOOKS == 1 {
                self.hurry(epoch);
            }
            C::relax();
        }
    }

    /// Has what was replaced freed when no reader has it any more: by [`Self::collect`], later.
    pub fn retire<T: Send>(&self, old: Retired<T>) {
        if let Some(node) = old.take() {
            // SAFETY: out of a box, with its link first, and unlinked by who replaced it.
            unsafe { self.retire_link(node.cast()) };
        }
    }

    /// The same for what has a link of its own. With any lock held that is not as far down as the queue's.
    ///
    /// # Safety
    /// No reader that begins from now on can come to it, and nobody retires it again. What the link's function does
    /// with it is right when all readers are gone, on whatever CPU and in whatever thread calls [`Self::collect`].
    pub unsafe fn retire_link(&self, link: NonNull<Link>) {
        let epoch = self.begin();
        // SAFETY: unlinked, so the link is ours to write; nobody reads it but through the queue.
        unsafe { (*link.as_ptr()).epoch = epoch };
        self.retired.lock().push(link);
        C::retired();
    }

    /// Frees what nobody can be reading any more; returns how much. To be called now and then, from where memory may be
    /// freed. It waits for nobody.
    pub fn collect(&self) -> usize {
        let mut freed = 0;
        loop {
            let mut some = [None; BATCH];
            {
                let mut retired = self.retired.lock();
                for slot in &mut some {
                    *slot = retired.pop(|epoch| self.is_over(epoch));
                }
            }
            let mut any = false;
            for link in some.into_iter().flatten() {
                // SAFETY: out of the queue and unlinked, and all readers are gone.
                unsafe { ((*link.as_ptr()).free)(link) };
                freed += 1;
                any = true;
            }
            if !any {
                return freed;
            }
        }
    }

    /// Whether something waits for [`Self::collect`].
    pub fn has_retired(&self) -> bool {
        !self.retired.lock().first.is_null()
    }
}

impl<C: Cpus, const N: usize> Default for Epochs<C, N> {
    fn default() -> Self {
        Self::new()
    }
}

// ---- what is protected ----

/// At the beginning of everything that may be retired, so that retiring needs no memory.
#[repr(C)]
#[derive(Debug)]
pub struct Link {
    next: *mut Link,
    epoch: u64,
    free: unsafe fn(NonNull<Link>),
}

// SAFETY: it is written by who retires, and then under the queue's lock.
unsafe impl Send for Link {}
// SAFETY: shared it shows nothing.
unsafe impl Sync for Link {}

impl Link {
    /// Not retired yet; `free` will be called with it, once.
    pub const fn new(free: unsafe fn(NonNull<Self>)) -> Self {
        Self { next: null_mut(), epoch: 0, free }
    }
}

/// Links that wait for something else before they are retired, in no order. Whoever puts one in has it alone.
pub struct Chain(AtomicPtr<Link>);

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Chain {
    pub const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// Puts one in; returns whether it is the only one. Waits for nobody, and needs no memory.
    ///
    /// # Safety
    /// It is nobody else's, and not retired.
    pub unsafe fn push(&self, link: NonNull<Link>) -> bool {
        let mut first = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: the caller's promise.
            unsafe { (*link.as_ptr()).next = first };
            match self.0.compare_exchange_weak(first, link.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return first.is_null(),
                Err(other) => first = other,
            }
        }
    }

    /// Takes all of them out, and calls `each` with one after the other, which is its own from then on.
    pub fn take_all(&self, mut each: impl FnMut(NonNull<Link>)) {
        let mut next = self.0.swap(null_mut(), Ordering::Acquire);
        while let Some(link) = NonNull::new(next) {
            // SAFETY: put in by `push`, and taken out by this call alone. Read before it is another's.
            next = unsafe { (*link.as_ptr()).next };
            each(link);
        }
    }
}

#[repr(C)]
struct Node<T> {
    link: Link,
    value: T,
}

/// Frees a node that nobody has.
///
/// # Safety
/// It is a `Node<T>` out of a box.
unsafe fn free<T>(link: NonNull<Link>) {
    // SAFETY: the caller's promise; the link is the node's first field.
    drop(unsafe { Box::from_raw(link.cast::<Node<T>>().as_ptr()) });
}

/// In the order in which they were retired, and so of their epochs, nearly.
struct Queue {
    first: *mut Link,
    last: *mut Link,
}

// SAFETY: what it points at is the queue's own, and was Send when it was retired.
unsafe impl Send for Queue {}

impl Queue {
    fn push(&mut self, link: NonNull<Link>) {
        // SAFETY: links in the queue are its own.
        unsafe {
            (*link.as_ptr()).next = null_mut();
            match NonNull::new(self.last) {
                Some(last) => (*last.as_ptr()).next = link.as_ptr(),
                None => self.first = link.as_ptr(),
            }
        }
        self.last = link.as_ptr();
    }

    /// The first, if its epoch is over.
    fn pop(&mut self, is_over: impl Fn(u64) -> bool) -> Option<NonNull<Link>> {
        let first = NonNull::new(self.first)?;
        // SAFETY: as above.
        let (epoch, next) = unsafe { ((*first.as_ptr()).epoch, (*first.as_ptr()).next) };
        if !is_over(epoch) {
            return None;
        }
        self.first = next;
        if next.is_null() {
            self.last = null_mut();
        }
        Some(first)
    }
}

/// A value behind one pointer, or none.
pub struct Protected<T> {
    node: AtomicPtr<Node<T>>,
}

// SAFETY: readers get `&T` side by side; whoever replaces it, sends it.
unsafe impl<T: Send + Sync> Sync for Protected<T> {}
// SAFETY: as a box of it.
unsafe impl<T: Send> Send for Protected<T> {}

/// What was replaced: readers may still have it.
#[must_use = "it is leaked unless it is retired or waited for"]
pub struct Retired<T>(*mut Node<T>);

/// A value to be put in place: the memory that it takes is allocated here, where failing does no harm.
pub struct Fresh<T>(Box<Node<T>>);

impl<T> Fresh<T> {
    pub fn new(value: T) -> Self {
        Self(Box::new(Node { link: Link::new(free::<T>), value }))
    }
}

impl<T> Protected<T> {
    /// None yet.
    pub const fn new() -> Self {
        Self { node: AtomicPtr::new(null_mut()) }
    }

    /// The value. It stays as long as the read section does.
    #[inline(always)]
    pub fn get<'a, C: Cpus, const N: usize>(&self, _: &'a Reading<'_, C, N>) -> Option<&'a T> {
        // SAFETY: what can be reached in a read section is freed after it; Acquire goes with the Release of `replace`.
        unsafe { self.node.load(Ordering::Acquire).as_ref() }.map(|node| &node.value)
    }

    /// Puts another value, or none, in its place. Those who replace it take turns by a lock of theirs, if what they do
    /// depends on what was there.
    pub fn replace(&self, new: Option<Fresh<T>>) -> Retired<T> {
        let new = new.map_or(null_mut(), |fresh| Box::into_raw(fresh.0));
        Retired(self.node.swap(new, Ordering::AcqRel))
    }
}

impl<T> Default for Protected<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for Protected<T> {
    fn drop(&mut self) {
        if let Some(node) = NonNull::new(*self.node.get_mut()) {
            // SAFETY: out of a box, and whoever drops this has it alone.
            drop(unsafe { Box::from_raw(node.as_ptr()) });
        }
    }
}

impl<T> Retired<T> {
    fn take(self) -> Option<NonNull<Node<T>>> {
        NonNull::new(self.0)
    }

    /// Waits until nobody reads it, and frees it; returns whether there was one.
    pub fn wait<C: Cpus, const N: usize>(self, epochs: &Epochs<C, N>) -> bool {
        let Some(node) = self.take() else { return false };
        epochs.synchronize();
        // SAFETY: out of a box, unlinked, and all who could have seen it are gone.
        drop(unsafe { Box::from_raw(node.as_ptr()) });
        true
    }
}

impl<C: Cpus, const N: usize> Reading<'_, C, N> {
    /// Where it reads.
    pub fn epochs(&self) -> &Epochs<C, N> {
        self.epochs
    }
}

#[cfg(test)]
mod tests;
