//! The kernel's command line, once it is text: questions about the options in it.
//!
//! [`decode`] makes text of bytes and is the loader's part; [`words`] splits it; [`options`] is the table of what
//! is known. Loader and kernel read it through [`CommandLine`]. All of it is pure and copies no word: every key
//! and value is a piece of the text that was given. Any input gives an answer, if need be an empty one with a
//! [`Warning`]: a bad command line must not keep a machine from booting.
//!
//! Quoting, `--`, and what happens to unknown words follow Linux (Documentation/admin-guide/
//! kernel-parameters.rst).

mod decode;
mod number;
mod options;
#[cfg(test)]
mod tests;
mod words;

use core::fmt;

pub use decode::{Decoded, MAX_LEN, Warning, decode, load_options};
pub use number::{NumberError, parse_u64};
use options::find;
pub use options::{Form, KNOWN_OPTIONS, KnownOption};
pub use words::{Param, Words};

/// What goes to init because nobody here knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown<'a> {
    /// An argument: a bare word, or anything after `--`.
    Argument(Param<'a>),
    /// A variable of its environment.
    Environment { key: &'a str, value: &'a str },
}

/// An option whose value is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadValue<'a> {
    /// The option.
    pub key: &'a str,
    /// Its value.
    pub value: &'a str,
    /// What it should look like.
    pub wanted: &'static str,
}

impl fmt::Display for BadValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?} ignored: {} wanted", self.key, self.value, self.wanted)
    }
}

/// A command line, read anew for each question.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'a> {
    text: &'a str,
}

impl<'a> CommandLine<'a> {
    /// Any text will do.
    pub const fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// All of it.
    pub const fn as_str(&self) -> &'a str {
        self.text
    }

    /// The words as they stand there, quotes and all.
    pub fn words(&self) -> Words<'a> {
        Words::new(self.text)
    }

    /// The words before `--`, cut into key and value.
    pub fn params(&self) -> impl Iterator<Item = Param<'a>> + Clone + use<'a> {
        self.words().take_while(|&word| word != "--").map(Param::parse)
    }

    /// Whether `key` occurs, with or without a value.
    pub fn flag(&self, key: &str) -> bool {
        self.params().any(|param| param.key == key)
    }

    /// The values of each `key=VALUE`, in order.
    pub fn all<'k>(&self, key: &'k str) -> impl Iterator<Item = &'a str> + Clone + use<'a, 'k> {
        self.params().filter(move |param| param.key == key).filter_map(|param| param.value)
    }

    /// The value of the last `key=VALUE`.
    pub fn last(&self, key: &str) -> Option<&'a str> {
        self.all(key).last()
    }

    /// The value of the last `key=N` as a number.
    pub fn number(&self, key: &'a str) -> Result<Option<u64>, BadValue<'a>> {
        let Some(value) = self.last(key) else {
            return Ok(None);
        };
        parse_u64(value).map(Some).map_err(|e| BadValue { key, value, wanted: e.wanted() })
    }

    /// `root=`; without a value it is as if it were not there.
    pub fn root(&self) -> Option<&'a str> {
        self.last("root").filter(|value| !value.is_empty())
    }

    /// `initrd=`; without a value it is as if it were not there.
    pub fn initrd(&self) -> Option<&'a str> {
        self.last("initrd").filter(|value| !value.is_empty())
    }

    /// Whether the root disk is to be writable: the last of `ro` and `rw` decides, `ro` without either.
    pub fn root_is_writable(&self) -> bool {
        self.params().map(|param| param.key).filter(|key| matches!(*key, "ro" | "rw")).last() == Some("rw")
    }

    /// `video=WxH` in pixels.
    pub fn video(&self) -> Result<Option<(u32, u32)>, BadValue<'a>> {
        let Some(value) = self.last("video") else {
            return Ok(None);
        };
        let side = |text: &str| match parse_u64(text).ok().and_then(|n| u32::try_from(n).ok()) {
            Some(n) if n > 0 && text.starts_with(|c: char| c != '0') => Some(n),
            _ => None,
        };
        value
            .split_once(['x', 'X'])
            .and_then(|(width, height)| Some(Some((side(width)?, side(height)?))))
            .ok_or(BadValue { key: "video", value, wanted: "WIDTHxHEIGHT" })
    }

    /// What is for init, in order. As on Linux, a name with a dot before any `=` is taken for a parameter
    /// of a module, which we have none of, and passed over.
    pub fn unknown(&self) -> impl Iterator<Item = Unknown<'a>> + Clone + use<'a> {
        let mut only_arguments = false;
        self.words().filter_map(move |word| {
            let param = Param::parse(word);
            if only_arguments {
                return Some(Unknown::Argument(param));
            }
            if word == "--" {
                only_arguments = true;
                return None;
            }
            if find(param.key).is_some() || param.key.contains('.') {
                return None;
            }
            Some(match param.value {
                None => Unknown::Argument(param),
                Some(value) => Unknown::Environment { key: param.key, value },
            })
        })
    }
}
