//! The kernel's command line: from the bytes that carry it to the options in it.
//!
//! The loader calls [`decode`] on `\cmdline.txt` and [`load_options`] on what the firmware passes to it;
//! the kernel reads the resulting text through [`CommandLine`]. All of it is pure and copies no word:
//! every key and value is a piece of the text that was given. Any input gives an answer, if need be an
//! empty one with a [`Warning`]: a bad command line must not keep a machine from booting.
//!
//! Quoting, `--`, and what happens to unknown words follow Linux (Documentation/admin-guide/
//! kernel-parameters.rst). Source of the load options' form: UEFI 2.10 §3.1.3 and §9.1 (LoadOptions).

use core::fmt;

/// Most bytes of a command line; the rest is cut off with a warning.
pub const MAX_LEN: usize = 4096;

/// A command line as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// One line without blanks around it.
    pub text: &'a str,
    /// The gravest thing there is to say about it.
    pub warning: Option<Warning>,
}

/// What was not as it should be, from the least to the most grave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// UTF-16 instead of UTF-8.
    Utf16,
    /// There is more text after the first line.
    MoreLines,
    /// Longer than the limit, in bytes.
    TooLong { limit: usize },
    /// Not text, as the byte at this offset shows.
    Binary { offset: usize },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utf16 => write!(f, "in UTF-16; UTF-8 would be right"),
            Self::MoreLines => write!(f, "more than one line; only the first counts"),
            Self::TooLong { limit } => {
                write!(f, "longer than {limit} bytes; cut at the last blank before that")
            }
            Self::Binary { offset } => {
                write!(f, "not text, as byte {offset} shows; all of it is ignored")
            }
        }
    }
}

/// Turns the content of `\cmdline.txt` into text, written to `out`.
///
/// UTF-8 with or without a byte order mark, or UTF-16 with one. A control character, a zero byte or a
/// malformed sequence anywhere makes the whole file binary: half a command line may mean the opposite of
/// the whole one. A caller that reads only the start of a huge file may pass that if it is longer than
/// [`MAX_LEN`]: then a character may be incomplete at the end.
pub fn decode<'o>(raw: &[u8], out: &'o mut [u8]) -> Decoded<'o> {
    match *raw {
        [0xFF, 0xFE, ref rest @ ..] => {
            first_line(utf16(rest, 2, u16::from_le_bytes), out, Some(Warning::Utf16))
        }
        [0xFE, 0xFF, ref rest @ ..] => {
            first_line(utf16(rest, 2, u16::from_be_bytes), out, Some(Warning::Utf16))
        }
        [0xEF, 0xBB, 0xBF, ref rest @ ..] => first_line(utf8(rest, 3), out, None),
        _ => first_line(utf8(raw, 0), out, None),
    }
}

/// Finds a command line in UEFI load options, "less an image name"; `None` if there is none.
///
/// The UEFI Shell passes all that was typed, so the first word is dropped if it looks like the program's
/// name. A boot manager passes whatever bytes the boot option carries, and OVMF marks the options that it
/// makes by itself with a GUID: those eight units are all valid UTF-16. So text must be ASCII for the
/// better part, as our options are. It ends at a zero unit or at the line's end.
pub fn load_options<'o>(raw: &[u8], out: &'o mut [u8]) -> Option<Decoded<'o>> {
    if raw.len() % 2 != 0 {
        return None;
    }
    let raw = raw.strip_prefix(&[0xFF, 0xFE]).unwrap_or(raw);
    let units = raw.chunks_exact(2);
    let ends = |unit: &[u8]| matches!(*unit, [0 | b'\r' | b'\n', 0]);
    let len = units.clone().position(ends).unwrap_or(units.len()) * 2;
    let line = raw.get(..len)?;

    let Decoded { text, warning } = first_line(utf16(line, 0, u16::from_le_bytes), out, None);
    if matches!(warning, Some(Warning::Binary { .. })) {
        return None;
    }
    let text = without_image_name(text);
    let (all, ascii) = text.chars().fold((0usize, 0usize), |(all, ascii), c| {
        (all.saturating_add(1), ascii.saturating_add(c.is_ascii().into()))
    });
    (!text.is_empty() && ascii >= all.div_ceil(2)).then_some(Decoded { text, warning })
}

