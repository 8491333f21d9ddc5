//! A line's text, and the places in it: plain strings, no terminal.
//!
//! Invariant: `bytes[..len]` is UTF-8, since only whole `str`s are ever put in, at character boundaries. Every
//! position here is a byte offset on such a boundary, and every place that is asked for is one.

/// The longest line, in bytes of UTF-8.
pub const CAPACITY: usize = 256;

/// A string of at most [`CAPACITY`] bytes.
#[derive(Clone, Copy)]
pub(super) struct Line {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Line {
    pub(super) const EMPTY: Self = Self { bytes: [0; CAPACITY], len: 0 };

    pub(super) fn as_str(&self) -> &str {
        // By the invariant this cannot fail; an empty line beats a panic.
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }

    /// Its length in bytes, and the place of its end.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Drops what is behind byte `at`.
    pub(super) fn truncate(&mut self, at: usize) {
        self.len = self.len.min(at);
    }

    /// Replaces bytes `start..end`; `false`, and nothing changed, if the line would get too long.
    pub(super) fn replace(&mut self, start: usize, end: usize, new: &str) -> bool {
        let tail = start + new.len();
        let len = tail + (self.len - end);
        if len > CAPACITY {
            return false;
        }
        self.bytes.copy_within(end..self.len, tail);
        self.bytes[start..tail].copy_from_slice(new.as_bytes());
        self.len = len;
        true
    }

    /// The contents become `new`; `false`, and nothing changed, if that is too long.
    pub(super) fn set(&mut self, new: &str) -> bool {
        self.replace(0, self.len, new)
    }

    /// One character before `at`.
    pub(super) fn left(&self, at: usize) -> usize {
        at - self.before(at).chars().next_back().map_or(0, char::len_utf8)
    }

    /// One character after `at`.
    pub(super) fn right(&self, at: usize) -> usize {
        at + self.after(at).chars().next().map_or(0, char::len_utf8)
    }

    /// The start of the word before `at`; a word is a run of letters and digits.
    pub(super) fn word_left(&self, at: usize) -> usize {
        let word = self.before(at).trim_end_matches(|c: char| !c.is_alphanumeric());
        word.trim_end_matches(char::is_alphanumeric).len()
    }

    /// The end of the word after `at`.
    pub(super) fn word_right(&self, at: usize) -> usize {
        let word = self.after(at).trim_start_matches(|c: char| !c.is_alphanumeric());
        self.len - word.trim_start_matches(char::is_alphanumeric).len()
    }

    /// Where what stands between blanks begins that ends at `at`: `at` itself behind a blank.
    pub(super) fn argument_start(&self, at: usize) -> usize {
        // The blank may be one of Unicode's, of more than one byte.
        let before = self.before(at);
        before.char_indices().rev().find(|(_, c)| c.is_whitespace()).map_or(0, |(i, c)| i + c.len_utf8())
    }

    /// The part before `at`.
    pub(super) fn before(&self, at: usize) -> &str {
        &self.as_str()[..at]
    }

    /// The part from `at` on.
    pub(super) fn after(&self, at: usize) -> &str {
        &self.as_str()[at..]
    }
}
