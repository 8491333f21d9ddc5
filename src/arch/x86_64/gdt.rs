//! Segment descriptors, decoded. The table itself is asm/gdt.S.
//! Source: Intel SDM vol. 3 §3.4.5 and §7.2.3.

use super::selectors;
use core::fmt;

/// One slot of the GDT (a system descriptor takes the next one as well).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    pub low: u64,
    /// The following slot: bits 63:32 of the base, if this is a system descriptor.
    pub high: u64,
}

impl Descriptor {
    /// S bit clear: TSS, LDT or call gate, 16 bytes long.
    pub const fn is_system(self) -> bool {
        self.low >> 44 & 1 == 0 && self.low != 0
    }

    pub const fn present(self) -> bool {
        self.low >> 47 & 1 != 0
    }

    /// Descriptor privilege level.
    pub const fn dpl(self) -> u64 {
        self.low >> 45 & 3
    }

    /// The four type bits.
    pub const fn kind(self) -> u64 {
        self.low >> 40 & 15
    }

    pub const fn base(self) -> u64 {
        let base = (self.low >> 16 & 0xFF_FFFF) | (self.low >> 56 & 0xFF) << 24;
        if self.is_system() { base | self.high << 32 } else { base }
    }

    /// Last valid offset.
    pub const fn limit(self) -> u64 {
        let limit = (self.low & 0xFFFF) | (self.low >> 48 & 15) << 16;
        if self.low >> 55 & 1 != 0 { limit << 12 | 0xFFF } else { limit }
    }

    /// The L bit: 64-bit code.
    pub const fn long_mode(self) -> bool {
        self.low >> 53 & 1 != 0
    }
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == 0 {
            return write!(f, "null");
        }
        let ring = self.dpl();
        let present = if self.present() { "" } else { ", not present" };
        if self.is_system() {
            let name = match self.kind() {
                0x2 => "LDT",
                0x9 => "64-bit TSS, available",
                0xB => "64-bit TSS, busy",
                0xC => "64-bit call gate",
                _ => "reserved system type",
            };
            return write!(f, "{name}, base {:#018x}, limit {:#x}{present}", self.base(), self.limit());
        }
        let kind = match (self.kind() >= 8, self.long_mode()) {
            (true, true) => "64-bit code",
            (true, false) => "32-bit code",
            (false, _) => "data",
        };
        write!(f, "{kind}, ring {ring}, base {:#x}, limit {:#x}{present}", self.base(), self.limit())
    }
}

/// What a selector is called; `None` for one that this kernel does not use.
pub fn selector_name(selector: u64) -> Option<&'static str> {
    Some(match selector {
        0 => "null",
        selectors::KERNEL_CS => "kernel code",
        selectors::KERNEL_DS => "kernel data",
        selectors::USER_DS => "user data",
        selectors::USER_CS => "user code",
        selectors::TSS_SELECTOR => "TSS",
        _ => return None,
    })
}

#[cfg(target_os = "none")]
mod live {
    use super::super::percpu::{self, InterruptsOff};
    use super::super::selectors::{
        DESCRIPTOR_TSS, GDT_SIZE, TSS_IST1, TSS_RSP0, TSS_SELECTOR, TSS_SIZE, USER_DS,
    };
    use super::super::stacks::sizes::IST_RESERVED;
    use super::Descriptor;
    use core::arch::asm;

    unsafe extern "C" {
        // asm/gdt.S: per-CPU variables, by the addresses of their template
        static gdt: [u64; GDT_SIZE as usize / 8];
        static tss: [u8; TSS_SIZE as usize];
    }

    /// The GDT of the CPU with that GS base.
    fn gdt_at(base: u64) -> *mut u64 {
        (&raw const gdt).cast_mut().cast::<u64>().wrapping_byte_add(base as usize)
    }

    /// The TSS of the CPU with that GS base.
    fn tss_at(base: u64) -> *mut u8 {
        (&raw const tss).cast_mut().cast::<u8>().wrapping_byte_add(base as usize)
    }

    /// Where ring 3 enters the kernel by an interrupt, on this CPU: a word of its TSS.
    ///
    /// # Safety
    /// As `stacks::set_rsp0`.
    #[inline]
    pub unsafe fn set_rsp0(top: u64) {
        // SAFETY: the TSS is a per-CPU variable, so GS leads to this CPU's; the field is aligned to four, which a store
        // may be.
        unsafe {
            asm!("mov qword ptr gs:[{} + {}], {}", sym tss, const TSS_RSP0, in(reg) top,
                options(nostack, preserves_flags));
        }
    }

