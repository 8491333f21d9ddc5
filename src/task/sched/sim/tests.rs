//! What the policy promises, looked at on the machine of `sim.rs`.

use super::*;
use crate::task::sched::entity::{QUANTUM_NS, SLICE_NS};
use crate::task::sched::weight;

const SECOND: u64 = 1000 * MS;

fn near(found: u64, expected: u64, percent: u64) {
    assert!(
        found.abs_diff(expected) * 100 <= expected * percent,
        "{found}, not {expected} within {percent} %"
    );
}

/// The longest that a thread of weight `weight` may wait on a CPU with a load of `load`, as docs/13-scheduling.md has
/// it: it is behind by one slice at most, its next request is one slice, and another's may have to end first.
fn bound_ns(load: u64, weight: u32) -> u64 {
    2 * SLICE_NS * load / u64::from(weight) + SLICE_NS
}

#[test]
fn equal_threads_get_equal_shares() {
    let mut machine = Machine::new(1);
    let threads: Vec<_> = (0..7).map(|_| machine.start(Policy::Normal(0), Does::Hog, CpuSet::ALL)).collect();
    machine.run_for(10 * SECOND);
    for thread in threads {
        near(machine.cpu_ns(thread), 10 * SECOND / 7, 2);
        let wait = machine.longest_wait_ns(thread);
        assert!(wait <= bound_ns(7 * 1024, 1024), "waited {wait}");
    }
    assert!(machine.switches >= 10 * SECOND / SLICE_NS - 2, "{}", machine.switches);
    assert!(machine.switches <= 10 * SECOND / SLICE_NS + 10, "no switch without need: {}", machine.switches);
}

#[test]
fn nice_values_share_by_their_weights() {
    for other in [5, -5, 19, -20] {
        let mut machine = Machine::new(1);
        let a = machine.start(Policy::Normal(0), Does::Hog, CpuSet::ALL);
        let b = machine.start(Policy::Normal(other), Does::Hog, CpuSet::ALL);
        machine.run_for(60 * SECOND);
        let (of_a, of_b) = (u64::from(weight::of_nice(0)), u64::from(weight::of_nice(other)));
        near(machine.cpu_ns(a), 60 * SECOND * of_a / (of_a + of_b), 5);
        near(machine.cpu_ns(b), 60 * SECOND * of_b / (of_a + of_b), 5);
        for (thread, weight) in [(a, of_a), (b, of_b)] {
            let wait = machine.longest_wait_ns(thread);
            assert!(wait <= bound_ns(of_a + of_b, weight as u32), "nice {other}, {weight}: waited {wait}");
        }
    }
}

#[test]
fn eight_on_four_cpus_get_half_each() {
    let mut machine = Machine::new(4);
    let threads: Vec<_> = (0..8).map(|_| machine.start(Policy::Normal(0), Does::Hog, CpuSet::ALL)).collect();
    machine.run_for(10 * SECOND);
    threads.iter().for_each(|&thread| near(machine.cpu_ns(thread), 5 * SECOND, 5));
}

/// All of them begin on one CPU, are let go, and spread by themselves.
#[test]
fn what_was_crowded_spreads() {
    let mut machine = Machine::new(4);
    let threads: Vec<_> =
        (0..8).map(|_| machine.start(Policy::Normal(0), Does::Hog, CpuSet::one(2))).collect();
    machine.run_for(SECOND);
    threads.iter().for_each(|&thread| near(machine.cpu_ns(thread), SECOND / 8, 5));
    threads.iter().for_each(|&thread| machine.threads[thread].entity.set_allowed(&CpuSet::ALL));
    machine.run_for(SECOND / 2);
    let before: Vec<_> = threads.iter().map(|&thread| machine.cpu_ns(thread)).collect();
    machine.run_for(10 * SECOND);
    for (&thread, before) in threads.iter().zip(before) {
        near(machine.cpu_ns(thread) - before, 5 * SECOND, 5);
    }
}

