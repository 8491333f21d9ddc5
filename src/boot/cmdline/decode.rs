//! From the bytes that carry a command line to one line of text.
//!
//! The loader calls [`decode`] on `\cmdline.txt` and [`load_options`] on what the firmware passes to it. Both
//! write UTF-8 to a buffer of the caller's. Files come from every editor there is, and load options may hold
//! anything at all, so the first job is to tell text from what is none; a mistake there is worse than an empty
//! command line.
//!
//! Source of the load options' form: UEFI 2.10 §3.1.3 and §9.1 (LoadOptions).

#[cfg(test)]
mod tests;

use core::fmt;

use super::options;
use super::words::{Param, Words};

/// Most bytes of a command line; the rest is cut off with a warning.
pub const MAX_LEN: usize = 4096;

/// A command line as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// One line without blanks around it.
    pub text: &'a str,
    /// The gravest thing there is to say about it.
    pub warning: Option<Warning>,
}

/// What was not as it should be, from the least to the most grave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// UTF-16 instead of UTF-8.
    Utf16,
    /// There is more text after the first line.
    MoreLines,
    /// Longer than the limit, in bytes.
    TooLong { limit: usize },
    /// Not text, as the byte at this offset shows.
    Binary { offset: usize },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utf16 => write!(f, "in UTF-16; UTF-8 would be right"),
            Self::MoreLines => write!(f, "more than one line; only the first counts"),
            Self::TooLong { limit } => {
                write!(f, "longer than {limit} bytes; cut at the last blank before that")
            }
            Self::Binary { offset } => {
                write!(f, "not text, as byte {offset} shows; all of it is ignored")
            }
        }
    }
}

/// Turns the content of `\cmdline.txt` into text, written to `out`.
///
/// UTF-8 with or without a byte order mark, or UTF-16 with one. A control character, a zero byte or a
/// malformed sequence anywhere makes the whole file binary: half a command line may mean the opposite of
/// the whole one. A caller that reads only the start of a huge file may pass that if it is longer than
/// [`MAX_LEN`]: then a character may be incomplete at the end.
pub fn decode<'o>(raw: &[u8], out: &'o mut [u8]) -> Decoded<'o> {
    match *raw {
        [0xFF, 0xFE, ref rest @ ..] => {
            first_line(utf16(rest, 2, u16::from_le_bytes), out, Some(Warning::Utf16))
        }
        [0xFE, 0xFF, ref rest @ ..] => {
            first_line(utf16(rest, 2, u16::from_be_bytes), out, Some(Warning::Utf16))
        }
        [0xEF, 0xBB, 0xBF, ref rest @ ..] => first_line(utf8(rest, 3), out, None),
        _ => first_line(utf8(raw, 0), out, None),
    }
}

/// Finds a command line in UEFI load options, "less an image name"; `None` if there is none.
///
/// The UEFI Shell passes all that was typed, so the first word is dropped if it looks like the program's
/// name. A boot manager passes whatever bytes the boot option carries, and OVMF marks the options that it
/// makes by itself with a GUID: those eight units are all valid UTF-16. So text must be ASCII for the
/// better part, as our options are. It ends at a zero unit or at the line's end.
pub fn load_options<'o>(raw: &[u8], out: &'o mut [u8]) -> Option<Decoded<'o>> {
    if raw.len() % 2 != 0 {
        return None;
    }
    let raw = raw.strip_prefix(&[0xFF, 0xFE]).unwrap_or(raw);
    let units = raw.chunks_exact(2);
    let ends = |unit: &[u8]| matches!(*unit, [0 | b'\r' | b'\n', 0]);
    let len = units.clone().position(ends).unwrap_or(units.len()) * 2;
    let line = raw.get(..len)?;

    let Decoded { text, warning } = first_line(utf16(line, 0, u16::from_le_bytes), out, None);
    if matches!(warning, Some(Warning::Binary { .. })) {
        return None;
    }
    let text = without_image_name(text);
    let (all, ascii) = text.chars().fold((0usize, 0usize), |(all, ascii), c| {
        (all.saturating_add(1), ascii.saturating_add(c.is_ascii().into()))
    });
    (!text.is_empty() && ascii >= all.div_ceil(2)).then_some(Decoded { text, warning })
}

