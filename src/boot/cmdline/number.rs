//! Numbers on the command line.

use core::fmt;

/// Why a text is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// No digits.
    Empty,
    /// Something that is no digit.
    Digit,
    /// Above 2^64 - 1.
    Overflow,
}

impl NumberError {
    /// What would have been right.
    pub(super) const fn wanted(self) -> &'static str {
        match self {
            Self::Empty | Self::Digit => "a decimal or 0x number",
            Self::Overflow => "a number below 2^64",
        }
    }
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wanted", self.wanted())
    }
}

/// A number in decimal, or in hexadecimal after `0x`. No sign, no blanks.
pub fn parse_u64(text: &str) -> Result<u64, NumberError> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hex.map_or((text, 10), |digits| (digits, 16));
    if digits.is_empty() {
        return Err(NumberError::Empty);
    }
    // First look at every digit, so that "99999999999999999999x" is no overflow.
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(NumberError::Digit);
    }
    u64::from_str_radix(digits, radix).map_err(|_| NumberError::Overflow)
}
