//! What this CPU is and can do, and turning it on.
//!
//! [`Features::detect`] reads CPUID into one flag set, with AMD's and Intel's leaves under one roof.
//! [`Features::missing`] names what the kernel cannot do without; the loader asks it before it builds page
//! tables with the no-execute bit. `enable` switches on what exists: a feature that is there but off
//! protects nobody.
//!
//! Source: Intel SDM vol. 2 CPUID, vol. 3 §2.5 and §13.3; AMD APM vol. 3 appendix E.

use bitflags::bitflags;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::fmt;

bitflags! {
    /// CPUID feature bits that matter here, under numbers of our own.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Features: u64 {
        const FPU = 1 << 0;
        const TSC = 1 << 1;
        const MSR = 1 << 2;
        const PAE = 1 << 3;
        const MCE = 1 << 4;
        const CX8 = 1 << 5;
        const APIC = 1 << 6;
        const PGE = 1 << 7;
        const MCA = 1 << 8;
        const CMOV = 1 << 9;
        const PAT = 1 << 10;
        const FXSR = 1 << 11;
        const SSE = 1 << 12;
        const SSE2 = 1 << 13;
        const MONITOR = 1 << 14;
        const PCID = 1 << 15;
        const X2APIC = 1 << 16;
        const TSC_DEADLINE = 1 << 17;
        const XSAVE = 1 << 18;
        const AVX = 1 << 19;
        const RDRAND = 1 << 20;
        const HYPERVISOR = 1 << 21;
        const FSGSBASE = 1 << 22;
        const SMEP = 1 << 23;
        const ERMS = 1 << 24;
        const INVPCID = 1 << 25;
        const AVX512F = 1 << 26;
        const RDSEED = 1 << 27;
        const SMAP = 1 << 28;
        const UMIP = 1 << 29;
        const LA57 = 1 << 30;
        const FSRM = 1 << 31;
        const XSAVEOPT = 1 << 32;
        const SYSCALL = 1 << 33;
        const NX = 1 << 34;
        const PAGE_1G = 1 << 35;
        const RDTSCP = 1 << 36;
        const LONG_MODE = 1 << 37;
        const INVARIANT_TSC = 1 << 38;
        const MTRR = 1 << 39;
        const TSC_ADJUST = 1 << 40;
    }
}

/// Feature, its usual name, and where CPUID says it: leaf, register (0 = EAX … 3 = EDX), bit.
type Row = (Features, &'static str, u32, usize, u32);

/// The table that detection and printing share. Sub-leaf 0, except for leaf 0Dh, where it is 1.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    (Features::FPU,           "fpu",           1, 3, 0),
    (Features::TSC,           "tsc",           1, 3, 4),
    (Features::MSR,           "msr",           1, 3, 5),
    (Features::PAE,           "pae",           1, 3, 6),
    (Features::MCE,           "mce",           1, 3, 7),
    (Features::CX8,           "cx8",           1, 3, 8),
    (Features::APIC,          "apic",          1, 3, 9),
    (Features::MTRR,          "mtrr",          1, 3, 12),
    (Features::PGE,           "pge",           1, 3, 13),
    (Features::MCA,           "mca",           1, 3, 14),
    (Features::CMOV,          "cmov",          1, 3, 15),
    (Features::PAT,           "pat",           1, 3, 16),
    (Features::FXSR,          "fxsr",          1, 3, 24),
    (Features::SSE,           "sse",           1, 3, 25),
    (Features::SSE2,          "sse2",          1, 3, 26),
    (Features::MONITOR,       "monitor",       1, 2, 3),
    (Features::PCID,          "pcid",          1, 2, 17),
    (Features::X2APIC,        "x2apic",        1, 2, 21),
    (Features::TSC_DEADLINE,  "tsc_deadline",  1, 2, 24),
    (Features::XSAVE,         "xsave",         1, 2, 26),
    (Features::AVX,           "avx",           1, 2, 28),
    (Features::RDRAND,        "rdrand",        1, 2, 30),
    (Features::HYPERVISOR,    "hypervisor",    1, 2, 31),
    (Features::FSGSBASE,      "fsgsbase",      7, 1, 0),
    (Features::TSC_ADJUST,    "tsc_adjust",    7, 1, 1),
    (Features::SMEP,          "smep",          7, 1, 7),
    (Features::ERMS,          "erms",          7, 1, 9),
    (Features::INVPCID,       "invpcid",       7, 1, 10),
    (Features::AVX512F,       "avx512f",       7, 1, 16),
    (Features::RDSEED,        "rdseed",        7, 1, 18),
    (Features::SMAP,          "smap",          7, 1, 20),
    (Features::UMIP,          "umip",          7, 2, 2),
    (Features::LA57,          "la57",          7, 2, 16),
    (Features::FSRM,          "fsrm",          7, 3, 4),
    (Features::XSAVEOPT,      "xsaveopt",      0xD, 0, 0),
    (Features::SYSCALL,       "syscall",       0x8000_0001, 3, 11),
    (Features::NX,            "nx",            0x8000_0001, 3, 20),
    (Features::PAGE_1G,       "1gib_pages",    0x8000_0001, 3, 26),
    (Features::RDTSCP,        "rdtscp",        0x8000_0001, 3, 27),
    (Features::LONG_MODE,     "lm",            0x8000_0001, 3, 29),
    (Features::INVARIANT_TSC, "invariant_tsc", 0x8000_0007, 3, 8),
];

