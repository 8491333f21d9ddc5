//! Counted references that may be taken from a pointer found without a lock, and whose memory is asked for politely.
//!
//! [`Ref`] is what `alloc`'s `Arc` is, with three differences. Making one can fail ([`Errno::Enomem`]) instead of ending
//! the kernel. The last reference does not free the memory at once, but has it retired to the kernel's epochs
//! ([`EPOCHS`]): whoever found the object by a plain load, in a read section, may go on looking at it until the section
//! ends, and may try to get a reference of its own ([`Ref::try_from`]), which fails once the count has been 0. And there
//! may be a function that is called with the object when the last reference goes, before its memory does: what the
//! object stands for ends then, and not some time later.
//!
//! [`Slot`] is a place that holds one reference and may be looked into without a lock.
//!
//! ```text
//! count   2 ──► 1 ──► 0: last(&value), retired ─ ─ all readers gone ─ ─► dropped, freed
//!                      └ try_from fails from here on
//! ```

use super::Result;
use crate::errno::Errno;
use crate::sync::checks::note_shared_write;
use crate::sync::epoch::Link;
use crate::sync::grace::{EPOCHS, Reading};
use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};

/// Before every counted value.
#[repr(C)]
struct Header {
    link: Link,
    count: AtomicUsize,
    /// Called when the last reference goes.
    last: Option<unsafe fn(NonNull<Header>)>,
}

/// The object in memory.
#[repr(C)]
pub(super) struct Counted<T: ?Sized> {
    header: Header,
    value: T,
}

/// A reference to a shared value.
pub struct Ref<T: ?Sized> {
    at: NonNull<Counted<T>>,
    owns: PhantomData<Counted<T>>,
}

// SAFETY: references give `&T` to many threads, and whichever has the last drops the value.
unsafe impl<T: ?Sized + Send + Sync> Send for Ref<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for Ref<T> {}

/// Memory for a value; the tests can have it refused.
fn room_for<T>() -> Result<NonNull<T>> {
    #[cfg(test)]
    crate::mm::vma::room::failing::ask().map_err(|_| Errno::Enomem)?;
    // SAFETY: every counted object has a header, so its size is not 0.
    NonNull::new(unsafe { alloc(Layout::new::<T>()) }.cast()).ok_or(Errno::Enomem)
}

/// Ends a value and gives its memory back.
///
/// # Safety
/// It is the link of a `Counted<T>` made by [`Ref::new`], to which nobody has a reference.
unsafe fn free<T>(link: NonNull<Link>) {
    let object = link.cast::<Counted<T>>();
    // SAFETY: the caller's promise; the link is the first field of the first field.
    unsafe {
        object.drop_in_place();
        dealloc(object.as_ptr().cast(), Layout::new::<Counted<T>>());
    }
}

impl<T: Send + Sync + 'static> Ref<T> {
    /// A first reference.
    pub fn new(value: T) -> Result<Self> {
        Self::make(value, None)
    }

    /// The same; when the last one goes, `T::last` is called, in the context of whoever drops it.
    pub fn with_last(value: T) -> Result<Self>
    where
        T: Last,
    {
        /// # Safety
        /// The header is that of a `Counted<T>`, which is still there.
        unsafe fn last<T: Last>(header: NonNull<Header>) {
            // SAFETY: the caller's promise.
            unsafe { header.cast::<Counted<T>>().as_ref() }.value.last();
        }
        Self::make(value, Some(last::<T>))
    }

    fn make(value: T, last: Option<unsafe fn(NonNull<Header>)>) -> Result<Self> {
        let at = room_for::<Counted<T>>()?;
        let header = Header { link: Link::new(free::<T>), count: AtomicUsize::new(1), last };
        // SAFETY: memory of that size, ours alone.
        unsafe { at.write(Counted { header, value }) };
        Ok(Self { at, owns: PhantomData })
    }
}

/// What is to be done when nobody refers to a value any more. Readers may still be looking at it.
pub trait Last {
    fn last(&self);
}

