//! A set of CPUs, by their numbers. Plain, and one that several CPUs change.

use super::copies::MAX_CPUS;
use core::sync::atomic::{AtomicU64, Ordering};

const WORDS: usize = MAX_CPUS / 64;

/// A set of CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuMask {
    words: [u64; WORDS],
}

impl CpuMask {
    pub const EMPTY: Self = Self { words: [0; WORDS] };

    pub fn of(cpu: usize) -> Self {
        let mut mask = Self::EMPTY;
        mask.insert(cpu);
        mask
    }

    pub fn insert(&mut self, cpu: usize) {
        self.words[cpu / 64] |= 1 << (cpu % 64);
    }

    pub fn remove(&mut self, cpu: usize) {
        self.words[cpu / 64] &= !(1 << (cpu % 64));
    }

    pub fn contains(&self, cpu: usize) -> bool {
        self.words.get(cpu / 64).is_some_and(|word| word >> (cpu % 64) & 1 != 0)
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self { words: core::array::from_fn(|index| self.words[index] & other.words[index]) }
    }

    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// Upwards.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| bits(word).map(move |bit| index * 64 + bit))
    }
}

/// The numbers of the bits that are set, upwards.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}

/// One that several CPUs change at the same time.
pub struct AtomicCpuMask {
    words: [AtomicU64; WORDS],
}

impl Default for AtomicCpuMask {
    fn default() -> Self {
        Self::new()
    }
}

impl AtomicCpuMask {
    pub const fn new() -> Self {
        Self { words: [const { AtomicU64::new(0) }; WORDS] }
    }

    /// What was stored before is visible to whoever [`take`](Self::take)s the CPU out. Returns whether others of the
    /// same 64 were in it already.
    pub fn insert(&self, cpu: usize) -> bool {
        self.words[cpu / 64].fetch_or(1 << (cpu % 64), Ordering::AcqRel) != 0
    }

    pub fn remove(&self, cpu: usize) {
        self.words[cpu / 64].fetch_and(!(1 << (cpu % 64)), Ordering::AcqRel);
    }

    pub fn contains(&self, cpu: usize) -> bool {
        self.words.get(cpu / 64).is_some_and(|word| word.load(Ordering::Acquire) >> (cpu % 64) & 1 != 0)
    }

    /// Takes out what is in it, CPU by CPU.
    pub fn take(&self) -> impl Iterator<Item = usize> + '_ {
        let full = self.words.iter().enumerate().filter(|(_, word)| word.load(Ordering::Relaxed) != 0);
        full.flat_map(|(index, word)| bits(word.swap(0, Ordering::AcqRel)).map(move |bit| index * 64 + bit))
    }

    /// As it is just now.
    pub fn get(&self) -> CpuMask {
        CpuMask { words: core::array::from_fn(|index| self.words[index].load(Ordering::Acquire)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_set_is_a_set() {
        let mut mask = CpuMask::EMPTY;
        for cpu in [0, 63, 64, 287, 511, 64] {
            mask.insert(cpu);
        }
        assert_eq!(mask.iter().collect::<Vec<_>>(), [0, 63, 64, 287, 511]);
        assert!(mask.contains(287) && !mask.contains(286) && !mask.contains(5000));
        mask.remove(63);
        assert_eq!((mask.len(), mask.is_empty()), (4, false));
        assert_eq!(mask.and(&CpuMask::of(287)), CpuMask::of(287));
    }

    #[test]
    fn who_is_first_hears_of_it() {
        let mask = AtomicCpuMask::new();
        assert!(!mask.insert(70));
        assert!(mask.insert(71));
        assert!(!mask.insert(3), "another word");
        assert_eq!(mask.take().collect::<Vec<_>>(), [3, 70, 71]);
        assert!(mask.get().is_empty() && !mask.insert(70));
        assert!(mask.contains(70));
        mask.remove(70);
        assert!(!mask.contains(70));
    }
}
