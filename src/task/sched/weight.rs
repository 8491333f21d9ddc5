//! Nice values, weights and virtual time.
//!
//! Of the threads that want a CPU, each is to get the share that its weight is of all weights. A step of nice is a
//! factor of 1.25, so that of two threads one step apart one gets 10 % more of the CPU and the other 10 % less; nice 0
//! weighs 1024. (These are the published numbers of Linux, and programs count on them.)
//!
//! Virtual time is what a thread has had, divided by its weight: if all are served fairly, it goes on at one pace for
//! all. A thread of weight 1024 has 64 units of it for each nanosecond that it runs: whole nanoseconds would round in
//! favour of heavy threads that run for microseconds at a time. It is a u64 that may come round, since only differences
//! are ever looked at, and these stay far below 2^63.

/// What nice 0 weighs.
pub const NICE_0: u32 = 1024;
/// What a thread of the idle class weighs: far less than nice 19, which is 15.
pub const IDLE: u32 = 3;

/// A thread of weight 1 would have 2^16 units of virtual time in a nanosecond: 64 times 1024.
const UNITS: u32 = 16;
/// Bits of a rate behind the point.
const POINT: u32 = 26;

/// Times that are longer count as this, 69 s: nobody waits while one runs that long but on a machine that stood still.
const LONGEST_NS: u64 = 1 << 36;

/// Weights by nice, from -20 to 19: 1024 * 1.25^-nice, rounded.
const WEIGHTS: [u32; 40] = {
    let mut weights = [0; 40];
    let mut at = 0;
    while at < 40 {
        let (mut up, mut down, mut step) = (NICE_0 as u128, 1, 20);
        // 5/4 for each step below 0, 4/5 for each above.
        while step > at {
            (up, down, step) = (up * 5, down * 4, step - 1);
        }
        while step < at {
            (up, down, step) = (up * 4, down * 5, step + 1);
        }
        weights[at] = ((up + down / 2) / down) as u32;
        at += 1;
    }
    weights
};

/// The weight of a nice value; one that is none counts as the nearest.
pub fn of_nice(nice: i8) -> u32 {
    WEIGHTS[(nice.clamp(-20, 19) + 20) as usize]
}

/// How fast virtual time goes for a weight.
pub const fn rate(weight: u32) -> u64 {
    (1 << (UNITS + POINT)) / weight as u64
}

/// The virtual time of a real one, at some rate: two instructions' work.
#[inline]
pub fn virtual_of(real_ns: u64, rate: u64) -> u64 {
    ((real_ns.min(LONGEST_NS) as u128 * rate as u128) >> POINT) as u64
}

/// The nanoseconds in which a thread of this weight comes through so much virtual time, rounded up, and one more for
/// what [`rate`] has rounded.
#[inline]
pub fn real_of(units: u64, weight: u32) -> u64 {
    ((units as u128 * weight as u128) >> UNITS) as u64 + 2
}

/// How far virtual time goes on for all in a real time, by the sum of weights.
#[inline]
pub fn pace(real_ns: u64, load: u64) -> u64 {
    (real_ns.min(LONGEST_NS) << UNITS).checked_div(load).unwrap_or(0)
}

/// Whether the virtual time `a` is before `b`.
#[inline]
pub const fn is_before(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) < 0
}

/// The earlier of two.
#[inline]
pub const fn earlier(a: u64, b: u64) -> u64 {
    if is_before(b, a) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_a_quarter_apart() {
        let known =
            [(-20, 88_818), (-1, 1280), (0, 1024), (1, 819), (5, 336), (19, 15), (100, 15), (-100, 88_818)];
        known.iter().for_each(|&(nice, weight)| assert_eq!(of_nice(nice), weight, "nice {nice}"));
    }

    #[test]
    fn virtual_time_goes_by_weight() {
        for nice in -20..=19 {
            let weight = of_nice(nice);
            let units = virtual_of(3_000_000, rate(weight));
            let exact = (3_000_000_u64 << UNITS) / u64::from(weight);
            assert!(exact - units <= 1, "nice {nice}: {units} of {exact}");
            let back = real_of(units, weight);
            assert!((3_000_000..=3_000_002).contains(&back), "nice {nice}: {back}");
            assert!(virtual_of(back, rate(weight)) >= units);
        }
        assert_eq!(virtual_of(5, rate(NICE_0)), 5 * 64);
        assert_eq!(pace(5, u64::from(2 * NICE_0)), 5 * 32);
        assert_eq!(pace(u64::MAX, 1), LONGEST_NS << UNITS);
        assert_eq!(pace(1, 0), 0);
    }

    #[test]
    fn time_comes_round() {
        assert!(is_before(u64::MAX, 3) && !is_before(3, u64::MAX));
        assert_eq!(earlier(u64::MAX, 3), u64::MAX);
    }
}