impl<T: ?Sized> Ref<T> {
    /// Turns it into one to a trait object, by a coercion of the pointer.
    pub(super) fn coerce<U: ?Sized>(self, coerce: impl FnOnce(*mut Counted<T>) -> *mut Counted<U>) -> Ref<U> {
        let from = self.at;
        core::mem::forget(self);
        let to = coerce(from.as_ptr());
        assert!(core::ptr::addr_eq(from.as_ptr(), to), "a coercion does not move");
        // SAFETY: the same object, so not null; the count goes over.
        Ref { at: unsafe { NonNull::new_unchecked(to) }, owns: PhantomData }
    }

    fn header(&self) -> &Header {
        // SAFETY: there is a reference, this one.
        unsafe { &self.at.as_ref().header }
    }

    /// How many references there are, at some moment.
    pub fn count(&self) -> usize {
        self.header().count.load(Ordering::Relaxed)
    }

    /// Whether both are to one object.
    pub fn is(&self, other: &Self) -> bool {
        core::ptr::addr_eq(self.at.as_ptr(), other.at.as_ptr())
    }

    /// Another reference, from the value itself: `None` if its last one is gone.
    ///
    /// # Safety
    /// The value is in a [`Ref`]'s object, and either there is a reference or it was found in a read section that is
    /// still going on.
    pub unsafe fn try_from(value: &T) -> Option<Self>
    where
        T: Sized,
    {
        let offset = core::mem::offset_of!(Counted<T>, value);
        let at = NonNull::from(value).cast::<u8>();
        // SAFETY: the caller's promise: the value is that far into its object.
        let at = unsafe { at.sub(offset) }.cast::<Counted<T>>();
        // SAFETY: as above.
        let count = unsafe { &at.as_ref().header.count };
        note_shared_write();
        let mut now = count.load(Ordering::Relaxed);
        while now != 0 {
            match count.compare_exchange_weak(now, now + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(Self { at, owns: PhantomData }),
                Err(other) => now = other,
            }
        }
        None
    }

    /// The value, with this reference left open until [`Self::unleak`].
    pub(crate) fn leak(self) -> *const T
    where
        T: Sized,
    {
        let at = self.at.as_ptr();
        core::mem::forget(self);
        // SAFETY: the reference that was just left open keeps the object.
        unsafe { &raw const (*at).value }
    }

    /// The reference that was left open.
    ///
    /// # Safety
    /// The pointer is from [`Self::leak`], and this is done once.
    pub(crate) unsafe fn unleak(value: *const T) -> Self
    where
        T: Sized,
    {
        let offset = core::mem::offset_of!(Counted<T>, value);
        // SAFETY: the caller's promise: the value is that far into its object, which is not null.
        let at = unsafe { NonNull::new_unchecked(value.cast_mut().byte_sub(offset).cast::<Counted<T>>()) };
        Self { at, owns: PhantomData }
    }

    /// If this is the only reference, nobody gets another any more, and true. The value stays readable until it is
    /// dropped.
    pub fn close(&self) -> bool {
        self.header().count.compare_exchange(1, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

impl<T: ?Sized> Deref for Ref<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: there is a reference, this one.
        unsafe { &self.at.as_ref().value }
    }
}

impl<T: ?Sized> Clone for Ref<T> {
    #[inline]
    fn clone(&self) -> Self {
        note_shared_write();
        self.header().count.fetch_add(1, Ordering::Relaxed);
        Self { at: self.at, owns: PhantomData }
    }
}

impl<T: ?Sized> Ref<T> {
    /// Gives it up, and ends nothing: if it was the last, that is left to do.
    pub(super) fn give_up(self) -> Option<Left> {
        ManuallyDrop::new(self).count_down()
    }

    #[inline]
    fn count_down(&mut self) -> Option<Left> {
        let header = NonNull::from(self.header());
        // SAFETY: this reference's share of the count is still there.
        let count = unsafe { &header.as_ref().count };
        note_shared_write();
        // 0 if it was closed before.
        if count.load(Ordering::Relaxed) != 0 && count.fetch_sub(1, Ordering::Release) != 1 {
            return None;
        }
        fence(Ordering::Acquire);
        Some(Left(header))
    }
}

impl<T: ?Sized> Drop for Ref<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(left) = self.count_down() {
            left.end();
        }
    }
}

