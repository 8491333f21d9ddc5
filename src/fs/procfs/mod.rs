//! procfs: the kernel's structures, shown as files. What `ps`, `top`, `free`, `mount` and `lsof` read.
//!
//! ```text
//!   tree       which files there are: tables of names, modes, and who makes the text
//!   node       inodes, made when a name is looked up; whether they still are what they were
//!   open       an open file: a cursor over records (fs::format), or bytes of a process's
//!   global     the machine's files            System      ◄─┐ registered by the layers above, who know;
//!   of         a process's files              Processes   ◄─┘ asked anew for each record
//! ```
//!
//! Nothing is kept here: each record of a file is made when a reader comes to it, from what there is then. A process's
//! directory stands for that process and not for its number: when it has ended, what was opened in it says ESRCH, names in
//! it are not there any more, and another process that gets the number is another directory. Since processes end without
//! telling anybody here, each walk through /proc asks whether what it finds is still true
//! ([`FsFlags::REVALIDATE`]).
//!
//! The formats are Linux's, field by field, since programs parse them. What Linux prints of things that do not exist here
//! (swap, huge pages) is 0, where programs would stumble over a missing line, and else left out.
//!
//! Source: proc(5); Linux Documentation/filesystems/proc.rst; the output of Linux 6.x.

pub mod global;
mod links;
mod node;
pub mod of;
mod open;
pub mod process;
pub mod settings;
pub mod system;
#[cfg(test)]
mod tests;
mod tree;
pub mod uts;

pub use process::{Process, Processes};
pub use system::System;

use super::Result;
use super::dcache::Dcache;
use super::refs::Ref;
use super::super_block::{FsFlags, FsOps, FsType, StatFs, SuperBlock};
use crate::boot::layout::PAGE_SIZE;
use crate::errno::Errno;
use spin::Once;

/// As `statfs` knows it.
pub const MAGIC: u32 = 0x9FA0;

/// Parts of a second that times are counted in (`sysconf(_SC_CLK_TCK)`).
pub const TICKS_PER_SECOND: u64 = 100;

/// Nanoseconds in those.
pub const fn ticks(ns: u64) -> u64 {
    ns / (1_000_000_000 / TICKS_PER_SECOND)
}

/// Who is asked.
#[derive(Clone, Copy)]
pub struct Sources {
    pub processes: &'static dyn Processes,
    pub system: &'static dyn System,
}

static SOURCES: Once<Sources> = Once::new();

/// From here on there can be a /proc, made from these. Once.
pub fn register(sources: Sources) {
    SOURCES.call_once(|| sources);
}

struct Whole;

impl FsOps for Whole {
    fn statfs(&self) -> StatFs {
        StatFs::default()
    }
}

/// The kind.
pub struct Type;

/// What `mount` calls it.
pub static TYPE: Type = Type;

impl FsType for Type {
    fn name(&self) -> &'static str {
        "proc"
    }

    fn flags(&self) -> FsFlags {
        FsFlags::NO_DEVICE | FsFlags::REVALIDATE
    }

    fn mount(&self, cache: &Ref<Dcache>, _: &[u8], _: &[u8], is_read_only: bool) -> Result<Ref<SuperBlock>> {
        let block = make(cache, *SOURCES.get().ok_or(Errno::Enodev)?)?;
        block.set_read_only(is_read_only);
        Ok(block)
    }
}

/// One that is made from `sources`.
pub fn make(cache: &Ref<Dcache>, sources: Sources) -> Result<Ref<SuperBlock>> {
    let device = SuperBlock::anonymous_device();
    let block = SuperBlock::new(&TYPE, cache, device, MAGIC, PAGE_SIZE as u32, Ref::fs(Whole)?)?;
    block.set_root(node::root(&block, sources)?)?;
    Ok(block)
}
