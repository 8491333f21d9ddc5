//! The line editor of the kernel's monitor: bytes from a terminal in, an edited line out.
//!
//! The monitor's loop calls [`Editor::start`] to show the prompt and then [`Editor::feed`] for
//! each byte that arrives. Nothing here knows a device: output goes to any `fmt::Write` for which
//! `\n` begins a new row at its left (a terminal's CR is that writer's business), names for Tab come
//! from a [`Completer`]. No allocation, no `unsafe`; about 9 KiB of state, made by a
//! `const fn` so that it can be a `static`.
//!
//! ```text
//! byte ─► keys: which key ─► Editor: what it does to the line ─► draw: what the terminal is sent
//!                              │ line: the text and the places in it
//!                              │ history: the lines before
//!                              └ complete: Tab
//! ```
//!
//! Invariants, kept for every sequence of input bytes:
//! * `cursor` lies on a character boundary of `text`;
//! * the terminal's line shows the prompt and the text, its cursor stands where ours does;
//! * a call does bounded work: at most a redraw of one line, or of one list of candidates.
//!
//! Every change of the line goes through [`Editor::replace`], the one place that draws. It uses
//! printable characters, spaces and backspace only, so any terminal will do, with no idea of
//! its width. Two limits come with that: a character counts as one column, and on a terminal whose
//! backspace stops at the left edge, a line longer than a row is drawn wrong (edited right) when
//! the cursor goes back over the edge. `^L` draws it afresh.

mod complete;
mod draw;
mod history;
mod keys;
mod line;
#[cfg(test)]
mod tests;

use core::fmt::Write;

pub use complete::Completer;
use draw::{BS, back, put, repeat, ring};
pub use history::HISTORY;
use history::History;
use keys::{Decoder, Key};
pub use line::CAPACITY;
use line::Line;

/// What a byte led to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// The line is still being edited.
    None,
    /// Enter: [`Editor::line`] is complete. Call [`Editor::start`] before the next byte.
    Line,
    /// `^C`: the line is given up. Call [`Editor::start`] before the next byte.
    Interrupted,
}

/// A line being edited, its history, and the state of the input decoder.
pub struct Editor {
    prompt: &'static str,
    text: Line,
    /// Byte offset in `text`.
    cursor: usize,
    /// What `^K`, `^U` and `^W` took last, for `^Y`.
    killed: Line,
    history: History,
    /// The age of the line that is shown: 0 = the one being edited.
    browsing: usize,
    /// The line being edited while `browsing` shows another.
    draft: Line,
    decoder: Decoder,
    /// The last key was a Tab that left a choice.
    after_tab: bool,
    /// A `Line` or `Interrupted` was returned: the next key begins a new line.
    finished: bool,
}

impl Editor {
    /// An editor with an empty line and history. `prompt` must be plain printable text.
    pub const fn new(prompt: &'static str) -> Self {
        Self {
            prompt,
            text: Line::EMPTY,
            cursor: 0,
            killed: Line::EMPTY,
            history: History::new(),
            browsing: 0,
            draft: Line::EMPTY,
            decoder: Decoder::new(),
            after_tab: false,
            finished: false,
        }
    }

    /// The line as it stands; after [`Event::Line`] the line that was entered, until `start` or the next key.
    pub fn line(&self) -> &str {
        self.text.as_str()
    }

    /// The cursor as a byte offset in [`Self::line`], always on a character boundary.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// The history, oldest line first.
    pub fn history(&self) -> impl Iterator<Item = &str> {
        self.history.iter()
    }

    /// Begins a new, empty line: prints the prompt at the terminal's cursor (column 0 by then).
    pub fn start(&mut self, out: &mut dyn Write) {
        self.clear();
        put(out, self.prompt);
    }

    /// Prints the prompt and the line again, as after foreign output that ended a row.
    pub fn redraw(&self, out: &mut dyn Write) {
        put(out, self.prompt);
        put(out, self.line());
        back(out, self.text.after(self.cursor));
    }

