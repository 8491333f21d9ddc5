//! The dentry cache: names that were looked up, so that a walk along a path asks no file system and takes no lock.
//!
//! A hash table of names ([`Entry`]), each leading to a [`Dentry`], in chains that readers follow in a read section of the
//! kernel's epochs. Whoever changes a chain has the cache's lock. What is taken out of one keeps its own link, and is freed
//! when all readers are gone; so a reader that stands on it goes on, and misses at worst what came in front of it.
//!
//! **What a reader may conclude.** A hit is right if it was right at some moment since the lookup began. A miss says
//! nothing: whoever misses asks the file system, with the directory's lock, under which names do not change. So only hits
//! have to be argued for:
//!
//! * A name that is taken away is taken out of its chain, by one store. Who still finds it began before that.
//! * A name that is given to nothing so far makes a negative entry positive, by one store. An entry never becomes negative
//!   again, so "there is nothing" was right when the inode was read.
//! * Renaming moves a dentry from the name a to the name b, where b may lead to another one, and this must be one moment:
//!   who sees b lead to the moved file and then looks for a must not find it there. So an entry counts only if it is *the*
//!   entry of its dentry (`dentry.entry == this`), and renaming is the exchange of that one pointer:
//!
//! ```text
//!   chain of a      chain of b        the dentry's entry          a leads to   b leads to
//!   [a]──►          [b]──►            a                           it           the other
//!   [a]──►          [b']──►[b]──►     a       b' is put in        it           the other: b' does not count
//!   [a]──►          [b']──►[b]──►     b'      the exchange        a miss       it
//!   ──►             [b']──►           b'      tidied up           a miss       it
//! ```
//!
//!   From the second line on, b' is looked at before b by all who begin. Who began earlier may find b after the exchange;
//!   it led there when they began. (Who stands on b' at the exchange, having just seen that it did not count, may miss b
//!   behind it. That is a miss, and costs the file system's tree.) Two names are exchanged the same way, one pointer after the other: in between, one of them
//!   is a miss, and whoever misses waits for the file system's tree, which the renaming has for itself.
//! * An entry that goes because memory is wanted, or too many are there, is closed first ([`Ref::close`]): nobody refers
//!   to it, and from then on nobody can. It is found or missed, and both are right.
//!
//! `tests::interleave` runs this code, not a model of it, through all interleavings of its steps.
//!
//! The cache is bounded. Beyond its limit a hand goes round, as of a clock, and takes out who is not referred to and was
//! not come by since it was there last.

mod entry;
#[cfg(test)]
pub(in crate::fs) mod tests;

pub use entry::{Dentry, DentryRef, Entry};

use super::Result;
use super::inode::Inode;
use super::later;
use super::refs::Ref;
use super::super_block::SuperBlock;
use crate::errno::Errno;
use crate::sync::grace::{EPOCHS, Reading};
use crate::sync::{Rank, SpinLock};
use alloc::vec::Vec;
use core::ptr::{from_ref, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use entry::NOWHERE;

/// Entries that are taken out under one hold of the lock.
const BATCH: usize = 16;

/// A point where another thread's step may come in between, for the tests that try all of them.
#[cfg(not(test))]
#[inline(always)]
fn step() {}
#[cfg(test)]
use tests::explore::step;

/// The cache.
pub struct Dcache {
    buckets: Vec<AtomicPtr<Entry>>,
    clock: SpinLock<Clock>,
    /// Renamings that have begun and that have ended: odd while one is going on.
    renames: AtomicU64,
    limit: usize,
}

// SAFETY: chains are followed in read sections and changed under the lock.
unsafe impl Send for Dcache {}
// SAFETY: as above.
unsafe impl Sync for Dcache {}

/// The entries that are in it, each with the cache's reference, in the order in which the hand passes them.
struct Clock {
    entries: Vec<DentryRef>,
    hand: usize,
}

/// How many there are, for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub entries: usize,
    pub limit: usize,
}

