//! The loader's `BootInfo`, checked once and then open to all.

use crate::boot::cmdline::CommandLine;
use crate::boot::info::{BootInfo, BootInfoError, MemoryRegion, PhysSlice};
use crate::boot::layout::{DIRECT_MAP_BASE, PAGE_SIZE};
use crate::mm::addr::{Frame, FrameRange, PhysAddr};
use core::sync::atomic::{AtomicPtr, Ordering};

/// The loader's structure, once it has been checked.
static BOOT_INFO: AtomicPtr<BootInfo> = AtomicPtr::new(core::ptr::null_mut());

/// The loader's structure.
pub fn get() -> &'static BootInfo {
    // SAFETY: set by `accept` before anything that asks, to memory that nobody writes or frees.
    unsafe { BOOT_INFO.load(Ordering::Relaxed).as_ref() }.expect("start::run has accepted it")
}

/// The slice that a [`PhysSlice`] of `BootInfo` describes.
///
/// # Safety
/// `slice` is a field of the checked `BootInfo`, whose elements are of type `T`.
unsafe fn in_direct_map<T>(slice: PhysSlice) -> &'static [T] {
    if slice.len == 0 {
        return &[];
    }
    // SAFETY: the loader put it into RAM, which the direct map covers, and it stays.
    unsafe { core::slice::from_raw_parts((DIRECT_MAP_BASE + slice.addr) as *const T, slice.len as usize) }
}

/// The memory map.
pub fn regions() -> &'static [MemoryRegion] {
    // SAFETY: the field holds regions.
    unsafe { in_direct_map(get().regions) }
}

/// The initial file system's image; empty if there is none.
pub fn initrd() -> &'static [u8] {
    // SAFETY: the field holds bytes.
    unsafe { in_direct_map(get().initrd) }
}

/// The frames that the image is in, all of it and nothing else: the loader gave it whole ones.
pub fn initrd_frames() -> Option<FrameRange> {
    let PhysSlice { addr, len } = get().initrd;
    let start = PhysAddr::new(addr).and_then(Frame::containing)?;
    let pages = u32::try_from(len.div_ceil(PAGE_SIZE)).ok()?;
    if len == 0 || addr % PAGE_SIZE != 0 { None } else { FrameRange::new(start, pages) }
}

/// The command line.
pub fn command_line() -> CommandLine<'static> {
    // SAFETY: the field holds bytes.
    let bytes = unsafe { in_direct_map::<u8>(get().cmdline) };
    // The loader has decoded it: it is UTF-8.
    CommandLine::new(core::str::from_utf8(bytes).unwrap_or(""))
}

/// Checks the structure and makes it the one that [`get`] returns.
///
/// # Safety
/// `info` points to memory that is mapped and stays as it is.
pub unsafe fn accept(info: *const BootInfo) -> Result<&'static BootInfo, BootInfoError> {
    // SAFETY: as the caller says; all fields are integers, so any content is a value.
    let info: &'static BootInfo = unsafe { &*info };
    info.check()?;
    BOOT_INFO.store(core::ptr::from_ref(info).cast_mut(), Ordering::Relaxed);
    Ok(info)
}
