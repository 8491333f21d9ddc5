//! Keys against what they should do to the line, and a terminal of the test's own that must agree after each.

use super::complete::LIST_COLUMNS;
use super::draw::BEL;
use super::*;
use crate::testing::Random;
use std::{string::String, vec::Vec};

const PROMPT: &str = "sis> ";

struct Words(&'static [&'static str]);

impl Completer for Words {
    fn complete(&self, _: &str, _: usize, sink: &mut dyn FnMut(&str)) {
        self.0.iter().for_each(|word| sink(word));
    }
}

const WORDS: Words = Words(&["help", "heap", "echo", "memmap", "maps", "größe", "größer", "bad\nname"]);

/// A terminal of endless width that knows backspace, `\n`, `ESC [H`, `ESC [2J` and text.
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
                '\n' => (self.row, self.column) = (self.row + 1, 0),
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
        let mut rig = Self { editor: Editor::new(PROMPT), screen: Screen::default(), entered: Vec::new() };
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
    for bytes in [&b"\xc3x"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xa9", b"\xc2\x85"] {
        bytes.iter().for_each(|&byte| {
            rig.feed(byte);
        });
    }
    rig.shows("aßxéz", 4);
}

/// Blanks of several bytes: a word begins behind the whole of one.
#[test]
fn any_blank_parts_words() {
    for blank in ["\u{a0}", "\u{2003}", "\u{3000}"] {
        let mut rig = Rig::new();
        let (kept, width) = (std::format!("a{blank}"), 1 + blank.len());
        rig.keys(&std::format!("a{blank}bc\x17")).shows(&kept, width);
        rig.keys("ec\t").shows(&std::format!("{kept}echo "), width + 5);
        rig.keys("\x17\x17").shows("", 0);
    }
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
    const MANY: Words = Words(&["aa0000000000000000000000", "aa1", "aa2", "aa3", "aa4", "aa5", "aa6", "aa7"]);
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
    let mut random = Random::new(0x5151_1234);
    let mut rig = Rig::new();
    const COMMON: &[u8] = b"\x1b\x1b[[O;135~~ABCDHFbf\t\t\x01\x02\x04\x05\x06\x08\x0b\x0e\x10\x15\x17\x19\xc3\xa9\xe2\x86\x92hemap  ";
    for _ in 0..200_000 {
        let byte = match random.below(3) {
            0 => random.byte(),
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
    let mut random = Random::new(0x0dd_ba11);
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
