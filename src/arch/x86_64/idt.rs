//! Interrupt gates, decoded. The table itself is asm/idt.S.
//! Source: Intel SDM vol. 3 §6.14.1.

use core::fmt;

/// One gate of the IDT.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    pub low: u64,
    pub high: u64,
}

impl Gate {
    /// Address of the handler.
    pub const fn offset(self) -> u64 {
        (self.low & 0xFFFF) | (self.low >> 48) << 16 | self.high << 32
    }

    /// Code segment that it runs in.
    pub const fn selector(self) -> u64 {
        self.low >> 16 & 0xFFFF
    }

    /// Interrupt stack, 1-7; 0 stays on the stack that is in use.
    pub const fn ist(self) -> u64 {
        self.low >> 32 & 7
    }

    pub const fn present(self) -> bool {
        self.low >> 47 & 1 != 0
    }

    /// Lowest privilege from which INT n may take it.
    pub const fn dpl(self) -> u64 {
        self.low >> 45 & 3
    }

    /// The four type bits: 14 clears IF on entry, 15 does not.
    pub const fn kind(self) -> u64 {
        self.low >> 40 & 15
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind() {
            14 => "interrupt gate",
            15 => "trap gate",
            _ => "reserved type",
        };
        let present = if self.present() { "" } else { ", not present" };
        write!(
            f,
            "{kind} {:#06x}:{:#018x}, DPL {}, IST {}{present}",
            self.selector(),
            self.offset(),
            self.dpl(),
            self.ist()
        )
    }
}

/// What SGDT and SIDT store: a 16-bit limit and a 64-bit base.
pub fn split_pointer(bytes: [u8; 10]) -> (u64, u16) {
    let [l0, l1, base @ ..] = bytes;
    (u64::from_le_bytes(base), u16::from_le_bytes([l0, l1]))
}

#[cfg(target_os = "none")]
mod live {
    use super::Gate;
    use core::arch::asm;

    unsafe extern "C" {
        /// asm/idt.S
        static idt: [[u64; 2]; 256];
    }

    /// Base and limit that the CPU uses now (SIDT).
    pub fn register() -> (u64, u16) {
        let mut pointer = [0u8; 10];
        // SAFETY: SIDT stores ten bytes where it is told.
        unsafe { asm!("sidt [{}]", in(reg) pointer.as_mut_ptr(), options(nostack, preserves_flags)) };
        super::split_pointer(pointer)
    }

    /// The gate of a vector.
    pub fn gate(vector: u8) -> Gate {
        // SAFETY: the table is static and as large as `vector` can reach.
        let [low, high] =
            unsafe { core::ptr::read_volatile((&raw const idt).cast::<[u64; 2]>().add(vector.into())) };
        Gate { low, high }
    }
}

#[cfg(target_os = "none")]
pub use live::*;

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn puts_the_offset_together() {
        let handler = 0xFFFF_FFFF_8012_3456u64;
        let low = (handler & 0xFFFF) | 8 << 16 | 2 << 32 | 0x8E << 40 | (handler >> 16 & 0xFFFF) << 48;
        let gate = Gate { low, high: handler >> 32 };
        assert_eq!(format!("{gate}"), "interrupt gate 0x0008:0xffffffff80123456, DPL 0, IST 2");
        assert!(format!("{}", Gate { low: 0, high: 0 }).contains("not present"));
    }

    #[test]
    fn splits_a_pointer() {
        assert_eq!(split_pointer([0xFF, 0x0F, 1, 2, 3, 4, 5, 6, 7, 8]), (0x0807_0605_0403_0201, 0x0FFF));
    }
}
