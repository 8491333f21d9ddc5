//! All flags of CPUID by the names that Linux has for them, in its order: what /proc/cpuinfo lists.
//!
//! Programs choose their code by these words. [`super::cpu::Features`] is what the kernel itself looks at.
//!
//! Source: Intel SDM vol. 2 CPUID; AMD APM vol. 3 appendix E; the names: Linux's /proc/cpuinfo.

/// A register of a leaf: leaf, sub-leaf, register (0 = EAX … 3 = EDX), and names by bits, from bit 0; `""` is none.
type Word = (u32, u32, usize, &'static [(u32, &'static str)]);

#[rustfmt::skip]
const WORDS: &[Word] = &[
    (1, 0, 3, &[
        (0, "fpu"), (1, "vme"), (2, "de"), (3, "pse"), (4, "tsc"), (5, "msr"), (6, "pae"), (7, "mce"), (8, "cx8"),
        (9, "apic"), (11, "sep"), (12, "mtrr"), (13, "pge"), (14, "mca"), (15, "cmov"), (16, "pat"), (17, "pse36"),
        (18, "pn"), (19, "clflush"), (21, "dts"), (22, "acpi"), (23, "mmx"), (24, "fxsr"), (25, "sse"),
        (26, "sse2"), (27, "ss"), (28, "ht"), (29, "tm"), (30, "ia64"), (31, "pbe"),
    ]),
    (0x8000_0001, 0, 3, &[
        (11, "syscall"), (19, "mp"), (20, "nx"), (22, "mmxext"), (25, "fxsr_opt"), (26, "pdpe1gb"), (27, "rdtscp"),
        (29, "lm"), (30, "3dnowext"), (31, "3dnow"),
    ]),
    // What Linux concludes from elsewhere stands between these two: constant_tsc and nonstop_tsc, from one bit.
    (0x8000_0007, 0, 3, &[(8, "constant_tsc"), (8, "nonstop_tsc")]),
    (1, 0, 2, &[
        (0, "pni"), (1, "pclmulqdq"), (2, "dtes64"), (3, "monitor"), (4, "ds_cpl"), (5, "vmx"), (6, "smx"), (7, "est"),
        (8, "tm2"), (9, "ssse3"), (10, "cid"), (11, "sdbg"), (12, "fma"), (13, "cx16"), (14, "xtpr"), (15, "pdcm"),
        (17, "pcid"), (18, "dca"), (19, "sse4_1"), (20, "sse4_2"), (21, "x2apic"), (22, "movbe"), (23, "popcnt"),
        (24, "tsc_deadline_timer"), (25, "aes"), (26, "xsave"), (28, "avx"), (29, "f16c"), (30, "rdrand"),
        (31, "hypervisor"),
    ]),
    (0x8000_0001, 0, 2, &[
        (0, "lahf_lm"), (1, "cmp_legacy"), (2, "svm"), (3, "extapic"), (4, "cr8_legacy"), (5, "abm"), (6, "sse4a"),
        (7, "misalignsse"), (8, "3dnowprefetch"), (9, "osvw"), (10, "ibs"), (11, "xop"), (12, "skinit"), (13, "wdt"),
        (15, "lwp"), (16, "fma4"), (17, "tce"), (19, "nodeid_msr"), (21, "tbm"), (22, "topoext"),
        (23, "perfctr_core"), (24, "perfctr_nb"), (26, "bpext"), (27, "ptsc"), (28, "perfctr_llc"), (29, "mwaitx"),
    ]),
    (7, 0, 1, &[
        (0, "fsgsbase"), (1, "tsc_adjust"), (3, "bmi1"), (4, "hle"), (5, "avx2"), (7, "smep"), (8, "bmi2"), (9, "erms"),
        (10, "invpcid"), (11, "rtm"), (12, "cqm"), (14, "mpx"), (15, "rdt_a"), (16, "avx512f"), (17, "avx512dq"),
        (18, "rdseed"), (19, "adx"), (20, "smap"), (21, "avx512ifma"), (23, "clflushopt"), (24, "clwb"),
        (25, "intel_pt"), (26, "avx512pf"), (27, "avx512er"), (28, "avx512cd"), (29, "sha_ni"), (30, "avx512bw"),
        (31, "avx512vl"),
    ]),
    (0xD, 1, 0, &[(0, "xsaveopt"), (1, "xsavec"), (2, "xgetbv1"), (3, "xsaves")]),
    (7, 1, 0, &[(4, "avx_vnni"), (5, "avx512_bf16"), (10, "fzrm"), (11, "fsrs"), (12, "fsrc")]),
    (0x8000_0008, 0, 1, &[(0, "clzero"), (1, "irperf"), (2, "xsaveerptr"), (4, "rdpru"), (9, "wbnoinvd")]),
    (6, 0, 0, &[(0, "dtherm"), (1, "ida"), (2, "arat"), (4, "pln"), (6, "pts"), (7, "hwp")]),
    (0x8000_000A, 0, 3, &[(0, "npt"), (1, "lbrv"), (2, "svm_lock"), (3, "nrip_save"), (4, "tsc_scale")]),
    (7, 0, 2, &[
        (1, "avx512vbmi"), (2, "umip"), (3, "pku"), (5, "waitpkg"), (6, "avx512_vbmi2"), (8, "gfni"), (9, "vaes"),
        (10, "vpclmulqdq"), (11, "avx512_vnni"), (12, "avx512_bitalg"), (13, "tme"), (14, "avx512_vpopcntdq"),
        (16, "la57"), (22, "rdpid"), (25, "cldemote"), (27, "movdiri"), (28, "movdir64b"),
    ]),
    (0x8000_0007, 0, 1, &[(0, "overflow_recov"), (1, "succor"), (3, "smca")]),
    (7, 0, 3, &[
        (2, "avx512_4vnniw"), (3, "avx512_4fmaps"), (4, "fsrm"), (8, "avx512_vp2intersect"), (10, "md_clear"),
        (14, "serialize"), (16, "tsxldtrk"), (18, "pconfig"), (19, "arch_lbr"), (22, "amx_bf16"),
        (23, "avx512_fp16"), (24, "amx_tile"), (25, "amx_int8"), (28, "flush_l1d"), (29, "arch_capabilities"),
    ]),
];

