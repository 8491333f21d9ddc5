//! Where a CPU sits: package, core and thread, from its APIC ID.
//!
//! An APIC ID is three numbers side by side; CPUID says how wide the lower two are. Leaves 1Fh and 0Bh do it level by
//! level; CPUs without them give the number of IDs in a package, and of cores.
//! Source: Intel SDM vol. 3 §8.9 (detecting hardware multi-threading), vol. 2 CPUID leaves 1, 4, 0Bh, 1Fh; AMD APM
//! vol. 3 appendix E, leaf 8000_0008h.

/// Where it sits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    pub package: u32,
    /// Within the package.
    pub core: u32,
    /// Within the core.
    pub thread: u32,
}

/// Level types in ECX of leaves 1Fh and 0Bh.
const LEVEL_NONE: u32 = 0;
const LEVEL_THREAD: u32 = 1;
/// More levels than any CPU has.
const LEVELS: u32 = 8;

/// The APIC ID as the CPU itself knows it: what asm/trampoline.S looks for in the table.
pub fn apic_id(ask: &impl Fn(u32, u32) -> [u32; 4]) -> u32 {
    let highest = ask(0, 0)[0];
    match [0x1F, 0x0B].into_iter().find(|&leaf| leaf <= highest && ask(leaf, 0)[1] != 0) {
        Some(leaf) => ask(leaf, 0)[3],
        None => ask(1, 0)[1] >> 24,
    }
}

/// Asks CPUID, as this CPU answers it.
pub fn from_cpuid(ask: &impl Fn(u32, u32) -> [u32; 4]) -> Topology {
    let id = apic_id(ask);
    let (thread_bits, package_bits) = widths(ask);
    let below = |bits: u32| id & !u32::MAX.checked_shl(bits).unwrap_or(0);
    Topology {
        package: id.checked_shr(package_bits).unwrap_or(0),
        core: below(package_bits) >> thread_bits,
        thread: below(thread_bits),
    }
}

/// Bits of the thread's number, and of thread's and core's together.
fn widths(ask: &impl Fn(u32, u32) -> [u32; 4]) -> (u32, u32) {
    let highest = ask(0, 0)[0];
    for leaf in [0x1F, 0x0B] {
        if leaf > highest || ask(leaf, 0)[1] == 0 {
            continue;
        }
        let (mut thread, mut package) = (0, 0);
        for level in 0..LEVELS {
            let [eax, _, ecx, _] = ask(leaf, level);
            match ecx >> 8 & 0xFF {
                LEVEL_NONE => break,
                LEVEL_THREAD => thread = eax & 31,
                _ => {}
            }
            package = eax & 31;
        }
        return (thread.min(package), package);
    }
    let [_, ebx, _, edx] = ask(1, 0);
    // HTT: the number of IDs counts.
    let ids = if edx >> 28 & 1 != 0 { (ebx >> 16 & 0xFF).max(1) } else { 1 };
    let cores = if highest >= 4 && ask(4, 0)[0] & 31 != 0 {
        (ask(4, 0)[0] >> 26) + 1
    } else if ask(0x8000_0000, 0)[0] >= 0x8000_0008 {
        (ask(0x8000_0008, 0)[2] & 0xFF) + 1
    } else {
        1
    };
    let bits = |count: u32| count.next_power_of_two().trailing_zeros();
    (bits(ids.div_ceil(cores.min(ids))), bits(ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Leaves = &'static [(u32, u32, [u32; 4])];

    fn model(leaves: Leaves) -> impl Fn(u32, u32) -> [u32; 4] {
        move |leaf, subleaf| leaves.iter().find(|l| (l.0, l.1) == (leaf, subleaf)).map_or([0; 4], |l| l.2)
    }

    #[test]
    fn by_levels() {
        // Two threads, eight cores: package 2, core 5, thread 1.
        let ask = model(&[
            (0, 0, [0x0D, 0, 0, 0]),
            (0x0B, 0, [1, 2, 1 << 8, 0x2B]),
            (0x0B, 1, [4, 16, 2 << 8 | 1, 0x2B]),
            (0x0B, 2, [0, 0, 2, 0x2B]),
        ]);
        assert_eq!(apic_id(&ask), 0x2B);
        assert_eq!(from_cpuid(&ask), Topology { package: 2, core: 5, thread: 1 });
    }

    #[test]
    fn with_dies_between_core_and_package() {
        let ask = model(&[
            (0, 0, [0x1F, 0, 0, 0]),
            (0x1F, 0, [1, 2, 1 << 8, 0x135]),
            (0x1F, 1, [4, 16, 2 << 8 | 1, 0x135]),
            (0x1F, 2, [6, 64, 5 << 8 | 2, 0x135]),
        ]);
        assert_eq!(from_cpuid(&ask), Topology { package: 4, core: 0x1A, thread: 1 });
    }

    #[test]
    fn without_those_leaves() {
        // Four IDs, two cores.
        let old = model(&[
            (0, 0, [4, 0, 0, 0]),
            (1, 0, [0, 7 << 24 | 4 << 16, 0, 1 << 28]),
            (4, 0, [1 << 26 | 1, 0, 0, 0]),
        ]);
        assert_eq!(from_cpuid(&old), Topology { package: 1, core: 1, thread: 1 });
        let lonely = model(&[(0, 0, [1, 0, 0, 0]), (1, 0, [0, 3 << 24, 0, 0])]);
        assert_eq!(from_cpuid(&lonely), Topology { package: 3, core: 0, thread: 0 });
    }

    #[test]
    fn nonsense_is_no_panic() {
        let wild = model(&[(0, 0, [u32::MAX; 4]), (0x1F, 0, [u32::MAX; 4]), (0x1F, 1, [0, 0, 2 << 8, 0])]);
        let _ = from_cpuid(&wild);
        let _ = from_cpuid(&|_, _| [u32::MAX; 4]);
        let _ = from_cpuid(&|_, _| [0; 4]);
    }
}
