//! Reading little-endian fields at any offset of any slice, and the structures that follow one another.
//!
//! Every other module here reads through these. A field that is not wholly inside the slice is `None`.

/// `N` bytes at `at`, if the slice has them.
pub(super) fn bytes_at<const N: usize>(raw: &[u8], at: usize) -> Option<[u8; N]> {
    raw.get(at..)?.first_chunk().copied()
}

pub(super) fn u8_at(raw: &[u8], at: usize) -> Option<u8> {
    raw.get(at).copied()
}

pub(super) fn u16_at(raw: &[u8], at: usize) -> Option<u16> {
    bytes_at(raw, at).map(u16::from_le_bytes)
}

pub(super) fn u32_at(raw: &[u8], at: usize) -> Option<u32> {
    bytes_at(raw, at).map(u32::from_le_bytes)
}

pub(super) fn u64_at(raw: &[u8], at: usize) -> Option<u64> {
    bytes_at(raw, at).map(u64::from_le_bytes)
}

/// All bytes added up, modulo 256: 0 for a table whose checksum is right.
pub(super) fn sum(raw: &[u8]) -> u8 {
    raw.iter().fold(0, |sum, &byte| sum.wrapping_add(byte))
}

/// One of the structures behind the fixed part of a MADT or SRAT, not interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Structure<'a> {
    /// Its first byte, counted from the table's.
    pub offset: usize,
    /// Byte 0.
    pub kind: u8,
    /// All of it, type and length included; at least two bytes.
    pub bytes: &'a [u8],
}

/// Walks structures that begin with a type byte and a length byte.
///
/// It ends where the table does, at a length below 2, which leads nowhere, and at a structure that would
/// reach past the table.
#[derive(Clone, Copy, Debug)]
pub struct Structures<'a> {
    table: &'a [u8],
    offset: usize,
}

impl<'a> Structures<'a> {
    pub(super) const fn new(table: &'a [u8], offset: usize) -> Self {
        Self { table, offset }
    }

    /// Bytes not walked yet. Once the iterator has ended: those that make no structure.
    pub fn rest(&self) -> usize {
        self.table.len().saturating_sub(self.offset)
    }
}

impl<'a> Iterator for Structures<'a> {
    type Item = Structure<'a>;

    fn next(&mut self) -> Option<Structure<'a>> {
        let rest = self.table.get(self.offset..)?;
        let &[kind, len, ..] = rest else { return None };
        let bytes = rest.get(..usize::from(len)).filter(|bytes| bytes.len() >= 2)?;
        let offset = self.offset;
        self.offset = offset.checked_add(bytes.len())?;
        Some(Structure { offset, kind, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_at_the_edge() {
        let raw = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(u8_at(&raw, 8), Some(9));
        assert_eq!(u8_at(&raw, 9), None);
        assert_eq!(u16_at(&raw, 7), Some(0x0908));
        assert_eq!(u16_at(&raw, 8), None);
        assert_eq!(u32_at(&raw, 5), Some(0x0908_0706));
        assert_eq!(u32_at(&raw, 6), None);
        assert_eq!(u64_at(&raw, 1), Some(0x0908_0706_0504_0302));
        assert_eq!(u64_at(&raw, 2), None);
        assert_eq!(u64_at(&raw, usize::MAX), None);
    }

    fn walk(table: &[u8]) -> (Vec<(usize, u8, usize)>, usize) {
        let mut structures = Structures::new(table, 1);
        let found = structures.by_ref().map(|s| (s.offset, s.kind, s.bytes.len())).collect();
        (found, structures.rest())
    }

    #[test]
    fn structures_end_where_they_must() {
        assert_eq!(walk(&[9, 7, 2, 8, 3, 0]), (vec![(1, 7, 2), (3, 8, 3)], 0));
        assert_eq!(walk(&[9, 7, 2, 8, 0, 1, 2]), (vec![(1, 7, 2)], 4), "length 0");
        assert_eq!(walk(&[9, 7, 2, 8, 1, 1, 2]), (vec![(1, 7, 2)], 4), "length 1");
        assert_eq!(walk(&[9, 7, 2, 8, 4, 0]), (vec![(1, 7, 2)], 3), "past the end");
        assert_eq!(walk(&[9, 7, 2, 8]), (vec![(1, 7, 2)], 1), "half a header");
        assert_eq!(walk(&[]), (vec![], 0));
    }
}
