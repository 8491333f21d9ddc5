//! Device interrupts: who gets which vector, and what happens between the gate and the handler.
//!
//! ```text
//! device ─► I/O APIC or 8259 ─► CPU ─► stub n (asm/interrupts.S) ─► dispatch(n)
//!                                                                     count, handler, end of interrupt
//!                                                          way out:   deferred work, interrupts on
//! ```
//!
//! A handler runs with interrupts off and does what cannot wait: it takes the byte, stops the clock. What can
//! wait it leaves to [`defer`]: that runs at the end of the outermost interrupt, with interrupts on.
//!
//! Vectors are given out by [`allocate`], to an owner with a name. One that nobody asked for is counted and
//! otherwise ignored; the spurious vectors of the interrupt controllers get no end-of-interrupt.

use crate::arch::x86_64::frame::TrapFrame;
use crate::arch::x86_64::interrupts;
use crate::arch::x86_64::percpu::{self, VECTORS};
use crate::platform::Handler;
use crate::sync::IrqLock;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The first vector that is no exception: sixteen from here are the 8259 pair's, which needs them even when it is
/// masked.
pub const PIC_BASE: u8 = 32;
/// The first vector that [`allocate`] gives out.
pub const FIRST: u8 = PIC_BASE + 16;
/// The local APIC's spurious vector: its low four bits must be ones on old chips (SDM vol. 3 §10.9).
pub const SPURIOUS: u8 = 255;

/// Who owns a vector. Handlers are read by `dispatch` without a lock.
struct Slot {
    /// A [`Handler`], as an address; 0 for none.
    handler: AtomicUsize,
    argument: AtomicUsize,
}

static SLOTS: [Slot; VECTORS] =
    [const { Slot { handler: AtomicUsize::new(0), argument: AtomicUsize::new(0) } }; VECTORS];

