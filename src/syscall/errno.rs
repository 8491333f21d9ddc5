//! Error numbers of the ABI: what a system call returns, negated, when it could not do what was asked.
//!
//! Linux's numbers for x86_64. Only those that something returns.

use crate::mm::vma::Error;

/// An error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Errno {
    /// Not permitted.
    Eperm = 1,
    /// No such file descriptor.
    Ebadf = 9,
    /// No memory, no room among the addresses, or a limit.
    Enomem = 12,
    /// Not allowed by how something was opened.
    Eacces = 13,
    /// A bad address.
    Efault = 14,
    /// It exists already.
    Eexist = 17,
    /// Arguments that make no sense.
    Einval = 22,
    /// No such system call.
    Enosys = 38,
    /// Too large for its type.
    Eoverflow = 75,
    /// Not supported for this.
    Eopnotsupp = 95,
}

impl From<Error> for Errno {
    fn from(error: Error) -> Self {
        match error {
            Error::NotPermitted => Self::Eperm,
            Error::NoMemory => Self::Enomem,
            Error::Access => Self::Eacces,
            Error::Fault => Self::Efault,
            Error::Exists => Self::Eexist,
            Error::Invalid => Self::Einval,
            Error::Overflow => Self::Eoverflow,
            Error::NotSupported => Self::Eopnotsupp,
        }
    }
}

impl Errno {
    /// As rax carries it.
    pub const fn to_result(self) -> u64 {
        -(self as i64) as u64
    }
}
