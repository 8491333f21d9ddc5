//! How a chip's driver reaches its registers: ports, memory, or model-specific registers.
//!
//! The drivers beside this file (8259A, local APIC, I/O APIC, 8254, HPET, RTC) are generic over these small traits,
//! so that their logic runs on the host against models of the registers. Here, too, are the real ones.
//! They are made by `unsafe` constructors, once, by the code that brings the machine up; from then on a
//! driver needs no `unsafe` of its own.
//!
//! Source: Intel SDM vol. 1 §19 (I/O ports), vol. 3 §11 (memory types: device registers are mapped uncached),
//! vol. 4 (MSRs).

/// I/O ports.
pub trait Ports {
    fn read8(&self, port: u16) -> u8;
    fn read16(&self, port: u16) -> u16;
    fn read32(&self, port: u16) -> u32;
    fn write8(&self, port: u16, value: u8);
    fn write16(&self, port: u16, value: u16);
    fn write32(&self, port: u16, value: u32);
}

/// A block of device registers in memory that take 32-bit accesses. Offsets are in bytes, multiples of 4.
pub trait Mmio32 {
    fn read(&self, offset: u32) -> u32;
    fn write(&self, offset: u32, value: u32);
}

/// The model-specific registers of the CPU that runs the code.
pub trait Msrs {
    fn read(&self, n: u32) -> u64;
    fn write(&self, n: u32, value: u64);

    /// Holds back later writes until all earlier stores are visible and all earlier instructions done. Most
    /// WRMSRs do that by themselves; those to the x2APIC's registers and to IA32_TSC_DEADLINE do not
    /// (SDM vol. 3 §10.12.3 and §10.5.4.1).
    fn fence(&self);
}

impl<T: Ports + ?Sized> Ports for &T {
    fn read8(&self, port: u16) -> u8 {
        (**self).read8(port)
    }
    fn read16(&self, port: u16) -> u16 {
        (**self).read16(port)
    }
    fn read32(&self, port: u16) -> u32 {
        (**self).read32(port)
    }
    fn write8(&self, port: u16, value: u8) {
        (**self).write8(port, value);
    }
    fn write16(&self, port: u16, value: u16) {
        (**self).write16(port, value);
    }
    fn write32(&self, port: u16, value: u32) {
        (**self).write32(port, value);
    }
}

impl<T: Mmio32 + ?Sized> Mmio32 for &T {
    fn read(&self, offset: u32) -> u32 {
        (**self).read(offset)
    }
    fn write(&self, offset: u32, value: u32) {
        (**self).write(offset, value);
    }
}

impl<T: Msrs + ?Sized> Msrs for &T {
    fn read(&self, n: u32) -> u64 {
        (**self).read(n)
    }
    fn write(&self, n: u32, value: u64) {
        (**self).write(n, value);
    }
    fn fence(&self) {
        (**self).fence();
    }
}

/// Device registers in memory, at an address where they are mapped.
#[derive(Clone, Copy, Debug)]
pub struct MappedRegisters {
    base: usize,
    bytes: u32,
}

impl MappedRegisters {
    /// # Safety
    /// `base` is a multiple of 4; the `bytes` from it are mapped, writable and uncached for as long as
    /// the value or a copy of it lives, and belong to a device that the caller owns. No access to them
    /// harms memory: the device does not master the bus.
    pub const unsafe fn new(base: usize, bytes: u32) -> Self {
        Self { base, bytes }
    }

    /// The address of a register. The check stays in release builds: beside an access to a device its cost is
    /// nothing, and the compiler drops it where offset and size are constants.
    #[inline]
    fn at(&self, offset: u32) -> *mut u32 {
        let inside = self.bytes.checked_sub(offset).is_some_and(|left| left >= 4);
        assert!(inside && offset % 4 == 0, "register outside the device");
        (self.base + offset as usize) as *mut u32
    }
}

impl Mmio32 for MappedRegisters {
    #[inline]
    fn read(&self, offset: u32) -> u32 {
        // SAFETY: `at` stays within the mapping that `new`'s caller vouched for, and aligned.
        unsafe { self.at(offset).read_volatile() }
    }

