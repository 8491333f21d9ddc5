//! A machine of the imagination: CPUs with run queues, a clock that jumps from event to event, threads that behave.
//!
//! It does what the thread layer does, without threads: every thread is a pattern of running and sleeping. What the
//! policy promises is then looked at from outside, by who has had how much, who waited how long, and who was where.

use super::balance;
use super::place;
use super::topology::Position;
use super::{Arrival, Board, CpuSet, Entity, Leaving, Policy, RunQueue, Topology};
use crate::testing::Random;
use std::boxed::Box;
use std::vec::Vec;

mod tests;

const MS: u64 = 1_000_000;

/// What a thread does with a CPU.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// It computes for ever.
    Hog,
    /// It runs for some time, sleeps for another, and so on. Both vary by up to a quarter.
    Sleeper { run_ns: u64, sleep_ns: u64 },
    /// It yields whenever it has run for so long.
    Yielder { run_ns: u64 },
    /// It runs, begets another like it, and ends.
    Parent { run_ns: u64 },
}

struct Thread {
    entity: &'static Entity,
    does: Does,
    /// What is left of its burst.
    left_ns: u64,
    wakes_ns: Option<u64>,
    has_ended: bool,
}

struct Cpu {
    queue: RunQueue,
    round: u64,
}

struct Machine {
    now_ns: u64,
    cpus: Vec<Cpu>,
    threads: Vec<Thread>,
    board: &'static Board,
    topology: Topology,
    random: Random,
    switches: u64,
    events: u64,
}

fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

impl Machine {
    /// CPUs in cores of two, cores in packages of two.
    fn new(cpus: usize) -> Self {
        let board: &'static Board = leaked(Board::new());
        let topology = Topology::flat();
        let at = |cpu| Position { package: cpu / 4, core: cpu / 2 };
        topology.set(&(0..cpus as u32).map(at).collect::<Vec<_>>());
        let idle = |cpu: usize| leaked(Entity::new(1_000_000 + cpu as u32, Policy::Normal(0)));
        let cpus = (0..cpus).map(|cpu| Cpu { queue: RunQueue::new(cpu, idle(cpu), board, 0), round: 0 });
        let cpus = cpus.collect();
        let random = Random::new(1);
        let (threads, now_ns) = (Vec::new(), 0);
        Self { now_ns, cpus, threads, board, topology, random, switches: 0, events: 0 }
    }

    fn start(&mut self, policy: Policy, does: Does, allowed: CpuSet) -> usize {
        self.start_from(0, policy, does, allowed)
    }

    fn start_from(&mut self, parent: usize, policy: Policy, does: Does, allowed: CpuSet) -> usize {
        let entity: &'static Entity = leaked(Entity::new(self.threads.len() as u32, policy));
        entity.set_allowed(&allowed);
        let cpu = place::on_fork(entity, parent, self.board, &self.topology).expect("a CPU");
        self.threads.push(Thread { entity, does, left_ns: 0, wakes_ns: None, has_ended: false });
        let number = self.threads.len() - 1;
        self.new_burst(number);
        self.put(cpu, number, Arrival::New);
        number
    }

    fn vary(&mut self, ns: u64) -> u64 {
        ns - ns / 8 + self.random.below(ns / 4 + 1)
    }

    fn new_burst(&mut self, number: usize) {
        self.threads[number].left_ns = match self.threads[number].does {
            Does::Hog => u64::MAX,
            Does::Sleeper { run_ns, .. } | Does::Yielder { run_ns } | Does::Parent { run_ns } => {
                self.vary(run_ns)
            }
        };
    }

    fn put(&mut self, cpu: usize, number: usize, arrival: Arrival) {
        let entity = self.threads[number].entity;
        assert!(entity.may_run_on(cpu), "CPU {cpu} is not for thread {number}");
        if self.cpus[cpu].queue.enqueue(entity, arrival, self.now_ns) {
            self.switch(cpu, Leaving::Preempted);
        }
    }

    fn switch(&mut self, cpu: usize, leaving: Leaving) {
        let old = self.cpus[cpu].queue.running();
        let new = self.cpus[cpu].queue.schedule(leaving, self.now_ns);
        assert!(new.id() >= 1_000_000 || new.may_run_on(cpu), "CPU {cpu} is not for thread {}", new.id());
        self.switches += u64::from(new != old);
        if self.cpus[cpu].queue.is_idle() {
            let moved = [false, true].into_iter().any(|again| {
                let plan = balance::on_idle(cpu, again, self.board, &self.topology);
                plan.is_some_and(|plan| self.carry_out(plan))
            });
            assert!(!moved || !self.cpus[cpu].queue.is_idle());
        }
    }

