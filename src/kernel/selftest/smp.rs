//! Many CPUs: each has its own data, every call is answered, nothing is read after it was unmapped, time is one.

use super::{Outcome, Trouble, check};
use crate::arch::x86_64::paging::live::KernelTlb;
use crate::arch::x86_64::paging::{Attributes, Rights, Room};
use crate::arch::x86_64::percpu::per_cpu;
use crate::arch::x86_64::percpu::{self, InterruptsOff, NoPreemption, copies};
use crate::arch::x86_64::probe;
use crate::boot::layout::{HEAP_BASE, PAGE_SIZE};
use crate::cpu_set::CpuSet;
use crate::platform::pc::ipi::call;
use crate::platform::{Machine, Platform, kernel_tables};
use crate::task::{self, JoinHandle, Policy, thread};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use log::info;

per_cpu! {
    static MARK: u64 = 0x1234;
    static ANSWERED: u64 = 0;
    static NESTED: u32 = 0;
}

/// Fewer where each step is slow.
const CALLS: u64 = if cfg!(debug_assertions) { 50_000 } else { 100_000 };
const CALLS_LONG: u64 = 1_000_000;
const STORM: usize = if cfg!(debug_assertions) { 200 } else { 1_000 };
const UNMAPS: u64 = if cfg!(debug_assertions) { 50 } else { 300 };
/// At the end of vmalloc's region, beside what the test `tlb` uses.
const PAGE: u64 = HEAP_BASE + (509 << 30);

/// A thread on each CPU but this one, where it stays and nothing but what is more urgent comes between.
fn on_others(entry: thread::Entry) -> Result<alloc::vec::Vec<JoinHandle>, Trouble> {
    let mut threads = alloc::vec::Vec::new();
    for cpu in copies::online().iter().filter(|&cpu| cpu != percpu::number()) {
        let spawned = task::spawn_on(cpu, "test", Policy::Fifo(1), entry, 0);
        threads.push(spawned.map_err(|_| "no memory for a thread")?);
    }
    Ok(threads)
}

/// How many CPUs run; no test of this kind is for one.
pub fn several() -> Result<usize, Trouble> {
    match copies::online_count() {
        0 | 1 => Err(Trouble::Skipped("one CPU")),
        count => Ok(count),
    }
}

/// Each CPU's copy is its own, begins with the template's value, and is reached by GS and from outside alike.
pub fn isolation() -> Outcome {
    several()?;
    // Once more after an earlier run.
    call::run_on_all(&|| MARK.set(0x1234));
    let wrong = AtomicUsize::new(0);
    call::run_on_all(&|| {
        if MARK.get() != 0x1234 {
            wrong.fetch_add(1, Ordering::Relaxed);
        }
        MARK.set(percpu::number() as u64 * 3);
        MARK.add(1);
        NESTED.set(1);
        NESTED.add(2);
        if NESTED.sub_is_zero(1) || !NESTED.sub_is_zero(2) {
            wrong.fetch_add(1, Ordering::Relaxed);
        }
    });
    check(wrong.load(Ordering::Relaxed) == 0, "a copy does not begin as the template, or cannot count")?;
    for cpu in copies::online().iter() {
        check(MARK.value_on(cpu) == Some(cpu as u64 * 3 + 1), "a CPU wrote to another one's copy")?;
    }
    let template = copies::template().as_ptr_range();
    check(probe::read_u8(template.start as u64).is_some(), "the template cannot be read")
}

/// A call to each CPU in turn, waited for: none is lost.
pub fn calls() -> Outcome {
    calls_of(CALLS)
}

pub fn calls_long() -> Outcome {
    calls_of(CALLS_LONG)
}

fn calls_of(wanted: u64) -> Outcome {
    let count = several()? as u64;
    call::run_on_all(&|| ANSWERED.set(0));
    let own = percpu::number();
    let online = copies::online();
    let others: alloc::vec::Vec<usize> = online.iter().filter(|&cpu| cpu != own).collect();
    let begun = Machine::now_ns();
    // One by one, and all at once.
    for n in 0..wanted / 10 {
        let cpu = others[(n % (count - 1)) as usize];
        check(call::run_on(cpu, &|| ANSWERED.add(1)), "a CPU is not online any more")?;
    }
    let broadcasts = wanted.div_ceil(count - 1);
    for _ in 0..broadcasts {
        call::run(&online, &|| ANSWERED.add(1));
    }
    let calls = wanted / 10 + broadcasts * (count - 1);
    let ns = Machine::now_ns() - begun;
    let sum: u64 = others.iter().filter_map(|&cpu| ANSWERED.value_on(cpu)).sum();
    info!(target: "selftest", "{calls} calls, {} ns each", ns / calls);
    check(sum == calls, "not as many answers as calls")
}

/// Every CPU calls all others, all at the same time, half of the time with interrupts off.
pub fn storm() -> Outcome {
    let count = several()?;
    static TOTAL: AtomicUsize = AtomicUsize::new(0);
    static BEGUN: AtomicUsize = AtomicUsize::new(0);
    TOTAL.store(0, Ordering::Relaxed);
    BEGUN.store(0, Ordering::Relaxed);
    fn work() {
        let all = copies::online_count();
        BEGUN.fetch_add(1, Ordering::Relaxed);
        while BEGUN.load(Ordering::Relaxed) < all {
            core::hint::spin_loop();
        }
        for n in 0..STORM {
            let _off = (n % 2 == 0).then(InterruptsOff::new);
            call::run(&copies::online(), &|| _ = TOTAL.fetch_add(1, Ordering::Relaxed));
        }
    }
    let others = on_others(|_| {
        work();
        0
    })?;
    work();
    others.into_iter().for_each(|thread| _ = thread.join());
    check(TOTAL.load(Ordering::Relaxed) == count * (count - 1) * STORM, "not every call was answered once")
}