/// Drops the first word if it is a path or ends in ".efi". A known option never is: `initrd=\file` is
/// what boot entries made for Linux begin with.
fn without_image_name(text: &str) -> &str {
    let mut words = Words::new(text);
    let Some(word) = words.next() else {
        return text;
    };
    let name = word.trim_matches('"');
    let suffix = name.len().checked_sub(4).and_then(|at| name.get(at..));
    let is_efi = suffix.is_some_and(|s| s.eq_ignore_ascii_case(".efi"));
    if (is_efi || name.contains('\\')) && find(Param::parse(word).key).is_none() {
        words.rest.trim_start_matches(is_blank)
    } else {
        text
    }
}

/// A character and the offset of its first byte, or the offset of what is no character.
type Char = Result<(usize, char), usize>;

fn utf8(raw: &[u8], skipped: usize) -> impl Iterator<Item = Char> {
    let chunks = raw.utf8_chunks().scan(skipped, move |at, chunk| {
        let start = *at;
        let bad = start.saturating_add(chunk.valid().len());
        *at = bad.saturating_add(chunk.invalid().len());
        // Only a read that stopped early ends within a character that has begun well.
        let cut_off = raw.len() > MAX_LEN
            && at.saturating_sub(skipped) == raw.len()
            && core::str::from_utf8(chunk.invalid()).is_err_and(|e| e.error_len().is_none());
        let error = (!chunk.invalid().is_empty() && !cut_off).then_some(Err(bad));
        let chars = chunk.valid().char_indices();
        Some(chars.map(move |(i, c)| Ok((start.saturating_add(i), c))).chain(error))
    });
    chunks.flatten()
}

fn utf16(raw: &[u8], skipped: usize, unit: fn([u8; 2]) -> u16) -> impl Iterator<Item = Char> {
    let pairs = raw.chunks_exact(2);
    let is_odd = !pairs.remainder().is_empty();
    let is_long = raw.len() > MAX_LEN;
    let last = raw.len() & !1;
    let units = pairs.map(move |pair| unit([pair[0], pair[1]]));
    let mut at = 0usize;
    let chars = char::decode_utf16(units).filter_map(move |unit| {
        let start = at;
        at = at.saturating_add(unit.as_ref().map_or(2, |c| c.len_utf16() * 2));
        match unit {
            Ok(c) => Some(Ok((skipped.saturating_add(start), c))),
            // The first half of a pair, whose second half was not read.
            Err(e) if is_long && at == last && e.unpaired_surrogate() < 0xDC00 => None,
            Err(_) => Some(Err(skipped.saturating_add(start))),
        }
    });
    chars.chain((is_odd && !is_long).then_some(Err(skipped.saturating_add(last))))
}

