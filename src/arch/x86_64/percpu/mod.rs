//! Per-CPU data, behind GS.
//!
//! In the kernel the base of GS is the address of this CPU's [`PerCpu`], whose first word is that address
//! itself, so that `mov rax, gs:[0]` yields a pointer. Ring 3 will have a GS base of its own; SWAPGS exchanges
//! the two on every way in and out (asm/interrupts.S).
//!
//! One CPU for now.

pub mod area;

pub use area::{PerCpu, VECTORS};
use core::arch::asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, Ordering};

static BOOT_CPU: PerCpu = PerCpu::new(0);

/// Set once GS is good.
static READY: AtomicBool = AtomicBool::new(false);

/// Whether this code runs on top of interrupted code: in a handler, or in work that one has left for its end.
/// Then it must not wait for anything that the interrupted code may hold. False before there are interrupts.
pub fn in_interrupt() -> bool {
    if !READY.load(Ordering::Relaxed) {
        return false;
    }
    let cpu = current();
    cpu.interrupt_depth.load(Ordering::Relaxed) > 0 || cpu.in_deferred.load(Ordering::Relaxed)
}

/// This CPU's data.
#[inline]
pub fn current() -> &'static PerCpu {
    let this: *const PerCpu;
    // SAFETY: `install_boot_cpu` runs before anything that asks; every entry into the kernel brings GS back.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) this, options(nostack, preserves_flags, readonly));
        &*this
    }
}

/// [`PerCpu::heap`] of this CPU, in one instruction: two would want interrupts off between them.
#[inline]
pub fn heap() -> *mut () {
    let heap;
    // SAFETY: as above.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) heap, const offset_of!(PerCpu, heap),
            options(nostack, preserves_flags, readonly));
    }
    heap
}

/// [`current`], or `None` while GS is not set up.
pub fn try_current() -> Option<&'static PerCpu> {
    READY.load(Ordering::Relaxed).then(current)
}

/// Makes GS point at the boot CPU's data, and tells its interrupt stacks whose they are.
///
/// # Safety
/// Once, on the boot CPU, before the first call of [`current`] and before interrupts are on.
pub unsafe fn install_boot_cpu() {
    use super::msr::{self, numbers};
    let address = &raw const BOOT_CPU as u64;
    // SAFETY: nobody else has the data yet; both MSRs exist in long mode.
    unsafe {
        *BOOT_CPU.this.get() = address;
        super::stacks::set_owner(address);
        msr::wrmsr(numbers::IA32_GS_BASE, address);
        msr::wrmsr(numbers::IA32_KERNEL_GS_BASE, 0);
    }
    READY.store(true, Ordering::Relaxed);
}
