//! The header that every table begins with, and the two checks that come before any other: length and
//! checksum.
//!
//! A [`Table`] is a slice of exactly the length that its header states, whose bytes add up to 0. The modules
//! that decode one kind of table take a `Table` and say with a [`TableError`] why it is not theirs.
//!
//! Source: ACPI 6.5 §5.2.6 System Description Table Header.

use core::fmt;

use super::bytes::{bytes_at, sum, u8_at, u32_at};
use super::memory::PhysicalMemory;

/// Bytes of the header.
pub const HEADER_SIZE: usize = 36;
/// A longer table is a broken length: the largest real DSDTs have half a megabyte.
pub const LENGTH_MAX: usize = 4 << 20;

/// The four letters that say what a table is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 4]);

impl Signature {
    pub const DSDT: Self = Self(*b"DSDT");
    pub const FADT: Self = Self(*b"FACP");
    pub const HPET: Self = Self(*b"HPET");
    pub const MADT: Self = Self(*b"APIC");
    pub const MCFG: Self = Self(*b"MCFG");
    pub const RSDT: Self = Self(*b"RSDT");
    pub const SLIT: Self = Self(*b"SLIT");
    pub const SRAT: Self = Self(*b"SRAT");
    pub const SSDT: Self = Self(*b"SSDT");
    pub const XSDT: Self = Self(*b"XSDT");
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text(&self.0).fmt(f)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Letters out of a table, made safe for a terminal; zeros behind them are left out.
pub(super) struct Text<'a>(pub &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.0.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let letters = self.0.iter().take(len).map(|&b| if matches!(b, b' '..=b'~') { b.into() } else { '.' });
        letters.into_iter().try_for_each(|letter| fmt::Write::write_char(f, letter))
    }
}

/// Why a table is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// The list of tables has address 0 in this place.
    Null,
    /// Its memory, as far as the length says, cannot be read.
    Unreadable,
    /// The length is less than a header, or more than [`LENGTH_MAX`].
    Length(u32),
    /// All bytes add up to this instead of 0.
    Checksum(u8),
    /// Another table than the one that belongs there.
    Signature(Signature),
    /// It ends before the fields that every revision has.
    Short { length: usize, needed: usize },
    /// A field without which the table says nothing has a value that cannot be.
    Field(&'static str),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Null => write!(f, "its address is 0"),
            Self::Unreadable => write!(f, "its memory cannot be read"),
            Self::Length(length) => write!(f, "it cannot be {length} bytes long"),
            Self::Checksum(sum) => write!(f, "its bytes add up to {sum:#04x}, not 0"),
            Self::Signature(found) => write!(f, "it is another table, {found}"),
            Self::Short { length, needed } => write!(f, "{length} bytes, {needed} needed"),
            Self::Field(what) => write!(f, "wrong {what}"),
        }
    }
}

impl core::error::Error for TableError {}

/// The header, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub signature: Signature,
    /// Bytes of the whole table.
    pub length: u32,
    /// Of this table's layout, not of ACPI.
    pub revision: u8,
    pub oem_id: [u8; 6],
    pub oem_table_id: [u8; 8],
    pub oem_revision: u32,
    pub creator_id: [u8; 4],
    pub creator_revision: u32,
}

impl Header {
    fn parse(raw: &[u8]) -> Option<Self> {
        Some(Self {
            signature: Signature(bytes_at(raw, 0)?),
            length: u32_at(raw, 4)?,
            revision: u8_at(raw, 8)?,
            oem_id: bytes_at(raw, 10)?,
            oem_table_id: bytes_at(raw, 16)?,
            oem_revision: u32_at(raw, 24)?,
            creator_id: bytes_at(raw, 28)?,
            creator_revision: u32_at(raw, 32)?,
        })
    }
}

/// A table that passed both checks.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    raw: &'a [u8],
    header: Header,
    phys: u64,
}

impl<'a> Table<'a> {
    /// Reads the table at the start of `raw`, which may be longer than it. `phys` is only remembered.
    pub fn parse(raw: &'a [u8], phys: u64) -> Result<Self, TableError> {
        let header = Header::parse(raw).ok_or(TableError::Unreadable)?;
        let raw = raw.get(..length_of(&header)?).ok_or(TableError::Unreadable)?;
        match sum(raw) {
            0 => Ok(Self { raw, header, phys }),
            sum => Err(TableError::Checksum(sum)),
        }
    }

    /// Reads the table at a physical address.
    pub fn read<M: PhysicalMemory + ?Sized>(memory: &'a M, phys: u64) -> Result<Self, TableError> {
        let header = read_header(memory, phys)?;
        Self::parse(memory.read(phys, length_of(&header)?).ok_or(TableError::Unreadable)?, phys)
    }