/// Writes the first line to `out`, in UTF-8, and looks through the rest of the text.
fn first_line(
    chars: impl Iterator<Item = Char>,
    out: &mut [u8],
    warning: Option<Warning>,
) -> Decoded<'_> {
    let limit = out.len().min(MAX_LEN);
    let mut warning = warning;
    let mut len = 0; // bytes written
    let mut words = 0; // bytes up to the end of the last word that is surely complete
    let mut quoted = false;
    let mut full = false; // something did not fit, so nothing more is written
    let mut ended = false; // the first line is over

    for c in chars {
        let c = match c {
            Ok((_, c)) if !c.is_control() || matches!(c, '\t' | '\n' | '\r') => c,
            Ok((offset, _)) | Err(offset) => {
                return Decoded { text: "", warning: Some(Warning::Binary { offset }) };
            }
        };
        match c {
            '\n' | '\r' => ended = true,
            _ if ended => {
                if !is_blank(c) {
                    warning = warning.max(Some(Warning::MoreLines));
                }
            }
            _ if is_blank(c) && len == 0 => {}
            _ => {
                if is_blank(c) && !quoted && !full {
                    words = len;
                }
                quoted ^= c == '"';
                match out.get_mut(len..limit).filter(|room| !full && room.len() >= c.len_utf8()) {
                    Some(room) => len += c.encode_utf8(room).len(),
                    None => {
                        full = true;
                        // Blanks at the line's end are dropped anyhow.
                        if !is_blank(c) {
                            warning = warning.max(Some(Warning::TooLong { limit }));
                        }
                    }
                }
            }
        }
    }

    let cut = matches!(warning, Some(Warning::TooLong { .. }));
    let written = out.get(..if cut { words } else { len }).unwrap_or_default();
    // Only whole characters were written, so this cannot fail.
    let text = core::str::from_utf8(written).unwrap_or_default();
    Decoded { text: text.trim_matches(is_blank), warning }
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// How an option is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `name`
    Bare,
    /// `name=VALUE`, with a word for the value
    Value(&'static str),
    /// `name` or `name=VALUE`
    Either(&'static str),
}

/// An option that the kernel or the loader knows.
#[derive(Clone, Copy, Debug)]
pub struct KnownOption {
    /// What stands before the `=`.
    pub name: &'static str,
    /// How it is written.
    pub form: Form,
    /// One line.
    pub help: &'static str,
}

impl fmt::Display for KnownOption {
    /// `name=VALUE`, padded as asked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = match self.form {
            Form::Bare => ["", "", ""],
            Form::Value(value) => ["=", value, ""],
            Form::Either(value) => ["[=", value, "]"],
        };
        f.write_str(self.name)?;
        parts.iter().try_for_each(|part| f.write_str(part))?;
        let len = parts.iter().fold(self.name.len(), |sum, part| sum.saturating_add(part.len()));
        (len..f.width().unwrap_or(0)).try_for_each(|_| f.write_str(" "))
    }
}

const fn bare(name: &'static str, help: &'static str) -> KnownOption {
    KnownOption { name, form: Form::Bare, help }
}

const fn value(name: &'static str, value: &'static str, help: &'static str) -> KnownOption {
    KnownOption { name, form: Form::Value(value), help }
}

const fn either(name: &'static str, value: &'static str, help: &'static str) -> KnownOption {
    KnownOption { name, form: Form::Either(value), help }
}

/// Every option there is. What is not in here goes to init.
pub const KNOWN_OPTIONS: &[KnownOption] = &[
    value("root", "DEVICE", "root disk: /dev/vda, or UUID=, LABEL=, PARTUUID="),
    value("rootfstype", "TYPE", "file system of the root disk"),
    value("rootflags", "FLAGS", "mount options of the root disk"),
    bare("ro", "mount the root disk read-only (default)"),
    bare("rw", "mount the root disk writable"),
    value("initrd", "NAME", "file on the boot volume to unpack to /"),
    value("init", "PATH", "first program to run"),
    value("console", "DEVICE[,OPTIONS]", "ttyS0 or tty0 (framebuffer); may be repeated"),
    value("loglevel", "N", "print messages more urgent than this, 0 to 7"),
    value("video", "WxH", "framebuffer mode to ask the firmware for"),
    value("maxcpus", "N", "start at most so many CPUs"),
    bare("nox2apic", "leave the local APICs in xAPIC mode"),
    bare("noapic", "no I/O APIC: the 8259s deliver the interrupts"),
    bare("nolapic", "no local APIC either; one CPU"),
    bare("nohpet", "do not use the HPET"),
    bare("notsc", "do not use the TSC as a clock"),
    value("hz", "N", "timer interrupts a second"),
    bare("norandmaps", "load programs at the same addresses each time"),
    bare("strace", "log every system call"),
    value("failalloc", "N", "make memory allocations fail, for tests"),
    bare("monitor", "start the kernel's monitor instead of init"),
    either("selftest", "NAME,...", "run the tests built into the kernel, then end"),
    value("panic", "halt|reboot|exit", "what to do after a panic (default halt)"),
];

