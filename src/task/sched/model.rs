//! A run queue as the book has it: lists, every sum made anew each time, the first found by looking at all.
//!
//! It is what `queue.rs`, `fair.rs` and `real_time.rs` are compared with. It knows the rules and no structure: no
//! tree, no kept sums, no bit map. Virtual times are i128 and never come round.

use super::entity::{Policy, QUANTUM_NS};
use super::queue::{Arrival, Leaving};
use super::weight::{pace, rate, virtual_of};
use std::vec::Vec;

/// A thread in the model's queue, or out of it.
#[derive(Clone, Debug)]
pub struct Thread {
    pub id: u32,
    pub policy: Policy,
    pub slice_ns: u64,
    pub vruntime: i128,
    pub deadline: i128,
    pub lag: i128,
    pub quantum_ns: u64,
    pub slept_at_ns: u64,
    pub cpu_ns: u64,
}

impl Thread {
    pub fn new(id: u32, policy: Policy) -> Self {
        let (vruntime, deadline, lag) = (0, 0, 0);
        let slice_ns = super::entity::SLICE_NS;
        Self {
            id,
            policy,
            slice_ns,
            vruntime,
            deadline,
            lag,
            quantum_ns: QUANTUM_NS,
            slept_at_ns: 0,
            cpu_ns: 0,
        }
    }

    fn weight(&self) -> i128 {
        i128::from(self.policy.weight())
    }

    fn is_fair(&self) -> bool {
        self.policy.rank() == 0
    }

    fn slice(&self) -> i128 {
        i128::from(virtual_of(self.slice_ns, rate(self.policy.weight())))
    }
}

#[derive(Default)]
pub struct Model {
    /// Those that wait, in the order in which they began to; those that were preempted among real-time threads first.
    pub waiting: Vec<Thread>,
    pub running: Option<Thread>,
    pub wants_switch: bool,
    charged_ns: u64,
    /// V of the empty queue.
    rest: i128,
}

impl Model {
    fn fair(&self) -> impl Iterator<Item = &Thread> {
        self.waiting.iter().chain(&self.running).filter(|thread| thread.is_fair())
    }

    fn load(&self) -> i128 {
        self.fair().map(Thread::weight).sum()
    }

    /// V, rounded down.
    fn now(&self) -> i128 {
        let sum: i128 = self.fair().map(|thread| thread.weight() * thread.vruntime).sum();
        if self.load() == 0 { self.rest } else { sum.div_euclid(self.load()) }
    }

    /// v ≤ V, which for whole numbers is the same with V rounded down.
    fn is_eligible(&self, thread: &Thread) -> bool {
        thread.vruntime <= self.now()
    }

    pub fn account(&mut self, now_ns: u64) {
        let ran_ns = now_ns - self.charged_ns;
        self.charged_ns = now_ns;
        let waits_fair = self.waiting.iter().any(Thread::is_fair);
        let Some(running) = &mut self.running else { return };
        if ran_ns == 0 {
            return;
        }
        running.cpu_ns += ran_ns;
        match running.policy {
            Policy::Fifo(_) => {}
            Policy::RoundRobin(rank) => {
                running.quantum_ns = running.quantum_ns.saturating_sub(ran_ns);
                let others = self.waiting.iter().any(|thread| thread.policy.rank() == rank);
                self.wants_switch |= running.quantum_ns == 0 && others;
            }
            policy => {
                running.vruntime += i128::from(virtual_of(ran_ns, rate(policy.weight())));
                if running.vruntime >= running.deadline {
                    running.deadline = running.vruntime + running.slice();
                    self.wants_switch |= waits_fair;
                }
            }
        }
    }

    fn join(&self, thread: &mut Thread, arrival: Arrival, now_ns: u64) {
        let (load, weight) = (self.load(), thread.weight());
        let mut lag = thread.lag;
        if lag < 0 && arrival == Arrival::Woken {
            let forgiven = pace(now_ns - thread.slept_at_ns, (load + weight) as u64);
            lag = (lag + i128::from(forgiven)).min(0);
        }
        lag = if load > 0 { lag + lag * weight / load } else { 0 };
        let request = if arrival == Arrival::Moved { thread.deadline } else { thread.slice() };
        thread.vruntime = self.now() - lag;
        thread.deadline = thread.vruntime + request;
    }

    /// Of the thread that is about to leave: what it takes along.
    fn leave(&mut self, thread: &mut Thread, moves: bool) {
        self.waiting.push(thread.clone());
        let now = self.now();
        self.waiting.pop();
        let most = 2 * thread.slice();
        thread.lag = (now - thread.vruntime).clamp(-most, most);
        if moves {
            thread.deadline -= thread.vruntime;
        }
        if self.load() == 0 {
            self.rest = now;
        }
    }

