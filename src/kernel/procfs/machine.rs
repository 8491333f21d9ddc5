//! The machine and the kernel as a whole, for /proc.

use super::{cpu, interrupts, load, settings};
use crate::boot::layout::{HEAP_BASE, PERCPU_BASE};
use crate::fs::Result;
use crate::fs::format::Text;
use crate::fs::mount::Mounts;
use crate::fs::pagecache::live::CACHE;
use crate::fs::procfs::settings::Setting;
use crate::fs::procfs::system::{Counter, CpuTimes, Interrupt, MemoryUse, ORDERS, SlabUse, System, ZoneUse};
use crate::fs::super_block::FsType;
use crate::kernel::{boot_info, files};
use crate::mm::frame::{Owner, Zone};
use crate::mm::heap::HEAP;
use crate::mm::{frames, pressure, space, vmalloc};
use crate::platform::{Machine as Platform_, Platform};
use crate::task::schedule;
use core::sync::atomic::Ordering;

pub struct Machine;

pub static MACHINE: Machine = Machine;

/// Pages of the part of the address space that vmalloc gives out.
const VMALLOC_PAGES: u64 = 512 << 18;
const _: () = assert!(HEAP_BASE < PERCPU_BASE);

impl System for Machine {
    fn mounts(&self) -> Option<&Mounts> {
        files::caller().map(|caller| caller.mounts)
    }

    fn types(&self) -> &[&'static dyn FsType] {
        files::TYPES
    }

    fn command_line(&self) -> &str {
        boot_info::command_line().as_str()
    }

    fn now_ns(&self) -> u64 {
        Platform_::now_ns()
    }

    fn unix_ns(&self) -> i64 {
        Platform_::unix_ns().unwrap_or(0)
    }

    fn load(&self) -> [u64; 3] {
        load::means()
    }

    fn next_cpu(&self, from: usize) -> Option<usize> {
        cpu::next(from)
    }

    /// Nobody counts yet what of its time a CPU was in ring 3: all that it was not idle counts as the kernel's.
    fn cpu_times(&self, cpu: usize) -> CpuTimes {
        schedule::account();
        let (since_ns, idle) = schedule::idle_ns(cpu);
        let system = Platform_::now_ns().saturating_sub(since_ns).saturating_sub(idle);
        CpuTimes { system, idle, ..CpuTimes::default() }
    }

    fn describe_cpu(&self, cpu: usize, to: &mut Text) {
        super::cpu::describe(cpu, to);
    }

    fn next_interrupt(&self, from: u32) -> Option<Interrupt> {
        interrupts::next(from)
    }

    fn interrupt_count(&self, key: u32, cpu: usize) -> u64 {
        interrupts::count(key, cpu)
    }

    fn interrupt_errors(&self) -> u64 {
        interrupts::errors()
    }

    fn switches(&self) -> u64 {
        schedule::switches()
    }

    fn memory(&self) -> MemoryUse {
        let mut pages = [0u64; Owner::ALL.len()];
        frames::count_owners(&mut pages);
        let of = |owner: Owner| pages[owner as usize];
        let free = of(Owner::Free) + of(Owner::CpuCache);
        let mut reclaimable = 0;
        pressure::for_each(&mut |_, pages| reclaimable += pages);
        let low: u64 = frames::with_zones(|zones| {
            Zone::ALL.map(|zone| u64::from(zones.watermarks(zone).low)).into_iter().sum()
        });
        let empty: u64 =
            HEAP.stats()
                .map(|one| {
                    if one.slabs > 0 {
                        one.bytes as u64 / one.slabs as u64 * one.empty_slabs as u64
                    } else {
                        0
                    }
                })
                .sum::<u64>()
                / crate::boot::layout::PAGE_SIZE;
        let slabs = of(Owner::Slab);
        MemoryUse {
            total: frames::managed_frames(),
            free,
            available: (free + reclaimable).saturating_sub(low),
            files: of(Owner::PageCache),
            // Counted at another moment, and a part of the former.
            shared: CACHE.total.kept.load(Ordering::Relaxed).min(of(Owner::PageCache)),
            dirty: CACHE.total.dirty.load(Ordering::Relaxed),
            writing: CACHE.total.write_back.load(Ordering::Relaxed),
            anonymous: of(Owner::Anonymous),
            slabs_reclaimable: empty.min(slabs),
            slabs_kept: slabs - empty.min(slabs),
            stacks: of(Owner::Stack),
            tables: of(Owner::PageTable),
            commit_limit: frames::managed_frames(),
            committed: space::live::promised(),
            vmalloc_total: VMALLOC_PAGES,
            vmalloc_used: vmalloc::totals().1,
            ..MemoryUse::default()
        }
    }

    fn zone(&self, index: usize) -> Option<ZoneUse> {
        // In the order of addresses, and only those that have something.
        let zones = [Zone::Dma32, Zone::Normal].map(|zone| {
            frames::with_zones(|zones| {
                let buddy = zones.zone(zone);
                let marks = zones.watermarks(zone);
                let mut blocks = [0; ORDERS];
                for (order, &count) in buddy.blocks().iter().enumerate() {
                    // What is larger than Linux's largest counts as so many of that.
                    let at = order.min(ORDERS - 1);
                    blocks[at] += u64::from(count) << (order - at);
                }
                let managed = u64::from(buddy.managed_frames());
                ZoneUse {
                    name: if zone == Zone::Dma32 { "DMA32" } else { "Normal" },
                    free: buddy.free_frames().into(),
                    min: marks.min.into(),
                    low: marks.low.into(),
                    high: marks.high.into(),
                    spanned: managed,
                    present: managed,
                    managed,
                    first_frame: if zone == Zone::Dma32 { 1 } else { 1 << 20 },
                    blocks,
                }
            })
        });
        zones.into_iter().filter(|zone| zone.managed > 0).nth(index)
    }

    fn slab(&self, index: usize) -> Option<SlabUse> {
        let one = HEAP.stats().filter(|one| one.slabs > 0).nth(index)?;
        Some(SlabUse {
            name: one.name,
            used: one.in_use,
            room: one.room,
            size: one.size,
            per_slab: one.room / one.slabs,
            pages_per_slab: one.bytes / one.slabs / crate::boot::layout::PAGE_SIZE as usize,
            used_slabs: one.slabs - one.empty_slabs,
            slabs: one.slabs,
        })
    }

    fn counter(&self, index: usize) -> Option<Counter> {
        [("pgsteal_direct", pressure::reclaimed())].get(index).copied()
    }

    fn setting(&self, which: Setting, to: &mut Text) {
        settings::show(which, to);
    }

    fn set(&self, which: Setting, text: &[u8]) -> Result<()> {
        settings::set(which, text)
    }
}
