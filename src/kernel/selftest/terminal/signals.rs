//! Threads that sleep for what does not come, each woken by a signal: `task::interrupt` need not know where they sleep.
//!
//! The question whether a thread has a signal is this test's own meanwhile, and asks whoever was asked before as well.

use super::super::{Outcome, Trouble, check};
use super::{World, read};
use crate::errno::Errno;
use crate::fs::Result;
use crate::fs::flags::OpenFlags;
use crate::fs::mode::{Device, Kind};
use crate::fs::namei::At;
use crate::fs::poll::Watch;
use crate::sync::interrupt::{self, Question};
use crate::sync::parker::NEVER;
use crate::sync::{IrqLock, Rank};
use crate::task::thread::State;
use crate::task::{self, Policy, spawn};
use core::sync::atomic::{AtomicU32, Ordering};

/// The thread that has a signal, by its number plus one.
static MARKED: AtomicU32 = AtomicU32::new(0);
/// What was asked before.
static BEFORE: IrqLock<Option<Question>> = IrqLock::new(Rank::IrqInner, None);

fn is_marked() -> bool {
    let before = *BEFORE.lock();
    MARKED.load(Ordering::Acquire) == task::current().id() + 1 || before.is_some_and(|before| before())
}

/// What a thread does, which nobody will help it with.
type Wait = fn(&World) -> Result<()>;

const WAITS: &[(&str, Wait, Errno)] = &[
    ("who sleeps is not woken", |_| Ok(interrupt::sleep_until(NEVER)?), Errno::Erestart),
    (
        "who reads from a terminal is not woken",
        |world| {
            let master = world.open("ptmx", OpenFlags::empty())?;
            read(&master, &mut [0; 8]).map(|_| ())
        },
        Errno::Erestart,
    ),
    (
        "who opens a FIFO is not woken",
        |world| world.open_for(OpenFlags::empty(), "fifo").map(|_| ()),
        Errno::Erestart,
    ),
    (
        "who reads from a FIFO is not woken",
        |world| {
            let fifo = world.open("fifo", OpenFlags::empty())?;
            read(&fifo, &mut [0; 8]).map(|_| ())
        },
        Errno::Erestart,
    ),
    (
        "who waits for a lock is not woken",
        |world| {
            let (one, other) =
                (world.open("file", OpenFlags::CREAT)?, world.open("file", OpenFlags::empty())?);
            one.locks().flock(&one, Some(true), true)?;
            other.locks().flock(&other, Some(true), true)
        },
        Errno::Erestart,
    ),
    (
        "who polls is not woken",
        |world| {
            let fifo = world.open("fifo", OpenFlags::empty())?;
            let mut watch = Watch::new(1)?;
            fifo.ops().poll(&fifo, Some(&mut watch));
            watch.sleep(NEVER).map(|_| ())
        },
        Errno::Eintr,
    ),
];

/// One of them, as a thread: 0, or the number of the error.
fn wait(number: usize) -> usize {
    let found = World::new().and_then(|world| {
        let fifo = Kind::Fifo.bits() | 0o600;
        world.caller().mknod(At::Cwd, b"fifo", fifo, Device::new(0, 0))?;
        WAITS[number].1(&world)
    });
    found.err().map_or(0, |errno| errno as usize)
}

pub fn run() -> Outcome {
    let before = interrupt::register(Some(is_marked));
    *BEFORE.lock() = before;
    let outcome = (0..WAITS.len()).try_for_each(interrupted);
    interrupt::register(before);
    outcome
}

fn interrupted(number: usize) -> Outcome {
    let thread = spawn("test", Policy::Normal(0), wait, number).map_err(|_| Trouble::Failed("no thread"))?;
    // It sleeps on its way as well, for locks: then the signal is there before it is asked for.
    while thread.thread().state() != State::Parked {
        task::yield_now();
    }
    // For nothing: it sleeps on.
    task::interrupt(thread.thread());
    MARKED.store(thread.thread().id() + 1, Ordering::Release);
    task::interrupt(thread.thread());
    let (found, wanted) = (thread.join(), WAITS[number].2 as usize);
    MARKED.store(0, Ordering::Release);
    check(found == wanted, WAITS[number].0)
}
