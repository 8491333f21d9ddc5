//! The discipline against a recording of Linux's, case by case, and what no pseudo-terminal can show.

use super::*;
use crate::tty::recorded::{self, Case, apply, bytes, cases, show};
use crate::tty::termios::Control;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// Room on the way to a master, as Linux has it.
const ROOM: usize = 65536;

/// A line that keeps what is sent.
#[derive(Default)]
struct Kept(Vec<u8>);

impl Line for Kept {
    fn room(&self) -> usize {
        ROOM - self.0.len()
    }

    fn send(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room());
        self.0.extend_from_slice(bytes);
    }

    fn discard(&mut self) {
        self.0.clear();
    }
}

/// A terminal in a case.
struct Player {
    tty: NTty,
    line: Kept,
    backlog: Backlog,
    reading: Option<(Reading, Vec<u8>, Step)>,
    now_ns: u64,
    events: Events,
}

impl Player {
    fn new() -> Self {
        let mut settings = Termios::standard();
        settings.control.remove(Control::HUPCL);
        Self {
            tty: NTty::new(settings, true).expect("memory"),
            line: Kept::default(),
            backlog: Backlog::new(1 << 20, false).expect("memory"),
            reading: None,
            now_ns: 0,
            events: Events::empty(),
        }
    }

    fn feed(&mut self) {
        loop {
            self.backlog.feed(&mut self.tty, &mut self.line);
            let events = self.tty.take_events();
            self.events |= events;
            if !events.contains(Events::ROOM) {
                break;
            }
        }
    }

    /// A reader who sleeps looks again; whether he is done.
    fn reader(&mut self) -> Option<Step> {
        let (reading, buffer, step) = self.reading.as_mut()?;
        if *step != Step::Done {
            *step = self.tty.read(reading, buffer, self.now_ns);
        }
        Some(*step)
    }

    fn begin(&mut self, rest: &str) -> Step {
        let buffer = vec![0; rest.parse().expect("a size")];
        self.reading = Some((self.tty.begin_read(self.now_ns), buffer, Step::Wait { until_ns: 0 }));
        self.reader().expect("reading")
    }

    fn end(&mut self, blocks: bool, step: Step) -> String {
        let (reading, buffer, _) = self.reading.take().expect("reading");
        match step {
            Step::Wait { .. } if !blocks && reading.got == 0 => "read EAGAIN".into(),
            _ => format!("read {}", show(&buffer[..reading.got])),
        }
    }

    fn step(&mut self, verb: &str, rest: &str) -> Vec<String> {
        let mut seen = Vec::new();
        match verb {
            "type" => assert_eq!(self.backlog.push(&bytes(rest)), bytes(rest).len()),
            "write" => {
                let (data, mut written) = (bytes(rest), 0);
                while written < data.len() {
                    match self.tty.write(&data[written..], &mut self.line) {
                        0 => break,
                        count => written += count,
                    }
                }
                match written {
                    0 if !data.is_empty() => seen.push("wrote EAGAIN".into()),
                    _ if written < data.len() => seen.push(format!("wrote {written}")),
                    _ => {}
                }
            }
            "read" => {
                let step = self.begin(rest);
                seen.push(self.end(false, step));
            }
            "begin" => {
                self.begin(rest);
            }
            "wait" | "end" => {
                let mut step =
                    if verb == "wait" { self.begin(rest) } else { self.reader().expect("reading") };
                while let Step::Wait { until_ns } = step {
                    if until_ns == u64::MAX {
                        return vec!["read never".into()];
                    }
                    self.now_ns = until_ns;
                    step = self.reader().expect("reading");
                }
                seen.push(self.end(true, step));
            }
            "set" | "setf" | "setw" => {
                if verb == "setf" {
                    self.tty.flush(Flush::Input, &mut self.line);
                    self.feed();
                }
                let mut settings = self.tty.settings().clone();
                apply(&mut settings, rest);
                self.tty.set(settings, &mut self.line);
            }
            "flush" => {
                let which = match rest {
                    "in" => Flush::Input,
                    "out" => Flush::Output,
                    _ => Flush::Both,
                };
                self.tty.flush(which, &mut self.line);
            }
            "flow" => match rest {
                "ooff" => self.tty.program_stop(),
                "oon" => self.tty.program_start(),
                which => self.tty.send_flow(which == "ioff", &mut self.line),
            },
            "inq" => seen.push(format!("inq {}", self.tty.available())),
            "poll" => {
                let mut words = String::from("poll ");
                words += if self.tty.is_readable(true) { "in " } else { "" };
                words += if self.tty.is_writable(&self.line) { "out" } else { "" };
                seen.push(words.trim_end().into());
            }
            "termios" => seen.push(termios_line(self.tty.settings())),
            _ => panic!("no step {verb}"),
        }
        self.feed();
        // A reader who was woken has taken what there was before anything else happens.
        if verb != "begin" && self.events.contains(Events::READABLE) {
            self.reader();
            self.feed();
        }
        if !self.line.0.is_empty() {
            seen.push(format!("out {}", show(&core::mem::take(&mut self.line.0))));
        }
        let events = core::mem::take(&mut self.events);
        for (event, name) in [(Events::INTERRUPT, "INT"), (Events::QUIT, "QUIT"), (Events::SUSPEND, "TSTP")] {
            if events.contains(event) {
                seen.push(format!("sig {name}"));
            }
        }
        seen
    }
}

