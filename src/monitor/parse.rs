//! Reading a command line of the monitor: words, numbers, addresses, and the `/8xb` of `x`.

use core::fmt;

/// What is wrong with an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem<'a> {
    Missing(&'static str),
    TooMany(&'a str),
    NotANumber(&'a str),
    NoSymbol(&'a str),
    NotAligned(&'a str),
    BadSuffix(&'a str),
    Unknown(&'a str),
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "{what} is missing"),
            Self::TooMany(word) => write!(f, "what is {word:?}"),
            Self::NotANumber(word) => write!(f, "{word:?} is not a number"),
            Self::NoSymbol(word) => write!(f, "{word:?} is neither a number nor the name of one symbol"),
            Self::NotAligned(word) => write!(f, "{word:?} is no multiple of 8"),
            Self::BadSuffix(word) => write!(f, "{word:?} is not a count and a size (b, h, w or g)"),
            Self::Unknown(word) => write!(f, "{word:?} is unknown"),
        }
    }
}

/// The words of a line, between blanks.
#[derive(Clone)]
pub struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    pub fn new(line: &'a str) -> Self {
        Self { rest: line.trim() }
    }

    /// All that is left, as it was typed.
    pub fn rest(&self) -> &'a str {
        self.rest
    }

    /// An error if there is a word left.
    pub fn end(&mut self) -> Result<(), Problem<'a>> {
        self.next().map_or(Ok(()), |word| Err(Problem::TooMany(word)))
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        Some(word)
    }
}

/// A number: decimal, or hexadecimal with `0x`; `_` may group the digits.
pub fn number(word: &str) -> Option<u64> {
    let (digits, radix) = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (word, 10),
    };
    let mut value: Option<u64> = None;
    for c in digits.chars().filter(|&c| c != '_') {
        let digit = u64::from(c.to_digit(radix)?);
        value = Some(value.unwrap_or(0).checked_mul(radix.into())?.checked_add(digit)?);
    }
    value
}

/// Seconds with up to nine decimals, as nanoseconds.
pub fn seconds(word: &str) -> Option<u64> {
    let (whole, fraction) = word.split_once('.').unwrap_or((word, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let fraction_ns = fraction.parse::<u64>().ok()? * 10u64.pow(9 - fraction.len() as u32);
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(fraction_ns)
}

/// An address: a number, or a symbol's name, with `+N` or `-N` behind it.
pub fn address<'a>(word: &'a str, symbol: &dyn Fn(&str) -> Option<u64>) -> Result<u64, Problem<'a>> {
    if let Some(address) = number(word) {
        return Ok(address);
    }
    let at = word.rfind(['+', '-']).filter(|&at| at > 0);
    if let Some(at) = at {
        let base = address(&word[..at], symbol);
        if let (Ok(base), Some(offset)) = (base, number(&word[at + 1..])) {
            let minus = word.as_bytes()[at] == b'-';
            return Ok(if minus { base.wrapping_sub(offset) } else { base.wrapping_add(offset) });
        }
    }
    symbol(word).ok_or(Problem::NoSymbol(word))
}

/// Count and size of one unit in bytes, from what stands behind `x/`: `16`, `4w`, `8b`, `g`, or nothing.
pub fn examine(suffix: &str) -> Result<(usize, usize), Problem<'_>> {
    let (digits, size) = match suffix.as_bytes().last() {
        Some(b'b') => (&suffix[..suffix.len() - 1], 1),
        Some(b'h') => (&suffix[..suffix.len() - 1], 2),
        Some(b'w') => (&suffix[..suffix.len() - 1], 4),
        Some(b'g') => (&suffix[..suffix.len() - 1], 8),
        _ => (suffix, 8),
    };
    match digits {
        "" => Ok((1, size)),
        _ => match number(digits) {
            Some(count @ 1..=4096) => Ok((count as usize, size)),
            _ => Err(Problem::BadSuffix(suffix)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn words_and_the_rest() {
        let mut words = Words::new("  echo  a   b ");
        assert_eq!(words.next(), Some("echo"));
        assert_eq!(words.rest(), "a   b");
        assert_eq!(words.clone().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(words.end(), Err(Problem::TooMany("a")));
        assert_eq!(Words::new(" \t ").next(), None);
    }

    #[test]
    fn numbers() {
        assert_eq!(number("0xffff_ffff_8000_0000"), Some(0xFFFF_FFFF_8000_0000));
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for bad in ["", "0x", "_", "18446744073709551616", "0x10000000000000000", "12z", "-1", "é"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn seconds_with_decimals() {
        assert_eq!(seconds("1"), Some(1_000_000_000));
        assert_eq!(seconds("0.25"), Some(250_000_000));
        assert_eq!(seconds("18446744073"), Some(18_446_744_073_000_000_000));
        for bad in ["", ".5", "1.", "-1", "1.0000000001", "18446744074", "1e3", "+1"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses() {
        let symbol = |name: &str| (name == "main" || name == "a-b").then_some(0x1000);
        assert_eq!(address("4096", &symbol), Ok(4096));
        assert_eq!(address("main", &symbol), Ok(0x1000));
        assert_eq!(address("main+0x10", &symbol), Ok(0x1010));
        assert_eq!(address("main-1", &symbol), Ok(0xFFF));
        assert_eq!(address("0x10+1", &symbol), Ok(0x11));
        assert_eq!(address("a-b", &symbol), Ok(0x1000));
        for bad in ["other", "main+", "+1", "main+x", ""] {
            assert_eq!(address(bad, &symbol), Err(Problem::NoSymbol(bad)), "{bad}");
        }
    }

    #[test]
    fn long_chains_do_not_go_deep() {
        let chain = "1+".repeat(60) + "1";
        assert_eq!(address(&chain, &|_| None), Ok(61));
    }

    #[test]
    fn suffixes_of_x() {
        assert_eq!(examine(""), Ok((1, 8)));
        assert_eq!(examine("4"), Ok((4, 8)));
        assert_eq!(examine("8b"), Ok((8, 1)));
        assert_eq!(examine("w"), Ok((1, 4)));
        for bad in ["0", "4097", "xyz", "4x"] {
            assert_eq!(examine(bad), Err(Problem::BadSuffix(bad)), "{bad}");
        }
    }
}
