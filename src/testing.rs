//! What the tests of several modules share, on the host and on the machine: random numbers that are the same in each run.
//!
//! A test that fails names the round it failed in, and the next run gets there again with the same numbers.
//! Uses nothing of the crate, so that every layer's tests may use it.
//!
//! Source: G. L. Steele, D. Lea, C. H. Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014),
//! figure 16; the constants are those of its reference implementation, SplitMix64.

/// A SplitMix64 generator: each seed, 0 too, gives a sequence of its own.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// All 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[cfg(test)]
    pub fn byte(&mut self) -> u8 {
        self.next_u64() as u8
    }

    /// `0..n`. Slightly uneven for an `n` that divides 2^64 badly, which no test here minds.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next_u64() % n
    }

    /// The same as an index or a length.
    #[cfg(test)]
    pub fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    /// One of `from`.
    #[cfg(test)]
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }
}

/// The first numbers of the reference implementation, from the seed 1234567.
#[test]
fn numbers_are_those_of_the_reference() {
    let mut random = Random::new(1_234_567);
    let found = [(); 5].map(|()| random.next_u64());
    let expected = [
        6_457_827_717_110_365_317,
        3_203_168_211_198_807_973,
        9_817_491_932_198_370_423,
        4_593_380_528_125_082_431,
        16_408_922_859_458_223_821,
    ];
    assert_eq!(found, expected);
}
