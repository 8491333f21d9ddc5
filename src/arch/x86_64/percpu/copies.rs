//! The copies of the per-CPU variables: which CPU has one, and where.
//!
//! A copy is there for good once it is announced, also that of a CPU that never came up or has stopped: others may
//! still read its counters.

use super::{CPU, PerCpu};
use crate::cpu_set::{CpuSet, SharedCpuSet};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub use crate::boot::layout::MAX_CPUS;

/// GS bases, by CPU; 0 where there is none.
static BASES: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// CPUs that have one: numbers are given out one after the other.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// CPUs that run, and take interrupts or are about to.
static ONLINE: SharedCpuSet = SharedCpuSet::new(CpuSet::EMPTY);
static ONLINE_COUNT: AtomicUsize = AtomicUsize::new(0);

/// A CPU runs.
pub fn set_online(cpu: usize) {
    ONLINE.insert(cpu);
    ONLINE_COUNT.fetch_add(1, Ordering::AcqRel);
}

/// CPUs that run.
pub fn online() -> CpuSet {
    ONLINE.get()
}

pub fn is_online(cpu: usize) -> bool {
    ONLINE.contains(cpu)
}

/// How many run; 0 before the first is known.
#[inline]
pub fn online_count() -> usize {
    ONLINE_COUNT.load(Ordering::Acquire)
}

/// A CPU's copy is complete.
pub fn announce(cpu: usize, base: u64) {
    BASES[cpu].store(base, Ordering::Release);
    COUNT.fetch_max(cpu + 1, Ordering::Release);
}

/// The GS base of CPU `cpu`; `None` if it has no copy.
#[inline]
pub fn base(cpu: usize) -> Option<u64> {
    BASES.get(cpu).map(|base| base.load(Ordering::Acquire)).filter(|&base| base != 0)
}

/// How many CPUs have a copy: their numbers are those below.
#[inline]
pub fn copies() -> usize {
    COUNT.load(Ordering::Acquire)
}

/// The [`PerCpu`] of CPU `cpu`.
pub fn of(cpu: usize) -> Option<&'static PerCpu> {
    CPU.on(cpu)
}

unsafe extern "C" {
    // linker/kernel.ld
    static __percpu_start: [u8; 0];
    static __percpu_end: [u8; 0];
}

/// The template: where the variables are linked, with their initial values.
pub fn template() -> &'static [u8] {
    let start = &raw const __percpu_start;
    // SAFETY: read-only bytes of the image between two symbols of the linker's.
    unsafe { core::slice::from_raw_parts(start.cast(), (&raw const __percpu_end).addr() - start.addr()) }
}
