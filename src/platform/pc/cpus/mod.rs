//! The machine's CPUs: who they are, by the MADT, and starting them.
//!
//! ```text
//! boot CPU                                      each other CPU
//! prepare its room, its entry, for all
//! INIT to all, 10 ms                            resets
//! start-up IPI to all                           asm/trampoline.S: Called -> Arrived
//! wait; a second one to who is not there        ap_main (arrive.rs): features, APIC, its doors
//! wait until nobody gets further; give up       Online; idle
//! compare: MTRRs, time-stamp counters           answers
//! ```
//!
//! All start at the same time: what takes long is their own business, and nobody waits for it in turn. Numbers are
//! given out in the MADT's order, the boot CPU's being 0, to the CPUs that are to run; those that are not come after
//! them, for the list's sake.
//!
//! Source: Intel SDM vol. 3 §8.4.4 (the protocol); MP specification §B.4 (its times); ACPI 6.5 §5.2.12.

mod arrive;
mod memory_types;
mod room;
mod skew;

pub use arrive::{Site, idle_by, topology};

use super::interrupts::{self, LocalApic};
use super::{acpi, clock, ipi};
use crate::acpi::madt::{self, Madt};
use crate::acpi::sdt::Signature;
use crate::arch::x86_64::ap::entry::{Entry, State};
use crate::arch::x86_64::ap::{self, ENTRIES_BY_NUMBER, StartTables};
use crate::arch::x86_64::apic::modes::Mode;
use crate::arch::x86_64::apic::{Ipi, Target};
use crate::arch::x86_64::interrupts::disable;
use crate::arch::x86_64::percpu::{MAX_CPUS, copies};
use crate::platform::page_source;
use core::sync::atomic::{AtomicUsize, Ordering};
use log::{info, warn};

/// What the command line says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Most CPUs, the boot CPU among them; 0: no limit.
    pub max: usize,
    /// A test hook: this CPU's start-up IPIs are not sent.
    pub hide: Option<usize>,
    /// A test hook: this CPU's time-stamp counter seems to be off by so many nanoseconds.
    pub skew: Option<skew::Pretended>,
}

/// Between INIT and the start-up IPI (MP specification §B.4).
const INIT_NS: u64 = 10_000_000;
/// After the first start-up IPI, before the second: 200 µs by the specification; a CPU that is only slow to be
/// scheduled by its hypervisor does no harm by being called twice, but is not helped either.
const FIRST_NS: u64 = 20_000_000;
/// How long nothing may happen after the second: nobody begins and nobody is done. For each CPU some more, as emulators run
/// many on few. All together may take as long as it takes: such an emulator gives the next in line for a lock its turn when
/// it comes to that one, and so 288 CPUs on two took minutes.
const STEP_NS: u64 = 2_000_000_000;
const STEP_EACH_NS: u64 = 50_000_000;
/// The same when all that are not done have begun: they are there for certain, and run.
const BEGUN_NS: u64 = 120_000_000_000;

/// CPUs that the MADT lists: entries in use.
static LISTED: AtomicUsize = AtomicUsize::new(1);
/// All CPUs that the MADT lists, by number.
pub fn all() -> impl Iterator<Item = (usize, &'static Entry)> {
    ENTRIES_BY_NUMBER[..LISTED.load(Ordering::Acquire)].iter().enumerate()
}

/// The APIC ID of a CPU with that number.
pub fn apic_id(cpu: usize) -> u32 {
    ENTRIES_BY_NUMBER[cpu].apic_id.load(Ordering::Relaxed)
}

/// Starts all that are there and wanted. `page` is the trampoline's, 0 if there is none; `made` is called with the
/// number of each CPU when its per-CPU variables are there. Once, on the boot CPU, with interrupts off.
pub fn start(options: Options, page: u64, made: fn(usize)) {
    arrive::note_boot_cpu();
    ipi::init();
    ENTRIES_BY_NUMBER[0].set_state(State::Online);
    let Some(lapic) = interrupts::local_apic() else {
        info!(target: "smp", "1 CPU: without a local APIC no other can be started");
        return;
    };
    ENTRIES_BY_NUMBER[0].apic_id.store(lapic.id(), Ordering::Relaxed);
    let tables = acpi::tables();
    let madt = tables.as_ref().and_then(|tables| tables.find(Signature::MADT));
    let Some(madt) = madt.as_ref().and_then(|table| Madt::parse(table).ok()) else {
        info!(target: "smp", "1 CPU: there is no MADT that would list others");
        return;
    };
    let begun = clock::now_ns();
    let wanted = list(&madt, &lapic, options);
    if wanted > 1 {
        match start_tables(page) {
            Some(tables) => start_all(&lapic, tables, page, wanted, options, made),
            None => {
                warn!(target: "smp", "no memory below 1 MiB, or below 4 GiB, for starting the other CPUs");
                (1..wanted).for_each(|cpu| ENTRIES_BY_NUMBER[cpu].set_state(State::NoMemory));
            }
        }
    }
    for (cpu, entry) in all().filter(|(_, entry)| is_worth_a_line(entry.state())) {
        warn!(target: "smp", "CPU {cpu}, APIC ID {}: {}", apic_id(cpu), entry.state().name());
    }
    let online = all().filter(|(_, entry)| entry.state() == State::Online).count();
    let us = clock::now_ns().saturating_sub(begun) / 1000;
    info!(target: "smp", "{online} of {} CPUs online, after {}.{:03} ms", all().count(), us / 1000, us % 1000);
    if online > 1 {
        memory_types::report();
        skew::check(options.skew);
    }
}