/// Drops the first word if it is a path or ends in ".efi". A known option never is: `initrd=\file` is
/// what boot entries made for Linux begin with.
fn without_image_name(text: &str) -> &str {
    let mut words = Words::new(text);
    let Some(word) = words.next() else {
        return text;
    };
    let name = word.trim_matches('"');
    let suffix = name.len().checked_sub(4).and_then(|at| name.get(at..));
    let is_efi = suffix.is_some_and(|s| s.eq_ignore_ascii_case(".efi"));
    if (is_efi || name.contains('\\')) && options::find(Param::parse(word).key).is_none() {
        words.rest().trim_start_matches(is_blank)
    } else {
        text
    }
}

/// A character and the offset of its first byte, or the offset of what is no character.
type Char = Result<(usize, char), usize>;

fn utf8(raw: &[u8], skipped: usize) -> impl Iterator<Item = Char> {
    let chunks = raw.utf8_chunks().scan(skipped, move |at, chunk| {
        let start = *at;
        let bad = start.saturating_add(chunk.valid().len());
        *at = bad.saturating_add(chunk.invalid().len());
        // Only a read that stopped early ends within a character that has begun well.
        let cut_off = raw.len() > MAX_LEN
            && at.saturating_sub(skipped) == raw.len()
            && core::str::from_utf8(chunk.invalid()).is_err_and(|e| e.error_len().is_none());
        let error = (!chunk.invalid().is_empty() && !cut_off).then_some(Err(bad));
        let chars = chunk.valid().char_indices();
        Some(chars.map(move |(i, c)| Ok((start.saturating_add(i), c))).chain(error))
    });
    chunks.flatten()
}

fn utf16(raw: &[u8], skipped: usize, unit: fn([u8; 2]) -> u16) -> impl Iterator<Item = Char> {
    let pairs = raw.chunks_exact(2);
    let is_odd = !pairs.remainder().is_empty();
    let is_long = raw.len() > MAX_LEN;
    let last = raw.len() & !1;
    let units = pairs.map(move |pair| unit([pair[0], pair[1]]));
    let mut at = 0usize;
    let chars = char::decode_utf16(units).filter_map(move |unit| {
        let start = at;
        at = at.saturating_add(unit.as_ref().map_or(2, |c| c.len_utf16() * 2));
        match unit {
            Ok(c) => Some(Ok((skipped.saturating_add(start), c))),
            // The first half of a pair, whose second half was not read.
            Err(e) if is_long && at == last && e.unpaired_surrogate() < 0xDC00 => None,
            Err(_) => Some(Err(skipped.saturating_add(start))),
        }
    });
    chars.chain((is_odd && !is_long).then_some(Err(skipped.saturating_add(last))))
}

/// Writes the first line to `out`, in UTF-8, and looks through the rest of the text.
fn first_line(chars: impl Iterator<Item = Char>, out: &mut [u8], warning: Option<Warning>) -> Decoded<'_> {
    let limit = out.len().min(MAX_LEN);
    let mut warning = warning;
    let mut len = 0; // bytes written
    let mut words = 0; // bytes up to the end of the last word that is surely complete
    let mut quoted = false;
    let mut full = false; // something did not fit, so nothing more is written
    let mut ended = false; // the first line is over

    for c in chars {
        let c = match c {
            Ok((_, c)) if !c.is_control() || matches!(c, '\t' | '\n' | '\r') => c,
            Ok((offset, _)) | Err(offset) => {
                return Decoded { text: "", warning: Some(Warning::Binary { offset }) };
            }
        };
        match c {
            '\n' | '\r' => ended = true,
            _ if ended => {
                if !is_blank(c) {
                    warning = warning.max(Some(Warning::MoreLines));
                }
            }
            _ if is_blank(c) && len == 0 => {}
            _ => {
                if is_blank(c) && !quoted && !full {
                    words = len;
                }
                quoted ^= c == '"';
                match out.get_mut(len..limit).filter(|room| !full && room.len() >= c.len_utf8()) {
                    Some(room) => len += c.encode_utf8(room).len(),
                    None => {
                        full = true;
                        // Blanks at the line's end are dropped anyhow.
                        if !is_blank(c) {
                            warning = warning.max(Some(Warning::TooLong { limit }));
                        }
                    }
                }
            }
        }
    }

    let cut = matches!(warning, Some(Warning::TooLong { .. }));
    let written = out.get(..if cut { words } else { len }).unwrap_or_default();
    // Only whole characters were written, so this cannot fail.
    let text = core::str::from_utf8(written).unwrap_or_default();
    Decoded { text: text.trim_matches(is_blank), warning }
}

pub(super) fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}
