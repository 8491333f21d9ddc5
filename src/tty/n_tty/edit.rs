//! The keys that edit a line, and those that end it.
//!
//! ERASE takes back a character, WERASE a word, KILL the line; REPRINT shows it again, LNEXT takes the next key's meaning
//! away; NL, EOL and EOL2 end it, and EOF ends it without being part of it.
//!
//! What is erased has to vanish from the screen as well. For a letter that is \b, space, \b; a control character is shown
//! as two. A tab is harder: how wide it was depends on the column where it began. That is counted back from what is in
//! the line, to the previous tab or to the line's start, whose column is remembered ([`super::echo`]).

use super::super::termios::{DISABLED, Input, Local, cc};
use super::{Events, Line, NTty};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Erase {
    Character,
    Word,
    Line,
}

impl NTty {
    /// Whether the byte was such a key, and all is done.
    pub(super) fn edit(&mut self, byte: u8, line: &mut dyn Line) -> bool {
        let extended = self.local(Local::IEXTEN);
        let is = |index: usize| self.settings.cc[index] == byte;
        let erase = if is(cc::VERASE) {
            Some(Erase::Character)
        } else if extended && is(cc::VWERASE) {
            Some(Erase::Word)
        } else {
            is(cc::VKILL).then_some(Erase::Line)
        };
        if let Some(what) = erase {
            self.erase(what);
            self.commit_echoes(line);
            return true;
        }
        if extended && is(cc::VLNEXT) {
            self.literal_next(line);
            return true;
        }
        if extended && is(cc::VREPRINT) && self.local(Local::ECHO) {
            self.reprint(byte, line);
            return true;
        }
        if byte == b'\n' {
            if self.settings.local.intersects(Local::ECHO | Local::ECHONL) {
                self.echo.raw(b'\n');
                self.commit_echoes(line);
            }
            self.end_line(byte);
            return true;
        }
        if is(cc::VEOF) {
            self.end_line(DISABLED);
            return true;
        }
        if is(cc::VEOL) || extended && is(cc::VEOL2) {
            if self.local(Local::ECHO) {
                if self.ring.typed() == 0 {
                    self.echo.set_canon_column();
                }
                self.echo_char(byte);
                self.commit_echoes(line);
            }
            if byte == 0xff && self.settings.input.contains(Input::PARMRK) {
                self.ring.put(byte);
            }
            self.end_line(byte);
            return true;
        }
        false
    }

    /// The line is whole: it belongs to readers now.
    fn end_line(&mut self, byte: u8) {
        self.ring.make_room();
        self.ring.set_end(self.ring.head);
        self.ring.put(byte);
        self.ring.lines = self.ring.head;
        self.events |= Events::READABLE;
    }

    fn literal_next(&mut self, line: &mut dyn Line) {
        self.literal = true;
        if self.local(Local::ECHO) {
            self.finish_erasing();
            if self.local(Local::ECHOCTL) {
                // A caret that the next character will stand upon.
                self.echo.raw(b'^');
                self.echo.raw(b'\x08');
                self.commit_echoes(line);
            }
        }
    }

    fn reprint(&mut self, byte: u8, line: &mut dyn Line) {
        self.finish_erasing();
        self.echo_char(byte);
        self.echo.raw(b'\n');
        for at in 0..self.ring.typed() {
            self.echo_char(self.ring.at(self.ring.lines.wrapping_add(at)));
        }
        self.commit_echoes(line);
    }

    /// Whether the byte goes on with a character of several.
    pub(super) fn continues(&self, byte: u8) -> bool {
        self.settings.input.contains(Input::IUTF8) && byte & 0xc0 == 0x80
    }

    fn erase(&mut self, what: Erase) {
        if self.ring.typed() == 0 {
            return;
        }
        let echo = self.local(Local::ECHO);
        if what == Erase::Line && !(echo && self.local(Local::ECHOK | Local::ECHOKE | Local::ECHOE)) {
            self.ring.head = self.ring.lines;
            if echo {
                self.finish_erasing();
                self.echo_char(self.settings.cc[cc::VKILL]);
                if self.local(Local::ECHOK) {
                    self.echo.raw(b'\n');
                }
            }
            return;
        }
        let mut in_word = false;
        while self.ring.typed() > 0 {
            let Some(start) = self.last_character() else { break };
            let first = self.ring.at(start);
            if what == Erase::Word {
                let is_part = is_alphanumeric(first) || first == b'_';
                if in_word && !is_part {
                    break;
                }
                in_word |= is_part;
            }
            let count = self.ring.head.wrapping_sub(start);
            self.ring.head = start;
            if echo {
                self.show_erased(what, start, count);
            }
            if what == Erase::Character {
                break;
            }
        }
        if self.ring.typed() == 0 && echo {
            self.finish_erasing();
        }
    }

    /// Where the last character of the line begins; none if the line begins in the midst of it.
    fn last_character(&self) -> Option<usize> {
        let mut at = self.ring.head;
        loop {
            at = at.wrapping_sub(1);
            let goes_on = self.continues(self.ring.at(at));
            if !goes_on || at == self.ring.lines {
                return (!goes_on).then_some(at);
            }
        }
    }

    /// Shows that a character of `count` bytes at `start` is gone.
    fn show_erased(&mut self, what: Erase, start: usize, count: usize) {
        let byte = self.ring.at(start);
        if self.local(Local::ECHOPRT) {
            if !self.erasing {
                self.echo.raw(b'\\');
                self.erasing = true;
            }
            self.echo_char(byte);
            for at in 1..count {
                self.echo.raw(self.ring.at(start.wrapping_add(at)));
                self.echo.move_back();
            }
        } else if what == Erase::Character && !self.local(Local::ECHOE) {
            self.echo_char(self.settings.cc[cc::VERASE]);
        } else if byte == b'\t' {
            let (columns, after_tab) = self.columns_before(start);
            self.echo.erase_tab(columns, after_tab);
        } else {
            let columns = match (byte.is_ascii_control(), self.local(Local::ECHOCTL)) {
                (true, true) => 2,
                (true, false) => 0,
                (false, _) => 1,
            };
            for _ in 0..columns {
                b"\x08 \x08".iter().for_each(|&byte| self.echo.raw(byte));
            }
        }
    }

    /// Columns that the line takes from the last tab before `end`, or from its start; and whether it was a tab.
    fn columns_before(&self, end: usize) -> (u32, bool) {
        let (mut columns, mut at) = (0, end);
        while at != self.ring.lines {
            at = at.wrapping_sub(1);
            let byte = self.ring.at(at);
            if byte == b'\t' {
                return (columns, true);
            }
            columns += match byte.is_ascii_control() {
                true => 2 * u32::from(self.local(Local::ECHOCTL)),
                false => u32::from(!self.continues(byte)),
            };
        }
        (columns, false)
    }

    /// ECHOPRT's closing /, if it is open.
    pub(super) fn finish_erasing(&mut self) {
        if self.erasing {
            self.echo.raw(b'/');
            self.erasing = false;
        }
    }
}

/// Letters and digits of Latin-1, as Linux knows them.
fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, 0xc0..=0xff) && byte != 0xd7 && byte != 0xf7
}
