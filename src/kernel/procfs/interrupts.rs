//! Vectors, as /proc/interrupts names them: lines of devices by their numbers, what CPUs do among themselves by letters.
//!
//! Linux has no vectors in that file but the numbers of lines; so a vector that a line arrives at is shown by the line's
//! number, and one that belongs to no line by what it is for.

use crate::fs::procfs::system::{Interrupt, Label};
use crate::platform::pc::{interrupts, vectors};
use core::sync::atomic::{AtomicU32, Ordering};

/// Keys: lines' numbers, then these.
const OWN: u32 = 1 << 16;

/// Of the CPUs' own: letters, what Linux says behind them, and what the vector's owner calls himself; in Linux's order.
const LETTERS: [(&str, &str, &str); 9] = [
    ("NMI", "Non-maskable interrupts", ""),
    ("LOC", "Local timer interrupts", "APIC timer"),
    ("SPU", "Spurious interrupts", "spurious"),
    ("RES", "Rescheduling interrupts", "reschedule"),
    ("CAL", "Function call interrupts", "call"),
    ("TLB", "TLB shootdowns", "shootdown"),
    ("MCE", "Machine check exceptions", ""),
    ("NUD", "Nudges to leave read sections", "nudge"),
    ("ALM", "Alarms of other CPUs", "alarm"),
];

/// Vectors of exceptions that come from outside.
const NMI: u8 = 2;
const MACHINE_CHECK: u8 = 18;

/// The vector of such a one; 0: not looked for yet, 256: there is none.
static FOUND: [AtomicU32; LETTERS.len()] = [const { AtomicU32::new(0) }; LETTERS.len()];

fn own_vector(index: usize) -> Option<u8> {
    match LETTERS[index].0 {
        "NMI" => return Some(NMI),
        "MCE" => return Some(MACHINE_CHECK),
        _ => {}
    }
    let mut vector = FOUND[index].load(Ordering::Relaxed);
    if vector == 0 {
        vectors::for_each(&mut |at, owner, _| {
            if owner == Some(LETTERS[index].2) {
                vector = at.into();
            }
        });
        // Vectors are given out while the machine starts, which is over when somebody reads this.
        FOUND[index].store(if vector == 0 { 256 } else { vector }, Ordering::Relaxed);
    }
    u8::try_from(vector).ok().filter(|&vector| vector != 0)
}

/// The vector that a key stands for.
fn vector(key: u32) -> Option<u8> {
    match key.checked_sub(OWN) {
        Some(index) => own_vector(index as usize),
        None => interrupts::next_line(key).filter(|line| line.number == key).map(|line| line.vector),
    }
}

pub fn next(from: u32) -> Option<Interrupt> {
    if let Some(line) = interrupts::next_line(from).filter(|line| line.number < OWN) {
        let label = Label::Number(line.number);
        return Some(Interrupt { key: line.number, label, chip: line.chip, name: line.name });
    }
    let first = from.saturating_sub(OWN) as usize;
    let index = (first..LETTERS.len()).find(|&index| own_vector(index).is_some())?;
    let (letters, name, _) = LETTERS[index];
    Some(Interrupt { key: OWN + index as u32, label: Label::Letters(letters), chip: "", name })
}

pub fn count(key: u32, cpu: usize) -> u64 {
    vector(key).map_or(0, |vector| vectors::count_on(cpu, vector))
}

/// What came that nobody had asked for, and errors of controllers.
pub fn errors() -> u64 {
    let (spurious, errors) = interrupts::mishaps();
    vectors::unexpected() + spurious + errors
}