/// A value that nobody refers to any more, and that has yet to end.
#[must_use = "what it stands for goes on until it is ended"]
pub(super) struct Left(NonNull<Header>);

impl Left {
    /// Ends it.
    #[inline]
    pub fn end(self) {
        // SAFETY: the last reference was this one's maker's, so it is its to end; nobody can come to it any more but readers.
        unsafe {
            if let Some(last) = self.0.as_ref().last {
                last(self.0);
            }
            EPOCHS.retire_link(self.0.cast());
        }
    }

    /// Its link, which stands for it until [`Self::from_link`].
    pub fn into_link(self) -> NonNull<Link> {
        self.0.cast()
    }

    /// # Safety
    /// From [`Self::into_link`], and once.
    pub unsafe fn from_link(link: NonNull<Link>) -> Self {
        Self(link.cast())
    }
}

impl<T: ?Sized + core::fmt::Debug> core::fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (**self).fmt(f)
    }
}

/// A part of a value that is let go when the last reference to the value is, in [`Last::last`], and not only with its
/// memory: what others must not wait for.
pub struct Part<T> {
    value: UnsafeCell<ManuallyDrop<T>>,
    ended: AtomicBool,
}

// SAFETY: shared it gives `&T`; whoever ends it drops it.
unsafe impl<T: Send + Sync> Sync for Part<T> {}

impl<T> Part<T> {
    pub const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(ManuallyDrop::new(value)), ended: AtomicBool::new(false) }
    }

    /// Drops it. Readers may go on looking at it: what it refers to is retired by that, if anything happens to it at all.
    ///
    /// # Safety
    /// In [`Last::last`], or in what is dropped next; and dropping a `T` leaves its bytes as they are.
    pub unsafe fn end(&self) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            // SAFETY: once, and from here on it is only looked at by who found it before.
            drop(unsafe { core::ptr::read(self.value.get().cast::<T>()) });
        }
    }
}

impl<T> Deref for Part<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: never borrowed for writing.
        unsafe { &*self.value.get().cast::<T>() }
    }
}

impl<T> Drop for Part<T> {
    fn drop(&mut self) {
        // SAFETY: dropped with what it is a part of.
        unsafe { self.end() };
    }
}

/// One reference, behind a pointer that readers follow without a lock.
pub struct Slot<T> {
    at: AtomicPtr<Counted<T>>,
    owns: PhantomData<Ref<T>>,
}

impl<T: Send + Sync + 'static> Slot<T> {
    pub fn new(first: Ref<T>) -> Self {
        let at = AtomicPtr::new(first.at.as_ptr());
        core::mem::forget(first);
        Self { at, owns: PhantomData }
    }

    /// What is in it, for as long as the read section goes on.
    #[inline]
    pub fn get<'a>(&self, _: &'a Reading<'_>) -> &'a T {
        // SAFETY: what was in it is retired, if ever, after it was replaced, so not before this section ends. Acquire
        // goes with the exchange in `replace`.
        unsafe { &(*self.at.load(Ordering::Acquire)).value }
    }

    /// A reference to what is in it.
    pub fn load(&self) -> Ref<T> {
        let reading = EPOCHS.read();
        loop {
            // SAFETY: found in this read section. It fails only if it has just been replaced.
            if let Some(found) = unsafe { Ref::try_from(self.get(&reading)) } {
                return found;
            }
        }
    }

    /// Puts another one in its place and returns what was there.
    pub fn replace(&self, new: Ref<T>) -> Ref<T> {
        let old = self.at.swap(new.at.as_ptr(), Ordering::AcqRel);
        core::mem::forget(new);
        // SAFETY: a slot is never empty, and what was in it is the caller's now.
        Ref { at: unsafe { NonNull::new_unchecked(old) }, owns: PhantomData }
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        // SAFETY: never empty, and whoever drops the slot has it alone.
        drop(Ref { at: unsafe { NonNull::new_unchecked(*self.at.get_mut()) }, owns: PhantomData });
    }
}