/// Calls `tell` with the name of each flag that is there, by the leaves that `ask` answers with.
pub fn for_each(ask: impl Fn(u32, u32) -> [u32; 4], mut tell: impl FnMut(&'static str)) {
    let (basic, extended) = (ask(0, 0)[0], ask(0x8000_0000, 0)[0]);
    for &(leaf, subleaf, register, names) in WORDS {
        let top = if leaf >= 0x8000_0000 { extended } else { basic };
        // A leaf past the last answers with another's bits; a sub-leaf of 7 past the last likewise.
        let is_there = leaf <= top && (leaf != 7 || subleaf <= ask(7, 0)[0]);
        if !is_there {
            continue;
        }
        let bits = ask(leaf, subleaf)[register];
        names.iter().filter(|(bit, _)| bits >> bit & 1 != 0).for_each(|(_, name)| tell(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    #[test]
    fn names_are_words_and_each_stands_once() {
        let names: Vec<_> = WORDS.iter().flat_map(|word| word.3.iter().map(|(_, name)| *name)).collect();
        assert!(
            names
                .iter()
                .all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'))
        );
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert!(WORDS.iter().all(|word| word.3.iter().all(|(bit, _)| *bit < 32)));
    }

    /// What Linux says of the machine that the tests run on: of the flags that both know, the same are there.
    #[test]
    fn linux_agrees() {
        let Ok(text) = std::fs::read_to_string("/proc/cpuinfo") else { return };
        let Some(line) = text.lines().find(|line| line.starts_with("flags")) else { return };
        let theirs: BTreeSet<_> = line.split(':').nth(1).unwrap_or("").split_whitespace().collect();
        let mut ours = BTreeSet::new();
        let ask = |leaf, subleaf| {
            let r = crate::arch::x86_64::cpu::cpuid(leaf, subleaf);
            [r.eax, r.ebx, r.ecx, r.edx]
        };
        for_each(ask, |name| _ = ours.insert(name));
        let known: BTreeSet<_> = WORDS.iter().flat_map(|word| word.3.iter().map(|(_, name)| *name)).collect();
        let missing: Vec<_> = theirs.intersection(&known).filter(|name| !ours.contains(*name)).collect();
        assert!(missing.is_empty(), "Linux has {missing:?}, CPUID does not");
        // The other way Linux may have turned some off; but not the most of them.
        assert!(ours.intersection(&theirs).count() * 10 > ours.len() * 8, "{ours:?} and {theirs:?}");
    }
}