/// Names of the owners, by vector: for display.
static NAMES: IrqLock<[Option<&'static str>; VECTORS]> = IrqLock::new([None; VECTORS]);

/// What ends an interrupt at its controller: a `fn(u8)`, as an address; 0 for none.
static END_OF_INTERRUPT: AtomicUsize = AtomicUsize::new(0);

/// Interrupts that came without having been asked for.
static UNEXPECTED: AtomicU64 = AtomicU64::new(0);

/// All vectors are taken, or the wanted one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoVector;

/// Gives the owner called `name` a free vector.
pub fn allocate(name: &'static str, handler: Handler, argument: usize) -> Result<u8, NoVector> {
    let mut names = NAMES.lock();
    let free = (FIRST..SPURIOUS).find(|&vector| names[usize::from(vector)].is_none());
    let vector = free.ok_or(NoVector)?;
    install(&mut names, vector, name, handler, argument);
    Ok(vector)
}

/// The same for a vector that the hardware dictates.
pub fn claim(vector: u8, name: &'static str, handler: Handler, argument: usize) -> Result<(), NoVector> {
    let mut names = NAMES.lock();
    if names[usize::from(vector)].is_some() {
        return Err(NoVector);
    }
    install(&mut names, vector, name, handler, argument);
    Ok(())
}

fn install(
    names: &mut [Option<&'static str>; VECTORS],
    vector: u8,
    name: &'static str,
    handler: Handler,
    argument: usize,
) {
    let slot = &SLOTS[usize::from(vector)];
    slot.argument.store(argument, Ordering::Relaxed);
    // Last: from here on `dispatch` calls it.
    slot.handler.store(handler as usize, Ordering::Release);
    names[usize::from(vector)] = Some(name);
}

/// Gives a vector's owner another name.
pub fn rename(vector: u8, name: &'static str) {
    NAMES.lock()[usize::from(vector)] = Some(name);
}

/// Sets what tells the interrupt controller that a vector has been dealt with.
pub fn set_end_of_interrupt(end: fn(u8)) {
    END_OF_INTERRUPT.store(end as usize, Ordering::Release);
}

/// Vectors with an owner or a count, for display: `visit(vector, owner, count)`.
pub fn for_each(visit: &mut dyn FnMut(u8, Option<&'static str>, u64)) {
    let names = *NAMES.lock();
    for vector in 0..=255u8 {
        let count = percpu::current().counts[usize::from(vector)].load(Ordering::Relaxed);
        let name = names[usize::from(vector)];
        if name.is_some() || count > 0 {
            visit(vector, name, count);
        }
    }
}

/// How many came that nobody had asked for.
pub fn unexpected() -> u64 {
    UNEXPECTED.load(Ordering::Relaxed)
}

/// Counts one that nobody had asked for.
pub fn count_unexpected() {
    UNEXPECTED.fetch_add(1, Ordering::Relaxed);
}

/// Called by the trap handler for every vector that is no exception, with interrupts off.
pub fn dispatch(frame: &TrapFrame) {
    let vector = frame.vector as u8;
    let cpu = percpu::current();
    cpu.count(vector);
    cpu.interrupt_depth.fetch_add(1, Ordering::Relaxed);
    let slot = &SLOTS[usize::from(vector)];
    let handler = slot.handler.load(Ordering::Acquire);
    if handler == 0 {
        count_unexpected();
    } else {
        // SAFETY: `install` alone stores there, and what it stores is a Handler.
        let handler = unsafe { core::mem::transmute::<usize, Handler>(handler) };
        handler(slot.argument.load(Ordering::Relaxed));
    }
    let end = END_OF_INTERRUPT.load(Ordering::Acquire);
    if end != 0 && vector != SPURIOUS {
        // SAFETY: `set_end_of_interrupt` alone stores there, and what it stores is a fn(u8).
        let end = unsafe { core::mem::transmute::<usize, fn(u8)>(end) };
        end(vector);
    }
    let depth = cpu.interrupt_depth.fetch_sub(1, Ordering::Relaxed);
    if depth == 1 && frame.rflags & interrupts::RFLAGS_IF != 0 {
        run_deferred();
    }
}

/// Work that an interrupt handler leaves for later.
#[derive(Clone, Copy)]
struct Work {
    run: Handler,
    argument: usize,
}

/// Pieces of work that may wait at one time.
const DEFERRED: usize = 64;

struct Queue {
    work: [Option<Work>; DEFERRED],
    first: usize,
    len: usize,
}

static QUEUE: IrqLock<Queue> = IrqLock::new(Queue { work: [None; DEFERRED], first: 0, len: 0 });

/// Leaves work for the end of the outermost interrupt. A piece that already waits is not queued again, so
/// that a handler may ask every time. False if the queue is full: the caller keeps what it has.
pub fn defer(run: Handler, argument: usize) -> bool {
    let mut queue = QUEUE.lock();
    let same = |work: &Work| work.run as usize == run as usize && work.argument == argument;
    if queue.work.iter().flatten().any(same) {
        return true;
    }
    if queue.len == DEFERRED {
        return false;
    }
    let at = (queue.first + queue.len) % DEFERRED;
    queue.work[at] = Some(Work { run, argument });
    queue.len += 1;
    true
}

/// Does what waits, with interrupts on. Called with them off, and returns so. Interrupts that come meanwhile
/// leave their work to this loop.
pub fn run_deferred() {
    let cpu = percpu::current();
    if cpu.in_deferred.swap(true, Ordering::Relaxed) {
        return;
    }
    loop {
        let work = {
            let mut queue = QUEUE.lock();
            if queue.len == 0 {
                break;
            }
            let at = queue.first;
            queue.first = (at + 1) % DEFERRED;
            queue.len -= 1;
            queue.work[at].take()
        };
        if let Some(Work { run, argument }) = work {
            interrupts::enable();
            run(argument);
            interrupts::disable();
        }
    }
    cpu.in_deferred.store(false, Ordering::Relaxed);
}
