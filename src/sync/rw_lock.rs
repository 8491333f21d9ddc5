//! A lock that many may hold for reading, or one for writing: for address spaces.
//!
//! Who waits spins. It is fair by turns: readers that come while a writer waits stay out, and when it is done those that
//! have gathered go in before the next writer. So neither faults, which read, nor `munmap`, which writes, can keep the
//! other waiting for more than one turn. Hence the one rule: **a holder never asks for it again**, not for reading
//! either, for a writer may have come in between. Code that holds it touches no user memory, whose faults would.
//!
//! Interrupts stay as they are, and handlers must not use it: who was interrupted may hold it. Preemption is off while it
//! is held.
//!
//! Source: B. B. Brandenburg, J. H. Anderson, "Spin-based reader-writer synchronization for multiprocessor real-time
//! systems" (2010), the phase-fair ticket lock.

use super::checks::Tag;
use super::hooks;
use super::rank::Rank;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

/// The lock.
pub struct RwLock<T> {
    /// Readers that have come, times [`READER`], and in the low bits whether a writer is there and which turn it is.
    came: AtomicU32,
    /// Readers that have gone, times [`READER`].
    gone: AtomicU32,
    /// The next writer's ticket.
    ticket: AtomicU32,
    /// The ticket whose turn it is.
    turn: AtomicU32,
    tag: Tag,
    data: UnsafeCell<T>,
}

/// One reader, above the bits of the writer. The counts may wrap: only whether they are the same matters.
const READER: u32 = 1 << 8;
const WRITER: u32 = 0b10;
/// Tells a writer from the one before it.
const PHASE: u32 = 0b01;
const WRITER_BITS: u32 = WRITER | PHASE;

// SAFETY: readers get `&T` side by side, and a writer `&mut T`, which sends it.
unsafe impl<T: Send + Sync> Sync for RwLock<T> {}

/// Access for reading.
pub struct ReadGuard<'a, T> {
    lock: &'a RwLock<T>,
    not_send: PhantomData<*mut ()>,
}

/// Access for writing.
pub struct WriteGuard<'a, T> {
    lock: &'a RwLock<T>,
    not_send: PhantomData<*mut ()>,
}

// SAFETY: shared they give `&T` alone.
unsafe impl<T: Sync> Sync for ReadGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for WriteGuard<'_, T> {}

impl<T> RwLock<T> {
    /// A free one, with its place in the order of locks.
    pub const fn new(rank: Rank, value: T) -> Self {
        let [came, gone, ticket, turn] = [const { AtomicU32::new(0) }; 4];
        Self { came, gone, ticket, turn, tag: Tag::new(rank), data: UnsafeCell::new(value) }
    }

    /// Waits until the writer that is there, if one is, has gone.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn read(&self) -> ReadGuard<'_, T> {
        hooks::disable_preemption();
        self.tag.wanted();
        let mut stuck = self.tag.stuck();
        let writer = self.came.fetch_add(READER, Ordering::Acquire) & WRITER_BITS;
        while writer != 0 && self.came.load(Ordering::Acquire) & WRITER_BITS == writer {
            pause();
            stuck();
        }
        self.tag.taken_shared();
        ReadGuard { lock: self, not_send: PhantomData }
    }

    /// Takes it for reading, if that is possible at once.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        hooks::disable_preemption();
        let more = |came: u32| (came & WRITER_BITS == 0).then(|| came.wrapping_add(READER));
        let taken = self.came.fetch_update(Ordering::Acquire, Ordering::Relaxed, more);
        if taken.is_err() {
            hooks::enable_preemption();
            return None;
        }
        self.tag.taken_shared();
        Some(ReadGuard { lock: self, not_send: PhantomData })
    }

    /// Waits for the writers before it, and for the readers that are there then.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn write(&self) -> WriteGuard<'_, T> {
        hooks::disable_preemption();
        self.tag.wanted();
        let mut stuck = self.tag.stuck();
        let ticket = self.ticket.fetch_add(1, Ordering::Relaxed);
        while self.turn.load(Ordering::Acquire) != ticket {
            pause();
            stuck();
        }
        let before = self.came.fetch_add(WRITER | ticket & PHASE, Ordering::Acquire);
        while self.gone.load(Ordering::Acquire) != before & !WRITER_BITS {
            pause();
            stuck();
        }
        self.tag.taken();
        WriteGuard { lock: self, not_send: PhantomData }
    }

    /// For who has the lock itself alone.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

fn pause() {
    hooks::pause();
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: nobody writes while this exists.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.tag.released();
        self.lock.gone.fetch_add(READER, Ordering::Release);
        hooks::enable_preemption();
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this is the only guard.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this is the only guard, and borrowed for writing.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.tag.released();
        self.lock.came.fetch_and(!WRITER_BITS, Ordering::Release);
        self.lock.turn.fetch_add(1, Ordering::Release);
        hooks::enable_preemption();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn readers_are_many_and_writers_alone() {
        let lock = RwLock::new(Rank::SpinInner, (0u64, 0u64));
        let sum: u64 = std::thread::scope(|scope| {
            let writers: [_; 2] = core::array::from_fn(|_| {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let mut guard = lock.write();
                        guard.0 += 1;
                        guard.1 += 1;
                    }
                })
            });
            let readers: [_; 2] = core::array::from_fn(|_| {
                scope.spawn(|| (0..2000).map(|_| lock.read()).filter(|pair| pair.0 != pair.1).count() as u64)
            });
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            readers.into_iter().map(|reader| reader.join().unwrap()).sum()
        });
        assert_eq!((sum, *lock.read()), (0, (4000, 4000)));
    }

    #[test]
    fn two_readers_meet_inside() {
        let (lock, inside) = (RwLock::new(Rank::SpinInner, ()), Barrier::new(2));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let _guard = lock.read();
                    inside.wait();
                });
            }
        });
    }

    #[test]
    fn a_writer_that_waits_keeps_new_readers_out() {
        let (lock, written) = (RwLock::new(Rank::SpinInner, ()), AtomicBool::new(false));
        let first = lock.read();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _guard = lock.write();
                written.store(true, Ordering::SeqCst);
            });
            while lock.try_read().is_some() {
                std::thread::yield_now();
            }
            assert!(!written.load(Ordering::SeqCst));
            drop(first);
        });
        assert!(written.load(Ordering::SeqCst) && lock.try_read().is_some());
    }
}
