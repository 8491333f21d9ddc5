//! The FADT's register blocks: each is stated as a port and, from ACPI 2.0 on, as a generic address too.
//!
//! Source: ACPI 6.5 table 5.9, the fields PM1a_EVT_BLK to GPE1_BLK and X_PM1a_EVT_BLK to X_GPE1_BLK.

use super::super::bytes::u32_at;
use super::super::gas::Gas;

/// Bytes of the PM timer's register.
pub(super) const PM_TIMER_LEN: u8 = 4;

/// A run of registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first one; in memory or at ports.
    pub register: Gas,
    /// Bytes of all of them.
    pub len: u8,
}

impl Block {
    /// Address of the second half: the enable registers of an event block.
    pub const fn second_half(&self) -> u64 {
        self.register.address.saturating_add((self.len / 2) as u64)
    }
}

/// The PM timer, 3.579545 MHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PmTimer {
    /// Read with 32 bits at once.
    pub register: Gas,
    /// It counts through 32 bits; else through 24, and the others mean nothing.
    pub is_32_bit: bool,
}

/// How to reset the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// One byte wide, in memory, at a port, or in PCI configuration space.
    pub register: Gas,
    /// Written there.
    pub value: u8,
}

/// The block stated as a port at offset `old` and as a generic address at `new`, `len` bytes long.
///
/// The length is always the old field's: the width in a generic address cannot express 32 bytes, and is wrong
/// in much firmware. Only where the old field is 0 does the width say it. A block below `least` bytes lacks a
/// register that must be there.
pub(super) fn block(raw: &[u8], old: usize, new: usize, len: u8, least: u8) -> Option<Block> {
    let generic = Gas::at(raw, new).and_then(|register| {
        let len = if len != 0 { len } else { register.bit_width / 8 };
        (len >= least && register.is_reachable(len)).then_some(Block { register, len })
    });
    generic.or_else(|| {
        let register = Gas::ports(u32_at(raw, old)?, len);
        (len >= least && register.is_reachable(len)).then_some(Block { register, len })
    })
}
