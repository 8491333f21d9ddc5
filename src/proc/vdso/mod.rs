//! The vDSO: a shared object that every program is given, so that it can tell the time without a system call.
//!
//! The code is asm/vdso/vdso.S, which build.rs links to a small ELF file of its own ([`IMAGE`]). A program's memory gets
//! two things side by side, where there is room among its mappings, and AT_SYSINFO_EHDR says where the second is:
//!
//! ```text
//!   at             the clock page    `time::page::ClockPage`, the same page for all, read only
//!   at + a page    the image         IMAGE_BYTES, the same pages for all, read and execute
//! ```
//! Neither can be written by a program. Both are pages of one object ([`live`]), which all programs have mapped.

#[cfg(target_os = "none")]
pub mod live;
#[cfg(test)]
mod lookup;
#[cfg(test)]
mod tests;

use crate::boot::layout::PAGE_SIZE;
use crate::time::rate::FRACTION_BITS;

/// What build.rs has linked.
const LINKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vdso.so"));
/// Bytes of the image, in whole pages.
pub const IMAGE_BYTES: usize = LINKED.len().next_multiple_of(PAGE_SIZE as usize);
/// Bytes of what is mapped: the clock page, then the image.
pub const MAPPED_BYTES: u64 = PAGE_SIZE + IMAGE_BYTES as u64;

/// The image as it is mapped: whole pages.
pub static IMAGE: [u8; IMAGE_BYTES] = padded();

const fn padded() -> [u8; IMAGE_BYTES] {
    let mut image = [0; IMAGE_BYTES];
    let mut at = 0;
    while at < LINKED.len() {
        image[at] = LINKED[at];
        at += 1;
    }
    image
}

// The assembly multiplies by the clock's own rates.
const _: () = assert!(crate::time::page::FRACTION_BITS == FRACTION_BITS as u64);
