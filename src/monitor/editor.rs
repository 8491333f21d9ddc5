//! The line editor of the kernel's monitor: bytes from a terminal in, an edited line out.
//!
//! The monitor's loop calls [`Editor::start`] to show the prompt and then [`Editor::feed`] for
//! each byte that arrives. Nothing here knows a device: output goes to any `fmt::Write`, names
//! for Tab come from a [`Completer`]. No allocation, no `unsafe`; about 9 KiB of state, made by a
//! `const fn` so that it can be a `static`.
//!
//! Invariants, kept for every sequence of input bytes:
//! * `text[..len]` is UTF-8, and `cursor` lies on a character boundary in it;
//! * the terminal's line shows the prompt and the text, its cursor stands where ours does;
//! * a call does bounded work: at most a redraw of one line, or of one list of candidates.
//!
//! Every change of the line goes through [`Editor::replace`], the one place that draws. It uses
//! printable characters, spaces and backspace only, so any terminal will do, with no idea of
//! its width. Two limits come with that: a character counts as one column, and on a terminal whose
//! backspace stops at the left edge, a line longer than a row is drawn wrong (edited right) when
//! the cursor goes back over the edge. `^L` draws it afresh.
//!
//! Keys as in ECMA-48 §8.3 (CSI) and xterm's "PC-Style Function Keys"; the control characters
//! are those of the Emacs tradition.

use core::fmt::Write;

/// The longest line, in bytes of UTF-8.
pub const CAPACITY: usize = 256;
/// How many lines the history remembers.
pub const HISTORY: usize = 32;
/// The columns that a list of candidates may fill: the width of a classic terminal.
const LIST_COLUMNS: usize = 80;

const BEL: char = '\x07';
const BS: char = '\x08';

/// Who knows which words could stand at the cursor.
pub trait Completer {
    /// Hands `sink` the candidates for the word that ends at byte `cursor` of `line`. Each is the
    /// whole word, not what is missing of it; those that do not begin with what is typed are
    /// skipped by the editor, so a short table may simply be handed over. May be called more than
    /// once for one key and must then name the same words.
    fn complete(&self, line: &str, cursor: usize, sink: &mut dyn FnMut(&str));
}

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

/// A line's storage: a string of at most [`CAPACITY`] bytes.
#[derive(Clone, Copy)]
struct Text {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Text {
    const EMPTY: Self = Self { bytes: [0; CAPACITY], len: 0 };

    fn as_str(&self) -> &str {
        // Only whole `str`s are ever stored, so this cannot fail; an empty line beats a panic.
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }

    /// Replaces the contents; `false`, and nothing changed, if `new` is too long.
    fn set(&mut self, new: &str) -> bool {
        let Some(room) = self.bytes.get_mut(..new.len()) else {
            return false;
        };
        room.copy_from_slice(new.as_bytes());
        self.len = new.len();
        true
    }
}

/// Where the decoder stands within an escape sequence.
#[derive(Clone, Copy)]
enum Decoder {
    Ground,
    /// After ESC.
    Escape,
    /// After ESC O: one more byte names the key.
    Ss3,
    /// After ESC [: parameters, separated by semicolons, until a final byte.
    Csi {
        params: [u8; 2],
        index: usize,
    },
}

/// A line being edited, its history, and the state of the input decoder.
pub struct Editor {
    prompt: &'static str,
    text: Text,
    /// Byte offset in `text`.
    cursor: usize,
    /// What `^K`, `^U` and `^W` took last, for `^Y`.
    killed: Text,
    history: [Text; HISTORY],
    /// Lines in `history`, and the slot that the next one takes.
    stored: usize,
    next: usize,
    /// 0 = the line being edited, n = the n-th last line of the history.
    browsing: usize,
    /// The line being edited while `browsing` shows another.
    draft: Text,
    decoder: Decoder,
    /// A UTF-8 sequence that has not ended yet: its bytes so far, and how many it will have.
    partial: [u8; 4],
    partial_len: usize,
    partial_want: usize,
    /// The last byte was CR: an LF now belongs to it.
    after_cr: bool,
    /// The last key was a Tab that found several candidates.
    after_tab: bool,
    /// A `Line` or `Interrupted` was returned: the next byte begins a new line.
    finished: bool,
}

impl Editor {
    /// An editor with an empty line and history. `prompt` must be plain printable text.
    pub const fn new(prompt: &'static str) -> Self {
        Self {
            prompt,
            text: Text::EMPTY,
            cursor: 0,
            killed: Text::EMPTY,
            history: [Text::EMPTY; HISTORY],
            stored: 0,
            next: 0,
            browsing: 0,
            draft: Text::EMPTY,
            decoder: Decoder::Ground,
            partial: [0; 4],
            partial_len: 0,
            partial_want: 0,
            after_cr: false,
            after_tab: false,
            finished: false,
        }
    }

