//! The pieces of byte code that the scans need: package lengths, names, integers, packages.
//!
//! A [`Cursor`] moves forward only and cannot leave its slice; each reading either succeeds as a whole or the
//! cursor is of no further use.
//!
//! Source: ACPI 6.5 §20.2.2 Name Objects, §20.2.3 Data Objects, §20.2.4 Package Length.

use core::fmt;

use super::super::bytes::bytes_at;

pub const ZERO_OP: u8 = 0x00;
pub const ONE_OP: u8 = 0x01;
pub const NAME_OP: u8 = 0x08;
const BYTE_PREFIX: u8 = 0x0A;
const WORD_PREFIX: u8 = 0x0B;
const DWORD_PREFIX: u8 = 0x0C;
const QWORD_PREFIX: u8 = 0x0E;
pub const SCOPE_OP: u8 = 0x10;
pub const PACKAGE_OP: u8 = 0x12;
const VAR_PACKAGE_OP: u8 = 0x13;
pub const METHOD_OP: u8 = 0x14;
const DUAL_NAME_PREFIX: u8 = 0x2E;
const MULTI_NAME_PREFIX: u8 = 0x2F;
pub const EXT_OP_PREFIX: u8 = 0x5B;
const ROOT_CHAR: u8 = b'\\';
const PARENT_CHAR: u8 = b'^';
pub const DEVICE_OP: u8 = 0x82;
pub const ONES_OP: u8 = 0xFF;

/// Segments of a name that are kept; the last ones of a longer name.
pub const NAME_MAX: usize = 8;

/// A position in byte code.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    aml: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub const fn new(aml: &'a [u8], at: usize) -> Self {
        Self { aml, at }
    }

    pub const fn at(&self) -> usize {
        self.at
    }

    fn peek(&self) -> Option<u8> {
        self.aml.get(self.at).copied()
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.bytes().map(|[byte]| byte)
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = bytes_at(self.aml, self.at)?;
        self.at += N;
        Some(bytes)
    }

    /// A PkgLength: where the thing that it measures ends. It counts from its own first byte on.
    pub fn end(&mut self) -> Option<usize> {
        let start = self.at;
        let lead = self.byte()?;
        let len = match lead >> 6 {
            0 => usize::from(lead & 0x3F),
            // Bits 4 and 5 must be 0 in the longer forms, which tells many a stray byte from a length.
            _ if lead & 0x30 != 0 => return None,
            more => {
                let mut len = usize::from(lead & 0xF);
                for n in 0..more {
                    len |= usize::from(self.byte()?) << (4 + 8 * n);
                }
                len
            }
        };
        let end = start.checked_add(len)?;
        (self.at <= end && end <= self.aml.len()).then_some(end)
    }

    /// An integer constant. Ones is all 64 bits, as in tables from revision 2 on.
    pub fn integer(&mut self) -> Option<u64> {
        Some(match self.byte()? {
            ZERO_OP => 0,
            ONE_OP => 1,
            ONES_OP => u64::MAX,
            BYTE_PREFIX => self.byte()?.into(),
            WORD_PREFIX => u16::from_le_bytes(self.bytes()?).into(),
            DWORD_PREFIX => u32::from_le_bytes(self.bytes()?).into(),
            QWORD_PREFIX => u64::from_le_bytes(self.bytes()?),
            _ => return None,
        })
    }

    /// A NameString.
    pub fn name(&mut self) -> Option<Name> {
        let mut name = Name { is_absolute: false, parents: 0, segments: [[0; 4]; NAME_MAX], len: 0 };
        if self.peek()? == ROOT_CHAR {
            self.at += 1;
            name.is_absolute = true;
        } else {
            while self.peek()? == PARENT_CHAR {
                self.at += 1;
                name.parents = name.parents.saturating_add(1);
            }
        }
        let count = match self.peek()? {
            ZERO_OP => {
                self.at += 1;
                return Some(name);
            }
            DUAL_NAME_PREFIX => {
                self.at += 1;
                2
            }
            MULTI_NAME_PREFIX => {
                self.at += 1;
                self.byte()?
            }
            _ => 1,
        };
        for _ in 0..count {
            let segment: [u8; 4] = self.bytes()?;
            is_segment(&segment).then_some(())?;
            name.push(segment);
        }
        (count > 0).then_some(name)
    }

    /// The head of a Package or VarPackage with a constant number of elements: the number that it says it
    /// has, and a cursor over those that are written down. There may be fewer of these; the rest is empty.
    pub fn package(&mut self) -> Option<(u64, Cursor<'a>)> {
        let op = self.byte()?;
        if op != PACKAGE_OP && op != VAR_PACKAGE_OP {
            return None;
        }
        let end = self.end()?;
        let mut inside = Self { aml: self.aml.get(..end)?, at: self.at };
        let count = if op == PACKAGE_OP { inside.byte()?.into() } else { inside.integer()? };
        self.at = end;
        Some((count, inside))
    }
}

