//! Files: from a path to a byte.
//!
//! ```text
//!   namei      a path ──► a Path: (Mount, Dentry)        walks the cache, without a lock
//!   dcache     names that were looked up                 Dentry ──► Inode
//!   inode      a file, whatever it is called             Inode ──► InodeOps, the file system's half
//!   file       an open file, with a position             File ──► FileOps: the inode's, or an object of its own
//!   fd         numbers for a process                     FdTable ──► File
//! ```
//!
//! **Who writes a file system** implements [`FsType`](super_block::FsType) (its name, and how to mount one),
//! [`FsOps`](super_block::FsOps) (as a whole), [`InodeOps`](inode::InodeOps) (for one inode; its header says what is
//! locked when) and, where that is not the inode, [`FileOps`](file::FileOps) (for one open file). `tmpfs` is the shortest
//! complete one. Who drives a device, or has FIFOs or sockets opened, registers with [`device::register`].
//!
//! **Who calls** has a [`Caller`](namei::Caller): the mounts, a process's root and directory
//! ([`FsContext`](context::FsContext)) and credentials ([`Credentials`](cred::Credentials)). Its functions are the calls on
//! paths: `open`, `mkdir`, `rename` and so on, each with the errors of Linux's. On what is open, see [`File`](file::File);
//! on descriptors, [`FdTable`](fd::FdTable).
//!
//! No request of a user's can end in a panic for lack of memory: everything here is allocated by
//! [`Ref::new`](refs::Ref::new) or `mm::vma::room`, which refuse, and refusals are ENOMEM.
//!
//! What nobody refers to is freed by [`tidy`], when no reader can be looking at it any more.

pub mod busy;
pub mod calls;
pub mod context;
pub mod cred;
pub mod dcache;
pub mod devfs;
pub mod device;
pub mod devices;
pub mod exercise;
pub mod fd;
pub mod file;
pub mod flags;
pub mod format;
pub mod initramfs;
pub mod inode;
pub mod io;
pub mod later;
pub mod locks;
pub mod mapped;
pub mod mode;
pub mod mount;
pub mod namei;
pub mod nameless;
pub mod pagecache;
pub mod pages;
pub mod pipe;
pub mod poll;
pub mod procfs;
pub mod refs;
pub mod stat;
pub mod super_block;
#[cfg(test)]
mod tests;
pub mod time;
pub mod tmpfs;
pub mod unpack;

use crate::errno::Errno;
use crate::sync::grace::EPOCHS;

/// What the calls return.
pub type Result<T> = core::result::Result<T, Errno>;

/// Frees what nobody refers to and no reader can be looking at. With no lock held; called at the end of calls that give
/// things up, and by who has time.
pub fn tidy() {
    EPOCHS.quiescent();
    EPOCHS.collect();
}
