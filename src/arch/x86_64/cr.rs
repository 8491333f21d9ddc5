//! Control registers, by the names of their bits.
//! Source: Intel SDM vol. 3 §2.5 (CR0, CR2, CR3, CR4) and §2.6 (XCR0).

use bitflags::bitflags;

bitflags! {
    /// CR0.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Cr0: u64 {
        /// Protected mode.
        const PE = 1 << 0;
        /// WAIT honours TS.
        const MP = 1 << 1;
        /// There is no FPU: every x87 instruction traps.
        const EM = 1 << 2;
        /// The FPU's state is somebody else's: the next use of it traps.
        const TS = 1 << 3;
        /// 387 protocol; hard-wired.
        const ET = 1 << 4;
        /// FPU errors as #MF instead of through the 8259.
        const NE = 1 << 5;
        /// Read-only pages are read-only for ring 0 as well.
        const WP = 1 << 16;
        /// RFLAGS.AC checks alignment in ring 3.
        const AM = 1 << 18;
        /// Not write-through.
        const NW = 1 << 29;
        /// Caches off.
        const CD = 1 << 30;
        /// Paging.
        const PG = 1 << 31;
    }
}

bitflags! {
    /// CR4.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Cr4: u64 {
        const VME = 1 << 0;
        const PVI = 1 << 1;
        /// RDTSC in ring 0 only.
        const TSD = 1 << 2;
        /// Debug registers 4 and 5 do not exist.
        const DE = 1 << 3;
        const PSE = 1 << 4;
        const PAE = super::msr::numbers::CR4_PAE;
        /// Machine checks are reported as #MC instead of shutting down.
        const MCE = super::msr::numbers::CR4_MCE;
        /// Global pages survive a load of CR3.
        const PGE = 1 << 7;
        const PCE = 1 << 8;
        /// FXSAVE, and with it SSE, is in use.
        const OSFXSR = 1 << 9;
        /// SSE errors as #XM instead of #UD.
        const OSXMMEXCPT = 1 << 10;
        /// SGDT, SIDT, SLDT, SMSW and STR in ring 0 only.
        const UMIP = 1 << 11;
        /// Five levels of page tables.
        const LA57 = 1 << 12;
        const VMXE = 1 << 13;
        const SMXE = 1 << 14;
        /// RDFSBASE and its three companions in every ring.
        const FSGSBASE = 1 << 16;
        const PCIDE = 1 << 17;
        /// XSAVE and XCR0 are in use.
        const OSXSAVE = 1 << 18;
        /// Ring 0 does not execute user pages.
        const SMEP = 1 << 20;
        /// Ring 0 does not touch user pages unless RFLAGS.AC is set.
        const SMAP = 1 << 21;
        const PKE = 1 << 22;
        const CET = 1 << 23;
        const PKS = 1 << 24;
    }
}

bitflags! {
    /// XCR0: which state XSAVE saves.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Xcr0: u64 {
        const X87 = 1 << 0;
        const SSE = 1 << 1;
        const AVX = 1 << 2;
        /// Mask registers, upper halves of ZMM0-15, ZMM16-31: all three or none.
        const AVX512 = 7 << 5;
    }
}

#[cfg(not(target_os = "linux"))]
mod live {
    use super::{Cr0, Cr4, Xcr0};
    use core::arch::asm;

    macro_rules! read {
        ($name:literal) => {{
            let value: u64;
            // SAFETY: reading a control register in ring 0 has no side effect.
            unsafe { asm!(concat!("mov {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags)) };
            value
        }};
    }

    impl Cr0 {
        pub fn read() -> Self {
            Self::from_bits_retain(read!("cr0"))
        }

        /// # Safety
        /// The change keeps paging and protection as running code needs them.
        pub unsafe fn write(self) {
            // SAFETY: the caller's promise.
            unsafe { asm!("mov cr0, {}", in(reg) self.bits(), options(nostack, preserves_flags)) };
        }
    }

    impl Cr4 {
        pub fn read() -> Self {
            Self::from_bits_retain(read!("cr4"))
        }

        /// # Safety
        /// The CPU has every feature whose bit is set, and running code survives the change.
        pub unsafe fn write(self) {
            // SAFETY: the caller's promise.
            unsafe { asm!("mov cr4, {}", in(reg) self.bits(), options(nostack, preserves_flags)) };
        }
    }

    impl Xcr0 {
        /// # Safety
        /// CR4.OSXSAVE is set.
        pub unsafe fn read() -> Self {
            let (low, high): (u32, u32);
            // SAFETY: XGETBV of register 0 exists once OSXSAVE is set.
            unsafe {
                asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
            }
            Self::from_bits_retain(u64::from(high) << 32 | u64::from(low))
        }

        /// # Safety
        /// CR4.OSXSAVE is set, and CPUID leaf 0Dh lists every bit.
        pub unsafe fn write(self) {
            let bits = self.bits();
            // SAFETY: the caller's promise; a bit that does not exist would be #GP.
            unsafe {
                asm!("xsetbv", in("ecx") 0, in("eax") bits as u32, in("edx") (bits >> 32) as u32,
                    options(nomem, nostack, preserves_flags));
            }
        }
    }

    /// The address of the last page fault.
    pub fn cr2() -> u64 {
        read!("cr2")
    }

    /// Physical address of the PML4, and the flags beside it.
    pub fn cr3() -> u64 {
        read!("cr3")
    }

    /// Goes over to another address space. Translations that are not global are forgotten.
    ///
    /// # Safety
    /// `root` is a top table whose upper half is the kernel's, and stays one as long as it is in CR3. Nothing in the
    /// lower half is needed.
    pub unsafe fn set_cr3(root: u64) {
        // SAFETY: the caller's promise.
        unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags)) };
    }

    /// Local APIC's task priority, as CR8 shows it.
    pub fn cr8() -> u64 {
        read!("cr8")
    }

    /// Stops this CPU, with interrupts off. Only an NMI or a reset ends it.
    pub fn wait_forever() -> ! {
        loop {
            // SAFETY: waiting with interrupts off.
            unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
        }
    }

    /// Forgets every cached translation, global ones included.
    pub fn flush_tlb_all() {
        let cr4 = Cr4::read();
        // SAFETY: PGE is put back as it was; toggling it is the documented way to drop global entries
        // (SDM vol. 3 §4.10.4.1).
        unsafe {
            cr4.difference(Cr4::PGE).write();
            let cr3 = cr3();
            asm!("mov cr3, {}", in(reg) cr3, options(nostack, preserves_flags));
            cr4.write();
        }
    }

    /// Forgets every cached translation that is not global.
    pub fn flush_tlb_user() {
        // SAFETY: the same tables again (SDM vol. 3 §4.10.4.1).
        unsafe { asm!("mov cr3, {}", in(reg) cr3(), options(nostack, preserves_flags)) };
    }

    /// Forgets the translation of the page that holds `address`.
    pub fn flush_tlb_page(address: u64) {
        // SAFETY: INVLPG only drops a cached translation; a non-canonical address is ignored.
        unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(target_os = "linux"))]
pub use live::*;

/// XCR0's bits, which states XSAVE has to do with; `None` where it is not on.
#[cfg(target_os = "none")]
pub fn xcr0() -> Option<u64> {
    // SAFETY: OSXSAVE is set.
    Cr4::read().contains(Cr4::OSXSAVE).then(|| unsafe { Xcr0::read() }.bits())
}
