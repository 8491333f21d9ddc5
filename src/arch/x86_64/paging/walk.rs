//! Reading page tables: one address down the levels, or everything that is mapped, run by run.
//! Source: Intel SDM vol. 3 §4.5.4 (translation), §4.6.1 (how permissions combine over the levels).

use super::{ENTRIES, Entry, Flags, LEVELS, Tables, canonicalise, index, page_size};

/// One level of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub level: u32,
    /// Physical address of the table.
    pub table: u64,
    pub index: usize,
    pub entry: Entry,
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    pub phys: u64,
    /// Level of the leaf: 1 = 4 KiB, 2 = 2 MiB, 3 = 1 GiB.
    pub level: u32,
    /// Permissions of the whole path: WRITE and USER where every level has them, NO_EXECUTE where any has;
    /// the other flags are the leaf's.
    pub flags: Flags,
}

/// Permissions after one more level.
fn combine(path: Flags, entry: Flags) -> Flags {
    let all = Flags::WRITE | Flags::USER;
    let any = Flags::NO_EXECUTE;
    (path & entry & all) | ((path | entry) & any) | (entry - all - any)
}

/// Path permissions before the first level.
const ROOT_FLAGS: Flags = Flags::WRITE.union(Flags::USER);

/// The entries that translate `virt`, from the PML4 down to a leaf or to the first that is not present.
pub fn path(tables: &impl Tables, root: u64, virt: u64) -> impl Iterator<Item = Step> {
    let mut next = Some((LEVELS, root));
    core::iter::from_fn(move || {
        let (level, table) = next?;
        let slot = index(level, virt);
        let entry = tables.get(table, slot);
        next = (entry.present() && !entry.is_leaf(level)).then(|| (level - 1, entry.address(level)));
        Some(Step { level, table, index: slot, entry })
    })
}

/// The physical address behind `virt`; `None` if it is not mapped.
pub fn translate(tables: &impl Tables, root: u64, virt: u64) -> Option<Translation> {
    let mut flags = ROOT_FLAGS;
    let mut last = None;
    for step in path(tables, root, virt) {
        flags = combine(flags, step.entry.flags());
        last = Some(step);
    }
    let leaf = last.filter(|step| step.entry.present())?;
    let offset = virt & (page_size(leaf.level) - 1);
    Some(Translation { phys: leaf.entry.address(leaf.level) + offset, level: leaf.level, flags })
}

/// A run of mapped memory with the same permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub virt: u64,
    pub len: u64,
    /// Physical address of its first byte.
    pub phys: u64,
    /// Combined as in [`Translation`], without ACCESSED and DIRTY.
    pub flags: Flags,
    /// Smallest and largest page in it, as levels.
    pub levels: (u32, u32),
}

/// Calls `visit` for each run of pages, ascending, that is contiguous in both address spaces and has one set
/// of flags. Only present entries are visited below the top of each table.
pub fn for_each_run(tables: &impl Tables, root: u64, visit: &mut dyn FnMut(Run)) {
    let mut current = None;
    visit_table(tables, root, LEVELS, 0, ROOT_FLAGS, &mut current, visit);
    if let Some(run) = current {
        visit(run);
    }
}

fn visit_table(
    tables: &impl Tables,
    table: u64,
    level: u32,
    base: u64,
    path: Flags,
    current: &mut Option<Run>,
    visit: &mut dyn FnMut(Run),
) {
    for slot in 0..ENTRIES {
        let entry = tables.get(table, slot);
        if !entry.present() {
            continue;
        }
        let virt = canonicalise(base + slot as u64 * page_size(level));
        let flags = combine(path, entry.flags());
        if !entry.is_leaf(level) {
            visit_table(tables, entry.address(level), level - 1, virt, flags, current, visit);
            continue;
        }
        let flags = flags - Flags::ACCESSED - Flags::DIRTY - Flags::LARGE;
        let phys = entry.address(level);
        match current {
            Some(run)
                if run.virt.wrapping_add(run.len) == virt
                    && run.phys + run.len == phys
                    && run.flags == flags =>
            {
                run.len += page_size(level);
                run.levels = (run.levels.0.min(level), run.levels.1.max(level));
            }
            _ => {
                if let Some(done) =
                    current.replace(Run { virt, len: page_size(level), phys, flags, levels: (level, level) })
                {
                    visit(done);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::{map_page, map_range};
    use super::super::model::Memory;
    use super::*;
    use std::vec::Vec;

    const RW: Flags = Flags::WRITE.union(Flags::NO_EXECUTE);

    fn runs(memory: &Memory, root: u64) -> Vec<Run> {
        let mut all = Vec::new();
        for_each_run(memory, root, &mut |run| all.push(run));
        all
    }

    #[test]
    fn a_range_reads_back_as_one_run() {
        let mut memory = Memory::default();
        let root = memory.allocate().unwrap();
        let virt = 0xFFFF_8000_0000_0000 + 0x1F_F000;
        map_range(&mut memory, root, virt, 0x1F_F000, (4 << 20) + 4096, RW, 3).unwrap();
        let expected =
            Run { virt, len: (4 << 20) + 4096, phys: 0x1F_F000, flags: RW | Flags::PRESENT, levels: (1, 2) };
        assert_eq!(runs(&memory, root), [expected]);
    }

    #[test]
    fn runs_end_where_flags_or_addresses_break() {
        let mut memory = Memory::default();
        let root = memory.allocate().unwrap();
        map_page(&mut memory, root, 0x1000, 0x8000, RW, 1).unwrap();
        map_page(&mut memory, root, 0x2000, 0x9000, Flags::empty(), 1).unwrap();
        map_page(&mut memory, root, 0x3000, 0xB000, Flags::empty(), 1).unwrap();
        map_page(&mut memory, root, 0xFFFF_FFFF_FFFF_F000, 0xC000, RW, 1).unwrap();
        let starts: Vec<_> = runs(&memory, root).iter().map(|run| (run.virt, run.len)).collect();
        assert_eq!(starts, [(0x1000, 4096), (0x2000, 4096), (0x3000, 4096), (0xFFFF_FFFF_FFFF_F000, 4096)]);
    }

    #[test]
    fn permissions_combine_over_the_levels() {
        let mut memory = Memory::default();
        let root = memory.allocate().unwrap();
        map_page(&mut memory, root, 0x1000, 0x8000, Flags::WRITE | Flags::USER, 1).unwrap();
        // The path's tables are supervisor-only: the leaf's USER does not count.
        let flags = translate(&memory, root, 0x1234).unwrap().flags;
        assert_eq!(flags & (Flags::WRITE | Flags::USER | Flags::NO_EXECUTE), Flags::WRITE);
        // A no-execute PML4 entry makes everything below it so.
        let top = memory.get(root, 0);
        memory.set(root, 0, Entry(top.0 | Flags::NO_EXECUTE.bits()));
        assert!(translate(&memory, root, 0x1234).unwrap().flags.contains(Flags::NO_EXECUTE));
        assert_eq!(translate(&memory, root, 0x1234).unwrap().phys, 0x8234);
    }

    #[test]
    fn the_path_ends_at_the_hole() {
        let mut memory = Memory::default();
        let root = memory.allocate().unwrap();
        map_page(&mut memory, root, 0x1000, 0x8000, RW, 1).unwrap();
        let levels: Vec<_> = path(&memory, root, 0x2000).map(|s| (s.level, s.entry.present())).collect();
        assert_eq!(levels, [(4, true), (3, true), (2, true), (1, false)]);
        assert_eq!(path(&memory, root, 1 << 39).count(), 1);
    }
}
