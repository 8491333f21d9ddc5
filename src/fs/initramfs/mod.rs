//! The initial file system: archives in memory, from which the first files come.
//!
//! The loader puts one image into memory. It holds cpio archives in the format that `cpio -H newc` writes, any number
//! of them one after another, zeros in between, each plain or within gzip members: a microcode update put before a
//! distribution's archive is such an image. [`unpack`] reads it from its first byte to its last and tells a [`Sink`]
//! what is there. The sink makes files of it; this folder knows nothing of file systems.
//!
//! ```text
//! image ──► zeros? ── skipped
//!           '0'    ── cpio ────────────────────────► Sink: directory, file, symlink, node, hard link
//!           1F 8B  ── gzip ── 32 KiB at a time ── cpio ─┘
//!           else   ── refused, by the name of the compression if it has one
//! ```
//!
//! What is believed of an image: nothing. Every number is checked before it is used, every name before it is passed on,
//! and the first thing that is wrong ends it with an [`Error`] that says what, where, and in which entry. What came
//! before it has been unpacked by then. The work is bounded by the image's length, and by that of what gzip makes of it,
//! which is at most about a thousand times as long and ends where the sink has no more room. Memory: one name, one
//! window of 32 KiB, and the names of files that have further links.
//!
//! Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst (the grammar of an image); cpio(5) of
//! libarchive, "New ASCII Format" and "New CRC Format"; RFC 1951 and 1952.

pub mod cpio;
pub mod crc32;
pub mod error;
#[cfg(test)]
mod fuzz;
pub mod gzip;
mod header;
mod links;
mod name;
#[cfg(test)]
mod tests;

pub use error::{Error, Place, Problem, ShortName};

use cpio::Parser;
use gzip::Window;

/// What an entry says of itself beside name and contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Permissions with set-user-ID, set-group-ID and sticky bit: the low twelve bits of `st_mode`.
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970, UTC.
    pub mtime: u32,
}

/// A file that is none of directory, regular file and symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// Major and minor number: at most 12 and 20 bits.
    CharDevice(u16, u32),
    BlockDevice(u16, u32),
    Fifo,
    Socket,
}

/// Who makes files of what is read. Names are relative to the root of what is unpacked, at most 4,095 bytes, of components
/// of 1 to 255 bytes, none of which is `.` or `..`; the root itself is called `.`. An error ends the unpacking.
///
/// Archives list a directory before what is in it. Where one does not, it is the sink that finds the parent missing, as
/// it is the sink that finds something else under the name already.
pub trait Sink {
    type Error;

    /// A directory. One that is there already gets the new attributes.
    fn directory(&mut self, name: &[u8], meta: &Meta) -> Result<(), Self::Error>;
    /// A regular file begins, whose contents are `size` bytes. One that is there already is emptied and keeps its inode:
    /// so the contents of linked files come, whichever of the names they stand with.
    fn file(&mut self, name: &[u8], meta: &Meta, size: u64) -> Result<(), Self::Error>;
    /// The next bytes of the file that has begun; any number of times, never empty.
    fn data(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
    /// The file is whole.
    fn end(&mut self) -> Result<(), Self::Error>;
    /// A symbolic link; its target is 1 to 4,095 bytes without a 0.
    fn symlink(&mut self, name: &[u8], target: &[u8], meta: &Meta) -> Result<(), Self::Error>;
    fn node(&mut self, name: &[u8], node: Node, meta: &Meta) -> Result<(), Self::Error>;
    /// `name` is another name of what `existing` was the name of when it came.
    fn hard_link(&mut self, existing: &[u8], name: &[u8]) -> Result<(), Self::Error>;
}

/// What was in an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub archives: u64,
    /// Gzip members.
    pub members: u64,
    /// Entries of all kinds, without the trailers.
    pub entries: u64,
    /// Bytes of files' contents.
    pub data_bytes: u64,
}

/// Unpacks all that is in `image`. An empty one, or one of zeros, is no error.
pub fn unpack<S: Sink>(image: &[u8], sink: &mut S) -> Result<Summary, Error<S::Error>> {
    let mut parser = Parser::new();
    let mut window = None;
    let mut at = 0;
    while let Some(zeros) = image[at..].iter().position(|&byte| byte != 0) {
        at += zeros;
        let here = Place { image: at as u64, unpacked: None };
        at += match &image[at..] {
            archive @ [b'0', ..] if parser.is_between() => parser.plain(archive, at as u64, sink)?,
            [0x1F, 0x8B, ..] => {
                let window = match &mut window {
                    Some(window) => window,
                    none => none.insert(Window::new().map_err(|_| Error::at(here, Problem::NoMemory))?),
                };
                gzip::member(&image[at..], at as u64, window, &mut parser, sink)?
            }
            // An archive that a gzip member begins goes on in another, or not at all.
            _ if !parser.is_between() => break,
            other => return Err(Error::at(here, error::unknown_start(other))),
        };
    }
    parser.finish()
}
