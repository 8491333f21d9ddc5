//! What a program is told: its arguments, its environment, and the name it was called by.
//!
//! They are collected while the old program still runs, since they are in its memory, and go to the new one's stack when
//! there is one. In between they lie here, as the old program gave them at the moment of copying: what its other threads
//! write meanwhile cannot make the sums wrong.
//!
//! Strings are kept one behind the other in pieces of a page ([`Strings`]), so that a megabyte of them needs no megabyte
//! in one piece. A script's interpreter takes the place of the first argument ([`Arguments::interpret`]):
//!
//! ```text
//!   exec of ./s, a script for /bin/sh -e, with             s a b
//!   the arguments are then                 /bin/sh -e ./s    a b
//!                                          ╰── prefix ──╯    ╰── argv without its first
//! ```
//!
//! Limits, as on Linux (fs/exec.c, `bprm_stack_limits`): each string is at most [`STRING_MAX`] long with its 0; all of
//! them and a pointer to each take at most a quarter of the stack's limit, but never more than [`TOTAL_MAX`], and
//! [`TOTAL_MIN`] are always allowed. Beyond that it is [`Errno::E2big`].

use alloc::vec::Vec;

use super::script::Script;
use crate::boot::layout::PAGE_SIZE;
use crate::errno::Errno;

/// Longest string, with its 0 (`MAX_ARG_STRLEN`).
pub const STRING_MAX: usize = 32 * PAGE_SIZE as usize;
/// Bytes that are allowed whatever the stack's limit is.
pub const TOTAL_MIN: u64 = 128 << 10;
/// Bytes that are not exceeded whatever the stack's limit is: three quarters of 8 MiB.
pub const TOTAL_MAX: u64 = 6 << 20;
/// Bytes of a pointer to a string.
const POINTER: u64 = 8;

const PIECE: usize = PAGE_SIZE as usize;

/// Strings one behind the other, each with a 0 at its end.
#[derive(Debug, Default)]
pub struct Strings {
    /// All but the last are full. Each has room for [`PIECE`] bytes and never grows.
    pieces: Vec<Vec<u8>>,
    bytes: u64,
    count: u64,
}

impl Strings {
    /// How many.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// How many bytes, with their zeroes.
    pub const fn len_bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes, from the first string on.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(Vec::as_slice)
    }

    fn append(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
                let mut piece = Vec::new();
                piece.try_reserve_exact(PIECE).map_err(|_| Errno::Enomem)?;
                self.pieces.try_reserve(1).map_err(|_| Errno::Enomem)?;
                self.pieces.push(piece);
            }
            let Some(piece) = self.pieces.last_mut() else { return Err(Errno::Enomem) };
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - piece.len()));
            piece.extend_from_slice(now);
            self.bytes += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }
}

/// Which list a string belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Arguments,
    Environment,
}

/// All that a program is told.
#[derive(Debug)]
pub struct Arguments {
    /// What scripts have put before the arguments. At most two strings and one for each script.
    prefix: Vec<Vec<u8>>,
    argv: Strings,
    /// The first of `argv` has been replaced by the prefix.
    without_first: bool,
    envp: Strings,
    /// The name that `execve` was given (AT_EXECFN).
    name: Vec<u8>,
    /// What still may be added.
    left: u64,
    /// Of the string that is being added.
    open_bytes: usize,
}

impl Arguments {
    /// None yet. `name` is what the program was called by; `stack_limit` is RLIMIT_STACK, `None` for unlimited.
    pub fn new(name: &[u8], stack_limit: Option<u64>) -> Result<Self, Errno> {
        let total = (stack_limit.unwrap_or(u64::MAX) / 4).clamp(TOTAL_MIN, TOTAL_MAX);
        let mut arguments = Self {
            prefix: Vec::new(),
            argv: Strings::default(),
            without_first: false,
            envp: Strings::default(),
            name: Vec::new(),
            left: total,
            open_bytes: 0,
        };
        arguments.charge(name.len() as u64 + 1)?;
        arguments.name = owned(name)?;
        Ok(arguments)
    }