/// Whether four bytes are a NameSeg: a letter or underscore, then also digits.
pub fn is_segment(bytes: &[u8; 4]) -> bool {
    let [first, rest @ ..] = bytes;
    let is_lead = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    is_lead(*first) && rest.iter().all(|&byte| is_lead(byte) || byte.is_ascii_digit())
}

/// A name as it stands in the byte code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// Begins at the root.
    pub is_absolute: bool,
    /// How many levels to go up first.
    pub parents: u8,
    segments: [[u8; 4]; NAME_MAX],
    len: u8,
}

impl Name {
    /// The segments, outermost first.
    pub fn segments(&self) -> &[[u8; 4]] {
        self.segments.get(..self.len.into()).unwrap_or_default()
    }

    /// The last segment.
    pub fn last(&self) -> Option<[u8; 4]> {
        self.segments().last().copied()
    }

    fn push(&mut self, segment: [u8; 4]) {
        if usize::from(self.len) == NAME_MAX {
            self.segments.rotate_left(1);
            self.len -= 1;
        }
        if let Some(slot) = self.segments.get_mut(usize::from(self.len)) {
            *slot = segment;
            self.len += 1;
        }
    }

    /// The root.
    pub(super) const ROOT: Self =
        Self { is_absolute: true, parents: 0, segments: [[0; 4]; NAME_MAX], len: 0 };

    /// The name `inner`, said inside of what `self` names.
    pub(super) fn join(&self, inner: &Self) -> Self {
        if inner.is_absolute {
            return *inner;
        }
        let mut joined = *self;
        joined.len = joined.len.saturating_sub(inner.parents);
        inner.segments().iter().for_each(|&segment| joined.push(segment));
        joined
    }

    /// Without the last segment.
    pub(super) fn parent(&self) -> Self {
        Self { len: self.len.saturating_sub(1), ..*self }
    }
}

