//! How fast the time-stamp counter runs: what CPUID says of it, and when to believe that.
//!
//! Nothing here reads a register: CPUID is a function that the caller passes, and the measurement is
//! `time::calibrate`'s. So all of it runs on the host, with the leaves of machines that no emulator plays.
//!
//! Invariants:
//! * no leaf past a maximum is looked at: it answers with another leaf's data;
//! * leaf 15h counts when it is complete (ratio and crystal), and when leaf 16h, which names the nominal frequency,
//!   agrees within 2 %;
//! * what a CPU says is checked by a measurement where there is one: an emulator hands on what its model's
//!   CPUID says, and lets the counter run at a rate of its own.
//!
//! Source: Intel SDM vol. 2 CPUID leaves 15h, 16h and 8000_0007h, vol. 3 §17.17.4 "Invariant time-keeping"; leaf
//! 4000_0010h is VMware's ("Mechanisms to determine if software is running in a VMware virtual machine",
//! KB 1009458), which KVM and others have taken over.

use crate::time::calibrate::Estimate;
use core::fmt;

/// Rates that a counter can have. Emulators that count instructions are slow, no CPU is beyond 10 GHz.
const SANE: core::ops::RangeInclusive<u64> = 1_000_000..=10_000_000_000;
/// So far may leaf 15h be from the nominal frequency, and from what is measured, in parts per million.
const NOMINAL_PPM: u64 = 20_000;
const MEASURED_PPM: u64 = 10_000;

/// Who said it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// CPUID leaf 15h.
    Crystal,
    /// CPUID leaf 4000_0010h.
    Hypervisor,
    /// Another clock.
    Measured,
}

impl Source {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crystal => "CPUID 15h",
            Self::Hypervisor => "the hypervisor",
            Self::Measured => "measured",
        }
    }
}

/// Why CPUID does not say it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Silence {
    /// There is no such leaf.
    NoLeaf,
    /// Leaf 15h lacks the ratio or the crystal.
    Incomplete,
    /// Leaf 15h and leaf 16h name different frequencies (in Hz).
    Contradiction { hz: u64, nominal: u64 },
    /// No counter runs at this rate.
    Insane(u64),
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLeaf => f.write_str("CPUID has no leaf 15h"),
            Self::Incomplete => f.write_str("CPUID 15h is incomplete"),
            Self::Contradiction { hz, nominal } => {
                write!(f, "CPUID 15h says {hz} Hz, 16h {nominal} Hz")
            }
            Self::Insane(hz) => write!(f, "CPUID says {hz} Hz"),
        }
    }
}

/// A rate, and where it comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TscRate {
    pub hz: u64,
    pub source: Source,
}

/// CPUID: leaf and subleaf to EAX, EBX, ECX, EDX.
pub trait Leaves: Fn(u32, u32) -> [u32; 4] {}
impl<F: Fn(u32, u32) -> [u32; 4]> Leaves for F {}

fn basic(ask: &impl Leaves, leaf: u32) -> Option<[u32; 4]> {
    (ask(0, 0)[0] >= leaf).then(|| ask(leaf, 0))
}

/// The counter runs at one rate whatever the CPU's clock and sleep states do.
pub fn is_invariant(ask: &impl Leaves) -> bool {
    let top = ask(0x8000_0000, 0)[0];
    (0x8000_0007..0x9000_0000).contains(&top) && ask(0x8000_0007, 0)[3] >> 8 & 1 != 0
}

/// The core crystal's rate (leaf 15h, ECX), which also is that of the local APIC's timer where it is named.
pub fn crystal_hz(ask: &impl Leaves) -> Option<u64> {
    let hz = basic(ask, 0x15)?[2];
    (hz != 0).then_some(u64::from(hz))
}

/// The frequency on the box (leaf 16h), in Hz; rounded by whoever wrote it.
pub fn nominal_hz(ask: &impl Leaves) -> Option<u64> {
    let mhz = basic(ask, 0x16)?[0] & 0xFFFF;
    (mhz != 0).then_some(u64::from(mhz) * 1_000_000)
}

fn hypervisor_hz(ask: &impl Leaves) -> Option<u64> {
    // Bit 31 of leaf 1's ECX: there is a hypervisor, and with it the range of leaves.
    if basic(ask, 1)?[2] >> 31 == 0 {
        return None;
    }
    let top = ask(0x4000_0000, 0)[0];
    if !(0x4000_0010..0x4001_0000).contains(&top) {
        return None;
    }
    Some(u64::from(ask(0x4000_0010, 0)[0]) * 1000).filter(|hz| SANE.contains(hz))
}