/// What the kernel cannot do without. NX belongs here: without it no page could be data only.
pub const REQUIRED: Features = Features::FPU
    .union(Features::TSC)
    .union(Features::MSR)
    .union(Features::PAE)
    .union(Features::CX8)
    .union(Features::PGE)
    .union(Features::CMOV)
    .union(Features::PAT)
    .union(Features::FXSR)
    .union(Features::SSE)
    .union(Features::SSE2)
    .union(Features::SYSCALL)
    .union(Features::NX)
    .union(Features::LONG_MODE);

impl Features {
    /// Asks CPUID.
    pub fn detect() -> Self {
        Self::from_cpuid(|leaf, subleaf| {
            let r = cpuid(leaf, subleaf);
            [r.eax, r.ebx, r.ecx, r.edx]
        })
    }

    /// The same from any source of leaves. A leaf past the maximum answers with some other leaf's data
    /// (SDM vol. 2 CPUID), so the maxima are asked first.
    pub fn from_cpuid(ask: impl Fn(u32, u32) -> [u32; 4]) -> Self {
        let basic = ask(0, 0)[0];
        let extended = ask(0x8000_0000, 0)[0];
        let mut found = Self::empty();
        for &(feature, _, leaf, register, bit) in TABLE {
            let top = if leaf >= 0x8000_0000 { extended } else { basic };
            // Leaf 0Dh exists for CPUs with XSAVE only; without it the maximum may still reach past it.
            let reachable = leaf <= top && (leaf != 0xD || found.contains(Self::XSAVE));
            let subleaf = u32::from(leaf == 0xD);
            if reachable && ask(leaf, subleaf)[register] >> bit & 1 != 0 {
                found |= feature;
            }
        }
        // XSAVE is of no use without the leaf that says what it saves; some firmware can cut it off.
        if basic < 0xD {
            found -= Self::XSAVE | Self::XSAVEOPT | Self::AVX | Self::AVX512F;
        }
        found
    }

    /// The required features that are not there.
    pub fn missing(self) -> Self {
        REQUIRED.difference(self)
    }

    /// Usual names of the features in the set, in the table's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        TABLE.iter().filter(move |row| self.contains(row.0)).map(|row| row.1)
    }
}

/// Names with a blank between them, as they print.
pub struct Words<I>(pub I);

impl<I: Iterator<Item = &'static str> + Clone> fmt::Display for Words<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.0.clone().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{word}")?;
        }
        Ok(())
    }
}

/// One CPUID leaf.
pub fn cpuid(leaf: u32, subleaf: u32) -> core::arch::x86_64::CpuidResult {
    // rustc 1.96 takes these two for safe functions and 1.85 does not.
    #[allow(unused_unsafe)]
    // SAFETY: CPUID exists on every x86_64 CPU and has no effect but its results.
    unsafe {
        __cpuid_count(leaf, subleaf)
    }
}

/// Text made of CPUID bytes: no allocation, and never anything but ASCII.
pub struct CpuidText<const N: usize> {
    bytes: [u8; N],
}

impl<const N: usize> CpuidText<N> {
    fn new(registers: impl Iterator<Item = u32>) -> Self {
        let mut bytes = [b' '; N];
        for (chunk, register) in bytes.chunks_exact_mut(4).zip(registers) {
            chunk.copy_from_slice(&register.to_le_bytes());
        }
        for byte in &mut bytes {
            if !byte.is_ascii_graphic() {
                *byte = b' ';
            }
        }
        Self { bytes }
    }

    /// The text without blanks around it.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes).unwrap_or("").trim()
    }
}

