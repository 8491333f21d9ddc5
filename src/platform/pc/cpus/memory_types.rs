//! All CPUs are to cache the same memory in the same way: their MTRRs are compared with the boot CPU's as each comes up,
//! and set the same where they are not. It is named in either case.

use crate::arch::x86_64::cpu::Features;
use crate::arch::x86_64::mtrr::{Difference, Mtrrs};
use crate::arch::x86_64::percpu::per_cpu;
use crate::arch::x86_64::percpu::{InterruptsOff, copies};
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use log::{info, warn};
use spin::Once;

/// The boot CPU's; empty if it has none.
static BOOT: Once<Mtrrs> = Once::new();

/// Where a CPU has differed from the boot CPU.
struct Found {
    /// 0: nowhere.
    register: AtomicU32,
    ours: AtomicU64,
    theirs: AtomicU64,
    /// It does not any more.
    is_cured: AtomicBool,
}

per_cpu! {
    static FOUND: Found = Found {
        register: AtomicU32::new(0),
        ours: AtomicU64::new(0),
        theirs: AtomicU64::new(0),
        is_cured: AtomicBool::new(false),
    };
}

/// This CPU's.
fn read() -> Option<Mtrrs> {
    // SAFETY: CPUID says that there are some.
    Features::detect().contains(Features::MTRR).then(|| unsafe { Mtrrs::own() })
}

/// The boot CPU's part: before any other CPU is called.
pub fn note_boot_cpu() {
    if let Some(mtrrs) = read() {
        BOOT.call_once(|| mtrrs);
    }
}

/// Another CPU's part, with interrupts off. Whoever lacks MTRRs that the boot CPU has does not come as far as this.
pub fn compare() {
    let (Some(boot), Some(own)) = (BOOT.get(), read()) else { return };
    let Some(difference) = boot.difference(&own) else { return };
    let pin = InterruptsOff::new();
    let found = FOUND.here(&pin);
    if difference.is_curable() {
        // SAFETY: those of a CPU with the same IA32_MTRRCAP; interrupts are off.
        unsafe { boot.take_over() };
        let is_cured = read().is_some_and(|own| boot.difference(&own).is_none());
        found.is_cured.store(is_cured, Ordering::Relaxed);
    }
    found.ours.store(difference.ours, Ordering::Relaxed);
    found.theirs.store(difference.theirs, Ordering::Relaxed);
    found.register.store(difference.register, Ordering::Release);
}

/// What [`compare`] found on a CPU, and whether that is over.
fn found(cpu: usize) -> Option<(Difference, bool)> {
    let found = FOUND.on(cpu)?;
    let register = Some(found.register.load(Ordering::Acquire)).filter(|&register| register != 0)?;
    let value = |field: &AtomicU64| field.load(Ordering::Relaxed);
    let difference = Difference { register, ours: value(&found.ours), theirs: value(&found.theirs) };
    Some((difference, found.is_cured.load(Ordering::Relaxed)))
}

/// From one CPU to another.
struct Neighbours(usize, usize);

impl fmt::Display for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(first, last) if first == last => write!(f, "CPU {first}"),
            Self(first, last) => write!(f, "CPUs {first} to {last}"),
        }
    }
}

/// Names those that have differed: neighbours with the same trouble in one line.
pub fn report() {
    let Some(boot) = BOOT.get() else { return };
    let online = copies::online();
    let mut alike = 0;
    let mut cpus = online.iter().peekable();
    while let Some(first) = cpus.next() {
        let (trouble, mut last) = (found(first), first);
        while let Some(cpu) = cpus.next_if(|&cpu| cpu == last + 1 && found(cpu) == trouble) {
            last = cpu;
        }
        if trouble.is_none_or(|(_, is_cured)| is_cured) {
            alike += last - first + 1;
        }
        let cpus = Neighbours(first, last);
        match trouble {
            Some((what, true)) => info!(target: "smp", "{cpus}: MTRRs set as the boot CPU's: {what}"),
            Some((what, false)) => warn!(target: "smp", "{cpus}: memory is cached otherwise: {what}"),
            None => {}
        }
    }
    info!(target: "smp", "MTRRs alike on {alike} CPUs, {} ranges", boot.valid_pairs());
}