/// A page is mapped and unmapped while the others read it all the time: after the unmapping returned, nobody does.
pub fn shootdown() -> Outcome {
    several()?;
    static STOP: AtomicBool = AtomicBool::new(false);
    static READS: AtomicU64 = AtomicU64::new(0);
    static STALE: AtomicU64 = AtomicU64::new(0);
    /// Odd: the page is not mapped, and has left every TLB.
    static PHASE: AtomicU64 = AtomicU64::new(1);
    STOP.store(false, Ordering::Relaxed);
    READS.store(0, Ordering::Relaxed);
    STALE.store(0, Ordering::Relaxed);
    let phys = crate::platform::page_source::page().ok_or("no memory")?;
    let readers = on_others(|_| {
        while !STOP.load(Ordering::Relaxed) {
            let before = PHASE.load(Ordering::SeqCst);
            let read = probe::read_u64(PAGE).is_some();
            let is_same = PHASE.load(Ordering::SeqCst) == before;
            READS.fetch_add(read.into(), Ordering::Relaxed);
            STALE.fetch_add((read && is_same && before % 2 == 1).into(), Ordering::Relaxed);
        }
        0
    })?;
    let mut good = true;
    for _ in 0..UNMAPS {
        let mut tables = kernel_tables::lock();
        PHASE.fetch_add(1, Ordering::SeqCst);
        good &= tables.map(PAGE, phys, PAGE_SIZE, Attributes::kernel(Rights::Read), 1).is_ok();
        let seen = READS.load(Ordering::Relaxed);
        while READS.load(Ordering::Relaxed) == seen {
            core::hint::spin_loop();
        }
        good &= tables.edit(&KernelTlb, |_| ()).unmap(PAGE..PAGE + PAGE_SIZE, Room::Look).is_ok();
        PHASE.fetch_add(1, Ordering::SeqCst);
    }
    STOP.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|thread| _ = thread.join());
    crate::platform::page_source::free(phys);
    check(good, "the page could not be mapped and unmapped")?;
    check(STALE.load(Ordering::Relaxed) == 0, "a page was read after its shootdown had returned")
}

/// The clock, read on every CPU in turn and by all at once, never steps back.
pub fn one_time() -> Outcome {
    several()?;
    static LAST: AtomicU64 = AtomicU64::new(0);
    static BACK: AtomicU64 = AtomicU64::new(0);
    const ROUNDS: usize = 20_000;
    LAST.store(0, Ordering::SeqCst);
    BACK.store(0, Ordering::SeqCst);
    call::run_on_all(&|| {
        for _ in 0..ROUNDS {
            let before = LAST.load(Ordering::SeqCst);
            let now = Machine::now_ns();
            BACK.fetch_add((now < before).into(), Ordering::Relaxed);
            LAST.fetch_max(now, Ordering::SeqCst);
        }
    });
    check(BACK.load(Ordering::Relaxed) == 0, "the clock stepped back between two CPUs")
}

/// Times that two CPUs hand each other: so many, or as many as fit into the time. It is little where two of the machine's
/// CPUs have to take turns on one of the host's.
const HANDOVERS: u64 = 10_000;
const FEWEST_HANDOVERS: u64 = 200;
const HANDOVERS_NS: u64 = 500_000_000;

/// The clock goes with a message: whoever reads it after having been told another CPU's time reads no less.
pub fn handover() -> Outcome {
    several()?;
    /// Whose turn it is: the caller's if even. It ends with the limit's.
    static TURN: AtomicU64 = AtomicU64::new(0);
    static LIMIT: AtomicU64 = AtomicU64::new(0);
    static TIME: AtomicU64 = AtomicU64::new(0);
    static BACK: AtomicU64 = AtomicU64::new(0);
    fn play(first: u64) {
        let begun = Machine::now_ns();
        let mut turn = first;
        while turn < LIMIT.load(Ordering::Relaxed) {
            while TURN.load(Ordering::Acquire) != turn {
                core::hint::spin_loop();
            }
            let told = TIME.load(Ordering::Relaxed);
            let now = Machine::now_ns();
            if now < told {
                BACK.fetch_add(1, Ordering::Relaxed);
            }
            // Before the turn is given away: the other one sees it with that.
            if first == 0 && turn >= FEWEST_HANDOVERS && now.saturating_sub(begun) > HANDOVERS_NS {
                LIMIT.store(turn + 2, Ordering::Relaxed);
            }
            TIME.store(now, Ordering::Relaxed);
            TURN.store(turn + 1, Ordering::Release);
            turn += 2;
        }
    }
    let _pin = NoPreemption::new();
    let own = percpu::number();
    BACK.store(0, Ordering::Relaxed);
    let begun = Machine::now_ns();
    let mut sum = 0;
    for cpu in copies::online().iter().filter(|&cpu| cpu != own) {
        TURN.store(0, Ordering::Relaxed);
        LIMIT.store(HANDOVERS, Ordering::Relaxed);
        call::send(&CpuSet::one(cpu), |_| play(1), 0);
        play(0);
        let limit = LIMIT.load(Ordering::Relaxed);
        while TURN.load(Ordering::Acquire) != limit {
            core::hint::spin_loop();
        }
        sum += limit;
    }
    info!(target: "selftest", "{sum} times handed over, {} ns each", Machine::now_ns().saturating_sub(begun) / sum);
    check(BACK.load(Ordering::Relaxed) == 0, "a CPU read a time before the one that it had been told")
}
