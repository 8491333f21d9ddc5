//! Backtraces with names.

use super::image::{self, Named};
use crate::arch::x86_64::backtrace::{Step, walk};
use crate::arch::x86_64::exceptions;
use core::fmt::{self, Write};

/// Prints the callers from frame pointer `rbp` outwards, one line each, numbered from `first`.
pub fn print(out: &mut dyn Write, rbp: u64, first: usize) -> fmt::Result {
    for (number, step) in (first..).zip(walk(rbp)) {
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
    }
    Ok(())
}
