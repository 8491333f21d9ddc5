//! Takes down in each CPU's [`Trace`] what the scheduler does, while somebody wants to know.
//!
//! While nobody does, a switch pays a load and a test for it, and a wake-up as much. So all that is hooked in is in line,
//! and what it leads to is not. The rings' memory is asked for when recording begins, and given back by [`clear`].
//!
//! A CPU writes into its own ring, under a lock of that ring which nobody else wants while recording is on. It is a leaf:
//! whoever wakes a thread may hold anything else.
//!
//! Of a thread that is woken, the wake-up is taken down before any CPU can switch to it, since both are done under the
//! run queue's lock; and the clock is one for all CPUs. So in what was recorded, causes stand before their effects.

use super::sched::{Arrival, Leaving};
use super::thread::{self, Name, Thread};
use super::trace::{self, Ended, Event, Room, Trace};
use crate::arch::x86_64::percpu::{self, per_cpu};
use crate::platform::{Machine, Platform};
use crate::sync::{IrqLock, Mutex, Rank};
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

/// Events that are kept of each CPU: 64 KiB.
pub const EVENTS: usize = 4096;
/// Threads that have ended whose names are kept.
const NAMES: usize = 256;

/// Memory for it is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// Whether anything is taken down.
static IS_ON: AtomicBool = AtomicBool::new(false);
/// Whether there is a recording, on or over: as long as there is, its threads' names are kept.
static IS_KEPT: AtomicBool = AtomicBool::new(false);
/// Whoever turns it on or off, or reads it.
static CONTROL: Mutex<()> = Mutex::new(Rank::Recorder, ());

per_cpu! {
    static TRACE: IrqLock<Trace> = IrqLock::new(Rank::Trace, Trace::new());
}

static ENDED: IrqLock<Ended<Name, NAMES>> = IrqLock::new(Rank::Trace, Ended::new());

/// This CPU is about to go from one thread to another. Interrupts are off.
#[inline(always)]
pub(super) fn switch(from: &Thread, to: &Thread, why: Leaving) {
    if IS_ON.load(Ordering::Relaxed) {
        switched(from, to, matches!(why, Leaving::Sleeps));
    }
}

/// A thread is about to be put into a CPU's queue, whose lock is held. Interrupts are off.
#[inline(always)]
pub(super) fn arrival(thread: &Thread, cpu: usize, arrival: Arrival) {
    if IS_ON.load(Ordering::Relaxed) {
        arrived(thread, cpu, arrival);
    }
}

/// A thread is over.
#[inline]
pub(super) fn end(thread: &Thread) {
    if IS_KEPT.load(Ordering::Relaxed) {
        ENDED.lock().push(thread.id(), thread.name());
    }
}

#[cold]
#[inline(never)]
fn switched(from: &Thread, to: &Thread, slept: bool) {
    record(Event::Switch { from: from.id(), to: to.id(), slept });
}

#[cold]
#[inline(never)]
fn arrived(thread: &Thread, cpu: usize, arrival: Arrival) {
    let (thread, cpu) = (thread.id(), cpu as u32);
    record(match arrival {
        Arrival::New => Event::Start { thread, cpu },
        Arrival::Woken => Event::Wake { thread, cpu },
        Arrival::Moved => Event::Migrate { thread, cpu },
    });
}

fn record(event: Event) {
    if let Some(trace) = TRACE.on(percpu::number()) {
        trace.lock().record(Machine::now_ns(), event);
    }
}

/// Every CPU's ring, with its number.
fn all() -> impl Iterator<Item = (usize, &'static IrqLock<Trace>)> {
    (0..percpu::copies()).filter_map(|cpu| Some((cpu, TRACE.on(cpu)?)))
}

