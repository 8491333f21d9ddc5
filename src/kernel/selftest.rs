//! Tests that the kernel runs on itself, on the live machine: what no host test can see.
//!
//! `selftest` in the monitor runs all or one; the option `selftest` on the command line runs them at boot
//! and ends QEMU with status 33 if all passed, 35 if not.

mod disk;
mod exercise;
mod files;
mod locks;
mod mm;
mod mm_short;
mod pci_intx;
mod procfs;
mod random;
mod recorded;
mod ring3;
mod smp;
mod space;
mod spread;
pub mod terminal;
mod threads;
mod tlb;

use super::image;
use crate::arch::x86_64::cr::{Cr0, Cr4};
use crate::arch::x86_64::frame::SYSCALL_INT;
use crate::arch::x86_64::paging::{Flags, live};
use crate::arch::x86_64::selectors::{GDT_SIZE, IST_DEBUG, IST_DOUBLE_FAULT, IST_MACHINE_CHECK, IST_NMI};
use crate::arch::x86_64::{cr, gdt, idt, probe, recover, stacks};
use crate::boot::info::{MemoryKind, MemoryRegion};
use crate::boot::layout::{DIRECT_MAP_BASE, PAGE_SIZE};
use crate::boot::memmap::EFI_MEMORY_WB;
use crate::fs::later;
use crate::kernel::boot_info;
use crate::mm::{frames, heap, pressure};
use crate::sync::grace::EPOCHS;
use crate::task;
use log::{error, info};

/// Why a test did not pass.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// What was found.
    Failed(&'static str),
    /// What this machine lacks for it.
    Skipped(&'static str),
}

impl From<&'static str> for Trouble {
    fn from(found: &'static str) -> Self {
        Self::Failed(found)
    }
}

type Outcome = Result<(), Trouble>;

/// A test: its name, what it proves, and the code. An error says what was found instead.
pub struct SelfTest {
    pub name: &'static str,
    pub about: &'static str,
    run: fn() -> Outcome,
}

