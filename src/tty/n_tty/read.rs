//! Who gets what, and when.
//!
//! A reader of lines gets one line, or as much of it as he asked for. A reader of raw bytes waits as MIN and TIME say
//! (POSIX 11.1.7):
//!
//! | MIN | TIME | he gets |
//! | --- | --- | --- |
//! | > 0 | > 0 | MIN bytes, or fewer when no more has come for TIME; the first may take as long as it likes |
//! | > 0 | 0 | MIN bytes, however long that takes |
//! | 0 | > 0 | whatever comes first within TIME, or nothing |
//! | 0 | 0 | what is there |
//!
//! The clock is the caller's: [`NTty::read`] says until when to wait, and is asked again then, or when
//! [`Events::READABLE`](super::Events::READABLE) has come up.
//!
//! Linux hands a read over in pieces of [`PIECE`] bytes, and asks for MIN in each: with a larger MIN, a read returns with
//! the first piece that is full. So does this.

use super::super::termios::{DISABLED, Local, cc};
use super::{CAPACITY, Events, NTty, UNTHROTTLE_HELD};

/// Bytes that are handed over at a time.
const PIECE: usize = 64;

/// No end of waiting.
pub const FOREVER: u64 = u64::MAX;

/// TIME's unit, in nanoseconds.
const TENTH_NS: u64 = 100_000_000;

/// A read that is under way.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Bytes that the buffer has.
    pub got: usize,
    minimum: usize,
    /// Between bytes.
    time_ns: u64,
    deadline_ns: u64,
    /// In the midst of pieces: there was more when the last one was full.
    goes_on: bool,
}

/// How far a read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is over.
    Done,
    /// It has to wait, not longer than to this time. Who does not want to wait may take what it has got.
    Wait { until_ns: u64 },
}

impl NTty {
    /// Begins a read at `now_ns`. MIN and TIME are what they are now, even if they change while it waits.
    pub fn begin_read(&self, now_ns: u64) -> Reading {
        let time_ns = u64::from(self.settings.cc[cc::VTIME]) * TENTH_NS;
        let mut reading = Reading { got: 0, minimum: 0, time_ns: 0, deadline_ns: FOREVER, goes_on: false };
        if !self.local(Local::ICANON) {
            match self.minimum() {
                0 => {
                    reading.minimum = 1;
                    reading.deadline_ns = now_ns + time_ns;
                }
                minimum => {
                    reading.minimum = minimum;
                    reading.time_ns = time_ns;
                }
            }
        }
        reading
    }

    /// Goes on with it as far as that is possible.
    pub fn read(&mut self, reading: &mut Reading, buffer: &mut [u8], now_ns: u64) -> Step {
        let tail = self.ring.tail;
        let step = loop {
            if !reading.goes_on {
                match self.first_piece(reading, buffer, now_ns) {
                    Some(Step::Done) if reading.goes_on => continue,
                    Some(step) => break step,
                    None => break Step::Done,
                }
            }
            let room = PIECE.min(buffer.len() - reading.got);
            let piece = &mut buffer[reading.got..reading.got + room];
            if self.settings.makes_lines() && room == 0 {
                self.skip_end_of_file();
            } else {
                let (count, more) = self.copy(piece);
                reading.got += count;
                if more && room > 0 {
                    continue;
                }
            }
            break Step::Done;
        };
        if tail != self.ring.tail {
            self.has_been_read();
        }
        step
    }

    /// The first piece: the one that waits. None is a full buffer without more to come.
    fn first_piece(&mut self, reading: &mut Reading, buffer: &mut [u8], now_ns: u64) -> Option<Step> {
        let end = buffer.len().min(PIECE);
        while reading.got < end {
            if !self.is_readable(false) {
                if now_ns >= reading.deadline_ns {
                    return Some(Step::Done);
                }
                return Some(Step::Wait { until_ns: reading.deadline_ns });
            }
            let makes_lines = self.settings.makes_lines();
            let (count, more) = self.copy(&mut buffer[reading.got..end]);
            reading.got += count;
            if more && (makes_lines || reading.got >= reading.minimum) {
                reading.goes_on = true;
                return Some(Step::Done);
            }
            if reading.got >= reading.minimum {
                return Some(Step::Done);
            }
            if reading.time_ns > 0 {
                reading.deadline_ns = now_ns + reading.time_ns;
            }
        }
        None
    }

    /// Copies what fits; returns how much, and whether a reader who asked for more would get it at once.
    fn copy(&mut self, piece: &mut [u8]) -> (usize, bool) {
        if piece.is_empty() {
            (0, false)
        } else if self.settings.makes_lines() {
            self.copy_line(piece)
        } else {
            self.copy_raw(piece)
        }
    }

    fn copy_raw(&mut self, piece: &mut [u8]) -> (usize, bool) {
        let mut copied = 0;
        // In two, where the ring comes round.
        while copied < piece.len() {
            let there = self.ring.piece(self.ring.tail, self.ring.readable().min(piece.len() - copied));
            if there.is_empty() {
                break;
            }
            let count = there.len();
            piece[copied..copied + count].copy_from_slice(there);
            self.ring.tail = self.ring.tail.wrapping_add(count);
            copied += count;
        }
        // The other end of a pair ends a file by a single EOF.
        let ends_file = copied == 1 && piece[0] == self.settings.cc[cc::VEOF] && self.ring.readable() == 0;
        if ends_file && self.local(Local::EXTPROC | Local::ICANON) {
            return (0, false);
        }
        (copied, self.ring.readable() > 0)
    }

    fn copy_line(&mut self, piece: &mut [u8]) -> (usize, bool) {
        let most = self.ring.in_lines().min(piece.len());
        for (at, slot) in piece[..most].iter_mut().enumerate() {
            let position = self.ring.tail;
            let byte = self.ring.at(position);
            self.ring.tail = position.wrapping_add(1);
            if !self.ring.is_end(position) {
                *slot = byte;
                continue;
            }
            self.ring.clear_end(position);
            if byte == DISABLED {
                return (at, false);
            }
            *slot = byte;
            return (at + 1, false);
        }
        (most, self.ring.has_line())
    }

    /// The buffer was filled by a line up to its end of file: that is part of this read, not the next one's.
    fn skip_end_of_file(&mut self) {
        let tail = self.ring.tail;
        if self.ring.has_line() && self.ring.is_end(tail) && self.ring.at(tail) == DISABLED {
            self.ring.clear_end(tail);
            self.ring.tail = tail.wrapping_add(1);
        }
    }

    /// Bytes that keep the other end from going on.
    pub(super) fn held_for_readers(&self) -> usize {
        if self.local(Local::ICANON) { self.ring.in_lines() } else { self.ring.readable() }
    }

    fn has_been_read(&mut self) {
        self.kick();
        if self.throttled && self.held_for_readers() <= UNTHROTTLE_HELD {
            self.throttled = false;
            self.events |= Events::THROTTLE;
        }
    }
}

const _: () = assert!(PIECE <= CAPACITY);
