//! An open file as address spaces show it: what `mmap` and `exec` ask for.
//!
//! ```text
//! mmap(fd)   open(&file, offset) ──► OpenFile<Shown> ──► UserSpace::map
//! a fault    Shown ──► the file ──► its inode ──► Pages (the page cache)
//! ftruncate  Pages ──► pagecache::live ──► SPACES ──► each address space that shows it
//! ```
//!
//! An area keeps the file open, and with it the mount busy. When the last area of it goes, an address space is locked, and
//! what ends with a file may want any lock: so the file is let go by [`tidy`](super::tidy), as what is retired to the
//! epochs is freed. Whoever unmaps calls that.

use super::Result;
use super::file::File;
use super::flags::MountFlags;
use super::pages::{Machine, Pages};
use super::refs::Ref;
use crate::errno::Errno;
use crate::mm::addr::Frame;
use crate::mm::space::{Foreign, ForeignRef, NoPage, Provided, shown};
use crate::mm::vma::space::OpenFile;
use core::any::Any;
use core::mem::ManuallyDrop;
use core::ptr::{NonNull, from_ref};

/// Whatever an address space shows: memory shared without a file, or a file.
pub type Shown = shown::Shown<Machine>;

/// An open file that has pages, for as long as areas show it. Counted by references, one for each area. The end of this,
/// which [`tidy`](super::tidy) brings about, closes the file.
struct Holder {
    file: Ref<File>,
}

impl Holder {
    fn pages(&self) -> &Pages {
        self.file.inode.ops.pages().expect("only what has pages is made one of these")
    }
}

impl Foreign for Holder {
    fn page(&self, offset: u64, write: bool) -> core::result::Result<Provided, NoPage> {
        self.pages().page(offset, write)
    }

    fn cached(&self, offset: u64, wanted: u64, found: &mut [Option<Frame>]) {
        self.pages().cached(offset, wanted, found);
    }

    fn written(&self, offset: u64) -> core::result::Result<(), NoPage> {
        self.pages().written(offset)
    }

    fn read_ahead(&self, offset: u64, len: u64) {
        self.pages().read_ahead(offset..offset.saturating_add(len));
    }

    /// As on Linux, two openings are two.
    fn identity(&self) -> usize {
        from_ref(&*self.file).addr()
    }

    fn file(&self) -> usize {
        self.pages().id().0
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn shown(&self) {
        self.pages().shown();
        // SAFETY: made by `content` alone, in a `Ref`, to which the caller has a reference; it keeps it.
        let own = ManuallyDrop::new(unsafe { Ref::unleak(from_ref(self)) });
        core::mem::forget((*own).clone());
    }

    unsafe fn hidden(&self) {
        self.pages().hidden();
        // SAFETY: the caller's promise: the reference that goes with its count.
        drop(unsafe { Ref::unleak(from_ref(self)) });
    }
}

/// What an area is to show of an open file. EBADF: it was opened as a place only. ENODEV: it has no pages. ENOMEM.
pub fn content(file: &Ref<File>) -> Result<Shown> {
    if file.is_path() {
        return Err(Errno::Ebadf);
    }
    let pages = file.inode.ops.pages().ok_or(Errno::Enodev)?;
    let holder = Ref::new(Holder { file: file.clone() })?;
    pages.shown();
    let object: *const dyn Foreign = holder.leak();
    // SAFETY: not null; counted just now, with the reference that was left open; and it is where it is until the last
    // reference goes, which `hidden` takes away.
    Ok(Shown::File(unsafe { ForeignRef::new(NonNull::new_unchecked(object.cast_mut())) }))
}

/// The same for `mmap`, from the byte `offset` on, with what its opening and its mount allow. What is asked for is looked
/// at by [`AddressSpace::map`](crate::mm::space::AddressSpace::map).
pub fn open(file: &Ref<File>, offset: u64) -> Result<OpenFile<Shown>> {
    let open = OpenFile {
        file: content(file)?,
        offset,
        readable: file.access.read,
        writable: file.access.write,
        no_exec: file.path.mount.flags().contains(MountFlags::NOEXEC),
    };
    file.note_access();
    Ok(open)
}

fn holder(shown: &Shown) -> Option<&Holder> {
    match shown {
        Shown::Memory(_) => None,
        Shown::File(file) => file.get().as_any().downcast_ref(),
    }
}

/// The open file behind what an area shows, for `/proc/PID/maps`; `None` for memory without one.
pub fn file_of(shown: &Shown) -> Option<&Ref<File>> {
    holder(shown).map(|holder| &holder.file)
}

/// `msync(MS_SYNC)` of what an area shows: these bytes of it are written.
pub fn sync(shown: &Shown, offset: u64, len: u64) -> Result<()> {
    if let Some(holder) = holder(shown) {
        let pages = holder.pages();
        pages.sync(offset..offset.saturating_add(len), &pages.seen())?;
    }
    Ok(())
}

/// Has files that get shorter taken out of address spaces. Once, before the first file is mapped.
#[cfg(target_os = "none")]
pub fn init() {
    use super::pagecache::live::{Spaces, set_spaces};
    use crate::mm::space::live::SPACES;
    static ASKED: Spaces = Spaces {
        unmap: |file, bytes, which| {
            SPACES.for_each(|space| space.unmap_object(|shown| shown.is_of(file.0), bytes.clone(), which));
        },
        write_protect: |file, bytes| {
            SPACES.for_each(|space| space.write_protect_object(|shown| shown.is_of(file.0), bytes.clone()));
        },
    };
    set_spaces(&ASKED);
}
