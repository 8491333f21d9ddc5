//! Commands that end something, or test everything.

use super::{Call, Result};
use crate::kernel::selftest::{self, TESTS};
use crate::monitor::parse::Problem;
use crate::platform::{Machine, Platform};
use crate::tty::console;

pub fn panic<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let text = call.words.rest();
    panic!("{}", if text.is_empty() { "asked for by the monitor" } else { text });
}

pub fn reboot<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let _ = writeln!(call.out, "resetting");
    console::drain();
    Machine::restart()
}

pub fn poweroff<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    console::drain();
    let reason = Machine::power_off();
    let _ = writeln!(call.out, "{reason}");
    Ok(())
}

pub fn selftest<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    match call.words.next() {
        None => {
            selftest::run_all();
        }
        Some(name) => {
            call.words.end()?;
            selftest::run_named(name).ok_or(Problem::Unknown(name))?;
        }
    }
    Ok(())
}

pub fn complete_selftest(sink: &mut dyn FnMut(&str)) {
    TESTS.iter().for_each(|test| sink(test.name));
}
