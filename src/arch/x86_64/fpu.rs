//! Floating-point and vector state: the area that it is saved to, saving, loading, and forbidding its use.
//!
//! Which instructions do that is CPUID's to say. XSAVE knows all that XCR0 has on, and its area is as large as leaf 0Dh
//! says; XSAVEOPT also leaves out what has not changed since the load. Without XSAVE it is FXSAVE, with 512 bytes for
//! x87 and SSE. XSAVES, which packs its area, is not used: a program's signal handler is shown this state in the other
//! format, which would have to be made of the packed one each time.
//!
//! The kernel itself is built without all of this. [`reset`] is for experiments of the monitor.
//! Source: Intel SDM vol. 1 §8.1.5 (x87 control word), §10.2.3 (MXCSR), §10.5.1.1 (FXSAVE's area), §13.4 (XSAVE's area),
//! §13.7 to §13.9 (what XSAVE, XRSTOR and XSAVEOPT do); vol. 2 CPUID leaf 0Dh.

use super::cpu::Features;

#[cfg(target_os = "none")]
/// MXCSR after reset: every exception masked, round to nearest.
const MXCSR_DEFAULT: u32 = 0x1F80;
#[cfg(target_os = "none")]
/// The x87 control word after FNINIT: every exception masked, full precision.
const FCW_DEFAULT: u16 = 0x037F;

/// Bytes of x87 and SSE: all of FXSAVE's area, and the beginning of XSAVE's.
const LEGACY_SIZE: usize = 512;
/// Bytes of the header behind them, in XSAVE's.
const HEADER_SIZE: usize = 64;
/// What XSAVE wants its area to begin at a multiple of.
pub const ALIGN: usize = 64;

/// How state is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum By {
    Fxsave = 0,
    Xsave = 1,
    Xsaveopt = 2,
}

impl By {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fxsave => "FXSAVE",
            Self::Xsave => "XSAVE",
            Self::Xsaveopt => "XSAVEOPT",
        }
    }
}

/// How, and how many bytes that takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub by: By,
    pub size: usize,
}

impl Layout {
    /// For a CPU with these features, whose leaf 0Dh says `enabled_size` (EBX) for what is on in XCR0.
    pub const fn of(features: Features, enabled_size: u32) -> Self {
        if !features.contains(Features::XSAVE) {
            return Self { by: By::Fxsave, size: LEGACY_SIZE };
        }
        let least = LEGACY_SIZE + HEADER_SIZE;
        let size = if enabled_size as usize > least { enabled_size as usize } else { least };
        let by = if features.contains(Features::XSAVEOPT) { By::Xsaveopt } else { By::Xsave };
        Self { by, size }
    }
}

/// An area. Its length is the layout's; this is what all of them begin with.
#[repr(C, align(64))]
pub struct Area {
    /// The x87 control word.
    control: u16,
    /// What state there is of x87; zeros are an empty stack.
    x87: [u8; 22],
    mxcsr: u32,
    rest: [u8; LEGACY_SIZE - 28],
}

#[cfg(target_os = "none")]
pub use live::*;

#[cfg(target_os = "none")]
mod live {
    use super::{Area, By, FCW_DEFAULT, Features, HEADER_SIZE, LEGACY_SIZE, Layout, MXCSR_DEFAULT};
    use crate::arch::x86_64::cpu;
    use crate::arch::x86_64::cr::Cr0;
    use core::arch::asm;
    use core::ptr::NonNull;
    use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

    static BY: AtomicU8 = AtomicU8::new(By::Fxsave as u8);
    /// 0 until somebody has asked.
    static SIZE: AtomicUsize = AtomicUsize::new(0);

    /// This machine's: of the boot CPU, with what it has on in XCR0, and the same on all others.
    pub fn layout() -> Layout {
        let size = SIZE.load(Ordering::Acquire);
        if size != 0 {
            let by = match BY.load(Ordering::Relaxed) {
                0 => By::Fxsave,
                1 => By::Xsave,
                _ => By::Xsaveopt,
            };
            return Layout { by, size };
        }
        let features = Features::detect();
        let enabled = if features.contains(Features::XSAVE) { cpu::cpuid(0xD, 0).ebx } else { 0 };
        let layout = Layout::of(features, enabled);
        BY.store(layout.by as u8, Ordering::Relaxed);
        SIZE.store(layout.size, Ordering::Release);
        layout
    }

    /// Writes the state after reset into an area.
    ///
    /// # Safety
    /// It is memory of the layout's size and alignment, and nobody else's.
    pub unsafe fn initialise(area: NonNull<Area>) {
        // SAFETY: the caller's promise. XRSTOR takes what its header does not list, that is all, for initial, and MXCSR
        // from here in any case.
        unsafe {
            area.cast::<u8>().write_bytes(0, layout().size);
            (*area.as_ptr()).control = FCW_DEFAULT;
            (*area.as_ptr()).mxcsr = MXCSR_DEFAULT;
        }
    }

