//! `syslog`: the kernel's log as lines, for `dmesg` and the daemons of old. What the others read is /dev/kmsg.
//!
//! ```text
//! <6>[    0.043868] cpu: idle by HLT
//! ```
//!
//! Source: the manual's syslog(2).

use super::{Arguments, Call};
use crate::arch::x86_64::usercopy;
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::devices::kmsg::PERIOD_NS;
use crate::log::ring::Cursor;
use crate::log::{self, LineBuffer, RING_BYTES};
use crate::mm::vma::room;
use crate::platform::{Machine, Platform};
use crate::sync::{Mutex, Rank, interrupt};
use alloc::vec::Vec;

/// How far those have read who share this.
struct Marks {
    /// READ goes on here.
    read: Cursor,
    /// For READ_ALL the log begins here.
    cleared: Cursor,
    /// What the consoles showed before CONSOLE_OFF.
    level: Option<u8>,
}

static MARKS: Mutex<Marks> =
    Mutex::new(Rank::KernelLog, Marks { read: Cursor::START, cleared: Cursor::START, level: None });

/// The next line as it is read, with its line feed; empty if there is none yet.
fn line(cursor: &mut Cursor, buffer: &mut LineBuffer, to: &mut Vec<u8>) -> Result<()> {
    to.clear();
    let Some(level) = log::copy_line(cursor, buffer) else { return Ok(()) };
    let text = buffer.as_str().as_bytes();
    room::reserve(to, text.len() + 4).map_err(|_| Errno::Enomem)?;
    to.extend_from_slice(&[b'<', b'0' + level.min(7), b'>']);
    to.extend_from_slice(text);
    to.push(b'\n');
    Ok(())
}

/// Bytes from a place on.
fn bytes_from(mut cursor: Cursor) -> Result<usize> {
    let (mut buffer, mut bytes, mut all) = (LineBuffer::new(), Vec::new(), 0);
    loop {
        line(&mut cursor, &mut buffer, &mut bytes)?;
        if bytes.is_empty() {
            return Ok(all);
        }
        all += bytes.len();
    }
}

/// Copies whole lines for as long as they fit; returns their bytes.
fn copy(cursor: &mut Cursor, to: u64, len: usize) -> Result<usize> {
    let (mut buffer, mut bytes, mut done) = (LineBuffer::new(), Vec::new(), 0);
    loop {
        let mut next = *cursor;
        line(&mut next, &mut buffer, &mut bytes)?;
        if bytes.is_empty() || done + bytes.len() > len {
            return Ok(done);
        }
        usercopy::copy_out(to + done as u64, &bytes)?;
        done += bytes.len();
        *cursor = next;
    }
}

/// READ: what is new, or waits for it.
fn read(to: u64, len: usize) -> Result<usize> {
    loop {
        let mut cursor = MARKS.lock().read;
        let done = copy(&mut cursor, to, len)?;
        if done > 0 {
            MARKS.lock().read = cursor;
            return Ok(done);
        }
        interrupt::sleep_until(Machine::now_ns() + PERIOD_NS)?;
    }
}

/// READ_ALL: the last lines that fit; and where that was the end.
fn read_all(to: u64, len: usize) -> Result<(usize, Cursor)> {
    let mut cursor = MARKS.lock().cleared;
    let mut over = bytes_from(cursor)?.saturating_sub(len);
    let (mut buffer, mut bytes) = (LineBuffer::new(), Vec::new());
    while over > 0 {
        line(&mut cursor, &mut buffer, &mut bytes)?;
        over = over.saturating_sub(bytes.len());
    }
    let done = copy(&mut cursor, to, len)?;
    Ok((done, cursor))
}

pub fn syslog(call: &mut Call<'_>, [kind, to, len, ..]: Arguments) -> Result<u64> {
    const CLOSE: u64 = 0;
    const OPEN: u64 = 1;
    const READ: u64 = 2;
    const READ_ALL: u64 = 3;
    const READ_CLEAR: u64 = 4;
    const CLEAR: u64 = 5;
    const CONSOLE_OFF: u64 = 6;
    const CONSOLE_ON: u64 = 7;
    const CONSOLE_LEVEL: u64 = 8;
    const SIZE_UNREAD: u64 = 9;
    const SIZE_BUFFER: u64 = 10;
    /// Nothing but the worst.
    const QUIET: u8 = 1;
    let kind = kind & 0xFFFF_FFFF;
    if !matches!(kind, READ_ALL | SIZE_BUFFER) && !call.process().credentials().is_root() {
        return Err(Errno::Eperm);
    }
    let len = len as i32;
    match kind {
        CLOSE | OPEN => Ok(0),
        READ | READ_ALL | READ_CLEAR => {
            if to == 0 || len < 0 {
                return Err(Errno::Einval);
            }
            if len == 0 {
                return Ok(0);
            }
            usercopy::check(to, len as u64)?;
            if kind == READ {
                return read(to, len as usize).map(|done| done as u64);
            }
            let (done, end) = read_all(to, len as usize)?;
            if kind == READ_CLEAR {
                MARKS.lock().cleared = end;
            }
            Ok(done as u64)
        }
        CLEAR => {
            MARKS.lock().cleared = log::end();
            Ok(0)
        }
        CONSOLE_OFF => {
            MARKS.lock().level.get_or_insert_with(log::console_level);
            log::set_console_level(QUIET);
            Ok(0)
        }
        CONSOLE_ON => {
            if let Some(before) = MARKS.lock().level.take() {
                log::set_console_level(before);
            }
            Ok(0)
        }
        CONSOLE_LEVEL => match len {
            1..=8 => {
                MARKS.lock().level = None;
                log::set_console_level(len as u8);
                Ok(0)
            }
            _ => Err(Errno::Einval),
        },
        SIZE_UNREAD => bytes_from(MARKS.lock().read).map(|bytes| bytes as u64),
        SIZE_BUFFER => Ok(RING_BYTES as u64),
        _ => Err(Errno::Einval),
    }
}
