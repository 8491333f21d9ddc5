//! Deadlocks and other misuse of locks, on purpose: each is named with both places before anybody waits.

use crate::arch::x86_64::tsc;
use crate::kernel::boot_info;
use crate::kernel::locks::Told;
use crate::sync::checks::{self, CHECKED, Violation};
use crate::sync::{IrqLock, Rank, SpinLock};
use crate::task;
use crate::tty::console;
use core::fmt::Write;

/// What can be done wrong.
pub const KINDS: [(&str, fn()); 5] =
    [("rank", rank), ("abba", abba), ("sleep", sleep), ("let-in", let_in), ("irq-off", irq_off)];

static OUTER: SpinLock<()> = SpinLock::new(Rank::SpinOuter, ());
static INNER: SpinLock<()> = SpinLock::new(Rank::SpinInner, ());
static IRQ_OUTER: IrqLock<u32> = IrqLock::new(Rank::IrqOuter, 0);
static IRQ_INNER: IrqLock<u32> = IrqLock::new(Rank::IrqInner, 0);

/// The inner lock first.
#[inline(never)]
fn rank() {
    let _inner = INNER.lock();
    let _outer = OUTER.lock();
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