/// All of them.
pub const TESTS: &[SelfTest] = &[
    SelfTest {
        name: "wx",
        about: "no page is writable and executable, or the user's, or in the lower half",
        run: write_xor_execute,
    },
    SelfTest { name: "image", about: "text is R-X, rodata R--, data RW-", run: image_permissions },
    SelfTest {
        name: "aliases",
        about: "text and rodata are read-only in the direct map too",
        run: read_only_aliases,
    },
    SelfTest { name: "guards", about: "the page below each stack is not mapped", run: guard_pages },
    SelfTest { name: "directmap", about: "all RAM is in the direct map, not executable", run: direct_map },
    SelfTest {
        name: "extable",
        about: "the exception table is in order and its fix-ups work",
        run: exception_table,
    },
    SelfTest { name: "idt", about: "256 gates, four of them on stacks of their own", run: interrupt_table },
    SelfTest { name: "gdt", about: "the table in use is ours, its TSS is busy", run: segment_table },
    SelfTest {
        name: "symbols",
        about: "the symbol table is sound and knows this function",
        run: symbol_table,
    },
    SelfTest {
        name: "protections",
        about: "WP, NX, SMEP, SMAP and UMIP are on where the CPU has them",
        run: protections,
    },
    SelfTest { name: "recover", about: "registers survive a provoked exception", run: recovery },
    SelfTest {
        name: "usercopy",
        about: "copies to and from user memory, exact to the byte where they end early",
        run: || Ok(super::user::selftest::run()?),
    },
    SelfTest { name: "files", about: "files, FIFOs and devices, with several threads", run: files::run },
    SelfTest {
        name: "proc",
        about: "/proc and /dev read in every way while threads come and go",
        run: procfs::run,
    },
    SelfTest {
        name: "files-fsx",
        about: "one file, read, written, cut and mapped at random, against its bytes",
        run: exercise::fsx,
    },
    SelfTest {
        name: "files-stress",
        about: "threads in one tree of files, at random, who leave nothing behind",
        run: exercise::stress,
    },
    SelfTest {
        name: "files-disk",
        about: "the same on a disk, with pages written back and taken away meanwhile",
        run: disk::write_back,
    },
    SelfTest {
        name: "files-large",
        about: "a file that is larger than the memory, by several threads",
        run: disk::larger_than_memory,
    },
    SelfTest {
        name: "files-walk",
        about: "a cached path: no lock, no shared line written",
        run: exercise::walk,
    },
    SelfTest { name: "random", about: "random numbers are ready and differ", run: random::run },
    SelfTest { name: "pty", about: "a pair typed at, read, filled and hung up", run: terminal::pty },
    SelfTest {
        name: "signals",
        about: "a signal ends every sleep that it is to end",
        run: terminal::signals,
    },
    SelfTest { name: "tlb", about: "no translation outlives its mapping", run: tlb::run },
    SelfTest { name: "mm-blocks", about: "blocks of every order, each given out once", run: mm::blocks },
    SelfTest { name: "mm-heap", about: "20,000 steps of allocating and freeing", run: mm::heap },
    SelfTest {
        name: "mm-ranges",
        about: "page ranges have guards, and end when they are freed",
        run: mm::ranges,
    },
    SelfTest {
        name: "mm-refusals",
        about: "a refused request is an answer, whichever it is",
        run: mm::refusals,
    },
    SelfTest { name: "mm-exhaustion", about: "memory is out, and comes back", run: mm::exhaustion },
    SelfTest {
        name: "mm-demand-zero",
        about: "a program's pages come when they are touched",
        run: space::demand_zero,
    },
    SelfTest {
        name: "mm-changes",
        about: "what is unmapped or protected is so at once",
        run: space::changes,
    },
    SelfTest {
        name: "mm-copy-on-write",
        about: "who writes has a copy of his own",
        run: space::copy_on_write,
    },
    SelfTest { name: "mm-stacks", about: "stacks grow to their limit and no further", run: space::stacks },
    SelfTest { name: "mm-tables", about: "a program's pages are its own and keep W^X", run: space::tables },
    SelfTest { name: "mm-fork", about: "a program and its copies count for themselves", run: space::fork },
    SelfTest {
        name: "mm-pressure",
        about: "short of memory: what can be given back is, and else somebody goes",
        run: mm_short::pressure,
    },
    SelfTest {
        name: "mm-failures",
        about: "the tests of memory with one request refused, and nothing is lost",
        run: mm_short::failures,
    },
    SelfTest {
        name: "mm-at-hand",
        about: "what CPUs have at hand is counted, and comes back",
        run: mm_short::at_hand,
    },
    SelfTest { name: "mm-devices", about: "no device page is cached", run: mm::devices },
    SelfTest {
        name: "smp-isolation",
        about: "each CPU has its own copy of a per-CPU variable",
        run: smp::isolation,
    },
    SelfTest { name: "smp-calls", about: "100,000 calls to other CPUs, all answered", run: smp::calls },
    SelfTest { name: "smp-storm", about: "all CPUs call all others at once", run: smp::storm },
    SelfTest {
        name: "smp-shootdown",
        about: "no CPU reads a page after it was unmapped",
        run: smp::shootdown,
    },
    SelfTest {
        name: "smp-time",
        about: "one clock for all CPUs, which never steps back",
        run: smp::one_time,
    },
    SelfTest {
        name: "smp-spinning",
        about: "what spinning locks, sequence locks and epochs protect stays whole, on all CPUs",
        run: locks::spinning,
    },
    SelfTest {
        name: "smp-sleeping",
        about: "what locks that sleep protect stays whole, and no wake-up is lost",
        run: locks::sleeping,
    },
    SelfTest {
        name: "smp-handover",
        about: "no CPU reads a time before one that it was told",
        run: smp::handover,
    },
    SelfTest {
        name: "smp-switch",
        about: "threads run by rank, by turns, and as long as they should",
        run: threads::switch,
    },
    SelfTest {
        name: "smp-threads",
        about: "10,000 threads begin and end, and leave nothing behind",
        run: threads::many,
    },
    SelfTest {
        name: "smp-moves",
        about: "threads go where they are sent, and no wake-up is lost on the way",
        run: spread::moves,
    },
    SelfTest { name: "smp-spread", about: "all CPUs work as long as threads want to", run: spread::spread },
    SelfTest {
        name: "smp-trace",
        about: "what threads do is recorded: switches, wake-ups, migrations",
        run: recorded::run,
    },
    SelfTest { name: "smp-wait", about: "no wake-up is lost, and no sleep ends early", run: threads::wait },
    SelfTest {
        name: "smp-fpu",
        about: "every register survives 10,000 preemptions of 64 threads",
        run: threads::registers,
    },
    SelfTest {
        name: "smp-ring3",
        about: "the same in ring 3, with the bases of FS and GS, and over calls",
        run: ring3::registers,
    },
    SelfTest { name: "smp-stop", about: "programs that never end are stopped", run: ring3::stop },
    SelfTest {
        name: "smp-unmap",
        about: "threads that share memory read no page after it was unmapped",
        run: ring3::unmap,
    },
    SelfTest {
        name: "smp-churn",
        about: "programs that share memory map, touch and unmap it",
        run: ring3::churn,
    },
    SelfTest {
        name: "smp-borrow",
        about: "kernel threads borrow a program's memory, and nobody keeps it when it is gone",
        run: ring3::borrow,
    },
    SelfTest { name: "long-calls", about: "as smp-calls, a million", run: smp::calls_long },
    SelfTest {
        name: "long-fpu",
        about: "every register survives a million preemptions of 64 threads",
        run: threads::registers_long,
    },
    SelfTest { name: "long-unmap", about: "as smp-unmap, fifty times over", run: ring3::unmap_long },
    SelfTest { name: "long-ring3", about: "as long-fpu, in ring 3", run: ring3::registers_long },
    SelfTest {
        name: "pci-intx",
        about: "a PCI device's interrupt arrives where its pin is said to lead",
        run: pci_intx::run,
    },
];