/// The settings as the recorder shows them.
pub fn termios_line(settings: &Termios) -> String {
    let bytes = settings.to_termios();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
    let characters: String = bytes[17..].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("termios {:x} {:x} {:x} {:x} {:x} {characters}", word(0), word(4), word(8), word(12), bytes[16])
}

/// Plays a case; what was different.
fn play(case: &Case<'_>) -> Option<String> {
    let mut player = Player::new();
    for (at, step) in case.steps.iter().enumerate() {
        let found = player.step(step.verb, step.rest);
        if found != step.seen {
            return Some(format!(
                "[{} step {}: {} {}\n  Linux: {:?}\n  here:  {found:?}\n",
                case.name,
                at + 1,
                step.verb,
                step.rest,
                step.seen
            ));
        }
    }
    None
}

#[test]
fn as_recorded_on_linux() {
    let all = cases(include_str!("../../../test/data/tty/n_tty.recorded"));
    assert!(all.len() >= 200, "only {} cases", all.len());
    let different: Vec<String> = all.iter().filter_map(play).collect();
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), all.len(), different.concat());
}

/// Another recording, for who looks for differences: `TTY_RECORDING=FILE`.
#[test]
fn as_another_recording_says() {
    let Ok(path) = std::env::var("TTY_RECORDING") else { return };
    let text = std::fs::read_to_string(path).expect("a recording");
    let all = cases(&text);
    let different: Vec<String> = all.iter().filter_map(play).collect();
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), all.len(), different.concat());
}

#[test]
fn the_tables_language() {
    let text = r#""a\n\x80\"\\" 20*"x" "#;
    let mut expected = b"a\n\x80\"\\".to_vec();
    expected.extend([b'x'; 20]);
    assert_eq!(bytes(text), expected);
    assert_eq!(bytes(&show(&expected)), expected);
    assert_eq!(recorded::show(b""), "\"\"");
}

// ---- what a pseudo-terminal cannot show ----

/// A line with little room.
struct Narrow(Vec<u8>, usize);

impl Line for Narrow {
    fn room(&self) -> usize {
        self.1 - self.0.len()
    }

    fn send(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room());
        self.0.extend_from_slice(bytes);
    }

    fn discard(&mut self) {
        self.0.clear();
    }
}

fn with(words: &str) -> (NTty, Kept) {
    let mut settings = Termios::standard();
    apply(&mut settings, words);
    (NTty::new(settings, false).expect("memory"), Kept::default())
}

fn read_all(tty: &mut NTty) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 5000];
    loop {
        let mut reading = tty.begin_read(0);
        tty.read(&mut reading, &mut buffer, 0);
        if reading.got == 0 {
            return all;
        }
        all.extend_from_slice(&buffer[..reading.got]);
    }
}

/// POSIX 11.2.2: what a break and a byte with an error become.
#[test]
fn breaks_and_errors() {
    let bad = [Mark::Good, Mark::Bad, Mark::Good, Mark::Break, Mark::Overrun, Mark::Good];
    let cases: &[(&str, &[u8], Events)] = &[
        ("raw", b"aXb\0c", Events::empty()),
        ("raw inpck", b"a\0b\0c", Events::empty()),
        ("raw inpck ignpar", b"ab\0c", Events::empty()),
        ("raw inpck parmrk", b"a\xff\0Xb\xff\0\0c", Events::empty()),
        ("raw parmrk", b"aXb\xff\0\0c", Events::empty()),
        ("raw ignbrk", b"aXbc", Events::empty()),
        ("raw ignbrk brkint", b"aXbc", Events::empty()),
        ("raw brkint", b"c", Events::INTERRUPT),
        ("raw brkint noflsh", b"aXbc", Events::INTERRUPT),
        ("-icanon -echo inpck parmrk", b"a\xff\0Xb\xff\0\0c", Events::empty()),
        ("-icanon -echo brkint", b"c", Events::INTERRUPT),
    ];
    for &(words, expected, events) in cases {
        let (mut tty, mut line) = with(words);
        assert_eq!(tty.receive(b"aXb\0\0c", &bad, &mut line), 6);
        assert_eq!(tty.take_events() & Events::INTERRUPT, events, "{words}");
        assert_eq!(read_all(&mut tty), expected, "{words}");
    }
}