    /// The line as it stands; after [`Event::Line`] the line that was entered, until `start` or the next byte.
    pub fn line(&self) -> &str {
        self.text.as_str()
    }

    /// The cursor as a byte offset in [`Self::line`], always on a character boundary.
    pub fn cursor(&self) -> usize {
        self.cursor
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
        back(out, &self.line()[self.cursor..]);
    }

    /// The history, oldest line first.
    pub fn history(&self) -> impl Iterator<Item = &str> {
        (1..=self.stored).rev().map(|age| self.recall(age))
    }

    /// Takes one byte from the terminal and draws what it changed.
    pub fn feed(&mut self, byte: u8, out: &mut dyn Write, completer: &dyn Completer) -> Event {
        if self.finished && !(byte == b'\n' && self.after_cr) {
            self.clear();
        }
        let after_cr = core::mem::replace(&mut self.after_cr, false);
        let after_tab = core::mem::replace(&mut self.after_tab, false);
        // A control character ends whatever sequence was under way, and still does its own work.
        if byte < 0x20 || byte == 0x7f {
            self.decoder = Decoder::Ground;
            self.partial_len = 0;
        }
        match self.decoder {
            Decoder::Escape => self.escape(byte, out),
            Decoder::Ss3 => {
                self.decoder = Decoder::Ground;
                self.key(byte, [0; 2], out);
            }
            Decoder::Csi { params, index } => self.csi(byte, params, index, out),
            Decoder::Ground => match byte {
                b'\r' | b'\n' => {
                    self.after_cr = byte == b'\r';
                    if byte == b'\n' && after_cr {
                        return Event::None;
                    }
                    return self.enter(out);
                }
                0x03 => {
                    put(out, "^C\r\n");
                    self.finished = true;
                    return Event::Interrupted;
                }
                b'\t' => self.tab(after_tab, out, completer),
                0x1b => self.decoder = Decoder::Escape,
                0x00..0x20 | 0x7f => self.control(byte, out),
                _ => self.decode(byte, out),
            },
        }
        Event::None
    }

    /// The control characters that edit.
    fn control(&mut self, byte: u8, out: &mut dyn Write) {
        let (len, cursor) = (self.text.len, self.cursor);
        match byte {
            0x01 => self.move_to(0, out),                        // ^A
            0x02 => self.move_to(self.left(), out),              // ^B
            0x04 => self.replace(cursor, self.right(), "", out), // ^D
            0x05 => self.move_to(len, out),                      // ^E
            0x06 => self.move_to(self.right(), out),             // ^F
            0x08 | 0x7f => self.replace(self.left(), cursor, "", out),
            0x0b => self.kill(cursor, len, out), // ^K
            0x0c => {
                // ^L
                put(out, "\x1b[H\x1b[2J");
                self.redraw(out);
            }
            0x0e => self.browse(self.browsing.wrapping_sub(1), out), // ^N
            0x10 => self.browse(self.browsing + 1, out),             // ^P
            0x15 => self.kill(0, cursor, out),                       // ^U
            0x17 => {
                // ^W: the blanks before the cursor and the word before them.
                let before = self.line()[..cursor].trim_end();
                let start = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
                self.kill(start, cursor, out);
            }
            0x19 => {
                // ^Y
                let killed = self.killed;
                self.replace(cursor, cursor, killed.as_str(), out);
            }
            _ => {}
        }
    }

