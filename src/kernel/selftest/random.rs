//! The random numbers, on the live machine: ready, and not the same twice.

use super::{Outcome, check};
use crate::random;

/// Bytes that are looked at together.
const BYTES: usize = 2048;
/// Bits by which their number of ones may differ from half: seven standard deviations, of 64 bits each.
const SPREAD: u32 = 7 * 64;

pub fn run() -> Outcome {
    let (mut first, mut second) = ([0; BYTES], [0; BYTES]);
    // Where the CPU has no generator this takes as long as it takes.
    check(random::fill_ready(&mut first).is_ok(), "a signal for a thread of the kernel's")?;
    check(random::is_ready(), "filled, but not ready")?;
    check(random::try_fill(&mut second).is_ok(), "refused, though ready")?;
    check(first != second, "the same numbers twice")?;
    for bytes in [&first, &second] {
        let ones: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
        check(ones.abs_diff(4 * BYTES as u32) < SPREAD, "far more of one bit than of the other")?;
    }
    // Short requests come from another path than long ones.
    let (mut one, mut other) = ([0; 16], [0; 16]);
    random::fill(&mut one);
    random::fill(&mut other);
    check(one != other, "the same few numbers twice")
}
