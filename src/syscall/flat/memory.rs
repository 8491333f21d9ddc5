//! mmap and its like: what the registers hold, made into what [`mm::vma`](crate::mm::vma) understands.
//!
//! Flags and rights keep Linux's numbers. There are no files yet, so a mapping of one is -EBADF.
//!
//! Source: Linux man-pages 6, section 2 (mmap, mprotect, munmap, brk, mremap, msync, madvise).

use super::{Arguments, Outcome, Process};
use crate::boot::layout::PAGE_SIZE;
use crate::errno::Errno;
use crate::mm::vma::Error;
use crate::mm::vma::area::Prot;
use crate::mm::vma::space::{Advice, MapFlags, RemapFlags};

/// A program's address space, as its system calls change it. Addresses and lengths are as the program gave them.
pub trait Memory {
    /// Maps memory without a file; gives its address.
    fn map(&self, addr: u64, len: u64, prot: Prot, flags: MapFlags) -> Result<u64, Error>;
    fn unmap(&self, addr: u64, len: u64) -> Result<(), Error>;
    /// `from_area_start`: from the beginning of the stack on that `addr` lies in.
    fn protect(&self, addr: u64, len: u64, prot: Prot, from_area_start: bool) -> Result<(), Error>;
    /// Moves the end of the heap, if it can; where that is now.
    fn brk(&self, to: u64) -> u64;
    /// Gives the address of the mapping.
    fn remap(&self, from: u64, len: u64, new_len: u64, flags: RemapFlags, to: u64) -> Result<u64, Error>;
    fn advise(&self, addr: u64, len: u64, advice: Advice) -> Result<(), Error>;
    /// Writes to files what is newer in memory; what has no file is only checked to be mapped.
    fn sync(&self, addr: u64, len: u64) -> Result<(), Error>;
}

/// `PROT_GROWSDOWN` and `PROT_GROWSUP`.
const GROWS_DOWN: u64 = 0x0100_0000;
const GROWS_UP: u64 = 0x0200_0000;

/// mmap(addr, length, prot, flags, fd, offset)
pub fn mmap(process: &mut dyn Process, &[addr, len, prot, flags, _, offset]: &Arguments) -> Outcome {
    if offset % PAGE_SIZE != 0 {
        return Errno::Einval.into();
    }
    let flags = MapFlags::from_bits_retain(flags as u32);
    if !flags.contains(MapFlags::ANONYMOUS) {
        return Errno::Ebadf.into();
    }
    process.memory().map(addr, len, Prot::from_bits_truncate(prot as u32), flags).into()
}

/// munmap(addr, length)
pub fn munmap(process: &mut dyn Process, &[addr, len, ..]: &Arguments) -> Outcome {
    process.memory().unmap(addr, len).map(|()| 0).into()
}

/// mprotect(addr, length, prot). Of memory that grows upwards there is none.
pub fn mprotect(process: &mut dyn Process, &[addr, len, prot, ..]: &Arguments) -> Outcome {
    let from_area_start = prot & GROWS_DOWN != 0;
    let rights = u32::try_from(prot & !GROWS_DOWN).ok().and_then(Prot::from_bits);
    match rights.filter(|_| prot & GROWS_UP == 0) {
        Some(rights) => process.memory().protect(addr, len, rights, from_area_start).map(|()| 0).into(),
        None => Errno::Einval.into(),
    }
}

/// brk(addr)
pub fn brk(process: &mut dyn Process, &[to, ..]: &Arguments) -> Outcome {
    Outcome::Return(process.memory().brk(to))
}

/// mremap(old_address, old_size, new_size, flags, new_address)
pub fn mremap(process: &mut dyn Process, &[from, len, new_len, flags, to, _]: &Arguments) -> Outcome {
    match u32::try_from(flags) {
        Ok(flags) => {
            process.memory().remap(from, len, new_len, RemapFlags::from_bits_retain(flags), to).into()
        }
        Err(_) => Errno::Einval.into(),
    }
}

/// msync(addr, length, flags). `MS_ASYNC` and `MS_SYNC` exclude each other.
pub fn msync(process: &mut dyn Process, &[addr, len, flags, ..]: &Arguments) -> Outcome {
    const ASYNC: u64 = 1;
    const INVALIDATE: u64 = 2;
    const SYNC: u64 = 4;
    let flags = flags & 0xFFFF_FFFF;
    if flags & !(ASYNC | INVALIDATE | SYNC) != 0 || flags & (ASYNC | SYNC) == ASYNC | SYNC {
        return Errno::Einval.into();
    }
    process.memory().sync(addr, len).map(|()| 0).into()
}

/// madvise(addr, length, advice)
pub fn madvise(process: &mut dyn Process, &[addr, len, advice, ..]: &Arguments) -> Outcome {
    match Advice::from_number(advice as i32) {
        Some(advice) => process.memory().advise(addr, len, advice).map(|()| 0).into(),
        None => Errno::Einval.into(),
    }
}
