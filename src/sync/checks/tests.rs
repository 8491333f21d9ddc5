//! Each kind of misuse, committed: it is found, and both places are named.

use super::*;
use crate::sync::rank::Rank;
use crate::sync::{IrqLock, RwLock, SpinLock, hooks};
use core::cell::RefCell;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

std::thread_local! {
    static FOUND: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Keeps a finding for the test that this thread runs in [`findings`].
pub fn collect(found: &Violation) -> bool {
    FOUND.with(|list| list.borrow_mut().as_mut().map(|list| list.push(found.to_string())).is_some())
}

/// What is found while `f` runs.
pub fn findings(f: impl FnOnce()) -> Vec<String> {
    FOUND.with(|list| *list.borrow_mut() = Some(Vec::new()));
    f();
    FOUND.with(|list| list.borrow_mut().take()).unwrap()
}

/// `file:line` of this file.
fn at(line: u32) -> String {
    format!("{}:{line}", file!())
}

#[test]
fn the_right_order_is_silent() {
    let (rw, spin) = (RwLock::new(Rank::SpinOuter, ()), SpinLock::new(Rank::SpinInner, ()));
    let (outer, inner) = (IrqLock::new(Rank::IrqOuter, ()), IrqLock::new(Rank::IrqInner, ()));
    let found = findings(|| {
        let a = rw.read();
        let b = spin.lock();
        let c = outer.lock();
        let d = inner.lock();
        // In which order they are given back does not matter, where interrupts are off in any case.
        drop((b, a, d, c));
        drop(rw.write());
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_wrong_order_names_both_places() {
    let (outer, inner) = (SpinLock::new(Rank::SpinOuter, ()), SpinLock::new(Rank::SpinInner, ()));
    let found = findings(|| {
        let _inner = inner.lock();
        let _outer = outer.lock();
    });
    let line = line!() - 2;
    let expected = format!(
        "lock order: `outer experiment` taken at {}, while `inner experiment`, which must come after it, is held since {}",
        at(line),
        at(line - 1)
    );
    assert_eq!(found, [expected]);
}

/// A then B is right, B then A is not, and neither thread had to wait for that to be seen.
#[test]
fn abba_is_an_order() {
    let (a, b) = (IrqLock::new(Rank::IrqOuter, ()), IrqLock::new(Rank::IrqInner, ()));
    std::thread::scope(|scope| {
        let one = scope.spawn(|| findings(|| drop((a.lock(), b.lock()))));
        assert!(one.join().unwrap().is_empty());
        let other = scope.spawn(|| findings(|| drop((b.lock(), a.lock()))));
        let found = other.join().unwrap();
        assert!(found.len() == 1 && found[0].starts_with("lock order: `outer interrupt"), "{found:?}");
    });
}

#[test]
fn a_group_is_an_order() {
    let (spin, irq) = (SpinLock::new(Rank::SpinInner, ()), IrqLock::new(Rank::IrqOuter, ()));
    let found = findings(|| {
        let _irq = irq.lock();
        drop(spin.lock());
        // What is tried for is not waited for; but it is held then.
        let _spin = spin.try_lock();
    });
    assert!(found.len() == 1 && found[0].starts_with("lock order: `inner experiment`"), "{found:?}");
}

#[test]
fn two_of_one_rank_are_no_order() {
    let locks = [const { RwLock::new(Rank::KernelTables, ()) }; 2];
    let found = findings(|| {
        let _first = locks[0].read();
        let _second = locks[1].read();
    });
    assert!(found.len() == 1 && found[0].contains("`kernel's page tables` taken at"), "{found:?}");
}

#[test]
fn taking_it_again() {
    let lock = RwLock::new(Rank::SpinInner, ());
    let found = findings(|| {
        let _first = lock.read();
        let _second = lock.read();
    });
    let line = line!() - 2;
    let expected = format!(
        "deadlock: `inner experiment` taken at {} by who has it already, since {}",
        at(line),
        at(line - 1)
    );
    assert_eq!(found, [expected]);
}

#[test]
fn in_a_handler() {
    let (spin, irq) = (SpinLock::new(Rank::SpinInner, ()), IrqLock::new(Rank::IrqOuter, ()));
    hooks::play_handler(true);
    let found = findings(|| {
        drop(irq.lock());
        drop(spin.lock());
        drop(spin.try_lock());
        may_sleep();
    });
    hooks::play_handler(false);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("deadlock: `inner experiment` taken at") && found[0].contains("handler"));
    assert_eq!(found[1], format!("sleep at {} in an interrupt handler", at(line!() - 5)));
}

#[test]
fn given_back_by_another() {
    struct Smuggled<T>(T);
    // SAFETY: none; that is what is tested.
    unsafe impl<T> Send for Smuggled<T> {}
    let lock = SpinLock::new(Rank::SpinInner, ());
    std::thread::scope(|scope| {
        let guard = Smuggled(lock.lock());
        let line = line!() - 1;
        let found = scope.spawn(move || {
            let guard = guard;
            // As if preemption had been off here.
            hooks::disable_preemption();
            findings(|| drop(guard.0))
        });
        let expected =
            format!("`inner experiment` given back by who does not have it; it was taken at {}", at(line));
        assert_eq!(found.join().unwrap(), [expected]);
        hooks::enable_preemption();
    });
}

#[test]
fn sleeping() {
    let lock = SpinLock::new(Rank::SpinInner, ());
    let found = findings(|| {
        may_sleep();
        let _guard = lock.lock();
        may_sleep();
    });
    let line = line!() - 2;
    assert_eq!(
        found,
        [format!("sleep at {} while `inner experiment` is held since {}", at(line), at(line - 1))]
    );
    let found = findings(|| {
        hooks::disable_preemption();
        may_sleep();
        hooks::enable_preemption();
    });
    assert!(found.len() == 1 && found[0].ends_with("with interrupts or preemption off"), "{found:?}");
}

#[test]
fn more_locks_than_the_list_holds() {
    let mut held = held::Held::new();
    for n in 0..held::DEPTH {
        held.add(held::Entry { lock: 100 + n, rank: Rank::SpinOuter, place: Place::here() });
    }
    let found = held.refuse(1, Rank::IrqInner, Place::here()).unwrap();
    assert_eq!(found.what, What::TooMany);
    held.add(held::Entry { lock: 1, rank: Rank::IrqInner, place: Place::here() });
    assert!(!held.remove(1) && held.remove(100 + 3) && !held.remove(100 + 3));
    assert_eq!(held.count, held::DEPTH - 1);
    assert_eq!(held.entries()[3].lock, 104);
}

/// Interrupts are never on here, so the functions are called as the locks do on the machine.
#[test]
fn interrupts_off_for_too_long() {
    let before = (HZ.load(Ordering::Relaxed), OFF_LIMIT_NS.load(Ordering::Relaxed));
    set_limits(1_000_000_000, 1_000_000);
    let found = findings(|| {
        interrupts_off(true);
        interrupts_on(true).report();
        interrupts_off(true);
        crate::arch::x86_64::tsc::wait(20_000_000);
        interrupts_on(false).report();
        interrupts_on(true).report();
    });
    set_limits(before.0, before.1);
    // A busy machine may have held up the first as well.
    let last = found.last().unwrap();
    assert!(last.starts_with("interrupts were off for ") && last.ends_with(&at(line!() - 8)), "{found:?}");
}

#[test]
fn interrupts_on_under_a_lock_that_keeps_them_off() {
    let lock = IrqLock::new(Rank::IrqInner, ());
    let found = findings(|| {
        interrupts_off(true);
        let guard = lock.lock();
        interrupts_on(true).report();
        drop(guard);
    });
    assert!(found.len() == 1 && found[0].contains("`inner interrupt experiment` is held since"), "{found:?}");
}
