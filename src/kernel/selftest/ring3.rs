//! What belongs to a ring-3 program follows its thread: registers, segments, memory. Many programs at a time, on whichever
//! CPUs there are.

use super::{Outcome, check, threads};
use crate::arch::x86_64::percpu::{self, NoPreemption};
use crate::arch::x86_64::user::Start;
use crate::arch::x86_64::{cr, usercopy};
use crate::boot::layout::PAGE_SIZE;
use crate::kernel::user::running::{self, Started};
use crate::kernel::user::space::{STACK_SIZE, STACK_TOP, Space};
use crate::kernel::user::{self, End, programs};
use crate::mm::space::poison;
use crate::mm::vma::area::Prot;
use crate::mm::vma::space::{MapFlags, Mapping};
use crate::platform::pc::ipi::call;
use crate::platform::{Machine, Platform, tlb};
use crate::task::{self, Policy, schedule};
use crate::testing::Random;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

fn load(name: &str) -> Result<Space, super::Trouble> {
    Ok(user::load(programs::find(name).ok_or("a program is missing")?)?)
}

/// The n-th of several of the same program: its number and its rounds in rdi, its own bases.
fn numbered(space: &Space, number: u64, rounds: u64) -> Start {
    let bases = [STACK_SIZE / 2, STACK_SIZE / 4 * 3].map(|below| STACK_TOP - below + 64 * number);
    let [fs_base, gs_base] = bases;
    let Start { frame, .. } = user::start_of(space);
    Start::new(frame.rip, frame.rsp, number | rounds << 32, (fs_base, gs_base))
}

/// One of 64 has said how its program ended.
static SAID: AtomicBool = AtomicBool::new(false);

/// A thread of `smp-ring3`: runs the program that holds a pattern, again and again.
fn hold(seed: usize) -> usize {
    const ROUNDS: u64 = 2000;
    let code = || {
        let Ok(space) = load("patterns") else { return u32::MAX };
        let start = numbered(&space, seed as u64, ROUNDS);
        match running::Running::new(space, start).run() {
            Ok(End::Exit(code)) => code.into(),
            Ok(other) => {
                if !SAID.swap(true, Ordering::Relaxed) {
                    log::error!(target: "selftest", "a program ended otherwise: {other}");
                }
                u32::MAX
            }
            Err(_) => u32::MAX,
        }
    };
    while threads::goes_on(code()) {}
    0
}

/// `smp-ring3`.
pub fn registers() -> Outcome {
    SAID.store(false, Ordering::Relaxed);
    threads::survive(hold, 10_000, "smp-ring3")
}

/// `long-ring3`.
pub fn registers_long() -> Outcome {
    SAID.store(false, Ordering::Relaxed);
    threads::survive(hold, 1_000_000, "long-ring3")
}

/// `smp-stop`: programs that never end are ended from outside, whether they have begun or not.
pub fn stop() -> Outcome {
    const PROGRAMS: usize = 8;
    let before = running::count();
    for round in 0..10 {
        let mut started = Vec::new();
        for _ in 0..PROGRAMS {
            let space = load("forever")?;
            let mut start = user::start_of(&space);
            start.frame.rdi = 0;
            started.push(running::start(space, start)?);
        }
        // In the first rounds they are stopped before they begin, if they are not very quick.
        while round > 2 && running::count() - before < PROGRAMS {
            task::sleep_until(Machine::now_ns() + 1_000_000);
        }
        let last = started.pop();
        started.iter().for_each(|program| program.running().stop());
        for program in started {
            check(matches!(program.wait()?, End::Stopped), "a program that was stopped ended otherwise")?;
        }
        // This one by being forgotten.
        drop(last);
        check(running::count() == before, "a program that was stopped runs")?;
    }
    Ok(())
}

/// With poison in free frames; looks at it afterwards.
fn poisoned(test: impl FnOnce() -> Outcome) -> Outcome {
    let (filled, spoiled) = poison::found();
    poison::set(true);
    let outcome = test();
    poison::set(false);
    let now = poison::found();
    log::info!(target: "selftest", "{} frames were poisoned", now.0 - filled);
    check(now.1 == spoiled, "a free frame was written to")?;
    check(now.0 > filled, "no frame was free at any time")?;
    outcome
}

