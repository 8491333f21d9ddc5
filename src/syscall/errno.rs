//! What the errors of the layers below are in numbers of the ABI.

pub use crate::errno::Errno;
use crate::mm::vma::Error;

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