    /// The same for an area that has had a state before. XRSTOR does not look at what the header does not list, so that is
    /// left as it is.
    ///
    /// # Safety
    /// The area is nobody else's, and has been [`initialise`]d.
    pub unsafe fn clear(area: NonNull<Area>) {
        // SAFETY: the caller's promise; where it is not by FXSAVE there is a header behind the legacy part.
        unsafe {
            if BY.load(Ordering::Relaxed) == By::Fxsave as u8 {
                return initialise(area);
            }
            area.cast::<u8>().add(LEGACY_SIZE).write_bytes(0, HEADER_SIZE);
            (*area.as_ptr()).control = FCW_DEFAULT;
            (*area.as_ptr()).mxcsr = MXCSR_DEFAULT;
        }
    }

    /// Saves this CPU's state.
    ///
    /// # Safety
    /// The area is nobody else's, has been [`initialise`]d, and CR0.TS is clear.
    #[inline]
    pub unsafe fn save(area: NonNull<Area>) {
        let area = area.as_ptr();
        // SAFETY: the caller's promise; `layout` has found that the instruction exists. All bits of the mask: all that
        // XCR0 has.
        unsafe {
            match BY.load(Ordering::Relaxed) {
                0 => asm!("fxsave64 [{}]", in(reg) area, options(nostack, preserves_flags)),
                1 => asm!("xsave64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX,
                    options(nostack, preserves_flags)),
                _ => asm!("xsaveopt64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX,
                    options(nostack, preserves_flags)),
            }
        }
    }

    /// Loads a state into this CPU.
    ///
    /// # Safety
    /// It is one that [`save`] or [`initialise`] wrote, and CR0.TS is clear.
    #[inline]
    pub unsafe fn load(area: NonNull<Area>) {
        let area = area.as_ptr();
        // SAFETY: the caller's promise: neither a reserved bit of MXCSR nor one of the header's is set, so it cannot
        // fault. The kernel keeps nothing in these registers.
        unsafe {
            match BY.load(Ordering::Relaxed) {
                0 => asm!("fxrstor64 [{}]", in(reg) area, options(nostack, preserves_flags)),
                _ => asm!("xrstor64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX,
                    options(nostack, preserves_flags)),
            }
        }
    }

    /// What FXSAVE saves, MXCSR's mask among it. With interrupts off.
    pub fn legacy(to: &mut [u8; LEGACY_SIZE]) {
        #[repr(align(16))]
        struct Aligned([u8; LEGACY_SIZE]);
        let mut area = Aligned([0; LEGACY_SIZE]);
        let ts = Cr0::read() & Cr0::TS;
        allow();
        // SAFETY: 512 bytes, aligned to 16; TS is clear.
        unsafe { asm!("fxsave64 [{}]", in(reg) &mut area, options(nostack, preserves_flags)) };
        if !ts.is_empty() {
            forbid();
        }
        *to = area.0;
    }

    /// From here on x87 and SSE instructions work.
    #[inline]
    pub fn allow() {
        // SAFETY: clears CR0.TS and does nothing else.
        unsafe { asm!("clts", options(nostack, preserves_flags)) };
    }

    /// From here on the first x87 or SSE instruction is #NM.
    pub fn forbid() {
        // SAFETY: the kernel has no such instruction but for the code that calls `allow` first.
        unsafe { (Cr0::read() | Cr0::TS).write() };
    }

    /// Allows it, and puts x87 and SSE control back to their state after reset, with all exceptions masked.
    pub fn reset() {
        allow();
        let mxcsr = MXCSR_DEFAULT;
        // SAFETY: CR4.OSFXSR is set and CR0.TS clear; the thread's own state is nobody else's.
        unsafe { asm!("fninit", "ldmxcsr [{}]", in(reg) &mxcsr, options(nostack)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn the_layout_is_cpuids() {
        let old = Features::FXSR | Features::SSE2;
        assert_eq!(Layout::of(old, 0), Layout { by: By::Fxsave, size: 512 });
        assert_eq!(Layout::of(old | Features::XSAVE, 832), Layout { by: By::Xsave, size: 832 });
        let new = old | Features::XSAVE | Features::XSAVEOPT;
        assert_eq!(Layout::of(new, 2696), Layout { by: By::Xsaveopt, size: 2696 });
        assert_eq!(Layout::of(new, 0).size, 576, "a header always is");
    }

    #[test]
    fn the_area_is_the_manuals() {
        assert_eq!((offset_of!(Area, control), offset_of!(Area, mxcsr)), (0, 24));
        assert_eq!((size_of::<Area>(), align_of::<Area>()), (LEGACY_SIZE, ALIGN));
    }
}
