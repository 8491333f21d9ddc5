//! How a command line falls into words, and a word into key and value.
//!
//! Nothing is copied or changed: every piece is a part of the text that was given, so a quote in the middle of
//! a value stays where it is.
//!
//! Source: Linux, Documentation/admin-guide/kernel-parameters.rst, whose quoting this follows.

/// Splits a text at blanks outside of double quotes. There is no way to escape a quote, as on Linux; one
/// that is never closed reaches to the end.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    /// Any text will do.
    pub(super) const fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// What follows the last word that was given.
    pub(super) const fn rest(&self) -> &'a str {
        self.rest
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        // Also line ends, which a text that did not come from `decode` may have.
        let rest = self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let mut quoted = false;
        let end = rest.find(|c: char| {
            quoted ^= c == '"';
            c.is_ascii_whitespace() && !quoted
        });
        let (word, rest) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }
}

/// A word of the command line, cut at its first `=`. Quotes around the word or the value are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The word, or what stands before the `=`.
    pub key: &'a str,
    /// What stands after it.
    pub value: Option<&'a str>,
}

impl<'a> Param<'a> {
    /// A `=` at the very start is part of the key, as on Linux.
    pub(super) fn parse(word: &'a str) -> Self {
        let (word, was_quoted) = match word.strip_prefix('"') {
            Some(inner) => (inner, true),
            None => (word, false),
        };
        let unquoted_end = |s: &'a str| s.strip_suffix('"').unwrap_or(s);
        let equals = word.char_indices().skip(1).find(|&(_, c)| c == '=');
        match equals.and_then(|(at, _)| word.split_at_checked(at)) {
            Some((key, value)) => {
                let value = value.strip_prefix('=').unwrap_or(value);
                let value = match value.strip_prefix('"') {
                    Some(inner) => unquoted_end(inner),
                    None if was_quoted => unquoted_end(value),
                    None => value,
                };
                Self { key, value: Some(value) }
            }
            None => Self { key: if was_quoted { unquoted_end(word) } else { word }, value: None },
        }
    }
}
