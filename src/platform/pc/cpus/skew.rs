//! One time on all CPUs: whether the others' time-stamp counters show what the boot CPU's does.
//!
//! Once all are online, the boot CPU goes through them: it calls each, and while that one stays in the called function,
//! counts are exchanged through a word of its per-CPU data. `time::skew` makes bounds of them. If a counter is provably
//! another, the TSC is no clock for this machine, and the next best counter is, from the present moment on.
//!
//! ```text
//! boot CPU                                    the other CPU, in `answer`
//! before = TSC; turn = ASKED           --->
//!                                      <---   count = TSC; turn = ANSWERED
//! after = TSC
//! … again …
//! turn = OVER                          --->   goes back to what it did
//! ```
//!
//! IA32_TSC_ADJUST, where it exists, holds all that has been written to a counter since reset. If it differs between two
//! CPUs whose counts do not, somebody has made good for resets at different times: a line says so, and no more.
//! Source: Intel SDM vol. 3 §17.17.3 (IA32_TSC_ADJUST), §17.17.4 (invariant time-keeping).

use super::super::clock;
use super::super::ipi::call;
use crate::arch::x86_64::percpu::per_cpu;
use crate::arch::x86_64::percpu::{self, InterruptsOff, copies};
use crate::arch::x86_64::tsc;
use crate::cpu_set::CpuSet;
use crate::time::rate::Rate;
use crate::time::skew::{Skew, Verdict};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use log::{info, warn};

/// Exchanges with each CPU: at most so many, and after the first few no more than fit into the time. Under an emulator
/// with fewer threads than CPUs each may take milliseconds.
const MOST: u32 = 100;
const FEW: u32 = 2;
const BUDGET_NS: u64 = 2_000_000;
/// What a reading of the counter may be off by: less than the fastest message between two cores takes.
const DOUBT_NS: u64 = 20;
/// How long a CPU may take for one answer.
const PATIENCE_NS: u64 = 5_000_000_000;
/// Looks at the word between two at the clock.
const LOOKS: u32 = 100;

/// Of [`Exchange::turn`]: nobody's yet; the boot CPU wants a count; here it is; no more.
const NOT_YET: u32 = 0;
const ASKED: u32 = 1;
const ANSWERED: u32 = 2;
const OVER: u32 = 3;

/// What a CPU and the boot CPU talk by.
struct Exchange {
    turn: AtomicU32,
    count: AtomicU64,
    adjust: AtomicU64,
}

per_cpu! {
    static EXCHANGE: Exchange =
        Exchange { turn: AtomicU32::new(NOT_YET), count: AtomicU64::new(0), adjust: AtomicU64::new(0) };
}

/// A test hook: this CPU's counts are taken for greater by so many nanoseconds.
pub type Pretended = (usize, i64);

/// The other CPU's part: what it is called for.
fn answer(_: usize) {
    let pin = InterruptsOff::new();
    let exchange = EXCHANGE.here(&pin);
    exchange.adjust.store(tsc::adjustment(), Ordering::Relaxed);
    loop {
        match exchange.turn.load(Ordering::Acquire) {
            ASKED => {
                // LFENCE keeps the reading behind the load; the stores come after what they depend on, and in order.
                exchange.count.store(tsc::read_ordered(), Ordering::Relaxed);
                exchange.turn.store(ANSWERED, Ordering::Release);
            }
            OVER => return,
            _ => core::hint::spin_loop(),
        }
    }
}

/// Waits for an answer; false if it does not come.
fn is_answered(exchange: &Exchange) -> bool {
    let begun = clock::now_ns();
    loop {
        for _ in 0..LOOKS {
            if exchange.turn.load(Ordering::Acquire) == ANSWERED {
                return true;
            }
            core::hint::spin_loop();
        }
        if clock::now_ns().saturating_sub(begun) > PATIENCE_NS {
            return false;
        }
    }
}

/// The boot CPU's part.
fn measure(cpu: usize, pretended: u64) -> Skew {
    let mut skew = Skew::new();
    let Some(exchange) = EXCHANGE.on(cpu) else { return skew };
    exchange.turn.store(NOT_YET, Ordering::Relaxed);
    call::send(&CpuSet::one(cpu), answer, 0);
    let begun = clock::now_ns();
    for number in 0..MOST {
        let before = tsc::read_ordered();
        exchange.turn.store(ASKED, Ordering::Release);
        if !is_answered(exchange) {
            break;
        }
        let after = tsc::read_ordered();
        skew.add(before, exchange.count.load(Ordering::Relaxed).wrapping_add(pretended), after);
        if number >= FEW && clock::now_ns().saturating_sub(begun) > BUDGET_NS {
            break;
        }
    }
    exchange.turn.store(OVER, Ordering::Release);
    skew
}

/// Compares all CPUs that run with the boot CPU, which executes this, and drops the TSC if need be.
pub fn check(pretended: Option<Pretended>) {
    let Some(rate) = clock::tsc_rate() else { return };
    let doubt = rate.inverse().to_counts(DOUBT_NS);
    let (mut within, mut asked, mut apart) = (0, 1, 0);
    for cpu in copies::online().iter().filter(|&cpu| cpu != percpu::number()) {
        let pretended_ns = pretended.filter(|hook| hook.0 == cpu).map_or(0, |hook| hook.1);
        let counts = rate.inverse().to_counts(pretended_ns.unsigned_abs());
        let verdict =
            measure(cpu, if pretended_ns < 0 { counts.wrapping_neg() } else { counts }).verdict(doubt);
        asked += 1;
        match verdict {
            Verdict::Alike { within: counts } => within = counts.max(within),
            Verdict::Unknown => warn!(target: "smp", "CPU {cpu}: does not say what its TSC shows"),
            _ => {
                apart += 1;
                accuse(cpu, verdict, rate);
            }
        }
        if verdict != Verdict::Unknown {
            compare_adjust(cpu);
        }
    }
    if apart == 0 {
        info!(target: "clock", "TSC alike on {asked} CPUs, within {} ns", rate.to_ns(within));
    } else if !clock::upkeep::skewed() {
        warn!(target: "clock", "TSC, for want of anything else: between CPUs time may step back");
    }
}

fn accuse(cpu: usize, verdict: Verdict, rate: Rate) {
    match verdict {
        Verdict::Ahead { least } => {
            warn!(target: "smp", "CPU {cpu}: its TSC is ahead by {} ns or more", rate.to_ns(least));
        }
        Verdict::Behind { least } => {
            warn!(target: "smp", "CPU {cpu}: its TSC is behind by {} ns or more", rate.to_ns(least));
        }
        _ => warn!(target: "smp", "CPU {cpu}: its TSC counts at another rate"),
    }
}

fn compare_adjust(cpu: usize) {
    let Some(exchange) = EXCHANGE.on(cpu) else { return };
    let more = exchange.adjust.load(Ordering::Relaxed).wrapping_sub(tsc::adjustment()) as i64;
    if more != 0 {
        warn!(target: "smp", "CPU {cpu}: IA32_TSC_ADJUST is the boot CPU's and {more}");
    }
}