    #[inline]
    fn write(&self, offset: u32, value: u32) {
        // SAFETY: as in `read`.
        unsafe { self.at(offset).write_volatile(value) }
    }
}

#[cfg(not(target_os = "linux"))]
pub use real_ports::RealPorts;

#[cfg(not(target_os = "linux"))]
mod real_ports {
    use super::Ports;
    use crate::arch::x86_64::port;

    /// The machine's I/O ports.
    #[derive(Clone, Copy, Debug)]
    pub struct RealPorts(());

    impl RealPorts {
        /// # Safety
        /// Who gets it, or a copy, touches the ports of devices that it owns only, and no access to them harms
        /// memory.
        pub const unsafe fn new() -> Self {
            Self(())
        }
    }

    impl Ports for RealPorts {
        #[inline]
        fn read8(&self, port: u16) -> u8 {
            // SAFETY: `new`'s caller vouched for the ports that are touched. So below.
            unsafe { port::inb(port) }
        }
        #[inline]
        fn read16(&self, port: u16) -> u16 {
            // SAFETY: as in `read8`.
            unsafe { port::inw(port) }
        }
        #[inline]
        fn read32(&self, port: u16) -> u32 {
            // SAFETY: as in `read8`.
            unsafe { port::inl(port) }
        }
        #[inline]
        fn write8(&self, port: u16, value: u8) {
            // SAFETY: as in `read8`.
            unsafe { port::outb(port, value) }
        }
        #[inline]
        fn write16(&self, port: u16, value: u16) {
            // SAFETY: as in `read8`.
            unsafe { port::outw(port, value) }
        }
        #[inline]
        fn write32(&self, port: u16, value: u32) {
            // SAFETY: as in `read8`.
            unsafe { port::outl(port, value) }
        }
    }
}

#[cfg(target_os = "none")]
pub use real_msrs::RealMsrs;

#[cfg(target_os = "none")]
mod real_msrs {
    use super::Msrs;
    use crate::arch::x86_64::msr;
    use core::arch::asm;

    /// The CPU's model-specific registers.
    #[derive(Clone, Copy, Debug)]
    pub struct RealMsrs(());

    impl RealMsrs {
        /// # Safety
        /// Who gets it, or a copy, touches only MSRs that this CPU has, with values that they take and
        /// running code survives.
        pub const unsafe fn new() -> Self {
            Self(())
        }
    }

    impl Msrs for RealMsrs {
        #[inline]
        fn read(&self, n: u32) -> u64 {
            // SAFETY: `new`'s caller vouched for the registers that are touched.
            unsafe { msr::rdmsr(n) }
        }
        #[inline]
        fn write(&self, n: u32, value: u64) {
            // SAFETY: as in `read`.
            unsafe { msr::wrmsr(n, value) }
        }
        #[inline]
        fn fence(&self) {
            // SAFETY: fences exist on every x86_64 CPU and change no state; without `nomem`, so that the
            // compiler, too, keeps stores before it.
            unsafe { asm!("mfence", "lfence", options(nostack, preserves_flags)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_registers_are_read_and_written_in_place() {
        let mut memory = [1u32, 2, 3, 4];
        // SAFETY: the array outlives its use here, and is ordinary memory.
        let registers = unsafe { MappedRegisters::new(memory.as_mut_ptr() as usize, 16) };
        assert_eq!((registers.read(0), registers.read(12)), (1, 4));
        registers.write(8, 33);
        assert_eq!(memory, [1, 2, 33, 4]);
    }

    #[test]
    fn nothing_outside_the_mapping_is_touched() {
        for offset in [1, 2, 13, 16, 20, u32::MAX - 3, u32::MAX] {
            let out = std::panic::catch_unwind(|| {
                // SAFETY: never accessed, which is what this test is about.
                unsafe { MappedRegisters::new(8, 16) }.read(offset)
            });
            assert!(out.is_err(), "{offset:#x}");
        }
    }
}
