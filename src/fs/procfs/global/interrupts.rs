//! `interrupts`: a line for each, a column for each CPU.

use super::super::super::format::Text;
use super::super::Sources;
use super::super::system::Label;
use super::cpu::cpus;
use core::fmt::Write;

/// Keys of the records: 0 is the line of headings, then the interrupts', then the errors'.
const FIRST: u64 = 1;
const ERRORS: u64 = 1 << 40;

pub fn make(sources: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    let system = sources.system;
    let from = match after {
        None => {
            let _ = write!(out, "{:11}", "");
            for cpu in cpus(system) {
                let _ = write!(out, "CPU{cpu:<8}");
            }
            let _ = out.push(b"\n");
            return Some(0);
        }
        Some(ERRORS..) => return None,
        Some(after) => after + 1 - FIRST,
    };
    let Some(one) = u32::try_from(from).ok().and_then(|from| system.next_interrupt(from)) else {
        let _ = writeln!(out, "ERR: {:10}\nMIS: {:10}", system.interrupt_errors(), 0);
        return Some(ERRORS);
    };
    let _ = match one.label {
        Label::Number(number) => write!(out, "{number:3}:"),
        Label::Letters(letters) => write!(out, "{letters}:"),
    };
    for cpu in cpus(system) {
        let _ = write!(out, " {:10}", system.interrupt_count(one.key, cpu));
    }
    let _ = match one.label {
        Label::Number(_) => writeln!(out, "  {:<13}  {}", one.chip, one.name),
        Label::Letters(_) => writeln!(out, "   {}", one.name),
    };
    Some(u64::from(one.key) + FIRST)
}