impl fmt::Display for Name {
    /// As ASL writes it, trailing underscores kept: `\_SB_.PCI0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_absolute {
            f.write_str("\\")?;
        }
        for _ in 0..self.parents {
            f.write_str("^")?;
        }
        for (n, segment) in self.segments().iter().enumerate() {
            f.write_str(if n > 0 { "." } else { "" })?;
            super::super::sdt::Text(segment).fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(aml: &[u8]) -> Option<usize> {
        Cursor::new(aml, 0).end()
    }

    #[test]
    fn package_lengths() {
        let long = |lead: &[u8]| [lead, &vec![0; 0x40_0000][..]].concat();
        assert_eq!(end(&[0x01]), Some(1));
        assert_eq!(end(&long(&[0x3F])), Some(0x3F));
        assert_eq!(end(&long(&[0x45, 0x12])), Some(0x125));
        assert_eq!(end(&long(&[0x85, 0x12, 0x34])), Some(0x34125));
        assert_eq!(end(&long(&[0xC5, 0x12, 0x34, 0x00])), Some(0x34125));
        assert_eq!(end(&long(&[0xC5, 0x12, 0x34, 0xFF])), None, "past the end");
        assert_eq!(end(&long(&[0x55, 0x12])), None, "reserved bits");
        assert_eq!(end(&[0x00]), None, "less than itself");
        assert_eq!(end(&[0x41, 0x00]), None, "less than itself");
        assert_eq!(end(&[0x02]), None);
        assert_eq!(end(&[0x85, 0x12]), None);
        assert_eq!(end(&[]), None);
    }

    #[test]
    fn integers() {
        let integer = |aml: &[u8]| Cursor::new(aml, 0).integer();
        assert_eq!(integer(&[0x00]), Some(0));
        assert_eq!(integer(&[0x01]), Some(1));
        assert_eq!(integer(&[0xFF]), Some(u64::MAX));
        assert_eq!(integer(&[0x0A, 5]), Some(5));
        assert_eq!(integer(&[0x0B, 5, 6]), Some(0x605));
        assert_eq!(integer(&[0x0C, 5, 6, 7, 8]), Some(0x0807_0605));
        assert_eq!(integer(&[0x0E, 1, 0, 0, 0, 0, 0, 0, 2]), Some(0x0200_0000_0000_0001));
        for cut in [&[0x0A][..], &[0x0B, 5], &[0x0C, 5, 6, 7], &[0x0E, 1, 2, 3, 4, 5, 6, 7], &[], &[0x0D]] {
            assert_eq!(integer(cut), None);
        }
    }

    fn name(aml: &[u8]) -> Option<(String, usize)> {
        let mut cursor = Cursor::new(aml, 0);
        let name = cursor.name()?;
        Some((std::format!("{name}"), cursor.at()))
    }

    #[test]
    fn names() {
        let found = |aml: &[u8]| name(aml).map(|(name, at)| (name, at == aml.len()));
        let is = |text: &str| Some((text.to_owned(), true));
        assert_eq!(found(b"_S5_"), is("_S5_"));
        assert_eq!(found(b"\\_S5_"), is("\\_S5_"));
        assert_eq!(found(b"^^LNKA"), is("^^LNKA"));
        assert_eq!(found(b"\\\x2e_SB_PCI0"), is("\\_SB_.PCI0"));
        assert_eq!(found(b"\x2f\x03_SB_PCI0_PRT"), is("_SB_.PCI0._PRT"));
        assert_eq!(found(b"\\\0"), is("\\"));
        assert_eq!(found(b"\x2f\x09AAA1AAA2AAA3AAA4AAA5AAA6AAA7AAA8AAA9").unwrap().0.len(), 8 * 5 - 1);
        for bad in [&b"_S5"[..], b"1ABC", b"abcd", b"\x2f\0", b"\x2f\x02AAAA", b"\x2eAAAA", b"\\", b"^", b""]
        {
            assert_eq!(name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn joining() {
        let parse = |aml: &[u8]| Cursor::new(aml, 0).name().unwrap();
        let scope = parse(b"\\\x2e_SB_PCI0");
        let joined = |inner: &[u8]| std::format!("{}", scope.join(&parse(inner)));
        assert_eq!(joined(b"ISA_"), "\\_SB_.PCI0.ISA_");
        assert_eq!(joined(b"^ISA_"), "\\_SB_.ISA_");
        assert_eq!(joined(b"^^^^ISA_"), "\\ISA_");
        assert_eq!(joined(b"\\ISA_"), "\\ISA_");
        assert_eq!(std::format!("{}", scope.parent()), "\\_SB_");
    }

    #[test]
    fn packages() {
        let mut cursor = Cursor::new(&[0x12, 0x04, 0x03, 0x01, 0x00, 0xEE], 0);
        let (count, mut inside) = cursor.package().unwrap();
        assert_eq!((count, cursor.at()), (3, 5));
        assert_eq!([inside.integer(), inside.integer(), inside.integer()], [Some(1), Some(0), None]);
        let (count, inside) = Cursor::new(&[0x13, 0x05, 0x0B, 0, 1, 0], 0).package().unwrap();
        assert_eq!((count, inside.at()), (256, 5));
        assert!(Cursor::new(&[0x13, 0x03, 0x60, 0], 0).package().is_none(), "a variable number");
        assert!(Cursor::new(&[0x11, 0x02, 0x00], 0).package().is_none(), "a buffer");
    }
}
