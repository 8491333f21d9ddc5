//! Whether a file is being written or being run: never both (ETXTBSY), or a program would change under itself.
//!
//! Source: open(2), execve(2), truncate(2).

use super::Result;
use super::file::File;
use super::inode::Inode;
use super::refs::{Last, Part, Ref};
use crate::errno::Errno;
use core::ops::Deref;
use core::sync::atomic::{AtomicI32, Ordering};

/// How many write a file; below 0, how many programs are made of it.
#[derive(Default)]
pub struct Busy(AtomicI32);

impl Busy {
    pub const fn new() -> Self {
        Self(AtomicI32::new(0))
    }

    /// One more of either kind. ETXTBSY if there is one of the other.
    fn begin(&self, step: i32) -> Result<()> {
        let next = |now: i32| (now * step >= 0).then(|| now + step);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .map(|_| ())
            .map_err(|_| Errno::Etxtbsy)
    }

    fn end(&self, step: i32) {
        self.0.fetch_sub(step, Ordering::Relaxed);
    }
}

const WRITES: i32 = 1;
const RUNS: i32 = -1;

/// Somebody writes a file, for as long as there is this.
pub struct Written(Ref<Inode>);

impl Written {
    /// ETXTBSY if it is being run.
    pub fn new(inode: Ref<Inode>) -> Result<Self> {
        inode.busy.begin(WRITES)?;
        Ok(Self(inode))
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        self.0.busy.end(WRITES);
    }
}

/// A file that a program is made of: nobody opens it for writing, or makes it shorter.
pub struct Running(Part<Ref<File>>);

impl Running {
    /// ETXTBSY if somebody has it open for writing.
    pub fn new(file: Ref<File>) -> Result<Ref<Self>> {
        let inode = Ref::clone(&file.inode);
        inode.busy.begin(RUNS)?;
        Ref::with_last(Self(Part::new(file))).inspect_err(|_| inode.busy.end(RUNS))
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
        self.inode.busy.end(RUNS);
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
        assert_eq!((busy.begin(WRITES), busy.begin(WRITES)), (Ok(()), Ok(())));
        busy.end(WRITES);
        assert_eq!(busy.begin(RUNS), Err(Errno::Etxtbsy), "the other still writes");
        busy.end(WRITES);
        assert_eq!((busy.begin(RUNS), busy.begin(RUNS)), (Ok(()), Ok(())));
        assert_eq!(busy.begin(WRITES), Err(Errno::Etxtbsy));
        busy.end(RUNS);
        busy.end(RUNS);
        assert_eq!(busy.begin(WRITES), Ok(()));
    }
}
