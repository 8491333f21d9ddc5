//! Accesses that may fail: reading any address, asking for any MSR (asm/probe.S), and the exception table
//! behind them.
//!
//! An entry of the table is a pair: an instruction that may fault, and where to go on if it does. The trap
//! handler asks [`fixup`] before it calls anything a bug.

use super::frame::TrapFrame;
use core::ops::Range;

unsafe extern "sysv64" {
    fn probe_read_u8(address: u64, value: *mut u64) -> u64;
    fn probe_read_u16(address: u64, value: *mut u64) -> u64;
    fn probe_read_u32(address: u64, value: *mut u64) -> u64;
    fn probe_read_u64(address: u64, value: *mut u64) -> u64;
    fn probe_rdmsr(number: u32, value: *mut u64) -> u64;
    fn probe_wrmsr(number: u32, value: u64) -> u64;
    fn probe_breakpoint() -> u64;
}

unsafe extern "C" {
    /// linker/kernel.ld
    static __ex_table_start: [Pair; 0];
    static __ex_table_end: [Pair; 0];
}

/// An entry of the exception table.
#[derive(Clone, Copy)]
#[repr(C)]
struct Pair {
    from: u64,
    to: u64,
}

macro_rules! reader {
    ($(#[$doc:meta])* $name:ident, $asm:ident) => {
        $(#[$doc])*
        pub fn $name(address: u64) -> Option<u64> {
            let mut value = 0;
            // SAFETY: the one instruction that touches `address` is in the exception table, and a read of
            // memory has no other effect (device registers are not mapped where readers of memory look).
            (unsafe { $asm(address, &mut value) } != 0).then_some(value)
        }
    };
}

reader!(/// One byte at any address.
    read_u8, probe_read_u8);
reader!(/// Two bytes at any address.
    read_u16, probe_read_u16);
reader!(/// Four bytes at any address.
    read_u32, probe_read_u32);
reader!(/// Eight bytes at any address.
    read_u64, probe_read_u64);

/// An MSR, if this CPU has it.
pub fn rdmsr(number: u32) -> Option<u64> {
    let mut value = 0;
    // SAFETY: RDMSR is in the exception table; reading an MSR has no side effect worth naming.
    (unsafe { probe_rdmsr(number, &mut value) } != 0).then_some(value)
}

/// Writes an MSR, if this CPU has it and takes the value.
///
/// # Safety
/// Running code survives the change.
pub unsafe fn wrmsr(number: u32, value: u64) -> bool {
    // SAFETY: a fault is caught; the rest is the caller's promise.
    unsafe { probe_wrmsr(number, value) != 0 }
}

/// Takes a breakpoint that the exception table foresees; true if it went on as the table says.
pub fn breakpoint() -> bool {
    // SAFETY: INT3 is foreseen, and changes nothing.
    unsafe { probe_breakpoint() == 0 }
}

fn table() -> &'static [Pair] {
    let start = &raw const __ex_table_start;
    let bytes = (&raw const __ex_table_end).addr() - start.addr();
    // SAFETY: the linker script puts both symbols around whole pairs in read-only memory.
    unsafe { core::slice::from_raw_parts(start.cast(), bytes / size_of::<Pair>()) }
}

/// Where to go on after a fault at `frame.rip`, if that was foreseen. By halves: the table is in order.
pub fn fixup(frame: &TrapFrame) -> Option<u64> {
    let table = table();
    table.binary_search_by_key(&frame.rip, |pair| pair.from).ok().map(|found| table[found].to)
}

/// Whether the table is in order and stays inside `text`; the self-test asks.
pub fn table_is_sound(text: Range<u64>) -> bool {
    let table = table();
    !table.is_empty()
        && table.windows(2).all(|pair| pair[0].from < pair[1].from)
        && table.iter().all(|pair| text.contains(&pair.from) && text.contains(&pair.to))
}
