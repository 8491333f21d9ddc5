//! What the hot paths cost, in ticks of the time-stamp counter.
//!
//! Under QEMU's -icount that counter counts guest instructions, and `make bench` (test/bench.py) makes a table of what
//! `bench` prints. On hardware the ticks are cycles, more or less, and include whatever came in between.

mod cpus;
mod files;
mod locks;
mod memory;
mod paging;
mod ring3;
mod space;
mod threads;

use crate::arch::x86_64::{idle, interrupts, tsc};
use crate::platform::pc::vectors;
use crate::platform::{Machine, Platform, timers};
use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Ticks of the time-stamp counter for one operation.
    Ticks,
    /// Nanoseconds of the clock.
    Nanoseconds,
}

/// A measurement. `None` from it: this machine cannot do that.
pub struct Bench {
    pub name: &'static str,
    pub about: &'static str,
    pub unit: Unit,
    /// Returns hundredths of a unit.
    pub run: fn() -> Option<u64>,
}

/// All of them.
pub const TABLE: &[Bench] = &[
    Bench {
        name: "interrupt",
        about: "interrupt in ring 0, entry to exit, empty handler",
        unit: Unit::Ticks,
        run: interrupt,
    },
    Bench { name: "clock", about: "read the clock", unit: Unit::Ticks, run: clock },
    Bench { name: "timer", about: "arm a timer and take it back", unit: Unit::Ticks, run: timer },
    Bench {
        name: "expiry",
        about: "from a timer's time to its handler",
        unit: Unit::Nanoseconds,
        run: expiry,
    },
    Bench { name: "frame", about: "allocate a frame and free it", unit: Unit::Ticks, run: memory::frame },
    Bench { name: "heap", about: "allocate 64 bytes and free them", unit: Unit::Ticks, run: memory::heap },
    Bench {
        name: "map",
        about: "map 64 pages of the kernel's and unmap them, tables included",
        unit: Unit::Ticks,
        run: paging::map,
    },
    Bench {
        name: "mmap",
        about: "mmap 64 pages and munmap them, untouched",
        unit: Unit::Ticks,
        run: space::mmap,
    },
    Bench { name: "fault", about: "bring a page of zeroes", unit: Unit::Ticks, run: space::fault },
    Bench { name: "cow", about: "copy a page on a write", unit: Unit::Ticks, run: space::copy_on_write },
    Bench {
        name: "fork",
        about: "fork an address space of 100 areas, 1,000 pages",
        unit: Unit::Ticks,
        run: space::fork,
    },
    Bench { name: "exit", about: "and give the child's back", unit: Unit::Ticks, run: space::exit },
    Bench {
        name: "spin",
        about: "take a free spin lock and give it back",
        unit: Unit::Ticks,
        run: locks::spin,
    },
    Bench {
        name: "irq-lock",
        about: "the same with interrupts off in between",
        unit: Unit::Ticks,
        run: locks::irq,
    },
    Bench {
        name: "mutex",
        about: "take a free mutex and give it back",
        unit: Unit::Ticks,
        run: locks::mutex,
    },
    Bench {
        name: "epoch",
        about: "look at a table that epochs protect",
        unit: Unit::Ticks,
        run: locks::epoch,
    },
    Bench {
        name: "yield",
        about: "switch to another thread, by yield",
        unit: Unit::Ticks,
        run: threads::switch,
    },
    Bench {
        name: "yield-own",
        about: "the same, with floating point and memory to exchange",
        unit: Unit::Ticks,
        run: threads::switch_owners,
    },
    Bench { name: "syscall", about: "getpid from ring 3, by SYSCALL", unit: Unit::Ticks, run: ring3::call },
    Bench {
        name: "wakeup",
        about: "wake a more urgent thread, to its next instruction",
        unit: Unit::Ticks,
        run: threads::wake_up,
    },
    Bench {
        name: "spawn",
        about: "a thread begins, ends and is joined",
        unit: Unit::Ticks,
        run: threads::spawn_and_join,
    },
    Bench {
        name: "open",
        about: "open and close a file, three names deep, cached",
        unit: Unit::Ticks,
        run: files::open_close,
    },
    Bench { name: "stat", about: "stat of it", unit: Unit::Ticks, run: files::stat },
    Bench { name: "zero", about: "read a byte of /dev/zero", unit: Unit::Ticks, run: files::read_zero },
    Bench { name: "pread", about: "read 4 KiB of a file of tmpfs", unit: Unit::Ticks, run: files::pread },
    Bench {
        name: "pipe",
        about: "write 64 bytes into a FIFO and read them",
        unit: Unit::Ticks,
        run: files::pipe,
    },
    Bench {
        name: "create",
        about: "create a file in tmpfs and unlink it",
        unit: Unit::Ticks,
        run: files::create_unlink,
    },
    Bench {
        name: "readdir",
        about: "open a directory of 1,000 entries and list it",
        unit: Unit::Ticks,
        run: files::readdir,
    },
    Bench {
        name: "call",
        about: "another CPU calls an empty function, and this one waits",
        unit: Unit::Ticks,
        run: cpus::call,
    },
    Bench {
        name: "shootdown",
        about: "all CPUs forget one page of the kernel's",
        unit: Unit::Ticks,
        run: cpus::shootdown,
    },
];

