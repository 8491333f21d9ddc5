//! All address spaces, for who has something to say to each: a file gets shorter, or is written back.
//!
//! A list through the address spaces, in the order in which they were made. Who goes along it pins the one that he is at,
//! and has no lock of the list's meanwhile; who drops one waits until it is not pinned.
//!
//! **A child that is being made** could be passed over: its parent's entries are copied before the parent is visited, and it
//! comes into the list when the visitor has gone. So it is put there before its parent is locked, behind it, and a visitor
//! waits there until it is ready: whatever it may have been given is in it by then, and what its parent did not have any
//! more it was not given.

use super::super::vma::Error;
use super::super::vma::room;
use super::super::vma::space::{Layout, Limits};
use super::AddressSpace;
use super::env::{Content, Env};
use crate::sync::{Rank, SpinLock, WaitQueue};
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicBool, Ordering};

extern crate alloc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is being made.
    Coming,
    There,
    /// It was not made after all, or is about to be dropped.
    Going,
}

/// Under the list's lock.
struct Links<E: Env, F: Content<E>> {
    previous: *mut Node<E, F>,
    next: *mut Node<E, F>,
    state: State,
    /// Visitors who are here.
    pins: usize,
}

struct Node<E: Env, F: Content<E>> {
    links: UnsafeCell<Links<E, F>>,
    /// There from `There` on.
    space: UnsafeCell<MaybeUninit<AddressSpace<E, F>>>,
}

struct Ends<E: Env, F: Content<E>> {
    first: *mut Node<E, F>,
    last: *mut Node<E, F>,
}

// SAFETY: the nodes are reached under the list's lock, and address spaces may be used by all.
unsafe impl<E: Env + Send + Sync, F: Content<E> + Send + Sync> Send for Ends<E, F> {}

/// The list.
pub struct List<E: Env, F: Content<E>> {
    ends: SpinLock<Ends<E, F>>,
    /// Who waits until one is ready, or is not pinned.
    changed: WaitQueue,
}

impl<E: Env, F: Content<E>> List<E, F> {
    pub const fn new() -> Self {
        let ends = Ends { first: null_mut(), last: null_mut() };
        Self { ends: SpinLock::new(Rank::Spaces, ends), changed: WaitQueue::new() }
    }

    /// Calls `work` with each that was there when this began, and with all that were made of them since. No lock is held
    /// then but `work`'s.
    pub fn for_each(&self, mut work: impl FnMut(&AddressSpace<E, F>)) {
        let mut at = null();
        loop {
            at = self.step(at);
            // SAFETY: pinned, and so there.
            let Some(node) = (unsafe { at.as_ref() }) else { return };
            self.changed.wait_until(|| self.state(node) != State::Coming);
            if self.state(node) == State::There {
                // SAFETY: it was made, and is not dropped before it is let go of.
                work(unsafe { (*node.space.get()).assume_init_ref() });
            }
        }
    }

    /// Lets go of the one that the caller is at, and pins the next, or the first; null if there are no more.
    fn step(&self, at: *const Node<E, F>) -> *const Node<E, F> {
        let ends = self.ends.lock();
        // SAFETY: pinned until here, if any; its links are looked at under the lock.
        let (mut next, mut waited_for) = (ends.first, false);
        if let Some(links) = unsafe { at.as_ref() }.map(|node| node.links.get()) {
            // SAFETY: as above.
            unsafe {
                next = (*links).next;
                (*links).pins -= 1;
                waited_for = (*links).state == State::Going && (*links).pins == 0;
            }
        }
        // SAFETY: in the list, under its lock.
        while let Some(links) = unsafe { next.as_ref() }.map(|node| node.links.get()) {
            // SAFETY: as above.
            unsafe {
                if (*links).state != State::Going {
                    (*links).pins += 1;
                    break;
                }
                next = (*links).next;
            }
        }
        drop(ends);
        if waited_for {
            self.changed.wake_all();
        }
        next
    }

    fn state(&self, node: &Node<E, F>) -> State {
        let _ends = self.ends.lock();
        // SAFETY: under the lock.
        unsafe { (*node.links.get()).state }
    }

    fn set_state(&self, node: &Node<E, F>, state: State) {
        let ends = self.ends.lock();
        // SAFETY: under the lock.
        unsafe { (*node.links.get()).state = state };
        drop(ends);
        self.changed.wake_all();
    }

