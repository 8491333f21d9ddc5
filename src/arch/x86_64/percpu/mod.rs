//! Per-CPU data, behind GS.
//!
//! A per-CPU variable is a `static` that every CPU has a copy of. It is declared next to the code that uses it:
//!
//! ```text
//! per_cpu! { static WAKEUPS: u64 = 0; }              WAKEUPS.add(1)
//! ```
//!
//! The linker gathers them in one read-only segment, the template (linker/kernel.ld): their addresses are there, and
//! their initial values, but nobody uses them there. Each CPU has a copy of the whole segment, and its GS base is the
//! distance from the template to that copy. So `gs:[WAKEUPS]`, one instruction, in Rust as in assembly, is the copy of
//! the CPU that executes it:
//!
//! ```text
//! boot CPU's copy            template                       CPU 1's copy
//! in .bss                    .percpu, linked here           PERCPU_BASE, when it is started
//! +-------------+            +-------------+                +-------------+
//! | WAKEUPS 17  | <-- - - -- | WAKEUPS 0   | -- - - - - --> | WAKEUPS 4   |
//! +-------------+  GS base 0 +-------------+   GS base 1    +-------------+
//! ```
//!
//! The boot CPU's copy lies below its template, the others' in a region below the image: so every GS base of the
//! kernel's is in the upper half, by which asm/interrupts.S knows it where the CPU has no RDGSBASE. Ring 3 has a
//! base of its own; SWAPGS exchanges the two on every way in and out.
//!
//! A thread may be moved to another CPU between two instructions. Therefore a reference to "this CPU's" copy is to be
//! had only while that cannot happen ([`Pinned`]: interrupts off, or preemption off), and what works without is a
//! single instruction: reading, writing or adding to a number ([`Variable::get`] and its like). What a CPU changes
//! alone and as a whole is [`Exclusive`].

pub mod area;
pub mod copies;
pub mod pin;
pub mod variable;

pub use area::{PerCpu, VECTORS};
pub use copies::{MAX_CPUS, copies, of};
pub use pin::{InterruptsOff, NoPreemption, Pinned};
pub(crate) use variable::per_cpu;
pub use variable::{Exclusive, Place, Variable};

use core::arch::asm;
use core::mem::offset_of;
use core::sync::atomic::Ordering;

per_cpu! {
    /// What the entry code needs; asm/syscall.S and asm/idle.S know it by this name.
    #[unsafe(export_name = "cpu_data")]
    pub static CPU: PerCpu = PerCpu::new();
}

/// Whether this code runs on top of interrupted code: in a handler, or in work that one has left for its end.
/// Then it must not wait for anything that the interrupted code may hold. False before there are interrupts.
#[inline]
pub fn in_interrupt() -> bool {
    let cpu = current();
    cpu.interrupt_depth.load(Ordering::Relaxed) > 0 || cpu.in_deferred.load(Ordering::Relaxed)
}

/// The number of the CPU that executes this; a moment later, unless something pins the code, it may be another.
#[inline]
pub fn number() -> usize {
    let number: u32;
    // SAFETY: asm/entry.S and asm/trampoline.S have set GS's base before there is Rust code to ask.
    unsafe {
        asm!("mov {:e}, dword ptr gs:[{} + {}]", out(reg) number, sym CPU, const offset_of!(PerCpu, number),
            options(nostack, preserves_flags, readonly));
    }
    number as usize
}

/// This CPU's GS base.
#[inline]
pub fn gs_base() -> u64 {
    let base: u64;
    // SAFETY: as above.
    unsafe {
        asm!("mov {}, qword ptr gs:[{} + {}]", out(reg) base, sym CPU, const offset_of!(PerCpu, gs_base),
            options(nostack, preserves_flags, readonly));
    }
    base
}

/// This CPU's [`PerCpu`], for entry code and interrupt handlers, which run with interrupts off. Elsewhere it may be
/// another CPU's by the time it is used: all of it is atomic, but what is counted is counted at the wrong one.
#[inline]
pub fn current() -> &'static PerCpu {
    // SAFETY: the copy of a CPU that runs is there for good, and a PerCpu may be shared.
    unsafe { &*(&raw const CPU).cast::<PerCpu>().wrapping_byte_add(gs_base() as usize) }
}

/// Makes the boot CPU's copy known, and tells its interrupt stacks whose they are. GS is good since asm/entry.S.
///
/// # Safety
/// Once, on the boot CPU, before interrupts are on.
pub unsafe fn install_boot_cpu() {
    copies::announce(0, gs_base());
    copies::set_online(0);
    // SAFETY: the caller's promise.
    unsafe { super::stacks::set_owner(super::stacks::boot_interrupt_stacks(), gs_base()) };
}