/// Begins to record, anew.
///
/// # Errors
/// If there is no memory for the rings; then nothing is recorded.
pub fn on() -> Result<(), NoMemory> {
    let _one = CONTROL.lock();
    stop();
    for (_, trace) in all() {
        let old = trace.lock().exchange(Room::default());
        // The old room is as good as a new one.
        let room = if old.is_empty() { Room::new(EVENTS).ok_or(NoMemory)? } else { old };
        drop(trace.lock().exchange(room));
    }
    ENDED.lock().clear();
    IS_KEPT.store(true, Ordering::Relaxed);
    all().for_each(|(_, trace)| trace.lock().turn(true));
    IS_ON.store(true, Ordering::Release);
    Ok(())
}

/// Ends it. What was recorded stays.
pub fn off() {
    let _one = CONTROL.lock();
    stop();
}

fn stop() {
    IS_ON.store(false, Ordering::Release);
    // Whoever has seen it on is in its ring's lock, or finds the ring off.
    all().for_each(|(_, trace)| trace.lock().turn(false));
}

/// Ends it, forgets all, and gives the memory back.
pub fn clear() {
    let _one = CONTROL.lock();
    stop();
    IS_KEPT.store(false, Ordering::Relaxed);
    for (_, trace) in all() {
        let old = trace.lock().exchange(Room::default());
        drop(old);
    }
}

/// Whether it is on; and calls `visit` with each CPU's number, the events that its ring has, and those that it lost.
pub fn status(visit: &mut dyn FnMut(usize, usize, u64)) -> bool {
    let _one = CONTROL.lock();
    for (cpu, trace) in all() {
        let (len, lost) = {
            let trace = trace.lock();
            (trace.len(), trace.lost())
        };
        visit(cpu, len, lost);
    }
    IS_ON.load(Ordering::Relaxed)
}

/// Ends the recording, and calls `visit` with each event of each CPU, the oldest of each first.
pub fn for_each(visit: &mut dyn FnMut(usize, u64, Event)) {
    let _one = CONTROL.lock();
    stop();
    for (cpu, trace) in all() {
        borrow(trace, |trace| trace.iter().for_each(|(at_ns, event)| visit(cpu, at_ns, event)));
    }
}

/// Ends the recording, and writes the last `most` events of each CPU, and the names of the threads in them.
///
/// # Errors
/// If there is no memory to gather the names in; then nothing was written.
pub fn dump(most: usize, to: &mut dyn fmt::Write) -> Result<(), NoMemory> {
    let _one = CONTROL.lock();
    stop();
    let names = names(most)?;
    for (cpu, trace) in all() {
        // Writing to the console has no error.
        let _ = borrow(trace, |trace| trace.dump(cpu, most, to));
    }
    let _ = trace::dump_names(&names, to);
    Ok(())
}

/// Reads a ring that is off, for as long as it takes: not under its lock, but in its place.
fn borrow<R>(place: &IrqLock<Trace>, read: impl FnOnce(&Trace) -> R) -> R {
    let trace = core::mem::take(&mut *place.lock());
    let result = read(&trace);
    *place.lock() = trace;
    result
}

/// Names of the threads that the last `most` events of each CPU are about, by id; without those that nobody knows.
fn names(most: usize) -> Result<Vec<(u32, Name)>, NoMemory> {
    let mut threads = Vec::new();
    for (_, trace) in all() {
        borrow(trace, |trace| {
            // Twice what there is, as a switch is about two threads; and at once without those that it has twice.
            threads.try_reserve(2 * trace.len().min(most)).map_err(|_| NoMemory)?;
            threads.extend(trace.last(most).flat_map(|(_, event)| event.threads()));
            threads.sort_unstable();
            threads.dedup();
            Ok(())
        })?;
    }
    let mut names = Vec::new();
    names.try_reserve(threads.len()).map_err(|_| NoMemory)?;
    thread::for_each(&mut |thread| {
        if let Ok(at) = threads.binary_search(&thread.id()) {
            threads.remove(at);
            names.push((thread.id(), thread.name()));
        }
    });
    // Those that are left have ended, some of them just now.
    for &thread in &threads {
        let name = ENDED.lock().find(thread);
        names.extend(name.map(|name| (thread, name)));
    }
    names.sort_unstable_by_key(|&(thread, _)| thread);
    Ok(names)
}
