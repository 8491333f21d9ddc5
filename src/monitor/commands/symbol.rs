//! Commands about symbols.

use super::{Call, Result};
use crate::arch::x86_64::backtrace::frame_pointer;
use crate::kernel::{backtrace, image, others};
use crate::monitor::parse::{self, Problem};

/// Most symbols that one `sym` lists.
const LIMIT: usize = 40;

pub fn bt<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let all = match call.words.next() {
        None => false,
        Some("all") => true,
        Some(word) => return Err(Problem::Unknown(word)),
    };
    call.words.end()?;
    let _ = backtrace::print(call.out, frame_pointer());
    if all {
        let _ = others::print_backtraces(call.out);
    }
    Ok(())
}

pub fn sym<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let word = call.words.next().ok_or(Problem::Missing("ADDR or NAME"))?;
    call.words.end()?;
    let Some(symbols) = image::symbols() else {
        let _ = writeln!(call.out, "  this image has no symbol table");
        return Ok(());
    };
    let exact = parse::address(word, &|name| Some(symbols.find(name)?.address));
    if let Ok(address) = exact {
        let _ = match symbols.lookup(address) {
            Some(symbol) => writeln!(call.out, "  {}, {} bytes", image::Named(address), symbol.size),
            None => writeln!(call.out, "  {address:#018x} is in no symbol"),
        };
        return Ok(());
    }
    let mut found = symbols.iter().filter(|symbol| symbol.name.contains(word));
    let mut any = false;
    for symbol in found.by_ref().take(LIMIT) {
        any = true;
        let _ = writeln!(call.out, "  {:#018x} {:6} {}", symbol.address, symbol.size, symbol.name);
    }
    let more = found.count();
    if more > 0 {
        let _ = writeln!(call.out, "  and {more} more");
    }
    if any { Ok(()) } else { Err(Problem::NoSymbol(word)) }
}
