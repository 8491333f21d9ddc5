//! The command that records what threads do.

use super::{Call, Result};
use crate::monitor::parse::{self, Problem};
use crate::task::recorder::{self, NoMemory};
use crate::tty::console;

/// Events of each CPU that are written unless it is said.
const SHOWN: usize = 1000;

pub fn complete(sink: &mut dyn FnMut(&str)) {
    ["on", "off", "dump", "clear"].into_iter().for_each(sink);
}

/// `trace`.
pub fn run<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let word = call.words.next();
    let count = if word == Some("dump") { call.words.next() } else { None };
    call.words.end()?;
    let done = match word {
        None => {
            status(call);
            Ok(())
        }
        Some("on") => recorder::on(),
        Some("off") => {
            recorder::off();
            Ok(())
        }
        Some("clear") => {
            recorder::clear();
            Ok(())
        }
        Some("dump") => {
            let most = match count {
                Some(word) => parse::number(word).ok_or(Problem::NotANumber(word))?,
                None => SHOWN as u64,
            };
            let _quiet = console::Quiet::new();
            recorder::dump(most.min(recorder::EVENTS as u64) as usize, call.out)
        }
        Some(word) => return Err(Problem::Unknown(word)),
    };
    if let Err(NoMemory) = done {
        let _ = writeln!(call.out, "  there is no memory for it");
    }
    Ok(())
}

fn status(call: &mut Call<'_, '_>) {
    let out = &mut *call.out;
    let is_on = recorder::status(&mut |cpu, events, lost| {
        if events > 0 {
            let _ = writeln!(out, "  cpu {cpu}: {events} events, {lost} before them lost");
        }
    });
    let _ = writeln!(out, "  recording is {}", if is_on { "on" } else { "off" });
}
