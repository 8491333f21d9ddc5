//! A CPU's own part of its start: from its first instruction in Rust to where it idles.

use super::super::{alarm, interrupts};
use super::memory_types;
use crate::arch::x86_64::ap::entry::{Entry, State};
use crate::arch::x86_64::cpu::{self, Features};
use crate::arch::x86_64::percpu::copies;
use crate::arch::x86_64::percpu::per_cpu;
use crate::arch::x86_64::topology::{self, Topology};
use crate::arch::x86_64::{cr, fpu, percpu, syscall};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Where a CPU sits, as it has told.
pub struct Site {
    package: AtomicU32,
    core: AtomicU32,
    thread: AtomicU32,
}

per_cpu! {
    static SITE: Site =
        Site { package: AtomicU32::new(0), core: AtomicU32::new(0), thread: AtomicU32::new(0) };
}

/// What the boot CPU has: the others must have it as well.
static FEATURES: AtomicU64 = AtomicU64::new(0);

/// A `fn()` and a `fn() -> !`: how the other CPUs become such as run threads, and what they do then.
static BEGIN: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static IDLE: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Says what a CPU calls just before it is online, and what it goes on with: both with interrupts off. Before the first
/// is started.
pub fn idle_by(begin: fn(), idle: fn() -> !) {
    BEGIN.store(begin as *mut (), Ordering::Release);
    IDLE.store(idle as *mut (), Ordering::Release);
}

/// Where a CPU sits.
pub fn topology(cpu: usize) -> Option<Topology> {
    let site = SITE.on(cpu)?;
    let number = |field: &AtomicU32| field.load(Ordering::Relaxed);
    Some(Topology { package: number(&site.package), core: number(&site.core), thread: number(&site.thread) })
}

fn note_site() {
    let ask = |leaf, subleaf| {
        let r = cpu::cpuid(leaf, subleaf);
        [r.eax, r.ebx, r.ecx, r.edx]
    };
    let found = topology::from_cpuid(&ask);
    let pin = percpu::InterruptsOff::new();
    let site = SITE.here(&pin);
    site.package.store(found.package, Ordering::Relaxed);
    site.core.store(found.core, Ordering::Relaxed);
    site.thread.store(found.thread, Ordering::Relaxed);
}

/// The boot CPU's part.
pub fn note_boot_cpu() {
    FEATURES.store(Features::detect().bits(), Ordering::Relaxed);
    note_site();
    memory_types::note_boot_cpu();
}

/// Called by asm/trampoline.S on the CPU's idle stack, with interrupts off and GS good.
#[unsafe(no_mangle)]
extern "sysv64" fn ap_main(entry: &'static Entry) -> ! {
    let features = Features::detect();
    let wanted = Features::from_bits_retain(FEATURES.load(Ordering::Relaxed));
    let idle = IDLE.load(Ordering::Acquire);
    // The kernel's text is patched for the boot CPU, and programs may be moved from one CPU to another.
    if !features.contains(wanted)
        || idle.is_null()
        || !{
            // SAFETY: once on this CPU, with what it has; nothing is missing that the boot CPU has.
            unsafe {
                cpu::enable(wanted);
                syscall::init();
            }
            fpu::reset();
            interrupts::init_local()
        }
    {
        entry.set_state(State::Unlike);
        cr::wait_forever();
    }
    note_site();
    memory_types::compare();
    alarm::init_local();
    // SAFETY: `idle_by` alone stores there, before the other that was found above, and what it stores is such a function.
    let begin = unsafe { core::mem::transmute::<*mut (), fn()>(BEGIN.load(Ordering::Acquire)) };
    begin();
    copies::set_online(percpu::number());
    // Nobody told us of changes until now.
    cr::flush_tlb_all();
    entry.set_state(State::Online);
    // SAFETY: `idle_by` alone stores there, and what it stores is such a function.
    let idle = unsafe { core::mem::transmute::<*mut (), fn() -> !>(idle) };
    idle()
}
