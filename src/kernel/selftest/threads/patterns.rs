//! Rust's side of asm/patterns.S.

use crate::arch::x86_64::cpu::Features;
use crate::testing::Random;

unsafe extern "sysv64" {
    fn patterns_general(block: *const u64) -> u32;
    fn patterns_sse(block: *const u64) -> u32;
    fn patterns_avx(block: *const u64) -> u32;
}

/// Which registers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    General,
    Sse,
    Avx,
}

impl Kind {
    /// One of eight has general registers only, and no state to save; the others all that the CPU has.
    pub fn of(seed: usize) -> Self {
        match Features::detect().contains(Features::AVX) {
            _ if seed % 8 == 7 => Self::General,
            true => Self::Avx,
            false => Self::Sse,
        }
    }

    pub fn needs_fpu(self) -> bool {
        self != Self::General
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Sse => "xmm",
            Self::Avx => "ymm",
        }
    }
}

/// Registers that are words of the block.
const GENERAL: usize = 15;
/// Loops of one call.
const ROUNDS: u64 = 500;

/// The picture in asm/patterns.S, up to what is written by the loop itself.
pub struct Block([u64; 24]);

impl Block {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut words = [0; 24];
        words[..GENERAL].fill_with(|| random.next_u64());
        words.copy_within(..4, GENERAL);
        words[19] = ROUNDS;
        // Exceptions masked; flags, rounding, flushing and denormals as the seed has them.
        let mxcsr = 0x1F80 | random.next_u64() & 0xE07F;
        words[20] = mxcsr;
        Self(words)
    }

    /// Holds the pattern for a while. Returns 0, or the code of the check that failed.
    pub fn hold(&self, kind: Kind) -> u32 {
        let block = self.0.as_ptr();
        // SAFETY: the block is as the code expects it; it keeps to the convention. The thread owns the state that it
        // uses, and the CPU has the registers.
        unsafe {
            match kind {
                Kind::General => patterns_general(block),
                Kind::Sse => patterns_sse(block),
                Kind::Avx => patterns_avx(block),
            }
        }
    }
}
