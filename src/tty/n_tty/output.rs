//! What programs write: OPOST's mapping of line ends, tabs and capitals, and where the cursor is.
//!
//! The column is known only as far as bytes tell: a control sequence counts as if it were text. It is good enough for
//! what needs it, tabs that become spaces and tabs that are erased.

use super::super::termios::Output;
use super::{Line, NTty};

impl NTty {
    /// Writes as much as there is room for now, and returns how many bytes of `bytes` that was: none means that the
    /// caller has to wait for [`super::Events::WRITABLE`]. What was typed before is shown before.
    pub fn write(&mut self, bytes: &[u8], line: &mut dyn Line) -> usize {
        self.process_echoes(line);
        if !self.processes_output() {
            let count = bytes.len().min(self.room(line));
            line.send(&bytes[..count]);
            return count;
        }
        let mut written = 0;
        while written < bytes.len() {
            let rest = &bytes[written..];
            let room = self.room(line);
            let plain = self.plain(&rest[..rest.len().min(room)]);
            if plain > 0 {
                line.send(&rest[..plain]);
                written += plain;
                continue;
            }
            if self.process_output(rest[0], room, line).is_none() {
                break;
            }
            written += 1;
        }
        written
    }

    /// How many of these bytes are sent as they are; moves the column by them.
    fn plain(&mut self, bytes: &[u8]) -> usize {
        let upper = self.output(Output::OLCUC);
        let is_plain = |byte: &u8| !(byte.is_ascii_control() || upper);
        let count = bytes.iter().position(|byte| !is_plain(byte)).unwrap_or(bytes.len());
        let columns = bytes[..count].iter().filter(|&&byte| !self.continues(byte)).count() as u32;
        self.column = self.column.wrapping_add(columns);
        count
    }

    fn output(&self, flag: Output) -> bool {
        self.settings.output.contains(flag)
    }

    /// Sends one byte as OPOST has it; returns how many bytes that made, or none if there is no room for all of them.
    pub(super) fn process_output(&mut self, byte: u8, room: usize, line: &mut dyn Line) -> Option<usize> {
        if room == 0 {
            return None;
        }
        let mut byte = byte;
        match byte {
            b'\n' => {
                if self.output(Output::ONLRET) {
                    self.column = 0;
                }
                if self.output(Output::ONLCR) {
                    if room < 2 {
                        return None;
                    }
                    (self.column, self.canon_column) = (0, 0);
                    line.send(b"\r\n");
                    return Some(2);
                }
                self.canon_column = self.column;
            }
            b'\r' if self.output(Output::ONOCR) && self.column == 0 => return Some(0),
            b'\r' => {
                if self.output(Output::OCRNL) {
                    byte = b'\n';
                }
                if byte == b'\r' || self.output(Output::ONLRET) {
                    (self.column, self.canon_column) = (0, 0);
                }
            }
            b'\t' => {
                let spaces = 8 - (self.column & 7);
                if self.output(Output::TAB3) {
                    if room < spaces as usize {
                        return None;
                    }
                    self.column = self.column.wrapping_add(spaces);
                    line.send(&b"        "[..spaces as usize]);
                    return Some(spaces as usize);
                }
                self.column = self.column.wrapping_add(spaces);
            }
            b'\x08' => self.column = self.column.saturating_sub(1),
            _ if byte.is_ascii_control() => {}
            _ => {
                if self.output(Output::OLCUC) {
                    byte = upper(byte);
                }
                self.column = self.column.wrapping_add(u32::from(!self.continues(byte)));
            }
        }
        line.send(&[byte]);
        Some(1)
    }
}

/// Capitals of Latin-1, as Linux knows them: each small letter less 32, even ÿ and ß, whose capitals are elsewhere.
fn upper(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | 0xdf..=0xf6 | 0xf8..=0xff => byte - 32,
        _ => byte,
    }
}
