//! What the locks must know of the CPU they run on: which it is, and that nobody schedules away from it.
//!
//! Preemption is off while a per-CPU count is above 0; each lock that spins adds one for as long as it is held. Else a
//! thread could lose its CPU to another one that then spins for the first one's lock until its time is over.
//! On the host each thread of a test is a CPU. In the loader there is one CPU and nothing that preempts.

pub use live::*;

#[cfg(target_os = "none")]
mod live {
    use crate::arch::x86_64::{percpu, preempt, switch};
    use core::sync::atomic::Ordering;

    pub use preempt::{
        depth as preemption_depth, disable as disable_preemption, enable as enable_preemption,
        enable_later as enable_preemption_later, is_wanted,
    };

    /// This CPU's number, from 0.
    #[inline]
    pub fn cpu() -> usize {
        percpu::number()
    }

    /// The task that runs this, as a number: a multiple of 8, and no other living task's. 0 before there are any.
    #[inline]
    pub fn task() -> usize {
        switch::current_thread() as usize
    }

    /// Whether that task runs on `cpu`, as of a moment ago. It is compared and not followed: it may have ended.
    #[inline]
    pub fn runs_on(task: usize, cpu: usize) -> bool {
        percpu::of(cpu).is_some_and(|data| data.thread.load(Ordering::Relaxed) == task as u64)
    }

    /// Whether this is an interrupt handler. With preemption off.
    #[inline]
    pub fn in_handler() -> bool {
        percpu::current().interrupt_depth.load(Ordering::Relaxed) > 0
    }

    /// A breath between two looks at a lock.
    #[inline]
    pub fn pause() {
        core::hint::spin_loop();
    }
}

/// The loader's one CPU.
#[cfg(not(any(test, target_os = "none")))]
mod live {
    pub fn disable_preemption() {}

    pub fn enable_preemption_later() {}

    pub fn enable_preemption() {}

    pub fn preemption_depth() -> u32 {
        0
    }

    pub fn is_wanted() -> bool {
        false
    }

    pub fn cpu() -> usize {
        0
    }

    pub fn task() -> usize {
        0
    }

    pub fn runs_on(_: usize, _: usize) -> bool {
        false
    }

    pub fn in_handler() -> bool {
        false
    }

    pub fn pause() {
        core::hint::spin_loop();
    }
}

#[cfg(test)]
mod live {
    use core::cell::Cell;
    use core::sync::atomic::{AtomicUsize, Ordering};

    std::thread_local! {
        static PREEMPT_COUNT: Cell<u32> = const { Cell::new(0) };
        static CPU: usize = {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            NEXT.fetch_add(1, Ordering::Relaxed)
        };
        static HANDLER: Cell<bool> = const { Cell::new(false) };
    }

    pub fn disable_preemption() {
        PREEMPT_COUNT.with(|count| count.set(count.get() + 1));
    }

    pub fn enable_preemption() {
        PREEMPT_COUNT.with(|count| count.set(count.get() - 1));
    }

    pub fn enable_preemption_later() {
        enable_preemption();
    }

    pub fn preemption_depth() -> u32 {
        PREEMPT_COUNT.with(Cell::get)
    }

    pub fn is_wanted() -> bool {
        false
    }

    /// Threads are numbered as they first ask.
    pub fn cpu() -> usize {
        CPU.with(|&cpu| cpu)
    }

    pub fn in_handler() -> bool {
        HANDLER.with(Cell::get)
    }

    /// For tests: this thread plays an interrupt handler.
    pub fn play_handler(on: bool) {
        HANDLER.with(|flag| flag.set(on));
    }

    /// The host's threads may have one processor between them.
    pub fn pause() {
        std::thread::yield_now();
    }
}
