//! One record's text: a buffer that grows, within bounds and fallibly.

use alloc::vec::Vec;
use core::fmt;

/// Bytes of the longest record.
pub const RECORD_MAX: usize = 4 << 20;
/// What is asked for first.
const FIRST: usize = 256;

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The heap has refused.
    NoMemory,
    /// Longer than [`RECORD_MAX`].
    TooLong,
}

/// The buffer. After a write that did not fit nothing more goes in, so that whoever writes may leave it at that.
#[derive(Default)]
pub struct Text {
    bytes: Vec<u8>,
    trouble: Option<Trouble>,
}

impl Text {
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), trouble: None }
    }

    /// Appends bytes as they are: names of files are no UTF-8.
    pub fn push(&mut self, bytes: &[u8]) -> fmt::Result {
        let trouble = if self.trouble.is_some() {
            self.trouble
        } else if bytes.len() > RECORD_MAX - self.bytes.len() {
            Some(Trouble::TooLong)
        } else {
            let more = bytes.len().max(if self.bytes.capacity() == 0 { FIRST } else { 0 });
            self.bytes.try_reserve(more).err().map(|_| Trouble::NoMemory)
        };
        self.trouble = trouble;
        if trouble.is_some() {
            return Err(fmt::Error);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What went wrong since it was emptied.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble
    }

    /// For the next record. The memory is kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.trouble = None;
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_remembered_until_it_is_emptied() {
        let mut text = Text::new();
        assert!(text.push(&vec![b'x'; RECORD_MAX]).is_ok() && text.push(b"").is_ok());
        assert!(text.push(b"y").is_err());
        assert!(text.push(b"").is_err(), "the record has a hole from here on");
        assert_eq!((text.trouble(), text.bytes().len()), (Some(Trouble::TooLong), RECORD_MAX));
        text.clear();
        assert!(text.push(b"z").is_ok());
        assert_eq!((text.trouble(), text.bytes()), (None, &b"z"[..]));
    }
}
