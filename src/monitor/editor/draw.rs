//! What the editor sends to the terminal: text, blanks, backspaces and the bell.
//!
//! Output cannot fail in a way that the editor could mend, so errors are dropped, in this file only.

use core::fmt::Write;

pub(super) const BEL: char = '\x07';
pub(super) const BS: char = '\x08';

pub(super) fn put(out: &mut dyn Write, text: &str) {
    if !text.is_empty() {
        let _ = out.write_str(text);
    }
}

pub(super) fn repeat(out: &mut dyn Write, what: char, count: usize) {
    for _ in 0..count {
        let _ = out.write_char(what);
    }
}

pub(super) fn ring(out: &mut dyn Write) {
    repeat(out, BEL, 1);
}

/// Backspaces over `text`.
pub(super) fn back(out: &mut dyn Write, text: &str) {
    repeat(out, BS, text.chars().count());
}
