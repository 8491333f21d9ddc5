//! Error numbers of the ABI: what a system call returns, negated, when it could not do what was asked.
//!
//! Linux's numbers for x86_64. Only those that something returns.

/// An error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Errno {
    /// No such file descriptor.
    Ebadf = 9,
    /// A bad address.
    Efault = 14,
    /// No such system call.
    Enosys = 38,
}

impl Errno {
    /// As rax carries it.
    pub const fn to_result(self) -> u64 {
        -(self as i64) as u64
    }
}
