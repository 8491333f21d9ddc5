//! The SLIT: how far the SRAT's domains are from each other, as a square of bytes; 10 is "here", 255 "never".
//!
//! Source: ACPI 6.5 §5.2.17 System Locality Information Table.

use super::bytes::{u8_at, u64_at};
use super::sdt::{Signature, Table, TableError};

/// Offset of the first distance.
const DISTANCES: usize = 44;

/// A SLIT whose square is wholly in the table.
#[derive(Clone, Copy, Debug)]
pub struct Slit<'a> {
    raw: &'a [u8],
    localities: usize,
}

impl<'a> Slit<'a> {
    pub fn parse(table: &Table<'a>) -> Result<Self, TableError> {
        let raw = table.expect(Signature::SLIT, DISTANCES)?;
        let count = u64_at(raw, 36).and_then(|count| usize::try_from(count).ok());
        let end = |n: usize| n.checked_mul(n)?.checked_add(DISTANCES);
        match count.filter(|&n| end(n).is_some_and(|end| end <= raw.len())) {
            Some(localities) => Ok(Self { raw, localities }),
            None => Err(TableError::Field("number of localities")),
        }
    }

    /// How many domains the square is about.
    pub const fn localities(&self) -> usize {
        self.localities
    }

    /// The distance from one domain to another.
    pub fn distance(&self, from: usize, to: usize) -> Option<u8> {
        if from >= self.localities || to >= self.localities {
            return None;
        }
        u8_at(self.raw, from.checked_mul(self.localities)?.checked_add(to)?.checked_add(DISTANCES)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acpi::sdt::made;

    fn with<T>(count: u64, distances: &[u8], test: impl FnOnce(Result<Slit, TableError>) -> T) -> T {
        let raw = made(Signature::SLIT, 1, &[&count.to_le_bytes()[..], distances].concat());
        test(Slit::parse(&Table::parse(&raw, 0).unwrap()))
    }

    #[test]
    fn square() {
        with(2, &[10, 21, 31, 10], |slit| {
            let slit = slit.unwrap();
            let at = |from, to| slit.distance(from, to);
            assert_eq!([at(0, 0), at(0, 1), at(1, 0), at(1, 1)], [Some(10), Some(21), Some(31), Some(10)]);
            assert_eq!([at(2, 0), at(0, 2), at(usize::MAX, usize::MAX)], [None; 3]);
        });
        with(0, &[], |slit| assert_eq!(slit.unwrap().distance(0, 0), None));
    }

    #[test]
    fn not_wholly_there() {
        for count in [3, 1 << 32, u64::MAX] {
            let error = with(count, &[10; 8], |slit| slit.map(|_| ()).unwrap_err());
            assert_eq!(error, TableError::Field("number of localities"));
        }
    }
}