    /// Takes one byte from the terminal and draws what it changed.
    pub fn feed(&mut self, byte: u8, out: &mut dyn Write, completer: &dyn Completer) -> Event {
        let Some(key) = self.decoder.feed(byte) else {
            return Event::None;
        };
        if self.finished {
            self.clear();
        }
        let after_tab = core::mem::replace(&mut self.after_tab, false);
        let (cursor, len) = (self.cursor, self.text.len());
        match key {
            Key::Character(c) => self.replace(cursor, cursor, c.encode_utf8(&mut [0; 4]), out),
            Key::Enter => {
                self.move_to(len, out);
                put(out, "\n");
                self.history.push(&self.text);
                self.finished = true;
                return Event::Line;
            }
            Key::Interrupt => {
                put(out, "^C\n");
                self.finished = true;
                return Event::Interrupted;
            }
            Key::Tab => self.after_tab = self.tab(after_tab, out, completer),
            Key::Left => self.move_to(self.text.left(cursor), out),
            Key::Right => self.move_to(self.text.right(cursor), out),
            Key::WordLeft => self.move_to(self.text.word_left(cursor), out),
            Key::WordRight => self.move_to(self.text.word_right(cursor), out),
            Key::Home => self.move_to(0, out),
            Key::End => self.move_to(len, out),
            Key::Older => self.browse(self.browsing + 1, out),
            Key::Newer => self.browse(self.browsing.wrapping_sub(1), out),
            Key::EraseLeft => self.replace(self.text.left(cursor), cursor, "", out),
            Key::EraseRight => self.replace(cursor, self.text.right(cursor), "", out),
            Key::KillToEnd => self.kill(cursor, len, out),
            Key::KillToStart => self.kill(0, cursor, out),
            Key::KillWord => {
                // The blanks before the cursor, and what stands before them.
                let end = self.text.before(cursor).trim_end().len();
                self.kill(self.text.argument_start(end), cursor, out);
            }
            Key::Yank => {
                let killed = self.killed;
                self.replace(cursor, cursor, killed.as_str(), out);
            }
            Key::Repaint => {
                put(out, "\x1b[H\x1b[2J");
                self.redraw(out);
            }
        }
        Event::None
    }

    /// Shows the line of that age, or the draft for 0. Where there is none: the bell.
    fn browse(&mut self, age: usize, out: &mut dyn Write) {
        let shown = match age {
            0 => Some(self.draft),
            _ => self.history.get(age).copied(),
        };
        let Some(shown) = shown else {
            return ring(out);
        };
        if self.browsing == 0 {
            self.draft = self.text;
        }
        self.browsing = age;
        self.replace(0, self.text.len(), shown.as_str(), out);
    }

    fn kill(&mut self, start: usize, end: usize, out: &mut dyn Write) {
        if start < end {
            let text = self.text;
            self.killed.set(&text.as_str()[start..end]);
            self.replace(start, end, "", out);
        }
    }

    /// Puts `new` in the place of bytes `start..end`, the cursor after it, and draws the difference:
    /// to `start`, the new text and the old tail, blanks over what was longer, and back again.
    /// Rings the bell and changes nothing if the line would get too long.
    fn replace(&mut self, start: usize, end: usize, new: &str, out: &mut dyn Write) {
        let removed = self.text.as_str()[start..end].chars().count();
        let mut text = self.text;
        if !text.replace(start, end, new) {
            return ring(out);
        }
        // Over the old text, which the terminal still shows.
        self.move_to(start, out);
        self.text = text;
        self.cursor = start + new.len();
        let tail = self.text.after(self.cursor);
        let surplus = removed.saturating_sub(new.chars().count());
        put(out, new);
        put(out, tail);
        repeat(out, ' ', surplus);
        repeat(out, BS, surplus);
        back(out, tail);
    }

    /// Moves the cursor to byte `to`, a character boundary: by backspaces, or over the text itself.
    fn move_to(&mut self, to: usize, out: &mut dyn Write) {
        let line = self.line();
        if to < self.cursor {
            back(out, &line[to..self.cursor]);
        } else {
            put(out, &line[self.cursor..to]);
        }
        self.cursor = to;
    }

    fn clear(&mut self) {
        self.text.clear();
        self.cursor = 0;
        self.browsing = 0;
        self.finished = false;
    }
}
