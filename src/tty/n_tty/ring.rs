//! What has been typed and not been read: a ring of 4,096 bytes, with a mark on each that ends a line.
//!
//! Three positions run after each other. They only grow; a byte's place is the position modulo the size.
//!
//! ```text
//!            tail               lines               head
//!   ──────────┼───────────────────┼──────────────────┼─────────
//!    was read │  whole lines      │ being typed      │ free
//!             │  for readers      │ can be edited    │
//! ```
//!
//! In raw mode there are no lines: a reader may have all up to `shown`, which follows the head at the end of each portion
//! of input.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

/// Bytes in it. One stays free, so a line is at most 4,095 bytes and its end.
pub const CAPACITY: usize = 4096;

pub struct Ring {
    bytes: Vec<u8>,
    ends: [u64; CAPACITY / 64],
    /// The next byte goes here.
    pub head: usize,
    /// Where the line begins that is being typed.
    pub lines: usize,
    /// Up to here raw readers may read.
    pub shown: usize,
    /// The next byte read is this one.
    pub tail: usize,
}

impl Ring {
    pub fn new() -> Result<Self, TryReserveError> {
        Ok(Self { bytes: zeroed()?, ends: [0; CAPACITY / 64], head: 0, lines: 0, shown: 0, tail: 0 })
    }

    pub fn clear(&mut self) {
        (self.head, self.lines, self.shown, self.tail) = (0, 0, 0, 0);
        self.ends = [0; CAPACITY / 64];
    }

    pub fn clear_ends(&mut self) {
        self.ends = [0; CAPACITY / 64];
    }

    /// Adds a byte. In a full ring, which only a line that is too long fills, it takes the last one's place.
    pub fn put(&mut self, byte: u8) {
        self.make_room();
        self.bytes[self.head % CAPACITY] = byte;
        self.head = self.head.wrapping_add(1);
    }

    /// Drops the last byte of a full ring.
    pub fn make_room(&mut self) {
        if self.held() == CAPACITY {
            self.head = self.head.wrapping_sub(1);
        }
    }

    pub fn at(&self, position: usize) -> u8 {
        self.bytes[position % CAPACITY]
    }

    /// The bytes from `position` on that lie in one piece, at most `most`.
    pub fn piece(&self, position: usize, most: usize) -> &[u8] {
        let start = position % CAPACITY;
        &self.bytes[start..CAPACITY.min(start + most)]
    }

    /// The byte at `position` ends a line.
    pub fn set_end(&mut self, position: usize) {
        self.ends[position % CAPACITY / 64] |= 1 << (position % 64);
    }

    pub fn clear_end(&mut self, position: usize) {
        self.ends[position % CAPACITY / 64] &= !(1 << (position % 64));
    }

    pub fn is_end(&self, position: usize) -> bool {
        self.ends[position % CAPACITY / 64] >> (position % 64) & 1 != 0
    }

    /// Bytes in it, whether they may be read or not.
    pub fn held(&self) -> usize {
        self.head.wrapping_sub(self.tail)
    }

    /// Bytes for a raw reader.
    pub fn readable(&self) -> usize {
        self.shown.wrapping_sub(self.tail)
    }

    /// Bytes of whole lines, ends of files among them.
    pub fn in_lines(&self) -> usize {
        self.lines.wrapping_sub(self.tail)
    }

    pub fn has_line(&self) -> bool {
        self.lines != self.tail
    }

    /// Bytes of whole lines without the ends of file.
    pub fn line_bytes(&self) -> usize {
        let ends_file = |at: &usize| {
            self.is_end(self.tail.wrapping_add(*at)) && self.at(self.tail.wrapping_add(*at)) == 0
        };
        let all = self.in_lines();
        all - (0..all).filter(ends_file).count()
    }

    /// Bytes of the line that is being typed.
    pub fn typed(&self) -> usize {
        self.head.wrapping_sub(self.lines)
    }
}

/// Room for a ring, or the news that there is none.
pub fn zeroed() -> Result<Vec<u8>, TryReserveError> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(CAPACITY)?;
    bytes.resize(CAPACITY, 0);
    Ok(bytes)
}
