//! `loadavg`: how many threads ran or wanted to, in the mean; and the mean itself.
//!
//! The three means forget exponentially, with 1, 5 and 15 minutes. They are kept in 2,048ths, as Linux does, and a step of
//! five seconds multiplies what was by a constant near 1 and adds the rest of what is now. A stretch of many steps with the
//! same number is done by powers, so that nobody has to wake up for each.

use super::super::super::format::Text;
use super::super::Sources;
use super::super::open::once;
use core::fmt::Write;

/// One thread.
pub const ONE: u64 = 1 << 11;
/// A step.
pub const STEP_NS: u64 = 5_000_000_000;
/// e to the -5/60, -5/300 and -5/900, in 2,048ths.
const KEPT: [u64; 3] = [1884, 2014, 2037];

/// `kept` to the power of `steps`, in 2,048ths.
const fn power(mut kept: u64, mut steps: u64) -> u64 {
    // With more bits than the result has: thousands of roundings must not add up.
    const BITS: u32 = 32;
    kept <<= BITS - 11;
    let mut result = 1 << BITS;
    while steps > 0 {
        if steps & 1 != 0 {
            result = ((result as u128 * kept as u128) >> BITS) as u64;
        }
        kept = ((kept as u128 * kept as u128) >> BITS) as u64;
        steps >>= 1;
    }
    result >> (BITS - 11)
}

/// The means after so many steps with `active` 2,048ths of a thread. Rises are rounded up, falls down, so that they reach
/// what they go to.
pub fn decay(means: [u64; 3], active: u64, steps: u64) -> [u64; 3] {
    let mut new = means;
    for (mean, kept) in new.iter_mut().zip(KEPT) {
        let kept = power(kept, steps);
        let sum = *mean * kept + active * (ONE - kept);
        *mean = if active >= *mean { sum.div_ceil(ONE) } else { sum / ONE };
    }
    new
}

/// Three means, threads that run of all, the last number given out.
pub fn make(sources: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || {
        for mean in sources.system.load() {
            // Rounded to hundredths.
            let hundredths = (mean * 100 + ONE / 2) / ONE;
            let _ = write!(out, "{}.{:02} ", hundredths / 100, hundredths % 100);
        }
        let counts = sources.processes.counts();
        let _ = writeln!(out, "{}/{} {}", counts.running, counts.threads, counts.last_id);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_one_by_one_and_all_at_once_come_to_the_same() {
        for (start, active) in [([0; 3], 4 * ONE), ([3 * ONE; 3], 0), ([ONE, 2 * ONE, 3 * ONE], ONE + 100)] {
            let mut single = start;
            for steps in 1..=2000u64 {
                single = decay(single, active, 1);
                let at_once = decay(start, active, steps);
                for (one, other) in single.iter().zip(at_once) {
                    // One by one they are rounded each time, toward what they go to.
                    assert!(one.abs_diff(other) <= 190, "{steps}: {one} {other}");
                }
            }
            assert!(single.iter().all(|mean| mean.abs_diff(active) <= 1), "{single:?}");
        }
    }

    #[test]
    fn a_minute_keeps_a_third() {
        // 12 steps: 1/e of what was.
        let [one, five, fifteen] = decay([ONE; 3], 0, 12);
        assert!(
            one.abs_diff(753) <= 3 && five.abs_diff(1676) <= 3 && fifteen.abs_diff(1916) <= 12,
            "{one} {five} {fifteen}"
        );
        assert_eq!(decay([ONE; 3], ONE, 1_000_000), [ONE; 3]);
        assert_eq!(decay([9 * ONE; 3], 0, 1_000_000), [0; 3]);
    }
}
