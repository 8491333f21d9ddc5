//! A CPU's run queue: who runs, who waits, and when to look at that again.
//!
//! The thread layer says what happens, each time with the time:
//!
//! ```text
//!   a thread begins, wakes up, comes from another CPU   enqueue     may ask for a switch
//!   the running one is to go, or may have to            schedule    says who runs from now on
//!   a waiting one goes to another CPU                   dequeue
//!   the timer that next_event asked for                 tick        may ask for a switch
//! ```
//!
//! To ask for a switch is to set a flag ([`RunQueue::wants_switch`]); the CPU calls `schedule` when it next may switch.
//! The flag is the thread that runs being out of turn. Without it `schedule` changes nothing for one that could go on.
//!
//! Time is charged whenever the CPU's queue is looked at: to the thread that runs, in nanoseconds, and to its virtual
//! time. There is no periodic tick. [`RunQueue::next_event`] is the end of a request or quantum, if anybody is waiting
//! for it, and without anybody there is no event at all.

use super::board::{Board, IDLE, Line, Load, RT_WEIGHT};
use super::entity::{Entity, Policy, QUANTUM_NS, Whereabouts};
use super::fair::Fair;
use super::real_time::{End, RealTime};
use super::weight;

/// How a thread comes into a run queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// For the first time.
    New,
    /// It has slept.
    Woken,
    /// From another CPU, without having slept.
    Moved,
}

/// Why a CPU looks for another thread to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// The running one could go on. It does if nobody has asked for a switch.
    Preempted,
    /// It lets others go first.
    Yields,
    /// It waits for something, or has ended.
    Sleeps,
    /// It is to go on on another CPU.
    Moves,
}

/// Time between two looks at whether the load is well spread, while somebody waits.
pub const BALANCE_NS: u64 = 20_000_000;
/// Waiting threads that are looked at to find one that may go to another CPU.
const LOOKS: usize = 8;

/// See the head of this file.
#[derive(Debug)]
pub struct RunQueue {
    fair: Fair,
    real_time: RealTime,
    running: &'static Entity,
    idle: &'static Entity,
    /// Up to when time is charged.
    charged_ns: u64,
    wants_switch: bool,
    cpu: u32,
    /// Real-time threads, the running one included.
    real_time_threads: u32,
    next_balance_ns: u64,
    board: &'static Board,
    shown: Line,
}

impl RunQueue {
    /// Of a CPU that runs its idle thread, `idle`, and nothing else. It is online with that. The policy of the idle
    /// thread does not matter: it runs when nobody else wants to.
    pub fn new(cpu: usize, idle: &'static Entity, board: &'static Board, now_ns: u64) -> Self {
        idle.put_whereabouts(Whereabouts::Running);
        idle.cpu.set(cpu as u32);
        board.bring_online(cpu);
        Self {
            fair: Fair::new(),
            real_time: RealTime::new(),
            running: idle,
            idle,
            charged_ns: now_ns,
            wants_switch: false,
            cpu: cpu as u32,
            real_time_threads: 0,
            next_balance_ns: now_ns,
            board,
            shown: Line::NOTHING,
        }
    }

