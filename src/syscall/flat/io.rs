//! read and write. The console is all that there is: file descriptors 0 to 2, each of which is good for both, as a
//! terminal's are.

use super::{Arguments, Outcome, Process};
use crate::errno::Errno;

/// Bytes that are copied at a time, by way of the kernel's stack.
const CHUNK: usize = 256;

/// Most bytes that one call moves, as on Linux: the result is a number of 31 bits, rounded down to pages.
const MAX: u64 = 0x7FFF_F000;

fn is_console(fd: u64) -> bool {
    // A file descriptor is an int: the upper half of the register is not looked at.
    fd as u32 <= 2
}

/// read(fd, buffer, count): a line of the console, or as much of it as fits.
pub fn read(process: &mut dyn Process, &[fd, buffer, count, ..]: &Arguments) -> Outcome {
    if !is_console(fd) {
        return Errno::Ebadf.into();
    }
    let mut chunk = [0; CHUNK];
    let wanted = count.min(CHUNK as u64) as usize;
    if wanted == 0 {
        return Outcome::Return(0);
    }
    let len = process.read_console(&mut chunk[..wanted]);
    match process.copy_out(buffer, &chunk[..len]) {
        Ok(()) => Outcome::Return(len as u64),
        Err(_) => Errno::Efault.into(),
    }
}

/// write(fd, buffer, count). A bad address after the first chunk ends it early, and the result says how far it came.
pub fn write(process: &mut dyn Process, &[fd, buffer, count, ..]: &Arguments) -> Outcome {
    if !is_console(fd) {
        return Errno::Ebadf.into();
    }
    let count = count.min(MAX);
    let mut chunk = [0; CHUNK];
    let mut done = 0;
    while done < count {
        let piece = &mut chunk[..(count - done).min(CHUNK as u64) as usize];
        // The address may wrap: then it is not the user's, and refused.
        if process.copy_in(piece, buffer.wrapping_add(done)).is_err() {
            return if done == 0 { Errno::Efault.into() } else { Outcome::Return(done) };
        }
        process.write_console(piece);
        done += piece.len() as u64;
    }
    Outcome::Return(done)
}
