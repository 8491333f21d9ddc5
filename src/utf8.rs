//! UTF-8 that comes byte by byte, or that must be cut to a length.
//!
//! For both ends of a terminal, the console that shows text and the line editor that reads it, and for the log,
//! whose records have a limit. Pure; uses nothing of the crate, so that every layer may use it.
//!
//! Source: the Unicode Standard, chapter 3, table 3-7 "Well-Formed UTF-8 Byte Sequences".

/// Bytes that are no character.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed;

/// Puts characters together. All zero at the start.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// A sequence that has not ended yet: its bytes so far, and how many it will have.
    bytes: [u8; 4],
    len: u8,
    want: u8,
}

impl Decoder {
    pub const fn new() -> Self {
        Self { bytes: [0; 4], len: 0, want: 0 }
    }

    /// True if a sequence has begun and not ended.
    pub const fn is_within(&self) -> bool {
        self.len > 0
    }

    /// Forgets an unfinished sequence if `byte` cannot be part of it; tells whether there was one. A caller for
    /// whom that is nothing to speak of leaves it to [`Self::feed`].
    pub fn is_cut_short_by(&mut self, byte: u8) -> bool {
        let is_cut = self.is_within() && byte & 0xc0 != 0x80;
        if is_cut {
            self.len = 0;
        }
        is_cut
    }

    /// Takes a byte: a character when its last byte is here, an error where no character can come of it,
    /// `None` in between. Overlong forms and surrogates are found out at their end.
    pub fn feed(&mut self, byte: u8) -> Option<Result<char, Malformed>> {
        self.is_cut_short_by(byte);
        if self.len == 0 {
            self.want = match byte {
                0x00..=0x7f => return Some(Ok(char::from(byte))),
                0xc2..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf4 => 4,
                _ => return Some(Err(Malformed)),
            };
        }
        self.bytes[usize::from(self.len)] = byte;
        self.len += 1;
        if self.len < self.want {
            return None;
        }
        let sequence = &self.bytes[..usize::from(self.len)];
        self.len = 0;
        let text = core::str::from_utf8(sequence).ok();
        Some(text.and_then(|text| text.chars().next()).ok_or(Malformed))
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The last character boundary at or before `at` in bytes that came from a `str`.
pub fn floor_boundary(bytes: &[u8], at: usize) -> usize {
    if at >= bytes.len() {
        return bytes.len();
    }
    (0..=at).rev().find(|&i| bytes[i] & 0xc0 != 0x80).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn every_character_comes_back() {
        let mut decoder = Decoder::new();
        for c in '\0'..=char::MAX {
            let mut buffer = [0; 4];
            let (last, first) = c.encode_utf8(&mut buffer).as_bytes().split_last().unwrap();
            assert!(first.iter().all(|&byte| decoder.feed(byte).is_none()));
            assert_eq!(decoder.feed(*last), Some(Ok(c)));
        }
    }

    /// Mostly lead and continuation bytes. What is well-formed in them, by the standard library's word, comes out
    /// in order, and nothing else.
    #[test]
    fn noise_gives_its_characters_only() {
        let mut random = Random::new(10);
        let (mut characters, mut malformed) = (0u32, 0u32);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random.index(12))
                .map(|_| match random.below(8) {
                    0 => 0x20 + random.byte() % 0x60,
                    1 => random.byte(),
                    2..=4 => 0x80 + random.byte() % 0x40,
                    _ => random.pick(&[0xc3, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf4]),
                })
                .collect();
            let mut decoder = Decoder::new();
            let mut found = String::new();
            for &byte in &bytes {
                match decoder.feed(byte) {
                    Some(Ok(c)) => found.push(c),
                    Some(Err(Malformed)) => malformed += 1,
                    None => assert!(decoder.is_within()),
                }
            }
            let expected: String = bytes.utf8_chunks().map(|chunk| chunk.valid()).collect();
            assert_eq!(found, expected, "{bytes:x?}");
            characters += found.chars().count() as u32;
        }
        assert!(characters > 10_000 && malformed > 10_000, "{characters} {malformed}");
    }

    #[test]
    fn a_cut_sequence_is_told_once() {
        let mut decoder = Decoder::new();
        assert!(!decoder.is_cut_short_by(b'a'));
        assert_eq!(decoder.feed(0xe2), None);
        assert!(!decoder.is_cut_short_by(0x86) && decoder.is_cut_short_by(b'a'));
        assert!(!decoder.is_cut_short_by(b'a') && !decoder.is_within());
    }

    #[test]
    fn boundaries() {
        let text = "aé→😀";
        for at in 0..=text.len() + 1 {
            let floor = floor_boundary(text.as_bytes(), at);
            assert!(floor <= at && text.is_char_boundary(floor));
            assert!((floor + 1..=at.min(text.len())).all(|i| !text.is_char_boundary(i)));
        }
    }
}
