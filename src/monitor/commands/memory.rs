//! Commands about memory: what is where, what is mapped, what is in it.

use super::{Call, Result};
use crate::arch::x86_64::paging::{is_canonical, live, walk};
use crate::arch::x86_64::{debug, probe, stacks};
use crate::boot::info::{MemoryKind, MemoryRegion};
use crate::boot::layout::PAGE_SIZE;
use crate::boot::memmap::{ALL_KINDS, Totals, totals};
use crate::kernel::image::Named;
use crate::kernel::{boot_info, image};
use crate::mm::frame::{Owner, Zone};
use crate::mm::heap::HEAP;
use crate::mm::slab::CHECKED;
use crate::mm::{frames, pressure, vmalloc};
use crate::monitor::parse::{self, Problem};
use core::fmt::Write;

/// The word as an address: a number or a symbol.
pub fn address<'a>(call: &mut Call<'a, '_>) -> core::result::Result<u64, Problem<'a>> {
    let word = call.words.next().ok_or(Problem::Missing("ADDR"))?;
    call.words.end()?;
    parse::address(word, &|name| Some(image::symbols()?.find(name)?.address))
}

pub fn memmap<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let regions = boot_info::regions();
    for region in regions {
        let (start, last) = (region.start, region.end() - 1);
        let _ = writeln!(
            call.out,
            "  {start:#014x} - {last:#014x} {:8} KiB  {}",
            region.pages * 4,
            region.kind.name()
        );
    }
    let totals = totals(regions);
    for kind in ALL_KINDS {
        let pages = totals.pages(kind);
        if pages > 0 {
            let _ = writeln!(call.out, "  {:>8} KiB  {}", pages * 4, kind.name());
        }
    }
    let _ = writeln!(call.out, "  {:>8} KiB  RAM in all", totals.ram_pages() * 4);
    usage(call.out, &totals);
    Ok(())
}

/// What the kernel has of the memory that the firmware leaves it, by owner, to the last page. Counted frame by frame, and
/// compared with what the regions say.
fn usage(out: &mut dyn Write, totals: &Totals) {
    let mut pages = [0; Owner::ALL.len()];
    frames::for_each_block(&mut |owner, count| pages[owner as usize] += count);
    let pages = |owner: Owner| pages[owner as usize];
    let free = pages(Owner::Free) + pages(Owner::CpuCache);
    let left: u64 = OURS.iter().map(|&kind| totals.pages(kind)).sum();
    let _ = writeln!(out, "  the kernel's own:");
    let mut used = 0;
    for owner in Owner::ALL {
        let is_ours = owner.is_holder() && !matches!(owner, Owner::Firmware | Owner::Acpi);
        if !is_ours || pages(owner) == 0 {
            continue;
        }
        used += pages(owner);
        let _ = writeln!(out, "  {:>8} KiB    {}", pages(owner) * 4, owner.name());
        if owner == Owner::KernelImage {
            parts_of_image(out, pages(owner));
        }
    }
    let is_ours = |region: &MemoryRegion| region.start == 0 && OURS.contains(&region.kind);
    if boot_info::regions().first().is_some_and(is_ours) {
        used += 1;
        let _ = writeln!(out, "  {:>8} KiB    page 0, which nobody gets", 4);
    }
    let _ = writeln!(
        out,
        "  {:>8} KiB  in use, of {} KiB that the firmware leaves; {} KiB are free; {} KiB are missing",
        used * 4,
        left * 4,
        free * 4,
        (left as i64 - free as i64 - used as i64) * 4
    );
}

/// The kinds of memory that are not the firmware's any more.
const OURS: [MemoryKind; 7] = [
    MemoryKind::Usable,
    MemoryKind::BootServices,
    MemoryKind::Kernel,
    MemoryKind::PageTables,
    MemoryKind::BootInfo,
    MemoryKind::Initrd,
    MemoryKind::Trampoline,
];

