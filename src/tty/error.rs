//! What can go wrong with a terminal. The layer of system calls makes numbers of it.

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// EPERM.
    NotPermitted,
    /// ESRCH: there is no such group.
    NoGroup,
    /// ERESTARTSYS: the caller has got a signal, and tries again if he lives on.
    Restart,
    /// EIO: the other end is gone, or the caller may not and no signal would tell him.
    Io,
    /// EAGAIN: it would have to wait.
    Again,
    /// ENOMEM.
    NoMemory,
    /// EFAULT: no memory at that address.
    Fault,
    /// EBUSY: somebody has it for himself.
    Busy,
    /// EINVAL.
    Invalid,
    /// ENOTTY: this terminal, or this end of it, does not know such an order.
    NotTty,
}

impl Error {
    /// Linux's number; that of ERESTARTSYS is for the kernel alone.
    pub const fn number(self) -> i32 {
        match self {
            Self::NotPermitted => 1,
            Self::NoGroup => 3,
            Self::Io => 5,
            Self::Again => 11,
            Self::NoMemory => 12,
            Self::Fault => 14,
            Self::Busy => 16,
            Self::Invalid => 22,
            Self::NotTty => 25,
            Self::Restart => 512,
        }
    }
}

impl From<alloc::collections::TryReserveError> for Error {
    fn from(_: alloc::collections::TryReserveError) -> Self {
        Self::NoMemory
    }
}