#[test]
fn real_time_goes_before_fair() {
    let mut machine = Machine::new(1);
    let hog = machine.start(Policy::Normal(-20), Does::Hog, CpuSet::ALL);
    let fifo =
        machine.start(Policy::Fifo(10), Does::Sleeper { run_ns: 2 * MS, sleep_ns: 7 * MS }, CpuSet::ALL);
    machine.run_for(10 * SECOND);
    assert_eq!(machine.longest_wait_ns(fifo), 0, "it displaces at once");
    let all = machine.cpu_ns(hog) + machine.cpu_ns(fifo);
    assert_eq!(all, 10 * SECOND);
    near(machine.cpu_ns(fifo), 10 * SECOND * 2 / 9, 5);
    // One that does not sleep lets nobody else run.
    machine.start(Policy::Fifo(9), Does::Hog, CpuSet::ALL);
    let before = machine.cpu_ns(hog);
    machine.run_for(SECOND);
    assert_eq!(machine.cpu_ns(hog), before);
}

#[test]
fn round_robin_takes_turns_and_fifo_does_not() {
    let mut machine = Machine::new(1);
    let turns: Vec<_> =
        (0..3).map(|_| machine.start(Policy::RoundRobin(20), Does::Hog, CpuSet::ALL)).collect();
    machine.run_for(30 * QUANTUM_NS);
    turns.iter().for_each(|&thread| assert_eq!(machine.cpu_ns(thread), 10 * QUANTUM_NS));
    turns.iter().for_each(|&thread| assert!(machine.longest_wait_ns(thread) <= 2 * QUANTUM_NS));
    let mut machine = Machine::new(1);
    let first = machine.start(Policy::Fifo(20), Does::Hog, CpuSet::ALL);
    machine.start(Policy::Fifo(20), Does::Hog, CpuSet::ALL);
    machine.run_for(SECOND);
    assert_eq!(machine.cpu_ns(first), SECOND);
    assert_eq!(machine.cpus[0].queue.next_event(), None, "nothing to wait for");
}

#[test]
fn real_time_is_pushed_to_other_cpus_when_it_wakes() {
    let mut machine = Machine::new(4);
    (0..4).for_each(|_| _ = machine.start(Policy::Normal(0), Does::Hog, CpuSet::ALL));
    let does = Does::Sleeper { run_ns: 3 * MS, sleep_ns: MS };
    let threads: Vec<_> = (0..4).map(|_| machine.start(Policy::Fifo(50), does, CpuSet::ALL)).collect();
    machine.run_for(10 * SECOND);
    threads.iter().for_each(|&thread| near(machine.cpu_ns(thread), 10 * SECOND * 3 / 4, 5));
    threads.iter().for_each(|&thread| assert_eq!(machine.longest_wait_ns(thread), 0));
}

/// A thread that seldom wants the CPU has it soon, hogs or not.
#[test]
fn interactive_threads_are_served_soon() {
    let mut machine = Machine::new(1);
    (0..5).for_each(|_| _ = machine.start(Policy::Normal(0), Does::Hog, CpuSet::ALL));
    let does = Does::Sleeper { run_ns: MS / 5, sleep_ns: 20 * MS };
    let thread = machine.start(Policy::Normal(0), does, CpuSet::ALL);
    machine.run_for(20 * SECOND);
    let statistics = machine.threads[thread].entity.statistics();
    let mean = statistics.waited_ns / statistics.wakeups;
    assert!(statistics.wakeups > 800, "{statistics:?}");
    assert!(mean <= 2 * SLICE_NS, "a mean of {mean} ns");
    assert!(statistics.longest_wait_ns <= bound_ns(6 * 1024, 1024), "{statistics:?}");
}

/// Short slices are served sooner, not more.
#[test]
fn short_slices_wait_less_and_get_the_same() {
    let mut machine = Machine::new(1);
    let threads: Vec<_> = (0..4).map(|_| machine.start(Policy::Normal(0), Does::Hog, CpuSet::ALL)).collect();
    machine.threads[3].entity.set_slice(MS / 2);
    machine.run_for(12 * SECOND);
    threads.iter().for_each(|&thread| near(machine.cpu_ns(thread), 3 * SECOND, 2));
    let of = |thread: usize| machine.threads[thread].entity.statistics();
    let mean = |thread| of(thread).waited_ns / (of(thread).involuntary + 1);
    assert!(mean(3) * 2 < mean(0), "{} and {}", mean(3), mean(0));
}

