//! An inode's bytes in the page cache, as the VFS has them: on this machine, whatever keeps them.
//!
//! A file system that has its files there makes a [`Pages`] for each inode ([`new`]), reads and writes through
//! [`read`] and [`write`], and shows it to whoever wants to map the file
//! ([`InodeOps::pages`](super::inode::InodeOps::pages)).

use super::Result;
use super::io;
use super::pagecache::{self, Backing, Cache, Mapping, Piece, Position, ReadAhead};
use super::refs::Ref;

/// Frames, address spaces and clock: the machine's, and in tests a model's.
#[cfg(target_os = "none")]
pub type Machine = crate::mm::space::live::KernelEnv;
#[cfg(not(target_os = "none"))]
pub type Machine = crate::mm::space::tests::machine::Host;

/// The bytes of one inode.
pub type Pages = Mapping<Machine, Ref<dyn Backing>>;

/// The machine itself.
pub fn machine() -> Machine {
    cache().env
}

/// The one cache.
#[cfg(target_os = "none")]
pub fn cache() -> &'static Cache<Machine> {
    &pagecache::live::CACHE
}

/// The one cache of the tests of files.
#[cfg(not(target_os = "none"))]
pub fn cache() -> &'static Cache<Machine> {
    static CACHE: std::sync::OnceLock<&Cache<Machine>> = std::sync::OnceLock::new();
    CACHE.get_or_init(|| pagecache::tests::disk::cache(1 << 17))
}

/// For a file of `size` bytes. ENOMEM.
pub fn new(backing: Ref<dyn Backing>, size: u64) -> Result<Pages> {
    Ok(Mapping::new(cache(), backing, size)?)
}

/// What is read goes there.
struct To<'a>(&'a mut dyn io::Sink);

impl pagecache::Sink for To<'_> {
    fn take(&mut self, bytes: Piece<'_>) -> usize {
        self.0.put_piece(bytes)
    }
}

/// What is written comes from there.
struct From<'a>(&'a mut dyn io::Source);

impl pagecache::Source for From<'_> {
    fn fill(&mut self, bytes: Piece<'_>) -> usize {
        self.0.take_piece(bytes)
    }
}

/// Reads from `at` on, as much as `to` has room for.
pub fn read(pages: &Pages, to: &mut dyn io::Sink, at: u64, ahead: &ReadAhead) -> Result<usize> {
    let room = to.room();
    Ok(pages.read_at(at, room, &mut To(to), ahead)?)
}

/// Writes to `at` and on, all that `from` has; the file grows if it has to, but not beyond `from`'s limit.
pub fn write(pages: &Pages, from: &mut dyn io::Source, at: u64) -> Result<usize> {
    let room = from.file_size_limit().checked_sub(at).filter(|&room| room > 0);
    let room = room.ok_or(crate::errno::Errno::Efbig)?;
    let len = usize::try_from(room).unwrap_or(usize::MAX).min(from.left());
    Ok(pages.write_at(Position::At(at), len, &mut From(from))?.len)
}
