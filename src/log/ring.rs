//! The ring that keeps the kernel's last log records: what `dmesg` shows and a panic repeats.
//!
//! `log` pushes each record here under its lock, consoles or none; the monitor and the panic
//! screen read it back. A full ring overwrites its oldest records, whole ones only.
//!
//! ```text
//! bytes:  | newest … |  free  | oldest | record | record | gap |
//!                    ^tail    ^head                      a record that does not fit
//!                                                        before the end goes to offset 0
//! record: | length: u16 | level: u8 | target_len: u8 | timestamp_ns: u64 | target | text |
//! ```
//!
//! Numbers are little-endian and unaligned. `length` counts the whole record; a length of 0, or an
//! end nearer than a header, says that the ring goes on at offset 0.
//!
//! Invariants:
//! * a record is contiguous, so its text is one `&str`, and it holds only whole `str`s;
//! * `count` records start at `head`, the first has the sequence number `lost`, and `tail` is
//!   where the last one ends;
//! * reading checks every length against the ring. A push that a panic broke off in the middle can hide
//!   records from the reader, but not lead it astray.
//!
//! The layout is `repr(C)`: a debugger reads a halted kernel's ring from memory.

#[cfg(test)]
mod tests;

use core::fmt::{self, Write};

use crate::utf8::floor_boundary;

/// Bytes in front of each record's target and text.
const HEADER: usize = 12;
/// The longest text that is kept, in bytes.
pub const TEXT_MAX: usize = 1024;
/// The longest target (the `area` in front of a line) that is kept, in bytes.
pub const TARGET_MAX: usize = 64;
/// What the text of a record that was cut short ends with.
pub const CUT_MARK: &str = " [cut]";

/// One record, as the ring gives it back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record<'a> {
    /// Counts every record ever pushed, from 0.
    pub sequence: u64,
    /// Nanoseconds since the kernel's entry.
    pub timestamp_ns: u64,
    /// The severity as its owner numbers it; the ring only keeps it.
    pub level: u8,
    /// Which part of the kernel spoke.
    pub target: &'a str,
    /// The message, without a line end of its own.
    pub text: &'a str,
}

/// How far a reader has come. The first is the oldest record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cursor {
    at: usize,
    sequence: u64,
}

impl Cursor {
    /// Before the first record ever.
    pub const START: Self = Self { at: 0, sequence: 0 };

    /// The number of the record that is next.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// A ring of `N` bytes. Meant for a `static`: never on a stack.
#[repr(C)]
pub struct Ring<const N: usize> {
    head: usize,
    tail: usize,
    count: usize,
    lost: u64,
    bytes: [u8; N],
    /// Where a text is formatted before its length is known.
    scratch: [u8; TEXT_MAX],
}

impl<const N: usize> Ring<N> {
    /// An empty ring. It must hold two records of full size at least.
    pub const fn new() -> Self {
        assert!(N >= 2 * (HEADER + TARGET_MAX + TEXT_MAX), "the log ring is too small for its records");
        Self { head: 0, tail: 0, count: 0, lost: 0, bytes: [0; N], scratch: [0; TEXT_MAX] }
    }

    /// Appends a record and returns its sequence number. The text is cut, and marked, at [`TEXT_MAX`]
    /// bytes, the target at [`TARGET_MAX`].
    pub fn push(&mut self, timestamp_ns: u64, level: u8, target: &str, text: fmt::Arguments<'_>) -> u64 {
        let mut writer = Bounded { bytes: &mut self.scratch, len: 0, cut: false };
        // Fails once the text is cut, or when a Display of the caller's fails: what is there is kept.
        let _ = writer.write_fmt(text);
        let text_len = writer.finish();
        let target = &target.as_bytes()[..floor_boundary(target.as_bytes(), TARGET_MAX)];
        let length = HEADER + target.len() + text_len;

        let at = self.make_room(length);
        let record = &mut self.bytes[at..at + length];
        record[0..2].copy_from_slice(&(length as u16).to_le_bytes());
        record[2] = level;
        record[3] = target.len() as u8;
        record[4..HEADER].copy_from_slice(&timestamp_ns.to_le_bytes());
        record[HEADER..HEADER + target.len()].copy_from_slice(target);
        record[HEADER + target.len()..].copy_from_slice(&self.scratch[..text_len]);
        self.tail = at + length;
        self.count += 1;
        self.lost + self.count as u64 - 1
    }

    /// Records in the ring.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True as long as nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Records that newer ones have overwritten.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The records, oldest first.
    pub fn records(&self) -> Records<'_> {
        Records { bytes: &self.bytes, at: self.head, left: self.count, sequence: self.lost }
    }

