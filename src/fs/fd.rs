//! Descriptors: the small numbers by which a process names its open files.
//!
//! [`FdTable`] is shared by threads and copied by `fork`. A lookup takes no lock: the slots are an array of pointers behind
//! one pointer, read in a read section of the epochs, and the file found gets a reference if it still has one. Whoever
//! changes the table has its lock, for a few stores. A table that grows is a new array with the same pointers.
//!
//! The lowest free number is found in a bitmap with a summary: a bit for each word of 64 numbers that is full. So two
//! instructions look at 64 numbers, and four at 4,096.

use super::Result;
use super::file::File;
use super::flags::Access;
use super::refs::Ref;
use crate::errno::Errno;
use crate::mm::vma::room;
use crate::sync::grace::EPOCHS;
use crate::sync::{Rank, SpinLock};
use alloc::vec::Vec;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

/// Descriptors that a table has at first.
const FIRST: usize = 64;
/// And at most, whatever the limit of the process is (`fs.nr_open`).
pub const FDS_MAX: usize = 1 << 20;

/// The slots; a pointer is a reference left open, or null.
struct Slots {
    files: Vec<AtomicPtr<File>>,
}

impl Slots {
    fn new(len: usize) -> Result<Ref<Self>> {
        let mut files = room::with_room(len).map_err(|_| Errno::Enomem)?;
        files.resize_with(len, || AtomicPtr::new(null_mut()));
        Ref::new(Self { files })
    }
}

/// Which numbers are taken, and which of them `exec` closes.
struct Bits {
    open: Vec<u64>,
    /// A bit for each word of `open` that has no 0 left.
    full: Vec<u64>,
    close_on_exec: Vec<u64>,
}

fn bit(number: usize) -> (usize, u64) {
    (number / 64, 1 << (number % 64))
}

/// The bits that are set, from the lowest on.
fn ones(bits: &[u64]) -> impl Iterator<Item = usize> + '_ {
    bits.iter().enumerate().flat_map(|(word, &bits)| {
        let above = core::iter::successors(Some(bits), |bits| Some(bits & bits.wrapping_sub(1)));
        above.take_while(|&bits| bits != 0).map(move |bits| word * 64 + bits.trailing_zeros() as usize)
    })
}

impl Bits {
    const fn new() -> Self {
        Self { open: Vec::new(), full: Vec::new(), close_on_exec: Vec::new() }
    }

    fn grow(&mut self, len: usize) -> Result<()> {
        for (bits, words) in [
            (&mut self.open, len.div_ceil(64)),
            (&mut self.close_on_exec, len.div_ceil(64)),
            (&mut self.full, len.div_ceil(64 * 64)),
        ] {
            let more = words.saturating_sub(bits.len());
            room::reserve(bits, more).map_err(|_| Errno::Enomem)?;
        }
        self.open.resize(len.div_ceil(64), 0);
        self.close_on_exec.resize(len.div_ceil(64), 0);
        self.full.resize(len.div_ceil(64 * 64), 0);
        Ok(())
    }

    /// The lowest free number from `from` on; one past all if there is none.
    fn lowest_free(&self, from: usize) -> usize {
        let (word, _) = bit(from);
        let Some(&first) = self.open.get(word) else { return from };
        let free = !first & u64::MAX << (from % 64);
        if free != 0 {
            return word * 64 + free.trailing_zeros() as usize;
        }
        let mut word = word + 1;
        while word < self.open.len() {
            let free = !self.full[word / 64] & u64::MAX << (word % 64);
            if free == 0 {
                word = (word / 64 + 1) * 64;
                continue;
            }
            word = word / 64 * 64 + free.trailing_zeros() as usize;
            return match self.open.get(word) {
                Some(&open) => word * 64 + (!open).trailing_zeros() as usize,
                None => break,
            };
        }
        self.open.len() * 64
    }

    fn take(&mut self, number: usize, close_on_exec: bool) {
        let (word, mask) = bit(number);
        self.open[word] |= mask;
        if self.open[word] == u64::MAX {
            let (summary, mask) = bit(word);
            self.full[summary] |= mask;
        }
        self.set_close_on_exec(number, close_on_exec);
    }

