//! Directory entries in memory, and the names that lead to them.
//!
//! A [`Dentry`] is a place in the tree: it stays the same when it is renamed, so that a directory somebody is in, or a
//! file somebody has open, knows where it is. What it is called and in which directory is an [`Entry`], which never
//! changes: whoever renames makes a new one.

use super::super::Result;
use super::super::inode::Inode;
use super::super::refs::{Last, Ref, Slot};
use super::step;
use crate::errno::Errno;
use crate::sync::grace::{EPOCHS, Reading};
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ptr::{from_ref, null, null_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// A reference to an entry in memory.
pub type DentryRef = Ref<Dentry>;

/// Bytes of a name that need no memory of their own.
const SHORT: usize = 40;

/// A name in a directory. Immutable, but for the chain.
pub struct Entry {
    /// Next in the chain of the hash table.
    pub(super) next: AtomicPtr<Entry>,
    pub(super) hash: u32,
    len: u8,
    short: [u8; SHORT],
    long: Vec<u8>,
    /// The directory; null for a root. Only compared, or followed in a read section.
    pub(super) parent: *const Dentry,
    /// What has the name. Set before anybody sees the entry.
    pub(super) dentry: AtomicPtr<Dentry>,
}

// SAFETY: the pointers are followed only where the objects are known to be there; see `Dentry::parent_in` and `find`.
unsafe impl Send for Entry {}
// SAFETY: as above.
unsafe impl Sync for Entry {}

impl Entry {
    pub(super) fn new(parent: *const Dentry, name: &[u8], hash: u32) -> Result<Ref<Self>> {
        let (mut short, mut long) = ([0; SHORT], Vec::new());
        if name.len() <= SHORT {
            short[..name.len()].copy_from_slice(name);
        } else {
            crate::mm::vma::room::reserve(&mut long, name.len()).map_err(|_| Errno::Enomem)?;
            long.extend_from_slice(name);
        }
        Ref::new(Self {
            next: AtomicPtr::new(null_mut()),
            hash,
            len: name.len() as u8,
            short,
            long,
            parent,
            dentry: AtomicPtr::new(null_mut()),
        })
    }

    #[inline]
    pub fn name(&self) -> &[u8] {
        if self.long.is_empty() { &self.short[..usize::from(self.len)] } else { &self.long }
    }
}

/// Not among the cached ones.
pub(super) const NOWHERE: usize = usize::MAX;

/// A place in the tree: a name that leads to an inode, or, negative, one that is known to lead nowhere.
///
/// The cache has a reference to each that can be found in it, and each has one to the directory it is in. Once it has an
/// inode it keeps it; a name that is taken away is taken out of the cache, with its dentry.
pub struct Dentry {
    /// The name that counts. The others that lead here, which are to be seen while it is renamed, do not.
    pub(super) entry: Slot<Entry>,
    /// Null for a negative one. Owns a reference, until [`Last::last`].
    inode: AtomicPtr<Inode>,
    /// The directory that the name is in. Changed with the cache's lock held.
    parent: UnsafeCell<Option<DentryRef>>,
    /// Mounts that stand on it.
    pub(in crate::fs) mounts: AtomicU32,
    /// Somebody came this way since the clock's hand last did.
    pub(super) touched: AtomicBool,
    /// The name was taken away, or there never was one.
    pub(super) removed: AtomicBool,
    /// Where it stands among the cached ones, or [`NOWHERE`]. Changed with the cache's lock held.
    pub(super) place: AtomicUsize,
    /// Cached entries that are in it. Likewise.
    pub(super) children: AtomicU32,
}

// SAFETY: `parent` is changed under the cache's lock, or by who has the last reference.
unsafe impl Send for Dentry {}
// SAFETY: as above.
unsafe impl Sync for Dentry {}

impl Dentry {
    /// One that is not in the cache yet.
    pub(super) fn new(
        parent: Option<&DentryRef>,
        name: &[u8],
        hash: u32,
        inode: Option<Ref<Inode>>,
    ) -> Result<DentryRef> {
        let entry = Entry::new(parent.map_or(null(), |parent| from_ref(&**parent)), name, hash)?;
        let dentry = Ref::with_last(Self {
            entry: Slot::new(entry),
            inode: AtomicPtr::new(null_mut()),
            parent: UnsafeCell::new(parent.cloned()),
            mounts: AtomicU32::new(0),
            touched: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            place: AtomicUsize::new(NOWHERE),
            children: AtomicU32::new(0),
        })?;
        let reading = EPOCHS.read();
        dentry.entry.get(&reading).dentry.store(from_ref(&*dentry).cast_mut(), Ordering::Release);
        drop(reading);
        if let Some(inode) = inode {
            dentry.set_inode(inode);
        }
        Ok(dentry)
    }

    /// A negative one gets its inode.
    pub(in crate::fs) fn set_inode(&self, inode: Ref<Inode>) {
        let old = self.inode.swap(inode.leak().cast_mut(), Ordering::AcqRel);
        assert!(old.is_null(), "an entry in memory has one inode for life");
    }

    /// The inode, for as long as the read section goes on; `None` if it is negative.
    #[inline]
    pub fn inode_in<'a>(&self, _: &'a Reading<'_>) -> Option<&'a Inode> {
        step();
        // SAFETY: the reference is dropped when the last one to this is, so the inode goes after this section.
        unsafe { self.inode.load(Ordering::Acquire).as_ref() }
    }

    /// The inode, for who has a reference to this.
    pub fn inode(&self) -> Option<&Inode> {
        // SAFETY: our reference is kept as long as somebody has one to this.
        unsafe { self.inode.load(Ordering::Acquire).as_ref() }
    }

    /// A reference to the inode, for who has one to this.
    pub fn inode_ref(&self) -> Option<Ref<Inode>> {
        // SAFETY: as above.
        self.inode().and_then(|inode| unsafe { inode.try_ref() })
    }

    /// The directory that it is in, as of one moment; `None` for a root.
    #[inline]
    pub fn parent_in<'a>(&self, reading: &'a Reading<'_>) -> Option<&'a Dentry> {
        // SAFETY: whoever had this in it is retired, if ever, after this was moved elsewhere or ended, so not before the
        // section ends.
        unsafe { self.entry.get(reading).parent.as_ref() }
    }

    /// The same with a reference: for who has one to this.
    pub fn parent(&self) -> Option<DentryRef> {
        let reading = EPOCHS.read();
        loop {
            let parent = self.parent_in(&reading)?;
            // SAFETY: found in this read section. It fails only if this has just been moved.
            if let Some(parent) = unsafe { Ref::try_from(parent) } {
                return Some(parent);
            }
        }
    }

    /// What it is called, as of one moment.
    pub fn entry_in<'a>(&self, reading: &'a Reading<'_>) -> &'a Entry {
        self.entry.get(reading)
    }

    /// Calls `see` with what it is called.
    pub fn with_name<R>(&self, see: impl FnOnce(&[u8]) -> R) -> R {
        see(self.entry.get(&EPOCHS.read()).name())
    }

    /// Whether it is a root, whose name is empty.
    pub fn is_root(&self) -> bool {
        self.entry.get(&EPOCHS.read()).parent.is_null()
    }

    /// Whether its name leads to it no more.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    /// Whether the cache finds it.
    pub(super) fn is_cached(&self) -> bool {
        self.place.load(Ordering::Acquire) != NOWHERE
    }

    /// Whether something is mounted on it.
    pub fn is_mounted_on(&self) -> bool {
        self.mounts.load(Ordering::Acquire) > 0
    }

    /// Notes that it is in another directory now.
    ///
    /// # Safety
    /// With the cache's lock held; the old one is dropped without it.
    pub(super) unsafe fn set_parent(&self, parent: Option<DentryRef>) -> Option<DentryRef> {
        // SAFETY: only with that lock, which the caller has, or in `last`, which comes after all references.
        unsafe { core::mem::replace(&mut *self.parent.get(), parent) }
    }
}

impl Last for Dentry {
    /// The inode and the directory are let go. The directory may be the last thing that kept its own, and so on up, for
    /// as many levels as somebody cared to make: so it is a loop.
    fn last(&self) {
        let inode = self.inode.load(Ordering::Acquire);
        if !inode.is_null() {
            // SAFETY: leaked in `set_inode`; readers go on seeing the pointer, and may not count on a reference.
            drop(unsafe { Ref::unleak(inode) });
        }
        // SAFETY: nobody has a reference any more, so nobody changes it.
        let mut next = unsafe { self.set_parent(None) };
        while let Some(parent) = next {
            // SAFETY: closed, so nobody has another reference.
            next = if parent.close() { unsafe { parent.set_parent(None) } } else { None };
        }
    }
}

impl core::fmt::Debug for Dentry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.with_name(|name| write!(f, "entry `{}` of {:?}", name.escape_ascii(), self.inode()))
    }
}