    fn escape(&mut self, byte: u8, out: &mut dyn Write) {
        self.decoder = Decoder::Ground;
        match byte {
            b'[' => self.decoder = Decoder::Csi { params: [0; 2], index: 0 },
            b'O' => self.decoder = Decoder::Ss3,
            b'b' => self.move_to(self.word_left(), out),
            b'f' => self.move_to(self.word_right(), out),
            _ => {}
        }
    }

    /// One byte after ESC [ (ECMA-48 §5.4): parameter bytes 30–3F, intermediates 20–2F, final 40–7E.
    fn csi(&mut self, byte: u8, mut params: [u8; 2], mut index: usize, out: &mut dyn Write) {
        match byte {
            b'0'..=b'9' => {
                if let Some(param) = params.get_mut(index) {
                    *param = param.saturating_mul(10).saturating_add(byte - b'0');
                }
            }
            b';' => index = index.saturating_add(1),
            0x20..=0x3f => {}
            _ => {
                self.decoder = Decoder::Ground;
                return self.key(byte, params, out);
            }
        }
        self.decoder = Decoder::Csi { params, index };
    }

    /// A named key: its final byte and, for `~`, its number. The second parameter holds the
    /// modifiers plus one; Alt (3) and Ctrl (5) with an arrow go by words.
    fn key(&mut self, last: u8, params: [u8; 2], out: &mut dyn Write) {
        let by_word = matches!(params[1], 3 | 5);
        match (last, params[0]) {
            (b'A', _) => self.browse(self.browsing + 1, out),
            (b'B', _) => self.browse(self.browsing.wrapping_sub(1), out),
            (b'C', _) if by_word => self.move_to(self.word_right(), out),
            (b'D', _) if by_word => self.move_to(self.word_left(), out),
            (b'C', _) => self.move_to(self.right(), out),
            (b'D', _) => self.move_to(self.left(), out),
            (b'H', _) | (b'~', 1 | 7) => self.move_to(0, out),
            (b'F', _) | (b'~', 4 | 8) => self.move_to(self.text.len, out),
            (b'~', 3) => self.replace(self.cursor, self.right(), "", out),
            _ => {}
        }
    }

    /// One byte of text: a character is inserted when its last byte is here. What is not UTF-8,
    /// and the C1 controls, vanish.
    fn decode(&mut self, byte: u8, out: &mut dyn Write) {
        if self.partial_len > 0 && byte & 0xc0 != 0x80 {
            self.partial_len = 0;
        }
        if self.partial_len == 0 {
            self.partial_want = match byte {
                0x20..=0x7e => 1,
                0xc2..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf4 => 4,
                _ => return,
            };
        }
        self.partial[self.partial_len] = byte;
        self.partial_len += 1;
        if self.partial_len == self.partial_want {
            self.partial_len = 0;
            let bytes = self.partial;
            // Overlong forms and surrogates fail here.
            if let Ok(text) = core::str::from_utf8(&bytes[..self.partial_want]) {
                if !text.chars().any(char::is_control) {
                    self.replace(self.cursor, self.cursor, text, out);
                }
            }
        }
    }

    fn enter(&mut self, out: &mut dyn Write) -> Event {
        self.move_to(self.text.len, out);
        put(out, "\r\n");
        let repeated = self.stored > 0 && self.recall(1) == self.line();
        if !self.line().trim().is_empty() && !repeated {
            self.history[self.next] = self.text;
            self.next = (self.next + 1) % HISTORY;
            self.stored = (self.stored + 1).min(HISTORY);
        }
        self.finished = true;
        Event::Line
    }