    /// The record at `cursor`, which moves on to the next; `None` if there is none yet. A reader that was
    /// overtaken goes on with the oldest record that is left.
    pub fn read(&self, cursor: &mut Cursor) -> Option<Record<'_>> {
        let end = self.lost + self.count as u64;
        let mut records = if cursor.sequence <= self.lost {
            self.records()
        } else {
            let left = end.saturating_sub(cursor.sequence) as usize;
            Records { bytes: &self.bytes, at: cursor.at, left, sequence: cursor.sequence }
        };
        let record = records.next()?;
        *cursor = Cursor { at: records.at, sequence: records.sequence };
        Some(record)
    }

    /// Behind the last record.
    pub fn end(&self) -> Cursor {
        Cursor { at: self.tail, sequence: self.lost + self.count as u64 }
    }

    /// Calls `f` with every record, oldest first.
    pub fn for_each<'a>(&'a self, f: impl FnMut(Record<'a>)) {
        self.records().for_each(f);
    }

    /// Calls `f` with the last `n` records, oldest of them first.
    pub fn last<'a>(&'a self, n: usize, f: impl FnMut(Record<'a>)) {
        self.records().skip(self.count.saturating_sub(n)).for_each(f);
    }

    /// Overwrites old records until `length` bytes in a row are free; returns where. `tail` is
    /// left as it was unless the ring wraps here.
    fn make_room(&mut self, length: usize) -> usize {
        loop {
            if self.count == 0 {
                (self.head, self.tail) = (0, 0);
                return 0;
            }
            // The free bytes reach from `tail` to `head`, which may lie behind the wrap. The two are
            // equal only when the ring is full to the last byte.
            if self.tail <= self.head {
                if self.head - self.tail >= length {
                    return self.tail;
                }
            } else if N - self.tail >= length {
                return self.tail;
            } else if self.head >= length {
                if let Some(mark) = self.bytes.get_mut(self.tail..self.tail + 2) {
                    mark.fill(0);
                }
                self.tail = 0;
                return 0;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let mut records = self.records();
        match records.next() {
            Some(_) => {
                self.head = records.at;
                self.count -= 1;
                self.lost += 1;
            }
            // Only a damaged ring gets here: start afresh rather than stop logging.
            None => {
                self.lost += self.count as u64;
                self.count = 0;
            }
        }
        // The next record's true place, so that the free bytes are counted from there.
        if self.count > 0 && wraps(&self.bytes, self.head) {
            self.head = 0;
        }
    }
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// The records of a [`Ring`], oldest first.
#[derive(Clone)]
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    left: usize,
    sequence: u64,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        self.left = self.left.checked_sub(1)?;
        if wraps(self.bytes, self.at) {
            self.at = 0;
        }
        let rest = &self.bytes[self.at..];
        let length = usize::from(u16::from_le_bytes([rest[0], rest[1]]));
        let target_end = HEADER + usize::from(rest[3]);
        let timestamp = rest[4..HEADER].try_into().ok()?;
        let (Some(target), Some(text)) = (rest.get(HEADER..target_end), rest.get(target_end..length)) else {
            self.left = 0;
            return None;
        };
        let record = Record {
            sequence: self.sequence,
            timestamp_ns: u64::from_le_bytes(timestamp),
            level: rest[2],
            target: valid_prefix(target),
            text: valid_prefix(text),
        };
        self.at += length;
        self.sequence += 1;
        Some(record)
    }
}

/// Whether the ring goes on at offset 0 instead of at `at`.
fn wraps(bytes: &[u8], at: usize) -> bool {
    bytes.len().saturating_sub(at) < HEADER || bytes[at..at + 2] == [0, 0]
}

/// `bytes` as text, up to the first byte that is not UTF-8. There is none in a sound ring.
fn valid_prefix(bytes: &[u8]) -> &str {
    let valid = match core::str::from_utf8(bytes) {
        Ok(text) => return text,
        Err(error) => error.valid_up_to(),
    };
    core::str::from_utf8(&bytes[..valid]).unwrap_or("")
}

/// Formats into a buffer of fixed size, and stops at its end.
struct Bounded<'a> {
    bytes: &'a mut [u8; TEXT_MAX],
    len: usize,
    cut: bool,
}

impl Bounded<'_> {
    /// The length of the text, the mark at its end if it was cut.
    fn finish(self) -> usize {
        if !self.cut {
            return self.len;
        }
        let at = floor_boundary(&self.bytes[..self.len], TEXT_MAX - CUT_MARK.len());
        self.bytes[at..at + CUT_MARK.len()].copy_from_slice(CUT_MARK.as_bytes());
        at + CUT_MARK.len()
    }
}

impl Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // A Display may overlook the error of its last piece.
        if self.cut {
            return Err(fmt::Error);
        }
        let taken = floor_boundary(text.as_bytes(), TEXT_MAX - self.len);
        self.bytes[self.len..self.len + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.len += taken;
        self.cut = taken < text.len();
        if self.cut { Err(fmt::Error) } else { Ok(()) }
    }
}
