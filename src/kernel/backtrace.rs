//! Backtraces with names.

use super::image::{self, Named};
use crate::arch::x86_64::backtrace::{Step, frame_pointer, walk};
use crate::arch::x86_64::exceptions;
use core::fmt::{self, Write};

/// How many lines are worth printing.
const LINES: usize = 40;

/// Prints the callers from frame pointer `rbp` outwards, one line each. Of a function that called itself
/// again and again only the first call is printed, with the number of the others.
pub fn print(out: &mut dyn Write, rbp: u64) -> fmt::Result {
    let mut steps = walk(rbp).peekable();
    for number in 0..LINES {
        let Some(step) = steps.next() else { return Ok(()) };
        match step {
            // A return address may be the first byte of the next function, where the call never returns:
            // the name is that of the call itself.
            Step::Return(address) => match image::lookup(address - 1) {
                Some(symbol) => {
                    let offset = address - symbol.address;
                    writeln!(out, "  {number:2}: {address:#018x} <{}+{offset:#x}>", symbol.name)?;
                }
                None => writeln!(out, "  {number:2}: {address:#018x}")?,
            },
            Step::Trap { rip, vector } => {
                writeln!(out, "  --- {} ---", exceptions::name(vector).0)?;
                writeln!(out, "  {number:2}: {}", Named(rip))?;
            }
        }
        let mut repeated = 0;
        while steps.next_if_eq(&step).is_some() {
            repeated += 1;
        }
        if repeated > 0 {
            writeln!(out, "      and {repeated} times more")?;
        }
    }
    if steps.next().is_some() {
        writeln!(out, "      and further")?;
    }
    Ok(())
}

/// Which code asks for memory: the first return address outwards that is not in the heap or in `alloc`. For builds whose
/// heap remembers it; a search among the symbols for each frame is too slow for others.
#[inline(never)]
pub fn allocation_site() -> usize {
    first_outside(&["alloc::", "core::", "__r", "mm::heap", "mm::slab", "mm::vmalloc"]) as usize
}

/// The first return address outwards that is in no function whose name has one of these parts; if there is none, the
/// first of all.
#[inline(never)]
pub fn first_outside(passed_over: &[&str]) -> u64 {
    let mut first = 0;
    for step in walk(frame_pointer()).take(LINES) {
        let Step::Return(address) = step else { break };
        first = if first == 0 { address } else { first };
        let name = image::lookup(address - 1).map_or("", |symbol| symbol.name);
        if !passed_over.iter().any(|part| name.contains(part)) {
            return address;
        }
    }
    first
}