    fn carry_out(&mut self, plan: balance::Move) -> bool {
        let Some(entity) = plan.candidate(&self.cpus[plan.from].queue) else { return false };
        self.cpus[plan.from].queue.dequeue(entity, self.now_ns);
        self.put(plan.to, entity.id() as usize, Arrival::Moved);
        true
    }

    /// When something happens on a CPU: its timer, or the end of its thread's burst.
    fn next_on(&self, cpu: usize) -> u64 {
        let queue = &self.cpus[cpu].queue;
        let burst = match queue.is_idle() {
            true => u64::MAX,
            false => self.now_ns.saturating_add(self.threads[queue.running().id() as usize].left_ns),
        };
        queue.next_event().unwrap_or(u64::MAX).max(self.now_ns).min(burst)
    }

    fn run_for(&mut self, ns: u64) {
        let end = self.now_ns + ns;
        loop {
            let timers = (0..self.cpus.len()).map(|cpu| self.next_on(cpu)).min().unwrap();
            let wakes = self.threads.iter().filter_map(|thread| thread.wakes_ns).min().unwrap_or(u64::MAX);
            let next = timers.min(wakes).min(end);
            let passed = next - self.now_ns;
            for cpu in &self.cpus {
                if !cpu.queue.is_idle() {
                    let thread = &mut self.threads[cpu.queue.running().id() as usize];
                    thread.left_ns = thread.left_ns.saturating_sub(passed);
                }
            }
            self.now_ns = next;
            if next == end {
                self.cpus.iter_mut().for_each(|cpu| cpu.queue.account(next));
                return;
            }
            self.events += 1;
            for number in 0..self.threads.len() {
                if self.threads[number].wakes_ns.is_some_and(|at| at <= next) {
                    self.threads[number].wakes_ns = None;
                    self.new_burst(number);
                    let entity = self.threads[number].entity;
                    let cpu = place::on_wake_up(entity, self.board, &self.topology).expect("a CPU");
                    self.put(cpu, number, Arrival::Woken);
                }
            }
            (0..self.cpus.len()).for_each(|cpu| self.look_at(cpu));
        }
    }

    fn look_at(&mut self, cpu: usize) {
        let running = self.cpus[cpu].queue.running().id() as usize;
        if !self.cpus[cpu].queue.is_idle() && self.threads[running].left_ns == 0 {
            self.burst_is_over(cpu, running);
        }
        let queue = &mut self.cpus[cpu].queue;
        if queue.next_event().is_some_and(|at| at <= self.now_ns) {
            let now_ns = self.now_ns;
            let wants_switch = queue.tick(now_ns);
            if queue.is_balance_due(now_ns) {
                self.cpus[cpu].round += 1;
                if let Some(plan) = balance::plan(cpu, self.cpus[cpu].round, self.board) {
                    self.carry_out(plan);
                }
            }
            if wants_switch {
                self.switch(cpu, Leaving::Preempted);
            }
        }
    }

    fn burst_is_over(&mut self, cpu: usize, number: usize) {
        match self.threads[number].does {
            Does::Hog => {}
            Does::Yielder { .. } => {
                self.new_burst(number);
                self.switch(cpu, Leaving::Yields);
            }
            Does::Sleeper { sleep_ns, .. } => {
                let sleep_ns = self.vary(sleep_ns);
                self.threads[number].wakes_ns = Some(self.now_ns + sleep_ns);
                self.switch(cpu, Leaving::Sleeps);
            }
            does @ Does::Parent { .. } => {
                let entity = self.threads[number].entity;
                self.threads[number].has_ended = true;
                self.start_from(cpu, entity.policy(), does, entity.allowed());
                // The child may have displaced it; then it ends when it comes to run again, with its burst over.
                if self.cpus[cpu].queue.running() == entity {
                    self.switch(cpu, Leaving::Sleeps);
                } else {
                    self.threads[number].does = Does::Sleeper { run_ns: 1, sleep_ns: u64::MAX / 8 };
                }
            }
        }
    }

    fn cpu_ns(&self, thread: usize) -> u64 {
        self.threads[thread].entity.cpu_ns()
    }

    fn longest_wait_ns(&self, thread: usize) -> u64 {
        self.threads[thread].entity.statistics().longest_wait_ns
    }
}
