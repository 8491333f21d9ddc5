//! kmsg: the kernel's log as records that programs can take apart, and lines that programs add to it.
//!
//! ```text
//! 6,42,123456,-;cpu: idle by HLT
//! │ │  │      │ └ what the console shows behind the time
//! │ │  │      └ no flags
//! │ │  └ microseconds since the kernel's entry
//! │ └ counts records
//! └ how urgent, by syslog's numbers
//! ```
//!
//! Each `read` gives one record, whole, to a buffer that it fits into (EINVAL else); behind the last one it waits. A reader
//! whose next record has been overwritten is told so once (EPIPE) and goes on with the oldest that is left. The log is
//! written from everywhere, under whatever lock, so that nobody can be woken there: a reader who waits looks again every
//! 50 ms.
//!
//! Source: Linux Documentation/ABI/testing/dev-kmsg.

use super::super::Result;
use super::super::file::{File, FileOps};
use super::super::flags::{OpenFlags, Whence};
use super::super::io::{Sink, Source, moved};
use super::super::poll::{Events, Watch};
use crate::errno::Errno;
use crate::log::ring::Cursor;
use crate::log::{self, LineBuffer, Meta};
use crate::platform::{Machine, Platform};
use crate::sync::{Mutex, Rank, interrupt};
use ::log::Level;
use core::fmt::{self, Write};

/// How often one who waits looks.
pub const PERIOD_NS: u64 = 50_000_000;
/// Longest line that is taken.
const LINE_MAX: usize = 976;

/// One opening.
pub struct Kmsg {
    place: Mutex<Place>,
}

struct Place {
    cursor: Cursor,
    /// Nothing was read yet, so that nothing was missed.
    is_fresh: bool,
}

impl Kmsg {
    pub fn new(_: OpenFlags) -> Self {
        Self { place: Mutex::new(Rank::KernelLog, Place { cursor: Cursor::START, is_fresh: true }) }
    }
}

/// Text with everything but printing ASCII and UTF-8 written as `\xNN`.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in self.0.split_inclusive(|c: char| c.is_control() || c == '\\') {
            let last = piece.chars().next_back().filter(|&c| c.is_control() || c == '\\');
            let behind = piece.len() - last.map_or(0, char::len_utf8);
            f.write_str(&piece[..behind])?;
            piece[behind..].bytes().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

/// A record as it is read.
struct Shown<'a>(Meta, &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Meta { sequence, timestamp_ns, level } = self.0;
        writeln!(f, "{},{sequence},{},-;{}", level.min(7), timestamp_ns / 1000, Escaped(self.1))
    }
}

/// Counts bytes, and lets them go.
struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// Puts text.
struct Put<'a> {
    to: &'a mut dyn Sink,
    done: usize,
}

impl Write for Put<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let put = self.to.put(text.as_bytes());
        self.done += put;
        if put == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// How urgent a written line is, and where it begins: `<6>text` as a program of syslog's writes it, or just text.
fn parse(line: &[u8]) -> (Level, &[u8]) {
    let level = |number: u32| match number & 7 {
        0..=3 => Level::Error,
        4 => Level::Warn,
        5 | 6 => Level::Info,
        _ => Level::Debug,
    };
    let end = line.iter().take(6).position(|&byte| byte == b'>');
    let number = match (line.first(), end) {
        (Some(b'<'), Some(end)) => {
            core::str::from_utf8(&line[1..end]).ok().and_then(|text| text.parse().ok())
        }
        _ => None,
    };
    match (number, end) {
        (Some(number), Some(end)) => (level(number), &line[end + 1..]),
        _ => (Level::Warn, line),
    }
}

/// Bytes as text; what is no UTF-8 as `\xNN`.
struct Lossy<'a>(&'a [u8]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

impl FileOps for Kmsg {
    fn read(&self, file: &File, to: &mut dyn Sink, _: u64) -> Result<usize> {
        let mut line = LineBuffer::new();
        let mut place = self.place.lock();
        let (meta, next) = loop {
            let mut cursor = place.cursor;
            if let Some(meta) = log::copy(&mut cursor, &mut line) {
                break (meta, cursor);
            }
            if file.flags().contains(OpenFlags::NONBLOCK) {
                return Err(Errno::Eagain);
            }
            drop(place);
            interrupt::sleep_until(Machine::now_ns() + PERIOD_NS)?;
            place = self.place.lock();
        };
        if meta.sequence != place.cursor.sequence() && !place.is_fresh {
            place.is_fresh = true;
            return Err(Errno::Epipe);
        }
        let shown = Shown(meta, line.as_str());
        let mut length = Length(0);
        let _ = write!(length, "{shown}");
        if length.0 > to.room() {
            return Err(Errno::Einval);
        }
        let mut put = Put { to, done: 0 };
        let _ = write!(put, "{shown}");
        let done = moved(put.done)?;
        *place = Place { cursor: next, is_fresh: false };
        Ok(done)
    }

    fn write(&self, _: &File, from: &mut dyn Source, _: u64) -> Result<usize> {
        let mut bytes = [0; LINE_MAX];
        let len = from.left();
        let line = bytes.get_mut(..len).ok_or(Errno::Einval)?;
        if len == 0 {
            return Ok(0);
        }
        if from.take(line) < len {
            return Err(Errno::Efault);
        }
        let (level, text) = parse(line.trim_ascii_end());
        ::log::log!(target: "user", level, "{}", Lossy(text));
        Ok(len)
    }

    /// To the first record, or behind the last; nowhere else.
    fn seek(&self, _: &File, offset: i64, whence: Whence, _: u64) -> Result<u64> {
        let cursor = match (offset, whence) {
            (0, Whence::Set) => Cursor::START,
            (0, Whence::End) => log::end(),
            (0, _) => return Err(Errno::Einval),
            _ => return Err(Errno::Espipe),
        };
        *self.place.lock() = Place { cursor, is_fresh: true };
        Ok(0)
    }

    fn poll(&self, _: &File, watch: Option<&mut Watch>) -> Events {
        if let Some(watch) = watch {
            watch.look_again_at(Machine::now_ns() + PERIOD_NS);
        }
        let mut cursor = self.place.lock().cursor;
        let has_more = log::copy(&mut cursor, &mut LineBuffer::new()).is_some();
        let read = if has_more { Events::IN | Events::RDNORM } else { Events::empty() };
        read | Events::OUT | Events::WRNORM
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn a_record_is_one_line() {
        let meta = Meta { sequence: 42, timestamp_ns: 123_456_789, level: 8 };
        let shown = format!("{}", Shown(meta, "cpu: a\nb\\ \u{e9}\u{7f}"));
        assert_eq!(shown, "7,42,123456,-;cpu: a\\x0ab\\x5c \u{e9}\\x7f\n");
    }

    #[test]
    fn urgency_stands_in_front() {
        assert_eq!(parse(b"<3>it burns"), (Level::Error, b"it burns".as_slice()));
        // The numbers above 7 are the part of the system that speaks.
        assert_eq!(parse(b"<30>x"), (Level::Info, b"x".as_slice()));
        for plain in [b"plain".as_slice(), b"<x>y", b"<>", b"<", b"", b"<1234567>", b"a<6>b"] {
            assert_eq!(parse(plain), (Level::Warn, plain));
        }
        assert_eq!(format!("{}", Lossy(b"a\xffb")), "a\\xffb");
    }
}
