//! The few system calls of programs that are built into the kernel, which have no files and are no processes.
//!
//! [`dispatch`] is called with what asm/syscall.S found in the registers. What a handler needs of the program that
//! calls, its memory and its console, it asks of a [`Process`], which `kernel::user` implements, and a model of it the
//! host tests. A number that is not in the table is -ENOSYS: nothing pretends.

mod io;
pub mod memory;
mod process;
#[cfg(test)]
mod tests;

use crate::arch::x86_64::usercopy::Fault;
use crate::errno::Errno;
use memory::Memory;

/// What a system call may ask of the program that made it.
pub trait Process {
    /// Its number.
    fn pid(&self) -> u32;
    /// Copies from its memory, all or nothing.
    fn copy_in(&mut self, to: &mut [u8], from: u64) -> Result<(), Fault>;
    /// Copies to its memory, all or nothing.
    fn copy_out(&mut self, to: u64, from: &[u8]) -> Result<(), Fault>;
    /// Its address space.
    fn memory(&mut self) -> &dyn Memory;
    /// Writes to its console.
    fn write_console(&mut self, bytes: &[u8]);
    /// Reads from its console: waits for a line, and takes as much of it as fits. 0 is the end of the input.
    fn read_console(&mut self, to: &mut [u8]) -> usize;
    /// It has called a number that is not in the table.
    fn note_unknown(&mut self, number: u64);
}

/// rdi, rsi, rdx, r10, r8, r9.
pub type Arguments = [u64; 6];

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The program goes on, with this in rax.
    Return(u64),
    /// It does not: this is its exit status.
    Exit(u8),
}

impl<E: Into<Errno>> From<Result<u64, E>> for Outcome {
    fn from(result: Result<u64, E>) -> Self {
        Self::Return(result.unwrap_or_else(|error| error.into().to_result()))
    }
}

impl From<Errno> for Outcome {
    fn from(error: Errno) -> Self {
        Self::Return(error.to_result())
    }
}

/// A handler.
pub type Handler = fn(&mut dyn Process, &Arguments) -> Outcome;

/// A row of the table.
pub struct Call {
    pub number: u16,
    pub name: &'static str,
    pub handler: Handler,
}

const fn call(number: u16, name: &'static str, handler: Handler) -> Call {
    Call { number, name, handler }
}

/// All of them, by Linux's numbers.
pub const TABLE: &[Call] = &[
    call(0, "read", io::read),
    call(1, "write", io::write),
    call(9, "mmap", memory::mmap),
    call(10, "mprotect", memory::mprotect),
    call(11, "munmap", memory::munmap),
    call(12, "brk", memory::brk),
    call(25, "mremap", memory::mremap),
    call(26, "msync", memory::msync),
    call(28, "madvise", memory::madvise),
    call(39, "getpid", process::getpid),
    call(60, "exit", process::exit),
    call(231, "exit_group", process::exit),
];

/// One more than the largest number.
const NUMBERS: usize = 232;

/// The same, by number.
static HANDLERS: [Option<Handler>; NUMBERS] = {
    let mut handlers = [None; NUMBERS];
    let mut row = 0;
    while row < TABLE.len() {
        handlers[TABLE[row].number as usize] = Some(TABLE[row].handler);
        row += 1;
    }
    handlers
};

/// Does what a program asks for.
#[inline]
pub fn dispatch(process: &mut dyn Process, number: u64, arguments: &Arguments) -> Outcome {
    let index = usize::try_from(number).unwrap_or(usize::MAX);
    match HANDLERS.get(index) {
        Some(&Some(handler)) => handler(process, arguments),
        _ => {
            process.note_unknown(number);
            Errno::Enosys.into()
        }
    }
}
