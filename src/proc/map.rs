//! Files in programs' memory.

use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::file::File;
use crate::mm::space::Memory;
use crate::mm::space::live::KernelEnv;
use crate::mm::vma::space::OpenFile;

/// What `mmap` of an open file shows, from `offset` on. ENODEV: nothing that can be mapped.
pub fn open_file(file: &File, offset: u64) -> Result<OpenFile<Memory<KernelEnv>>> {
    let _ = (file, offset);
    Err(Errno::Enodev)
}
