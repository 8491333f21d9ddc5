//! The `newc` format, read as a stream: whatever the pieces, each byte is looked at once.
//!
//! ```text
//! header   name, 0   0–3 zeros   contents   0–3 zeros │ header …  │ header "TRAILER!!!", 0
//! 110 B                          size B               │           │ nlink 1, size 0
//! ```
//!
//! Everything begins at a multiple of four from the archive's start; the next archive, after any number of zeros,
//! begins where the next byte is that is none. The parser is a machine with a state for each part of an entry, and the
//! number of bytes that this part still lacks.

use super::error::{self, Error, Place, Problem, ShortName};
use super::header::{self, Header};
use super::links::Links;
use super::name::{self, NAME_MAX};
use super::{Meta, Node, Sink, Summary};
use alloc::vec::Vec;

/// Name of the last entry.
const TRAILER: &[u8] = b"TRAILER!!!\0";
/// What of a mode is the type, and the types.
const TYPE: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHAR_DEVICE: u32 = 0o020_000;
const BLOCK_DEVICE: u32 = 0o060_000;
const FIFO: u32 = 0o010_000;
const SOCKET: u32 = 0o140_000;

/// The part of an entry that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// None: an archive may begin.
    Between,
    Header,
    Name,
    NamePadding,
    /// Contents of a regular file.
    Data,
    /// Of a symbolic link.
    Target,
    /// Of something that has none by right.
    Skipped,
    DataPadding,
}

/// Reads archives and calls a sink.
pub struct Parser {
    part: Part,
    /// Bytes that the part still lacks.
    left: u64,
    raw: [u8; header::LEN],
    header: Header,
    /// The entry's name: as it stands there, then in order.
    name: Vec<u8>,
    /// As it stands there, for errors.
    said: ShortName,
    target: Vec<u8>,
    /// Sum of the contents so far.
    sum: u32,
    links: Links,
    /// Where the source has been read to. Plain archives: bytes of the image; else bytes unpacked so far.
    at: u64,
    /// Where the archive began, by the same measure, and the entry.
    archive_at: u64,
    entry_at: Place,
    /// The gzip member that is read.
    member: Option<u64>,
    /// Bytes unpacked so far.
    unpacked: u64,
    /// Where the source ends, if that is known.
    end: Option<u64>,
    pub(super) summary: Summary,
}

impl Parser {
    pub fn new() -> Self {
        let nowhere = Place { image: 0, unpacked: None };
        Self {
            part: Part::Between,
            left: 0,
            raw: [0; header::LEN],
            header: Header::default(),
            name: Vec::new(),
            said: ShortName::NONE,
            target: Vec::new(),
            sum: 0,
            links: Links::new(),
            at: 0,
            archive_at: 0,
            entry_at: nowhere,
            member: None,
            unpacked: 0,
            end: None,
            summary: Summary::default(),
        }
    }

    /// Whether no archive is begun and not ended.
    pub fn is_between(&self) -> bool {
        self.part == Part::Between
    }

    /// Reads the archive that `bytes`, all that is left of the image, begin with at the image's byte `image_at`. Returns
    /// its length.
    pub fn plain<S: Sink>(
        &mut self,
        bytes: &[u8],
        image_at: u64,
        sink: &mut S,
    ) -> Result<usize, Error<S::Error>> {
        (self.member, self.at) = (None, image_at);
        self.end = Some(image_at + bytes.len() as u64);
        self.begin();
        self.feed(bytes, sink)
    }

