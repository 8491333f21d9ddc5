//! Bytes that have arrived and that the discipline has not taken yet.
//!
//! Between a driver and the discipline stands a queue, for two reasons: an interrupt handler only puts bytes into it, and
//! what the discipline refuses has to be somewhere. Its bytes are shown to the discipline once while they wait, so that
//! STOP and START work though a reader sleeps.

use super::{Line, Mark, NTty};
use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// The queue; its size is fixed when it is made.
pub struct Backlog {
    bytes: Vec<u8>,
    /// A mark for each byte, or nothing where all bytes are good.
    marks: Vec<Mark>,
    first: usize,
    len: usize,
    /// How many at the front were shown already.
    shown: usize,
}

/// Bytes handed over in one portion.
const PORTION: usize = 256;

impl Backlog {
    /// A queue for `capacity` bytes; `marked` if some may have errors.
    pub fn new(capacity: usize, marked: bool) -> Result<Self, TryReserveError> {
        let (mut bytes, mut marks) = (Vec::new(), Vec::new());
        bytes.try_reserve_exact(capacity)?;
        bytes.resize(capacity, 0);
        if marked {
            marks.try_reserve_exact(capacity)?;
            marks.resize(capacity, Mark::Good);
        }
        Ok(Self { bytes, marks, first: 0, len: 0, shown: 0 })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn room(&self) -> usize {
        self.bytes.len() - self.len
    }

    pub fn clear(&mut self) {
        (self.first, self.len, self.shown) = (0, 0, 0);
    }

    /// Puts in what there is room for, and returns how much.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        for &byte in &bytes[..count] {
            self.push_marked(byte, Mark::Good);
        }
        count
    }

    /// Puts in one byte with its mark; false if there is no room.
    pub fn push_marked(&mut self, byte: u8, mark: Mark) -> bool {
        if self.room() == 0 {
            return false;
        }
        let at = (self.first + self.len) % self.bytes.len();
        self.bytes[at] = byte;
        if let Some(slot) = self.marks.get_mut(at) {
            *slot = mark;
        }
        self.len += 1;
        true
    }

    /// The bytes from number `from` on that lie in one piece.
    fn piece(&self, from: usize) -> (&[u8], &[Mark]) {
        let start = (self.first + from) % self.bytes.len();
        let end = self.bytes.len().min(start + (self.len - from));
        (&self.bytes[start..end], self.marks.get(start..end).unwrap_or_default())
    }

    /// Takes out what fits into `to`.
    pub fn pop(&mut self, to: &mut [u8]) -> usize {
        let mut count = 0;
        while count < to.len() && self.len > 0 {
            let (piece, _) = self.piece(0);
            let some = piece.len().min(to.len() - count);
            to[count..count + some].copy_from_slice(&piece[..some]);
            self.remove(some);
            count += some;
        }
        count
    }

    /// Moves what fits into another queue, with its marks, at most `most` bytes; returns how many.
    pub fn move_to(&mut self, other: &mut Self, most: usize) -> usize {
        let count = self.len.min(other.room()).min(most);
        for _ in 0..count {
            let mark = self.marks.get(self.first).copied().unwrap_or(Mark::Good);
            other.push_marked(self.bytes[self.first], mark);
            self.remove(1);
        }
        count
    }

    fn remove(&mut self, count: usize) {
        self.first = (self.first + count) % self.bytes.len();
        self.len -= count;
        self.shown = self.shown.saturating_sub(count);
    }

    /// Gives the discipline what it takes, and shows it the rest.
    pub fn feed(&mut self, tty: &mut NTty, line: &mut dyn Line) {
        while self.len > 0 {
            let (bytes, marks) = self.piece(0);
            let count = bytes.len();
            let taken = tty.receive(bytes, marks, line);
            self.remove(taken);
            if taken < count {
                self.show(tty, line);
                if taken == 0 {
                    break;
                }
            }
        }
    }

    /// At most a portion of the same, for who holds a lock meanwhile; whether there is more that would be taken.
    pub fn feed_some(&mut self, tty: &mut NTty, line: &mut dyn Line) -> bool {
        if self.is_empty() {
            return false;
        }
        let (bytes, marks) = self.piece(0);
        let count = bytes.len().min(PORTION);
        let taken = tty.receive(&bytes[..count], marks.get(..count).unwrap_or_default(), line);
        self.remove(taken);
        if taken < count {
            self.show(tty, line);
        }
        taken > 0 && self.len > 0
    }

    fn show(&mut self, tty: &mut NTty, line: &mut dyn Line) {
        while self.shown < self.len {
            let (bytes, marks) = self.piece(self.shown);
            tty.look_ahead(bytes, marks, line);
            self.shown += bytes.len();
        }
    }
}
