//! What can be wrong with an image, where, and in which entry.

use core::fmt;

/// Bytes of a name that an error keeps.
const NAME_KEPT: usize = 64;

/// Where in the image something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the image's start; in a gzip member that of the member.
    pub image: u64,
    /// In gzip: bytes from the start of what was unpacked so far.
    pub unpacked: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unpacked {
            None => write!(f, "byte {}", self.image),
            Some(unpacked) => write!(f, "unpacked byte {unpacked} (gzip member at byte {})", self.image),
        }
    }
}

/// The beginning of an entry's name, as it stands in the archive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortName {
    bytes: [u8; NAME_KEPT],
    len: usize,
}

impl ShortName {
    pub const NONE: Self = Self { bytes: [0; NAME_KEPT], len: 0 };

    pub fn new(name: &[u8]) -> Self {
        let mut bytes = [0; NAME_KEPT];
        let kept = name.len().min(NAME_KEPT);
        bytes[..kept].copy_from_slice(&name[..kept]);
        Self { bytes, len: name.len() }
    }

    /// The bytes that are kept.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len.min(NAME_KEPT)]
    }
}

impl fmt::Display for ShortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.bytes().escape_ascii())?;
        if self.len > NAME_KEPT { f.write_str("...") } else { Ok(()) }
    }
}

impl fmt::Debug for ShortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A field of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Inode,
    Mode,
    Uid,
    Gid,
    Links,
    Time,
    Size,
    DeviceMajor,
    DeviceMinor,
    NodeMajor,
    NodeMinor,
    NameSize,
    Check,
}

/// What is wrong. `E` is the sink's own error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem<E> {
    /// Neither an archive nor a gzip member begins here: the first bytes, zeros behind the end.
    Magic([u8; 6]),
    /// An archive in another of cpio's formats.
    Format(&'static str),
    /// A compression that is not understood here.
    Compression(&'static str),
    /// A header field with something else than eight hexadecimal digits.
    NotHex(Field),
    /// The image ends before this does.
    Truncated,
    /// A name without any byte, or without the 0 at its end, or with one before it.
    BadName,
    /// More than 4,095 bytes, or a component of more than 255.
    NameTooLong,
    /// A name that begins with `/`.
    Absolute,
    /// A name that leads out of where it is unpacked, or may do so: a component is `..`.
    DotDot,
    /// A name that ends in `/` and is no directory's, or is that of the root and no directory.
    NotDirectory,
    /// A mode whose type does not exist.
    Type(u32),
    /// Device numbers that do not fit 12 and 20 bits.
    Device(u32, u32),
    /// A symbolic link without a target, with one that is too long, or with a 0 in it.
    Target,
    /// The trailer has contents.
    Trailer,
    /// The sum of a file's bytes is not what its header says.
    Checksum { said: u32, found: u32 },
    /// A gzip member with another compression method than deflate, with unknown flags, or with a damaged header.
    GzipHeader,
    /// Compressed data that does not make sense.
    Deflate,
    /// What was unpacked has another CRC-32 than the gzip member says.
    GzipCrc { said: u32, found: u32 },
    /// What was unpacked has another length, modulo 2^32.
    GzipLength { said: u32, found: u32 },
    /// No memory for a window, a name, or a list of links.
    NoMemory,
    /// The sink could not take it.
    Sink(E),
}

/// Why unpacking ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error<E> {
    /// Where the entry begins, or what else it is about.
    pub place: Place,
    /// The entry's name, as far as it was read.
    pub name: ShortName,
    pub problem: Problem<E>,
}

impl<E> Error<E> {
    /// One outside of every entry.
    pub fn at(place: Place, problem: Problem<E>) -> Self {
        Self { place, name: ShortName::NONE, problem }
    }
}

impl<E: fmt::Display> fmt::Display for Problem<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(bytes) => write!(f, "neither cpio nor gzip: \"{}\"", bytes.escape_ascii()),
            Self::Format(name) => write!(f, "{name} is not understood: make the archive with `-H newc`"),
            Self::Compression(name) => {
                write!(f, "{name} is not understood: compress with gzip, or not at all")
            }
            Self::NotHex(field) => write!(f, "header field {field:?} is no hexadecimal number"),
            Self::Truncated => f.write_str("the image ends in the middle of it"),
            Self::BadName => f.write_str("name without an end, or without any byte"),
            Self::NameTooLong => f.write_str("name too long"),
            Self::Absolute => f.write_str("absolute name"),
            Self::DotDot => f.write_str("name with `..`"),
            Self::NotDirectory => f.write_str("only a directory can have this name"),
            Self::Type(mode) => write!(f, "mode {mode:o} is no type of file"),
            Self::Device(major, minor) => write!(f, "device numbers {major}:{minor} are too large"),
            Self::Target => f.write_str("symbolic link without a proper target"),
            Self::Trailer => f.write_str("trailer with contents"),
            Self::Checksum { said, found } => write!(f, "checksum is {found:#x}, the header says {said:#x}"),
            Self::GzipHeader => f.write_str("gzip header damaged, or of an unknown kind"),
            Self::Deflate => f.write_str("compressed data damaged"),
            Self::GzipCrc { said, found } => {
                write!(f, "CRC-32 is {found:#010x}, the gzip member says {said:#010x}")
            }
            Self::GzipLength { said, found } => write!(f, "{found} bytes long, the gzip member says {said}"),
            Self::NoMemory => f.write_str("out of memory"),
            Self::Sink(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name == ShortName::NONE {
            write!(f, "{}: {}", self.place, self.problem)
        } else {
            write!(f, "{}, {}: {}", self.name, self.place, self.problem)
        }
    }
}

/// What stands there instead of an archive. The signatures are those of the compressions that initramfs images come
/// in, and of cpio's older formats.
pub(super) fn unknown_start<E>(bytes: &[u8]) -> Problem<E> {
    const COMPRESSIONS: [(&[u8], &str); 6] = [
        (b"\xFD7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"\x28\xB5\x2F\xFD", "zstd"),
        (b"\x89LZO", "lzop"),
        (b"\x02\x21\x4C\x18", "lz4"),
        (b"\x5D\0\0", "lzma"),
    ];
    const FORMATS: [(&[u8], &str); 3] = [
        (b"070707", "cpio's old portable format"),
        (b"\xC7\x71", "cpio's old binary format"),
        (b"\x71\xC7", "cpio's old binary format, big endian,"),
    ];
    let named = |table: &[(&[u8], &'static str)]| {
        table.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| *name)
    };
    if let Some(name) = named(&COMPRESSIONS) {
        return Problem::Compression(name);
    }
    if let Some(name) = named(&FORMATS) {
        return Problem::Format(name);
    }
    let mut start = [0; 6];
    start.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    Problem::Magic(start)
}