    pub fn enqueue(&mut self, mut thread: Thread, arrival: Arrival, now_ns: u64) -> bool {
        self.account(now_ns);
        if thread.is_fair() {
            self.join(&mut thread, arrival, now_ns);
        }
        self.waiting.push(thread);
        let new = self.waiting.last().unwrap();
        self.wants_switch |= match &self.running {
            None => true,
            Some(running) if !new.is_fair() || !running.is_fair() => {
                new.policy.rank() > running.policy.rank()
            }
            Some(running) => match (new.policy, running.policy) {
                (Policy::Idle, Policy::Idle) | (Policy::Batch(_), Policy::Normal(_) | Policy::Batch(_)) => {
                    false
                }
                (Policy::Idle, _) => false,
                (_, Policy::Idle) => true,
                _ => new.deadline < running.deadline && self.is_eligible(new),
            },
        };
        self.wants_switch
    }

    pub fn dequeue(&mut self, id: u32, now_ns: u64) -> Thread {
        self.account(now_ns);
        let at = self.waiting.iter().position(|thread| thread.id == id).expect("waits");
        let mut thread = self.waiting.remove(at);
        if thread.is_fair() {
            self.leave(&mut thread, true);
        }
        thread
    }

    /// Of those that wait: the real-time thread with the highest priority; else the eligible one with the earliest
    /// deadline; of equals the first.
    fn first(&self) -> Option<usize> {
        let places = 0..self.waiting.len();
        let real_time = places.clone().filter(|&at| !self.waiting[at].is_fair());
        let highest = real_time.min_by_key(|&at| 100 - self.waiting[at].policy.rank());
        let eligible = places.filter(|&at| self.is_eligible(&self.waiting[at]));
        highest.or_else(|| eligible.min_by_key(|&at| self.waiting[at].deadline))
    }

    /// Gives the thread that has left.
    pub fn schedule(&mut self, leaving: Leaving, now_ns: u64) -> Option<Thread> {
        self.account(now_ns);
        if leaving == Leaving::Preempted && !self.wants_switch {
            return None;
        }
        self.wants_switch = false;
        let Some(mut old) = self.running.take() else {
            self.running = self.first().map(|at| self.waiting.remove(at));
            return None;
        };
        if matches!(leaving, Leaving::Sleeps | Leaving::Moves) {
            if old.is_fair() {
                self.leave(&mut old, leaving == Leaving::Moves);
            }
            old.slept_at_ns = now_ns;
            self.running = self.first().map(|at| self.waiting.remove(at));
            return Some(old);
        }
        let mut is_last = old.is_fair();
        match old.policy {
            Policy::RoundRobin(_) if old.quantum_ns == 0 => {
                old.quantum_ns = QUANTUM_NS;
                is_last = true;
            }
            Policy::RoundRobin(_) | Policy::Fifo(_) => is_last = leaving == Leaving::Yields,
            _ if leaving == Leaving::Yields => {
                let slice = old.slice();
                self.waiting.push(old.clone());
                let is_eligible = self.is_eligible(&old);
                self.waiting.pop();
                if is_eligible {
                    old.vruntime = old.deadline;
                    old.deadline += slice;
                } else {
                    old.deadline = old.vruntime + 2 * slice;
                }
            }
            _ => {}
        }
        self.waiting.insert(if is_last { self.waiting.len() } else { 0 }, old);
        self.running = self.first().map(|at| self.waiting.remove(at));
        None
    }

    pub fn set_policy(&mut self, id: u32, policy: Policy, now_ns: u64) {
        self.account(now_ns);
        let now = self.now();
        let is_running = self.running.as_ref().is_some_and(|thread| thread.id == id);
        let mut thread = if is_running {
            self.running.take().unwrap()
        } else {
            let at = self.waiting.iter().position(|thread| thread.id == id).expect("is here");
            self.waiting.remove(at)
        };
        let (old, new) = (thread.weight(), i128::from(policy.weight()));
        let was_fair = thread.is_fair();
        if was_fair && policy.rank() == 0 {
            let request = (thread.deadline - thread.vruntime) * old / new;
            thread.vruntime = now - (now - thread.vruntime) * old / new;
            thread.deadline = thread.vruntime + request;
            thread.policy = policy;
        } else {
            if was_fair {
                self.leave(&mut thread, false);
            }
            thread.lag = thread.lag * old / new;
            thread.policy = policy;
            if policy.rank() == 0 {
                self.join(&mut thread, Arrival::New, now_ns);
            }
        }
        thread.quantum_ns = QUANTUM_NS;
        if is_running {
            self.running = Some(thread);
        } else {
            self.waiting.push(thread);
        }
        self.wants_switch |= !self.waiting.is_empty();
    }
}
