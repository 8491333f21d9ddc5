//! The vDSO on the machine: one object of two pages, mapped into every program.
//!
//! The first page is the clock's, written by the kernel through the direct map; the second holds the image. The object is
//! mapped like a file that was opened for reading, so no call of a program's makes either of them writable, and a
//! child has them as it has its other mappings.

use super::{IMAGE, MAPPED_BYTES};
use crate::boot::layout::PAGE_SIZE;
use crate::mm::frames;
use crate::mm::space::live::{KernelEnv, UserSpace};
use crate::mm::space::{Memory, Shown};
use crate::mm::vma::Error;
use crate::mm::vma::area::Prot;
use crate::mm::vma::room::NoMemory;
use crate::mm::vma::space::{MapFlags, Mapping, OpenFile};
use crate::time::page::ClockPage;
use spin::Once;

static OBJECT: Once<Memory<KernelEnv>> = Once::new();

/// Makes it. Once, before the first program. Returns the clock page, for the clock to be shown on.
pub fn init() -> Result<&'static ClockPage, NoMemory> {
    let object = Memory::of_len(KernelEnv, MAPPED_BYTES / PAGE_SIZE)?;
    object.fill(PAGE_SIZE, &IMAGE)?;
    let page = frames::bytes(object.frame(0)?).cast::<ClockPage>();
    OBJECT.call_once(|| object);
    // SAFETY: a frame of the object, which is never given back; it is as large and aligned as the page, and from here on
    // it is used by atomics only, by programs for reading.
    unsafe {
        page.write(ClockPage::new());
        Ok(&*page)
    }
}

/// Maps it where there is room. Returns the address of the image (AT_SYSINFO_EHDR), 0 if there is none.
pub fn map(space: &UserSpace) -> Result<u64, Error> {
    let Some(object) = OBJECT.get() else { return Ok(0) };
    let file = |offset| {
        Some(OpenFile {
            file: Shown::Memory(object.clone()),
            offset,
            readable: true,
            writable: false,
            no_exec: false,
        })
    };
    let (len, flags) = (MAPPED_BYTES, MapFlags::SHARED);
    let at = space.map(Mapping { addr: 0, len, prot: Prot::READ, flags, file: file(0) })?.span.start;
    let (image, prot) = (at + PAGE_SIZE, Prot::READ | Prot::EXEC);
    let flags = flags | MapFlags::FIXED;
    space.map(Mapping { addr: image, len: len - PAGE_SIZE, prot, flags, file: file(PAGE_SIZE) })?;
    Ok(image)
}
