//! The CPU's own random numbers: RDSEED, from its entropy source, and RDRAND, from a generator that this source seeds.
//!
//! Both may have nothing to give for a while and say so in the carry flag; ten tries are what Intel recommends. Neither
//! is believed if it keeps giving the same number: some CPUs of AMD's family 15h and 17h give all ones after a sleep
//! and claim success.
//! Source: Intel SDM vol. 1 §7.3.17, vol. 2 RDRAND and RDSEED; AMD's "Revision Guide for AMD Family 17h".

use super::cpu::Features;
use core::arch::asm;

/// Tries before it is given up.
const TRIES: u32 = 10;

/// Where the numbers came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    RdSeed,
    RdRand,
}

/// Fills `out`, 32 bytes, with the better of what there is; zeros and `None` if there is nothing, or nothing good.
pub fn fill(out: &mut [u8; 32]) -> Option<Source> {
    let features = Features::detect();
    let seed = features.contains(Features::RDSEED).then_some((Source::RdSeed, rdseed as fn() -> Option<u64>));
    let rand = features.contains(Features::RDRAND).then_some((Source::RdRand, rdrand as fn() -> Option<u64>));
    for (source, number) in seed.into_iter().chain(rand) {
        if let Some(words) = four_different(number) {
            for (to, word) in out.chunks_exact_mut(8).zip(words) {
                to.copy_from_slice(&word.to_le_bytes());
            }
            return Some(source);
        }
    }
    out.fill(0);
    None
}

/// Four numbers, no two of them the same.
fn four_different(number: fn() -> Option<u64>) -> Option<[u64; 4]> {
    let mut words = [0; 4];
    for at in 0..4 {
        words[at] = (0..TRIES).find_map(|_| number())?;
        if words[..at].contains(&words[at]) || words[at] == u64::MAX {
            return None;
        }
    }
    Some(words)
}

/// To be called on a CPU that has it.
fn rdrand() -> Option<u64> {
    let (value, good): (u64, u8);
    // SAFETY: the caller has asked CPUID; it changes nothing but the register and the flags.
    unsafe { asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) good, options(nomem, nostack)) };
    (good != 0).then_some(value)
}

/// To be called on a CPU that has it.
fn rdseed() -> Option<u64> {
    let (value, good): (u64, u8);
    // SAFETY: as above.
    unsafe { asm!("rdseed {}", "setc {}", out(reg) value, out(reg_byte) good, options(nomem, nostack)) };
    (good != 0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_repeat_are_not_believed() {
        assert_eq!(four_different(|| Some(5)), None);
        assert_eq!(four_different(|| Some(u64::MAX)), None);
        assert_eq!(four_different(|| None), None);
        let found = four_different(|| {
            static NEXT: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(0);
            let next = NEXT.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
            // Nothing to give now and then.
            (next % 3 != 0).then_some(next)
        });
        assert_eq!(found, Some([1, 2, 4, 5]));
    }
}
