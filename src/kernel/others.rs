//! What the other CPUs are doing: asked by NMI, which comes whatever they do.
//!
//! Two questions. "Where are you?", for backtraces of all: the CPU writes its callers down, and goes on. "Stop", by a
//! CPU that panics: it leaves its trap frame and waits for ever, and the one that panics walks its stack itself, so
//! that nothing of the two is printed in between.
//!
//! An NMI's handler takes no lock; what it writes is its CPU's alone, and read when it says that it is complete.

use super::backtrace;
use crate::arch::x86_64::backtrace::{Step, walk};
use crate::arch::x86_64::cr;
use crate::arch::x86_64::frame::TrapFrame;
use crate::arch::x86_64::percpu::per_cpu;
use crate::arch::x86_64::percpu::{self, NoPreemption, copies};
use crate::arch::x86_64::tsc;
use crate::kernel::image::{self, Named};
use crate::platform::pc::ipi;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Callers that are written down.
const DEPTH: usize = 16;

/// What was asked, and how far the answer is.
const NOTHING: u32 = 0;
const WHERE: u32 = 1;
const ANSWERED: u32 = 2;

struct Answer {
    state: AtomicU32,
    /// Where the CPU was, and its callers; 0 behind the last.
    addresses: [AtomicU64; DEPTH],
}

per_cpu! {
    static ANSWER: Answer =
        Answer { state: AtomicU32::new(NOTHING), addresses: [const { AtomicU64::new(0) }; DEPTH] };

    /// The trap frame of a CPU that has stopped; 0 as long as it runs.
    static STOPPED_AT: AtomicU64 = AtomicU64::new(0);
}

/// A CPU panics: all others are to stop.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// How long a CPU has for its answer, in ticks of the time-stamp counter: a second or so, since a clock may be what is
/// broken.
const PATIENCE: u64 = 3_000_000_000;

/// Called first by the NMI's handler. True if it was one of ours; does not return if this CPU is to stop.
pub fn on_nmi(frame: &TrapFrame) -> bool {
    // Pinned by being in a handler.
    let pin = NoPreemption::new();
    if STOPPING.load(Ordering::Acquire) {
        STOPPED_AT.here(&pin).store(core::ptr::from_ref(frame) as u64, Ordering::Release);
        cr::wait_forever();
    }
    let answer = ANSWER.here(&pin);
    if answer.state.load(Ordering::Acquire) != WHERE {
        return false;
    }
    let mut addresses = answer.addresses.iter();
    let mut put = |address| _ = addresses.next().map(|place| place.store(address, Ordering::Relaxed));
    put(frame.rip);
    if frame.cs & 3 == 0 {
        for step in walk(frame.rbp).take(DEPTH) {
            put(match step {
                Step::Return(address) => address,
                Step::Trap { rip, .. } => rip,
            });
        }
    }
    put(0);
    answer.state.store(ANSWERED, Ordering::Release);
    true
}

fn wait(mut done: impl FnMut() -> bool) -> bool {
    let begun = tsc::read();
    while !done() {
        if tsc::read().wrapping_sub(begun) > PATIENCE {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// Prints where every other CPU is.
pub fn print_backtraces(out: &mut dyn Write) -> fmt::Result {
    let own = percpu::number();
    copies::online().iter().filter(|&cpu| cpu != own).try_for_each(|cpu| {
        writeln!(out, "cpu {cpu}:")?;
        print_backtrace(cpu, out)
    })
}

/// Who asks: one at a time, for there is one answer a CPU.
static ASKING: AtomicBool = AtomicBool::new(false);

/// Prints where another CPU is, asked by NMI.
pub fn print_backtrace(cpu: usize, out: &mut dyn Write) -> fmt::Result {
    let Some(answer) = ANSWER.on(cpu) else { return Ok(()) };
    if !wait(|| !ASKING.swap(true, Ordering::Acquire)) {
        return writeln!(out, "  somebody else is asking");
    }
    answer.state.store(WHERE, Ordering::Release);
    ipi::nmi(cpu);
    let is_answered = wait(|| answer.state.load(Ordering::Acquire) == ANSWERED);
    let addresses = core::array::from_fn::<u64, DEPTH, _>(|n| answer.addresses[n].load(Ordering::Relaxed));
    answer.state.store(NOTHING, Ordering::Release);
    ASKING.store(false, Ordering::Release);
    if !is_answered {
        return writeln!(out, "  no answer, not even to an NMI");
    }
    for (number, &address) in addresses.iter().enumerate().take_while(|&(_, &address)| address != 0) {
        // A return address may be the first byte of the next function; see `backtrace::print`.
        match image::lookup(address - u64::from(number > 0)) {
            Some(symbol) => {
                let offset = address - symbol.address;
                writeln!(out, "  {number:2}: {address:#018x} <{}+{offset:#x}>", symbol.name)?;
            }
            None => writeln!(out, "  {number:2}: {}", Named(address))?,
        }
    }
    Ok(())
}

/// Stops all other CPUs, as well as they can be: for a panic. Interrupts are off. False if another CPU has begun that
/// already: then this one is to wait for its NMI.
pub fn stop() -> bool {
    if STOPPING.swap(true, Ordering::AcqRel) {
        return false;
    }
    let others = || copies::online().iter().filter(|&cpu| cpu != percpu::number()).fold(0, |n, _| n + 1);
    if others() == 0 {
        return true;
    }
    let online = copies::online();
    online.iter().filter(|&cpu| cpu != percpu::number()).for_each(ipi::nmi);
    let is_stopped = |cpu: usize| STOPPED_AT.on(cpu).is_some_and(|at| at.load(Ordering::Acquire) != 0);
    wait(|| online.iter().all(|cpu| cpu == percpu::number() || is_stopped(cpu)));
    true
}

/// Prints what the CPUs were doing that [`stop`] has stopped.
pub fn print_stopped(out: &mut dyn Write) -> fmt::Result {
    for cpu in copies::online().iter().filter(|&cpu| cpu != percpu::number()) {
        match STOPPED_AT.on(cpu).map_or(0, |at| at.load(Ordering::Acquire)) {
            0 => writeln!(out, "cpu {cpu} did not stop, not even for an NMI")?,
            frame => {
                writeln!(out, "cpu {cpu}, stopped:")?;
                backtrace::print(out, frame | 1)?;
            }
        }
    }
    Ok(())
}