    /// Takes the next bytes that the gzip member at the image's byte `member` holds: all of them.
    pub fn unpacked<S: Sink>(
        &mut self,
        bytes: &[u8],
        member: u64,
        sink: &mut S,
    ) -> Result<(), Error<S::Error>> {
        (self.member, self.at, self.end) = (Some(member), self.unpacked, None);
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.is_between() {
                let zeros = rest.iter().position(|&byte| byte != 0).unwrap_or(rest.len());
                rest = &rest[zeros..];
                self.at += zeros as u64;
                match rest.first() {
                    None => break,
                    Some(b'0') => self.begin(),
                    Some(_) => return Err(Error::at(self.place(), error::unknown_start(rest))),
                }
            }
            let len = self.feed(rest, sink)?;
            rest = &rest[len..];
        }
        self.unpacked = self.at;
        Ok(())
    }

    /// The image is at its end.
    pub fn finish<E>(&mut self) -> Result<Summary, Error<E>> {
        if self.is_between() { Ok(self.summary) } else { Err(self.error(Problem::Truncated)) }
    }

    fn place(&self) -> Place {
        match self.member {
            None => Place { image: self.at, unpacked: None },
            Some(member) => Place { image: member, unpacked: Some(self.at) },
        }
    }

    fn error<E>(&self, problem: Problem<E>) -> Error<E> {
        Error { place: self.entry_at, name: self.said, problem }
    }

    fn begin(&mut self) {
        self.archive_at = self.at;
        self.links.clear();
        self.begin_entry();
    }

    fn begin_entry(&mut self) {
        (self.part, self.left) = (Part::Header, header::LEN as u64);
        (self.entry_at, self.said) = (self.place(), ShortName::NONE);
        self.name.clear();
        self.target.clear();
    }

    /// Reads up to the end of the archive, or of `bytes`; returns how many.
    fn feed<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) -> Result<usize, Error<S::Error>> {
        let mut rest = bytes;
        loop {
            let len = usize::try_from(self.left).map_or(rest.len(), |left| left.min(rest.len()));
            let (piece, behind) = rest.split_at(len);
            self.take(piece, sink).map_err(|problem| self.error(problem))?;
            rest = behind;
            self.left -= len as u64;
            self.at += len as u64;
            if self.left > 0 {
                break;
            }
            self.advance(sink).map_err(|problem| self.error(problem))?;
            if self.is_between() {
                break;
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// Some bytes of the present part, not more than it lacks.
    fn take<S: Sink>(&mut self, piece: &[u8], sink: &mut S) -> Result<(), Problem<S::Error>> {
        match self.part {
            Part::Header => {
                let from = header::LEN - self.left as usize;
                self.raw[from..from + piece.len()].copy_from_slice(piece);
            }
            // There is room for the whole of it.
            Part::Name => self.name.extend_from_slice(piece),
            Part::Target => self.target.extend_from_slice(piece),
            Part::Data if !piece.is_empty() => {
                if self.header.check.is_some() {
                    self.sum = piece.iter().fold(self.sum, |sum, &byte| sum.wrapping_add(byte.into()));
                }
                sink.data(piece).map_err(Problem::Sink)?;
                self.summary.data_bytes += piece.len() as u64;
            }
            _ => {}
        }
        Ok(())
    }

    /// The present part is whole: goes on to the next.
    fn advance<S: Sink>(&mut self, sink: &mut S) -> Result<(), Problem<S::Error>> {
        match self.part {
            Part::Between => {}
            Part::Header => {
                self.header = Header::parse(&self.raw)?;
                if self.header.name_size == 0 {
                    return Err(Problem::BadName);
                }
                if self.header.name_size as usize > NAME_MAX + 1 {
                    return Err(Problem::NameTooLong);
                }
                self.name.try_reserve(self.header.name_size as usize).map_err(|_| Problem::NoMemory)?;
                (self.part, self.left) = (Part::Name, self.header.name_size.into());
                self.check_room(self.left)?;
            }
            Part::Name => {
                let is_trailer = self.name == TRAILER;
                self.said = ShortName::new(self.name.strip_suffix(b"\0").unwrap_or(&self.name));
                if is_trailer {
                    if self.header.size != 0 {
                        return Err(Problem::Trailer);
                    }
                    self.part = Part::Between;
                    self.summary.archives += 1;
                } else {
                    (self.part, self.left) = (Part::NamePadding, self.padding());
                    self.check_room(self.left + u64::from(self.header.size))?;
                }
            }
            Part::NamePadding => self.begin_contents(sink)?,
            Part::Data | Part::Target | Part::Skipped => {
                self.end_contents(sink)?;
                (self.part, self.left) = (Part::DataPadding, self.padding());
            }
            Part::DataPadding => self.begin_entry(),
        }
        Ok(())
    }

    /// Bytes up to the next multiple of four.
    fn padding(&self) -> u64 {
        (self.at - self.archive_at).wrapping_neg() & 3
    }

    /// Whether the source has so many more bytes, if its end is known: then nothing of a file that is cut off is passed
    /// on. The sum cannot wrap: both are below 2^63.
    fn check_room<E>(&self, more: u64) -> Result<(), Problem<E>> {
        if self.end.is_some_and(|end| end - self.at < more) { Err(Problem::Truncated) } else { Ok(()) }
    }

    fn meta(&self) -> Meta {
        let Header { mode, uid, gid, mtime, .. } = self.header;
        Meta { mode: (mode & 0o7777) as u16, uid, gid, mtime }
    }

    /// The name is known. Makes what has no contents, and begins what has.
    fn begin_contents<S: Sink>(&mut self, sink: &mut S) -> Result<(), Problem<S::Error>> {
        let (header, meta) = (self.header, self.meta());
        let needs_directory = name::tidy(&mut self.name)?;
        let kind = header.mode & TYPE;
        if needs_directory && kind != DIRECTORY {
            return Err(Problem::NotDirectory);
        }
        self.summary.entries += 1;
        (self.part, self.left) = (Part::Skipped, header.size.into());
        match kind {
            DIRECTORY => sink.directory(&self.name, &meta).map_err(Problem::Sink),
            REGULAR => {
                let linked = self.link(sink)?;
                // A further name brings contents or none; none means that they came before, or are still to come.
                if !linked || header.size > 0 {
                    sink.file(&self.name, &meta, header.size.into()).map_err(Problem::Sink)?;
                    self.part = Part::Data;
                    self.sum = 0;
                }
                Ok(())
            }
            SYMLINK => {
                if header.size == 0 || header.size as usize > NAME_MAX + 1 {
                    return Err(Problem::Target);
                }
                self.target.try_reserve(header.size as usize).map_err(|_| Problem::NoMemory)?;
                self.part = Part::Target;
                Ok(())
            }
            _ => {
                let node = self.node(kind)?;
                if !self.link(sink)? {
                    sink.node(&self.name, node, &meta).map_err(Problem::Sink)?;
                }
                Ok(())
            }
        }
    }

    fn node<E>(&self, kind: u32) -> Result<Node, Problem<E>> {
        let (major, minor) = self.header.node;
        let small = u16::try_from(major).ok().filter(|&major| major < 1 << 12 && minor < 1 << 20);
        let device = small.ok_or(Problem::Device(major, minor));
        Ok(match kind {
            CHAR_DEVICE => Node::CharDevice(device?, minor),
            BLOCK_DEVICE => Node::BlockDevice(device?, minor),
            FIFO => Node::Fifo,
            SOCKET => Node::Socket,
            _ => return Err(Problem::Type(self.header.mode)),
        })
    }

    /// If the entry is a further name of a file that has come, makes it one.
    fn link<S: Sink>(&mut self, sink: &mut S) -> Result<bool, Problem<S::Error>> {
        if self.header.nlink < 2 {
            return Ok(false);
        }
        match self.links.first_name(&self.header, &self.name) {
            Err(_) => Err(Problem::NoMemory),
            Ok(None) => Ok(false),
            Ok(Some(first)) => {
                // The same name twice is no link, but the file once more.
                if first != self.name {
                    sink.hard_link(first, &self.name).map_err(Problem::Sink)?;
                }
                Ok(true)
            }
        }
    }

    fn end_contents<S: Sink>(&mut self, sink: &mut S) -> Result<(), Problem<S::Error>> {
        match self.part {
            Part::Data => {
                let found = self.sum;
                match self.header.check {
                    Some(said) if said != found => Err(Problem::Checksum { said, found }),
                    _ => sink.end().map_err(Problem::Sink),
                }
            }
            Part::Target => {
                // Some tools count a 0 at the end, as with names.
                let target = self.target.strip_suffix(b"\0").unwrap_or(&self.target);
                if target.is_empty() || target.len() > NAME_MAX || target.contains(&0) {
                    return Err(Problem::Target);
                }
                sink.symlink(&self.name, target, &self.meta()).map_err(Problem::Sink)
            }
            _ => Ok(()),
        }
    }
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}
