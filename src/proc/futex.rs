//! Futexes: words in programs' memory that threads wait for.
//!
//! Who waits names a word and what he has seen there. He is put into a queue, and then the word is looked at once more: so
//! either he sees what was written, or whoever writes it and wakes finds him. The queues are found by where the word is, in a
//! table of buckets with a lock each: an address space and an address; or, if it lies in memory that processes share and the
//! caller does not say that it is for the threads of one (`FUTEX_PRIVATE_FLAG`), the object that is mapped there and the place
//! in it, which is the same at whatever address each of them has it.
//!
//! Source: futex(2), get_robust_list(2); Linux's `robust_list` of `linux/futex.h`.

use crate::arch::x86_64::preempt::NoPreemption;
use crate::arch::x86_64::usercopy::{self, Atomic};
use crate::errno::Errno;
use crate::fs::Result;
use crate::sync::parker::{Kernel, Parker};
use crate::sync::{IrqLock, Rank, interrupt};
use crate::task::fault;
use core::cell::Cell;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// Buckets; a power of two.
const BUCKETS: usize = 256;
/// For who wants to be woken by any.
pub const ANY: u32 = u32::MAX;

/// A word of the memory that the thread works in, as a call names it.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    pub address: u64,
    /// Only threads of one process use it (`FUTEX_PRIVATE_FLAG`).
    pub is_private: bool,
}

/// Which word, for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    /// The root of an address space's tables, which is a physical address; or a shared object, by an address of the kernel's.
    home: u64,
    /// The address, or where it is in the object.
    at: u64,
}

impl Word {
    /// EINVAL: not aligned. EFAULT: nobody can read it.
    fn key(self) -> Result<Key> {
        if self.address % 4 != 0 {
            return Err(Errno::Einval);
        }
        let space = fault::current().ok_or(Errno::Efault)?;
        let _: u32 = usercopy::read(self.address)?;
        let shared = if self.is_private { None } else { space.shared_at(self.address) };
        Ok(match shared {
            Some((object, at)) => Key { home: object as u64, at },
            None => Key { home: space.root(), at: self.address },
        })
    }
}

impl Key {
    fn bucket(self) -> &'static Bucket {
        let mixed = (self.home ^ self.at.rotate_left(23)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        &TABLE[(mixed >> 56) as usize % BUCKETS]
    }
}

/// One who waits.
struct Sleeper {
    key: Cell<Key>,
    bits: u32,
    task: usize,
    woken: AtomicBool,
    next: Cell<*const Sleeper>,
    previous: Cell<*const Sleeper>,
    /// The bucket that it is in; null if in none. Changed under that bucket's lock.
    home: AtomicPtr<Bucket>,
}

struct List {
    first: *const Sleeper,
    last: *const Sleeper,
}

// SAFETY: what is in the list stays where it is until it is taken out, under the lock.
unsafe impl Send for List {}

struct Bucket(IrqLock<List>);

static TABLE: [Bucket; BUCKETS] = [const {
    Bucket(IrqLock::new(Rank::Futexes, List { first: core::ptr::null(), last: core::ptr::null() }))
}; BUCKETS];

impl List {
    fn add(&mut self, sleeper: &Sleeper) {
        sleeper.next.set(core::ptr::null());
        sleeper.previous.set(self.last);
        // SAFETY: in the list, so there.
        match unsafe { self.last.as_ref() } {
            Some(last) => last.next.set(sleeper),
            None => self.first = sleeper,
        }
        self.last = sleeper;
    }

    fn remove(&mut self, sleeper: &Sleeper) {
        let (next, previous) = (sleeper.next.get(), sleeper.previous.get());
        // SAFETY: neighbours are in the list, so there.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.set(next),
            None => self.first = next,
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(next) => next.previous.set(previous),
            None => self.last = previous,
        }
    }

    fn find(&self, key: Key, bits: u32) -> Option<&Sleeper> {
        // SAFETY: in the list, so there as long as the lock is held.
        let mut at = unsafe { self.first.as_ref() };
        while let Some(sleeper) = at {
            if sleeper.key.get() == key && sleeper.bits & bits != 0 {
                return Some(sleeper);
            }
            // SAFETY: as above.
            at = unsafe { sleeper.next.get().as_ref() };
        }
        None
    }
}