/// "GenuineIntel", "AuthenticAMD", …
pub fn vendor() -> CpuidText<12> {
    let r = cpuid(0, 0);
    CpuidText::new([r.ebx, r.edx, r.ecx].into_iter())
}

/// The marketing name; empty where CPUID has none.
pub fn brand() -> CpuidText<48> {
    #[allow(unused_unsafe)]
    // SAFETY: as in `cpuid`.
    let top = unsafe { __cpuid(0x8000_0000) }.eax;
    let leaves = 0x8000_0002..=0x8000_0004;
    CpuidText::new(leaves.filter(|&leaf| leaf <= top).flat_map(|leaf| {
        let r = cpuid(leaf, 0);
        [r.eax, r.ebx, r.ecx, r.edx]
    }))
}

/// Family, model and stepping (SDM vol. 2 CPUID, "version information").
pub fn signature() -> (u32, u32, u32) {
    let eax = cpuid(1, 0).eax;
    let (family, model) = (eax >> 8 & 15, eax >> 4 & 15);
    let full_family = if family == 15 { family + (eax >> 20 & 255) } else { family };
    let full_model = if family == 6 || family == 15 { model | (eax >> 16 & 15) << 4 } else { model };
    (full_family, full_model, eax & 15)
}

/// Width of physical addresses in bits.
pub fn physical_address_bits() -> u32 {
    #[allow(unused_unsafe)]
    // SAFETY: as in `cpuid`.
    let top = unsafe { __cpuid(0x8000_0000) }.eax;
    if top >= 0x8000_0008 { cpuid(0x8000_0008, 0).eax & 255 } else { 36 }
}

#[cfg(target_os = "none")]
pub use live::{enable, enabled, has_fsgsbase};

#[cfg(target_os = "none")]
mod live {
    use super::super::cr::{self, Cr0, Cr4, Xcr0};
    use super::super::msr::{self, numbers};
    use super::super::patch::{self, kinds::PATCH_SMAP};
    use super::{Features, cpuid};

    unsafe extern "C" {
        // asm/interrupts.S
        static mut trap_has_fsgsbase: u8;
    }

    /// The eight cache types that PWT, PCD and PAT bits of a page-table entry choose from; entry 0 comes
    /// first. The default PAT has no write-combining entry; this is Linux's choice, in which entry 1
    /// (PWT alone) becomes write-combining. Source: SDM vol. 3 §11.12.
    const PAT: u64 = u64::from_le_bytes([WB, WC, UC_MINUS, UC, WB, WP, UC_MINUS, WT]);
    const UC: u8 = 0;
    const WC: u8 = 1;
    const WT: u8 = 4;
    const WP: u8 = 5;
    const WB: u8 = 6;
    const UC_MINUS: u8 = 7;

    /// Turns on what this CPU has.
    ///
    /// # Safety
    /// Once on each CPU, on the kernel's own page tables, with `features` from this CPU and nothing
    /// required missing.
    pub unsafe fn enable(features: Features) {
        let when = |feature, bits| if features.contains(feature) { bits } else { Cr4::empty() };
        let cr0 = Cr0::read() | Cr0::WP | Cr0::NE | Cr0::MP | Cr0::AM;
        let cr4 = Cr4::PAE
            | Cr4::DE
            | Cr4::OSFXSR
            | Cr4::OSXMMEXCPT
            | when(Features::PGE, Cr4::PGE)
            | when(Features::MCE, Cr4::MCE)
            | when(Features::XSAVE, Cr4::OSXSAVE)
            | when(Features::FSGSBASE, Cr4::FSGSBASE)
            | when(Features::SMEP, Cr4::SMEP)
            | when(Features::SMAP, Cr4::SMAP)
            | when(Features::UMIP, Cr4::UMIP);
        // SAFETY: WP and SMAP/SMEP restrict accesses this kernel does not make; AM concerns ring 3; each CR4 bit is gated by its
        // CPUID bit; PAT is required. The TLB is flushed after the PAT changed, as its section asks.
        unsafe {
            (cr0 - Cr0::EM - Cr0::TS - Cr0::NW - Cr0::CD).write();
            cr4.write();
            msr::wrmsr(numbers::IA32_PAT, PAT);
            cr::flush_tlb_all();
            if features.contains(Features::XSAVE) {
                supported_state(features).write();
            }
            if features.contains(Features::SMAP) {
                patch::apply(PATCH_SMAP);
            }
            // From here on RDGSBASE exists.
            (&raw mut trap_has_fsgsbase).write_volatile(features.contains(Features::FSGSBASE).into());
        }
    }

