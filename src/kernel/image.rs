//! The kernel's own image in memory: where its sections begin and end, and its symbols.
//! The boundaries are symbols of linker/kernel.ld.

use super::symbols::{Symbol, Symbols};
use core::fmt;
use core::ops::Range;

unsafe extern "C" {
    static __image_start: [u8; 0];
    static __text_start: [u8; 0];
    static __text_end: [u8; 0];
    static __rodata_start: [u8; 0];
    static __rodata_end: [u8; 0];
    static __data_start: [u8; 0];
    static __data_end: [u8; 0];
    static __ksyms_start: [u8; 0];
}

macro_rules! address {
    ($symbol:ident) => {
        (&raw const $symbol) as u64
    };
}

/// Code.
pub fn text() -> Range<u64> {
    address!(__text_start)..address!(__text_end)
}

/// Constants.
pub fn rodata() -> Range<u64> {
    address!(__rodata_start)..address!(__rodata_end)
}

/// Variables and the boot stacks.
pub fn data() -> Range<u64> {
    address!(__data_start)..address!(__data_end)
}

/// The symbol table; `None` if the image was linked without one. `BootInfo` says where the image ends,
/// and until it has been read nobody knows: the blob's own header is trusted, each page probed first.
pub fn symbols() -> Option<Symbols<'static>> {
    use crate::arch::x86_64::probe;
    let start = address!(__ksyms_start);
    let header = [start + 8, start + 12].map(probe::read_u32);
    let [Some(count), Some(names)] = header else { return None };
    let len = count.checked_mul(12)?.checked_add(names)?.checked_add(24)?;
    if !(start..start + len).step_by(4096).all(|page| probe::read_u8(page).is_some()) {
        return None;
    }
    // SAFETY: every page of it has just been read; it is read-only and part of the image for ever.
    Symbols::parse(unsafe { core::slice::from_raw_parts(start as *const u8, len as usize) })
}

/// The symbol that an address lies in.
pub fn lookup(address: u64) -> Option<Symbol<'static>> {
    symbols()?.lookup(address)
}

/// An address with its name: `0xffffffff80001234 <sis::monitor::run+0x24>`.
pub struct Named(pub u64);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)?;
        match lookup(self.0) {
            Some(symbol) => write!(f, " <{}+{:#x}>", symbol.name, self.0 - symbol.address),
            None => Ok(()),
        }
    }
}