    pub const fn header(&self) -> &Header {
        &self.header
    }

    pub const fn signature(&self) -> Signature {
        self.header.signature
    }

    pub const fn revision(&self) -> u8 {
        self.header.revision
    }

    /// All bytes, the header's too: exactly the length that the header states.
    pub const fn bytes(&self) -> &'a [u8] {
        self.raw
    }

    /// The bytes behind the header.
    pub fn body(&self) -> &'a [u8] {
        self.raw.get(HEADER_SIZE..).unwrap_or_default()
    }

    /// Physical address of the first byte.
    pub const fn phys(&self) -> u64 {
        self.phys
    }

    /// The bytes, if this is the table of that name and at least `needed` long.
    pub(super) fn expect(&self, signature: Signature, needed: usize) -> Result<&'a [u8], TableError> {
        if self.signature() != signature {
            return Err(TableError::Signature(self.signature()));
        }
        let length = self.raw.len();
        if length < needed { Err(TableError::Short { length, needed }) } else { Ok(self.raw) }
    }
}

/// The header at a physical address, without a look at the rest.
pub(super) fn read_header<M: PhysicalMemory + ?Sized>(memory: &M, phys: u64) -> Result<Header, TableError> {
    if phys == 0 {
        return Err(TableError::Null);
    }
    memory.read(phys, HEADER_SIZE).and_then(Header::parse).ok_or(TableError::Unreadable)
}

fn length_of(header: &Header) -> Result<usize, TableError> {
    let length = usize::try_from(header.length).ok();
    length.filter(|len| (HEADER_SIZE..=LENGTH_MAX).contains(len)).ok_or(TableError::Length(header.length))
}

/// For the tests of every module here: a table around a body.
#[cfg(test)]
pub(super) fn made(signature: Signature, revision: u8, body: &[u8]) -> Vec<u8> {
    let mut raw = signature.0.to_vec();
    raw.extend((HEADER_SIZE as u32 + body.len() as u32).to_le_bytes());
    raw.extend([revision, 0]);
    raw.extend(*b"SISOEMSIS TEST\x01\0\0\0SIS \x02\0\0\0");
    raw.extend(body);
    set_checksum(&mut raw);
    raw
}

#[cfg(test)]
pub(super) fn set_checksum(raw: &mut [u8]) {
    raw[9] = 0;
    raw[9] = 0u8.wrapping_sub(sum(raw));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields() {
        let mut raw = made(Signature::MCFG, 3, &[1, 2, 3]);
        raw.extend([9; 5]);
        let table = Table::parse(&raw, 0x1000).unwrap();
        let expected = Header {
            signature: Signature::MCFG,
            length: 39,
            revision: 3,
            oem_id: *b"SISOEM",
            oem_table_id: *b"SIS TEST",
            oem_revision: 1,
            creator_id: *b"SIS ",
            creator_revision: 2,
        };
        assert_eq!(*table.header(), expected);
        assert_eq!((table.bytes().len(), table.body(), table.phys()), (39, &[1, 2, 3][..], 0x1000));
    }

    #[test]
    fn what_is_no_table() {
        let good = made(Signature::MCFG, 1, &[5; 20]);
        let parse = |raw: &[u8]| Table::parse(raw, 0).map(|_| ());
        assert_eq!(parse(&good), Ok(()));
        for len in 0..good.len() {
            assert_eq!(parse(&good[..len]), Err(TableError::Unreadable), "{len} bytes");
        }
        for length in [0, 1, 35, LENGTH_MAX as u32 + 1, u32::MAX] {
            let mut bad = good.clone();
            bad[4..8].copy_from_slice(&length.to_le_bytes());
            assert_eq!(parse(&bad), Err(TableError::Length(length)));
        }
        for at in (0..good.len()).filter(|at| !(4..8).contains(at)) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(matches!(parse(&bad), Err(TableError::Checksum(1..))), "byte {at}");
        }
    }

    #[test]
    fn expecting_a_table() {
        let raw = made(Signature::MCFG, 1, &[5; 20]);
        let table = Table::parse(&raw, 0).unwrap();
        assert_eq!(table.expect(Signature::MCFG, 56), Ok(&raw[..]));
        assert_eq!(table.expect(Signature::MCFG, 57), Err(TableError::Short { length: 56, needed: 57 }));
        assert_eq!(table.expect(Signature::MADT, 0), Err(TableError::Signature(Signature::MCFG)));
    }

    #[test]
    fn letters_that_are_none() {
        assert_eq!(std::format!("{}", Signature(*b"A\x1b\xff~")), "A..~");
        assert_eq!(std::format!("{}{}{}", Text(b"A\0M\0\0"), Text(b"\0\0"), Text(b"")), "A.M");
    }
}
