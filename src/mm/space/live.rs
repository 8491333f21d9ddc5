//! Address spaces on the machine: frames through the direct map, all CPUs' TLBs and CR3.
//!
//! An address space stays in CR3 when its program does not run: kernel threads borrow it, for their half is the same in
//! all. It comes with a thread that has it (`task::context`), and leaves when another comes, or when it is dropped; then
//! the kernel's own tables come.

use super::super::addr::Frame;
use super::super::frame::{Dropped, Owner};
use super::super::{frames, pressure};
use super::env::{Account, Env, Store, frame_of};
use super::listed::{List, Listed};
use super::{AddressSpace, Shown, poison};
use crate::arch::x86_64::pages;
use crate::arch::x86_64::paging::{MapError, PageTables, Table, TableMemory, live};
use crate::boot::layout::PAGE_SIZE;
use crate::platform::kernel_tables::{self, TablePages};
use crate::platform::tlb::{self, What};
use spin::Once;

/// The machine that the kernel runs on.
#[derive(Clone, Copy, Debug)]
pub struct KernelEnv;

/// A program's memory.
pub type UserSpace = AddressSpace<KernelEnv, Shown<KernelEnv>>;

/// The same in the list of all, [`SPACES`]: only such a one may show files.
pub type ListedSpace = Listed<KernelEnv, Shown<KernelEnv>>;

/// All of them.
pub static SPACES: List<KernelEnv, Shown<KernelEnv>> = List::new();

/// The kernel's own tables. Asked for in `init`, since the end of an address space is no place to wait for a lock.
static KERNEL_ROOT: Once<u64> = Once::new();

fn kernel_root() -> u64 {
    *KERNEL_ROOT.get().expect("init comes before the first address space")
}

static ACCOUNT: Account = Account::new(0);

/// Pages that programs have been promised.
pub fn promised() -> u64 {
    ACCOUNT.promised()
}

impl UserSpace {
    /// Reads what is present from `addr` on, up to the first page that is not; returns how many bytes. For whoever shows a
    /// program's arguments: it does not wait, and brings nothing.
    pub fn peek(&self, addr: u64, to: &mut [u8]) -> usize {
        let inner = self.lock.read();
        let end = addr.saturating_add(to.len() as u64).min(inner.space.layout().end);
        if addr >= end {
            return 0;
        }
        let mut done = 0;
        let pages = addr / PAGE_SIZE * PAGE_SIZE..end.div_ceil(PAGE_SIZE) * PAGE_SIZE;
        let looked = inner.pages.tables.for_each_leaf(pages, |virt, slot| {
            let (entry, at) = (slot.load(), addr + done as u64);
            if !entry.present() || at >= end || !(virt..virt + PAGE_SIZE).contains(&at) {
                return;
            }
            let len = (end.min(virt + PAGE_SIZE) - at) as usize;
            // SAFETY: the frame is the entry's as long as the lock is held; what the program writes there meanwhile is
            // bytes all the same.
            let from = unsafe { frames::bytes(frame_of(entry)).add((at - virt) as usize) };
            // SAFETY: as above; within the page, and within `to`.
            unsafe { core::ptr::copy_nonoverlapping(from, to[done..].as_mut_ptr(), len) };
            done += len;
        });
        if looked.is_ok() { done } else { 0 }
    }
}

static ZERO_PAGE: Once<Frame> = Once::new();

/// Once, before the first address space. False if there is no frame to be had.
pub fn init() -> bool {
    ACCOUNT.set_limit(frames::managed_frames());
    let Some(frame) = frames::allocate(Owner::Kernel) else { return false };
    // SAFETY: ours alone.
    unsafe { pages::clear(frames::bytes(frame)) };
    ZERO_PAGE.call_once(|| frame);
    KERNEL_ROOT.call_once(|| kernel_tables::lock().root());
    true
}

impl TableMemory for KernelEnv {
    unsafe fn table(&self, phys: u64) -> &Table {
        // SAFETY: the caller's promise. That it outlives this borrow does no harm: there is but one machine.
        unsafe { live::table(phys) }
    }

    fn allocate(&self) -> Option<u64> {
        TablePages.allocate()
    }

    unsafe fn free(&self, phys: u64) {
        // SAFETY: the caller's promise.
        unsafe { TablePages.free(phys) };
    }
}

impl Env for KernelEnv {
    fn allocate_frame(&self, zeroed: bool) -> Option<Frame> {
        let frame = pressure::allocate_frame(Owner::Anonymous)?;
        poison::look(frame);
        if zeroed {
            // SAFETY: ours alone.
            unsafe { pages::clear(frames::bytes(frame)) };
        }
        Some(frame)
    }

    fn copy_frame(&self, from: Frame, to: Frame) {
        // SAFETY: two frames, and `to` is the caller's alone. Whatever is read where `from` changes is thrown away.
        unsafe { pages::copy(frames::bytes(to), frames::bytes(from)) };
    }

    fn get(&self, frame: Frame) -> bool {
        frames::info_of(frame).get()
    }

    fn put(&self, frame: Frame) {
        match frames::info_of(frame).put() {
            Dropped::Shared => {}
            // Without a reference it is free already, which the allocator says more about.
            Dropped::Last | Dropped::NotHeld => {
                poison::fill(frame);
                frames::free(frame);
            }
        }
    }

    fn is_unique(&self, frame: Frame) -> bool {
        frames::info_of(frame).is_unique()
    }

    fn becomes_anonymous(&self, frame: Frame) {
        let info = frames::info_of(frame);
        if info.owner() != Owner::Anonymous {
            info.set_owner(Owner::Anonymous);
        }
    }

    fn zero_page(&self) -> Frame {
        *ZERO_PAGE.get().expect("init comes before the first address space")
    }

    fn new_tables(&self) -> Result<PageTables<Store<Self>>, MapError> {
        PageTables::new_user(Store::new(*self), &kernel_tables::lock())
    }

    fn flush_page(&self, root: u64, virt: u64) {
        tlb::space(root, What::Pages(&[virt]), false);
    }

    fn flush_pages(&self, root: u64, pages: &[u64], tables: bool) {
        tlb::space(root, What::Pages(pages), tables);
    }

    fn flush_all(&self, root: u64) {
        // Whatever was taken away: tables may be among it.
        tlb::space(root, What::All, true);
    }

    fn retire(&self, root: u64) {
        tlb::retire(root, kernel_root());
    }

    fn make_room(&self, address: u64) -> bool {
        pressure::out_of_memory(format_args!("a page fault at {address:#x}"))
    }

    fn account(&self) -> &Account {
        &ACCOUNT
    }
}