fn apart(hz: u64, from: u64, ppm: u64) -> bool {
    u128::from(hz.abs_diff(from)) * 1_000_000 > u128::from(from) * u128::from(ppm)
}

/// What CPUID says. A hypervisor's word comes first: it may scale the counter, and hand on leaf 15h unchanged.
pub fn stated(ask: &impl Leaves) -> Result<TscRate, Silence> {
    if let Some(hz) = hypervisor_hz(ask) {
        return Ok(TscRate { hz, source: Source::Hypervisor });
    }
    let [denominator, numerator, crystal, _] = basic(ask, 0x15).ok_or(Silence::NoLeaf)?;
    if denominator == 0 || numerator == 0 || crystal == 0 {
        return Err(Silence::Incomplete);
    }
    let hz = u64::from(crystal) * u64::from(numerator) / u64::from(denominator);
    if !SANE.contains(&hz) {
        return Err(Silence::Insane(hz));
    }
    match nominal_hz(ask) {
        Some(nominal) if apart(hz, nominal, NOMINAL_PPM) => Err(Silence::Contradiction { hz, nominal }),
        _ => Ok(TscRate { hz, source: Source::Crystal }),
    }
}

/// The rate to use: what was stated, if nothing was measured or the measurement bears it out within 1 % beyond
/// its own bounds; else what was measured, if that is a rate at all. `None`: there is no clock in the TSC.
pub fn decide(stated: Option<TscRate>, measured: Option<&Estimate>) -> Option<TscRate> {
    let measured = measured.filter(|estimate| SANE.contains(&estimate.rate.hz()));
    match (stated, measured) {
        (Some(stated), None) => Some(stated),
        (Some(stated), Some(m))
            if !apart(stated.hz, m.rate.hz(), MEASURED_PPM.saturating_add(m.error_ppm())) =>
        {
            Some(stated)
        }
        (_, Some(m)) => Some(TscRate { hz: m.rate.hz(), source: Source::Measured }),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::rate::Rate;

    type Table<'a> = &'a [(u32, [u32; 4])];

    /// A CPU with these leaves. Any other answers like leaf 15h of a machine that is none.
    fn cpu(leaves: Table) -> impl Leaves {
        move |leaf, _| {
            let found = leaves.iter().find(|row| row.0 == leaf);
            found.map_or([2, 200, 24_000_000, 1 << 8], |row| row.1)
        }
    }

    const HYPERVISOR: (u32, [u32; 4]) = (1, [0, 0, 1 << 31, 0]);
    const BARE: (u32, [u32; 4]) = (1, [0; 4]);

    #[test]
    fn leaf_15h_counts_when_complete() {
        // As a Tiger Lake may have it: 38.4 MHz by 126 / 2, and 2.419 GHz on the box.
        let leaves = [(0, [0x16, 0, 0, 0]), BARE, (0x15, [2, 126, 38_400_000, 0]), (0x16, [2419, 0, 0, 0])];
        let ask = cpu(&leaves);
        assert_eq!(stated(&ask), Ok(TscRate { hz: 2_419_200_000, source: Source::Crystal }));
        assert_eq!((crystal_hz(&ask), nominal_hz(&ask)), (Some(38_400_000), Some(2_419_000_000)));
        for part in 0..3 {
            let mut leaves = leaves;
            leaves[2].1[part] = 0;
            assert_eq!(stated(&cpu(&leaves)), Err(Silence::Incomplete));
        }
    }

    #[test]
    fn leaves_past_the_maximum_are_not_believed() {
        let ask = cpu(&[(0, [0x14, 0, 0, 0]), BARE, (0x8000_0000, [0x8000_0006, 0, 0, 0])]);
        assert_eq!(stated(&ask), Err(Silence::NoLeaf));
        assert_eq!((crystal_hz(&ask), nominal_hz(&ask), is_invariant(&ask)), (None, None, false));
        // A maximum of 15h says nothing of 16h.
        let ask = cpu(&[(0, [0x15, 0, 0, 0]), BARE]);
        assert_eq!((stated(&ask).map(|rate| rate.hz), nominal_hz(&ask)), (Ok(2_400_000_000), None));
        // A CPU without any extended leaf answers with a basic one.
        assert!(!is_invariant(&cpu(&[(0, [0x16, 0, 0, 0]), (0x8000_0000, [0x0756_6E65, 0, 0, 0])])));
    }

    #[test]
    fn the_nominal_frequency_is_a_cross_check() {
        let ask = |mhz| {
            stated(&cpu(&[
                (0, [0x16, 0, 0, 0]),
                BARE,
                (0x15, [2, 200, 24_000_000, 0]),
                (0x16, [mhz, 0, 0, 0]),
            ]))
        };
        assert_eq!(ask(2400).map(|rate| rate.hz), Ok(2_400_000_000));
        assert_eq!(ask(2360).map(|rate| rate.hz), Ok(2_400_000_000));
        assert_eq!(ask(0).map(|rate| rate.hz), Ok(2_400_000_000), "16h says nothing");
        let nominal = 3_000_000_000;
        assert_eq!(ask(3000), Err(Silence::Contradiction { hz: 2_400_000_000, nominal }));
    }

    #[test]
    fn a_hypervisor_is_asked_first_if_its_leaves_reach() {
        let ask = |first, top, khz| {
            stated(&cpu(&[
                (0, [0x15, 0, 0, 0]),
                first,
                (0x15, [2, 200, 24_000_000, 0]),
                (0x4000_0000, [top, 0, 0, 0]),
                (0x4000_0010, [khz, 0, 0, 0]),
            ]))
        };
        let by_hypervisor = Ok(TscRate { hz: 3_000_000_000, source: Source::Hypervisor });
        let by_crystal = Ok(TscRate { hz: 2_400_000_000, source: Source::Crystal });
        assert_eq!(ask(HYPERVISOR, 0x4000_0010, 3_000_000), by_hypervisor);
        assert_eq!(ask(HYPERVISOR, 0x4000_0082, 3_000_000), by_hypervisor);
        // QEMU's own and old KVM's maxima, and a CPU without such leaves.
        for top in [0x4000_0001, 0x4000_000F, 0, 0x16, 0x8000_0008, u32::MAX] {
            assert_eq!(ask(HYPERVISOR, top, 3_000_000), by_crystal, "{top:#x}");
        }
        assert_eq!(ask(BARE, 0x4000_0010, 3_000_000), by_crystal, "no hypervisor, no such leaves");
        for khz in [0, 999, 10_000_001, u32::MAX] {
            assert_eq!(ask(HYPERVISOR, 0x4000_0010, khz), by_crystal, "{khz} kHz");
        }
    }

    #[test]
    fn insane_rates_are_refused() {
        let ask = |crystal, numerator| {
            stated(&cpu(&[(0, [0x15, 0, 0, 0]), BARE, (0x15, [1, numerator, crystal, 0])]))
        };
        assert_eq!(ask(999_999, 1), Err(Silence::Insane(999_999)));
        assert_eq!(ask(u32::MAX, u32::MAX), Err(Silence::Insane(u64::from(u32::MAX).pow(2))));
    }

    #[test]
    fn the_invariant_bit() {
        let ask = |edx| cpu_with_extended(0x8000_0008, edx);
        assert!(ask(1 << 8) && !ask(0) && !ask(!(1 << 8)));
        assert!(!cpu_with_extended(0x8000_0006, 1 << 8));
    }

    fn cpu_with_extended(top: u32, edx: u32) -> bool {
        is_invariant(&cpu(&[(0x8000_0000, [top, 0, 0, 0]), (0x8000_0007, [0, 0, 0, edx])]))
    }

    #[test]
    fn what_is_stated_is_checked() {
        let measured = |hz| Estimate { rate: Rate::from_hz(hz).expect("a rate"), error_ppb: 1_000_000 };
        let stated = TscRate { hz: 2_400_000_000, source: Source::Crystal };
        let by_clock = |hz| Some(TscRate { hz, source: Source::Measured });
        assert_eq!(decide(Some(stated), None), Some(stated));
        for hz in [2_400_000_000, 2_402_000_000, 2_390_000_000] {
            assert_eq!(decide(Some(stated), Some(&measured(hz))), Some(stated));
        }
        // An emulator that repeats its model's CPUID, and counts instructions.
        assert_eq!(decide(Some(stated), Some(&measured(50_000_000))), by_clock(50_000_000));
        assert_eq!(decide(None, Some(&measured(1_000_000_000))), by_clock(1_000_000_000));
        for hz in [10_000, 900_000_000_000] {
            assert_eq!(decide(None, Some(&measured(hz))), None, "no counter runs so");
            assert_eq!(decide(Some(stated), Some(&measured(hz))), Some(stated));
        }
        assert_eq!(decide(None, None), None);
    }
}