/// LNEXT is used up by a byte with an error, too.
#[test]
fn lnext_and_an_error() {
    let (mut tty, mut line) = with("inpck");
    tty.receive(b"\x16X\x04", &[Mark::Good, Mark::Bad, Mark::Good], &mut line);
    assert_eq!(read_all(&mut tty), b"\0");
}

/// The other end is told to wait when there are fewer than 128 places, and to go on when 128 bytes are left.
#[test]
fn throttling() {
    let (mut tty, mut line) = with("raw");
    tty.receive(&[7; 3968], &[], &mut line);
    assert!(!tty.is_throttled());
    tty.receive(&[7; 1], &[], &mut line);
    assert!(tty.is_throttled() && tty.take_events().contains(Events::THROTTLE));
    let mut buffer = [0; 3840];
    let mut reading = tty.begin_read(0);
    tty.read(&mut reading, &mut buffer, 0);
    assert!(reading.got == 3840 && tty.is_throttled());
    let mut reading = tty.begin_read(0);
    tty.read(&mut reading, &mut buffer[..1], 0);
    assert!(!tty.is_throttled() && tty.take_events().contains(Events::THROTTLE));
    // A line that is being typed never stops the typist, however long.
    let (mut tty, mut line) = with("-echo");
    tty.receive(&[b'x'; 5000], &[], &mut line);
    assert!(!tty.is_throttled());
    assert_eq!(tty.receive(b"\n", &[], &mut line), 1);
    assert_eq!(tty.available(), 4096);
}

/// Without room nothing is sent in halves: not a ^X, not CR LF, not the spaces of a tab.
#[test]
fn a_narrow_line() {
    let mut settings = Termios::standard();
    apply(&mut settings, "tab3");
    let mut tty = NTty::new(settings, false).expect("memory");
    let mut line = Narrow(Vec::new(), 2);
    assert_eq!(tty.write(b"a\nb", &mut line), 1);
    line.0.clear();
    assert_eq!(tty.write(b"\nb", &mut line), 1);
    (line.0, line.1) = (Vec::new(), 8);
    assert_eq!(tty.write(b"b\t\t", &mut line), 2);
    assert_eq!(line.0, b"b       ");
    tty.receive(b"\x01c", &[], &mut line);
    line.1 = 9;
    tty.resume(&mut line);
    assert_eq!(line.0, b"b       ");
    line.0.clear();
    // What was typed is shown before what is written.
    assert_eq!(tty.write(b"d", &mut line), 1);
    assert_eq!(line.0, b"^Acd");
}

/// Whatever is done to it, it keeps its promises: no panic, no more bytes than there are, positions in order.
#[test]
fn anything_at_all() {
    let mut random = crate::testing::Random::new(7);
    let words = [
        "icanon", "echo", "isig", "ixon", "iutf8", "parmrk", "echoprt", "extproc", "opost", "tab3", "inpck",
        "ixany",
    ];
    let marks = [Mark::Good, Mark::Good, Mark::Good, Mark::Bad, Mark::Break, Mark::Overrun];
    for round in 0..300 {
        let (mut tty, _) = with("");
        let mut line = Narrow(Vec::new(), 1 + random.index(300));
        for _ in 0..200 {
            match random.below(8) {
                0..3 => {
                    let bytes: Vec<u8> = (0..random.index(300)).map(|_| random.byte() & 0x9f).collect();
                    let marks: Vec<Mark> = bytes.iter().map(|_| random.pick(&marks)).collect();
                    let taken = tty.receive(&bytes, &marks, &mut line);
                    assert!(taken <= bytes.len(), "round {round}");
                    tty.look_ahead(&bytes[taken..], &marks[taken..], &mut line);
                }
                3 => {
                    let mut buffer = vec![0; random.index(300)];
                    let mut reading = tty.begin_read(0);
                    tty.read(&mut reading, &mut buffer, u64::MAX);
                    assert!(reading.got <= buffer.len(), "round {round}");
                }
                4 => {
                    let bytes: Vec<u8> = (0..random.index(100)).map(|_| random.byte()).collect();
                    assert!(tty.write(&bytes, &mut line) <= bytes.len(), "round {round}");
                }
                5 => {
                    let word = random.pick(&words);
                    let mut settings = tty.settings().clone();
                    let sign = random.pick(&["", "-"]);
                    apply(&mut settings, &format!("{sign}{word} min={}", random.below(4)));
                    tty.set(settings, &mut line);
                }
                6 => tty.flush(random.pick(&[Flush::Input, Flush::Output, Flush::Both]), &mut line),
                _ => line.0.clear(),
            }
            let typed = if tty.settings.makes_lines() { tty.ring.typed() } else { 0 };
            assert!(tty.available() <= CAPACITY && tty.ring.held() <= CAPACITY, "round {round}");
            assert!(typed <= tty.ring.held(), "round {round}");
        }
    }
}