/// The image's pages, by what is in them.
fn parts_of_image(out: &mut dyn Write, pages: u64) {
    let len = |range: core::ops::Range<u64>| range.end - range.start;
    let stacks = stacks::all().into_iter().map(|stack| len(stack.guard.start..stack.range.end)).sum();
    let log = crate::log::RING_BYTES as u64;
    let sections = [image::text(), image::rodata(), image::data()].map(len);
    let sum: u64 = sections.iter().sum();
    let [text, rodata, data] = sections;
    for (bytes, name) in [
        (text, "text"),
        (rodata, "rodata"),
        (stacks, "stacks, their guard pages included"),
        (log, "the log"),
        (data - stacks - log, "data and bss besides"),
        ((pages * PAGE_SIZE).saturating_sub(sum), "symbols"),
    ] {
        let _ = writeln!(out, "  {:>8} KiB      {name}", bytes >> 10);
    }
}

pub fn free<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let out = &mut *call.out;
    let (managed, free) = (frames::managed_frames(), frames::all_free_frames());
    let _ = writeln!(out, "  {:>8} KiB to be given out, {} KiB of it free", managed * 4, free * 4);
    for zone in Zone::ALL {
        // Printed when nothing is locked any more.
        let (managed, free, blocks, marks, level) = frames::with_zones(|zones| {
            let buddy = zones.zone(zone);
            (
                buddy.managed_frames(),
                buddy.free_frames(),
                buddy.blocks(),
                zones.watermarks(zone),
                zones.level(zone).name(),
            )
        });
        if managed == 0 {
            continue;
        }
        let (min, low, high) = (marks.min, marks.low, marks.high);
        let name = zone.name();
        let _ =
            write!(out, "  {name}: {free} pages free, which is {level}, marks {min} {low} {high}, blocks");
        for (order, count) in blocks.iter().enumerate().filter(|(_, count)| **count > 0) {
            let _ = write!(out, " {count}*2^{order}");
        }
        let _ = writeln!(out);
    }
    let (pieces, pages) = vmalloc::totals();
    let _ = writeln!(out, "  vmalloc: {pieces} pieces, {} KiB", pages * 4);
    let _ = write!(out, "  to be had back:");
    pressure::for_each(&mut |name, pages| _ = write!(out, " {name} {} KiB,", pages * 4));
    let _ = writeln!(out, " so far {} KiB", pressure::reclaimed() * 4);
    Ok(())
}

pub fn slabs<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let _ = writeln!(
        call.out,
        "  {:<12} {:>6} {:>8} {:>8} {:>6} {:>6}",
        "cache", "bytes", "in use", "at hand", "slabs", "KiB"
    );
    for one in HEAP.stats().filter(|one| one.slabs > 0) {
        let (size, used, hand, slabs, kib) =
            (one.size, one.in_use, one.in_magazines, one.slabs, one.bytes >> 10);
        let _ = writeln!(call.out, "  {:<12} {size:>6} {used:>8} {hand:>8} {slabs:>6} {kib:>6}", one.name);
    }
    Ok(())
}

pub fn leaks<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let out = &mut *call.out;
    if !CHECKED {
        let _ = writeln!(out, "  this build's heap does not remember who allocates; a debug build's does");
        return Ok(());
    }
    // A lock is held while they are told, and so they are printed afterwards, some at a time.
    let (mut printed, mut count) = (0, 1);
    while printed < count {
        let mut some = [None; 64];
        count = 0;
        HEAP.live(|one| {
            if let Some(slot) = some.get_mut(usize::wrapping_sub(count, printed)) {
                *slot = Some(one);
            }
            count += 1;
        });
        printed += some.len();
        for one in some.into_iter().flatten() {
            let by = Named(one.allocated_by as u64);
            let _ = writeln!(out, "  {:#x}: {} bytes in {}, by {by}", one.object, one.size, one.cache);
        }
    }
    vmalloc::for_each(&mut |range| {
        let _ = writeln!(
            out,
            "  {:#x}: {} pages, by {}",
            range.start * PAGE_SIZE,
            range.pages,
            Named(range.site as u64)
        );
    });
    Ok(())
}

