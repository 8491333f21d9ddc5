//! A lock that many may hold for reading, or one for writing: for address spaces.
//!
//! Who waits spins. A writer that waits keeps new readers out, so that faults, which read, cannot keep an `munmap`
//! waiting for ever. Hence the one rule: **a holder never asks for it again**, not for reading either, for a writer may
//! have come in between. Code that holds it touches no user memory, whose faults would.
//!
//! Interrupts stay as they are, and handlers must not use it: who was interrupted may hold it.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

/// The lock.
pub struct RwLock<T> {
    /// How many read, or [`WRITER`].
    state: AtomicU32,
    /// Writers that wait.
    waiting: AtomicU32,
    data: UnsafeCell<T>,
}

const WRITER: u32 = u32::MAX;
/// Far more than there can be CPUs.
const READERS_MAX: u32 = 1 << 30;

// SAFETY: readers get `&T` side by side, and a writer `&mut T`, which sends it.
unsafe impl<T: Send + Sync> Sync for RwLock<T> {}

/// Access for reading.
pub struct ReadGuard<'a, T> {
    lock: &'a RwLock<T>,
}

/// Access for writing.
pub struct WriteGuard<'a, T> {
    lock: &'a RwLock<T>,
}

impl<T> RwLock<T> {
    pub const fn new(value: T) -> Self {
        Self { state: AtomicU32::new(0), waiting: AtomicU32::new(0), data: UnsafeCell::new(value) }
    }

    /// Waits until nobody writes, or waits for it.
    pub fn read(&self) -> ReadGuard<'_, T> {
        loop {
            if let Some(guard) = self.try_read() {
                return guard;
            }
            pause();
        }
    }

    /// Takes it for reading, if that is possible at once.
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        if self.waiting.load(Ordering::Relaxed) != 0 {
            return None;
        }
        let more = |state| (state < READERS_MAX).then(|| state + 1);
        let taken = self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, more);
        taken.is_ok().then_some(ReadGuard { lock: self })
    }

    /// Waits until nobody has it.
    pub fn write(&self) -> WriteGuard<'_, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        while self.state.compare_exchange_weak(0, WRITER, Ordering::Acquire, Ordering::Relaxed).is_err() {
            pause();
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        WriteGuard { lock: self }
    }

    /// For who has the lock itself alone.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

fn pause() {
    core::hint::spin_loop();
    // The host's threads may have one processor between them.
    #[cfg(test)]
    std::thread::yield_now();
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
        self.lock.state.fetch_sub(1, Ordering::Release);
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
        self.lock.state.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn readers_are_many_and_writers_alone() {
        let lock = RwLock::new((0u64, 0u64));
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
        let (lock, inside) = (RwLock::new(()), Barrier::new(2));
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
        let (lock, written) = (RwLock::new(()), AtomicBool::new(false));
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