/// Waits for a word as long as it is `expected`, until somebody wakes with one of `bits`, or `deadline_ns` has
/// passed. EAGAIN: it is another; ETIMEDOUT; ERESTARTSYS.
pub fn wait(word: Word, expected: u32, bits: u32, deadline_ns: u64) -> Result<()> {
    if bits == 0 {
        return Err(Errno::Einval);
    }
    let key = word.key()?;
    let sleeper = Sleeper {
        key: Cell::new(key),
        bits,
        task: Kernel::current(),
        woken: false.into(),
        next: Cell::new(core::ptr::null()),
        previous: Cell::new(core::ptr::null()),
        home: AtomicPtr::new(core::ptr::null_mut()),
    };
    let sleeper = pin!(sleeper);
    let bucket = key.bucket();
    {
        let mut list = bucket.0.lock();
        list.add(&sleeper);
        sleeper.home.store(core::ptr::from_ref(bucket).cast_mut(), Ordering::Release);
    }
    let outcome = match usercopy::load(word.address) {
        Err(_) => Err(Errno::Efault),
        Ok(found) if found != expected => Err(Errno::Eagain),
        Ok(_) => {
            let ready = || sleeper.woken.load(Ordering::Acquire) || interrupt::is_pending();
            match Kernel::park(&ready, deadline_ns) {
                true => Err(Errno::Erestart),
                false => Err(Errno::Etimedout),
            }
        }
    };
    leave(&sleeper);
    // Who was woken has what he waited for, whatever else came.
    if sleeper.woken.load(Ordering::Acquire) { Ok(()) } else { outcome }
}

/// In [`Sleeper::home`]: on its way from one bucket to another.
const MOVING: *mut Bucket = core::ptr::without_provenance_mut(1);

/// Takes a sleeper out of the bucket that it is in, if any.
fn leave(sleeper: &Sleeper) {
    loop {
        let home = sleeper.home.load(Ordering::Acquire);
        if home == MOVING {
            core::hint::spin_loop();
            continue;
        }
        // SAFETY: buckets are static.
        let Some(bucket) = (unsafe { home.as_ref() }) else { return };
        let mut list = bucket.0.lock();
        if sleeper.home.load(Ordering::Relaxed) == home {
            list.remove(sleeper);
            sleeper.home.store(core::ptr::null_mut(), Ordering::Release);
            return;
        }
    }
}

/// Wakes up to `count` who wait for a word with one of `bits`; how many.
pub fn wake(word: Word, count: u32, bits: u32) -> Result<u32> {
    if bits == 0 {
        return Err(Errno::Einval);
    }
    Ok(wake_key(word.key()?, count, bits))
}

/// Wakes one where nobody could be told of an error, nor says whether it is private.
pub fn wake_at(address: u64) {
    let _ = wake(Word { address, is_private: false }, 1, ANY);
}

fn wake_key(key: Key, count: u32, bits: u32) -> u32 {
    let mut done = 0;
    let mut list = key.bucket().0.lock();
    while done < count {
        let Some(sleeper) = list.find(key, bits) else { break };
        let sleeper = core::ptr::from_ref(sleeper);
        // SAFETY: found under the lock, which keeps it.
        let sleeper = unsafe { &*sleeper };
        list.remove(sleeper);
        sleeper.woken.store(true, Ordering::Release);
        // SAFETY: `home` still names this bucket, so the task, to leave it, waits for the lock, which is held.
        unsafe { Kernel::unpark(sleeper.task) };
        // From here on the sleeper may be gone.
        sleeper.home.store(core::ptr::null_mut(), Ordering::Release);
        done += 1;
    }
    done
}

