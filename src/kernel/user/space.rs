//! The address space of the one program that runs: the lower half of the tables that the kernel itself is on.
//!
//! ```text
//! 0000_0000_0040_0000  text      read, execute: the program, page by page
//! 0000_7FFF_F000_0000  stack     read, write: 64 KiB below, each page when it is first touched
//! 0000_7FFF_FFFF_E000  last page of the user's half: text of a program that asks to lie there
//! ```
//!
//! Pages and tables come from a buffer of the kernel's image and are zero when they are given out. The lower half is
//! empty when no program runs.

use crate::arch::x86_64::paging::live::{self, DirectMap};
use crate::arch::x86_64::paging::map::map_page;
use crate::arch::x86_64::paging::{Entry, Flags, Tables};
use crate::boot::layout::{PAGE_SIZE, USER_END};
use crate::sync::IrqLock;

/// Where programs begin.
pub const TEXT: u64 = 0x40_0000;
/// Where their stacks begin, downwards.
pub const STACK_TOP: u64 = 0x7FFF_F000_0000;
/// How far the stack may grow. What lies below is never mapped.
pub const STACK_SIZE: u64 = 64 << 10;

/// Pages that there are: a few of text, the stack, three levels of tables in two or three places.
const PAGES: usize = 48;

#[repr(C, align(4096))]
struct Page([u8; PAGE_SIZE as usize]);

/// Touched only through [`Pool::take`], and by programs.
static mut BUFFER: [Page; PAGES] = [const { Page([0; PAGE_SIZE as usize]) }; PAGES];

/// Pages of the buffer that are taken.
struct Pool {
    used: usize,
}

static POOL: IrqLock<Pool> = IrqLock::new(Pool { used: 0 });

impl Pool {
    /// The next page: filled with `content` and zeros. Its physical address.
    fn take(&mut self, content: &[u8]) -> Option<u64> {
        if self.used == PAGES || content.len() > PAGE_SIZE as usize {
            return None;
        }
        // SAFETY: within the buffer; only this function writes to it, under the pool's lock, before the page is mapped.
        let page = unsafe { (&raw mut BUFFER).cast::<Page>().add(self.used) };
        // SAFETY: a whole page, and nobody else's yet.
        let bytes = unsafe { &mut (*page).0 };
        bytes.fill(0);
        bytes[..content.len()].copy_from_slice(content);
        self.used += 1;
        live::translate(page as u64).map(|found| found.phys)
    }
}

/// Tables of the lower half: every entry is the user's, and the leaves say what it may do.
impl Tables for Pool {
    fn allocate(&mut self) -> Option<u64> {
        self.take(&[])
    }

    fn get(&self, table: u64, index: usize) -> Entry {
        DirectMap.get(table, index)
    }

    fn set(&mut self, table: u64, index: usize, entry: Entry) {
        DirectMap.set(table, index, Entry(entry.0 | Flags::USER.bits()));
    }
}

/// There is no page left, or the program does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

fn map(virt: u64, content: &[u8], flags: Flags) -> Result<(), NoMemory> {
    let mut pool = POOL.lock();
    let phys = pool.take(content).ok_or(NoMemory)?;
    // Not present before, so no TLB knows of it.
    map_page(&mut *pool, live::root(), virt, phys, flags | Flags::USER, 1).map_err(|_| NoMemory)
}

/// A program's memory, for as long as it runs.
pub struct Space {
    entry: u64,
}

impl Space {
    /// Maps a program: from [`TEXT`] on, or so that it ends where the user's half does. Its stack comes by itself.
    pub fn new(program: &[u8], at_the_end: bool) -> Result<Self, NoMemory> {
        // From here on whatever has been mapped goes when this is dropped.
        let mut space = Self { entry: TEXT };
        if at_the_end {
            let before = (PAGE_SIZE as usize).checked_sub(program.len()).ok_or(NoMemory)?;
            let mut page = [0; PAGE_SIZE as usize];
            page[before..].copy_from_slice(program);
            map(USER_END - PAGE_SIZE, &page, Flags::empty())?;
            space.entry = USER_END - program.len() as u64;
        } else {
            for (number, content) in program.chunks(PAGE_SIZE as usize).enumerate() {
                map(TEXT + number as u64 * PAGE_SIZE, content, Flags::empty())?;
            }
        }
        Ok(space)
    }

    /// Where the program begins.
    pub fn entry(&self) -> u64 {
        self.entry
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // SAFETY: the program has ended, and nothing else is in the lower half.
        unsafe { live::drop_lower_half() };
        POOL.lock().used = 0;
    }
}

/// Brings a page of the stack that is touched for the first time. False if that is not what the fault is about.
pub fn bring(address: u64, is_present: bool) -> bool {
    let page = address & !(PAGE_SIZE - 1);
    let is_stack = (STACK_TOP - STACK_SIZE..STACK_TOP).contains(&page);
    !is_present && is_stack && map(page, &[], Flags::WRITE | Flags::NO_EXECUTE).is_ok()
}
