//! Where the [`FrameInfo`]s are: one for each frame of RAM, by its number.
//!
//! In the kernel they are one array of virtual memory, long enough for any frame there can be, and RAM is behind
//! those parts of it that the machine's RAM asks for. So the data of a frame is an addition away and a hole of the
//! memory map costs nothing. The unit is a section: the frames of one block of the highest order, aligned. If one
//! frame of a section is RAM, the whole section has data; hence the buddy of any block can be asked, whatever it is.

use super::info::FrameInfo;
use crate::boot::layout::FRAME_TABLE_BASE;
use crate::mm::addr::{Frame, VirtAddr};

/// The array.
pub trait Table {
    /// The data of a frame. The frame's section has RAM in it.
    fn info(&self, frame: Frame) -> &FrameInfo;
}

impl<T: Table> Table for &T {
    #[inline]
    fn info(&self, frame: Frame) -> &FrameInfo {
        (*self).info(frame)
    }
}

/// Where a frame's data is in the kernel's address space, whether anything is mapped there or not.
#[inline]
pub const fn place(frame: Frame) -> VirtAddr {
    let at = VirtAddr::new(FRAME_TABLE_BASE + frame.number() as u64 * FrameInfo::SIZE);
    at.expect("the table lies in the upper half")
}

/// The live array, at [`FRAME_TABLE_BASE`]. Having one is the proof that it is mapped; it has no size.
#[derive(Clone, Copy, Debug)]
pub struct MappedTable(());

impl MappedTable {
    /// # Safety
    /// All that the plan wants to be mapped is mapped, for good, writable, and used for nothing else; and it is
    /// cleared where the plan says so. From here on [`Table::info`] is called for frames of the plan's sections only.
    pub const unsafe fn new() -> Self {
        Self(())
    }
}

impl Table for MappedTable {
    #[inline]
    fn info(&self, frame: Frame) -> &FrameInfo {
        // SAFETY: mapped and aligned, as `new` was promised; every pattern of bits is a FrameInfo, and all of it is
        // atomic.
        unsafe { &*place(frame).as_ptr() }
    }
}