/// Those that take seconds: run by their names, or by their group's, and not with all others.
const LONG: &[&str] = &[
    "files-disk",
    "files-large",
    "mm-failures",
    "smp-calls",
    "smp-storm",
    "smp-spinning",
    "smp-sleeping",
    "smp-switch",
    "smp-threads",
    "smp-moves",
    "smp-spread",
    "smp-trace",
    "smp-wait",
    "smp-fpu",
    "smp-ring3",
    "smp-stop",
    "smp-unmap",
    "smp-churn",
    "smp-borrow",
    "long-calls",
    "long-fpu",
    "long-unmap",
    "long-ring3",
];

/// Runs all that are short; returns how many failed.
pub fn run_all() -> usize {
    let is_short = |test: &&SelfTest| !LONG.contains(&test.name);
    let (mut passed, mut failed) = (0, 0);
    for test in TESTS.iter().filter(is_short) {
        if run_one(test) {
            passed += 1;
        } else {
            failed += 1;
        }
    }
    info!(target: "selftest", "{passed} passed, {failed} failed");
    failed
}

/// Runs one by name, or all whose names begin with `name-`; `None` if there is no such test, else how many failed.
pub fn run_named(name: &str) -> Option<usize> {
    let is_in_group =
        |test: &SelfTest| test.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
    let wanted = |test: &&SelfTest| test.name == name || is_in_group(test);
    TESTS.iter().find(wanted)?;
    Some(TESTS.iter().filter(wanted).filter(|test| !run_one(test)).count())
}

fn run_one(test: &SelfTest) -> bool {
    match (test.run)() {
        Ok(()) => {
            info!(target: "selftest", "{}: ok ({})", test.name, test.about);
            true
        }
        Err(Trouble::Failed(found)) => {
            error!(target: "selftest", "{}: FAILED: {found}", test.name);
            false
        }
        Err(Trouble::Skipped(why)) => {
            info!(target: "selftest", "{}: skipped: {why}", test.name);
            true
        }
    }
}