    /// Fills in what another CPU's GDT and TSS have of their own: where the TSS is, and the tops of the stacks in it,
    /// which are IST 1 to 4. Returns what its LGDT takes as base.
    ///
    /// # Safety
    /// A fresh copy of the template is at that GS base, and no CPU uses it yet.
    pub unsafe fn fill(base: u64, rsp0: u64, interrupt_stacks: [u64; 4]) -> u64 {
        let (table, segment) = (gdt_at(base), tss_at(base));
        let address = segment as u64;
        let low = (TSS_SIZE - 1)
            | (address & 0xFF_FFFF) << 16
            | DESCRIPTOR_TSS << 40
            | (address >> 24 & 0xFF) << 56;
        // SAFETY: both lie in the copy, which is the caller's alone. Fields of a TSS are aligned to four.
        unsafe {
            table.add(TSS_SELECTOR as usize / 8).write(low);
            table.add(TSS_SELECTOR as usize / 8 + 1).write(address >> 32);
            segment.add(TSS_RSP0 as usize).cast::<u64>().write_unaligned(rsp0);
            for (index, top) in interrupt_stacks.into_iter().enumerate() {
                let field = segment.add(TSS_IST1 as usize + 8 * index).cast::<u64>();
                field.write_unaligned(top - IST_RESERVED);
            }
        }
        table as u64
    }

    /// Base and limit that the CPU uses now (SGDT).
    pub fn register() -> (u64, u16) {
        let mut pointer = [0u8; 10];
        // SAFETY: SGDT stores ten bytes where it is told.
        unsafe { asm!("sgdt [{}]", in(reg) pointer.as_mut_ptr(), options(nostack, preserves_flags)) };
        super::super::idt::split_pointer(pointer)
    }

    /// Makes user data present, and ring 3's, again, which two of the monitor's `fault` kinds undo.
    pub fn restore_user_data() {
        const PRESENT_DPL_3: u64 = 0b111 << 45;
        let _pin = InterruptsOff::new();
        // SAFETY: the slot is within this CPU's table; the CPU reads it only when a selector is loaded.
        unsafe {
            let slot = gdt_at(percpu::gs_base()).add(USER_DS as usize / 8);
            slot.write_volatile(slot.read_volatile() | PRESENT_DPL_3);
        }
    }

    const SLOTS: usize = GDT_SIZE as usize / 8;

    /// The slots of this CPU's table.
    pub fn slots() -> impl Iterator<Item = (usize, Descriptor)> {
        let mut index = 0;
        core::iter::from_fn(move || {
            // SAFETY: the table is only written before its CPU runs, and by LTR (the busy bit).
            let table = unsafe { core::ptr::read_volatile(gdt_at(percpu::gs_base()).cast::<[u64; SLOTS]>()) };
            let low = *table.get(index)?;
            let descriptor = Descriptor { low, high: table.get(index + 1).copied().unwrap_or(0) };
            let at = index;
            index += if descriptor.is_system() { 2 } else { 1 };
            Some((at * 8, descriptor))
        })
    }
}

#[cfg(target_os = "none")]
pub use live::*;

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn decodes_the_segments_of_the_table() {
        let text = |low, high| format!("{}", Descriptor { low, high });
        assert_eq!(text(0, 0), "null");
        assert_eq!(text(0x00AF_9B00_0000_FFFF, 0), "64-bit code, ring 0, base 0x0, limit 0xffffffff");
        assert_eq!(text(0x00CF_F300_0000_FFFF, 0), "data, ring 3, base 0x0, limit 0xffffffff");
        assert_eq!(text(0x00CF_7300_0000_FFFF, 0), "data, ring 3, base 0x0, limit 0xffffffff, not present");
    }

    #[test]
    fn puts_the_tss_base_together() {
        let base = 0xFFFF_FFFF_8012_3456u64;
        let low = 0x67 | (base & 0xFF_FFFF) << 16 | 0x8B << 40 | (base >> 24 & 0xFF) << 56;
        let descriptor = Descriptor { low, high: base >> 32 };
        assert_eq!((descriptor.base(), descriptor.limit()), (base, 0x67));
        assert!(descriptor.is_system());
        assert_eq!(format!("{descriptor}"), "64-bit TSS, busy, base 0xffffffff80123456, limit 0x67");
    }
}
