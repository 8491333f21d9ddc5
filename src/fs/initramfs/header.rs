//! The 110 bytes before each name: six digits that name the format, then thirteen numbers of eight hexadecimal digits.

use super::error::{self, Field, Problem};

/// Bytes of a header.
pub const LEN: usize = 110;
/// Digits of a number.
const DIGITS: usize = 8;
/// Bytes of the magic.
const MAGIC: usize = 6;

/// What a header says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Header {
    pub ino: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    pub mtime: u32,
    /// Bytes of contents.
    pub size: u32,
    /// Device that the file was on.
    pub device: (u32, u32),
    /// Device that the file is.
    pub node: (u32, u32),
    /// Bytes of the name, with the 0 at its end.
    pub name_size: u32,
    /// The sum of the contents' bytes, in the format 070702.
    pub check: Option<u32>,
}

impl Header {
    pub fn parse<E>(bytes: &[u8; LEN]) -> Result<Self, Problem<E>> {
        let has_check = match &bytes[..MAGIC] {
            b"070701" => false,
            b"070702" => true,
            _ => return Err(error::unknown_start(bytes)),
        };
        let number = |nth: usize, field| {
            let at = MAGIC + nth * DIGITS;
            hex(&bytes[at..at + DIGITS]).ok_or(Problem::NotHex(field))
        };
        Ok(Self {
            ino: number(0, Field::Inode)?,
            mode: number(1, Field::Mode)?,
            uid: number(2, Field::Uid)?,
            gid: number(3, Field::Gid)?,
            nlink: number(4, Field::Links)?,
            mtime: number(5, Field::Time)?,
            size: number(6, Field::Size)?,
            device: (number(7, Field::DeviceMajor)?, number(8, Field::DeviceMinor)?),
            node: (number(9, Field::NodeMajor)?, number(10, Field::NodeMinor)?),
            name_size: number(11, Field::NameSize)?,
            check: Some(number(12, Field::Check)?).filter(|_| has_check),
        })
    }
}

/// Exactly eight digits, in either case; no sign, no blank.
fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, &digit| Some(number << 4 | char::from(digit).to_digit(16)?))
}