    fn give_back(&mut self, number: usize) {
        let (word, mask) = bit(number);
        self.open[word] &= !mask;
        self.close_on_exec[word] &= !mask;
        let (summary, mask) = bit(word);
        self.full[summary] &= !mask;
    }

    fn set_close_on_exec(&mut self, number: usize, on: bool) {
        let (word, mask) = bit(number);
        if on {
            self.close_on_exec[word] |= mask;
        } else {
            self.close_on_exec[word] &= !mask;
        }
    }

    fn is_set(bits: &[u64], number: usize) -> bool {
        let (word, mask) = bit(number);
        bits.get(word).is_some_and(|bits| bits & mask != 0)
    }
}

/// A process's open files.
pub struct FdTable {
    slots: super::refs::Slot<Slots>,
    bits: SpinLock<Bits>,
}

/// A number that is taken, with no file yet; given back unless [`FdTable::install`] gets it.
pub struct Reserved<'a> {
    table: &'a FdTable,
    number: usize,
}

impl Reserved<'_> {
    pub fn number(&self) -> i32 {
        self.number as i32
    }

    /// Puts the file there: others see it from now on.
    pub fn install(self, file: Ref<File>) -> i32 {
        let number = self.number;
        let old = self.table.exchange(number, Some(file));
        debug_assert!(old.is_none(), "a reserved descriptor was in use");
        core::mem::forget(self);
        number as i32
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.table.bits.lock().give_back(self.number);
    }
}

fn index(fd: i32) -> Result<usize> {
    usize::try_from(fd).map_err(|_| Errno::Ebadf)
}

impl FdTable {
    /// An empty one.
    pub fn new() -> Result<Self> {
        let table = Self {
            slots: super::refs::Slot::new(Slots::new(FIRST)?),
            bits: SpinLock::new(Rank::Descriptors, Bits::new()),
        };
        table.bits.lock().grow(FIRST)?;
        Ok(table)
    }

    /// The file that a descriptor names. Takes no lock.
    pub fn get(&self, fd: i32) -> Result<Ref<File>> {
        let number = index(fd)?;
        let reading = EPOCHS.read();
        loop {
            let slot = self.slots.get(&reading).files.get(number).ok_or(Errno::Ebadf)?;
            // SAFETY: a file is retired after it was taken out, so not before this section ends.
            let file = unsafe { slot.load(Ordering::Acquire).as_ref() }.ok_or(Errno::Ebadf)?;
            // SAFETY: found in this read section. It fails if the file has just been closed: then the slot has changed.
            if let Some(file) = unsafe { Ref::try_from(file) } {
                return Ok(file);
            }
        }
    }

    /// The same for calls that want more than a place: not a file opened with `O_PATH`.
    pub fn get_file(&self, fd: i32) -> Result<Ref<File>> {
        self.get(fd).and_then(|file| if file.is_path() { Err(Errno::Ebadf) } else { Ok(file) })
    }

