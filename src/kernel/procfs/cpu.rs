//! What /proc/cpuinfo says of a CPU.
//!
//! All CPUs of a machine that this kernel runs have what the boot CPU has, so CPUID is asked where the reader is; where a
//! CPU sits it has told when it started.

use crate::arch::x86_64::cpu::{self, Features, cpuid};
use crate::arch::x86_64::{cpu_flags, percpu};
use crate::fs::format::Text;
use crate::kernel::boot_info;
use crate::platform::pc::cpus;
use core::fmt::Write;

fn ask(leaf: u32, subleaf: u32) -> [u32; 4] {
    let r = cpuid(leaf, subleaf);
    [r.eax, r.ebx, r.ecx, r.edx]
}

/// KiB of the last cache that CPUID tells of (leaf 4; AMD: leaf 8000_0006h).
fn cache_kib() -> u32 {
    let mut kib = 0;
    if ask(0, 0)[0] >= 4 {
        for subleaf in 0..8 {
            let [eax, ebx, ecx, _] = ask(4, subleaf);
            if eax & 0x1F == 0 {
                break;
            }
            let (ways, partitions, line) = (ebx >> 22, ebx >> 12 & 0x3FF, ebx & 0xFFF);
            let bytes =
                u64::from(ways + 1) * u64::from(partitions + 1) * u64::from(line + 1) * (u64::from(ecx) + 1);
            kib = (bytes >> 10) as u32;
        }
    }
    if kib == 0 && ask(0x8000_0000, 0)[0] >= 0x8000_0006 {
        kib = ask(0x8000_0006, 0)[2] >> 16;
    }
    kib
}

/// How many CPUs share a package with it, and how many of those are the first of their core.
fn siblings(package: u32) -> (usize, usize) {
    let in_package = || {
        let all = cpus::all().filter(|(_, entry)| entry.is_online());
        all.filter_map(|(number, _)| cpus::topology(number)).filter(move |at| at.package == package)
    };
    (in_package().count(), in_package().filter(|at| at.thread == 0).count().max(1))
}

/// The lines of one CPU, and an empty one. In Linux's order; what only some makers' have is left out.
pub fn describe(number: usize, out: &mut Text) {
    let (family, model, stepping) = cpu::signature();
    let hz = boot_info::get().times.tsc_hz;
    let (mhz, khz_rest) = (hz / 1_000_000, hz / 1000 % 1000);
    let at = cpus::topology(number);
    let (package, core) = at.map_or((0, number as u32), |at| (at.package, at.core));
    let (siblings, cores) = siblings(package);
    let apic_id = if Features::detect().contains(Features::APIC) { cpus::apic_id(number) } else { 0 };
    let _ = writeln!(out, "processor\t: {number}\nvendor_id\t: {}", cpu::vendor().as_str());
    let brand = cpu::brand();
    let brand = if brand.as_str().is_empty() { "unknown" } else { brand.as_str() };
    let _ = writeln!(out, "cpu family\t: {family}\nmodel\t\t: {model}\nmodel name\t: {brand}");
    let _ = writeln!(out, "stepping\t: {stepping}\ncpu MHz\t\t: {mhz}.{khz_rest:03}");
    let cache = cache_kib();
    if cache > 0 {
        let _ = writeln!(out, "cache size\t: {cache} KB");
    }
    let _ = writeln!(out, "physical id\t: {package}\nsiblings\t: {siblings}\ncore id\t\t: {core}");
    let _ = writeln!(out, "cpu cores\t: {cores}\napicid\t\t: {apic_id}\ninitial apicid\t: {apic_id}");
    let _ = writeln!(out, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: {}\nwp\t\t: yes", ask(0, 0)[0]);
    let _ = out.write_str("flags\t\t:");
    cpu_flags::for_each(ask, |name| _ = write!(out, " {name}"));
    // As many loops as Linux's delay would run in a second, in millions: with a TSC, twice its rate.
    let (bogomips, hundredths) = (hz / 500_000, hz / 5_000 % 100);
    let line = ask(1, 0)[1] >> 8 & 0xFF;
    let line = if line > 0 { line * 8 } else { 64 };
    let _ = writeln!(out, "\nbugs\t\t:\nbogomips\t: {bogomips}.{hundredths:02}\nclflush size\t: {line}");
    let physical = cpu::physical_address_bits();
    let _ = writeln!(out, "cache_alignment\t: {line}");
    let _ = writeln!(out, "address sizes\t: {physical} bits physical, 48 bits virtual\npower management:\n");
}

/// The next CPU in use.
pub fn next(from: usize) -> Option<usize> {
    (from..percpu::copies::copies()).find(|&cpu| percpu::copies::is_online(cpu))
}