    /// Who runs.
    #[inline]
    pub const fn running(&self) -> &'static Entity {
        self.running
    }

    #[inline]
    pub fn is_idle(&self) -> bool {
        self.running == self.idle
    }

    /// Whether `schedule` would not let the running thread go on.
    #[inline]
    pub const fn wants_switch(&self) -> bool {
        self.wants_switch
    }

    /// Charges the running thread the time that has passed, so that its `cpu_ns` is right.
    #[inline]
    pub fn account(&mut self, now_ns: u64) {
        let ran_ns = now_ns.saturating_sub(self.charged_ns);
        if ran_ns == 0 {
            return;
        }
        self.charged_ns = now_ns;
        let running = self.running;
        running.cpu_ns.add(ran_ns);
        if running == self.idle {
            return;
        }
        if running.is_fair() {
            let step = weight::virtual_of(ran_ns, running.rate.get());
            if self.fair.serve(running, step) && self.fair.waiting() > 0 {
                self.wants_switch = true;
            }
        } else if running.takes_turns() {
            let left_ns = running.quantum_ns.get().saturating_sub(ran_ns);
            running.quantum_ns.set(left_ns);
            if left_ns == 0 && self.real_time.waits_at(running.rank.get()) {
                self.wants_switch = true;
            }
        }
    }

    /// Puts in a thread that is in no queue. True if this CPU is to switch: if it is another one than the caller's, it
    /// must be told.
    #[inline]
    pub fn enqueue(&mut self, entity: &'static Entity, arrival: Arrival, now_ns: u64) -> bool {
        self.take_in(entity, arrival, now_ns);
        self.show();
        self.wants_switch
    }

    /// The same for a CPU's own queue, where it may switch at once: says who runs from now on, as
    /// [`schedule`](Self::schedule) does.
    #[inline]
    pub fn enqueue_and_schedule(
        &mut self,
        entity: &'static Entity,
        arrival: Arrival,
        now_ns: u64,
    ) -> &'static Entity {
        let old = self.running;
        let slept_ns = self.receive(entity, arrival, now_ns);
        if self.is_most_urgent(entity) {
            // It would be the first in line, so it need not go there.
            self.real_time_threads += 1;
            if old != self.idle {
                self.fair.wait(old);
            }
            self.wants_switch = false;
            self.switch_to(entity, Leaving::Preempted, now_ns);
            return entity;
        }
        self.line_up(entity, slept_ns);
        let new = self.choose(Leaving::Preempted, now_ns);
        // Otherwise it has been shown.
        if old.rank.get() == new.rank.get() {
            self.show();
        }
        new
    }

    /// Whether one that comes in is real-time and more urgent than all others here, and displaces nobody who is.
    #[inline]
    fn is_most_urgent(&self, entity: &Entity) -> bool {
        let displaces_fair = self.running == self.idle || self.running.is_fair();
        displaces_fair && entity.rank.get() > self.real_time.highest()
    }

    #[inline]
    fn take_in(&mut self, entity: &'static Entity, arrival: Arrival, now_ns: u64) {
        let slept_ns = self.receive(entity, arrival, now_ns);
        self.line_up(entity, slept_ns);
    }

    /// One that comes in belongs to this CPU from now on. For how long it has slept, if it has not just moved.
    #[inline]
    fn receive(&mut self, entity: &'static Entity, arrival: Arrival, now_ns: u64) -> Option<u64> {
        debug_assert!(entity.whereabouts() == Whereabouts::Away, "in a queue already");
        debug_assert!(entity.may_run_on(self.cpu as usize), "not allowed here");
        self.account(now_ns);
        if arrival == Arrival::Woken {
            entity.counters().wakeups.add(1);
        }
        entity.send_to(self.cpu as usize);
        let slept_ns = match arrival {
            Arrival::New => Some(0),
            Arrival::Woken => Some(now_ns.saturating_sub(entity.since_ns.get())),
            Arrival::Moved => None,
        };
        entity.since_ns.set(now_ns);
        slept_ns
    }

    /// It waits from now on, or asks for a switch.
    #[inline]
    fn line_up(&mut self, entity: &'static Entity, slept_ns: Option<u64>) {
        self.add(entity, slept_ns);
        if self.displaces(entity) {
            self.wants_switch = true;
        }
    }

    /// Into its class, among those that wait.
    #[inline]
    fn add(&mut self, entity: &'static Entity, slept_ns: Option<u64>) {
        if entity.is_fair() {
            self.fair.join(entity, slept_ns);
            self.fair.wait(entity);
        } else {
            self.real_time_threads += 1;
            self.real_time.insert(entity, End::Back);
        }
        entity.put_whereabouts(Whereabouts::Queued);
    }

    /// Whether one that has just come in is to run at once.
    #[inline]
    fn displaces(&self, entity: &Entity) -> bool {
        let running = self.running;
        if running == self.idle {
            return true;
        }
        if !entity.is_fair() || !running.is_fair() {
            return entity.rank.get() > running.rank.get();
        }
        if entity.is_idle_class() != running.is_idle_class() {
            return running.is_idle_class();
        }
        !entity.is_patient() && self.fair.goes_before(entity, running)
    }

    /// Takes out a thread that waits, to go to another CPU.
    pub fn dequeue(&mut self, entity: &'static Entity, now_ns: u64) {
        debug_assert!(
            entity.whereabouts() == Whereabouts::Queued && entity.cpu.get() == self.cpu,
            "not here"
        );
        self.account(now_ns);
        self.remove_waiting(entity);
        entity.put_whereabouts(Whereabouts::Away);
        self.show();
    }

    fn remove_waiting(&mut self, entity: &'static Entity) {
        if entity.is_fair() {
            self.fair.stop_waiting(entity);
            self.fair.leave(entity, true);
        } else {
            self.real_time_threads -= 1;
            self.real_time.remove(entity);
        }
    }

    /// Says who runs from now on. If that is another one than before, the caller switches to it, and holds on to the
    /// queue's lock until the old one's stack is no longer in use.
    #[inline(always)]
    pub fn schedule(&mut self, leaving: Leaving, now_ns: u64) -> &'static Entity {
        self.account(now_ns);
        self.choose(leaving, now_ns)
    }

    /// The same with time charged.
    #[inline(always)]
    fn choose(&mut self, leaving: Leaving, now_ns: u64) -> &'static Entity {
        let old = self.running;
        if leaving == Leaving::Preempted && !self.wants_switch {
            return old;
        }
        self.wants_switch = false;
        let new = if leaving == Leaving::Sleeps || leaving == Leaving::Moves {
            self.let_go(old, leaving, now_ns);
            self.take_first()
        } else if old == self.idle {
            self.take_first()
        } else if old.is_fair() {
            self.after_fair(old, leaving)
        } else {
            self.after_real_time(old, leaving)
        };
        if new != old {
            self.switch_to(new, leaving, now_ns);
        }
        new
    }

    /// Another one runs from now on, which is not among those that wait; the old one is, or is away.
    #[inline(always)]
    fn switch_to(&mut self, new: &'static Entity, leaving: Leaving, now_ns: u64) {
        let old = self.running;
        let could_go_on = leaving == Leaving::Preempted || leaving == Leaving::Yields;
        if could_go_on {
            old.put_whereabouts(Whereabouts::Queued);
            old.since_ns.set(now_ns);
        }
        let counters = old.counters();
        if leaving == Leaving::Preempted { &counters.involuntary } else { &counters.voluntary }.add(1);
        new.put_whereabouts(Whereabouts::Running);
        if new != self.idle {
            let waited_ns = now_ns.saturating_sub(new.since_ns.get());
            let counters = new.counters();
            counters.waited_ns.add(waited_ns);
            if waited_ns > counters.longest_wait_ns.get() {
                counters.longest_wait_ns.set(waited_ns);
            }
        }
        self.running = new;
        // Nobody has come or gone, and to others the new one is as good as the old one.
        let is_same = could_go_on && old != self.idle && old.rank.get() == new.rank.get();
        if !is_same {
            self.show();
        }
    }

    /// The running thread is no longer this CPU's.
    #[inline]
    fn let_go(&mut self, old: &'static Entity, leaving: Leaving, now_ns: u64) {
        debug_assert!(old != self.idle, "the idle thread does not sleep");
        if old.is_fair() {
            self.fair.leave(old, leaving == Leaving::Moves);
        } else {
            self.real_time_threads -= 1;
        }
        old.put_whereabouts(Whereabouts::Away);
        old.since_ns.set(now_ns);
    }

    /// The first of those that wait, no longer waiting; else the idle thread.
    #[inline]
    fn take_first(&mut self) -> &'static Entity {
        if let Some(first) = self.real_time.first() {
            self.real_time.remove(first);
            return first;
        }
        match self.fair.first() {
            Some(first) => {
                self.fair.stop_waiting(first);
                first
            }
            None => self.idle,
        }
    }

    /// Who runs after a fair thread that could go on.
    #[inline]
    fn after_fair(&mut self, old: &'static Entity, leaving: Leaving) -> &'static Entity {
        if leaving == Leaving::Yields {
            self.fair.give_up(old);
        }
        if !self.real_time.is_empty() {
            self.fair.wait(old);
            return self.take_first();
        }
        // Were `old` among those that wait, it would be behind all with its deadline.
        match self.fair.first() {
            Some(first) if !self.fair.goes_before(old, first) => {
                self.fair.stop_waiting(first);
                self.fair.wait(old);
                first
            }
            _ => old,
        }
    }

    #[inline(always)]
    fn after_real_time(&mut self, old: &'static Entity, leaving: Leaving) -> &'static Entity {
        let turn_is_over = old.takes_turns() && old.quantum_ns.get() == 0;
        let end = if leaving == Leaving::Yields || turn_is_over { End::Back } else { End::Front };
        if turn_is_over {
            old.quantum_ns.set(QUANTUM_NS);
        }
        if end == End::Back {
            if let Some(only) = self.real_time.exchange_only(old) {
                return only;
            }
        }
        // One that is no longer real-time has been put right by `set_policy`.
        self.real_time.insert(old, end);
        self.take_first()
    }

    /// When the running thread is to be looked at again, if nothing else happens: `None` while nobody waits for that.
    /// To be asked after each `enqueue` here, `dequeue`, `schedule` and `tick`; the timer is then set to it.
    #[inline]
    pub fn next_event(&self) -> Option<u64> {
        let running = self.running;
        if running == self.idle {
            return None;
        }
        if !running.is_fair() {
            let is_timed = running.takes_turns() && self.real_time.waits_at(running.rank.get());
            return is_timed.then(|| self.charged_ns.saturating_add(running.quantum_ns.get()));
        }
        if self.fair.waiting() == 0 {
            return None;
        }
        let left = running.deadline.get().wrapping_sub(running.vruntime.get());
        Some(self.charged_ns + weight::real_of(left, running.weight.get()))
    }

    /// The time that `next_event` gave has come, or any other. True if this CPU is to switch.
    pub fn tick(&mut self, now_ns: u64) -> bool {
        self.account(now_ns);
        self.wants_switch
    }

    /// Whether `balance::plan` is to be asked. At a tick; true once in [`BALANCE_NS`], while somebody waits.
    pub fn is_balance_due(&mut self, now_ns: u64) -> bool {
        let is_due = self.fair.waiting() > 0 && now_ns >= self.next_balance_ns;
        if is_due {
            self.next_balance_ns = now_ns + BALANCE_NS;
        }
        is_due
    }

    /// A waiting fair thread that may run on `to` and weighs no more than `most`: the one whose turn here is last, of a
    /// few that are looked at.
    pub fn movable(&self, to: usize, most: u64) -> Option<&'static Entity> {
        self.fair.last_of(LOOKS, |entity| entity.may_run_on(to) && u64::from(entity.weight.get()) <= most)
    }

    /// Another policy for a thread that is in this queue, waiting or running. True if this CPU is to switch.
    ///
    /// # Panics
    /// If a real-time priority is not 1 to 99.
    pub fn set_policy(&mut self, entity: &'static Entity, policy: Policy, now_ns: u64) -> bool {
        debug_assert!(entity.cpu.get() == self.cpu, "not here");
        self.account(now_ns);
        let was = entity.whereabouts();
        let change = || {
            entity.put_whereabouts(Whereabouts::Away);
            entity.put_policy(policy);
            entity.put_whereabouts(was);
        };
        let stays_fair = entity.is_fair() && policy.rank() == 0;
        match was {
            Whereabouts::Away => entity.put_policy(policy),
            Whereabouts::Queued if stays_fair => {
                self.fair.stop_waiting(entity);
                self.fair.reweigh(entity, change);
                self.fair.wait(entity);
            }
            Whereabouts::Queued => {
                self.remove_waiting(entity);
                change();
                self.add(entity, Some(0));
            }
            Whereabouts::Running if entity == self.idle => change(),
            Whereabouts::Running if stays_fair => self.fair.reweigh(entity, change),
            Whereabouts::Running => {
                if entity.is_fair() {
                    self.fair.leave(entity, false);
                } else {
                    self.real_time_threads -= 1;
                }
                change();
                if entity.is_fair() {
                    self.fair.join(entity, Some(0));
                } else {
                    self.real_time_threads += 1;
                }
            }
        }
        // Who comes first now is found out by a switch, perhaps to the one that runs.
        self.wants_switch |= was != Whereabouts::Away && self.waiting() > 0;
        self.show();
        self.wants_switch
    }

    /// Whether a thread waits.
    #[inline]
    pub const fn is_wanted(&self) -> bool {
        self.fair.waiting() > 0 || !self.real_time.is_empty()
    }

    /// Threads that wait.
    pub fn waiting(&self) -> u32 {
        let running = u32::from(!self.is_idle() && !self.running.is_fair());
        self.fair.waiting() + self.real_time_threads - running
    }

    /// Tells the board, if there is news.
    #[inline]
    fn show(&mut self) {
        let is_idle = self.is_idle();
        let is_fair = !is_idle && self.running.is_fair();
        // The real-time thread that runs is among them.
        let threads = self.fair.waiting() + self.real_time_threads + u32::from(is_fair);
        let new = Load {
            weight: self.fair.load() + u64::from(self.real_time_threads) * RT_WEIGHT,
            threads: threads.min(u32::from(u16::MAX)) as u16,
            running: if is_idle { IDLE } else { 1 + self.running.rank.get() },
        };
        self.shown = self.board.show(self.cpu as usize, new, self.shown);
    }

    #[cfg(test)]
    pub(super) const fn fair(&self) -> &Fair {
        &self.fair
    }
}
