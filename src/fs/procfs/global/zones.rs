//! `buddyinfo` and `zoneinfo`: zones of memory, a record each.

use super::super::super::format::Text;
use super::super::Sources;
use super::memory::node_figures;
use core::fmt::Write;

/// Free blocks by order.
pub fn buddyinfo(sources: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    let index = after.map_or(0, |after| after + 1);
    let zone = sources.system.zone(index as usize)?;
    let _ = write!(out, "Node 0, zone {:>8} ", zone.name);
    for count in zone.blocks {
        let _ = write!(out, "{count:6} ");
    }
    let _ = out.push(b"\n");
    Some(index)
}

/// Marks and sizes; with the first zone what is said of all memory.
pub fn zoneinfo(sources: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    let index = after.map_or(0, |after| after + 1);
    let zone = sources.system.zone(index as usize)?;
    let _ = writeln!(out, "Node 0, zone {:>8}", zone.name);
    if index == 0 {
        let _ = out.write_str("  per-node stats\n");
        let memory = sources.system.memory();
        for (name, value) in node_figures(&memory).into_iter().filter(|(name, _)| *name != "nr_free_pages") {
            let _ = writeln!(out, "      {name:<12} {value}");
        }
    }
    let _ = writeln!(out, "  pages free     {}\n        boost    0", zone.free);
    for (name, pages) in [
        ("min", zone.min),
        ("low", zone.low),
        ("high", zone.high),
        ("spanned", zone.spanned),
        ("present", zone.present),
        ("managed", zone.managed),
        ("cma", 0),
    ] {
        let _ = writeln!(out, "        {name:<8} {pages}");
    }
    let _ = writeln!(out, "      nr_free_pages {}", zone.free);
    let _ = writeln!(out, "  node_unreclaimable:  0\n  start_pfn:           {}", zone.first_frame);
    Some(index)
}
