//! Tables of cases, recorded on a real Linux by test/tools/tty_record.py, as the tests read them.
//!
//! A case is steps, and behind each step, marked by `>`, what was seen. What a step means is said in
//! test/data/tty/README.md.

use super::termios::{Control, Input, Local, Output, Termios, cc};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

pub struct Case<'a> {
    pub name: &'a str,
    pub steps: Vec<Step<'a>>,
}

pub struct Step<'a> {
    /// Who does it: `R` is who owns the terminal.
    pub who: &'a str,
    pub verb: &'a str,
    pub rest: &'a str,
    /// What was seen.
    pub seen: Vec<String>,
}

/// The cases of a recording.
pub fn cases(text: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            cases.push(Case { name, steps: Vec::new() });
            continue;
        }
        let steps = &mut cases.last_mut().expect("a name comes first").steps;
        let line = line.trim();
        if let Some(seen) = line.strip_prefix("> ") {
            steps.last_mut().expect("a step comes first").seen.push(seen.to_string());
            continue;
        }
        let (who, what) = match line.split_once(": ") {
            Some((who, what)) if who.len() == 1 => (who, what),
            _ => ("R", line),
        };
        let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
        steps.push(Step { who, verb, rest: rest.trim(), seen: Vec::new() });
    }
    cases
}

/// `"ab\n" 3*"x"` as bytes.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (times, after) = rest.split_once('"').expect("a string");
        let times = times.strip_suffix('*').map_or(1, |number| number.parse().expect("a number of times"));
        let mut chars = after.char_indices();
        let mut piece = Vec::new();
        let end = loop {
            match chars.next().expect("a closing quote") {
                (at, '"') => break at,
                (_, '\\') => piece.push(match chars.next().expect("an escape").1 {
                    'n' => b'\n',
                    'r' => b'\r',
                    't' => b'\t',
                    'b' => 8,
                    'a' => 7,
                    'e' => 27,
                    'x' => {
                        let mut digit =
                            || chars.next().and_then(|(_, c)| c.to_digit(16)).expect("a digit") as u8;
                        digit() << 4 | digit()
                    }
                    other => other as u8,
                }),
                (_, other) => piece.push(other as u8),
            }
        };
        for _ in 0..times {
            found.extend_from_slice(&piece);
        }
        rest = after[end + 1..].trim_start();
    }
    found
}

/// Bytes as a recording has them.
pub fn show(bytes: &[u8]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut plain = String::new();
    let mut rest = bytes;
    while let Some(&byte) = rest.first() {
        let run = rest.iter().take_while(|&&other| other == byte).count();
        let shown = match byte {
            b'\n' => "\\n".into(),
            b'\r' => "\\r".into(),
            b'\t' => "\\t".into(),
            8 => "\\b".into(),
            7 => "\\a".into(),
            b'\\' => "\\\\".into(),
            b'"' => "\\\"".into(),
            32..127 => (byte as char).to_string(),
            _ => format!("\\x{byte:02x}"),
        };
        if run < 16 {
            plain.push_str(&shown.repeat(run));
        } else {
            if !plain.is_empty() {
                parts.push(format!("\"{plain}\""));
            }
            parts.push(format!("{run}*\"{shown}\""));
            plain.clear();
        }
        rest = &rest[run..];
    }
    if !plain.is_empty() || parts.is_empty() {
        parts.push(format!("\"{plain}\""));
    }
    parts.join(" ")
}

fn character(text: &str) -> u8 {
    match (text, text.len()) {
        ("off", _) => 0,
        ("^?", _) => 127,
        (_, 2) if text.starts_with('^') => text.as_bytes()[1] & 31,
        (_, 2) => u8::from_str_radix(text, 16).expect("two digits"),
        _ => text.as_bytes()[0],
    }
}

/// Settings changed by the words of a `set`.
pub fn apply(settings: &mut Termios, words: &str) {
    for word in words.split_whitespace() {
        if let Some((name, value)) = word.split_once('=') {
            let index = match name {
                "intr" => cc::VINTR,
                "quit" => cc::VQUIT,
                "erase" => cc::VERASE,
                "kill" => cc::VKILL,
                "eof" => cc::VEOF,
                "time" => cc::VTIME,
                "min" => cc::VMIN,
                "start" => cc::VSTART,
                "stop" => cc::VSTOP,
                "susp" => cc::VSUSP,
                "eol" => cc::VEOL,
                "reprint" => cc::VREPRINT,
                "discard" => cc::VDISCARD,
                "werase" => cc::VWERASE,
                "lnext" => cc::VLNEXT,
                "eol2" => cc::VEOL2,
                _ => panic!("no character {name}"),
            };
            settings.cc[index] = match name {
                "min" | "time" => value.parse().expect("a number"),
                _ => character(value),
            };
        } else if word == "raw" {
            let control = settings.control;
            settings.make_raw();
            settings.control = control;
        } else {
            let (name, on) = word.strip_prefix('-').map_or((word, true), |name| (name, false));
            set_flag(settings, &name.to_uppercase(), on);
        }
    }
}

fn set_flag(settings: &mut Termios, name: &str, on: bool) {
    if let Some(flag) = Input::from_name(name) {
        settings.input.set(flag, on);
    } else if let Some(flag) = Output::from_name(name) {
        settings.output.set(flag, on);
    } else if let Some(flag) = Local::from_name(name) {
        settings.local.set(flag, on);
    } else {
        settings.control.set(Control::from_name(name).expect(name), on);
    }
}
