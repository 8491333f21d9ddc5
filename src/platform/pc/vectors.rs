//! Device interrupts: who gets which vector, and what happens between the gate and the handler.
//!
//! ```text
//! device ─► I/O APIC or 8259 ─► CPU ─► stub n (asm/interrupts.S) ─► interrupt_handler
//!                                                                     count, handler, end of interrupt
//!                                                          way out:   deferred work, interrupts on
//! ```
//!
//! A handler runs with interrupts off and does what cannot wait: it takes the byte, stops the clock. What can
//! wait it leaves to [`defer`]. Once there are threads, one of them on each CPU does it ([`defer_to`]); before, it is
//! done at the end of the outermost interrupt, with interrupts on.
//!
//! Vectors are given out by [`allocate`], to an owner with a name. One that nobody asked for is counted and
//! otherwise ignored; the spurious vectors of the interrupt controllers get no end-of-interrupt.

use super::interrupts;
use crate::arch::x86_64::frame::TrapFrame;
use crate::arch::x86_64::interrupts::{self as cpu_interrupts, RFLAGS_IF};
use crate::arch::x86_64::percpu::per_cpu;
use crate::arch::x86_64::percpu::{self, Exclusive, NoPreemption, VECTORS};
use crate::platform::Handler;
use crate::random;
use crate::sync::{IrqLock, Rank, grace};
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// The first vector that is no exception: sixteen from here are the 8259 pair's, which needs them even when it is
/// masked.
pub const PIC_BASE: u8 = 32;
/// The first vector that [`allocate`] gives out.
pub const FIRST: u8 = PIC_BASE + 16;
/// The local APIC's spurious vector: its low four bits must be ones on old chips (SDM vol. 3 §10.9).
pub const SPURIOUS: u8 = 255;

/// What a vector calls. Read by [`interrupt_handler`] without a lock, and never taken back.
struct Slot {
    /// A [`Handler`], as an address.
    handler: AtomicPtr<()>,
    argument: AtomicUsize,
    /// What ends it.
    end: AtomicU8,
}

/// What ends an interrupt: nothing, as for those of the 8259s, which their own handler ends, and for spurious ones.
const END_NONE: u8 = 0;
/// The local APIC's end-of-interrupt register.
const END_LOCAL: u8 = 1;

static SLOTS: [Slot; VECTORS] = [const {
    Slot {
        handler: AtomicPtr::new(unexpected_interrupt as Handler as *mut ()),
        argument: AtomicUsize::new(0),
        end: AtomicU8::new(END_NONE),
    }
}; VECTORS];

/// Names of the owners, by vector: for display.
static NAMES: IrqLock<[Option<&'static str>; VECTORS]> = IrqLock::new(Rank::VectorNames, [None; VECTORS]);

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
    install(&mut names, vector, name, handler, argument, END_LOCAL);
    Ok(vector)
}

/// The same for one vector, of those that [`allocate`] gives out: its number stands in an INT instruction.
pub fn allocate_at(
    vector: u8,
    name: &'static str,
    handler: Handler,
    argument: usize,
) -> Result<(), NoVector> {
    let mut names = NAMES.lock();
    if vector < FIRST || names[usize::from(vector)].is_some() {
        return Err(NoVector);
    }
    install(&mut names, vector, name, handler, argument, END_LOCAL);
    Ok(())
}

/// The same for a vector that the hardware dictates, and whose interrupts are not ended at the local APIC.
pub fn claim(vector: u8, name: &'static str, handler: Handler, argument: usize) -> Result<(), NoVector> {
    let mut names = NAMES.lock();
    if names[usize::from(vector)].is_some() {
        return Err(NoVector);
    }
    install(&mut names, vector, name, handler, argument, END_NONE);
    Ok(())
}

