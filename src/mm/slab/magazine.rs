//! Magazines: what a CPU has at hand of each cache.
//!
//! A magazine is a stack of pointers to free objects. To allocate is to pop, to free is to push, and as nobody
//! else touches this CPU's magazines, neither needs a lock or an atomic instruction; the CPU only must not be
//! interrupted in between by somebody who allocates. The last object freed is the next one given, while it is
//! still in the cache. It matters not which CPU an object came from: it goes into the magazine of the one that
//! frees it.
//!
//! An empty magazine is filled to half from the slabs, a full one emptied to half. Whatever a CPU does next, the
//! next half a magazine of allocations or frees needs no lock.
//!
//! A magazine is 256 bytes, so that `&magazines[class]` is a shift.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicU32};

/// Pointers in a magazine.
pub const ROUNDS: usize = 31;
/// Magazines of a CPU: the classes, and the named caches that were first to be used.
pub const MAGAZINES: usize = 48;
/// What a magazine may hold in bytes, unless that is less than two objects.
const BYTES: usize = 8192;

/// How many objects of `size` bytes a magazine holds.
pub const fn limit(size: usize) -> usize {
    match BYTES / size {
        0..2 => 2,
        count @ 2..ROUNDS => count,
        _ => ROUNDS,
    }
}

/// One stack. Only the owner writes; `count` may be read by others, for statistics.
#[repr(C, align(64))]
pub struct Magazine {
    count: AtomicU32,
    /// At most [`ROUNDS`]; 0 until its cache has first filled it.
    limit: AtomicU32,
    rounds: [UnsafeCell<MaybeUninit<NonNull<u8>>>; ROUNDS],
}

impl Magazine {
    const fn new() -> Self {
        Self {
            count: AtomicU32::new(0),
            limit: AtomicU32::new(0),
            rounds: [const { UnsafeCell::new(MaybeUninit::uninit()) }; ROUNDS],
        }
    }

    fn rounds(&self) -> *mut NonNull<u8> {
        UnsafeCell::raw_get(self.rounds.as_ptr()).cast()
    }
}

/// The magazines of one CPU.
#[repr(C)]
pub struct CpuMagazines {
    magazines: [Magazine; MAGAZINES],
    /// The next CPU's; written by `Heap::add_cpu`.
    pub(super) next: AtomicPtr<CpuMagazines>,
}

// SAFETY: the rounds are touched through `Mine` only, which its maker has promised to be the only one.
unsafe impl Sync for CpuMagazines {}
// SAFETY: what the rounds point to is free memory, and no thread's.
unsafe impl Send for CpuMagazines {}

impl Default for CpuMagazines {
    fn default() -> Self {
        Self::new()
    }
}

impl CpuMagazines {
    pub const fn new() -> Self {
        Self { magazines: [const { Magazine::new() }; MAGAZINES], next: AtomicPtr::new(null_mut()) }
    }

    /// Access for who owns them.
    ///
    /// # Safety
    /// Until it is dropped, no other `Mine` of these magazines is made: they are this CPU's, and interrupts are
    /// off, or their handlers do not use the heap.
    #[inline]
    pub unsafe fn mine(&self) -> Mine<'_> {
        Mine { cpu: self, not_send: PhantomData }
    }

    /// Objects in a magazine, as of a moment ago if it is another CPU's.
    pub fn count(&self, index: usize) -> usize {
        self.magazines.get(index).map_or(0, |magazine| magazine.count.load(Relaxed) as usize)
    }
}

/// The right to use one CPU's magazines.
pub struct Mine<'a> {
    cpu: &'a CpuMagazines,
    not_send: PhantomData<*mut ()>,
}

impl Mine<'_> {
    /// The same rights for a callee, which is done with them before we go on. In a register: a reference to them
    /// would have to be to memory.
    #[inline]
    pub(super) fn lend(&self) -> Mine<'_> {
        Mine { cpu: self.cpu, not_send: PhantomData }
    }

    #[inline]
    fn magazine(&self, index: usize) -> &Magazine {
        &self.cpu.magazines[index]
    }

    /// The object that was freed last; or with `FIFO`, the one that was freed first, which leaves a use after
    /// free more time to show. `None` if the magazine is empty.
    #[inline]
    pub(super) fn pop<const FIFO: bool>(&self, index: usize) -> Option<NonNull<u8>> {
        let magazine = self.magazine(index);
        let left = magazine.count.load(Relaxed).checked_sub(1)?;
        magazine.count.store(left, Relaxed);
        let rounds = magazine.rounds();
        // SAFETY: the first `count` rounds are written, and only we touch them.
        unsafe {
            if !FIFO {
                return Some(rounds.add(left as usize).read());
            }
            let first = rounds.read();
            rounds.copy_from(rounds.add(1), left as usize);
            Some(first)
        }
    }

    /// Takes an object in; false if the magazine is full.
    #[inline]
    pub(super) fn push(&self, index: usize, object: NonNull<u8>) -> bool {
        let magazine = self.magazine(index);
        let count = magazine.count.load(Relaxed);
        if count >= magazine.limit.load(Relaxed) {
            return false;
        }
        // SAFETY: count < limit <= ROUNDS, and only we touch the rounds.
        unsafe { magazine.rounds().add(count as usize).write(object) };
        magazine.count.store(count + 1, Relaxed);
        true
    }

    /// Says how many objects the magazine may hold.
    pub(super) fn set_limit(&self, index: usize, limit: usize) {
        self.magazine(index).limit.store(limit.min(ROUNDS) as u32, Relaxed);
    }

    /// Hands the `n` objects that are longest in the magazine (or all, if it holds fewer) to `give`.
    pub(super) fn unload(&self, index: usize, n: usize, give: impl FnOnce(&[NonNull<u8>])) {
        let magazine = self.magazine(index);
        let count = magazine.count.load(Relaxed) as usize;
        let n = n.min(count);
        let rounds = magazine.rounds();
        // SAFETY: the first `count` rounds are written, and only we touch them; `give` has no `Mine` to do so with.
        unsafe {
            give(core::slice::from_raw_parts(rounds, n));
            rounds.copy_from(rounds.add(n), count - n);
        }
        magazine.count.store((count - n) as u32, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const _: () = assert!(size_of::<Magazine>() == 256);

    #[test]
    fn limits_by_bytes() {
        assert_eq!([16, 256, 512, 1024, 4096, 8192, 20000].map(limit), [31, 31, 16, 8, 2, 2, 2]);
    }

    #[test]
    fn last_or_first_in() {
        let cpu = CpuMagazines::new();
        // SAFETY: the only one.
        let mine = unsafe { cpu.mine() };
        let objects: Vec<_> =
            (1..=40).map(|n| NonNull::new(core::ptr::without_provenance_mut(n)).unwrap()).collect();
        assert!(!mine.push(3, objects[0]), "no limit is set yet");
        mine.set_limit(3, 40);
        assert_eq!(objects.iter().filter(|&&object| mine.push(3, object)).count(), ROUNDS);
        assert_eq!(cpu.count(3), ROUNDS);
        assert_eq!(mine.pop::<false>(3), Some(objects[30]));
        assert_eq!(mine.pop::<true>(3), Some(objects[0]));
        mine.unload(3, 5, |given| assert_eq!(given, &objects[1..6]));
        assert_eq!(mine.pop::<true>(3), Some(objects[6]));
        assert_eq!(mine.pop::<false>(3), Some(objects[29]));
        mine.unload(3, 100, |given| assert_eq!(given, &objects[7..29]));
        assert_eq!((mine.pop::<false>(3), mine.pop::<true>(3), cpu.count(2)), (None, None, 0));
    }
}
