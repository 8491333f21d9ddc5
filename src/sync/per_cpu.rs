//! One of something for each CPU, used by that CPU alone and with interrupts off.

use crate::arch::x86_64::interrupts;
#[cfg(target_os = "none")]
use crate::arch::x86_64::percpu;
use core::cell::UnsafeCell;

/// CPUs that the kernel runs on.
pub const CPUS: usize = 1;

/// The values.
pub struct PerCpuCell<T> {
    values: [UnsafeCell<T>; CPUS],
}

// SAFETY: a CPU reaches its own value only, and in `with` alone.
unsafe impl<T: Send> Sync for PerCpuCell<T> {}

impl<T> PerCpuCell<T> {
    pub const fn new(values: [UnsafeCell<T>; CPUS]) -> Self {
        Self { values }
    }

    /// Calls `use_it` with this CPU's value and interrupts off. It must not come here again for the same value.
    #[inline]
    pub fn with<R>(&self, use_it: impl FnOnce(&mut T) -> R) -> R {
        let were_on = interrupts::disable();
        // SAFETY: this CPU's own, and nothing can interrupt; `use_it` does not come here again, as it was told.
        let result = use_it(unsafe { &mut *self.values[number()].get() });
        interrupts::restore(were_on);
        result
    }
}

#[cfg(target_os = "none")]
#[inline]
fn number() -> usize {
    if CPUS == 1 { 0 } else { percpu::current().number as usize }
}

#[cfg(not(target_os = "none"))]
fn number() -> usize {
    0
}
