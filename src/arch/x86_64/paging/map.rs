//! Building mappings.
//! Source: Intel SDM vol. 3 §4.5.

use super::{Entry, Flags, LEVELS, Tables, index, is_canonical, page_size};

/// Why a range could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No memory for another table.
    OutOfMemory,
    /// An address or the length is not a multiple of 4 KiB, or the range wraps or leaves canonical space.
    BadRange,
    /// Something is mapped there already.
    Occupied,
}

/// Maps `len` bytes at `virt` to `phys`, with the largest pages that alignment allows up to those of
/// `top_level` (1 = 4 KiB, 2 = 2 MiB, 3 = 1 GiB). `flags` are the leaves'; PRESENT is added.
///
/// On error part of the range may be mapped: the caller throws the tables away or undoes it.
pub fn map_range(
    tables: &mut impl Tables,
    root: u64,
    virt: u64,
    phys: u64,
    len: u64,
    flags: Flags,
    top_level: u32,
) -> Result<(), MapError> {
    let aligned = (virt | phys | len) & (page_size(1) - 1) == 0;
    let fits = len == 0
        || virt
            .checked_add(len - 1)
            .is_some_and(|last| is_canonical(virt) && is_canonical(last) && (last ^ virt) >> 63 == 0);
    if !aligned || !fits || phys.checked_add(len).is_none() {
        return Err(MapError::BadRange);
    }
    let mut done = 0;
    while done < len {
        let (v, p) = (virt + done, phys + done);
        let mut level = top_level;
        while level > 1 && ((v | p) & (page_size(level) - 1) != 0 || len - done < page_size(level)) {
            level -= 1;
        }
        map_page(tables, root, v, p, flags, level)?;
        done += page_size(level);
    }
    Ok(())
}

/// Maps one page of the size that belongs to `level`.
pub fn map_page(
    tables: &mut impl Tables,
    root: u64,
    virt: u64,
    phys: u64,
    flags: Flags,
    level: u32,
) -> Result<(), MapError> {
    let mut table = root;
    for at in (level + 1..=LEVELS).rev() {
        let slot = index(at, virt);
        let entry = tables.get(table, slot);
        table = if !entry.present() {
            let new = tables.allocate().ok_or(MapError::OutOfMemory)?;
            tables.set(table, slot, Entry::new(new, Flags::TABLE));
            new
        } else if entry.is_leaf(at) {
            return Err(MapError::Occupied);
        } else {
            entry.address(at)
        };
    }
    let slot = index(level, virt);
    if tables.get(table, slot).present() {
        return Err(MapError::Occupied);
    }
    let large = if level > 1 { Flags::LARGE } else { Flags::empty() };
    tables.set(table, slot, Entry::new(phys, flags | Flags::PRESENT | large));
    Ok(())
}

/// Most tables that [`map_range`] can need for `len` bytes at `virt` with pages of `top_level`: the caller
/// can set them aside first.
pub fn tables_needed(virt: u64, len: u64, top_level: u32) -> u64 {
    // At each level below the root: one table for each stretch that the range touches. Unaligned ends make
    // small pages, so two more tables of each level under `top_level`.
    (1..LEVELS)
        .map(|level| {
            let covers = page_size(level + 1);
            let touched = (virt % covers + len).div_ceil(covers);
            if level >= top_level { touched } else { touched.min(2) }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::super::model::Memory;
    use super::super::walk;
    use super::*;
    use crate::testing::Random;

    const RW: Flags = Flags::WRITE.union(Flags::NO_EXECUTE);

    #[test]
    fn takes_the_largest_pages_that_fit() {
        let mut memory = Memory::default();
        let root = memory.allocate().unwrap();
        // 2 MiB - 4 KiB … 1 GiB + 2 MiB + 4 KiB: small, large, huge, large, small.
        let (start, end) = ((2 << 20) - 4096, (2u64 << 30) + (2 << 20) + 4096);
        map_range(&mut memory, root, 0xFFFF_8000_0000_0000 + start, start, end - start, RW, 3).unwrap();
        let level = |phys: u64| walk::translate(&memory, root, 0xFFFF_8000_0000_0000 + phys).unwrap().level;
        assert_eq!(level(start), 1);
        assert_eq!(level(2 << 20), 2);
        assert_eq!(level(1 << 30), 3);
        assert_eq!(level(2 << 30), 2);
        assert_eq!(level(end - 4096), 1);
        assert!(walk::translate(&memory, root, 0xFFFF_8000_0000_0000 + end).is_none());
        assert!(memory.tables() as u64 <= 1 + tables_needed(0xFFFF_8000_0000_0000 + start, end - start, 3));
    }

    #[test]
    fn refuses_what_cannot_be_mapped() {
        let mut memory = Memory::default();
        let root = memory.allocate().unwrap();
        let mut map = |virt, phys, len| map_range(&mut memory, root, virt, phys, len, RW, 3);
        assert_eq!(map(0x1001, 0, 4096), Err(MapError::BadRange));
        assert_eq!(map(0x7FFF_FFFF_F000, 0, 8192), Err(MapError::BadRange));
        assert_eq!(map(0xFFFF_FFFF_FFFF_F000, 0, 8192), Err(MapError::BadRange));
        assert_eq!(map(0xFFFF_FFFF_FFFF_F000, 0, 4096), Ok(()));
        assert_eq!(map(0xFFFF_FFFF_FFFF_F000, 0, 4096), Err(MapError::Occupied));
        assert_eq!(map(0x20_0000, 0x20_0000, 2 << 20), Ok(()));
        assert_eq!(map(0x20_1000, 0, 4096), Err(MapError::Occupied));
    }

    #[test]
    fn running_out_of_tables_is_an_error() {
        let mut memory = Memory::with_limit(3);
        let root = memory.allocate().unwrap();
        assert_eq!(map_page(&mut memory, root, 0x1000, 0, RW, 1), Err(MapError::OutOfMemory));
    }

    /// Random ranges against a model with one entry a page.
    #[test]
    fn agrees_with_a_page_by_page_model() {
        let mut random = Random::new(1);
        for _ in 0..200 {
            let mut memory = Memory::default();
            let root = memory.allocate().unwrap();
            let mut model = std::collections::BTreeMap::new();
            for _ in 0..6 {
                let virt = random.below(4096) << 12;
                let phys = if random.below(2) == 0 { virt } else { random.below(1 << 20) << 12 };
                let len = random.below(1500) << 12;
                let pages = (0..len).step_by(4096);
                if pages.clone().any(|at| model.contains_key(&(virt + at))) {
                    continue;
                }
                map_range(&mut memory, root, virt, phys, len, RW, 1 + random.below(3) as u32).unwrap();
                model.extend(pages.map(|at| (virt + at, phys + at)));
            }
            for virt in (0..6000u64).map(|page| page << 12) {
                let found = walk::translate(&memory, root, virt).map(|t| t.phys);
                assert_eq!(found, model.get(&virt).copied(), "{virt:#x}");
            }
        }
    }
}
