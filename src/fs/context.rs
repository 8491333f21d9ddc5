//! Where a process is in the tree: its root, its directory, its umask.
//!
//! [`FsContext`] is what threads share and `clone` without `CLONE_FS` copies. A walk looks at root and directory in its
//! read section and takes no reference to them, so they are behind one pointer, changed by who changes either.

use super::Result;
use super::mount::Path;
use super::refs::{Last, Part, Ref, Slot};
use crate::sync::grace::Reading;
use crate::sync::{Rank, SpinLock};
use core::sync::atomic::{AtomicU32, Ordering};

/// Root and directory.
pub struct Places {
    pub root: Part<Path>,
    pub cwd: Part<Path>,
}

impl Places {
    fn new(root: &Path, cwd: &Path) -> Result<Ref<Self>> {
        Ref::with_last(Self { root: Part::new(root.clone()), cwd: Part::new(cwd.clone()) })
    }
}

impl Last for Places {
    fn last(&self) {
        // SAFETY: the last reference is gone, and who walks from there looks at what they refer to, which is retired.
        unsafe {
            self.root.end();
            self.cwd.end();
        }
    }
}

/// A process's place.
pub struct FsContext {
    places: Slot<Places>,
    changing: SpinLock<()>,
    umask: AtomicU32,
}

impl FsContext {
    /// `root` for both, and Linux's first umask.
    pub fn new(root: &Path) -> Result<Self> {
        Self::with(Places::new(root, root)?, 0o022)
    }

    fn with(places: Ref<Places>, umask: u32) -> Result<Self> {
        Ok(Self {
            places: Slot::new(places),
            changing: SpinLock::new(Rank::FsContext, ()),
            umask: AtomicU32::new(umask),
        })
    }

    /// A copy, for `fork`.
    pub fn copy(&self) -> Result<Self> {
        let now = self.places.load();
        Self::with(Places::new(&now.root, &now.cwd)?, self.umask())
    }

    /// Both, as of one moment, for as long as the read section goes on.
    pub fn places_in<'a>(&self, reading: &'a Reading<'_>) -> &'a Places {
        self.places.get(reading)
    }

    /// Both, as of one moment.
    pub fn places(&self) -> Ref<Places> {
        self.places.load()
    }

    pub fn root(&self) -> Path {
        Path::clone(&self.places.load().root)
    }

    pub fn cwd(&self) -> Path {
        Path::clone(&self.places.load().cwd)
    }

    /// A thread that changes the one and a thread that changes the other must both be heeded: one after the other.
    fn change(&self, change: impl FnOnce(&Places) -> Result<Ref<Places>>) -> Result<()> {
        let old = {
            let _changing = self.changing.lock();
            let before = self.places.load();
            (self.places.replace(change(&before)?), before)
        };
        drop(old);
        Ok(())
    }

    /// `chdir`. The caller has seen that it is a directory that may be searched.
    pub fn set_cwd(&self, cwd: Path) -> Result<()> {
        self.change(|now| Places::new(&now.root, &cwd))
    }

    /// `chroot`, likewise.
    pub fn set_root(&self, root: Path) -> Result<()> {
        self.change(|now| Places::new(&root, &now.cwd))
    }

    pub fn umask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }

    /// Sets it; returns what it was.
    pub fn set_umask(&self, umask: u32) -> u32 {
        self.umask.swap(umask & 0o777, Ordering::Relaxed)
    }
}