fn find(name: &str) -> Option<&'static KnownOption> {
    KNOWN_OPTIONS.iter().find(|option| option.name == name)
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
    fn parse(word: &'a str) -> Self {
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
        self.params().map(|param| param.key).filter(|key| matches!(*key, "ro" | "rw")).last()
            == Some("rw")
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

/// Splits a text at blanks outside of double quotes. There is no way to escape a quote, as on Linux; one
/// that is never closed reaches to the end.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    const fn new(text: &'a str) -> Self {
        Self { rest: text }
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
    const fn wanted(self) -> &'static str {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }

        fn below(&mut self, n: usize) -> usize {
            (self.next() % n as u64) as usize
        }
    }

    fn decoded(raw: &[u8]) -> (String, Option<Warning>) {
        let mut out = [0xAAu8; MAX_LEN];
        let Decoded { text, warning } = decode(raw, &mut out);
        (text.to_string(), warning)
    }

    fn utf16_bytes(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    fn options(raw: &[u8]) -> Option<String> {
        let mut out = [0xAAu8; MAX_LEN];
        load_options(raw, &mut out).map(|decoded| decoded.text.to_string())
    }

    fn options_text(text: &str) -> Option<String> {
        options(&utf16_bytes(text, u16::to_le_bytes))
    }

    #[test]
    fn a_plain_file() {
        for (raw, text) in [
            ("", ""),
            ("monitor", "monitor"),
            ("root=/dev/vda rw\n", "root=/dev/vda rw"),
            ("\t a  b \t\r\n", "a  b"),
            ("a\r\n\r\n \n", "a"),
            ("\u{FEFF}a=ü b", "a=ü b"),
            (" \n", ""),
        ] {
            assert_eq!(decoded(raw.as_bytes()), (text.into(), None), "{raw:?}");
        }
    }

    #[test]
    fn only_the_first_line_counts() {
        for (raw, text) in
            [("a b \nc", "a b"), ("a\rb\n", "a"), ("\na", ""), ("a\r\n\r\n c\r\n", "a")]
        {
            assert_eq!(decoded(raw.as_bytes()), (text.into(), Some(Warning::MoreLines)), "{raw:?}");
        }
    }

    #[test]
    fn utf16_files_are_read_with_a_warning() {
        let text = "root=/dev/vda name=ü€😀 \r\n";
        for unit in [u16::to_le_bytes, u16::to_be_bytes] {
            let mut raw = utf16_bytes("\u{FEFF}", unit);
            raw.extend(utf16_bytes(text, unit));
            assert_eq!(decoded(&raw), (text.trim().into(), Some(Warning::Utf16)));
            raw.extend(utf16_bytes("more", unit));
            assert_eq!(decoded(&raw), (text.trim().into(), Some(Warning::MoreLines)));
            raw.push(0);
            let offset = raw.len() - 1;
            assert_eq!(decoded(&raw), (String::new(), Some(Warning::Binary { offset })));
        }
        assert_eq!(decoded(&[0xFF, 0xFE]), (String::new(), Some(Warning::Utf16)));
    }

    #[test]
    fn binary_files_are_ignored() {
        let unmarked = utf16_bytes("monitor", u16::to_le_bytes);
        for (raw, offset) in [
            (&b"a\0b"[..], 1),
            (b"monitor\n\x7fELF", 8),
            (b"ab\xC3", 2),
            (b"ab\xED\xA0\x80", 2),
            (b"\xEF\xBB\xBFab\x80", 5),
            ("abc \u{85}".as_bytes(), 4),
            (&unmarked, 1),
            (b"\xFF\xFEa\0\0\0", 4),
            (b"\xFF\xFEa\0\x00\xDCb\0", 4),
            (b"\xFE\xFF\0a\xD8\x00\0b", 4),
        ] {
            assert_eq!(decoded(raw), (String::new(), Some(Warning::Binary { offset })), "{raw:x?}");
        }
    }

    #[test]
    fn long_lines_are_cut_between_words() {
        let limit = MAX_LEN;
        let long = Some(Warning::TooLong { limit });
        let word = "x".repeat(MAX_LEN);
        assert_eq!(decoded(word.as_bytes()), (word.clone(), None));
        assert_eq!(decoded(format!("{word}  \n").as_bytes()), (word.clone(), None));
        assert_eq!(decoded(format!("{word} y").as_bytes()), (word.clone(), long));
        assert_eq!(decoded(format!("{word}x").as_bytes()), (String::new(), long));
        assert_eq!(decoded(format!("ab {word}").as_bytes()), ("ab".into(), long));
        // Not inside of quotes, and not within a character.
        assert_eq!(decoded(format!("ab c=\"d {word}\" e").as_bytes()), ("ab".into(), long));
        let wide = "€".repeat(MAX_LEN / 3 + 1);
        assert_eq!(decoded(format!("ab {wide}").as_bytes()), ("ab".into(), long));
        let many = "abcdefg ".repeat(8192);
        assert_eq!(decoded(many.as_bytes()), (many[..MAX_LEN - 1].into(), long));
        // The caller's buffer may set a tighter limit.
        let long = |limit| Some(Warning::TooLong { limit });
        assert_eq!(decode(b"ab cd", &mut [0; 4]), Decoded { text: "ab", warning: long(4) });
        assert_eq!(decode(b"ab", &mut []), Decoded { text: "", warning: long(0) });
    }

    #[test]
    fn a_read_may_stop_within_a_character() {
        let mut raw = b"monitor\n".to_vec();
        raw.resize(MAX_LEN, b' ');
        raw.push(0xE2);
        assert_eq!(decoded(&raw), ("monitor".into(), None));
        raw.push(b' ');
        let offset = MAX_LEN;
        assert_eq!(decoded(&raw), (String::new(), Some(Warning::Binary { offset })));

        let mut raw = vec![0xFF, 0xFE];
        raw.extend(utf16_bytes(&format!("ab{}", " ".repeat(MAX_LEN)), u16::to_le_bytes));
        for cut in [&[][..], b"a", &[0x3D, 0xD8], &[0x3D, 0xD8, 0]] {
            let raw = [&raw, cut].concat();
            assert_eq!(decoded(&raw), ("ab".into(), Some(Warning::Utf16)), "{cut:x?}");
        }
        raw.extend([0x00, 0xDC]);
        assert!(matches!(decoded(&raw).1, Some(Warning::Binary { .. })));
    }

    #[test]
    fn load_options_lose_the_image_name() {
        for (raw, text) in [
            ("monitor", Some("monitor")),
            ("BOOTX64.EFI monitor", Some("monitor")),
            ("FS0:\\EFI\\BOOT\\BOOTX64.efi  monitor x ", Some("monitor x")),
            ("\"FS0:\\My Files\\sis.efi\" monitor", Some("monitor")),
            ("FS0:\\sis monitor", Some("monitor")),
            ("loader.efi", None),
            ("fs0:\\", None),
            ("  ", None),
            ("", None),
            ("initrd=\\initrd.img root=/dev/vda", Some("initrd=\\initrd.img root=/dev/vda")),
            ("init=/x.efi", Some("init=/x.efi")),
            ("x=\\y.efi a", Some("a")),
            ("root=LABEL=Büro", Some("root=LABEL=Büro")),
            ("日本語.efi monitor", Some("monitor")),
            ("monitor\0\u{1}\u{2}", Some("monitor")),
            ("monitor\r\nmore", Some("monitor")),
            ("\u{FEFF}monitor\0", Some("monitor")),
        ] {
            assert_eq!(options_text(raw).as_deref(), text, "{raw:?}");
        }
    }

    #[test]
    fn load_options_that_are_no_text() {
        // What OVMF adds to the boot options it makes: gBmAutoCreateBootOptionGuid, 8108AC4E-9F11-...
        let guid = [
            0x4E, 0xAC, 0x08, 0x81, 0x11, 0x9F, 0x59, 0x4D, 0x85, 0x0E, 0xE2, 0x1A, 0x52, 0x2C,
            0x59, 0xB2,
        ];
        assert!(
            char::decode_utf16(guid.chunks(2).map(|c| u16::from_le_bytes([c[0], c[1]])))
                .all(|c| c.is_ok())
        );
        assert_eq!(options(&guid), None);
        for raw in [
            &b"monitor"[..],
            b"WINDOWS\0",
            b"\0",
            b"\x01\0\0\0a\0",
            b"a\0\x07\0b\0",
            b"a\0b\0\x00\xD8",
            b"a\0\x00\xDCb\0",
        ] {
            assert_eq!(options(raw), None, "{raw:x?}");
        }
    }

    #[test]
    fn random_guids_are_not_taken_for_text() {
        let mut random = Random(5);
        for _ in 0..20_000 {
            let mut guid = [0u8; 16];
            guid[..8].copy_from_slice(&random.next().to_le_bytes());
            guid[8..].copy_from_slice(&random.next().to_le_bytes());
            // Version 4, variant 1, as RFC 9562 has them.
            guid[7] = guid[7] & 0x0F | 0x40;
            guid[8] = guid[8] & 0x3F | 0x80;
            assert_eq!(options(&guid), None, "{guid:x?}");
        }
    }

    #[test]
    fn words_and_params() {
        let param = |key, value| Param { key, value };
        for (text, expected) in [
            ("", &[][..]),
            (" \t ", &[]),
            ("a", &[param("a", None)]),
            ("a=b c=", &[param("a", Some("b")), param("c", Some(""))]),
            ("root=UUID=12-34", &[param("root", Some("UUID=12-34"))]),
            ("a=\"b c\" d", &[param("a", Some("b c")), param("d", None)]),
            ("\"a b=c d\" e", &[param("a b", Some("c d")), param("e", None)]),
            ("\"a b\"", &[param("a b", None)]),
            ("a=\"b c", &[param("a", Some("b c"))]),
            ("a=x\"b c\"", &[param("a", Some("x\"b c\""))]),
            ("\"\" \"", &[param("", None), param("", None)]),
            ("=a ==b", &[param("=a", None), param("=", Some("b"))]),
            ("a -- b=c", &[param("a", None)]),
            ("a\r\nb", &[param("a", None), param("b", None)]),
            ("ä=ö", &[param("ä", Some("ö"))]),
        ] {
            let found: Vec<_> = CommandLine::new(text).params().collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn the_getters() {
        let line = CommandLine::new(
            "root=/dev/vda rw console=tty0 monitor console=ttyS0,115200 ro panic=halt panic=exit \
             video=1024x768 hz=0x64 selftest=mm init= -- strace root=/dev/vdb",
        );
        assert_eq!(line.root(), Some("/dev/vda"));
        assert!(line.flag("monitor") && line.flag("selftest") && !line.flag("strace"));
        assert_eq!(line.last("panic"), Some("exit"));
        assert_eq!(line.last("init"), Some(""));
        assert_eq!(line.last("monitor"), None);
        assert_eq!(line.all("console").collect::<Vec<_>>(), ["tty0", "ttyS0,115200"]);
        assert_eq!((line.initrd(), line.root_is_writable()), (None, false));
        assert_eq!(line.video(), Ok(Some((1024, 768))));
        assert_eq!((line.number("hz"), line.number("maxcpus")), (Ok(Some(100)), Ok(None)));
        assert!(CommandLine::new("ro rw").root_is_writable());
        assert!(!CommandLine::new("").root_is_writable());
        assert_eq!(CommandLine::new("root= initrd=").root(), None);
    }

    #[test]
    fn bad_values_are_named() {
        for value in ["", "x", "1024", "1024x", "x768", "0x768", "1024x0", "-1x1", "4294967296x1"] {
            let text = format!("video={value}");
            let error = CommandLine::new(&text).video().unwrap_err();
            assert_eq!((error.key, error.value), ("video", value));
        }
        assert_eq!(CommandLine::new("video=800X600").video(), Ok(Some((800, 600))));
        let line = CommandLine::new("hz=fast");
        let text = line.number("hz").unwrap_err().to_string();
        assert_eq!(text, "hz=\"fast\" ignored: a decimal or 0x number wanted");
    }

    #[test]
    fn the_unknown_goes_to_init() {
        let line = CommandLine::new(
            "root=/dev/vda single TERM=vt100 monitor usb.debug=1 a.b X=\"1 2\" v=1.5 -- -c root=x a.b --",
        );
        let argument = |key, value| Unknown::Argument(Param { key, value });
        let found: Vec<_> = line.unknown().collect();
        assert_eq!(
            found,
            [
                argument("single", None),
                Unknown::Environment { key: "TERM", value: "vt100" },
                Unknown::Environment { key: "X", value: "1 2" },
                Unknown::Environment { key: "v", value: "1.5" },
                argument("-c", None),
                argument("root", Some("x")),
                argument("a.b", None),
                argument("--", None),
            ]
        );
    }

    #[test]
    fn the_table_of_options() {
        for (i, option) in KNOWN_OPTIONS.iter().enumerate() {
            assert!(KNOWN_OPTIONS[..i].iter().all(|other| other.name != option.name), "{option}");
            assert!(!option.help.is_empty() && option.help.len() < 60, "{option}");
            assert!(option.name.bytes().all(|b| b.is_ascii_alphanumeric()), "{option}");
            let line = CommandLine::new(option.name);
            assert!(line.flag(option.name) && line.unknown().next().is_none());
        }
        let shown = |name| find(name).map(|option| format!("{option:20}|")).unwrap();
        assert_eq!(shown("ro"), "ro                  |");
        assert_eq!(shown("video"), "video=WxH           |");
        assert_eq!(shown("selftest"), "selftest[=NAME,...] |");
    }

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("007", Ok(7)),
            ("18446744073709551615", Ok(u64::MAX)),
            ("18446744073709551616", Err(NumberError::Overflow)),
            ("0xFFFFFFFFffffffff", Ok(u64::MAX)),
            ("0X10", Ok(16)),
            ("0x1_0", Err(NumberError::Digit)),
            ("0x10000000000000000", Err(NumberError::Overflow)),
            ("", Err(NumberError::Empty)),
            ("0x", Err(NumberError::Empty)),
            ("+1", Err(NumberError::Digit)),
            ("-1", Err(NumberError::Digit)),
            ("0x+1", Err(NumberError::Digit)),
            ("99999999999999999999x", Err(NumberError::Digit)),
            ("١", Err(NumberError::Digit)),
        ] {
            assert_eq!(parse_u64(text), expected, "{text:?}");
        }
    }

    #[test]
    fn warnings_are_words_and_ordered() {
        let all = [
            Warning::Utf16,
            Warning::MoreLines,
            Warning::TooLong { limit: 1 },
            Warning::Binary { offset: 0 },
        ];
        assert!(all.windows(2).all(|w| w[0] < w[1]));
        assert_eq!(all[2].to_string(), "longer than 1 bytes; cut at the last blank before that");
    }

    /// Random text of the characters that mean something here.
    fn random_text(random: &mut Random) -> String {
        const PIECES: [&str; 18] = [
            " ", " ", "\"", "=", "a", "root", "ro", "video", "9x9", "--", "-", ".", "\\", ".efi",
            "\t", "\r\n", "€", "😀",
        ];
        (0..random.below(20)).map(|_| PIECES[random.below(PIECES.len())]).collect()
    }

    fn is_piece_of(piece: &str, text: &str) -> bool {
        let (inner, outer) = (piece.as_bytes().as_ptr_range(), text.as_bytes().as_ptr_range());
        outer.start <= inner.start && inner.end <= outer.end
    }

    #[test]
    fn random_text_is_split_without_loss() {
        let mut random = Random(6);
        for _ in 0..60_000 {
            let text = random_text(&mut random);
            let line = CommandLine::new(&text);
            let mut kept = String::new();
            for word in line.words() {
                assert!(is_piece_of(word, &text) && !word.is_empty());
                let Param { key, value } = Param::parse(word);
                assert!(
                    is_piece_of(key, word) && value.is_none_or(|value| is_piece_of(value, word))
                );
                kept.push_str(word);
            }
            // Only blanks are lost between the words.
            let dense = |s: &str| s.split_ascii_whitespace().collect::<String>();
            assert_eq!(dense(&kept), dense(&text));
            let known = line.params().filter(|p| find(p.key).is_some()).count();
            let dotted = |p: &Param<'_>| find(p.key).is_none() && p.key.contains('.');
            let marker = usize::from(line.words().any(|word| word == "--"));
            let passed = line.params().filter(dotted).count();
            assert_eq!(known + passed + marker + line.unknown().count(), line.words().count());
            assert_eq!(line.root(), line.last("root").filter(|v| !v.is_empty()));
            assert!(line.video() != Ok(Some((0, 0))));
        }
    }

    #[test]
    fn random_bytes_are_decoded_or_refused() {
        let mut random = Random(7);
        let (mut text_count, mut binary_count) = (0u32, 0u32);
        for _ in 0..60_000 {
            let text = random_text(&mut random);
            let mut raw = match random.below(4) {
                0 => utf16_bytes(&text, u16::to_le_bytes),
                1 => utf16_bytes(&format!("\u{FEFF}{text}"), u16::to_le_bytes),
                2 => utf16_bytes(&format!("\u{FEFF}{text}"), u16::to_be_bytes),
                _ => text.into_bytes(),
            };
            if random.below(2) == 0 && !raw.is_empty() {
                let at = random.below(raw.len());
                raw[at] = random.next() as u8;
            }
            let mut buffer = [0xAAu8; 64];
            let out = &mut buffer[..random.below(65)];
            let limit = out.len();
            let Decoded { text, warning } = decode(&raw, out);
            assert!(text.len() <= limit && !text.contains(|c: char| c.is_control() && c != '\t'));
            assert_eq!(text.trim_matches(is_blank), text);
            match warning {
                Some(Warning::Binary { offset }) => {
                    binary_count += 1;
                    assert!(text.is_empty() && offset < raw.len());
                }
                Some(Warning::TooLong { limit: told }) => assert_eq!(told, limit),
                _ => text_count += 1,
            }
            // Without a mark, the standard library is the judge.
            let marked = [&[0xFF, 0xFE][..], &[0xFE, 0xFF], &[0xEF, 0xBB, 0xBF]];
            if !marked.iter().any(|mark| raw.starts_with(mark)) {
                let odd = |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\n');
                let is_text = core::str::from_utf8(&raw).is_ok_and(|s| !s.contains(odd));
                assert_eq!(is_text, !matches!(warning, Some(Warning::Binary { .. })), "{raw:x?}");
            }
            if let Some(options) = load_options(&raw, out) {
                assert!(!options.text.is_empty() && options.text.len() <= limit);
            }
        }
        assert!(text_count > 5_000 && binary_count > 5_000, "{text_count} {binary_count}");
    }
}