#[test]
fn the_idle_class_gets_what_is_left() {
    let mut machine = Machine::new(1);
    let idle = machine.start(Policy::Idle, Does::Hog, CpuSet::ALL);
    let does = Does::Sleeper { run_ns: 4 * MS, sleep_ns: 6 * MS };
    let busy = machine.start(Policy::Normal(0), does, CpuSet::ALL);
    machine.run_for(10 * SECOND);
    near(machine.cpu_ns(busy), 4 * SECOND, 5);
    assert_eq!(machine.cpu_ns(idle) + machine.cpu_ns(busy), 10 * SECOND);
    let hog = machine.start(Policy::Normal(0), Does::Hog, CpuSet::ALL);
    let before = machine.cpu_ns(idle);
    machine.run_for(10 * SECOND);
    let share = machine.cpu_ns(idle) - before;
    assert!(share > 0 && share < 10 * SECOND / 100, "little, but not nothing: {share}");
    assert!(machine.cpu_ns(hog) > 5 * SECOND);
}

#[test]
fn yielders_make_room() {
    let mut machine = Machine::new(1);
    let threads: Vec<_> = (0..2)
        .map(|_| machine.start(Policy::Normal(0), Does::Yielder { run_ns: MS / 100 }, CpuSet::ALL))
        .collect();
    machine.run_for(SECOND);
    threads.iter().for_each(|&thread| near(machine.cpu_ns(thread), SECOND / 2, 2));
    assert!(machine.switches > 90_000, "each yield is a switch: {}", machine.switches);
    let hog = machine.start(Policy::Normal(0), Does::Hog, CpuSet::ALL);
    machine.run_for(SECOND);
    assert!(machine.cpu_ns(hog) > SECOND * 9 / 10, "what is given up, others have: {}", machine.cpu_ns(hog));
}

/// Forty threads that wake up all the time, and others that beget each other: the hog still comes to its share.
#[test]
fn storms_starve_nobody() {
    let mut machine = Machine::new(2);
    let hog = machine.start(Policy::Normal(0), Does::Hog, CpuSet::one(0));
    let does = Does::Sleeper { run_ns: MS / 10, sleep_ns: MS / 5 };
    (0..40).for_each(|_| _ = machine.start(Policy::Normal(0), does, CpuSet::ALL));
    machine.run_for(10 * SECOND);
    // 40 threads and one on two CPUs, all of one weight.
    assert!(machine.cpu_ns(hog) > 10 * SECOND * 2 / 41 * 9 / 10, "{}", machine.cpu_ns(hog));
    let wait = machine.longest_wait_ns(hog);
    assert!(wait <= bound_ns(41 * 1024, 1024), "waited {wait}");

    for parents in 1..=2 {
        let mut machine = Machine::new(1);
        let hog = machine.start(Policy::Normal(0), Does::Hog, CpuSet::ALL);
        let does = Does::Parent { run_ns: MS };
        (0..parents).for_each(|_| _ = machine.start(Policy::Normal(0), does, CpuSet::ALL));
        machine.run_for(SECOND);
        assert!(machine.cpu_ns(hog) > SECOND / 4, "{parents} parents: {}", machine.cpu_ns(hog));
        assert!(machine.threads.len() > 200, "{}", machine.threads.len());
    }
}

/// Each may run on some CPUs only, and that changes; `put` and `switch` look each time.
#[test]
fn affinity_is_never_violated() {
    let mut machine = Machine::new(8);
    let mut random = Random::new(9);
    for number in 0..60 {
        let one = random.index(8);
        let allowed = CpuSet::of((0..8).filter(|&cpu| cpu == one || random.below(3) == 0));
        let does = match number % 3 {
            0 => Does::Hog,
            1 => Does::Sleeper { run_ns: 2 * MS, sleep_ns: 5 * MS },
            _ => Does::Yielder { run_ns: MS },
        };
        machine.start(Policy::Normal(random.below(5) as i8), does, allowed);
        if number % 6 == 0 {
            let does = Does::Sleeper { run_ns: MS / 3, sleep_ns: 5 * MS };
            machine.start(Policy::Fifo(5), does, allowed);
        }
    }
    machine.run_for(5 * SECOND);
    let migrations: u64 = machine.threads.iter().map(|thread| thread.entity.statistics().migrations).sum();
    assert!(migrations > 100, "{migrations}");
    assert!(machine.threads.iter().all(|thread| thread.entity.cpu_ns() > 0));
}

#[test]
fn a_cpu_with_one_thread_or_none_needs_no_timer() {
    let mut machine = Machine::new(2);
    machine.start(Policy::Normal(0), Does::Hog, CpuSet::ALL);
    machine.run_for(100 * SECOND);
    assert_eq!((machine.events, machine.cpus[0].queue.next_event()), (0, None));
    assert_eq!(machine.cpu_ns(0), 100 * SECOND);
}
