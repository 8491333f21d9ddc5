//! What is to be shown of what was typed, and when.
//!
//! Echo is not sent as it arises. It is noted, and sent at the end of a portion of input, as far as the line has room and
//! is not stopped: so a signal can drop it, and it never waits for the line. Whoever writes sends what is left first.
//!
//! Three things cannot be noted as bytes, because they depend on the column where the cursor will be then. They are noted
//! as orders: 0xff and a code. A byte 0xff itself is 0xff twice, and a control character that is shown as ^X is 0xff
//! and the character.
//!
//! ```text
//!   ff 80      the last byte took no column: it went on with a character
//!   ff 81      here begins the line that is being typed
//!   ff 82 n    move back over a tab; n columns were taken since the previous tab (bit 7) or the line's start
//! ```

use super::super::termios::Local;
use super::ring::{CAPACITY, zeroed};
use super::{Line, NTty};
use alloc::collections::TryReserveError;
use alloc::vec::Vec;

const ORDER: u8 = 0xff;
const MOVE_BACK: u8 = 0x80;
const CANON_COLUMN: u8 = 0x81;
const ERASE_TAB: u8 = 0x82;

/// Bytes noted at which they are sent before the portion ends, and again after each so many.
const BLOCK: usize = 256;
/// Bytes noted at which the oldest are dropped, so that the next block has room.
const MOST: usize = CAPACITY - (BLOCK + 32);

/// The notes: a ring of bytes, whose positions only grow.
pub struct EchoBuffer {
    bytes: Vec<u8>,
    head: usize,
    /// Whole notes end here: one that is being made is not sent in halves.
    mark: usize,
    /// To be sent up to here.
    commit: usize,
    tail: usize,
}

impl EchoBuffer {
    pub fn new() -> Result<Self, TryReserveError> {
        Ok(Self { bytes: zeroed()?, head: 0, mark: 0, commit: 0, tail: 0 })
    }

    pub fn clear(&mut self) {
        (self.head, self.mark, self.commit, self.tail) = (0, 0, 0, 0);
    }

    fn add(&mut self, byte: u8) {
        self.bytes[self.head % CAPACITY] = byte;
        self.head = self.head.wrapping_add(1);
    }

    fn at(&self, position: usize) -> u8 {
        self.bytes[position % CAPACITY]
    }

    /// A byte that goes through output processing, and is not shown as ^X.
    pub fn raw(&mut self, byte: u8) {
        self.add(byte);
        if byte == ORDER {
            self.add(ORDER);
        }
    }

    pub fn set_canon_column(&mut self) {
        self.add(ORDER);
        self.add(CANON_COLUMN);
    }

    pub fn move_back(&mut self) {
        self.add(ORDER);
        self.add(MOVE_BACK);
    }

    pub fn erase_tab(&mut self, columns: u32, after_tab: bool) {
        self.add(ORDER);
        self.add(ERASE_TAB);
        // The column modulo 8 is all that matters.
        self.add((columns & 7) as u8 | if after_tab { 0x80 } else { 0 });
    }

    /// Bytes of the note at `position`.
    fn len_at(&self, position: usize) -> usize {
        match (self.at(position), self.at(position.wrapping_add(1))) {
            (ORDER, ERASE_TAB) => 3,
            (ORDER, _) => 2,
            _ => 1,
        }
    }
}

impl NTty {
    /// Notes a byte as it is shown.
    pub(super) fn echo_char(&mut self, byte: u8) {
        if byte.is_ascii_control() && byte != b'\t' && self.local(Local::ECHOCTL) {
            self.echo.add(ORDER);
            self.echo.add(byte);
        } else {
            self.echo.raw(byte);
        }
    }

    /// A note is whole. Sends, if many have come together.
    pub(super) fn commit_echoes(&mut self, line: &mut dyn Line) {
        self.echo.mark = self.echo.head;
        let waiting = self.echo.commit.wrapping_sub(self.echo.tail);
        let all = self.echo.head.wrapping_sub(self.echo.tail);
        if all < BLOCK || all % BLOCK > waiting % BLOCK {
            return;
        }
        self.echo.commit = self.echo.head;
        self.send_echoes(line);
    }

    /// Sends all whole notes.
    pub(super) fn process_echoes(&mut self, line: &mut dyn Line) {
        if self.echo.mark != self.echo.tail {
            self.echo.commit = self.echo.mark;
            self.send_echoes(line);
        }
    }

    /// The same at the end of a portion of input.
    pub(super) fn flush_echoes(&mut self, line: &mut dyn Line) {
        if self.settings.local.intersects(Local::ECHO | Local::ECHONL) && self.echo.commit != self.echo.head {
            self.echo.commit = self.echo.head;
            self.send_echoes(line);
        }
    }

    fn send_echoes(&mut self, line: &mut dyn Line) {
        let mut room = self.room(line);
        while self.echo.tail != self.echo.commit {
            let Some(sent) = self.send_note(room, line) else { break };
            room -= sent;
        }
        while self.echo.commit.wrapping_sub(self.echo.tail) >= MOST {
            self.echo.tail = self.echo.tail.wrapping_add(self.echo.len_at(self.echo.tail));
        }
    }

    /// Sends one note, and returns how many bytes that were; none if there is not enough room.
    fn send_note(&mut self, room: usize, line: &mut dyn Line) -> Option<usize> {
        let tail = self.echo.tail;
        let byte = self.echo.at(tail);
        let sent = if byte != ORDER {
            self.send_byte(byte, room, line)?
        } else {
            match self.echo.at(tail.wrapping_add(1)) {
                ERASE_TAB => self.send_erased_tab(self.echo.at(tail.wrapping_add(2)), room, line)?,
                CANON_COLUMN => {
                    self.canon_column = self.column;
                    0
                }
                MOVE_BACK => {
                    self.column = self.column.saturating_sub(1);
                    0
                }
                ORDER if room >= 1 => {
                    line.send(&[ORDER]);
                    self.column = self.column.wrapping_add(1);
                    1
                }
                control if control != ORDER && room >= 2 => {
                    line.send(&[b'^', control ^ 0x40]);
                    self.column = self.column.wrapping_add(2);
                    2
                }
                _ => return None,
            }
        };
        self.echo.tail = tail.wrapping_add(self.echo.len_at(tail));
        Some(sent)
    }

    fn send_byte(&mut self, byte: u8, room: usize, line: &mut dyn Line) -> Option<usize> {
        if self.processes_output() {
            return self.process_output(byte, room, line);
        }
        if room == 0 {
            return None;
        }
        line.send(&[byte]);
        Some(1)
    }

    fn send_erased_tab(&mut self, note: u8, room: usize, line: &mut dyn Line) -> Option<usize> {
        let start = if note & 0x80 == 0 { self.canon_column } else { 0 };
        let back = 8 - (u32::from(note & 0x7f).wrapping_add(start) & 7);
        if back as usize > room {
            return None;
        }
        line.send(&[b'\x08'; 8][..back as usize]);
        self.column = self.column.saturating_sub(back);
        Some(back as usize)
    }
}