    /// Tab. The word under the cursor reaches back to the last blank.
    fn tab(&mut self, again: bool, out: &mut dyn Write, completer: &dyn Completer) {
        let (text, cursor) = (self.text, self.cursor);
        let line = text.as_str();
        let start = line[..cursor].rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let typed = &line[start..cursor];
        let each = |sink: &mut dyn FnMut(&str)| {
            completer.complete(line, cursor, &mut |word| {
                if word.starts_with(typed) && !word.chars().any(char::is_control) {
                    sink(word);
                }
            });
        };

        let mut common = Text::EMPTY;
        let (mut found, mut distinct, mut widest) = (false, false, 0);
        each(&mut |word| {
            // A word that does not fit in a line can only be shortened to what others share with it.
            let fits = &word[..floor_boundary(word, CAPACITY)];
            if !found {
                common.set(fits);
                distinct = fits.len() < word.len();
            } else if common.as_str() != word {
                distinct = true;
                common.len = shared_prefix(common.as_str(), word);
            }
            found = true;
            widest = widest.max(word.chars().count());
        });
        if !found {
            return ring(out);
        }
        let missing = common.as_str().get(typed.len()..).unwrap_or("");
        if !distinct {
            let mut rest = Text::EMPTY;
            let blank_follows = line[cursor..].starts_with(' ');
            let fits = text.len + missing.len() + usize::from(!blank_follows) <= CAPACITY;
            rest.set(missing);
            if fits && !blank_follows {
                rest.bytes[rest.len] = b' ';
                rest.len += 1;
            }
            self.replace(cursor, cursor, rest.as_str(), out);
            if blank_follows && fits {
                self.move_to(self.right(), out);
            }
            return;
        }
        self.after_tab = true;
        if !missing.is_empty() {
            self.replace(cursor, cursor, missing, out);
        } else if again {
            let columns = (LIST_COLUMNS / (widest + 2)).max(1);
            let (mut column, mut blanks) = (0, 0);
            self.move_to(self.text.len, out);
            each(&mut |word| {
                if column == 0 {
                    put(out, "\r\n");
                } else {
                    repeat(out, ' ', blanks);
                }
                put(out, word);
                column = (column + 1) % columns;
                blanks = (widest + 2).saturating_sub(word.chars().count());
            });
            put(out, "\r\n");
            self.cursor = cursor;
            self.redraw(out);
        } else {
            ring(out);
        }
    }

    /// Shows the line of that age: 0 the draft, 1 the last one entered. Out of range: nothing.
    fn browse(&mut self, age: usize, out: &mut dyn Write) {
        if age > self.stored {
            return ring(out);
        }
        if self.browsing == 0 {
            self.draft = self.text;
        }
        self.browsing = age;
        let shown = if age == 0 { self.draft } else { self.history[self.slot(age)] };
        self.replace(0, self.text.len, shown.as_str(), out);
    }

    fn slot(&self, age: usize) -> usize {
        (self.next + HISTORY - age) % HISTORY
    }

    fn recall(&self, age: usize) -> &str {
        self.history[self.slot(age)].as_str()
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
        let old = self.text;
        let tail = &old.as_str()[end..];
        let len = start + new.len() + tail.len();
        if len > CAPACITY {
            return ring(out);
        }
        self.move_to(start, out);
        put(out, new);
        put(out, tail);
        let shown = new.chars().count();
        let surplus = old.as_str()[start..end].chars().count().saturating_sub(shown);
        repeat(out, ' ', surplus);
        repeat(out, BS, surplus);
        back(out, tail);

        self.cursor = start + new.len();
        self.text.bytes[start..self.cursor].copy_from_slice(new.as_bytes());
        self.text.bytes[self.cursor..len].copy_from_slice(tail.as_bytes());
        self.text.len = len;
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

    fn left(&self) -> usize {
        let before = &self.line()[..self.cursor];
        self.cursor - before.chars().next_back().map_or(0, char::len_utf8)
    }

    fn right(&self) -> usize {
        self.cursor + self.line()[self.cursor..].chars().next().map_or(0, char::len_utf8)
    }

    /// The start of the word before the cursor; a word is a run of letters and digits.
    fn word_left(&self) -> usize {
        let before = &self.line()[..self.cursor];
        let word = before.trim_end_matches(|c: char| !c.is_alphanumeric());
        word.trim_end_matches(char::is_alphanumeric).len()
    }

    /// The end of the word after the cursor.
    fn word_right(&self) -> usize {
        let after = &self.line()[self.cursor..];
        let word = after.trim_start_matches(|c: char| !c.is_alphanumeric());
        self.text.len - word.trim_start_matches(char::is_alphanumeric).len()
    }

    fn clear(&mut self) {
        self.text.len = 0;
        self.cursor = 0;
        self.browsing = 0;
        self.finished = false;
    }
}

/// Terminal output cannot fail in a way the editor could mend, so errors are dropped, here only.
fn put(out: &mut dyn Write, text: &str) {
    if !text.is_empty() {
        let _ = out.write_str(text);
    }
}

fn ring(out: &mut dyn Write) {
    repeat(out, BEL, 1);
}

fn repeat(out: &mut dyn Write, what: char, count: usize) {
    for _ in 0..count {
        let _ = out.write_char(what);
    }
}

/// Backspaces over `text`.
fn back(out: &mut dyn Write, text: &str) {
    repeat(out, BS, text.chars().count());
}

/// The length in bytes of what two strings begin with alike, in whole characters.
fn shared_prefix(a: &str, b: &str) -> usize {
    let alike = a.chars().zip(b.chars()).take_while(|(x, y)| x == y);
    alike.map(|(x, _)| x.len_utf8()).sum()
}

/// The last character boundary of `text` at or before `at`.
fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::String, vec::Vec};

