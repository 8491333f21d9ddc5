//! New settings, and what follows from them for bytes that are already there.
//!
//! Type-ahead survives a change between lines and raw bytes. To raw: readers may have everything at once, ends of lines
//! being bytes like others, and ends of files too: a zero. Back to lines: what was not read counts as one line, ended by
//! whatever byte came last.

use super::super::termios::{DISABLED, Input, Local, Termios, cc};
use super::{Events, Line, NTty};

/// 256 bits.
#[derive(Clone, Default)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    pub fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte) / 64] >> (byte % 64) & 1 != 0
    }

    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte) / 64] |= 1 << (byte % 64);
    }

    /// The bytes that have to be looked at more closely.
    pub fn of(settings: &Termios) -> Self {
        let mut set = Self::default();
        let (input, local) = (settings.input, settings.local);
        let mut characters =
            |indexes: &[usize]| indexes.iter().for_each(|&index| set.insert(settings.cc[index]));
        if local.contains(Local::ICANON) {
            characters(&[cc::VERASE, cc::VKILL, cc::VEOF, cc::VEOL]);
            if local.contains(Local::IEXTEN) {
                characters(&[cc::VWERASE, cc::VLNEXT, cc::VEOL2]);
                if local.contains(Local::ECHO) {
                    characters(&[cc::VREPRINT]);
                }
            }
        }
        if input.contains(Input::IXON) {
            characters(&[cc::VSTART, cc::VSTOP]);
        }
        if local.contains(Local::ISIG) {
            characters(&[cc::VINTR, cc::VQUIT, cc::VSUSP]);
        }
        if local.contains(Local::ICANON) || input.contains(Input::INLCR) {
            set.insert(b'\n');
        }
        if input.intersects(Input::IGNCR | Input::ICRNL) {
            set.insert(b'\r');
        }
        // A character that is switched off.
        set.0[0] &= !(1 << DISABLED);
        set
    }
}

/// How input is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Byte by byte.
    Cooked,
    /// As it comes, but for those with errors.
    Raw,
}

impl Mode {
    pub fn of(settings: &Termios) -> Self {
        let input = Input::ISTRIP | Input::IUCLC | Input::IGNCR | Input::ICRNL | Input::INLCR | Input::IXON;
        let cooked = settings.input.intersects(input | Input::PARMRK)
            || settings.local.intersects(Local::ICANON | Local::ISIG | Local::ECHO);
        if cooked { Self::Cooked } else { Self::Raw }
    }
}

impl NTty {
    /// Takes new settings; at once, whatever the caller has waited for before.
    pub fn set(&mut self, new: Termios, line: &mut dyn Line) {
        let old = core::mem::replace(&mut self.settings, new);
        if (old.local ^ self.settings.local).intersects(Local::ICANON | Local::EXTPROC) {
            self.change_lines();
        }
        self.apply_settings();
        // Else nobody could start it any more.
        if old.input.contains(Input::IXON)
            && !self.settings.input.contains(Input::IXON)
            && !self.stopped_by_program
        {
            self.start();
            self.process_echoes(line);
        }
        self.events |= Events::READABLE | Events::WRITABLE;
    }

    /// The driver can do less than [`Self::set`] was told: takes its word on speeds and the like. Lines and flags of input
    /// are none of its business.
    pub fn adjust(&mut self, settings: Termios) {
        self.settings.control = settings.control;
        (self.settings.input_speed, self.settings.output_speed) =
            (settings.input_speed, settings.output_speed);
    }

    pub(super) fn apply_settings(&mut self) {
        self.special = ByteSet::of(&self.settings);
        self.mode = Mode::of(&self.settings);
    }

    /// What is there becomes one line, or no line.
    fn change_lines(&mut self) {
        self.ring.clear_ends();
        if self.local(Local::ICANON) && self.ring.held() > 0 {
            self.ring.set_end(self.ring.head.wrapping_sub(1));
            self.ring.lines = self.ring.head;
        } else {
            self.ring.lines = self.ring.tail;
        }
        self.ring.shown = self.ring.head;
        self.erasing = false;
        self.literal = false;
    }
}