    fn add(&self, node: &Node<E, F>) {
        let mut ends = self.ends.lock();
        let new = core::ptr::from_ref(node).cast_mut();
        // SAFETY: under the lock; what is in the list stays until it has taken itself out.
        unsafe {
            (*node.links.get()).previous = ends.last;
            match ends.last.as_ref() {
                Some(last) => (*last.links.get()).next = new,
                None => ends.first = new,
            }
        }
        ends.last = new;
    }

    /// Takes one out, when nobody is at it.
    fn remove(&self, node: &Node<E, F>) {
        self.set_state(node, State::Going);
        self.changed.wait_until(|| {
            let _ends = self.ends.lock();
            // SAFETY: under the lock.
            unsafe { (*node.links.get()).pins == 0 }
        });
        let mut ends = self.ends.lock();
        // SAFETY: under the lock, and nobody comes to it any more, as it is going.
        unsafe {
            let Links { previous, next, .. } = *node.links.get();
            match previous.as_ref() {
                Some(previous) => (*previous.links.get()).next = next,
                None => ends.first = next,
            }
            match next.as_ref() {
                Some(next) => (*next.links.get()).previous = previous,
                None => ends.last = previous,
            }
        }
    }
}

impl<E: Env, F: Content<E>> Default for List<E, F> {
    fn default() -> Self {
        Self::new()
    }
}

/// An address space in a list. Where it is in memory does not change.
pub struct Listed<E: Env + 'static, F: Content<E> + 'static> {
    list: &'static List<E, F>,
    /// One.
    node: Box<[Node<E, F>]>,
    /// It is not in the list any more.
    has_left: AtomicBool,
    owns: PhantomData<AddressSpace<E, F>>,
}

// SAFETY: it is an address space that visitors look at as well.
unsafe impl<E: Env + Send + Sync, F: Content<E> + Send + Sync> Send for Listed<E, F> {}
// SAFETY: as above.
unsafe impl<E: Env + Send + Sync, F: Content<E> + Send + Sync> Sync for Listed<E, F> {}

impl<E: Env, F: Content<E>> Listed<E, F> {
    /// An empty one. ENOMEM.
    pub fn new(list: &'static List<E, F>, env: E, layout: Layout, limits: Limits) -> Result<Self, Error> {
        Self::make(list, || AddressSpace::new(env, layout, limits))
    }

    /// `fork`.
    pub fn fork(&self) -> Result<Self, Error> {
        Self::make(self.list, || AddressSpace::fork(self))
    }

    /// Leaves the list, for which it may have to wait: for whoever cannot when it is dropped. Once it has nothing in it and
    /// nobody can put anything there.
    pub fn leave(&self) {
        if !self.has_left.swap(true, Ordering::Relaxed) {
            self.list.remove(&self.node[0]);
        }
    }

    fn make(
        list: &'static List<E, F>,
        make: impl FnOnce() -> Result<AddressSpace<E, F>, Error>,
    ) -> Result<Self, Error> {
        let mut vec = room::with_room(1)?;
        let links = Links { previous: null_mut(), next: null_mut(), state: State::Coming, pins: 0 };
        vec.push(Node { links: UnsafeCell::new(links), space: UnsafeCell::new(MaybeUninit::uninit()) });
        let node = vec.into_boxed_slice();
        list.add(&node[0]);
        match make() {
            Ok(space) => {
                // SAFETY: it is coming, so nobody looks there.
                unsafe { (*node[0].space.get()).write(space) };
                list.set_state(&node[0], State::There);
                Ok(Self { list, node, has_left: AtomicBool::new(false), owns: PhantomData })
            }
            Err(error) => {
                list.remove(&node[0]);
                Err(error)
            }
        }
    }
}

impl<E: Env, F: Content<E>> Deref for Listed<E, F> {
    type Target = AddressSpace<E, F>;

    fn deref(&self) -> &Self::Target {
        // SAFETY: written before this was made, and dropped with it.
        unsafe { (*self.node[0].space.get()).assume_init_ref() }
    }
}

impl<E: Env, F: Content<E>> Drop for Listed<E, F> {
    fn drop(&mut self) {
        self.leave();
        // SAFETY: nobody visits it any more.
        unsafe { self.node[0].space.get_mut().assume_init_drop() };
    }
}