    const PROMPT: &str = "sis> ";

    struct Words(&'static [&'static str]);

    impl Completer for Words {
        fn complete(&self, _: &str, _: usize, sink: &mut dyn FnMut(&str)) {
            self.0.iter().for_each(|word| sink(word));
        }
    }

    const WORDS: Words = Words(&["help", "heap", "echo", "memmap", "maps", "größe", "größer", "bad\nname"]);

    /// A terminal of endless width that knows backspace, CR, LF, `ESC [H`, `ESC [2J` and text.
    #[derive(Default)]
    struct Screen {
        rows: Vec<Vec<char>>,
        row: usize,
        column: usize,
        bells: usize,
        sequence: String,
    }

    impl Write for Screen {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            for c in text.chars() {
                if !self.sequence.is_empty() || c == '\x1b' {
                    self.sequence.push(c);
                    match self.sequence.as_str() {
                        "\x1b[H" => (self.row, self.column) = (0, 0),
                        "\x1b[2J" => self.rows.clear(),
                        "\x1b" | "\x1b[" | "\x1b[2" => continue,
                        other => panic!("the editor sent {other:?}"),
                    }
                    self.sequence.clear();
                    continue;
                }
                match c {
                    BS => self.column = self.column.checked_sub(1).expect("backspace at the left edge"),
                    BEL => self.bells += 1,
                    '\r' => self.column = 0,
                    '\n' => self.row += 1,
                    _ => {
                        assert!(!c.is_control(), "the editor sent {c:?}");
                        let rows = self.rows.len().max(self.row + 1);
                        self.rows.resize(rows, Vec::new());
                        let row = &mut self.rows[self.row];
                        let columns = row.len().max(self.column + 1);
                        row.resize(columns, ' ');
                        row[self.column] = c;
                        self.column += 1;
                    }
                }
            }
            Ok(())
        }
    }

    impl Screen {
        fn text(&self, row: usize) -> String {
            self.rows.get(row).map_or(String::new(), |row| row.iter().collect())
        }

        fn check(&self, editor: &Editor) {
            let (line, cursor) = (editor.line(), editor.cursor());
            let want = std::format!("{PROMPT}{line}");
            assert_eq!(self.text(self.row).trim_end(), want.trim_end());
            assert_eq!(self.column, PROMPT.len() + line[..cursor].chars().count());
            assert!(self.rows.len() <= self.row + 1, "rows below the line");
        }
    }

    struct Rig {
        editor: Editor,
        screen: Screen,
        entered: Vec<String>,
    }

    impl Rig {
        fn new() -> Self {
            let mut rig =
                Self { editor: Editor::new(PROMPT), screen: Screen::default(), entered: Vec::new() };
            rig.editor.start(&mut rig.screen);
            rig
        }

        fn feed(&mut self, byte: u8) -> Event {
            let event = self.editor.feed(byte, &mut self.screen, &WORDS);
            if event == Event::Line {
                self.entered.push(self.editor.line().into());
            }
            if event != Event::None {
                assert_eq!(self.screen.column, 0);
                // An endless scroll-back would make the test quadratic.
                self.screen = Screen::default();
                self.editor.start(&mut self.screen);
            }
            self.screen.check(&self.editor);
            event
        }

        fn keys(&mut self, keys: &str) -> &mut Self {
            keys.bytes().for_each(|byte| {
                self.feed(byte);
            });
            self
        }

        #[track_caller]
        fn shows(&mut self, line: &str, cursor: usize) -> &mut Self {
            assert_eq!((self.editor.line(), self.editor.cursor()), (line, cursor));
            self
        }
    }

    /// xorshift64*: repeatable, and good enough to stir bytes.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
        }

        fn pick<T: Copy>(&mut self, from: &[T]) -> T {
            from[self.below(from.len())]
        }
    }

    #[test]
    fn edits_a_line() {
        let mut rig = Rig::new();
        rig.keys("echo wrld\x1b[D\x1b[D\x1b[Do").shows("echo world", 7);
        rig.keys("\x01\x04\x04").shows("ho world", 0);
        rig.keys("\x05!\x08\x7f").shows("ho worl", 7);
        rig.keys("\x17\x17").shows("", 0).keys("\x19").shows("ho ", 3);
        rig.keys("\x02\x02\x0b\x05x").shows("hx", 2).keys("\x15").shows("", 0);
        rig.keys("one two-three\x1bb\x1bb\x1b[1;5D").shows("one two-three", 0);
        rig.keys("\x1bf\x1b[1;5C\x1b[3~").shows("one twothree", 7);
        rig.keys("\x1b[H\x1b[F\x1b[1~\x1b[4~\x1b[7~\x1b[8~\x1bOH\x1bOF").shows("one twothree", 12);
        rig.keys("\x0c").shows("one twothree", 12);
        assert_eq!(rig.screen.row, 0);
        rig.keys("\x1b[\r");
        assert_eq!(rig.entered, ["one twothree"]);
    }

    #[test]
    fn enter_is_cr_lf_or_both() {
        let mut rig = Rig::new();
        rig.keys("a\r\nb\nc\rd\r\n\ne\r");
        assert_eq!(rig.entered, ["a", "b", "c", "d", "", "e"]);
        assert_eq!(rig.keys("gone").feed(3), Event::Interrupted);
        rig.shows("", 0).keys("\x1b[A").shows("e", 1);
    }

    #[test]
    fn characters_are_the_unit() {
        let mut rig = Rig::new();
        rig.keys("aé→😀z").shows("aé→😀z", 11);
        rig.keys("\x02\x7f\x1b[D\x04").shows("aéz", 3).keys("\x02ß").shows("aßéz", 3);
        // Cut short, overlong, a surrogate, beyond Unicode, stray: nothing of it stays.
        for bytes in [&b"\xc3x"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xa9", b"\xc2\x85"]
        {
            bytes.iter().for_each(|&byte| {
                rig.feed(byte);
            });
        }
        rig.shows("aßxéz", 4);
    }

    #[test]
    fn an_append_is_one_character_out() {
        struct Count(Vec<String>);
        impl Write for Count {
            fn write_str(&mut self, text: &str) -> core::fmt::Result {
                self.0.push(text.into());
                Ok(())
            }
        }
        let (mut editor, mut out) = (Editor::new(PROMPT), Count(Vec::new()));
        for byte in "hé".bytes() {
            assert_eq!(editor.feed(byte, &mut out, &WORDS), Event::None);
        }
        assert_eq!(out.0, ["h", "é"]);
    }

    #[test]
    fn a_full_line_rings() {
        let mut rig = Rig::new();
        rig.keys(&"x".repeat(CAPACITY));
        assert_eq!(rig.screen.bells, 0);
        rig.keys("yé\x01z");
        assert_eq!(rig.screen.bells, 3);
        rig.shows(&"x".repeat(CAPACITY), 0).keys("\x04é").keys("\x04é");
        assert_eq!(rig.editor.line().len(), CAPACITY);
        rig.keys("\r");
        assert_eq!(rig.entered[0].len(), CAPACITY);
    }

    #[test]
    fn history_keeps_the_draft() {
        let mut rig = Rig::new();
        rig.keys("one\rtwo\rtwo\r  \r\rdraft\x1b[A").shows("two", 3);
        rig.keys("\x10").shows("one", 3).keys("\x10").shows("one", 3);
        rig.keys("\x0e").shows("two", 3).keys("\x1bOB").shows("draft", 5);
        rig.keys("\x1b[B").shows("draft", 5).keys("\x15");
        for n in 0..HISTORY + 5 {
            rig.keys(&std::format!("line {n}\r"));
        }
        let history: Vec<&str> = rig.editor.history().collect();
        assert_eq!((history.len(), history[0], history[31]), (HISTORY, "line 5", "line 36"));
        rig.keys(&"\x10".repeat(HISTORY)).shows("line 5", 6).keys("\x10").shows("line 5", 6);
    }

    #[test]
    fn tab_completes() {
        let mut rig = Rig::new();
        rig.keys("ec\t").shows("echo ", 5).keys("m\t").shows("echo m", 6);
        assert_eq!(rig.screen.bells, 1);
        rig.keys("\t").shows("echo m", 6);
        assert_eq!(rig.screen.text(1), "memmap  maps");
        assert_eq!(rig.screen.row, 2);
        rig.keys("e\t").shows("echo memmap ", 12).keys("\x15gr\t").shows("größe", 7);
        rig.keys("\x15h x\x01\x06\t").shows("he x", 2).keys("l\t").shows("help x", 5);
        rig.keys("\x15\x0bnone\tba\t");
        assert_eq!(rig.screen.bells, 3);
        rig.shows("noneba", 6);
        // Room for the word, none for the blank after it; then not for the word either.
        rig.keys("\x15").keys(&"x".repeat(CAPACITY - 5)).keys(" ec\t");
        assert_eq!(rig.editor.line().len(), CAPACITY);
        let bells = rig.screen.bells;
        rig.keys("\x7f\x7f\x7f\x7f ec\t");
        assert_eq!((rig.editor.line().len(), rig.screen.bells), (CAPACITY - 1, bells + 1));
    }

    #[test]
    fn lists_in_columns() {
        const MANY: Words =
            Words(&["aa0000000000000000000000", "aa1", "aa2", "aa3", "aa4", "aa5", "aa6", "aa7"]);
        let (mut editor, mut screen) = (Editor::new(PROMPT), Screen::default());
        editor.start(&mut screen);
        for byte in *b"aa!\x02\t\t" {
            editor.feed(byte, &mut screen, &MANY);
        }
        screen.check(&editor);
        assert_eq!((editor.line(), editor.cursor(), screen.row), ("aa!", 2, 4));
        assert!(screen.rows.iter().all(|row| row.len() <= LIST_COLUMNS));
        assert_eq!(screen.text(2), std::format!("{:26}{:26}{:24}", "aa3", "aa4", "aa5").trim_end());
    }

    /// Any bytes at all: the screen agrees after each (`Rig::feed` checks it), nothing panics.
    #[test]
    fn any_bytes_keep_screen_and_line_alike() {
        let mut random = Random(0x5151_1234);
        let mut rig = Rig::new();
        const COMMON: &[u8] = b"\x1b\x1b[[O;135~~ABCDHFbf\t\t\x01\x02\x04\x05\x06\x08\x0b\x0e\x10\x15\x17\x19\xc3\xa9\xe2\x86\x92hemap  ";
        for _ in 0..200_000 {
            let byte = match random.below(3) {
                0 => random.below(256) as u8,
                1 => random.pick(COMMON),
                _ => 0x20 + random.below(95) as u8,
            };
            rig.feed(byte);
        }
        assert!(rig.entered.len() > 100);
    }

    /// What an editor is, without a word about terminals: the model for `keys_do_what_they_say`.
    #[derive(Default)]
    struct Model {
        line: Vec<char>,
        cursor: usize,
        killed: Vec<char>,
        history: Vec<Vec<char>>,
        age: usize,
        draft: Vec<char>,
    }

    impl Model {
        fn insert(&mut self, text: &[char]) {
            let bytes: usize = self.line.iter().chain(text).map(|c| c.len_utf8()).sum();
            if bytes <= CAPACITY {
                self.line.splice(self.cursor..self.cursor, text.iter().copied());
                self.cursor += text.len();
            }
        }

        fn kill(&mut self, from: usize, to: usize) {
            if from < to {
                self.killed = self.line.drain(from..to).collect();
                self.cursor = from;
            }
        }

        fn show(&mut self, age: usize) {
            if self.age == 0 {
                self.draft = self.line.clone();
            }
            self.age = age;
            let count = self.history.len();
            self.line = if age == 0 { self.draft.clone() } else { self.history[count - age].clone() };
            self.cursor = self.line.len();
        }

        fn key(&mut self, key: &str) {
            let len = self.line.len();
            match key {
                "\x1b[A" => {
                    if self.age < self.history.len() {
                        self.show(self.age + 1);
                    }
                }
                "\x0e" => {
                    if self.age > 0 {
                        self.show(self.age - 1);
                    }
                }
                "\x1b[D" => self.cursor = self.cursor.saturating_sub(1),
                "\x06" => self.cursor = (self.cursor + 1).min(len),
                "\x1b[1~" => self.cursor = 0,
                "\x1bOF" => self.cursor = len,
                "\x1bb" => {
                    while self.cursor > 0 && !self.line[self.cursor - 1].is_alphanumeric() {
                        self.cursor -= 1;
                    }
                    while self.cursor > 0 && self.line[self.cursor - 1].is_alphanumeric() {
                        self.cursor -= 1;
                    }
                }
                "\x1b[1;5C" => {
                    while self.cursor < len && !self.line[self.cursor].is_alphanumeric() {
                        self.cursor += 1;
                    }
                    while self.cursor < len && self.line[self.cursor].is_alphanumeric() {
                        self.cursor += 1;
                    }
                }
                "\x7f" if self.cursor > 0 => {
                    self.cursor -= 1;
                    self.line.remove(self.cursor);
                }
                "\x1b[3~" if self.cursor < len => {
                    self.line.remove(self.cursor);
                }
                "\x7f" | "\x1b[3~" => {}
                "\x0b" => self.kill(self.cursor, len),
                "\x15" => self.kill(0, self.cursor),
                "\x17" => {
                    let mut from = self.cursor;
                    while from > 0 && self.line[from - 1].is_whitespace() {
                        from -= 1;
                    }
                    while from > 0 && !self.line[from - 1].is_whitespace() {
                        from -= 1;
                    }
                    self.kill(from, self.cursor);
                }
                "\x19" => self.insert(&self.killed.clone()),
                "\r" => {
                    let blank = self.line.iter().all(|c| c.is_whitespace());
                    if !blank && self.history.last() != Some(&self.line) {
                        self.history.push(self.line.clone());
                        if self.history.len() > HISTORY {
                            self.history.remove(0);
                        }
                    }
                    (self.line, self.cursor, self.age) = (Vec::new(), 0, 0);
                }
                text => self.insert(&text.chars().collect::<Vec<_>>()),
            }
        }
    }

    #[test]
    fn keys_do_what_they_say() {
        const KEYS: &[&str] = &[
            "\x1b[A",
            "\x0e",
            "\x1b[D",
            "\x1b[D",
            "\x06",
            "\x1b[1~",
            "\x1bOF",
            "\x1bb",
            "\x1b[1;5C",
            "\x7f",
            "\x1b[3~",
            "\x0b",
            "\x15",
            "\x17",
            "\x19",
            "\x19",
            "\r",
            "a",
            "b",
            "0",
            " ",
            "-",
            "é",
            "→",
            "😀",
        ];
        let mut random = Random(0x0dd_ba11);
        let (mut rig, mut model) = (Rig::new(), Model::default());
        let mut longest = 0;
        for _ in 0..120_000 {
            let key = if random.below(2) == 0 { random.pick(KEYS) } else { random.pick(&KEYS[17..]) };
            model.key(key);
            rig.keys(key);
            let line: String = model.line.iter().collect();
            let cursor = model.line[..model.cursor].iter().map(|c| c.len_utf8()).sum();
            rig.shows(&line, cursor);
            longest = longest.max(line.len());
        }
        assert!(longest > CAPACITY - 4, "the full line was never reached: {longest}");
    }
}
