//! Errors in writing, told once to each open file.
//!
//! What was written into the cache goes to the disk later, and who wrote it is not there any more when that fails. He is
//! told when he calls `fsync`; and so is everybody else who has the file open then, each once. Who opens it later is told
//! only if nobody has been.
//!
//! ```text
//! 63          9  8     7          0
//! ┌───────────┬──────┬────────────┐
//! │ how often │ told │ last errno │
//! └───────────┴──────┴────────────┘
//! ```
//!
//! An open file keeps the word that it saw last. The count goes up only if the last error was told to somebody: else
//! nobody could tell the two apart. Source of the idea: J. Layton, "Improved block-layer error handling" (LWN, 2017).

use super::env::Error;
use core::sync::atomic::{AtomicU64, Ordering};

const ERRNO: u64 = 0xFF;
const TOLD: u64 = 1 << 8;
const ONE: u64 = 1 << 9;

/// Errors that a file has met.
#[derive(Debug)]
pub struct Errors(AtomicU64);

/// What an open file knows of them.
#[derive(Debug)]
pub struct Seen(AtomicU64);

impl Errors {
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Another one.
    pub fn note(&self, error: Error) {
        let next = |old: u64| {
            let more = if old & TOLD != 0 { ONE } else { 0 };
            Some((old & !(ERRNO | TOLD)).wrapping_add(more) | error.errno() as u64)
        };
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, next);
    }

    /// For a file that is opened now.
    pub fn seen(&self) -> Seen {
        let now = self.0.load(Ordering::Acquire);
        // One that nobody was told of is news.
        Seen(AtomicU64::new(if now & TOLD != 0 || now & ERRNO == 0 { now } else { 0 }))
    }

    /// One that `seen` has not been told of; now it has.
    pub fn since(&self, seen: &Seen) -> Result<(), Error> {
        let old = seen.0.load(Ordering::Acquire);
        let now = self.0.load(Ordering::Acquire);
        if now == old {
            return Ok(());
        }
        let now = self.0.fetch_or(TOLD, Ordering::AcqRel) | TOLD;
        // Of two calls on one open file, one is told.
        if seen.0.swap(now, Ordering::AcqRel) == now {
            return Ok(());
        }
        Error::from_errno((now & ERRNO) as i32).map_or(Ok(()), Err)
    }
}

impl Default for Errors {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_open_file_is_told_once() {
        let errors = Errors::new();
        let (a, b) = (errors.seen(), errors.seen());
        assert_eq!(errors.since(&a), Ok(()));
        errors.note(Error::Io);
        assert_eq!([errors.since(&a), errors.since(&a)], [Err(Error::Io), Ok(())]);
        assert_eq!([errors.since(&b), errors.since(&b)], [Err(Error::Io), Ok(())]);
        // The same once more.
        errors.note(Error::Io);
        assert_eq!([errors.since(&b), errors.since(&b)], [Err(Error::Io), Ok(())]);
        errors.note(Error::NoSpace);
        assert_eq!(
            [errors.since(&b), errors.since(&a), errors.since(&a)],
            [Err(Error::NoSpace), Err(Error::NoSpace), Ok(())]
        );
    }

    #[test]
    fn who_opens_later_is_told_if_nobody_was() {
        let errors = Errors::new();
        errors.note(Error::Io);
        let first = errors.seen();
        assert_eq!([errors.since(&first), errors.since(&first)], [Err(Error::Io), Ok(())]);
        let second = errors.seen();
        assert_eq!(errors.since(&second), Ok(()));
    }

    #[test]
    fn many_before_anybody_looks_are_one() {
        let errors = Errors::new();
        let seen = errors.seen();
        (0..5).for_each(|_| errors.note(Error::Io));
        assert_eq!([errors.since(&seen), errors.since(&seen)], [Err(Error::Io), Ok(())]);
    }
}
