//! Error numbers of the ABI: why something that was asked for was not done.
//!
//! Linux's numbers for x86_64. Layers below files have small enumerations of their own, which are turned into these; files
//! and all that stands on them use these throughout, since which one it is is part of what a call promises.

/// An error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Errno {
    /// Not permitted.
    Eperm = 1,
    /// No such file or directory.
    Enoent = 2,
    /// No such process.
    Esrch = 3,
    /// Interrupted by a signal.
    Eintr = 4,
    /// The device failed.
    Eio = 5,
    /// No such device or address.
    Enxio = 6,
    /// Too many arguments.
    E2big = 7,
    /// No program that can be run.
    Enoexec = 8,
    /// No such file descriptor, or not opened for this.
    Ebadf = 9,
    /// No children.
    Echild = 10,
    /// Would have to wait, or try again.
    Eagain = 11,
    /// No memory, no room among the addresses, or a limit.
    Enomem = 12,
    /// Not allowed by a file's mode, or by how it was opened.
    Eacces = 13,
    /// A bad address.
    Efault = 14,
    /// Not a block device.
    Enotblk = 15,
    /// In use.
    Ebusy = 16,
    /// It exists already.
    Eexist = 17,
    /// On another file system, or another mount.
    Exdev = 18,
    /// No such device, or it cannot do this.
    Enodev = 19,
    /// Not a directory.
    Enotdir = 20,
    /// A directory.
    Eisdir = 21,
    /// Arguments that make no sense.
    Einval = 22,
    /// Too many open files in the system.
    Enfile = 23,
    /// Too many open files of this process.
    Emfile = 24,
    /// Not a terminal: no such ioctl.
    Enotty = 25,
    /// A program that is being run.
    Etxtbsy = 26,
    /// The file would be too large.
    Efbig = 27,
    /// No space left.
    Enospc = 28,
    /// Nothing that has positions.
    Espipe = 29,
    /// A read-only file system, or a mount that is.
    Erofs = 30,
    /// Too many links.
    Emlink = 31,
    /// Nobody reads from the pipe.
    Epipe = 32,
    /// Out of a function's domain.
    Edom = 33,
    /// Does not fit.
    Erange = 34,
    /// Would wait for itself.
    Edeadlk = 35,
    /// A name or path that is too long.
    Enametoolong = 36,
    /// No locks left.
    Enolck = 37,
    /// No such system call.
    Enosys = 38,
    /// A directory that is not empty.
    Enotempty = 39,
    /// Too many symbolic links, or one where none may be.
    Eloop = 40,
    /// No data.
    Enodata = 61,
    /// Too large for its type.
    Eoverflow = 75,
    /// Not supported for this.
    Eopnotsupp = 95,
    /// Out of time.
    Etimedout = 110,
    /// More than a user's share of the disk.
    Edquot = 122,
    /// ERESTARTSYS, which no program sees: a signal came before anything was done. On the way back to the program this
    /// becomes [`Self::Eintr`] if it handles that signal and wants to know (no SA_RESTART); else the call is made again.
    Erestart = 512,
    /// ERESTARTNOINTR: the call is always made again.
    Erestartnointr = 513,
    /// ERESTARTNOHAND: the call is made again unless a handler was called.
    Erestartnohand = 514,
    /// ERESTART_RESTARTBLOCK: the call goes on with what is left to wait, unless a handler was called.
    Erestartblock = 516,
}

impl Errno {
    /// As rax carries it.
    pub const fn to_result(self) -> u64 {
        -(self as i64) as u64
    }

    /// Whether it is one that no program sees.
    pub const fn is_restart(self) -> bool {
        matches!(self, Self::Erestart | Self::Erestartnointr | Self::Erestartnohand | Self::Erestartblock)
    }
}

impl core::fmt::Display for Errno {
    /// In words, without a full stop.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let words = match self {
            Self::Eperm => "not permitted",
            Self::Enoent => "no such file or directory",
            Self::Esrch => "no such process",
            Self::Eintr => "interrupted by a signal",
            Self::Eio => "the device failed",
            Self::Enxio => "no such device or address",
            Self::E2big => "too many arguments",
            Self::Enoexec => "no program that can be run",
            Self::Ebadf => "no such file descriptor, or not opened for this",
            Self::Echild => "no children",
            Self::Eagain => "would have to wait, or try again",
            Self::Enomem => "no memory, no room among the addresses, or a limit",
            Self::Eacces => "not allowed by a file's mode, or by how it was opened",
            Self::Efault => "a bad address",
            Self::Enotblk => "not a block device",
            Self::Ebusy => "in use",
            Self::Eexist => "it exists already",
            Self::Exdev => "on another file system, or another mount",
            Self::Enodev => "no such device, or it cannot do this",
            Self::Enotdir => "not a directory",
            Self::Eisdir => "a directory",
            Self::Einval => "arguments that make no sense",
            Self::Enfile => "too many open files in the system",
            Self::Emfile => "too many open files of this process",
            Self::Enotty => "not a terminal: no such ioctl",
            Self::Etxtbsy => "a program that is being run",
            Self::Efbig => "the file would be too large",
            Self::Enospc => "no space left",
            Self::Espipe => "nothing that has positions",
            Self::Erofs => "a read-only file system, or a mount that is",
            Self::Emlink => "too many links",
            Self::Epipe => "nobody reads from the pipe",
            Self::Edom => "out of a function's domain",
            Self::Erange => "does not fit",
            Self::Edeadlk => "would wait for itself",
            Self::Enametoolong => "a name or path that is too long",
            Self::Enolck => "no locks left",
            Self::Enosys => "no such system call",
            Self::Enotempty => "a directory that is not empty",
            Self::Eloop => "too many symbolic links, or one where none may be",
            Self::Enodata => "no data",
            Self::Eoverflow => "too large for its type",
            Self::Eopnotsupp => "not supported for this",
            Self::Etimedout => "out of time",
            Self::Erestart | Self::Erestartnointr | Self::Erestartnohand | Self::Erestartblock => {
                "to be done again after a signal"
            }
            Self::Edquot => "more than the quota",
        };
        f.write_str(words)
    }
}
