//! `slabinfo`: the heap's caches.

use super::super::super::format::Text;
use super::super::Sources;
use core::fmt::Write;

/// A heading, then a cache a record.
pub fn make(sources: &Sources, after: Option<u64>, out: &mut Text) -> Option<u64> {
    let Some(after) = after else {
        let _ =
            out.write_str("slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> ");
        let _ =
            out.write_str("<objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : ");
        let _ = out.write_str("slabdata <active_slabs> <num_slabs> <sharedavail>\n");
        return Some(0);
    };
    let one = sources.system.slab(after as usize)?;
    // The name is one word.
    for byte in one.name.bytes() {
        let _ = out.push(&[if byte == b' ' { b'_' } else { byte }]);
    }
    let width = 17usize.saturating_sub(one.name.len());
    let (used, room, size, per_slab, pages) =
        (one.used, one.room, one.size, one.per_slab, one.pages_per_slab);
    let _ = write!(out, "{:width$} {used:6} {room:6} {size:6} {per_slab:4} {pages:4}", "");
    let (used, all) = (one.used_slabs, one.slabs);
    let _ = writeln!(out, " : tunables    0    0    0 : slabdata {used:6} {all:6} {:6}", 0);
    Some(after + 1)
}