/// FNV-1a, begun with the directory.
fn hash(parent: &Dentry, name: &[u8]) -> u32 {
    let start = (from_ref(parent).addr() as u64 >> 6).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let end = name
        .iter()
        .fold(start as u32 ^ 0x811C_9DC5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    end ^ end >> 15
}

impl Dcache {
    /// An empty one, for about `limit` entries.
    pub fn new(limit: usize) -> Result<Ref<Self>> {
        let limit = limit.max(BATCH);
        let count = limit.next_power_of_two();
        let mut buckets = crate::mm::vma::room::with_room(count).map_err(|_| Errno::Enomem)?;
        buckets.resize_with(count, || AtomicPtr::new(null_mut()));
        let entries = crate::mm::vma::room::with_room(limit + BATCH).map_err(|_| Errno::Enomem)?;
        let clock = SpinLock::new(Rank::Dcache, Clock { entries, hand: 0 });
        Ref::new(Self { buckets, clock, renames: AtomicU64::new(0), limit })
    }

    fn bucket(&self, hash: u32) -> &AtomicPtr<Entry> {
        &self.buckets[hash as usize & (self.buckets.len() - 1)]
    }

    /// What `name` leads to in `parent`, as far as the cache knows. Takes no lock and writes nothing.
    #[inline]
    pub fn find<'a>(&self, reading: &'a Reading<'_>, parent: &Dentry, name: &[u8]) -> Option<&'a Dentry> {
        self.find_hashed(reading, parent, name, hash(parent, name))
    }

    fn find_hashed<'a>(
        &self,
        reading: &'a Reading<'_>,
        parent: &Dentry,
        name: &[u8],
        hash: u32,
    ) -> Option<&'a Dentry> {
        step();
        let mut at = self.bucket(hash).load(Ordering::Acquire);
        // SAFETY: what is in a chain, or was when this section began, is freed after it ends.
        while let Some(entry) = unsafe { at.as_ref() } {
            if entry.hash == hash && core::ptr::eq(entry.parent, parent) && entry.name() == name {
                // SAFETY: as above: an entry leaves its chain before its dentry is retired.
                let dentry = unsafe { &*entry.dentry.load(Ordering::Acquire) };
                step();
                if core::ptr::eq(dentry.entry.get(reading), entry) {
                    return Some(dentry);
                }
            }
            step();
            at = entry.next.load(Ordering::Acquire);
        }
        None
    }

    /// The same with a reference.
    pub fn get(&self, parent: &DentryRef, name: &[u8]) -> Option<DentryRef> {
        let reading = EPOCHS.read();
        // SAFETY: found in this read section.
        self.find(&reading, parent, name).and_then(|found| unsafe { Ref::try_from(found) })
    }

    /// Puts an entry in front of its chain. With the lock held; whoever has the entry keeps it until it is out again.
    fn link(&self, entry: &Entry) {
        let bucket = self.bucket(entry.hash);
        entry.next.store(bucket.load(Ordering::Relaxed), Ordering::Relaxed);
        step();
        bucket.store(from_ref(entry).cast_mut(), Ordering::Release);
    }

    /// Takes it out of its chain. With the lock held.
    fn unlink(&self, entry: &Entry) {
        let mut link = self.bucket(entry.hash);
        loop {
            let at = link.load(Ordering::Relaxed);
            if core::ptr::eq(at, entry) {
                step();
                link.store(entry.next.load(Ordering::Relaxed), Ordering::Release);
                return;
            }
            // SAFETY: in a chain, so there, and only who has the lock takes it out.
            match unsafe { at.as_ref() } {
                Some(entry) => link = &entry.next,
                None => return,
            }
        }
    }

    /// The root of a file system, which is in no directory and no chain.
    pub(super) fn new_root(&self, inode: Ref<Inode>) -> Result<DentryRef> {
        Dentry::new(None, b"", 0, Some(inode))
    }

    /// Remembers what a lookup has found; with the directory's lock held. Somebody may have been faster: then it is his.
    pub(super) fn insert(
        &self,
        parent: &DentryRef,
        name: &[u8],
        inode: Option<Ref<Inode>>,
    ) -> Result<DentryRef> {
        let hash = hash(parent, name);
        let new = Dentry::new(Some(parent), name, hash, inode)?;
        let reading = EPOCHS.read();
        {
            let mut clock = self.clock.lock();
            // SAFETY: found in this read section.
            let found = self.find_hashed(&reading, parent, name, hash);
            if let Some(found) = found.and_then(|found| unsafe { Ref::try_from(found) }) {
                return Ok(found);
            }
            // More than the limit, if so many are in use: a directory must never have two.
            crate::mm::vma::room::reserve(&mut clock.entries, 1).map_err(|_| Errno::Enomem)?;
            new.place.store(clock.entries.len(), Ordering::Release);
            clock.entries.push(new.clone());
            parent.children.fetch_add(1, Ordering::Relaxed);
            self.link(new.entry.get(&reading));
        }
        drop(reading);
        if self.counts().entries > self.limit {
            self.reclaim(BATCH);
        }
        Ok(new)
    }

    /// Takes the entry at `place` out of the table; the cache's reference is the caller's, to be dropped without the lock.
    fn take_out(&self, clock: &mut Clock, place: usize, reading: &Reading<'_>) -> DentryRef {
        let gone = clock.entries.swap_remove(place);
        if let Some(moved) = clock.entries.get(place) {
            moved.place.store(place, Ordering::Release);
        }
        gone.place.store(NOWHERE, Ordering::Release);
        let entry = gone.entry.get(reading);
        self.unlink(entry);
        if let Some(parent) = gone.parent_in(reading) {
            parent.children.fetch_sub(1, Ordering::Relaxed);
        }
        gone
    }

    /// A name leads nowhere any more: what it led to can only be found by who has a reference. With the directory's lock
    /// held for writing.
    pub(super) fn remove(&self, dentry: &DentryRef) {
        let reading = EPOCHS.read();
        dentry.removed.store(true, Ordering::Release);
        let gone = {
            let mut clock = self.clock.lock();
            let place = dentry.place.load(Ordering::Relaxed);
            (place != NOWHERE).then(|| self.take_out(&mut clock, place, &reading))
        };
        drop(reading);
        drop(gone);
    }

    /// What [`Self::rename`] needs, which is all that can fail. With the file system's tree held for writing.
    pub(super) fn prepare_rename(
        &self,
        dentry: &DentryRef,
        parent: &DentryRef,
        name: &[u8],
        other: &DentryRef,
        exchange: bool,
    ) -> Result<Prepared> {
        let new = Entry::new(from_ref(&**parent), name, hash(parent, name))?;
        if !exchange {
            return Ok(Prepared { new, back: None });
        }
        let old_parent = dentry.parent().ok_or(Errno::Ebusy)?;
        let old = OwnedName::of(dentry);
        let back = Entry::new(from_ref(&*old_parent), old.get(), hash(&old_parent, old.get()))?;
        debug_assert!(!dentry.is(other));
        Ok(Prepared { new, back: Some((back, old_parent)) })
    }

    /// `dentry` is in `parent` from now on, by the name that was prepared, in one moment; `other`, which has that name, goes
    /// or, if they are exchanged, gets the old one. With the file system's tree held for writing since it was prepared.
    pub(super) fn rename(
        &self,
        dentry: &DentryRef,
        parent: &DentryRef,
        other: &DentryRef,
        prepared: Prepared,
    ) {
        let Prepared { new, back } = prepared;
        let is_exchange = back.is_some();
        // Whoever waits for the number to be even may have preemption off: this is not interrupted by anybody who runs.
        let reading = EPOCHS.read();
        self.renames.fetch_add(1, Ordering::AcqRel);
        let parents = match back {
            Some((back, old_parent)) => {
                self.replace_entries(&[(dentry, parent, new), (other, &old_parent, back)])
            }
            None => self.replace_entries(&[(dentry, parent, new)]),
        };
        self.renames.fetch_add(1, Ordering::AcqRel);
        drop(reading);
        drop(parents);
        if !is_exchange {
            self.remove(other);
        }
    }

    /// The entry of a file without a name, which is said to be in `dir` and shown as `name`.
    pub(super) fn unnamed(&self, dir: &DentryRef, name: &[u8], inode: Ref<Inode>) -> Result<DentryRef> {
        let dentry = Dentry::new(Some(dir), name, 0, Some(inode))?;
        dentry.removed.store(true, Ordering::Release);
        Ok(dentry)
    }

    /// Gives each dentry its new entry: all are put into their chains, then each is made the one that counts, then the
    /// old ones are taken out. Returns the directories that they were in, to be let go.
    fn replace_entries(&self, changes: &[(&DentryRef, &DentryRef, Ref<Entry>)]) -> [Option<DentryRef>; 2] {
        let mut old_parents = [const { None }; 2];
        let mut old_entries = [const { None }; 2];
        {
            let _clock = self.clock.lock();
            for (dentry, _, new) in changes {
                new.dentry.store(from_ref(&***dentry).cast_mut(), Ordering::Release);
                if dentry.is_cached() {
                    self.link(new);
                }
            }
            for (n, (dentry, parent, new)) in changes.iter().enumerate() {
                step();
                old_entries[n] = Some(dentry.entry.replace(new.clone()));
                // SAFETY: the lock is held.
                old_parents[n] = unsafe { dentry.set_parent(Some((*parent).clone())) };
            }
            for (n, (dentry, parent, _)) in changes.iter().enumerate() {
                if !dentry.is_cached() {
                    continue;
                }
                if let Some(old) = &old_entries[n] {
                    self.unlink(old);
                }
                if let Some(old) = &old_parents[n] {
                    old.children.fetch_sub(1, Ordering::Relaxed);
                }
                parent.children.fetch_add(1, Ordering::Relaxed);
            }
        }
        old_parents
    }

    /// An empty directory was removed: what is remembered of it, names that led nowhere, goes too.
    pub(super) fn forget_children(&self, dir: &DentryRef) {
        while dir.children.load(Ordering::Relaxed) > 0 {
            if self.take_some(|dentry, reading| {
                dentry.parent_in(reading).is_some_and(|parent| core::ptr::eq(parent, &**dir))
            }) == 0
            {
                return;
            }
        }
    }

    /// A file system ends: all that nobody refers to goes.
    pub(super) fn forget(&self, fs: &SuperBlock) {
        let is_its = |dentry: &Dentry, reading: &Reading<'_>| {
            let mut at = dentry;
            loop {
                if let Some(inode) = at.inode_in(reading) {
                    return core::ptr::eq(&*inode.fs, fs);
                }
                let Some(parent) = at.parent_in(reading) else { return false };
                at = parent;
            }
        };
        while self.take_some(is_its) > 0 {}
    }

    /// Takes out up to [`BATCH`] of those that are `wanted` and not referred to; returns how many it were.
    fn take_some(&self, wanted: impl Fn(&Dentry, &Reading<'_>) -> bool) -> usize {
        let reading = EPOCHS.read();
        let mut gone = [const { None }; BATCH];
        let mut count = 0;
        {
            let mut clock = self.clock.lock();
            let mut place = clock.entries.len();
            while place > 0 && count < BATCH {
                place -= 1;
                if wanted(&clock.entries[place], &reading) && clock.entries[place].close() {
                    gone[count] = Some(self.take_out(&mut clock, place, &reading));
                    count += 1;
                    // What stands there now was looked at; what is behind it, too.
                    place = place.min(clock.entries.len());
                }
            }
        }
        drop(reading);
        drop(gone);
        count
    }

    /// Takes out up to `count` entries that are not referred to and were not used lately; returns how many it were. Waits for
    /// nobody: files that end with them do so later.
    pub fn reclaim(&self, count: usize) -> usize {
        let mut done = 0;
        // Twice round at most: the first time takes away the marks.
        let mut steps = 2 * self.counts().entries;
        while done < count && steps > 0 {
            let reading = EPOCHS.read();
            let mut gone = [const { None }; BATCH];
            let mut taken = 0;
            {
                let mut clock = self.clock.lock();
                for _ in 0..4 * BATCH {
                    if clock.entries.is_empty() {
                        steps = 0;
                    }
                    if steps == 0 || taken == BATCH || done + taken == count {
                        break;
                    }
                    steps -= 1;
                    let hand = if clock.hand < clock.entries.len() { clock.hand } else { 0 };
                    let dentry = &clock.entries[hand];
                    if !dentry.touched.swap(false, Ordering::Relaxed) && dentry.close() {
                        gone[taken] = Some(self.take_out(&mut clock, hand, &reading));
                        taken += 1;
                        clock.hand = hand;
                    } else {
                        clock.hand = hand + 1;
                    }
                }
            }
            drop(reading);
            gone.into_iter().flatten().for_each(later::let_go);
            done += taken;
        }
        done
    }

    /// How many entries there are.
    pub fn counts(&self) -> Counts {
        Counts { entries: self.clock.lock().entries.len(), limit: self.limit }
    }

    /// Calls `look` until no renaming has come in between: for who goes from directory to directory upwards.
    pub fn while_nothing_moves<R>(&self, mut look: impl FnMut() -> R) -> R {
        loop {
            let before = self.renames.load(Ordering::Acquire);
            let result = look();
            core::sync::atomic::fence(Ordering::Acquire);
            if before & 1 == 0 && self.renames.load(Ordering::Relaxed) == before {
                return result;
            }
            crate::sync::hooks::pause();
        }
    }

    /// Whether `below` is `above` or in it, at any depth. With the tree held, or in [`Self::while_nothing_moves`].
    pub fn is_below(reading: &Reading<'_>, below: &Dentry, above: &Dentry) -> bool {
        let mut at = Some(below);
        while let Some(dentry) = at {
            if core::ptr::eq(dentry, above) {
                return true;
            }
            at = dentry.parent_in(reading);
        }
        false
    }
}

/// Memory for a renaming.
pub(super) struct Prepared {
    new: Ref<Entry>,
    /// What is exchanged gets this one, in this directory.
    back: Option<(Ref<Entry>, DentryRef)>,
}

/// A copy of a name.
pub(super) struct OwnedName {
    bytes: [u8; 255],
    len: u8,
}

impl OwnedName {
    pub(super) fn new(name: &[u8]) -> Self {
        let mut bytes = [0; 255];
        bytes[..name.len()].copy_from_slice(name);
        Self { bytes, len: name.len() as u8 }
    }

    fn of(dentry: &Dentry) -> Self {
        dentry.with_name(Self::new)
    }

    pub(super) fn get(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Notes that somebody came this way. A word that says so already is not written.
#[inline]
pub(super) fn touch(dentry: &Dentry) {
    if !dentry.touched.load(Ordering::Relaxed) {
        dentry.touched.store(true, Ordering::Relaxed);
    }
}
