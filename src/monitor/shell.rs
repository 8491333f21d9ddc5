//! The monitor's loop: read a line, find the command, run it.

use super::commands::{self, Command};
use super::editor::{CAPACITY, Completer, Editor, Event};
use super::parse::Words;
use crate::kernel::idle;
use crate::sync::{Mutex, Rank};
use crate::task::{self, Name, Policy, Thread, spawn};
use crate::tty::console;
use crate::tty::serial::{self, Monitor};
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

pub const PROMPT: &str = "sis> ";

/// Static, because its history is 8 KiB. Locked for as long as a line is edited, by its one user.
static EDITOR: Mutex<Editor> = Mutex::new(Rank::Editor, Editor::new(PROMPT));

/// Command names for the first word; each command's own words after it.
struct Names;

impl Completer for Names {
    fn complete(&self, line: &str, cursor: usize, sink: &mut dyn FnMut(&str)) {
        let before = line.get(..cursor).unwrap_or(line);
        let mut words = Words::new(before);
        let first = words.next().unwrap_or("");
        if first.len() == before.trim_start().len() {
            commands::TABLE.iter().for_each(|command| sink(command.name));
        } else if let Some(command) = commands::find(first) {
            (command.complete)(sink);
        }
    }
}

/// Prints the lines that the editor remembers, oldest first.
pub fn print_history(out: &mut dyn Write) {
    for line in EDITOR.lock().history() {
        let _ = writeln!(out, "  {line}");
    }
}

/// The port has come to the monitor: from a program, which may have been stopped in mid-line.
static HAS_COME: AtomicBool = AtomicBool::new(false);

/// Whether a thread serves the prompt.
static IS_RUNNING: AtomicBool = AtomicBool::new(false);

/// From here on a break on the console's line opens the monitor, whatever runs.
pub fn init() {
    serial::set_monitor(Monitor { on_break, on_return: show });
}

/// Who has sent it wants to speak to the kernel. The first time, while programs run, there is nobody yet who would answer.
fn on_break(_: usize) {
    if serial::seize() {
        let _ =
            writeln!(console::Output, "\nbreak: the monitor; `resume` goes back to what runs on this line");
        show();
        if !IS_RUNNING.swap(true, Ordering::Relaxed)
            && spawn("monitor", Policy::Normal(0), |_| serve(), 0).is_err()
        {
            IS_RUNNING.store(false, Ordering::Relaxed);
            let _ = writeln!(console::Output, "no: there is no memory for its thread");
            serial::give_back();
        }
    }
}

/// Has the prompt shown again.
fn show() {
    HAS_COME.store(true, Ordering::Release);
    console::READERS.wake_all();
}

/// Prompts, reads and runs, for ever. If another thread does that already, it is left to that one.
pub fn run() -> ! {
    if IS_RUNNING.swap(true, Ordering::Relaxed) {
        show();
        loop {
            task::park();
        }
    }
    Thread::rename(Name::new("monitor"));
    serve()
}

fn serve() -> ! {
    let mut out = console::Output;
    HAS_COME.store(false, Ordering::Relaxed);
    EDITOR.lock().start(&mut out);
    loop {
        if HAS_COME.swap(false, Ordering::Acquire) {
            EDITOR.lock().start(&mut out);
        }
        let Some(byte) = console::read() else {
            idle::wait_for_input_or(&|| HAS_COME.load(Ordering::Relaxed));
            continue;
        };
        let event = EDITOR.lock().feed(byte, &mut out, &Names);
        if event == Event::None {
            continue;
        }
        if event == Event::Line {
            let line = Line::copy(EDITOR.lock().line());
            execute(line.as_str(), &mut out);
        }
        // What the line itself has borrowed and given back is no news.
        HAS_COME.store(false, Ordering::Relaxed);
        EDITOR.lock().start(&mut out);
    }
}

/// A copy of the line, so that a command can use the editor's history.
struct Line {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Line {
    fn copy(text: &str) -> Self {
        let mut bytes = [0; CAPACITY];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Self { bytes, len: text.len() }
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
}

/// Runs one line.
fn execute(line: &str, out: &mut dyn Write) {
    let mut words = Words::new(line);
    let Some(word) = words.next() else { return };
    // `x/4` is the command `x` with a count, as in a debugger.
    let (name, suffix) = word.split_once('/').map_or((word, None), |(name, suffix)| (name, Some(suffix)));
    match commands::find(name) {
        Some(command) if suffix.is_none() || command.takes_suffix => {
            let mut call = commands::Call { suffix: suffix.unwrap_or(""), words, out };
            if let Err(problem) = (command.run)(&mut call) {
                let Command { name, arguments, .. } = command;
                let _ = writeln!(out, "{name}: {problem}; usage: {name} {arguments}");
            }
        }
        _ => {
            let _ = writeln!(out, "{word}: no such command; `help` lists them");
        }
    }
}