    /// Sees to it that there are slots up to `number`. With the lock held.
    fn grow(&self, bits: &mut Bits, number: usize) -> Result<()> {
        let reading = EPOCHS.read();
        let old = self.slots.get(&reading);
        if number < old.files.len() {
            return Ok(());
        }
        let len = (number + 1).next_power_of_two();
        let new = Slots::new(len)?;
        bits.grow(len)?;
        for (new, old) in new.files.iter().zip(&old.files) {
            new.store(old.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        drop(self.slots.replace(new));
        Ok(())
    }

    /// Takes the lowest free number that is not below `from`; `limit` is `RLIMIT_NOFILE`.
    pub fn reserve(&self, from: i32, close_on_exec: bool, limit: u64) -> Result<Reserved<'_>> {
        let limit = usize::try_from(limit).unwrap_or(FDS_MAX).min(FDS_MAX);
        let from = usize::try_from(from).map_err(|_| Errno::Einval)?;
        if from > 0 && from >= limit {
            return Err(Errno::Einval);
        }
        let mut bits = self.bits.lock();
        let number = bits.lowest_free(from);
        if number >= limit {
            return Err(Errno::Emfile);
        }
        self.grow(&mut bits, number)?;
        bits.take(number, close_on_exec);
        Ok(Reserved { table: self, number })
    }

    /// Gives a file the lowest free number.
    pub fn add(&self, file: Ref<File>, close_on_exec: bool, limit: u64) -> Result<i32> {
        Ok(self.reserve(0, close_on_exec, limit)?.install(file))
    }

    /// What is in a slot, for something else. Nobody else changes that slot: with the lock held, or reserved.
    fn exchange(&self, number: usize, file: Option<Ref<File>>) -> Option<Ref<File>> {
        // A table that grows copies with the lock held; so must this be.
        let _bits = self.bits.lock();
        self.exchange_locked(number, file)
    }

    fn exchange_locked(&self, number: usize, file: Option<Ref<File>>) -> Option<Ref<File>> {
        let new = file.map_or(null_mut(), |file| file.leak().cast_mut());
        let reading = EPOCHS.read();
        let old = self.slots.get(&reading).files[number].swap(new, Ordering::AcqRel);
        // SAFETY: left open when it was put there, and out of the slot now.
        (!old.is_null()).then(|| unsafe { Ref::unleak(old) })
    }

    /// `close`. The file is the caller's, who drops it, and then [`super::tidy`]s.
    pub fn close(&self, fd: i32) -> Result<Ref<File>> {
        let number = index(fd)?;
        let file = {
            let mut bits = self.bits.lock();
            if !Bits::is_set(&bits.open, number) {
                return Err(Errno::Ebadf);
            }
            // Reserved, and not there yet: as on Linux that is no open file.
            let file = self.exchange_locked(number, None).ok_or(Errno::Ebadf)?;
            bits.give_back(number);
            file
        };
        file.ops().flush(&file);
        Ok(file)
    }

    /// `dup` and `fcntl(F_DUPFD)`: another number, not below `from`, for the same file.
    pub fn duplicate(&self, fd: i32, from: i32, close_on_exec: bool, limit: u64) -> Result<i32> {
        let file = self.get(fd)?;
        Ok(self.reserve(from, close_on_exec, limit)?.install(file))
    }

    /// `dup3`, and `dup2` of two different numbers: `to` names the file of `fd`. What it named before is the caller's.
    pub fn duplicate_to(
        &self,
        fd: i32,
        to: i32,
        close_on_exec: bool,
        limit: u64,
    ) -> Result<Option<Ref<File>>> {
        let limit = usize::try_from(limit).unwrap_or(FDS_MAX).min(FDS_MAX);
        let number = index(to)?;
        let file = self.get(fd)?;
        if number >= limit {
            return Err(Errno::Ebadf);
        }
        let old = {
            let mut bits = self.bits.lock();
            self.grow(&mut bits, number)?;
            let is_open = Bits::is_set(&bits.open, number);
            let reading = EPOCHS.read();
            if is_open && self.slots.get(&reading).files[number].load(Ordering::Relaxed).is_null() {
                // Somebody is just opening it.
                return Err(Errno::Ebusy);
            }
            bits.take(number, close_on_exec);
            self.exchange_locked(number, Some(file))
        };
        if let Some(old) = &old {
            old.ops().flush(old);
        }
        Ok(old)
    }

    /// `fcntl(F_GETFD)`.
    pub fn is_close_on_exec(&self, fd: i32) -> Result<bool> {
        self.get(fd)?;
        Ok(Bits::is_set(&self.bits.lock().close_on_exec, index(fd)?))
    }

    /// `fcntl(F_SETFD)`.
    pub fn set_close_on_exec(&self, fd: i32, on: bool) -> Result<()> {
        let number = index(fd)?;
        let mut bits = self.bits.lock();
        let reading = EPOCHS.read();
        let slot = self.slots.get(&reading).files.get(number).ok_or(Errno::Ebadf)?;
        if slot.load(Ordering::Relaxed).is_null() {
            return Err(Errno::Ebadf);
        }
        bits.set_close_on_exec(number, on);
        Ok(())
    }

    /// The lowest open number that is not below `from`: for who goes through all of them.
    pub fn next_open(&self, from: i32) -> Option<i32> {
        let from = usize::try_from(from).ok()?;
        let bits = self.bits.lock();
        let reading = EPOCHS.read();
        let files = &self.slots.get(&reading).files;
        let mut word = from / 64;
        let mut open = bits.open.get(word)? & u64::MAX << (from % 64);
        loop {
            while open != 0 {
                let number = word * 64 + open.trailing_zeros() as usize;
                if !files[number].load(Ordering::Relaxed).is_null() {
                    return Some(number as i32);
                }
                open &= open - 1;
            }
            word += 1;
            open = *bits.open.get(word)?;
        }
    }

    /// What the file of a descriptor was opened for; `None`: it names none. Takes no lock and no reference.
    pub fn access(&self, fd: i32) -> Option<Access> {
        let reading = EPOCHS.read();
        let slot = self.slots.get(&reading).files.get(index(fd).ok()?)?;
        // SAFETY: a file is retired after it was taken out, so not before this section ends.
        unsafe { slot.load(Ordering::Acquire).as_ref() }.map(|file| file.access)
    }

    /// How many slots there are (`FDSize` of `/proc/PID/status`).
    pub fn capacity(&self) -> usize {
        self.slots.get(&EPOCHS.read()).files.len()
    }

    /// A table with the same files, for `fork`.
    pub fn copy(&self) -> Result<Self> {
        let new = Self::new()?;
        loop {
            let len = self.capacity();
            {
                let mut bits = new.bits.lock();
                new.grow(&mut bits, len - 1)?;
            }
            // The two have the same rank: this one's bits are read first.
            let (mut open, mut close) = (Vec::new(), Vec::new());
            room::reserve(&mut open, len.div_ceil(64)).map_err(|_| Errno::Enomem)?;
            room::reserve(&mut close, len.div_ceil(64)).map_err(|_| Errno::Enomem)?;
            {
                let bits = self.bits.lock();
                let reading = EPOCHS.read();
                let files = &self.slots.get(&reading).files;
                if files.len() != len {
                    continue;
                }
                open.extend_from_slice(&bits.open);
                close.extend_from_slice(&bits.close_on_exec);
                let theirs = &new.slots.get(&reading).files;
                for number in ones(&bits.open) {
                    let (Some(file), Some(to)) = (files.get(number), theirs.get(number)) else { break };
                    // SAFETY: in the slot, so the slot's reference is there; the lock keeps it.
                    match unsafe {
                        file.load(Ordering::Relaxed).as_ref().and_then(|file| Ref::try_from(file))
                    } {
                        Some(file) => to.store(file.leak().cast_mut(), Ordering::Relaxed),
                        // Reserved by somebody who will not find it there.
                        None => open[number / 64] &= !(1 << (number % 64)),
                    }
                }
            }
            let mut bits = new.bits.lock();
            for number in ones(&open) {
                bits.take(number, Bits::is_set(&close, number));
            }
            drop(bits);
            return Ok(new);
        }
    }

    /// Closes those numbers of `first..=last` that `which` says: `close_range`, `exec`, the end of a process.
    fn close_some(&self, first: i32, last: i32, only_close_on_exec: bool) {
        let mut at = first;
        while let Some(fd) = self.next_open(at).filter(|&fd| fd <= last) {
            if !only_close_on_exec || self.is_close_on_exec(fd).unwrap_or(false) {
                drop(self.close(fd));
            }
            let Some(next) = fd.checked_add(1) else { break };
            at = next;
        }
    }

    /// `close_range`; and all of them, when a process ends: what is left to the end of the table is closed late.
    pub fn close_range(&self, first: i32, last: i32) {
        self.close_some(first, last, false);
        super::tidy();
    }

    /// What `exec` closes.
    pub fn close_on_exec(&self) {
        self.close_some(0, i32::MAX, true);
        super::tidy();
    }
}

impl Drop for FdTable {
    fn drop(&mut self) {
        self.close_some(0, i32::MAX, false);
    }
}