/// Rounds of [`settle`], at most.
const ROUNDS: usize = 16;

/// Gives all pages back that are only at hand, or could be had back: what is counted as free after this is all there is.
fn settle() {
    // What is freed may have been the last to hold something else, and some is asked twice before it goes.
    for _ in 0..ROUNDS {
        let before = frames::free_frames();
        pressure::reclaim(u64::MAX);
        while !later::is_done() {
            task::yield_now();
        }
        EPOCHS.synchronize();
        EPOCHS.collect();
        heap::drain_all();
        heap::shrink();
        frames::flush_all_caches();
        if frames::free_frames() == before {
            return;
        }
    }
}

fn check(good: bool, otherwise: &'static str) -> Outcome {
    good.then_some(()).ok_or(Trouble::Failed(otherwise))
}

fn write_xor_execute() -> Outcome {
    let bad = live::find_violation();
    if let Some(run) = bad {
        error!(target: "selftest", "{:#018x}, {:#x} bytes, {}", run.virt, run.len, run.flags);
    }
    check(bad.is_none(), "a mapping breaks the rule")
}

/// What must not be written must not be writable by its other address either.
fn read_only_aliases() -> Outcome {
    for range in [image::text(), image::rodata()] {
        for virt in range.step_by(PAGE_SIZE as usize) {
            let phys = live::translate(virt).ok_or("a page of the image is not mapped")?.phys;
            let alias = live::translate(DIRECT_MAP_BASE + phys)
                .ok_or("a page of the image is not in the direct map")?;
            check(!alias.flags.contains(Flags::WRITE), "text or rodata is writable through the direct map")?;
        }
    }
    Ok(())
}

fn image_permissions() -> Outcome {
    let (text, rodata, data) = (image::text(), image::rodata(), image::data());
    let mapped = |range: core::ops::Range<u64>, wanted, forbidden| {
        live::is_mapped(range.start, range.end - range.start, wanted, forbidden)
    };
    let none = Flags::empty();
    check(mapped(text, none, Flags::WRITE | Flags::NO_EXECUTE), "text is not R-X")?;
    check(mapped(rodata, Flags::NO_EXECUTE, Flags::WRITE), "rodata is not R--")?;
    let below_the_stacks = stacks::all()[0].guard.start;
    check(mapped(data.start..below_the_stacks, Flags::WRITE | Flags::NO_EXECUTE, none), "data is not RW-")
}

fn guard_pages() -> Outcome {
    for stack in stacks::all() {
        check(live::translate(stack.guard.start).is_none(), "a guard page is mapped")?;
        check(probe::read_u8(stack.guard.end - 1).is_none(), "a guard page can be read")?;
        let len = stack.range.end - stack.range.start;
        check(
            live::is_mapped(stack.range.start, len, Flags::WRITE | Flags::NO_EXECUTE, Flags::USER),
            "a stack is not RW-",
        )?;
    }
    Ok(())
}

fn direct_map() -> Outcome {
    let is_mapped = |region: &&MemoryRegion| region.kind.is_ram() && region.attributes & EFI_MEMORY_WB != 0;
    for region in boot_info::regions().iter().filter(is_mapped) {
        for phys in [region.start, region.end() - PAGE_SIZE] {
            let found = live::translate(DIRECT_MAP_BASE + phys).ok_or("RAM is missing")?;
            check(found.phys == phys, "RAM is mapped to the wrong place")?;
            check(found.flags.contains(Flags::NO_EXECUTE), "RAM is executable")?;
        }
    }
    let kernel = boot_info::regions().iter().find(|region| region.kind == MemoryKind::Kernel);
    let kernel = kernel.ok_or("the memory map does not show the kernel")?;
    check(kernel.start == boot_info::get().kernel_phys, "the memory map shows the kernel elsewhere")
}