/// Operations that one figure is the mean of.
const OPERATIONS: u64 = 1000;

/// Hundredths of ticks that `operation` takes, with interrupts off, less what the loop around it takes.
fn per_operation(mut operation: impl FnMut()) -> u64 {
    let ticks = |operation: &mut dyn FnMut(u64)| {
        let start = tsc::read_ordered();
        operation(OPERATIONS);
        tsc::read_ordered() - start
    };
    // A debug build, whose figures say nothing, would complain: some of what is measured takes locks that sleep.
    let were_on = !cfg!(debug_assertions) && interrupts::disable();
    let around = ticks(&mut |count| (0..count).for_each(|n| _ = black_box(n)));
    let all = ticks(&mut |count| {
        (0..count).for_each(|n| {
            operation();
            let _ = black_box(n);
        });
    });
    interrupts::restore(were_on);
    all.saturating_sub(around) * 100 / OPERATIONS
}

/// The vector of the measured interrupt: any that `vectors::allocate` would come to last.
const VECTOR: u8 = 0xF0;

fn interrupt() -> Option<u64> {
    // The second time it is ours already.
    let _ = vectors::allocate_at(VECTOR, "bench", |_| {}, 0);
    Some(per_operation(interrupts::raise::<VECTOR>))
}

fn clock() -> Option<u64> {
    Some(per_operation(|| _ = black_box(Machine::now_ns())))
}

fn timer() -> Option<u64> {
    const FAR_NS: u64 = 3_600_000_000_000;
    let far = Machine::now_ns() + FAR_NS;
    // As on a machine that is at work: something earlier is armed.
    let earlier = timers::at(far - FAR_NS / 2, |_| {}, 0).ok()?;
    let result = per_operation(|| {
        let armed = timers::at(black_box(far), |_| {}, 0);
        let _ = black_box(armed.is_ok_and(timers::cancel));
    });
    timers::cancel(earlier);
    Some(result)
}

fn expiry() -> Option<u64> {
    const TRIES: u64 = 100;
    const AHEAD_NS: u64 = 100_000;
    /// When the handler ran; 0 until then.
    static RAN: AtomicU64 = AtomicU64::new(0);
    let mut sum = 0;
    for _ in 0..TRIES {
        RAN.store(0, Ordering::Relaxed);
        let deadline = Machine::now_ns() + AHEAD_NS;
        timers::at(deadline, |_| RAN.store(Machine::now_ns(), Ordering::Relaxed), 0).ok()?;
        loop {
            idle::prepare();
            interrupts::disable();
            if RAN.load(Ordering::Relaxed) != 0 {
                break;
            }
            idle::wait();
        }
        interrupts::enable();
        sum += RAN.load(Ordering::Relaxed).saturating_sub(deadline);
    }
    Some(sum * 100 / TRIES)
}