fn install(
    names: &mut [Option<&'static str>; VECTORS],
    vector: u8,
    name: &'static str,
    handler: Handler,
    argument: usize,
    end: u8,
) {
    let slot = &SLOTS[usize::from(vector)];
    slot.argument.store(argument, Ordering::Relaxed);
    slot.end.store(end, Ordering::Relaxed);
    // Last: from here on it is called.
    slot.handler.store(handler as *mut (), Ordering::Release);
    names[usize::from(vector)] = Some(name);
}

/// Gives a vector's owner another name.
pub fn rename(vector: u8, name: &'static str) {
    NAMES.lock()[usize::from(vector)] = Some(name);
}

/// Vectors with an owner or a count, for display: `visit(vector, owner, count)`.
pub fn for_each(visit: &mut dyn FnMut(u8, Option<&'static str>, u64)) {
    let names = *NAMES.lock();
    for vector in 0..=255u8 {
        let count = (0..percpu::copies()).map(|cpu| count_on(cpu, vector)).sum();
        let name = names[usize::from(vector)];
        if name.is_some() || count > 0 {
            visit(vector, name, count);
        }
    }
}

/// How many interrupts with that vector a CPU has taken.
pub fn count_on(cpu: usize, vector: u8) -> u64 {
    percpu::of(cpu).map_or(0, |data| data.counts[usize::from(vector)].load(Ordering::Relaxed))
}

/// How many came that nobody had asked for.
pub fn unexpected() -> u64 {
    UNEXPECTED.load(Ordering::Relaxed)
}

/// Counts one that nobody had asked for.
pub fn count_unexpected() {
    UNEXPECTED.fetch_add(1, Ordering::Relaxed);
}

/// What a vector without an owner calls. Its controller may wait for the end of it all the same: better one too many
/// than a priority that is blocked for ever.
fn unexpected_interrupt(_: usize) {
    count_unexpected();
    interrupts::end_of_interrupt();
}

/// Called by asm/interrupts.S for every vector that is no exception, with interrupts off. Every instruction of it is
/// paid by every interrupt: it takes no lock, and what only display needs is elsewhere.
#[unsafe(no_mangle)]
extern "sysv64" fn interrupt_handler(frame: &mut TrapFrame) {
    grace::interrupted();
    let vector = usize::from(frame.vector as u8);
    let cpu = percpu::current();
    cpu.count(vector as u8);
    let depth = cpu.enter_interrupt();
    let slot = &SLOTS[vector];
    let handler = slot.handler.load(Ordering::Acquire);
    // SAFETY: what `install` stores there, and what stands there from the beginning, is a Handler.
    let handler = unsafe { core::mem::transmute::<*mut (), Handler>(handler) };
    handler(slot.argument.load(Ordering::Relaxed));
    if slot.end.load(Ordering::Relaxed) == END_LOCAL {
        interrupts::end_of_interrupt();
    }
    random::interrupt();
    cpu.leave_interrupt();
    if depth == 0 && WAITING.get() != 0 && frame.rflags & RFLAGS_IF != 0 {
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

per_cpu! {
    /// Whether the queue has something: looked at by every interrupt.
    static WAITING: u8 = 0;

    /// Whether a thread does the work; else it is done at the end of the interrupt.
    static HAS_WORKER: u8 = 0;

    /// Of this CPU: what its handlers leave, it does itself. So no piece of work runs on two CPUs at once as long as
    /// its handler does not.
    static QUEUE: Exclusive<Queue> = Exclusive::new(Queue { work: [None; DEFERRED], first: 0, len: 0 });
}

/// Who is told that something waits: `fn(usize)`.
static WORKER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// From here on `wake` is called, with this CPU's number, when something waits on it, and somebody on this CPU calls
/// [`run_one_deferred`] then. Interrupts are on, and the caller stays on this CPU.
pub fn defer_to(wake: fn(usize)) {
    WORKER.store(wake as *mut (), Ordering::Release);
    QUEUE.with(|_| {
        HAS_WORKER.set(1);
        WAITING.set(0);
    });
    wake(percpu::number());
}

/// Leaves work for later. A piece that already waits is not queued again, so that a handler may ask every time. False if
/// the queue is full: the caller keeps what it has.
pub fn defer(run: Handler, argument: usize) -> bool {
    let (is_accepted, worker_of) = QUEUE.with(|queue| {
        let same = |work: &Work| work.run as usize == run as usize && work.argument == argument;
        if queue.work.iter().flatten().any(same) {
            return (true, None);
        }
        if queue.len == DEFERRED {
            return (false, None);
        }
        let at = (queue.first + queue.len) % DEFERRED;
        queue.work[at] = Some(Work { run, argument });
        queue.len += 1;
        if HAS_WORKER.get() == 0 {
            WAITING.set(1);
            return (true, None);
        }
        (true, Some(percpu::number()))
    });
    if let Some(cpu) = worker_of {
        // SAFETY: `defer_to` alone stores there, and what it stores is such a function; it did before the flag was set.
        let wake = unsafe { core::mem::transmute::<*mut (), fn(usize)>(WORKER.load(Ordering::Acquire)) };
        wake(cpu);
    }
    is_accepted
}

impl Queue {
    fn take(&mut self) -> Option<Work> {
        self.len = self.len.checked_sub(1)?;
        let at = self.first;
        self.first = (at + 1) % DEFERRED;
        self.work[at].take()
    }
}

/// Does one piece of what waits on this CPU; false if nothing does. For the one thread that [`defer_to`] wakes.
pub fn run_one_deferred() -> bool {
    let work = QUEUE.with(Queue::take);
    if let Some(Work { run, argument }) = work {
        run(argument);
    }
    work.is_some()
}

/// Does what waits, with interrupts on. Called with them off, and returns so. Interrupts that come meanwhile
/// leave their work to this loop.
fn run_deferred() {
    let pin = NoPreemption::new();
    let cpu = percpu::current();
    if cpu.in_deferred.swap(true, Ordering::Relaxed) {
        return;
    }
    loop {
        let work = QUEUE.with(|queue| {
            let work = queue.take();
            if work.is_none() {
                WAITING.set(0);
            }
            work
        });
        let Some(Work { run, argument }) = work else { break };
        cpu_interrupts::enable();
        run(argument);
        cpu_interrupts::disable();
    }
    cpu.in_deferred.store(false, Ordering::Relaxed);
    drop(pin);
}