    /// Adds bytes to the string at the end of a list. They contain no 0.
    pub fn append(&mut self, list: List, bytes: &[u8]) -> Result<(), Errno> {
        self.open_bytes = self.open_bytes.checked_add(bytes.len()).ok_or(Errno::E2big)?;
        if self.open_bytes >= STRING_MAX {
            return Err(Errno::E2big);
        }
        self.charge(bytes.len() as u64)?;
        self.list(list).append(bytes)
    }

    /// That was all of the string; the next bytes begin another. Fails as [`append`](Self::append) does.
    pub fn end(&mut self, list: List) -> Result<(), Errno> {
        self.charge(1 + POINTER)?;
        self.open_bytes = 0;
        let list = self.list(list);
        list.append(&[0])?;
        list.count += 1;
        Ok(())
    }

    /// A whole string.
    pub fn push(&mut self, list: List, string: &[u8]) -> Result<(), Errno> {
        self.append(list, string)?;
        self.end(list)
    }

    /// A program always has a first argument, as on Linux since 5.18: without any it is the empty string. To be called
    /// when all have been added, and before [`interpret`](Self::interpret).
    pub fn complete(&mut self) -> Result<(), Errno> {
        if self.argv.count == 0 { self.end(List::Arguments) } else { Ok(()) }
    }

    /// What was called `called` is a script: the program is its interpreter, and is told which script it is.
    pub fn interpret(&mut self, script: &Script<'_>, called: &[u8]) -> Result<(), Errno> {
        let parts = [Some(script.interpreter), script.argument, Some(called)];
        self.prefix.try_reserve(parts.len()).map_err(|_| Errno::Enomem)?;
        // In place of the first argument, which is the name by which an interpreter was called, or the user's.
        if self.without_first {
            self.prefix.remove(0);
        }
        self.without_first = true;
        for part in parts.into_iter().flatten().rev() {
            self.charge(part.len() as u64 + 1 + POINTER)?;
            self.prefix.insert(0, owned(part)?);
        }
        Ok(())
    }

    /// What the program was called by, whatever runs it.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many arguments there are.
    pub fn argument_count(&self) -> u64 {
        self.prefix.len() as u64 + self.argv.count - u64::from(self.without_first)
    }

    /// How many strings the environment has.
    pub const fn environment_count(&self) -> u64 {
        self.envp.count
    }

    /// Bytes of all strings, the name included, with their zeroes.
    pub fn len_bytes(&self) -> u64 {
        let mut sum = 0;
        self.for_each_piece(|piece| {
            sum += piece.len() as u64;
            Ok::<(), ()>(())
        })
        .map_or(0, |()| sum)
    }

    /// Hands out the bytes of all strings with their zeroes: arguments, environment, name. Not string by string.
    pub fn for_each_piece<E>(&self, mut each: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        for string in &self.prefix {
            each(string)?;
            each(&[0])?;
        }
        let mut skipping = self.without_first;
        for mut piece in self.argv.pieces() {
            if skipping {
                let Some(end) = piece.iter().position(|&byte| byte == 0) else { continue };
                skipping = false;
                piece = &piece[end + 1..];
            }
            each(piece)?;
        }
        for piece in self.envp.pieces() {
            each(piece)?;
        }
        each(&self.name)?;
        each(&[0])
    }

    const fn list(&mut self, list: List) -> &mut Strings {
        match list {
            List::Arguments => &mut self.argv,
            List::Environment => &mut self.envp,
        }
    }

    fn charge(&mut self, bytes: u64) -> Result<(), Errno> {
        self.left = self.left.checked_sub(bytes).ok_or(Errno::E2big)?;
        Ok(())
    }
}