/// Wakes `count` and has up to `others` of the rest wait for the word `to`; how many of both. With `expected`, only if
/// that is what the first word has (EAGAIN).
pub fn requeue(word: Word, count: u32, to: Word, others: u32, expected: Option<u32>) -> Result<u32> {
    let (from, to) = (word.key()?, to.key()?);
    if let Some(expected) = expected {
        if usercopy::load(word.address)? != expected {
            return Err(Errno::Eagain);
        }
    }
    let woken = wake_key(from, count, ANY);
    if from == to {
        return Ok(woken);
    }
    let mut moved = 0;
    while moved < others {
        let (one, other) = (from.bucket(), to.bucket());
        if core::ptr::eq(one, other) {
            let list = one.0.lock();
            let Some(sleeper) = list.find(from, ANY) else { break };
            sleeper.key.set(to);
            moved += 1;
            continue;
        }
        // Two buckets' locks are of one rank: out of the one, and then into the other. Who leaves meanwhile spins until it
        // has arrived, so nobody comes in between.
        let _here = NoPreemption::new();
        let sleeper = {
            let mut list = one.0.lock();
            let Some(sleeper) = list.find(from, ANY) else { break };
            let sleeper = core::ptr::from_ref(sleeper);
            // SAFETY: found under the lock.
            let found = unsafe { &*sleeper };
            list.remove(found);
            found.home.store(MOVING, Ordering::Release);
            sleeper
        };
        // SAFETY: `leave` goes round until its `home` is a bucket again.
        let sleeper = unsafe { &*sleeper };
        let mut list = other.0.lock();
        sleeper.key.set(to);
        list.add(sleeper);
        sleeper.home.store(core::ptr::from_ref(other).cast_mut(), Ordering::Release);
        moved += 1;
    }
    Ok(woken + moved)
}

/// `FUTEX_WAKE_OP`: changes the word `second` as `operation` says, wakes `count` at the first, and `others` at the second
/// if what was there compares as it says.
pub fn wake_op(word: Word, count: u32, second: Word, others: u32, operation: u32) -> Result<u32> {
    let (kind, compare) = (operation >> 28 & 7, operation >> 24 & 15);
    let sign = |value: u32| ((value << 20) as i32 >> 20) as u32;
    let (mut argument, against) = (sign(operation >> 12 & 0xFFF), sign(operation & 0xFFF));
    if operation >> 31 != 0 {
        argument = 1 << (argument & 31);
    }
    let (first, other) = (word.key()?, second.key()?);
    let what = match kind {
        0 => Atomic::Swap(argument),
        1 => Atomic::Add(argument),
        2 => Atomic::Or(argument),
        3 => Atomic::And(!argument),
        4 => Atomic::Xor(argument),
        _ => return Err(Errno::Enosys),
    };
    let old = usercopy::atomic(second.address, what)?;
    let holds = match compare {
        0 => old == against,
        1 => old != against,
        2 => (old as i32) < against as i32,
        3 => old as i32 <= against as i32,
        4 => old as i32 > against as i32,
        5 => old as i32 >= against as i32,
        _ => return Err(Errno::Enosys),
    };
    let mut woken = wake_key(first, count, ANY);
    if holds {
        woken += wake_key(other, others, ANY);
    }
    Ok(woken)
}

/// In a lock's word: the owner has died; somebody waits; the owner's number.
const OWNER_DIED: u32 = 0x4000_0000;
const WAITERS: u32 = 0x8000_0000;
const OWNER: u32 = 0x3FFF_FFFF;
/// A list that goes round is not followed for ever.
const ROBUST_MAX: usize = 2048;

/// A thread ends: the locks that it holds and has listed are marked, and one who waits for each is woken.
pub fn leave_robust(head: u64, tid: u32) {
    if head == 0 {
        return;
    }
    let Ok([first, offset, pending]) = usercopy::read::<[u64; 3]>(head) else { return };
    let mut at = first;
    for _ in 0..ROBUST_MAX {
        if at & !1 == head || at == 0 {
            break;
        }
        let Ok(next) = usercopy::read::<u64>(at & !1) else { break };
        if at & !1 != pending & !1 {
            mark((at & !1).wrapping_add(offset), tid, false);
        }
        at = next;
    }
    if pending & !1 != 0 {
        mark((pending & !1).wrapping_add(offset), tid, true);
    }
}

fn mark(word: u64, tid: u32, is_pending: bool) {
    loop {
        let Ok(old) = usercopy::load(word) else { return };
        if is_pending && old == 0 {
            return wake_at(word);
        }
        if old & OWNER != tid {
            return;
        }
        let new = old & WAITERS | OWNER_DIED;
        match usercopy::atomic(word, Atomic::CompareExchange(old, new)) {
            Ok(found) if found == old => {
                if old & WAITERS != 0 {
                    wake_at(word);
                }
                return;
            }
            Ok(_) => {}
            Err(_) => return,
        }
    }
}