    /// Whether FSGSBASE is on.
    #[inline]
    pub fn has_fsgsbase() -> bool {
        // SAFETY: a byte that is written with one value, before anybody has a use for it.
        unsafe { (&raw const trap_has_fsgsbase).read_volatile() != 0 }
    }

    /// The XSAVE state components that this kernel knows and the CPU has (SDM vol. 1 §13.3).
    fn supported_state(features: Features) -> Xcr0 {
        let leaf = cpuid(0xD, 0);
        let offered = Xcr0::from_bits_retain(u64::from(leaf.edx) << 32 | u64::from(leaf.eax));
        let mut state = Xcr0::X87 | Xcr0::SSE;
        if features.contains(Features::AVX) {
            state |= Xcr0::AVX;
        }
        if features.contains(Features::AVX | Features::AVX512F) && offered.contains(Xcr0::AVX | Xcr0::AVX512)
        {
            state |= Xcr0::AVX512;
        }
        state & offered
    }

    /// Names of the protections and state components that are on, as the registers have them.
    pub fn enabled() -> impl Iterator<Item = &'static str> + Clone {
        let cr0 = Cr0::read();
        let cr4 = Cr4::read();
        // SAFETY: EFER exists on every CPU with long mode, and PAT is required.
        let (efer, pat) = unsafe { (msr::rdmsr(numbers::IA32_EFER), msr::rdmsr(numbers::IA32_PAT)) };
        let xcr0 = if cr4.contains(Cr4::OSXSAVE) {
            // SAFETY: OSXSAVE is set.
            unsafe { Xcr0::read() }
        } else {
            Xcr0::empty()
        };
        [
            (efer & numbers::EFER_NXE != 0, "nx"),
            (cr0.contains(Cr0::WP), "wp"),
            (cr4.contains(Cr4::PGE), "pge"),
            (cr4.contains(Cr4::OSFXSR), "sse"),
            (cr4.contains(Cr4::OSXSAVE), "xsave"),
            (xcr0.contains(Xcr0::AVX), "avx"),
            (xcr0.contains(Xcr0::AVX512), "avx512"),
            (cr4.contains(Cr4::FSGSBASE), "fsgsbase"),
            (cr4.contains(Cr4::SMEP), "smep"),
            (cr4.contains(Cr4::SMAP), "smap"),
            (cr4.contains(Cr4::UMIP), "umip"),
            (cr4.contains(Cr4::MCE), "mce"),
            (pat == PAT, "pat-wc"),
        ]
        .into_iter()
        .filter_map(|(on, name)| on.then_some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// A CPU with the given leaves; every other leaf answers like the last basic one, as real ones do.
    fn model(leaves: &'static [(u32, [u32; 4])]) -> impl Fn(u32, u32) -> [u32; 4] {
        move |leaf, _| leaves.iter().find(|l| l.0 == leaf).map_or([u32::MAX; 4], |l| l.1)
    }

    #[test]
    fn leaves_past_the_maximum_are_not_believed() {
        let found = Features::from_cpuid(model(&[
            (0, [1, 0, 0, 0]),
            (1, [0, 0, 0, 1 << 4 | 1 << 26]),
            (0x8000_0000, [0x8000_0001, 0, 0, 0]),
            (0x8000_0001, [0, 0, 0, 1 << 20]),
        ]));
        assert_eq!(found, Features::TSC | Features::SSE2 | Features::NX);
    }

    #[test]
    fn xsaveopt_needs_xsave() {
        let leaves: &[(u32, [u32; 4])] =
            &[(0, [0xD, 0, 0, 0]), (1, [0; 4]), (7, [0; 4]), (0xD, [1, 0, 0, 0]), (0x8000_0000, [0; 4])];
        assert_eq!(Features::from_cpuid(model(leaves)), Features::empty());
    }

    #[test]
    fn missing_features_are_named() {
        let names: Vec<_> = (REQUIRED - Features::NX - Features::SSE2).missing().names().collect();
        assert_eq!(names, ["sse2", "nx"]);
        assert!(REQUIRED.missing().is_empty());
    }

    #[test]
    fn each_feature_stands_in_the_table_once() {
        let mut seen = Features::empty();
        for row in TABLE {
            assert!(!seen.intersects(row.0), "{}", row.1);
            seen |= row.0;
        }
        assert_eq!(seen, Features::all());
    }

    #[test]
    fn the_host_is_an_x86_64_cpu() {
        assert!(Features::detect().contains(Features::LONG_MODE | Features::SSE2));
        assert_eq!(vendor().as_str().len(), 12);
    }
}