fn owned(bytes: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| Errno::Enomem)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn arguments(argv: &[&[u8]], envp: &[&[u8]]) -> Arguments {
        let mut arguments = Arguments::new(b"./s", Some(8 << 20)).unwrap();
        argv.iter().for_each(|string| arguments.push(List::Arguments, string).unwrap());
        envp.iter().for_each(|string| arguments.push(List::Environment, string).unwrap());
        arguments.complete().unwrap();
        arguments
    }

    fn bytes(arguments: &Arguments) -> Vec<u8> {
        let mut all = vec![];
        arguments
            .for_each_piece(|piece| {
                all.extend_from_slice(piece);
                Ok::<(), ()>(())
            })
            .unwrap();
        assert_eq!(all.len() as u64, arguments.len_bytes());
        all
    }

    #[test]
    fn strings_in_order() {
        let arguments = arguments(&[b"s", b"", b"b"], &[b"A=1"]);
        assert_eq!(bytes(&arguments), b"s\0\0b\0A=1\0./s\0");
        assert_eq!((arguments.argument_count(), arguments.environment_count()), (3, 1));
    }

    #[test]
    fn scripts_put_their_interpreters_first() {
        let mut arguments = arguments(&[b"s", b"a"], &[b"A=1"]);
        let first = Script { interpreter: b"/bin/x", argument: Some(b"-e") };
        arguments.interpret(&first, b"./s").unwrap();
        assert_eq!(bytes(&arguments), b"/bin/x\0-e\0./s\0a\0A=1\0./s\0");
        assert_eq!(arguments.argument_count(), 4);
        // And /bin/x is a script too.
        let second = Script { interpreter: b"/bin/y", argument: None };
        arguments.interpret(&second, b"/bin/x").unwrap();
        assert_eq!(bytes(&arguments), b"/bin/y\0/bin/x\0-e\0./s\0a\0A=1\0./s\0");
        assert_eq!(arguments.argument_count(), 5);
        assert_eq!(arguments.name(), b"./s");
    }

    #[test]
    fn there_is_always_a_first_argument() {
        let mut arguments = arguments(&[], &[]);
        assert_eq!(bytes(&arguments), b"\0./s\0");
        arguments.interpret(&Script { interpreter: b"/i", argument: None }, b"./s").unwrap();
        assert_eq!(bytes(&arguments), b"/i\0./s\0./s\0");
    }

    /// The first argument, which a script's interpreter replaces, is longer than a piece, and ends where one does.
    #[test]
    fn strings_across_pieces() {
        for len in [PIECE - 2, PIECE - 1, PIECE, 2 * PIECE - 1, 3 * PIECE + 17] {
            let long = vec![b'x'; len];
            let mut arguments = arguments(&[&long, b"a"], &[&long]);
            let expected = [&long[..], b"\0a\0", &long, b"\0./s\0"].concat();
            assert_eq!(bytes(&arguments), expected);
            arguments.interpret(&Script { interpreter: b"/i", argument: None }, b"./s").unwrap();
            assert_eq!(bytes(&arguments), [b"/i\0./s\0a\0", &long[..], b"\0./s\0"].concat());
        }
    }

    #[test]
    fn a_string_may_be_128_kib_with_its_end() {
        let mut arguments = Arguments::new(b"x", None).unwrap();
        let long = vec![b'x'; STRING_MAX - 1];
        arguments.push(List::Arguments, &long).unwrap();
        arguments.append(List::Environment, &long).unwrap();
        assert_eq!(arguments.append(List::Environment, b"x"), Err(Errno::E2big));
        let mut arguments = Arguments::new(b"x", None).unwrap();
        assert_eq!(arguments.push(List::Arguments, &vec![b'x'; STRING_MAX]), Err(Errno::E2big));
    }

    #[test]
    fn all_together_take_a_quarter_of_the_stack() {
        // Each string of 7 bytes takes 16: itself, its 0, a pointer. The name takes 2.
        for (limit, total) in [
            (Some(8 << 20), 2 << 20),
            (Some(64 << 20), TOTAL_MAX),
            (None, TOTAL_MAX),
            (Some(0), TOTAL_MIN),
            (Some(1 << 20), 256 << 10),
        ] {
            let mut arguments = Arguments::new(b"n", limit).unwrap();
            let mut count = 0;
            while arguments.push([List::Arguments, List::Environment][count % 2], b"1234567").is_ok() {
                count += 1;
            }
            assert_eq!(count as u64, (total - 2) / 16, "{limit:?}");
        }
    }
}
