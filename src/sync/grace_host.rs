//! The kernel's epochs in the host's tests (`grace` on the machine): each thread is a CPU for as long as it lives, and idle
//! whenever it is in no read section.

use super::epoch::{Cpus, Epochs};
use super::hooks;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};

/// The tests'.
pub static EPOCHS: Epochs<Here, CPUS_MAX> = Epochs::new();

/// A read section of them.
pub type Reading<'a> = super::epoch::Reading<'a, Here, CPUS_MAX>;

/// Threads that are there at a time, at most.
pub const CPUS_MAX: usize = 256;

static TAKEN: [AtomicBool; CPUS_MAX] = [const { AtomicBool::new(false) }; CPUS_MAX];

/// A thread's number, which the next one gets when it has ended.
struct Number(usize);

impl Number {
    fn new() -> Self {
        let free = |taken: &AtomicBool| !taken.swap(true, Ordering::AcqRel);
        Self(TAKEN.iter().position(free).expect("fewer threads than that"))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        TAKEN[self.0].store(false, Ordering::Release);
    }
}

std::thread_local! {
    static NUMBER: Number = Number::new();
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// The threads of a test.
pub struct Here;

impl Cpus for Here {
    fn count() -> usize {
        CPUS_MAX
    }

    fn current() -> usize {
        NUMBER.with(|number| number.0)
    }

    fn disable_preemption() {
        hooks::disable_preemption();
        if DEPTH.with(|depth| depth.replace(depth.get() + 1)) == 0 {
            EPOCHS.leave_idle();
        }
    }

    fn enable_preemption() {
        if DEPTH.with(|depth| depth.replace(depth.get() - 1)) == 1 {
            EPOCHS.enter_idle();
        }
        hooks::enable_preemption();
    }

    fn preemption_depth() -> u32 {
        DEPTH.with(Cell::get)
    }

    fn relax() {
        std::thread::yield_now();
    }
}
