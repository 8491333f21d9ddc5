//! TLB shootdown: making other CPUs forget translations.
//!
//! The kernel's half is everybody's, so all are told. A user's address space concerns the CPUs that have it in CR3:
//! each keeps what it has there in [`SPACE`], and whoever changes page tables looks at all of them and makes a mask of
//! those to ask. The order makes that complete: the entry is changed, *then* the others' words are read; a CPU writes
//! its word, *then* loads CR3. Whoever is not seen loads CR3 after the change.
//!
//! **Lazy.** An idle CPU, or one that runs a kernel thread, keeps the last address space and touches nothing of it. It
//! is marked so, and not interrupted: its word gets a note, and it flushes everything when it goes back to the
//! program. Not when page tables are given back: a CPU may walk them whenever it likes, used or not.
//!
//! One request carries all pages of a `paging::gather` batch.
//! Source: Intel SDM vol. 3 §4.10.4.2, §4.10.5.

use super::{call, is_alone};
use crate::arch::x86_64::cr;
use crate::arch::x86_64::paging::live;
use crate::arch::x86_64::percpu::per_cpu;
use crate::arch::x86_64::percpu::{self, InterruptsOff, NoPreemption, copies};
use crate::cpu_set::CpuSet;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// In [`SPACE`]: the address space is only borrowed.
const LAZY: u64 = 1;
/// It has changed since.
const STALE: u64 = 2;
const FLAGS: u64 = LAZY | STALE;

per_cpu! {
    /// The root of the user's address space in CR3, with flags in its low bits; 0 for the kernel's own tables.
    static SPACE: AtomicU64 = AtomicU64::new(0);

    /// Shootdowns that this CPU has asked for, and requests that it was spared because it was lazy.
    pub static SHOOTDOWNS: u64 = 0;
    pub static SPARED: AtomicU64 = AtomicU64::new(0);

    /// Address spaces that this CPU has loaded into CR3.
    pub static LOADS: u64 = 0;
}

/// No other CPU is asked about an address space: for tests that are to fail then.
static IS_LEFT_OUT: AtomicBool = AtomicBool::new(false);

/// From here on it is so.
pub fn leave_out() {
    IS_LEFT_OUT.store(true, Ordering::Relaxed);
}

/// What is to be forgotten.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    Pages(&'a [u64]),
    All,
}

/// Has the flushes of the kernel's page tables come here.
pub fn init() {
    live::on_kernel_flush(|pages| match pages {
        Some(pages) => kernel(What::Pages(pages)),
        None => kernel(What::All),
    });
}

/// Other CPUs forget translations of the kernel's half. Returns when they have.
fn kernel(what: What<'_>) {
    if is_alone() {
        return;
    }
    SHOOTDOWNS.add(1);
    call::run(&copies::online(), &|| match what {
        What::Pages(pages) => pages.iter().for_each(|&page| cr::flush_tlb_page(page)),
        What::All => cr::flush_tlb_all(),
    });
}

/// Loads an address space, or takes back the one that is only borrowed.
///
/// # Safety
/// As `cr::set_cr3`; and who ends an address space calls [`retire`] first.
pub unsafe fn load(root: u64) {
    let pin = InterruptsOff::new();
    let old = SPACE.here(&pin).swap(root, Ordering::SeqCst);
    if old & !FLAGS != root {
        LOADS.add(1);
        // SAFETY: the caller's promise.
        unsafe { cr::set_cr3(root) };
    } else if old & STALE != 0 {
        cr::flush_tlb_user();
    }
}

/// This CPU goes on with what needs no user's memory, and keeps the address space for the time after it.
pub fn borrow() {
    SPACE.here(&InterruptsOff::new()).fetch_or(LAZY, Ordering::SeqCst);
}

/// Notes a change in a lazy CPU's word; false if that CPU has to be asked.
fn spare(space: &AtomicU64, root: u64) -> bool {
    let mut old = space.load(Ordering::SeqCst);
    while old & !FLAGS == root && old & LAZY != 0 {
        match space.compare_exchange(old, old | STALE, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => return true,
            Err(now) => old = now,
        }
    }
    old & !FLAGS != root
}

/// All CPUs that may use it forget translations of an address space. `tables`: page tables are about to be given back.
pub fn space(root: u64, what: What<'_>, tables: bool) {
    let flush = || {
        // By its word, not by CR3: an interrupt may find the one written and the other not yet loaded, and then the
        // load does it.
        match what {
            What::Pages(pages) => pages.iter().for_each(|&page| cr::flush_tlb_page(page)),
            What::All => cr::flush_tlb_user(),
        }
    };
    let pin = NoPreemption::new();
    if live::root() == root {
        flush();
    }
    if is_alone() || IS_LEFT_OUT.load(Ordering::Relaxed) {
        return;
    }
    // Behind the change of the entry.
    core::sync::atomic::fence(Ordering::SeqCst);
    let mut targets = CpuSet::EMPTY;
    for cpu in copies::online().iter().filter(|&cpu| cpu != percpu::number()) {
        let Some(word) = SPACE.on(cpu) else { continue };
        let has_it = word.load(Ordering::SeqCst) & !FLAGS == root;
        if !has_it {
            continue;
        }
        if !tables && spare(word, root) {
            SPARED.here(&pin).fetch_add(1, Ordering::Relaxed);
        } else {
            targets.insert(cpu);
        }
    }
    if !targets.is_empty() {
        SHOOTDOWNS.add(1);
        call::run(&targets, &flush);
    }
}

/// Takes an address space out of every CPU's CR3 that still has it: it is about to end.
pub fn retire(root: u64, kernel_root: u64) {
    let leave = || {
        let pin = InterruptsOff::new();
        let word = SPACE.here(&pin);
        if word.load(Ordering::SeqCst) & !FLAGS == root {
            word.store(0, Ordering::SeqCst);
            // SAFETY: the kernel's own tables are for good, and nobody needs the user's any more.
            unsafe { cr::set_cr3(kernel_root) };
        }
    };
    let _pin = NoPreemption::new();
    leave();
    if is_alone() {
        return;
    }
    let mut targets = CpuSet::EMPTY;
    let has_it =
        |cpu: &usize| SPACE.on(*cpu).is_some_and(|word| word.load(Ordering::SeqCst) & !FLAGS == root);
    copies::online().iter().filter(has_it).for_each(|cpu| targets.insert(cpu));
    if !targets.is_empty() {
        call::run(&targets, &leave);
    }
}