pub fn maps<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    call.words.end()?;
    let out = &mut *call.out;
    live::for_each_run(&mut |run| {
        let pages = |level| ["4K", "2M", "1G"][level as usize - 1];
        let (small, large) = (pages(run.levels.0), pages(run.levels.1));
        let last = run.virt + (run.len - 1);
        let _ =
            write!(out, "  {:#018x} - {last:#018x}  {:<10} phys {:#012x}  ", run.virt, run.flags, run.phys);
        let _ = if small == large { write!(out, "{small}") } else { write!(out, "{small}-{large}") };
        let _ = writeln!(out, "  {}", region_name(run.virt));
    });
    Ok(())
}

/// The part of the address space that an address lies in; for the image, its section.
fn region_name(virt: u64) -> &'static str {
    use crate::boot::layout;
    match virt {
        _ if image::text().contains(&virt) => "kernel text",
        _ if image::rodata().contains(&virt) => "kernel rodata",
        _ if image::data().contains(&virt) => "kernel data, bss, stacks",
        layout::KERNEL_BASE.. => "kernel symbols",
        layout::PERCPU_BASE.. => "per-CPU",
        layout::ECAM_BASE.. => "PCI configuration",
        layout::MMIO_BASE.. => "device MMIO",
        layout::HEAP_BASE.. => "heap",
        layout::DIRECT_MAP_BASE.. => "direct map",
        _ => "user",
    }
}

pub fn pt<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let virt = address(call)?;
    if !is_canonical(virt) {
        let _ = writeln!(call.out, "  {virt:#018x} is not canonical: bits 63 to 47 are not all alike");
        return Ok(());
    }
    let names = ["PT", "PD", "PDPT", "PML4"];
    for step in walk::path(&live::DirectMap, live::root(), virt) {
        let name = names[step.level as usize - 1];
        let _ = write!(
            call.out,
            "  {name:4} at {:#012x} [{:3}] = {:#018x}  ",
            step.table, step.index, step.entry.0
        );
        let _ = if !step.entry.present() {
            writeln!(call.out, "not present")
        } else {
            let kind = if step.entry.is_leaf(step.level) { "page" } else { "table" };
            writeln!(call.out, "{kind} {:#012x} {}", step.entry.address(step.level), step.entry.flags())
        };
    }
    let _ = match live::translate(virt) {
        Some(t) => writeln!(call.out, "  {virt:#018x} -> {:#014x}  {}", t.phys, t.flags),
        None => writeln!(call.out, "  {virt:#018x} is not mapped"),
    };
    Ok(())
}

pub fn watch<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let mut words = call.words.clone();
    match words.next() {
        None => {
            let _ = match debug::watched() {
                Some(address) => writeln!(call.out, "  writes to {}", image::Named(address)),
                None => writeln!(call.out, "  nothing is watched"),
            };
        }
        Some("off") => {
            words.end()?;
            debug::watch_off();
        }
        Some(word) => {
            let address = address(call)?;
            if !is_canonical(address) {
                return Err(Problem::NotAligned(word));
            }
            let named = image::Named(address);
            let _ = match debug::watch_writes(address, 8) {
                Ok(()) => writeln!(call.out, "  watching the 8 bytes at {named}"),
                Err(debug::Refused::NotAligned) => return Err(Problem::NotAligned(word)),
                Err(debug::Refused::InterruptStack) => {
                    writeln!(call.out, "  {named} is in an interrupt stack, which cannot be watched")
                }
            };
        }
    }
    Ok(())
}

pub fn examine<'a>(call: &mut Call<'a, '_>) -> Result<'a> {
    let (count, size) = parse::examine(call.suffix)?;
    let start = address(call)?;
    let per_line = 16 / size;
    for index in 0..count {
        let at = start.wrapping_add((index * size) as u64);
        if index % per_line == 0 {
            let _ = write!(call.out, "  {}:", image::Named(at));
        }
        let value = match size {
            1 => probe::read_u8(at),
            2 => probe::read_u16(at),
            4 => probe::read_u32(at),
            _ => probe::read_u64(at),
        };
        let _ = match value {
            Some(value) => write!(call.out, " {value:0width$x}", width = size * 2),
            None => write!(call.out, " {:?<width$}", "", width = size * 2),
        };
        if index % per_line == per_line - 1 || index == count - 1 {
            let _ = writeln!(call.out);
        }
    }
    Ok(())
}
