//! A program's memory, as the pure parts see it: bytes at addresses, which may not be there.

use crate::errno::Errno;

/// Where a program's memory is written.
pub trait Sink {
    /// Puts bytes at an address; [`Errno::Efault`] if the program could not write there itself.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno>;
}

/// Where a program's memory is read.
pub trait Bytes {
    /// Fills `into` from an address on; [`Errno::Efault`] if the program could not read there itself.
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Errno>;
}
