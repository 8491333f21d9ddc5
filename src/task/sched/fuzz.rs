//! Random calls of two run queues, compared with the model of `model.rs` after each; the tree's invariants, too.
//!
//! `SIS_FUZZ` sets the number of calls (120,000 without it), `SIS_FUZZ_SEED` another sequence.

use super::entity::Whereabouts;
use super::fair::Fair;
use super::model::{Model, Thread};
use super::weight::is_before;
use super::{Arrival, Board, Entity, Leaving, Policy, RunQueue};
use crate::avl::{Nodes, Side};
use crate::testing::Random;
use std::boxed::Box;
use std::vec::Vec;

const CALLS: u64 = 120_000;
const QUEUES: usize = 2;
const IDLE_ID: u32 = 1_000_000;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect(variable))
}

impl Fair {
    /// Order by deadline, heights, sums, links, and the count of those that wait.
    fn check(&self) {
        let mut found = 0;
        let mut before: Option<&'static Entity> = None;
        let mut at = self.outermost(Side::Left);
        while let Some(entity) = at {
            assert_eq!(self.sum(at), self.summed(at), "the sum at {}", entity.id());
            let (left, right) = (self.child(at, Side::Left), self.child(at, Side::Right));
            assert!(self.height(left).abs_diff(self.height(right)) <= 1, "balance at {}", entity.id());
            for child in [left, right].into_iter().flatten() {
                assert!(child.parent.get() == at, "the parent of {}", child.id());
            }
            if let Some(before) = before {
                assert!(!is_before(entity.deadline.get(), before.deadline.get()), "order at {}", entity.id());
            }
            assert_eq!(entity.whereabouts(), Whereabouts::Queued);
            before = at;
            found += 1;
            at = self.neighbour(at, Side::Right);
        }
        assert_eq!(found, self.waiting());
    }
}

struct Both {
    board: &'static Board,
    queues: Vec<RunQueue>,
    models: Vec<Model>,
    /// Those that are in no queue, as the model has them; the second: on their way to another CPU.
    away: Vec<(Thread, bool)>,
    entities: Vec<&'static Entity>,
    now_ns: u64,
    random: Random,
    switches: u64,
}

