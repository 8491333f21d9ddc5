//! What becomes of a byte that arrives.
//!
//! In this order: errors of the line; LNEXT's next byte; mapping of the eighth bit and of capitals; STOP and START;
//! signals; CR and NL; the keys that edit a line ([`super::edit`]); and whatever is left is echoed and kept.
//!
//! With EXTPROC whoever holds the other end of a pair does all that, and bytes are only kept.

use super::super::termios::{Input, Local, cc};
use super::settings::Mode;
use super::{CAPACITY, Events, Line, NTty, THROTTLE_ROOM};

/// What the line says of a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Good,
    /// No byte: the line was held low.
    Break,
    /// Wrong parity, or no stop bit.
    Bad,
    /// No byte: some were lost here.
    Overrun,
}

impl NTty {
    /// Takes bytes that have arrived, with a mark for each, or none if all are good; returns how many. The rest stays with
    /// the caller until [`Events::ROOM`].
    ///
    /// While a line is typed and none waits to be read, everything is taken: what has no place is dropped, and the line
    /// can still be edited and ended. Else there would be no way out.
    pub fn receive(&mut self, bytes: &[u8], marks: &[Mark], line: &mut dyn Line) -> usize {
        let mut taken = 0;
        loop {
            let mut room = CAPACITY as isize - self.ring.held() as isize;
            if self.settings.input.contains(Input::PARMRK) {
                // Each may become three.
                room = (room + 2) / 3;
            }
            room -= 1;
            let mut overflow = false;
            if room <= 0 {
                overflow = self.mode_makes_lines() && !self.ring.has_line();
                if overflow && room < 0 {
                    self.ring.head = self.ring.head.wrapping_sub(1);
                }
                room = isize::from(overflow);
                self.refused = !overflow && taken < bytes.len();
            }
            let count = (bytes.len() - taken).min(room as usize);
            if count == 0 {
                break;
            }
            let marks = marks.get(taken..taken + count).unwrap_or_default();
            if !(overflow && marks.first() == Some(&Mark::Bad)) {
                self.receive_some(&bytes[taken..taken + count], marks, line);
            }
            taken += count;
        }
        if !self.is_pair {
            self.check_throttle();
        }
        if self.refused && self.held_for_readers() == 0 {
            self.kick();
        }
        taken
    }

    /// Looks for STOP and START in bytes that [`Self::receive`] has left: they work even when nothing else has room.
    /// Each byte is shown to it once.
    pub fn look_ahead(&mut self, bytes: &[u8], marks: &[Mark], line: &mut dyn Line) {
        self.looked_ahead += bytes.len();
        if self.settings.input.contains(Input::IXON) {
            for (at, &byte) in bytes.iter().enumerate() {
                if marks.get(at).is_none_or(|mark| *mark == Mark::Good) {
                    self.flow_character(byte, false, line);
                }
            }
        }
    }

    fn mode_makes_lines(&self) -> bool {
        self.local(Local::ICANON)
    }

    fn check_throttle(&mut self) {
        if self.mode_makes_lines() && !self.ring.has_line() {
            return;
        }
        if !self.throttled && CAPACITY - self.ring.held() < THROTTLE_ROOM {
            self.throttled = true;
            self.events |= Events::THROTTLE;
        }
    }

    fn receive_some(&mut self, bytes: &[u8], marks: &[Mark], line: &mut dyn Line) {
        let looked_ahead = self.looked_ahead.min(bytes.len());
        let mark = |at: usize| marks.get(at).copied().unwrap_or(Mark::Good);
        let maps = self.settings.input.contains(Input::ISTRIP)
            || self.settings.input.contains(Input::IUCLC) && self.local(Local::IEXTEN);
        if self.mode == Mode::Raw || self.local(Local::EXTPROC) && !maps {
            for (at, &byte) in bytes.iter().enumerate() {
                match mark(at) {
                    Mark::Good => self.ring.put(byte),
                    bad => self.marked(byte, bad, line),
                }
            }
        } else {
            for (at, &byte) in bytes.iter().enumerate() {
                self.receive_byte(byte, mark(at), at < looked_ahead, line);
            }
            self.flush_echoes(line);
        }
        // A signal may have set it to 0 meanwhile.
        self.looked_ahead = self.looked_ahead.saturating_sub(looked_ahead);
        if !self.settings.makes_lines() {
            self.ring.shown = self.ring.head;
            if self.ring.held() > 0 {
                self.events |= Events::READABLE;
            }
        }
    }

    fn receive_byte(&mut self, byte: u8, mark: Mark, looked_ahead: bool, line: &mut dyn Line) {
        let literal = core::mem::take(&mut self.literal);
        if mark != Mark::Good {
            return self.marked(byte, mark, line);
        }
        let mut byte = byte;
        if self.settings.input.contains(Input::ISTRIP) {
            byte &= 0x7f;
        }
        if self.settings.input.contains(Input::IUCLC) && self.local(Local::IEXTEN) {
            byte = lower(byte);
        }
        if literal {
            self.ordinary(byte, line);
        } else if self.local(Local::EXTPROC) {
            self.ring.put(byte);
        } else if self.special.contains(byte) {
            self.special(byte, looked_ahead, line);
        } else {
            self.ordinary(byte, line);
        }
    }

