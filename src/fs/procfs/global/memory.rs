//! `meminfo` and `vmstat`: what memory is used for.

use super::super::super::format::Text;
use super::super::Sources;
use super::super::open::once;
use super::super::system::MemoryUse;
use crate::boot::layout::PAGE_SIZE;
use core::fmt::Write;

/// Lines in Linux's order. What does not exist here is 0 where programs look for it.
pub fn meminfo(sources: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || {
        let memory = sources.system.memory();
        let pages = |pages: u64| pages * PAGE_SIZE / 1024;
        let MemoryUse { total, free, available, files, shared, dirty, writing, anonymous, mapped, .. } =
            memory;
        let only_files = files - shared;
        let slabs = memory.slabs_reclaimable + memory.slabs_kept;
        for (name, kib) in [
            ("MemTotal", pages(total)),
            ("MemFree", pages(free)),
            ("MemAvailable", pages(available)),
            ("Buffers", 0),
            ("Cached", pages(files)),
            ("SwapCached", 0),
            ("Active", pages(anonymous + files)),
            ("Inactive", 0),
            ("Active(anon)", pages(anonymous + shared)),
            ("Inactive(anon)", 0),
            ("Active(file)", pages(only_files)),
            ("Inactive(file)", 0),
            ("Unevictable", 0),
            ("Mlocked", 0),
            ("SwapTotal", 0),
            ("SwapFree", 0),
            ("Dirty", pages(dirty)),
            ("Writeback", pages(writing)),
            ("AnonPages", pages(anonymous)),
            ("Mapped", pages(mapped)),
            ("Shmem", pages(shared)),
            ("KReclaimable", pages(memory.slabs_reclaimable)),
            ("Slab", pages(slabs)),
            ("SReclaimable", pages(memory.slabs_reclaimable)),
            ("SUnreclaim", pages(memory.slabs_kept)),
            ("KernelStack", pages(memory.stacks)),
            ("PageTables", pages(memory.tables)),
            ("NFS_Unstable", 0),
            ("Bounce", 0),
            ("WritebackTmp", 0),
            ("CommitLimit", pages(memory.commit_limit)),
            ("Committed_AS", pages(memory.committed)),
            ("VmallocTotal", pages(memory.vmalloc_total)),
            ("VmallocUsed", pages(memory.vmalloc_used)),
            ("VmallocChunk", 0),
            ("Percpu", pages(memory.per_cpu)),
            ("DirectMap4k", memory.direct_kib[0]),
            ("DirectMap2M", memory.direct_kib[1]),
            ("DirectMap1G", memory.direct_kib[2]),
        ] {
            // The number ends at the same place as Linux's: a name and its colon take 16 places, or one more blank.
            let width = 23usize.saturating_sub(name.len());
            let _ = writeln!(out, "{name}:{kib:>width$} kB");
        }
    })
}

/// Names and numbers. Those that are 0 for good are left out.
pub fn vmstat(sources: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    once(after, || {
        let memory = sources.system.memory();
        for (name, value) in node_figures(&memory) {
            let _ = writeln!(out, "{name} {value}");
        }
        // `vmstat` of procps wants these.
        for name in ["pgpgin", "pgpgout", "pswpin", "pswpout"] {
            let _ = writeln!(out, "{name} 0");
        }
        let mut index = 0;
        while let Some((name, value)) = sources.system.counter(index) {
            let _ = writeln!(out, "{name} {value}");
            index += 1;
        }
    })
}

/// What is said of memory as a whole, by Linux's names.
pub fn node_figures(memory: &MemoryUse) -> [(&'static str, u64); 14] {
    [
        ("nr_free_pages", memory.free),
        ("nr_inactive_anon", 0),
        ("nr_active_anon", memory.anonymous + memory.shared),
        ("nr_inactive_file", 0),
        ("nr_active_file", memory.files - memory.shared),
        ("nr_slab_reclaimable", memory.slabs_reclaimable),
        ("nr_slab_unreclaimable", memory.slabs_kept),
        ("nr_anon_pages", memory.anonymous),
        ("nr_mapped", memory.mapped),
        ("nr_file_pages", memory.files),
        ("nr_dirty", memory.dirty),
        ("nr_writeback", memory.writing),
        ("nr_shmem", memory.shared),
        ("nr_page_table_pages", memory.tables),
    ]
}
