//! Commands about words: help, echo, the log.

use super::{Call, Command, Result, TABLE, find};
use crate::log;
use crate::monitor::parse::Problem;

pub fn help<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let Some(name) = call.words.next() else {
        for Command { name, arguments, help, .. } in TABLE {
            let width = 21 - name.len() - 1;
            let _ = writeln!(call.out, "  {name} {arguments:width$} {help}");
        }
        return Ok(());
    };
    call.words.end()?;
    let Command { name, arguments, help, details, .. } = find(name).ok_or(Problem::Unknown(name))?;
    let _ = writeln!(call.out, "{name} {arguments}\n  {help}");
    for line in details.lines() {
        let _ = writeln!(call.out, "  {line}");
    }
    Ok(())
}

pub fn complete_help(sink: &mut dyn FnMut(&str)) {
    TABLE.iter().for_each(|command| sink(command.name));
}

pub fn echo<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let _ = writeln!(call.out, "{}", call.words.rest());
    Ok(())
}

pub fn clear<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let _ = call.out.write_str("\x1b[H\x1b[2J");
    Ok(())
}

pub fn dmesg<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let out = &mut *call.out;
    let lost = log::for_each(&mut |line| {
        let _ = writeln!(out, "{line}");
    });
    if lost > 0 {
        let _ = writeln!(call.out, "({lost} older lines are gone)");
    }
    Ok(())
}

pub fn history<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    crate::monitor::print_history(call.out);
    Ok(())
}