    // ---- errors of the line ----

    fn marked(&mut self, byte: u8, mark: Mark, line: &mut dyn Line) {
        let input = self.settings.input;
        let parmrk = input.contains(Input::PARMRK);
        match mark {
            Mark::Good | Mark::Overrun => {}
            Mark::Break if input.contains(Input::IGNBRK) => {}
            Mark::Break if input.contains(Input::BRKINT) => self.signal(Events::INTERRUPT, line),
            Mark::Break if parmrk => b"\xff\0\0".iter().for_each(|&byte| self.ring.put(byte)),
            Mark::Break => self.ring.put(0),
            Mark::Bad if !input.contains(Input::INPCK) => self.ring.put(byte),
            Mark::Bad if input.contains(Input::IGNPAR) => {}
            Mark::Bad if parmrk => [0xff, 0, byte].iter().for_each(|&byte| self.ring.put(byte)),
            Mark::Bad => self.ring.put(0),
        }
    }

    // ---- bytes that mean nothing ----

    fn ordinary(&mut self, byte: u8, line: &mut dyn Line) {
        self.any_key_starts(line);
        if self.local(Local::ECHO) {
            self.echo_typed(byte, line);
        }
        self.keep(byte);
    }

    /// Echoes a byte of the line that is being typed.
    pub(super) fn echo_typed(&mut self, byte: u8, line: &mut dyn Line) {
        self.finish_erasing();
        if self.ring.typed() == 0 {
            self.echo.set_canon_column();
        }
        self.echo_char(byte);
        self.commit_echoes(line);
    }

    /// Puts a byte into the ring, twice if a single one would look like PARMRK's mark.
    pub(super) fn keep(&mut self, byte: u8) {
        if byte == 0xff && self.settings.input.contains(Input::PARMRK) {
            self.ring.put(byte);
        }
        self.ring.put(byte);
    }

    fn any_key_starts(&mut self, line: &mut dyn Line) {
        if self.stopped
            && !self.stopped_by_program
            && self.settings.input.contains(Input::IXON | Input::IXANY)
        {
            self.start();
            self.process_echoes(line);
        }
    }

    // ---- bytes that may mean something ----

    fn special(&mut self, byte: u8, looked_ahead: bool, line: &mut dyn Line) {
        if self.settings.input.contains(Input::IXON) && self.flow_character(byte, looked_ahead, line) {
            return;
        }
        if self.local(Local::ISIG) {
            let signals =
                [(cc::VINTR, Events::INTERRUPT), (cc::VQUIT, Events::QUIT), (cc::VSUSP, Events::SUSPEND)];
            if let Some((_, signal)) = signals.into_iter().find(|(index, _)| self.settings.cc[*index] == byte)
            {
                return self.signal_key(byte, signal, line);
            }
        }
        self.any_key_starts(line);
        let byte = match byte {
            b'\r' if self.settings.input.contains(Input::IGNCR) => return,
            b'\r' if self.settings.input.contains(Input::ICRNL) => b'\n',
            b'\n' if self.settings.input.contains(Input::INLCR) => b'\r',
            byte => byte,
        };
        if self.mode_makes_lines() && self.edit(byte, line) {
            return;
        }
        if self.local(Local::ECHO) {
            if byte == b'\n' {
                self.finish_erasing();
                self.echo.raw(b'\n');
                self.commit_echoes(line);
            } else {
                self.echo_typed(byte, line);
            }
        }
        self.keep(byte);
    }

    /// STOP or START; whether it was one. Those that were obeyed beforehand are only dropped.
    fn flow_character(&mut self, byte: u8, looked_ahead: bool, line: &mut dyn Line) -> bool {
        let starts = self.settings.is(cc::VSTART, byte);
        if !starts && !self.settings.is(cc::VSTOP, byte) {
            return false;
        }
        if !looked_ahead {
            if starts {
                self.start();
                self.process_echoes(line);
            } else {
                self.stop();
            }
        }
        true
    }

    fn signal_key(&mut self, byte: u8, signal: Events, line: &mut dyn Line) {
        self.signal(signal, line);
        if self.settings.input.contains(Input::IXON) {
            self.start();
        }
        if self.local(Local::ECHO) {
            self.echo_char(byte);
            self.commit_echoes(line);
        } else {
            self.process_echoes(line);
        }
    }

    /// A signal; unless NOFLSH says otherwise, all that is under way is dropped.
    fn signal(&mut self, signal: Events, line: &mut dyn Line) {
        self.events |= signal;
        if !self.local(Local::NOFLSH) {
            self.echo.clear();
            line.discard();
            self.forget_input();
            self.events |= Events::WRITABLE;
        }
    }
}

/// Small letters of Latin-1, as Linux knows them.
fn lower(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => byte + 32,
        _ => byte,
    }
}