const fn is_worth_a_line(state: State) -> bool {
    !matches!(state, State::Online | State::Absent | State::Disabled | State::LeftOut)
}

/// Fills in the entries; returns how many CPUs are to run, which come first.
fn list(madt: &Madt<'_>, lapic: &LocalApic, options: Options) -> usize {
    let own = lapic.id();
    let fate = |cpu: &madt::Cpu| match cpu {
        madt::Cpu { enabled: false, online_capable: true, .. } => State::Absent,
        madt::Cpu { enabled: false, .. } => State::Disabled,
        // FFh is the broadcast there.
        madt::Cpu { apic_id: 0xFF.., .. } if lapic.mode() == Mode::XApic => State::Unreachable,
        _ => State::None,
    };
    let limit = if options.max == 0 { MAX_CPUS } else { options.max.min(MAX_CPUS) };
    let mut count = 1;
    let others = || madt.cpus().filter(|cpu| cpu.apic_id != own);
    let set = |number: usize, cpu: &madt::Cpu, state| {
        if let Some(entry) = ENTRIES_BY_NUMBER.get(number) {
            entry.apic_id.store(cpu.apic_id, Ordering::Relaxed);
            entry.set_state(state);
        }
    };
    let mut place = |cpu: &madt::Cpu, state| {
        set(count, cpu, state);
        count += 1;
    };
    others().filter(|cpu| fate(cpu) == State::None).take(limit - 1).for_each(|cpu| place(&cpu, State::None));
    let wanted = others().filter(|cpu| fate(cpu) == State::None).take(limit - 1).count() + 1;
    others()
        .filter(|cpu| fate(cpu) == State::None)
        .skip(limit - 1)
        .for_each(|cpu| place(&cpu, State::LeftOut));
    others().filter(|cpu| fate(cpu) != State::None).for_each(|cpu| place(&cpu, fate(&cpu)));
    LISTED.store(count.min(MAX_CPUS), Ordering::Release);
    wanted
}

fn start_tables(page: u64) -> Option<StartTables> {
    if page == 0 {
        return None;
    }
    let mut pages = [0; 4];
    for (index, slot) in pages.iter_mut().enumerate() {
        match page_source::low_page() {
            Some(page) => *slot = page,
            None => {
                pages[..index].iter().for_each(|&page| page_source::free(page));
                return None;
            }
        }
    }
    StartTables::new(pages, page)
}

fn start_all(
    lapic: &LocalApic,
    tables: StartTables,
    page: u64,
    wanted: usize,
    options: Options,
    made: fn(usize),
) {
    for (cpu, entry) in all().take(wanted).skip(1) {
        match room::prepare(cpu) {
            Ok(()) => {
                made(cpu);
                entry.set_state(State::Called);
            }
            // Numbers of CPUs that have their variables are without gaps.
            Err(_) => (cpu..wanted).for_each(|cpu| ENTRIES_BY_NUMBER[cpu].set_state(State::NoMemory)),
        }
        if entry.state() == State::NoMemory {
            break;
        }
    }
    // SAFETY: the loader kept the page for this, and nobody has been called yet.
    unsafe { ap::install(page, &tables, copies()) };
    let called = || (1..wanted).filter(|&cpu| ENTRIES_BY_NUMBER[cpu].state() == State::Called);
    let vector = (page >> 12) as u8;
    let send = |cpu: usize, ipi| {
        if Some(cpu) == options.hide && ipi != Ipi::Init {
            return;
        }
        if let Err(error) = lapic.send(ipi, Target::Cpu(apic_id(cpu))) {
            warn!(target: "smp", "CPU {cpu}: {error}");
        }
    };
    called().for_each(|cpu| send(cpu, Ipi::Init));
    wait_until(INIT_NS, || false);
    called().for_each(|cpu| send(cpu, Ipi::Startup(vector)));
    if !wait_until(FIRST_NS, || called().next().is_none()) {
        called().for_each(|cpu| send(cpu, Ipi::Startup(vector)));
    }
    // What all of them together have before them: two steps who was called, one who has arrived.
    let steps = || {
        let of_each = all().map(|(_, entry)| match entry.state() {
            State::Called => 2,
            State::Arrived => 1,
            _ => 0,
        });
        of_each.sum::<usize>()
    };
    let patience_ns = || {
        if called().next().is_none() { BEGUN_NS } else { STEP_NS + wanted as u64 * STEP_EACH_NS }
    };
    let mut left = steps();
    while left > 0 && wait_until(patience_ns(), || steps() < left) {
        left = steps();
    }
    let mut silent = 0;
    for cpu in (1..wanted).filter(|&cpu| ENTRIES_BY_NUMBER[cpu].give_up()) {
        silent += 1;
        // Back to where it waits for a start-up IPI, should it be anywhere else.
        send(cpu, Ipi::Init);
    }
    // Somebody may yet come through the trampoline, and find that it is too late.
    if silent == 0 {
        tables.into_pages().into_iter().for_each(page_source::free);
    }
}

/// Waits until `done` says so, `ns` at the most; returns what it said last. Interrupts may be off.
fn wait_until(ns: u64, mut done: impl FnMut() -> bool) -> bool {
    debug_assert!(!disable());
    let begun = clock::now_ns();
    loop {
        if done() {
            return true;
        }
        if clock::now_ns().saturating_sub(begun) >= ns {
            return false;
        }
        core::hint::spin_loop();
    }
}
