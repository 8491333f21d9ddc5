//! Files whose text is made up when they are read: one small layer under all of /proc.
//!
//! Such a file is a sequence of records, a line or a few each, made from structures that live on while it is read. Who
//! reads it chooses the pieces: single bytes, 64 KiB, from odd offsets, the same twice. The promise kept here is
//!
//! * **a record is whole**: its bytes are all of one moment, however many reads they take, since the record is
//!   made once, into a buffer of the open file's, and read from there;
//! * **what stays is there once**: a record that exists throughout is read exactly once, whatever comes and goes around
//!   it, since a reader goes from key to key and not from number to number. What comes or goes meanwhile is in it once or
//!   not at all.
//!
//! ```text
//! Source     key 3 ──► key 7 ──► key 9 …            live; locked by the source for one record at a time
//! Cursor             ╰─ "7 idle\n" ── here           position 21 = 19, where the record begins, + 2
//! ```
//!
//! A read that goes on where the last one ended is the rule and costs what the record costs. Another offset (pread, or
//! lseek backwards) goes through the records again from the first, or from the present one if that is not behind.
//!
//! A record grows as long as it must, to [`RECORD_MAX`], in memory that is asked for and may be refused.

mod cursor;
pub mod escape;
#[cfg(test)]
mod tests;
pub mod text;

pub use cursor::Cursor;
pub use text::{RECORD_MAX, Text, Trouble};

/// What a file is made from.
pub trait Source {
    /// Tells records apart, and orders them.
    type Key: Clone;

    /// Writes the first record behind `after`, or the first of all, into `out`; returns its key, `None` past the last.
    /// A record that vanishes while it is written may stay empty.
    ///
    /// A failed write need not be passed on: [`Text`] remembers it.
    fn next(&self, after: Option<&Self::Key>, out: &mut Text) -> Option<Self::Key>;
}

/// A file of one record: /proc/uptime, /proc/meminfo.
pub struct Single<F>(pub F);

impl<F: Fn(&mut Text)> Source for Single<F> {
    type Key = ();

    fn next(&self, after: Option<&()>, out: &mut Text) -> Option<()> {
        if after.is_some() {
            return None;
        }
        (self.0)(out);
        Some(())
    }
}

/// A file with a record before those of `rest`: a line of headings.
pub struct Headed<F, S> {
    pub head: F,
    pub rest: S,
}

impl<F: Fn(&mut Text), S: Source> Source for Headed<F, S> {
    /// `None` is the head.
    type Key = Option<S::Key>;

    fn next(&self, after: Option<&Self::Key>, out: &mut Text) -> Option<Self::Key> {
        match after {
            None => {
                (self.head)(out);
                Some(None)
            }
            Some(after) => self.rest.next(after.as_ref(), out).map(Some),
        }
    }
}
