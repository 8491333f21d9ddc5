//! The flags of the calls, by Linux's numbers for x86_64 (`fcntl.h`, `sys/mount.h`, `linux/fs.h`).

use bitflags::bitflags;

bitflags! {
    /// `open`. The lowest two bits are no flags but a number: [`OpenFlags::access`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OpenFlags: u32 {
        const WRONLY = 0o1;
        const RDWR = 0o2;
        const CREAT = 0o100;
        const EXCL = 0o200;
        /// A terminal does not become the controlling one.
        const NOCTTY = 0o400;
        const TRUNC = 0o1000;
        const APPEND = 0o2000;
        const NONBLOCK = 0o4000;
        const DSYNC = 0o10000;
        const ASYNC = 0o20000;
        const DIRECT = 0o40000;
        /// Set for every program of 64 bits; it says nothing.
        const LARGEFILE = 0o100000;
        const DIRECTORY = 0o200000;
        const NOFOLLOW = 0o400000;
        const NOATIME = 0o1000000;
        const CLOEXEC = 0o2000000;
        /// With [`Self::DSYNC`]: the file's attributes too.
        const SYNC = 0o4010000;
        /// A place in the tree, and no file.
        const PATH = 0o10000000;
        /// A file without a name.
        const TMPFILE = 0o20200000;
    }

    /// `AT_*` of the calls that end in `at`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct AtFlags: u32 {
        const SYMLINK_NOFOLLOW = 0x100;
        /// `faccessat`: by the effective ids. The same bit is `AT_REMOVEDIR` of `unlinkat`.
        const EACCESS = 0x200;
        const REMOVEDIR = 0x200;
        /// `linkat`.
        const SYMLINK_FOLLOW = 0x400;
        const NO_AUTOMOUNT = 0x800;
        /// An empty path is the directory descriptor itself, whatever it is.
        const EMPTY_PATH = 0x1000;
        const STATX_FORCE_SYNC = 0x2000;
        const STATX_DONT_SYNC = 0x4000;
    }

    /// `renameat2`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RenameFlags: u32 {
        const NOREPLACE = 1;
        const EXCHANGE = 2;
        const WHITEOUT = 4;
    }

    /// What a mount allows: `MS_*` of `mount`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MountFlags: u32 {
        const RDONLY = 1;
        const NOSUID = 2;
        const NODEV = 4;
        const NOEXEC = 8;
        const SYNCHRONOUS = 16;
        const NOATIME = 1024;
        const NODIRATIME = 2048;
        const RELATIME = 1 << 21;
        const STRICTATIME = 1 << 24;
    }

    /// `fallocate`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct FallocateFlags: u32 {
        const KEEP_SIZE = 1;
        const PUNCH_HOLE = 2;
    }
}

impl MountFlags {
    /// Those that say what is done about times of access.
    pub const TIMES: Self =
        Self::NOATIME.union(Self::NODIRATIME).union(Self::RELATIME).union(Self::STRICTATIME);

    /// What Linux's `mount` makes of flags: `relatime` is what holds if nothing else is asked for.
    #[must_use]
    pub fn completed(self) -> Self {
        let none = Self::NOATIME | Self::STRICTATIME;
        if self.contains(Self::STRICTATIME) {
            self - Self::NOATIME - Self::RELATIME
        } else if self.intersects(none) {
            self - Self::RELATIME
        } else {
            self | Self::RELATIME
        }
    }
}

/// What a file was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub read: bool,
    pub write: bool,
}

impl OpenFlags {
    /// What `fcntl` may change with `F_SETFL`.
    pub const SETTABLE: Self =
        Self::APPEND.union(Self::NONBLOCK).union(Self::ASYNC).union(Self::DIRECT).union(Self::NOATIME);

    /// The number in the lowest bits: 0 is reading, 1 writing, 2 both. 3 is neither (`ioctl` only), but needs the right
    /// to both.
    pub const fn access(self) -> Access {
        Access { read: self.bits() & 1 == 0, write: matches!(self.bits() & 3, 1 | 2) }
    }
}

/// `lseek`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    Set,
    Current,
    End,
    /// The next data at or after a position.
    Data,
    /// The next hole; there is one at the end of every file.
    Hole,
}

impl Whence {
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Set,
            1 => Self::Current,
            2 => Self::End,
            3 => Self::Data,
            4 => Self::Hole,
            _ => return None,
        })
    }
}
