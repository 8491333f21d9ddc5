//! `\_S5_` and its like: the number that a sleep state has in PM1 control's SLP_TYP field.
//!
//! Source: ACPI 6.5 §7.4.2 \_Sx (System States); §20.2.5.1 DefName.

use super::encoding::{Cursor, NAME_OP};

/// What to write to SLP_TYP of the two PM1 control registers, 0 to 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SleepType {
    pub a: u8,
    pub b: u8,
}

/// The first definition of sleep state S`state` (0 to 5) whose value is a constant package.
///
/// The name may stand alone, in a scope that is the root, or be written with the root's prefix.
pub fn sleep_type(aml: &[u8], state: u8) -> Option<SleepType> {
    let name = [b'_', b'S', b'0'.checked_add(state)?, b'_'];
    let starts = aml.iter().enumerate().filter(|&(_, &op)| op == NAME_OP);
    starts.into_iter().find_map(|(at, _)| definition(aml, at.checked_add(1)?, name))
}

/// What stands at `at`, behind a NameOp.
fn definition(aml: &[u8], at: usize, wanted: [u8; 4]) -> Option<SleepType> {
    let mut cursor = Cursor::new(aml, at);
    cursor.name().filter(|name| name.segments() == [wanted] && name.parents == 0)?;
    let (count, mut elements) = cursor.package()?;
    let first = elements.integer()?;
    match count {
        0 => None,
        // Some firmware packs both numbers into one element, the lower byte first.
        1 => Some(SleepType { a: field(first & 0xFF)?, b: field(first >> 8 & 0xFF)? }),
        _ => Some(SleepType { a: field(first)?, b: field(elements.integer()?)? }),
    }
}

/// A number for a field of three bits; Ones, and the byte that is left of it, mean all three.
fn field(value: u64) -> Option<u8> {
    match value {
        0..=7 => u8::try_from(value).ok(),
        0xFF | u64::MAX => Some(7),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s5(aml: &[u8]) -> Option<(u8, u8)> {
        sleep_type(aml, 5).map(|found| (found.a, found.b))
    }

    #[test]
    fn encodings() {
        let with = |elements: &[u8]| {
            let len = elements.len() as u8 + 2;
            s5(&[&b"junk\x08_S5_\x12"[..], &[len, 4], elements, b"more"].concat())
        };
        assert_eq!(with(&[0, 0, 0, 0]), Some((0, 0)));
        assert_eq!(with(&[1, 0, 0, 0]), Some((1, 0)));
        assert_eq!(with(&[0x0A, 7, 0x0A, 5, 0, 0]), Some((7, 5)));
        assert_eq!(with(&[0x0B, 5, 0, 0x0C, 6, 0, 0, 0]), Some((5, 6)));
        assert_eq!(with(&[0x0E, 5, 0, 0, 0, 0, 0, 0, 0, 1]), Some((5, 1)));
        assert_eq!(with(&[0xFF, 0xFF]), Some((7, 7)));
        assert_eq!(with(&[0x0A, 8, 0]), None, "no value for three bits");
        assert_eq!(with(b"SLPA\0"), None, "a reference");
        assert_eq!(with(&[5]), None);
        assert_eq!(with(&[1]), None, "the second is not written down");
    }

    #[test]
    fn forms() {
        assert_eq!(s5(b"\x08\\_S5_\x12\x04\x02\x01\x00"), Some((1, 0)), "with the root's prefix");
        assert_eq!(s5(b"\x08_S5_\x12\x05\x01\x0b\x05"), None, "cut off");
        assert_eq!(s5(b"\x08_S5_\x12\x05\x01\x0b\x05\x03"), Some((5, 3)), "packed in one element");
        assert_eq!(s5(b"\x08_S5_\x12\x04\x01\x0a\x06"), Some((6, 0)), "packed in one element");
        assert_eq!(s5(b"\x08_S5_\x12\x40\x00\x02\x01\x00"), None, "a length that is less than itself");
        assert_eq!(s5(b"\x08_S5_\x12\x45\x00\x02\x01\x00"), Some((1, 0)), "a length of two bytes");
        assert_eq!(s5(b"\x08_S4_\x12\x04\x02\x01\x00"), None);
        assert_eq!(sleep_type(b"\x08_S4_\x12\x04\x02\x01\x00", 4), Some(SleepType { a: 1, b: 0 }));
        assert_eq!(s5(b"_S5_\x12\x04\x02\x01\x00"), None, "used, not defined");
        assert_eq!(s5(b"\x14\x09_S5_\x00\xa4\x00"), None, "a method");
        assert_eq!(s5(b"\x08\x2eABCD_S5_\x12\x04\x02\x01\x00"), None, "not of the root");
        assert_eq!(s5(b"\x08_S5_\x12\x02\x00"), None, "empty");
        assert_eq!(s5(b"\x08_S5_\x12\x03\x00\x00"), None, "empty");
        assert_eq!(s5(b"\x08_S5_\x12\x04\x02S_\x08_S5_\x12\x04\x02\x01\x00"), Some((1, 0)), "the next one");
        assert_eq!(sleep_type(b"\x08_S5_", 250), None);
        assert_eq!(s5(b"\x08"), None);
    }
}
