//! The room that each CPU but the boot CPU has in the per-CPU region: its variables, and its stacks.
//!
//! ```text
//! slot n                                                                                    slot n + 1
//! | - | variables ... | - - - | idle | - | #DF | - | NMI | - | #MC | - | #DB || - | variables ...
//!   not mapped                       not mapped: the guard page below each stack
//! ```
//!
//! The stacks end where the slot ends, so that their addresses are constants, however many variables there are.
//! Pure arithmetic.

use super::sizes::{IDLE_STACK_SIZE, IST_STACK_SIZE};
use crate::boot::layout::{PAGE_SIZE, PERCPU_BASE, PERCPU_END};
use core::ops::Range;

/// Bytes of a slot.
pub const SLOT_SIZE: u64 = 256 << 10;

/// The stacks, upwards: names as reports have them, and bytes.
pub const STACKS: [(&str, u64); 5] = [
    ("idle", IDLE_STACK_SIZE),
    ("#DF", IST_STACK_SIZE),
    ("NMI", IST_STACK_SIZE),
    ("#MC", IST_STACK_SIZE),
    ("#DB", IST_STACK_SIZE),
];

/// Where in `STACKS` the NMI's is.
pub const NMI: usize = 2;
/// Which are for vectors that change stacks: IST 1 to 4, in this order.
pub const INTERRUPT_STACKS: Range<usize> = 1..5;

/// Where the slot of CPU `cpu` begins.
pub const fn start(cpu: usize) -> u64 {
    PERCPU_BASE + cpu as u64 * SLOT_SIZE
}

/// Where its variables begin.
pub const fn variables(cpu: usize) -> u64 {
    start(cpu) + PAGE_SIZE
}

/// The usable bytes of one of its stacks; the page below is its guard.
pub const fn stack(cpu: usize, index: usize) -> Range<u64> {
    let mut top = start(cpu) + SLOT_SIZE;
    let mut above = STACKS.len() - 1;
    while above > index {
        top -= STACKS[above].1 + PAGE_SIZE;
        above -= 1;
    }
    top - STACKS[index].1..top
}

/// Most bytes of variables that a slot has room for.
pub const ROOM: u64 = stack(0, 0).start - PAGE_SIZE - variables(0);

/// The CPU whose slot an address is in, should there be such a CPU.
pub fn owner(address: u64) -> Option<usize> {
    let region = PERCPU_BASE..PERCPU_END;
    region.contains(&address).then(|| ((address - PERCPU_BASE) / SLOT_SIZE) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overlaps_and_each_stack_has_its_guard() {
        for cpu in [1, 2, 511] {
            let mut end = variables(cpu) + ROOM;
            for index in 0..STACKS.len() {
                let range = stack(cpu, index);
                assert_eq!(range.start, end + PAGE_SIZE, "a page between");
                assert_eq!(range.end - range.start, STACKS[index].1);
                assert_eq!(owner(range.end - 1), Some(cpu));
                end = range.end;
            }
            assert_eq!(end, start(cpu + 1));
            assert_eq!(owner(end), Some(cpu + 1));
        }
        assert_eq!((owner(PERCPU_BASE - 1), owner(PERCPU_END)), (None, None));
        const { assert!(ROOM >= 64 << 10) };
    }
}
