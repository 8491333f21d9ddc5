//! Four-level page tables: what an entry says, building them, and reading them back.
//!
//! [`entry`] is the format, [`attributes`] its names for what a mapping allows. [`table`] finds and makes single
//! entries, [`range`] changes many at once, [`gather`] flushes what was changed. [`walk`] only reads, and believes
//! nothing: tables may be broken. All of it is plain code over traits, so the loader (physical memory, before the
//! jump), the kernel (through the direct map) and host tests (a model memory) run the same lines. `live` is the
//! kernel's own use of them.
//!
//! Five-level paging is not supported: the loader refuses a firmware that left CR4.LA57 set.
//! Source: Intel SDM vol. 3 §4.5.

pub mod attributes;
#[cfg(test)]
mod checks;
pub mod entry;
pub mod gather;
pub mod map;
pub mod range;
pub mod table;
pub mod walk;

#[cfg(target_os = "none")]
pub mod live;

pub use attributes::{Attributes, Cache, Rights};
pub use entry::{Entry, Flags};
pub use gather::{Removed, Tlb};
pub use range::{Edit, Room, Share, replace_by_copy};
pub use table::{Cursor, MapError, Owner, PageTables, Slot, Table, TableMemory};

/// Entries in a table, at each level.
pub const ENTRIES: usize = 512;
/// Levels of tables: 4 = PML4, 3 = page-directory-pointer table, 2 = page directory, 1 = page table.
pub const LEVELS: u32 = 4;

/// Where page tables live. Tables are named by their physical address.
pub trait Tables {
    /// A new table, all zero; `None` when memory is out.
    fn allocate(&mut self) -> Option<u64>;
    /// Entry `index` (below [`ENTRIES`]) of the table at `table`.
    fn get(&self, table: u64, index: usize) -> Entry;
    /// Replaces that entry. The caller takes care of the TLB.
    fn set(&mut self, table: u64, index: usize, entry: Entry);
}

/// Bytes that one entry at `level` maps.
pub const fn page_size(level: u32) -> u64 {
    1 << shift(level)
}

/// Index into the table at `level` for a virtual address.
pub const fn index(level: u32, virt: u64) -> usize {
    (virt >> shift(level)) as usize & (ENTRIES - 1)
}

/// Lowest address bit that selects at `level`.
const fn shift(level: u32) -> u32 {
    12 + 9 * (level - 1)
}

/// Whether bits 63:47 of an address are all alike, as four-level paging demands.
pub const fn is_canonical(virt: u64) -> bool {
    let top = virt as i64 >> 47;
    top == 0 || top == -1
}

/// Puts the sign back into an address put together from table indices.
pub const fn canonicalise(virt: u64) -> u64 {
    ((virt << 16) as i64 >> 16) as u64
}

/// Model memory for tests, here and in the modules below.
#[cfg(test)]
pub mod model {
    use super::{ENTRIES, Entry, Tables};
    use std::collections::HashMap;

    #[derive(Default)]
    pub struct Memory {
        tables: HashMap<u64, [u64; ENTRIES]>,
        /// How many tables there may be; `None` for no limit.
        limit: Option<usize>,
    }

    impl Memory {
        pub fn with_limit(limit: usize) -> Self {
            Self { limit: Some(limit), ..Self::default() }
        }

        pub fn tables(&self) -> usize {
            self.tables.len()
        }
    }

    impl Tables for Memory {
        fn allocate(&mut self) -> Option<u64> {
            if self.limit.is_some_and(|limit| self.tables.len() >= limit) {
                return None;
            }
            let at = 0x10_0000 + 0x1000 * self.tables.len() as u64;
            self.tables.insert(at, [0; ENTRIES]);
            Some(at)
        }

        fn get(&self, table: u64, index: usize) -> Entry {
            Entry(self.tables[&table][index])
        }

        fn set(&mut self, table: u64, index: usize, entry: Entry) {
            self.tables.get_mut(&table).expect("a table that was allocated")[index] = entry.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_indices() {
        assert_eq!([page_size(1), page_size(2), page_size(3)], [4096, 2 << 20, 1 << 30]);
        let virt = 0xFFFF_FFFF_8020_3000;
        assert_eq!([4, 3, 2, 1].map(|level| index(level, virt)), [511, 510, 1, 3]);
    }

    #[test]
    fn canonical_addresses() {
        for good in [0, 0x7FFF_FFFF_FFFF, 0xFFFF_8000_0000_0000, u64::MAX] {
            assert!(is_canonical(good), "{good:#x}");
            assert_eq!(canonicalise(good & 0xFFFF_FFFF_FFFF), good);
        }
        for bad in [0x8000_0000_0000, 0xFFFF_7FFF_FFFF_FFFF, 1 << 63] {
            assert!(!is_canonical(bad), "{bad:#x}");
        }
    }
}
