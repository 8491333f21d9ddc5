//! `mmap` and its like.
//!
//! Source: the manual's section 2 (mmap, mprotect, munmap, brk, mremap, msync, madvise).

use super::{Arguments, Call};
use crate::boot::layout::PAGE_SIZE;
use crate::errno::Errno;
use crate::fs::{self, Result, mapped};
use crate::mm::space::live::UserSpace;
use crate::mm::vma::area::Prot;
use crate::mm::vma::space::{Advice, MapFlags, Mapping, RemapFlags};
use crate::task::fault;

/// `PROT_GROWSDOWN` and `PROT_GROWSUP`.
const GROWS_DOWN: u64 = 0x0100_0000;
const GROWS_UP: u64 = 0x0200_0000;

fn space() -> Result<&'static UserSpace> {
    fault::current().ok_or(Errno::Enomem)
}

pub fn mmap(call: &mut Call<'_>, [addr, len, prot, flags, fd, offset]: Arguments) -> Result<u64> {
    if offset % PAGE_SIZE != 0 {
        return Err(Errno::Einval);
    }
    let flags = MapFlags::from_bits_retain(flags as u32);
    let file = if flags.contains(MapFlags::ANONYMOUS) {
        None
    } else {
        let file = call.file(fd)?;
        Some(mapped::open(&file, offset)?)
    };
    let prot = Prot::from_bits_truncate(prot as u32);
    let mapped = space()?.map(Mapping { addr, len, prot, flags, file });
    fs::tidy();
    Ok(mapped?.span.start)
}

pub fn munmap(_: &mut Call<'_>, [addr, len, ..]: Arguments) -> Result<u64> {
    space()?.unmap(addr, len)?;
    fs::tidy();
    Ok(0)
}

pub fn mprotect(_: &mut Call<'_>, [addr, len, prot, ..]: Arguments) -> Result<u64> {
    let from_area_start = prot & GROWS_DOWN != 0;
    let rights = u32::try_from(prot & !GROWS_DOWN).ok().and_then(Prot::from_bits);
    let rights = rights.filter(|_| prot & GROWS_UP == 0).ok_or(Errno::Einval)?;
    space()?.protect(addr, len, rights, from_area_start)?;
    Ok(0)
}

pub fn brk(_: &mut Call<'_>, [to, ..]: Arguments) -> Result<u64> {
    Ok(space()?.brk(to))
}

pub fn mremap(_: &mut Call<'_>, [from, len, new_len, flags, to, _]: Arguments) -> Result<u64> {
    let flags = RemapFlags::from_bits_retain(u32::try_from(flags).map_err(|_| Errno::Einval)?);
    Ok(space()?.remap(from, len, new_len, flags, to)?)
}

pub fn msync(_: &mut Call<'_>, [addr, len, flags, ..]: Arguments) -> Result<u64> {
    const ASYNC: u64 = 1;
    const INVALIDATE: u64 = 2;
    const SYNC: u64 = 4;
    let flags = flags & 0xFFFF_FFFF;
    if flags & !(ASYNC | INVALIDATE | SYNC) != 0 || flags & (ASYNC | SYNC) == ASYNC | SYNC {
        return Err(Errno::Einval);
    }
    space()?.sync(addr, len, |_, _, _| {})?;
    Ok(0)
}

pub fn madvise(_: &mut Call<'_>, [addr, len, advice, ..]: Arguments) -> Result<u64> {
    match Advice::from_number(advice as i32) {
        Some(advice) => space()?.advise(addr, len, advice)?,
        None => return Err(Errno::Einval),
    }
    Ok(0)
}