impl Both {
    fn new(seed: u64) -> Self {
        let board: &'static Board = Box::leak(Box::new(Board::new()));
        let idle = |cpu: usize| -> &'static Entity {
            Box::leak(Box::new(Entity::new(IDLE_ID + cpu as u32, Policy::Idle)))
        };
        Self {
            board,
            queues: (0..QUEUES).map(|cpu| RunQueue::new(cpu, idle(cpu), board, 0)).collect(),
            models: (0..QUEUES).map(|_| Model::default()).collect(),
            away: Vec::new(),
            entities: Vec::new(),
            now_ns: 0,
            random: Random::new(seed),
            switches: 0,
        }
    }

    fn some_policy(&mut self) -> Policy {
        let nice = self.random.below(40) as i8 - 20;
        let rank = 1 + self.random.below(3) as u8 * 49;
        match self.random.below(20) {
            0 => Policy::Fifo(rank),
            1 => Policy::RoundRobin(rank),
            2 => Policy::Idle,
            3 | 4 => Policy::Batch(nice),
            5..11 => Policy::Normal(nice),
            _ => Policy::Normal(0),
        }
    }

    fn call(&mut self) {
        self.now_ns += match self.random.below(8) {
            0 => 0,
            1 => self.random.below(200_000_000),
            2 | 3 => self.random.below(6_000_000),
            _ => self.random.below(300_000),
        };
        let now_ns = self.now_ns;
        let at = self.random.index(QUEUES);
        let (queue, model) = (&mut self.queues[at], &mut self.models[at]);
        match self.random.below(16) {
            0 if self.entities.len() < 60 => {
                let policy = self.some_policy();
                let id = self.entities.len() as u32;
                self.entities.push(Box::leak(Box::new(Entity::new(id, policy))));
                self.enqueue(at, Thread::new(id, policy), Arrival::New);
            }
            0..4 if !self.away.is_empty() => {
                let (thread, moves) = self.away.swap_remove(self.random.index(self.away.len()));
                self.enqueue(at, thread, if moves { Arrival::Moved } else { Arrival::Woken });
            }
            4 | 5 => self.schedule(at, Leaving::Sleeps),
            6 => self.schedule(at, Leaving::Moves),
            7 | 8 => self.schedule(at, Leaving::Yields),
            9..13 => {
                // As the timer has it, or at any time.
                if let Some(event) = queue.next_event().filter(|_| self.random.below(2) == 0) {
                    self.now_ns = now_ns.max(event);
                }
                let found = queue.tick(self.now_ns);
                model.account(self.now_ns);
                assert_eq!(found, model.wants_switch);
                if self.random.below(4) > 0 {
                    self.schedule(at, Leaving::Preempted);
                }
            }
            13 if !model.waiting.is_empty() => {
                let id = model.waiting[self.random.index(model.waiting.len())].id;
                queue.dequeue(self.entities[id as usize], now_ns);
                let thread = model.dequeue(id, now_ns);
                self.away.push((thread, true));
            }
            14 => {
                let here: Vec<_> =
                    model.waiting.iter().chain(&model.running).map(|thread| thread.id).collect();
                if !here.is_empty() {
                    let (id, policy) = (self.random.pick(&here), self.some_policy());
                    self.queues[at].set_policy(self.entities[id as usize], policy, now_ns);
                    self.models[at].set_policy(id, policy, now_ns);
                }
            }
            15 if !self.entities.is_empty() => {
                let (id, slice_ns) = (self.random.index(self.entities.len()), self.random.below(12_000_000));
                self.entities[id].set_slice(slice_ns);
                let slice_ns = self.entities[id].slice_ns();
                let all = self
                    .models
                    .iter_mut()
                    .flat_map(|model| model.waiting.iter_mut().chain(&mut model.running));
                let mut all = all.chain(self.away.iter_mut().map(|(thread, _)| thread));
                all.find(|thread| thread.id == id as u32).expect("somewhere").slice_ns = slice_ns;
            }
            _ => self.schedule(at, Leaving::Preempted),
        }
    }

    fn enqueue(&mut self, at: usize, thread: Thread, arrival: Arrival) {
        let entity = self.entities[thread.id as usize];
        let (queue, model) = (&mut self.queues[at], &mut self.models[at]);
        // As one who wakes it does, who may be switched away from, or anybody else.
        if self.random.below(2) == 0 {
            let (old, new) = (queue.running(), queue.enqueue_and_schedule(entity, arrival, self.now_ns));
            self.switches += u64::from(old != new);
            model.enqueue(thread, arrival, self.now_ns);
            model.schedule(Leaving::Preempted, self.now_ns);
        } else {
            let found = queue.enqueue(entity, arrival, self.now_ns);
            assert_eq!(found, model.enqueue(thread, arrival, self.now_ns), "whether to switch");
        }
    }

    fn schedule(&mut self, at: usize, leaving: Leaving) {
        if leaving != Leaving::Preempted && self.queues[at].is_idle() {
            return;
        }
        let old = self.queues[at].running();
        let new = self.queues[at].schedule(leaving, self.now_ns);
        self.switches += u64::from(old != new);
        if let Some(thread) = self.models[at].schedule(leaving, self.now_ns) {
            self.away.push((thread, leaving == Leaving::Moves));
        }
    }

    fn compare(&self) {
        for (at, (queue, model)) in self.queues.iter().zip(&self.models).enumerate() {
            let running = model.running.as_ref().map_or(IDLE_ID + at as u32, |thread| thread.id);
            assert_eq!(queue.running().id(), running, "who runs");
            assert_eq!(queue.wants_switch(), model.wants_switch);
            assert_eq!(queue.waiting() as usize, model.waiting.len());
            for thread in model.waiting.iter().chain(&model.running) {
                let entity = self.entities[thread.id as usize];
                assert_eq!((entity.policy(), entity.cpu()), (thread.policy, at));
                assert_eq!(entity.cpu_ns(), thread.cpu_ns, "time of {}", thread.id);
                if thread.policy.rank() == 0 {
                    assert_eq!(entity.vruntime.get(), thread.vruntime as u64, "vruntime of {}", thread.id);
                    assert_eq!(entity.deadline.get(), thread.deadline as u64, "deadline of {}", thread.id);
                }
            }
            let load = self.board.load(at);
            assert_eq!(load.running, model.running.as_ref().map_or(0, |thread| 1 + thread.policy.rank()));
            assert_eq!(self.board.is_idle(at), queue.is_idle() && load.threads == 0);
            assert_eq!(self.board.crowded().contains(at), load.threads > 1);
            assert_eq!(usize::from(load.threads), model.waiting.len() + usize::from(model.running.is_some()));
            queue.fair().check();
        }
    }
}

#[test]
fn random_calls_come_out_as_in_the_model() {
    let mut both = Both::new(number("SIS_FUZZ_SEED", 3));
    let calls = number("SIS_FUZZ", CALLS);
    for call in 0..calls {
        let attempt = std::panic::AssertUnwindSafe(|| {
            both.call();
            both.compare();
        });
        if let Err(failure) = std::panic::catch_unwind(attempt) {
            std::eprintln!("in call {call}");
            std::panic::resume_unwind(failure);
        }
    }
    assert!(both.entities.len() == 60 && both.switches > calls / 10, "{} switches", both.switches);
}