fn exception_table() -> Outcome {
    check(probe::table_is_sound(image::text()), "out of order, or outside of text")?;
    check(probe::read_u64(8).is_none(), "address 8 can be read")?;
    check(probe::read_u8(1 << 63).is_none(), "a non-canonical address can be read")?;
    let known = 0x0123_4567_89AB_CDEFu64;
    let address = core::ptr::from_ref(&known) as u64;
    check(probe::read_u64(address) == Some(known), "a good address reads wrong (u64)")?;
    check(probe::read_u32(address) == Some(known & 0xFFFF_FFFF), "a good address reads wrong (u32)")?;
    check(probe::read_u16(address + 2) == Some(known >> 16 & 0xFFFF), "a good address reads wrong (u16)")?;
    check(probe::read_u8(address + 7) == Some(known >> 56), "a good address reads wrong (u8)")
}

fn interrupt_table() -> Outcome {
    let (base, limit) = idt::register();
    check(image::data().contains(&base) && limit == 256 * 16 - 1, "the IDT in use is not ours")?;
    for vector in 0..=255u8 {
        let gate = idt::gate(vector);
        let ist = match vector {
            1 => IST_DEBUG,
            2 => IST_NMI,
            8 => IST_DOUBLE_FAULT,
            18 => IST_MACHINE_CHECK,
            _ => 0,
        };
        let ring = if matches!(vector, 3 | 4) || u64::from(vector) == SYSCALL_INT { 3 } else { 0 };
        check(
            gate.present() && gate.kind() == 14 && gate.dpl() == ring,
            "a gate is not an interrupt gate of its ring",
        )?;
        check(gate.ist() == ist, "a gate is on the wrong stack")?;
        check(image::text().contains(&gate.offset()), "a gate leads out of the kernel's text")?;
    }
    Ok(())
}

fn segment_table() -> Outcome {
    let (base, limit) = gdt::register();
    check(image::data().contains(&base) && u64::from(limit) == GDT_SIZE - 1, "the GDT in use is not ours")?;
    let busy =
        gdt::slots().any(|(_, d)| d.is_system() && d.kind() == 0xB && image::data().contains(&d.base()));
    check(busy, "no busy TSS of ours")
}

fn symbol_table() -> Outcome {
    let symbols = image::symbols().ok_or("there is none")?;
    check(symbols.is_sound(), "out of order, or damaged")?;
    let here = symbol_table as *const () as u64;
    let symbol = symbols.lookup(here).ok_or("this function is not in it")?;
    check(
        symbol.name.ends_with("symbol_table") && symbol.address == here,
        "this function has another name in it",
    )?;
    let found = symbols.find("_start").ok_or("_start is not in it")?;
    check(found.address == image::text().start, "_start is elsewhere")
}

fn protections() -> Outcome {
    use crate::arch::x86_64::cpu::Features;
    let features = Features::detect();
    let cr4 = Cr4::read();
    check(Cr0::read().contains(Cr0::WP), "CR0.WP is off")?;
    for (feature, bit, message) in [
        (Features::PGE, Cr4::PGE, "PGE is off"),
        (Features::SMEP, Cr4::SMEP, "SMEP is off"),
        (Features::SMAP, Cr4::SMAP, "SMAP is off"),
        (Features::UMIP, Cr4::UMIP, "UMIP is off"),
        (Features::FSGSBASE, Cr4::FSGSBASE, "FSGSBASE is off"),
        (Features::XSAVE, Cr4::OSXSAVE, "XSAVE is off"),
    ] {
        check(!features.contains(feature) || cr4.contains(bit), message)?;
    }
    let code = image::text().start;
    check(cr::cr3() & !0xFFF == boot_info::get().page_table_root, "CR3 is not the loader's table")?;
    check(live::translate(code).is_some_and(|t| !t.flags.contains(Flags::WRITE)), "text is writable")
}

fn recovery() -> Outcome {
    unsafe extern "sysv64" fn harmless(_: u64, _: u64) {}
    // SAFETY: it does nothing.
    check(!unsafe { recover::call(harmless, 0, 0) }, "a harmless call was taken for a fault")
}
