//! Whether a file is being written or being run: never both (ETXTBSY), or a program would change under itself.
//!
//! Source: open(2), execve(2), truncate(2).

use super::Result;
use super::file::File;
use super::refs::{Last, Part, Ref};
use crate::errno::Errno;
use core::mem;
use core::ops::Deref;
use core::sync::atomic::{AtomicI32, Ordering};

/// How many write a file; below 0, how many programs are made of it.
#[derive(Default)]
pub struct Busy(AtomicI32);

/// Somebody writes a file, for as long as there is this.
pub struct Claim<'a>(&'a Busy);

impl Busy {
    pub const fn new() -> Self {
        Self(AtomicI32::new(0))
    }

    fn more(&self, step: i32) -> Result<()> {
        let next = |now: i32| (now * step >= 0).then(|| now + step);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .map(|_| ())
            .map_err(|_| Errno::Etxtbsy)
    }

    /// One more writes it. ETXTBSY if it is being run.
    pub fn write(&self) -> Result<Claim<'_>> {
        self.more(1).map(|()| Claim(self))
    }

    /// One has written whose [`Claim`] was kept.
    pub fn written(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Claim<'_> {
    /// It goes on until [`Busy::written`].
    pub fn keep(self) {
        mem::forget(self);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.written();
    }
}

/// A file that a program is made of: nobody opens it for writing, or makes it shorter.
pub struct Running(Part<Ref<File>>);

impl Running {
    /// ETXTBSY if somebody has it open for writing.
    pub fn new(file: Ref<File>) -> Result<Ref<Self>> {
        file.inode.busy.more(-1)?;
        let busy = file.inode.clone();
        Ref::with_last(Self(Part::new(file))).inspect_err(|_| {
            busy.busy.0.fetch_add(1, Ordering::Relaxed);
        })
    }
}

impl Deref for Running {
    type Target = Ref<File>;

    fn deref(&self) -> &Ref<File> {
        &self.0
    }
}

impl Last for Running {
    fn last(&self) {
        self.inode.busy.0.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the last reference is gone.
        unsafe { self.0.end() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_or_run() {
        let busy = Busy::new();
        let one = busy.write().unwrap();
        busy.write().unwrap().keep();
        assert_eq!(busy.more(-1), Err(Errno::Etxtbsy));
        drop(one);
        assert_eq!(busy.more(-1), Err(Errno::Etxtbsy), "the other still writes");
        busy.written();
        assert_eq!((busy.more(-1), busy.more(-1)), (Ok(()), Ok(())));
        assert!(busy.write().is_err());
    }
}
