//! Deadlocks and other misuse of locks, on purpose: each is named with both places before anybody waits.

use crate::arch::x86_64::percpu::copies;
use crate::arch::x86_64::tsc;
use crate::kernel::boot_info;
use crate::kernel::locks::Told;
use crate::platform::{Machine, Platform};
use crate::sync::checks::{self, CHECKED, Violation};
use crate::sync::{IrqLock, Mutex, Rank, SpinLock};
use crate::task::thread::Entry;
use crate::task::{self, JoinHandle, Policy};
use crate::tty::console;
use core::fmt::Write;

/// What can be done wrong.
pub const KINDS: [(&str, fn()); 6] = [
    ("rank", rank),
    ("mutex", mutex),
    ("abba", abba),
    ("sleep", sleep),
    ("let-in", let_in),
    ("irq-off", irq_off),
];

/// What stops a CPU, for the watchdog to see.
pub const STUCK: [(&str, Entry); 2] = [("irq-stuck", irq_stuck), ("preempt-stuck", preempt_stuck)];

static OUTER: SpinLock<()> = SpinLock::new(Rank::SpinOuter, ());
static INNER: SpinLock<()> = SpinLock::new(Rank::SpinInner, ());
static SLEEP_OUTER: Mutex<()> = Mutex::new(Rank::SleepOuter, ());
static SLEEP_INNER: Mutex<()> = Mutex::new(Rank::SleepInner, ());
static IRQ_OUTER: IrqLock<u32> = IrqLock::new(Rank::IrqOuter, 0);
static IRQ_INNER: IrqLock<u32> = IrqLock::new(Rank::IrqInner, 0);

/// The inner lock first.
#[inline(never)]
fn rank() {
    let _inner = INNER.lock();
    let _outer = OUTER.lock();
}

/// The same with locks that sleep, while another thread has both in the right order, which is no matter of this one's.
#[inline(never)]
fn mutex() {
    let other = task::spawn(
        "right",
        Policy::Fifo(1),
        |_| {
            let _outer = SLEEP_OUTER.lock();
            drop(SLEEP_INNER.lock());
            0
        },
        0,
    );
    _ = other.map(JoinHandle::join);
    let _inner = SLEEP_INNER.lock();
    let _outer = SLEEP_OUTER.lock();
}

/// One goes from A to B, the other from B to A. Only one of them can be right, whether they meet or not.
#[inline(never)]
fn abba() {
    fn a_to_b() {
        let mut a = IRQ_OUTER.lock();
        *a += *IRQ_INNER.lock();
    }
    fn b_to_a() {
        let mut b = IRQ_INNER.lock();
        *b += *IRQ_OUTER.lock();
    }
    a_to_b();
    b_to_a();
}

/// Sleeps under a spin lock.
#[inline(never)]
fn sleep() {
    let _guard = OUTER.lock();
    task::unpark(&task::current());
    task::park();
}

/// Gives the outer of two locks back first: interrupts come on again under the inner one.
#[inline(never)]
fn let_in() {
    let outer = IRQ_OUTER.lock();
    let inner = IRQ_INNER.lock();
    drop(outer);
    drop(inner);
}

/// Interrupts are off for 11 seconds.
#[inline(never)]
fn irq_off() {
    let _guard = IRQ_OUTER.lock();
    tsc::wait(boot_info::get().times.tsc_hz * 11);
}

/// How long a CPU is stuck: until the watchdog has seen that for sure.
const STUCK_NS: u64 = 14_000_000_000;

/// Interrupts are off for 14 seconds, on the CPU that this thread is for.
#[inline(never)]
fn irq_stuck(_: usize) -> usize {
    let _guard = IRQ_OUTER.lock();
    spin();
    0
}

/// Preemption is off for 14 seconds, and interrupts are on.
#[inline(never)]
fn preempt_stuck(_: usize) -> usize {
    let _guard = OUTER.lock();
    spin();
    0
}

/// By the clock, which is read without a lock.
#[inline(never)]
fn spin() {
    let end_ns = Machine::now_ns() + STUCK_NS;
    while Machine::now_ns() < end_ns {
        core::hint::spin_loop();
    }
}

/// Has a CPU stuck. The log tells of it meanwhile.
pub fn stop(entry: Entry, cpu: usize, out: &mut dyn Write) {
    if !copies::is_online(cpu) {
        let _ = writeln!(out, "  there is no CPU {cpu} that runs");
        return;
    }
    match task::spawn_on(cpu, "stuck", Policy::Normal(0), entry, 0) {
        Ok(thread) => _ = thread.join(),
        Err(_) => _ = writeln!(out, "  no memory for a thread"),
    }
}

fn report(found: &Violation) {
    let _ = writeln!(console::Output, "  {}", Told(found));
}

pub fn run(provoke: fn(), out: &mut dyn Write) {
    if !CHECKED {
        let _ = writeln!(out, "  this build does not watch its locks; a debug build does");
        return;
    }
    checks::on_violation(Some(report));
    provoke();
    checks::on_violation(None);
}
