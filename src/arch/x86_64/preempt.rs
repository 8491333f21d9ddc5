//! Whether the CPU may be taken from the thread that runs, and whether it should be.
//!
//! One word of each CPU's says both ([`PerCpu::preempt`](super::percpu::PerCpu::preempt)): a count of what forbids it,
//! and above that a bit which is *clear* while another thread is to run. So the word is 0 just when a switch is wanted
//! and allowed, and the three places where that may become true have one comparison to make:
//!
//! ```text
//! the end of an interrupt       asm/interrupts.S, if the interrupted code had interrupts on
//! the count falls to 0          enable, or NoPreemption is dropped
//! interrupts come back          IrqLock, when it is let go
//! ```
//!
//! With interrupts off there is no preemption either, and nothing has to be counted for it. What is wanted in the
//! meantime waits for the first of the three places.
//!
//! The switch itself is the scheduler's, a layer above, which registers it with [`on_wanted`]. On the host there is no
//! preemption, and these do nothing.

#[cfg(target_os = "none")]
mod live {
    use crate::arch::x86_64::frame::TrapFrame;
    use crate::arch::x86_64::interrupts::{self, RFLAGS_IF};
    use crate::arch::x86_64::percpu::area::{PREEMPT_NOT_WANTED, PerCpu};
    use crate::arch::x86_64::percpu::{self, CPU};
    use core::arch::asm;
    use core::mem::offset_of;
    use core::sync::atomic::{AtomicPtr, Ordering};

    const WORD: usize = offset_of!(PerCpu, preempt);

    /// From here on this code keeps the CPU, until [`enable`]. Handlers come all the same.
    #[inline]
    pub fn disable() {
        // SAFETY: GS is this CPU's since the first lines of the kernel; one instruction, so no other CPU's is counted.
        // What follows stays behind it, for it is a barrier to the compiler.
        unsafe { asm!("inc dword ptr gs:[{} + {}]", sym CPU, const WORD, options(nostack)) };
    }

    /// Ends one [`disable`].
    #[inline]
    pub fn enable() {
        let is_zero: u8;
        // SAFETY: as above.
        unsafe {
            asm!("dec dword ptr gs:[{} + {}]", "setz {}", sym CPU, const WORD, out(reg_byte) is_zero, options(nostack));
        }
        if is_zero != 0 {
            wanted();
        }
    }

    /// Ends one [`disable`] where interrupts are off: who turns them on looks whether a switch is wanted.
    #[inline]
    pub fn enable_later() {
        // SAFETY: as above.
        unsafe { asm!("dec dword ptr gs:[{} + {}]", sym CPU, const WORD, options(nostack)) };
    }

    /// Switches, if that is wanted and allowed.
    #[inline]
    pub fn check() {
        let is_zero: u8;
        // SAFETY: as above.
        unsafe {
            asm!("cmp dword ptr gs:[{} + {}], 0", "setz {}", sym CPU, const WORD, out(reg_byte) is_zero, options(nostack));
        }
        if is_zero != 0 {
            wanted();
        }
    }

    /// Another thread is to run on this CPU.
    #[inline]
    pub fn want() {
        // SAFETY: as above.
        unsafe {
            asm!("and dword ptr gs:[{} + {}], {}", sym CPU, const WORD, const !PREEMPT_NOT_WANTED as i32, options(nostack))
        };
    }

    /// The scheduler has looked.
    #[inline]
    pub fn clear() {
        // SAFETY: as above.
        unsafe {
            asm!("or dword ptr gs:[{} + {}], {}", sym CPU, const WORD, const PREEMPT_NOT_WANTED as i32, options(nostack))
        };
    }

    /// Whether another thread is to run on this CPU.
    pub fn is_wanted() -> bool {
        percpu::current().preempt.load(Ordering::Relaxed) & PREEMPT_NOT_WANTED == 0
    }

    /// How many forbid it now.
    #[inline]
    pub fn depth() -> u32 {
        let word: u32;
        // SAFETY: as above.
        unsafe {
            asm!("mov {:e}, dword ptr gs:[{} + {}]", out(reg) word, sym CPU, const WORD,
                options(nostack, preserves_flags, readonly))
        };
        word & !PREEMPT_NOT_WANTED
    }

    /// What switches: `fn()`, called with interrupts off.
    static SWITCH: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

    /// Says who switches. Until then nobody does.
    pub fn on_wanted(switch: fn()) {
        SWITCH.store(switch as *mut (), Ordering::Release);
    }

    /// What looks at a program before it goes on: `fn(&mut TrapFrame)`, called with interrupts off. It need not return.
    static RETURNS: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

    /// Says who looks whether a thread may go to ring 3 after an interrupt at whose end another thread was wanted. Whoever
    /// has something to tell a program has its CPU look for another thread.
    pub fn on_return_to_ring_3(look: fn(&mut TrapFrame)) {
        RETURNS.store(look as *mut (), Ordering::Release);
    }

    /// Before this thread goes to ring 3. With interrupts off.
    fn return_to_ring_3(frame: &mut TrapFrame) {
        let look = RETURNS.load(Ordering::Acquire);
        if !look.is_null() {
            // SAFETY: `on_return_to_ring_3` alone stores there, and what it stores is such a function.
            let look = unsafe { core::mem::transmute::<*mut (), fn(&mut TrapFrame)>(look) };
            look(frame);
        }
    }

    fn switch() {
        let switch = SWITCH.load(Ordering::Acquire);
        if !switch.is_null() {
            // SAFETY: `on_wanted` alone stores there, and what it stores is such a function.
            let switch = unsafe { core::mem::transmute::<*mut (), fn()>(switch) };
            switch();
        }
    }

    #[cold]
    fn wanted() {
        // With interrupts off the caller is not to be disturbed; who turns them on looks again.
        if interrupts::are_on() && !percpu::in_interrupt() {
            interrupts::disable();
            switch();
            interrupts::enable();
        }
    }

    /// Called by asm/interrupts.S at the end of an interrupt, with interrupts off, when a switch is wanted and allowed.
    #[unsafe(no_mangle)]
    extern "sysv64" fn preempt_interrupted(frame: &mut TrapFrame) {
        if frame.rflags & RFLAGS_IF != 0 && !percpu::in_interrupt() {
            switch();
            if frame.cs & 3 != 0 {
                return_to_ring_3(frame);
            }
        }
    }
}

#[cfg(not(target_os = "none"))]
mod live {
    pub fn disable() {}

    pub fn enable() {}

    pub fn enable_later() {}

    pub fn check() {}
}

pub use live::*;

/// As long as it lives, this code keeps the CPU. Not to be sent to another thread.
pub struct NoPreemption(core::marker::PhantomData<*mut ()>);

impl NoPreemption {
    #[inline]
    #[must_use]
    pub fn new() -> Self {
        disable();
        Self(core::marker::PhantomData)
    }
}

impl Default for NoPreemption {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for NoPreemption {
    #[inline]
    fn drop(&mut self) {
        enable();
    }
}
