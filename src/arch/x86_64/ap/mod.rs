//! Starting the other CPUs (asm/trampoline.S): the page where they begin, the tables they begin on, and the list of
//! who is expected.
//!
//! `platform::pc::cpus` decides who is started, and sends the interrupts that do it.

pub mod entry;

#[cfg(target_os = "none")]
pub use live::*;

#[cfg(target_os = "none")]
mod live {
    use super::entry::Entry;
    use crate::arch::x86_64::paging::live::{DirectMap, root};
    use crate::arch::x86_64::paging::map::map_page;
    use crate::arch::x86_64::paging::{ENTRIES, Entry as PageEntry, Flags, Tables};
    use crate::arch::x86_64::percpu::MAX_CPUS;
    use crate::boot::layout::{DIRECT_MAP_BASE, PAGE_SIZE};
    use core::sync::atomic::{AtomicU64, Ordering};

    /// The CPUs by their numbers; the boot CPU is 0.
    pub static ENTRIES_BY_NUMBER: [Entry; MAX_CPUS] = [const { Entry::new() }; MAX_CPUS];

    unsafe extern "C" {
        // asm/trampoline.S
        static trampoline: [u8; 0];
        static trampoline_end: [u8; 0];
        static trampoline_gdt_pointer: [u8; 0];
        static trampoline_far_32: [u8; 0];
        static trampoline_far_64: [u8; 0];
        static trampoline_cr3: [u8; 0];
        static ap_cr3: AtomicU64;
        static ap_entries: AtomicU64;
        static ap_count: AtomicU64;
    }

    /// The start tables: the kernel's half as it is, and one page by its physical address. They are no part of the
    /// kernel's own tables, so nothing is to be taken out of those afterwards.
    pub struct StartTables {
        pages: [u64; 4],
        used: usize,
    }

    impl Tables for StartTables {
        fn allocate(&mut self) -> Option<u64> {
            let table = self.pages.get(self.used).copied()?;
            self.used += 1;
            (0..ENTRIES).for_each(|index| DirectMap.set(table, index, PageEntry::default()));
            Some(table)
        }

        fn get(&self, table: u64, index: usize) -> PageEntry {
            DirectMap.get(table, index)
        }

        fn set(&mut self, table: u64, index: usize, entry: PageEntry) {
            DirectMap.set(table, index, entry);
        }
    }

    impl StartTables {
        /// In four pages below 4 GiB, since CR3 is loaded in 32-bit code. `page` is the trampoline's.
        pub fn new(pages: [u64; 4], page: u64) -> Option<Self> {
            let mut tables = Self { pages, used: 0 };
            let top = tables.allocate()?;
            for index in ENTRIES / 2..ENTRIES {
                DirectMap.set(top, index, DirectMap.get(root(), index));
            }
            map_page(&mut tables, top, page, page, Flags::empty(), 1).ok()?;
            Some(tables)
        }

        /// The pages, back.
        pub fn into_pages(self) -> [u64; 4] {
            self.pages
        }

        fn top(&self) -> u64 {
            self.pages[0]
        }
    }

    /// Puts the trampoline into its page, below 1 MiB, with the addresses that depend on where that is.
    ///
    /// # Safety
    /// The page is RAM and nobody else's, and no CPU is in it.
    pub unsafe fn install(page: u64, tables: &StartTables, count: usize) {
        let start = &raw const trampoline;
        let len = (&raw const trampoline_end).addr() - start.addr();
        assert!(len <= PAGE_SIZE as usize && page < 1 << 20 && tables.top() < 1 << 32);
        let copy = (DIRECT_MAP_BASE + page) as *mut u8;
        let field = |symbol: *const [u8; 0], offset| copy.wrapping_add(symbol.addr() - start.addr() + offset);
        let move_by_page = |field: *mut u8| {
            let field = field.cast::<u32>();
            // SAFETY: a field of the copy.
            unsafe { field.write_unaligned(field.read_unaligned() + page as u32) };
        };
        // SAFETY: the page is the caller's; it is in the direct map as RAM, and the copy fits.
        unsafe {
            copy.copy_from_nonoverlapping(start.cast(), len);
            move_by_page(field(&raw const trampoline_gdt_pointer, 2));
            move_by_page(field(&raw const trampoline_far_32, 0));
            move_by_page(field(&raw const trampoline_far_64, 0));
            field(&raw const trampoline_cr3, 0).cast::<u32>().write_unaligned(tables.top() as u32);
            ap_cr3.store(root(), Ordering::Relaxed);
            ap_entries.store(ENTRIES_BY_NUMBER.as_ptr() as u64, Ordering::Relaxed);
            ap_count.store(count as u64, Ordering::Release);
        }
    }
}
