//! Sets of CPUs: a bit for each, in as many words as the largest machine needs.
//!
//! Who is online, who is to be interrupted, where a thread may run: one type for all of them, and one beside it for sets
//! that several CPUs change.

use core::sync::atomic::{AtomicU64, Ordering};

pub use crate::boot::layout::MAX_CPUS;
const WORDS: usize = MAX_CPUS / 64;

/// A set of CPUs, by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuSet([u64; WORDS]);

impl CpuSet {
    pub const EMPTY: Self = Self([0; WORDS]);
    pub const ALL: Self = Self([u64::MAX; WORDS]);

    pub fn of(cpus: impl IntoIterator<Item = usize>) -> Self {
        let mut set = Self::EMPTY;
        cpus.into_iter().for_each(|cpu| set.insert(cpu));
        set
    }

    pub fn one(cpu: usize) -> Self {
        Self::of([cpu])
    }

    pub fn insert(&mut self, cpu: usize) {
        self.0[cpu / 64] |= 1 << (cpu % 64);
    }

    pub fn remove(&mut self, cpu: usize) {
        self.0[cpu / 64] &= !(1 << (cpu % 64));
    }

    #[inline]
    pub fn contains(&self, cpu: usize) -> bool {
        self.0.get(cpu / 64).is_some_and(|word| word >> (cpu % 64) & 1 != 0)
    }

    /// How many are in it.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    #[inline]
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(core::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    #[inline]
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(core::array::from_fn(|word| self.0[word] & !other.0[word]))
    }

    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// The lowest number in it.
    #[inline]
    pub fn first(&self) -> Option<usize> {
        let word = self.0.iter().position(|&word| word != 0)?;
        Some(word * 64 + self.0[word].trailing_zeros() as usize)
    }

    /// All numbers in it, from `start` upwards and then round to those below.
    pub fn iter_from(&self, start: usize) -> impl Iterator<Item = usize> + use<> {
        let low = Self(core::array::from_fn(|word| match word.cmp(&(start / 64)) {
            core::cmp::Ordering::Less => u64::MAX,
            core::cmp::Ordering::Equal => (1 << (start % 64)) - 1,
            core::cmp::Ordering::Greater => 0,
        }));
        self.without(&low).iter().chain(self.and(&low).iter())
    }

    /// All numbers in it, upwards.
    pub fn iter(&self) -> impl Iterator<Item = usize> + use<> {
        self.0.into_iter().enumerate().flat_map(|(at, word)| bits(at, word))
    }
}

/// The CPUs of the word at `at`, upwards.
fn bits(at: usize, mut word: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(at * 64 + bit)
    })
}

/// One that all CPUs may change and look at. A look is at one word after the other, so it may show a state that never
/// was; who acts on it checks again.
#[derive(Debug)]
pub struct SharedCpuSet([AtomicU64; WORDS]);

impl SharedCpuSet {
    pub const fn new(set: CpuSet) -> Self {
        let mut words = [const { AtomicU64::new(0) }; WORDS];
        let mut word = 0;
        while word < WORDS {
            words[word] = AtomicU64::new(set.0[word]);
            word += 1;
        }
        Self(words)
    }

    #[inline]
    pub fn get(&self) -> CpuSet {
        CpuSet(core::array::from_fn(|word| self.0[word].load(Ordering::Acquire)))
    }

    /// The CPUs from 64 times `at` on, a bit for each.
    #[inline]
    pub fn word(&self, at: usize) -> u64 {
        self.0.get(at).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Not one step: for a set that one writes at a time.
    pub fn set(&self, set: &CpuSet) {
        self.0.iter().zip(set.0).for_each(|(to, word)| to.store(word, Ordering::Relaxed));
    }

    #[inline]
    pub fn contains(&self, cpu: usize) -> bool {
        self.0.get(cpu / 64).is_some_and(|word| word.load(Ordering::Acquire) >> (cpu % 64) & 1 != 0)
    }

    /// Puts a CPU in. What was stored before is visible to whoever [`take`](Self::take)s it out. Returns whether others of
    /// the same 64 were in it already.
    pub fn insert(&self, cpu: usize) -> bool {
        self.0[cpu / 64].fetch_or(1 << (cpu % 64), Ordering::AcqRel) != 0
    }

    /// Takes out what is in it, CPU by CPU.
    pub fn take(&self) -> impl Iterator<Item = usize> + '_ {
        let full = self.0.iter().enumerate().filter(|(_, word)| word.load(Ordering::Relaxed) != 0);
        full.flat_map(|(at, word)| bits(at, word.swap(0, Ordering::AcqRel)))
    }

    /// Puts a CPU in or takes it out, in one step.
    #[inline]
    pub fn change(&self, cpu: usize, is_in: bool) {
        let bit = 1 << (cpu % 64);
        if is_in {
            self.0[cpu / 64].fetch_or(bit, Ordering::AcqRel);
        } else {
            self.0[cpu / 64].fetch_and(!bit, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_set_has_what_was_put_in() {
        let mut set = CpuSet::of([0, 63, 64, 200, 319]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 200, 319]);
        assert_eq!(set.iter_from(64).collect::<Vec<_>>(), [64, 200, 319, 0, 63]);
        assert_eq!(set.iter_from(201).collect::<Vec<_>>(), [319, 0, 63, 64, 200]);
        set.remove(0);
        assert_eq!((set.first(), set.contains(0), set.contains(319)), (Some(63), false, true));
        assert!(!set.contains(5000) && !SharedCpuSet::new(set).contains(5000));
        assert_eq!(set.and(&CpuSet::one(64)), CpuSet::one(64));
        assert_eq!(set.without(&CpuSet::ALL), CpuSet::EMPTY);
        let shared = SharedCpuSet::new(CpuSet::EMPTY);
        shared.change(130, true);
        assert!(shared.contains(130) && shared.get() == CpuSet::one(130));
        shared.change(130, false);
        assert!(shared.get().is_empty());
        assert_eq!((CpuSet::ALL.len(), CpuSet::of([3, 64, 3]).len()), (MAX_CPUS, 2));
    }

    #[test]
    fn who_is_first_hears_of_it() {
        let shared = SharedCpuSet::new(CpuSet::EMPTY);
        assert!(!shared.insert(70));
        assert!(shared.insert(71));
        assert!(!shared.insert(3), "another word");
        assert_eq!(shared.take().collect::<Vec<_>>(), [3, 70, 71]);
        assert!(shared.get().is_empty() && !shared.insert(70));
        assert!(shared.contains(70));
    }
}