/// `smp-churn`: programs that share an address space map, touch and unmap memory in it.
pub fn churn() -> Outcome {
    const PROGRAMS: u64 = 8;
    const TURNS: usize = 100;
    const ABOUT_NS: u64 = 3_000_000_000;
    let end_ns = Machine::now_ns() + ABOUT_NS;
    poisoned(|| {
        let space = load("churn")?;
        for turn in 0..TURNS {
            // Once in any case; see `END_NS` below.
            if turn > 0 && Machine::now_ns() > end_ns {
                break;
            }
            let mut started = Vec::new();
            for number in 0..PROGRAMS {
                let rsp = STACK_TOP - number * STACK_SIZE / PROGRAMS;
                let mut start = numbered(&space, number, 3);
                start.frame.rsp = rsp;
                started.push(running::start(space.clone(), start)?);
            }
            // All of them, or those that are left would run on.
            let ends: Vec<_> = started.into_iter().map(Started::wait).collect();
            for end in ends {
                let end = end?;
                if !matches!(end, End::Exit(0)) {
                    log::error!(target: "selftest", "a program ended otherwise: {end}");
                }
                check(matches!(end, End::Exit(0)), "memory was not zero, or not what was written")?;
            }
        }
        Ok(())
    })
}

/// What the threads of [`unmap`] share.
static SHARED: AtomicPtr<Space> = AtomicPtr::new(core::ptr::null_mut());
/// How often each of them unmaps its page; and from when on they come to an end, if each has done a few. A round takes
/// microseconds or a tenth of a second, as CPUs wait for each other that a busy host runs by turns.
static UNMAPS: AtomicU64 = AtomicU64::new(0);
static END_NS: AtomicU64 = AtomicU64::new(0);
const FEW: u64 = 10;
const OWNERS: usize = 6;
/// Of each owner's page: odd while it is not mapped, and has left every TLB.
static PHASES: [AtomicU64; OWNERS] = [const { AtomicU64::new(1) }; OWNERS];
/// Reads of poison, of an unmapped page, of another's bytes; refusals; and good reads.
static POISON: AtomicU64 = AtomicU64::new(0);
static STALE: AtomicU64 = AtomicU64::new(0);
static FOREIGN: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicUsize = AtomicUsize::new(0);
static GOOD: AtomicU64 = AtomicU64::new(0);

fn page_of(owner: usize) -> u64 {
    (1 << 32) + owner as u64 * 2 * PAGE_SIZE
}

/// What an owner writes to his page.
fn tag(owner: usize, round: u64) -> u64 {
    (0xA0 + owner as u64) << 32 | round
}

/// A look at somebody's page.
fn visit(owner: usize) {
    let before = PHASES[owner].load(Ordering::SeqCst);
    let read = usercopy::read::<u64>(page_of(owner));
    let is_same = PHASES[owner].load(Ordering::SeqCst) == before;
    match read {
        Err(_) => return,
        Ok(poison::POISON) => &POISON,
        Ok(_) if is_same && before % 2 == 1 => &STALE,
        Ok(word) if word != 0 && word >> 32 != 0xA0 + owner as u64 => &FOREIGN,
        Ok(_) => &GOOD,
    }
    .fetch_add(1, Ordering::Relaxed);
}

/// A kernel thread with the shared memory: maps a page, writes to it, unmaps it, and visits the others'.
fn own(me: usize) -> usize {
    // SAFETY: `unmap` waits for this thread before it lets the space go.
    let space = unsafe { &*SHARED.load(Ordering::Acquire) };
    let active = space.activate();
    let mut random = Random::new(me as u64);
    let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED;
    let prot = Prot::READ | Prot::WRITE;
    for round in 0..UNMAPS.load(Ordering::Relaxed) {
        if round >= FEW && Machine::now_ns() > END_NS.load(Ordering::Relaxed) {
            break;
        }
        PHASES[me].fetch_add(1, Ordering::SeqCst);
        let mapped =
            space.space().map(Mapping { addr: page_of(me), len: PAGE_SIZE, prot, flags, file: None });
        let wrote = usercopy::write(page_of(me), &tag(me, round));
        (0..random.below(4)).for_each(|_| visit(random.below(OWNERS as u64) as usize));
        let read = usercopy::read::<u64>(page_of(me));
        if mapped.is_err() || wrote.is_err() || read != Ok(tag(me, round)) {
            REFUSED.fetch_add(1, Ordering::Relaxed);
        }
        if space.space().unmap(page_of(me), PAGE_SIZE).is_err() {
            REFUSED.fetch_add(1, Ordering::Relaxed);
        }
        PHASES[me].fetch_add(1, Ordering::SeqCst);
        (0..random.below(8)).for_each(|_| visit(random.below(OWNERS as u64) as usize));
    }
    drop(active);
    0
}

/// `smp-unmap`: no CPU reads a page of an address space after it was unmapped.
pub fn unmap() -> Outcome {
    unmap_often(2000, 3_000_000_000)
}

