//! The command `stty`: a serial terminal's settings, shown and changed.

use super::{Call, Result};
use crate::monitor::parse::{self, Problem};
use crate::tty::ioctl::{Command, Layout, When};
use crate::tty::serial;
use crate::tty::terminal::Order;
use crate::tty::termios::{Control, Input, Local, Output, Termios};
use core::fmt;

/// Names of ports.
const PORTS: [&str; 2] = ["ttyS0", "ttyS1"];

pub fn run<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let mut number = 0;
    let mut words = call.words.clone();
    if words.next() == Some("-F") {
        let name = words.next().ok_or(Problem::Missing("PORT"))?;
        let name_only = name.strip_prefix("/dev/").unwrap_or(name);
        number = PORTS.iter().position(|&port| port == name_only).ok_or(Problem::Unknown(name))?;
        call.words = words;
    }
    let (tty, file) = match serial::open(number, true, false) {
        Some(Ok(opened)) => opened,
        Some(Err(problem)) => {
            let _ = writeln!(call.out, "{}: {problem:?}", PORTS[number]);
            return Ok(());
        }
        None => {
            let _ = writeln!(call.out, "{}: there is no such port", PORTS[number]);
            return Ok(());
        }
    };
    let done = change(call, tty.settings(), &mut |settings| {
        let command = Command::SetSettings(Layout::Termios2, When::Drained);
        let order = Order { command, value: 0, data: &settings.to_termios2() };
        let _ = tty.order(&file, &order);
        tty.settings()
    });
    serial::close(tty, &file);
    done
}

/// Does what the words say, or shows what is set.
fn change<'a>(
    call: &mut Call<'a, '_>,
    mut settings: Termios,
    set: &mut dyn FnMut(&Termios) -> Termios,
) -> Result<'a> {
    let Some(first) = call.words.next() else {
        let _ = writeln!(call.out, "{}", Shown(&settings));
        return Ok(());
    };
    for word in core::iter::once(first).chain(call.words.by_ref()) {
        apply(&mut settings, word)?;
    }
    let got = set(&settings);
    if got.output_speed != settings.output_speed {
        let _ = writeln!(call.out, "the line cannot do {} baud", settings.output_speed);
    }
    Ok(())
}

fn apply<'a>(settings: &mut Termios, word: &'a str) -> core::result::Result<(), Problem<'a>> {
    if let Some(speed) = parse::number(word).and_then(|speed| u32::try_from(speed).ok()) {
        (settings.input_speed, settings.output_speed) = (speed, speed);
        settings.codes_from_speeds();
        return Ok(());
    }
    match word {
        "raw" => settings.make_raw(),
        "cooked" => {
            let standard = Termios::standard();
            settings.input |= standard.input;
            settings.output |= standard.output;
            settings.local |= standard.local;
        }
        _ => {
            let (name, on) = word.strip_prefix('-').map_or((word, true), |name| (name, false));
            if !set_flag(settings, name, on) {
                return Err(Problem::Unknown(word));
            }
        }
    }
    Ok(())
}

/// Turns the flag of that name, in small letters, on or off; false if there is none. Fields of several bits are none.
fn set_flag(settings: &mut Termios, name: &str, on: bool) -> bool {
    macro_rules! try_in {
        ($flags:ident, $field:ident) => {
            let found = $flags::all()
                .iter_names()
                .find(|(flag, bits)| flag.eq_ignore_ascii_case(name) && bits.bits().is_power_of_two());
            if let Some((_, bits)) = found {
                settings.$field.set(bits, on);
                return true;
            }
        };
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return false;
    }
    try_in!(Input, input);
    try_in!(Output, output);
    try_in!(Control, control);
    try_in!(Local, local);
    false
}

/// Speed, size of a character, and each flag.
struct Shown<'a>(&'a Termios);

/// A flag's name in small letters, with `-` if it is off.
fn flag(f: &mut fmt::Formatter<'_>, name: &str, on: bool) -> fmt::Result {
    f.write_str(if on { " " } else { " -" })?;
    name.chars().try_for_each(|letter| fmt::Write::write_char(f, letter.to_ascii_lowercase()))
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.0;
        let size = 5 + (settings.control & Control::CSIZE).bits() / Control::CS6.bits();
        write!(f, "  speed {} baud; cs{size}", settings.output_speed)?;
        macro_rules! flags {
            ($flags:ident, $field:ident) => {
                f.write_str("\n ")?;
                for (name, bits) in $flags::all().iter_names().filter(|flag| flag.1.bits().is_power_of_two())
                {
                    // CS6 and CS7 are no flags but sizes.
                    if !name.starts_with("CS") || name == "CSTOPB" {
                        flag(f, name, settings.$field.contains(bits))?;
                    }
                }
            };
        }
        flags!(Control, control);
        flags!(Input, input);
        flags!(Output, output);
        flags!(Local, local);
        Ok(())
    }
}
