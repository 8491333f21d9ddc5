//! Instructions that are put into the kernel's text once it is known what this CPU has.
//!
//! A test and a branch in every interrupt and every copy, for an answer that never changes, is what this saves. The
//! image holds no-ops, which run everywhere; the table (.patches, made by the PATCH macros of asm/macros.h) says what
//! is to stand there instead, and for which reason.
//!
//! Text is read-only by its page-table entries, by every one of its addresses. It is written here with CR0.WP clear,
//! interrupts off, before there is a second CPU: no mapping is ever writable and executable.
//! Source: Intel SDM vol. 3 §8.1.3 (self-modifying code), §2.5 (CR0.WP).

pub mod kinds;

#[cfg(target_os = "none")]
pub use live::apply;

#[cfg(target_os = "none")]
mod live {
    use super::super::cpu;
    use super::super::cr::Cr0;
    use super::super::interrupts;

    /// As asm/macros.h writes it.
    #[repr(C)]
    struct Patch {
        site: u64,
        kind: u32,
        len: u32,
        bytes: [u8; 8],
    }

    unsafe extern "C" {
        /// linker/kernel.ld
        static __patches_start: [Patch; 0];
        static __patches_end: [Patch; 0];
    }

    fn table() -> &'static [Patch] {
        let start = &raw const __patches_start;
        let bytes = (&raw const __patches_end).addr() - start.addr();
        // SAFETY: the linker script puts both symbols around whole entries in read-only memory.
        unsafe { core::slice::from_raw_parts(start.cast(), bytes / size_of::<Patch>()) }
    }

    /// Puts in all patches of a kind; returns how many there are. What stands there already is left alone, so that a
    /// second CPU may ask again.
    ///
    /// # Safety
    /// The instructions are good for every CPU that runs this kernel. While something is left to be written, no other
    /// CPU runs.
    pub unsafe fn apply(kind: u64) -> usize {
        let mut count = 0;
        for patch in table().iter().filter(|patch| u64::from(patch.kind) == kind) {
            count += 1;
            let new = &patch.bytes[..patch.len as usize];
            let site = patch.site as *mut u8;
            // SAFETY: the table's sites are `len` bytes of the kernel's text.
            if unsafe { core::slice::from_raw_parts(site, new.len()) } != new {
                // SAFETY: the caller's promise.
                unsafe { write(site, new) };
            }
        }
        // A serialising instruction, before any of it is executed.
        cpu::cpuid(0, 0);
        count
    }

    /// # Safety
    /// As for [`apply`].
    unsafe fn write(site: *mut u8, new: &[u8]) {
        let were_on = interrupts::disable();
        let cr0 = Cr0::read();
        // SAFETY: WP only keeps ring 0 from writing to read-only pages, and here nothing else is written meanwhile. An
        // NMI in between runs the same code as ever: none of it is half written, since it patches nothing.
        unsafe {
            (cr0 - Cr0::WP).write();
            for (index, &byte) in new.iter().enumerate() {
                site.add(index).write_volatile(byte);
            }
            cr0.write();
        }
        interrupts::restore(were_on);
    }
}