/// `long-unmap`.
pub fn unmap_long() -> Outcome {
    unmap_often(100_000, 200_000_000_000)
}

/// Each thread so many times, but not much longer than that.
fn unmap_often(times: u64, about_ns: u64) -> Outcome {
    UNMAPS.store(times, Ordering::Relaxed);
    END_NS.store(Machine::now_ns() + about_ns, Ordering::Relaxed);
    let space = load("count")?;
    SHARED.store((&raw const space).cast_mut(), Ordering::Release);
    PHASES.iter().for_each(|phase| phase.store(1, Ordering::SeqCst));
    for counter in [&POISON, &STALE, &FOREIGN, &GOOD] {
        counter.store(0, Ordering::Relaxed);
    }
    REFUSED.store(0, Ordering::Relaxed);
    let outcome = poisoned(|| {
        let mut owners = Vec::new();
        let mut all_began = true;
        // Each stays on its CPU. So all CPUs are in it; and with `forget=shootdown` what is stale is only read: an owner that
        // came to another CPU would write to a frame that is somebody else's by now, and anything might happen.
        let cpus: Vec<_> = schedule::online().iter().collect();
        for owner in 0..OWNERS {
            match task::spawn_on(cpus[owner % cpus.len()], "owner", Policy::Normal(0), own, owner) {
                Ok(thread) => owners.push(thread),
                Err(_) => all_began = false,
            }
        }
        owners.into_iter().for_each(|owner| _ = owner.join());
        check(all_began, "no memory for a thread")
    });
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    log::info!(target: "selftest", "smp-unmap: {} reads of others' pages", count(&GOOD));
    check(count(&POISON) == 0, "a free frame was read")?;
    check(count(&STALE) == 0, "a page was read after it was unmapped")?;
    check(count(&FOREIGN) == 0, "somebody else's bytes were read")?;
    check(REFUSED.load(Ordering::Relaxed) == 0, "a thread's own page was refused, or had other bytes")?;
    check(count(&GOOD) > 0, "nobody ever read another's page")?;
    outcome
}

/// This CPU's number, and the top table in its CR3.
fn look_at_cr3() -> (usize, u64) {
    let _pin = NoPreemption::new();
    (percpu::number(), cr::cr3() & !(PAGE_SIZE - 1))
}

/// `smp-borrow`: the kernel's threads have a program's address space as long as no other comes, and nobody has it when
/// it is gone.
pub fn borrow() -> Outcome {
    const ROUNDS: usize = 1000;
    fn looks(_: usize) -> usize {
        let (cpu, root) = look_at_cr3();
        root as usize | cpu
    }
    let space = load("count")?;
    let root = space.space().root();
    let active = space.activate();
    let (home, found) = look_at_cr3();
    check(found == root, "a thread does not have its memory")?;
    let loads = tlb::LOADS.value_on(home);
    let (mut stayed, mut borrowed, mut other) = (true, 0, 0);
    for _ in 0..ROUNDS {
        // More urgent than this one; and it has no memory of a program's.
        let looker = task::spawn_on(home, "looks", Policy::Fifo(1), looks, 0);
        let found = looker.map_err(|_| "no memory for a thread")?.join();
        let is_home = found as u64 & (PAGE_SIZE - 1) == home as u64;
        let has_it = found as u64 & !(PAGE_SIZE - 1) == root;
        (borrowed, other) =
            (borrowed + usize::from(is_home && has_it), other + usize::from(is_home && !has_it));
        let (cpu, found) = look_at_cr3();
        stayed &= cpu == home;
        check(found == root, "a thread comes back to other memory than its own")?;
    }
    log::info!(target: "selftest", "smp-borrow: {borrowed} of {ROUNDS} threads on this CPU had a program's memory, {other} had not");
    if stayed {
        check(
            other == 0 && tlb::LOADS.value_on(home) == loads,
            "CR3 was written although the memory stayed",
        )?;
    }
    drop(active);
    // This thread borrows it now. A program runs in it, here or elsewhere, and leaves it behind there.
    check(!stayed || look_at_cr3().1 == root, "CR3 was written for a thread that needs no memory")?;
    for _ in 0..4 {
        let start = user::start_of(&space);
        check(matches!(running::start(space.clone(), start)?.wait()?, End::Exit(_)), "a program failed")?;
    }
    let have_it = || {
        let count = AtomicUsize::new(0);
        call::run_on_all(&|| _ = count.fetch_add((look_at_cr3().1 == root).into(), Ordering::Relaxed));
        count.into_inner()
    };
    check(have_it() > 0, "no CPU has kept the memory of a program")?;
    drop(space);
    check(have_it() == 0, "a CPU has the page tables of a program that is gone")
}
