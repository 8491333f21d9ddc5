//! A sequence lock: for a few words that are read very often and written seldom, like the clock's parameters.
//!
//! Readers write nothing, so they do not disturb each other; should a writer have been at work meanwhile, they read once
//! more. Writers take turns, with interrupts off, so that a handler on the same CPU never waits for one to finish. An
//! NMI does come in between: its handler uses [`SeqLock::try_read`].
//!
//! ```text
//! sequence   4         5 (odd: being written)      6
//! words      a b c     a'b c ... a'b'c'            a'b'c'
//! reader        4, a b ............ 5: once more      6, a'b'c', 6: that is it
//! ```
//!
//! What a reader sees in between may be torn, but is no undefined behaviour: the data is kept as atomic words, and
//! becomes a value only once it is known to be whole.
//!
//! Source: H.-J. Boehm, "Can seqlocks get along with programming language memory models?" (2012), for the fences.

use super::hooks;
use super::irq_lock::IrqLock;
use super::rank::Rank;
use core::sync::atomic::{AtomicU64, Ordering, fence};

/// A value that can be taken apart into `N` words and put together again.
pub trait Words<const N: usize>: Copy {
    fn to_words(self) -> [u64; N];
    fn from_words(words: [u64; N]) -> Self;
}

impl<const N: usize> Words<N> for [u64; N] {
    fn to_words(self) -> Self {
        self
    }

    fn from_words(words: [u64; N]) -> Self {
        words
    }
}

/// The lock, and `N` words behind it.
pub struct SeqLock<const N: usize> {
    /// Odd while somebody writes. So many bits do not come round while a reader loses his CPU between two looks.
    sequence: AtomicU64,
    words: [AtomicU64; N],
    writer: IrqLock<()>,
}

impl<const N: usize> SeqLock<N> {
    /// `words` are those of the value that it begins with.
    pub const fn new(words: [u64; N]) -> Self {
        let mut all = [const { AtomicU64::new(0) }; N];
        let mut n = 0;
        while n < N {
            all[n] = AtomicU64::new(words[n]);
            n += 1;
        }
        Self { sequence: AtomicU64::new(0), words: all, writer: IrqLock::new(Rank::Sequence, ()) }
    }

    /// One look; `None` if somebody was writing meanwhile.
    #[inline]
    pub fn try_read<T: Words<N>>(&self) -> Option<T> {
        let before = self.sequence.load(Ordering::Acquire);
        let words = core::array::from_fn(|n| self.words[n].load(Ordering::Relaxed));
        // What was read is read before the sequence is looked at again.
        fence(Ordering::Acquire);
        let after = self.sequence.load(Ordering::Relaxed);
        (before == after && before & 1 == 0).then(|| T::from_words(words))
    }

    /// The value. Waits while it is being written.
    #[inline]
    pub fn read<T: Words<N>>(&self) -> T {
        loop {
            if let Some(value) = self.try_read() {
                return value;
            }
            hooks::pause();
        }
    }

    /// Replaces the value by what `change` makes of it.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn update<T: Words<N>>(&self, change: impl FnOnce(T) -> T) {
        let _guard = self.writer.lock();
        let old = core::array::from_fn(|n| self.words[n].load(Ordering::Relaxed));
        let new = change(T::from_words(old)).to_words();
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        // The odd number is seen by whoever sees one of the new words.
        fence(Ordering::Release);
        for (word, new) in self.words.iter().zip(new) {
            word.store(new, Ordering::Relaxed);
        }
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// Replaces the value.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn write<T: Words<N>>(&self, value: T) {
        self.update(|_: T| value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    /// Words that belong together; a torn value shows.
    fn value(n: u64) -> [u64; 4] {
        [n, n.wrapping_mul(3), !n, n ^ 0xA5A5]
    }

    /// How many of the values that `read` finds are torn, while others are written by `write`.
    fn torn(rounds: u64, read: impl Fn() -> [u64; 4] + Sync, write: impl Fn([u64; 4]) + Sync) -> u64 {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut torn = 0;
                while !done.load(Ordering::Relaxed) {
                    let found = read();
                    torn += u64::from(found != value(found[0]));
                }
                torn
            });
            for n in 0..rounds {
                write(value(n));
            }
            done.store(true, Ordering::Relaxed);
            reader.join().unwrap()
        })
    }

    #[test]
    fn no_value_is_torn() {
        let lock = SeqLock::new(value(0));
        assert_eq!(torn(200_000, || lock.read(), |value| lock.write(value)), 0);
        assert_eq!(lock.read::<[u64; 4]>(), value(199_999));
    }

    /// The same without looking at the sequence: the test finds torn values where there are any. Whoever reads so waits
    /// between two words until there has been a write.
    #[test]
    fn without_the_sequence_values_are_torn() {
        let lock = SeqLock::new(value(0));
        let read = || {
            let mut words = [0; 4];
            for (n, word) in words.iter_mut().enumerate() {
                *word = lock.words[n].load(Ordering::Relaxed);
                let before = lock.sequence.load(Ordering::Relaxed);
                for _ in 0..1000 {
                    if lock.sequence.load(Ordering::Relaxed) != before {
                        break;
                    }
                    std::thread::yield_now();
                }
            }
            words
        };
        let write = |value| {
            lock.write(value);
            std::thread::yield_now();
        };
        assert!((0..20).any(|_| torn(2000, read, write) > 0));
    }

    #[test]
    fn writers_take_turns_and_an_odd_sequence_is_refused() {
        let lock = SeqLock::new([0]);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..1000).for_each(|_| lock.update(|[n]: [u64; 1]| [n + 1])));
            }
        });
        assert_eq!(lock.try_read(), Some([3000]));
        lock.sequence.fetch_add(1, Ordering::Relaxed);
        assert_eq!(lock.try_read::<[u64; 1]>(), None);
    }
}
