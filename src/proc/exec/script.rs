//! `#!`: the first line of a script says which program runs it.
//!
//! ```text
//!   #! /bin/awk   -f {print $1}  ⏎          exec of ./s with arguments a b
//!      ╰──┬───╯   ╰─────┬─────╯             becomes /bin/awk with  "/bin/awk" "-f {print $1}" "./s" a b
//!    interpreter    argument: one, whatever is in it
//! ```
//!
//! The line is looked for in the first [`HEAD_BYTES`] of the file. Longer than that it may be as far as its argument is
//! concerned, which is cut off; an interpreter's name that may have been cut off is refused, for it would be another's.
//! All as on Linux (fs/binfmt_script.c), whose behaviour other systems' differ from and scripts have come to rely on.

use crate::errno::Errno;

/// How much of a file is looked at.
pub const HEAD_BYTES: usize = 256;
/// How many times in a row a program may turn out to be a script; the one behind them is no script. Then it is ELOOP.
pub const SCRIPTS_MAX: usize = 5;

/// What the first line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script<'a> {
    /// A path, relative ones included. Not empty.
    pub interpreter: &'a [u8],
    /// Without blanks around it. Not empty.
    pub argument: Option<&'a [u8]>,
}

impl<'a> Script<'a> {
    /// `head`: the first [`HEAD_BYTES`] of the file, or all of it. `None` if it is no script; [`Errno::Enoexec`] for one
    /// without an interpreter, or with one whose name does not end in there.
    pub fn read(head: &'a [u8]) -> Option<Result<Self, Errno>> {
        let head = &head[..head.len().min(HEAD_BYTES)];
        let line = head.strip_prefix(b"#!")?;
        Some(Self::parse(line, head.len() == HEAD_BYTES).ok_or(Errno::Enoexec))
    }

    /// `line` is what follows the two characters; the file goes on behind it if `is_cut`.
    fn parse(line: &'a [u8], is_cut: bool) -> Option<Self> {
        // It ends at its newline, at a 0, or where the file does.
        let end = line.iter().position(|&byte| byte == b'\n' || byte == 0);
        let line = trim_start(&line[..end.unwrap_or(line.len())]);
        let name_end = line.iter().position(|&byte| is_blank(byte));
        if line.is_empty() || (is_cut && end.is_none() && name_end.is_none()) {
            return None;
        }
        let (interpreter, rest) = line.split_at(name_end.unwrap_or(line.len()));
        let argument = trim_end(trim_start(rest));
        Some(Self { interpreter, argument: Some(argument).filter(|argument| !argument.is_empty()) })
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim_start(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|&byte| !is_blank(byte));
    &line[start.unwrap_or(line.len())..]
}

fn trim_end(line: &[u8]) -> &[u8] {
    let last = line.iter().rposition(|&byte| !is_blank(byte));
    &line[..last.map_or(0, |last| last + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn read(head: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
        let script = Script::read(head).expect("a script").ok()?;
        Some((script.interpreter, script.argument))
    }

    #[test]
    fn interpreters_and_their_one_argument() {
        let sh: &[u8] = b"/bin/sh";
        assert_eq!(read(b"#!/bin/sh\n"), Some((sh, None)));
        assert_eq!(read(b"#!/bin/sh"), Some((sh, None)), "the file ends without a newline");
        assert_eq!(read(b"#! \t/bin/sh \t \nexit"), Some((sh, None)));
        assert_eq!(read(b"#!/bin/sh -e\n"), Some((sh, Some(&b"-e"[..]))));
        assert_eq!(read(b"#!/bin/sh  -e  -x \n"), Some((sh, Some(&b"-e  -x"[..]))), "one, with its blanks");
        assert_eq!(read(b"#!/bin/sh -e\0x\n"), Some((sh, Some(&b"-e"[..]))));
        assert_eq!(read(b"#!/bin/sh\r\n"), Some((&b"/bin/sh\r"[..], None)), "as on Linux");
        assert_eq!(read(b"#!sh\n"), Some((&b"sh"[..], None)));
    }

    #[test]
    fn what_is_none_and_what_names_none() {
        for none in [&b""[..], b"#", b"# !/bin/sh\n", b"\x7fELF", b"\n#!/bin/sh\n"] {
            assert_eq!(Script::read(none), None);
        }
        for bad in [&b"#!"[..], b"#!\n/bin/sh", b"#!  \t \n", b"#! ", b"#!\0/bin/sh\n"] {
            assert_eq!(Script::read(bad), Some(Err(Errno::Enoexec)), "{bad:?}");
        }
    }

    #[test]
    fn a_long_argument_is_cut_and_a_long_name_refused() {
        let line = |name: usize, rest: &[u8]| -> Vec<u8> {
            let name = core::iter::repeat_n(b'x', name);
            b"#!".iter().copied().chain(name).chain(rest.iter().copied()).collect()
        };
        assert_eq!(read(&line(253, b"\n")).unwrap().0.len(), 253, "the newline is the 256th byte");
        assert_eq!(read(&line(254, b"\n")), None);
        assert_eq!(read(&line(300, b" -x\n")), None);
        assert_eq!(read(&line(253, b"")).unwrap().0.len(), 253, "255 bytes: that is all of the file");
        let long = line(10, &[b" "[..].to_vec(), [b'a'; 400].to_vec()].concat());
        assert_eq!(read(&long).unwrap().1.unwrap().len(), HEAD_BYTES - 13);
    }

    #[test]
    fn noise_is_read_without_leaving_the_line() {
        let mut random = crate::testing::Random::new(9);
        for _ in 0..100_000 {
            let mut head = b"#!".to_vec();
            head.extend((0..random.index(300)).map(|_| random.pick(b"a/ \t\n\0b-")));
            let Some((interpreter, argument)) = read(&head) else { continue };
            assert!(!interpreter.is_empty() && !interpreter.iter().any(|b| b" \t\n\0".contains(b)));
            let argument = argument.unwrap_or(b"x");
            assert!(!argument.is_empty() && !argument.iter().any(|b| b"\n\0".contains(b)));
            assert!(!is_blank(argument[0]) && !is_blank(argument[argument.len() - 1]));
        }
    }
}
