//! The fair class: earliest eligible virtual deadline first.
//!
//! Each thread asks for its *slice* again and again. Virtual time V is the mean of what all threads in the queue have
//! had (`vruntime` v, by weight w): if all were served evenly, V is where each would be.
//!
//! ```text
//!               Σ w·v                    lag of a thread:  V − v       what it is owed; Σ w·lag = 0
//!          V = ───────                   eligible:         v ≤ V       it is owed something, or nothing
//!                Σ w                     deadline:         d = v + slice/w   of the request that began at v
//! ```
//!
//! Of the eligible threads the one with the earliest deadline runs, until its request is fulfilled or one with an
//! earlier deadline wakes up. A thread with a short slice so comes to run sooner, and not more. The published result:
//! nobody is ever owed more than the longest slice, and nobody gets ahead by more than its own.
//!
//! V is never computed to pick somebody. With `base` some time near V, the sum S = Σ w·(v − base) is kept, and
//! v ≤ V is the same as (v − base)·Σw ≤ S. Waiting threads are in a tree by deadline, each node with the least
//! `vruntime` of its subtree: so a subtree without an eligible thread is known by its root, and the first eligible one
//! in order is found on one way down. The thread that runs is not in the tree, but in the sums.
//!
//! **Sleep.** Who goes to sleep takes its lag along, two slices at most, and has it back on waking. It may not keep
//! what it had too much for ever, though: it is forgiven what it would have made good by waiting. So a thread neither
//! gains anything by a short sleep nor pays for what is long past.
//!
//! **Newcomers** begin at V with a whole slice to wait for. The thread that has had the least has v ≤ V and therefore an
//! earlier deadline than any newcomer: no storm of short-lived threads keeps it from running.
//!
//! Source: I. Stoica, H. Abdel-Wahab, "Earliest Eligible Virtual Deadline First: A Flexible and Accurate Mechanism for
//! Proportional Share Resource Allocation", TR-95-22, Old Dominion University, 1995.

use super::entity::Entity;
use super::weight::{earlier, is_before, pace};
use crate::avl::{Nodes, Side};

/// Slices of lag that a thread may take along into sleep.
const KEPT_SLICES: i64 = 2;
/// The sum of weighted differences at which `base` follows V: after hours, with time enough to spare before 2^63.
const FAR: u64 = 1 << 60;

type Link = Option<&'static Entity>;

/// The fair threads of a CPU. See the head of this file.
#[derive(Debug)]
pub struct Fair {
    /// Of those that wait, by deadline.
    root: Link,
    /// Σ w·(v − base) over all, the running one included.
    sum: i64,
    /// Σ w, as well.
    load: u64,
    base: u64,
    /// Threads in the tree.
    waiting: u32,
}

/// What a subtree comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    least: u64,
    height: u8,
}

impl Fair {
    pub const fn new() -> Self {
        Self { root: None, sum: 0, load: 0, base: 0, waiting: 0 }
    }

    /// The sum of all weights.
    #[inline]
    pub const fn load(&self) -> u64 {
        self.load
    }

    /// Threads that wait.
    #[inline]
    pub const fn waiting(&self) -> u32 {
        self.waiting
    }

    /// V, rounded down.
    pub const fn now(&self) -> u64 {
        if self.load == 0 {
            return self.base;
        }
        self.base.wrapping_add(self.sum.div_euclid(self.load as i64) as u64)
    }

    /// Whether a thread at `vruntime` has had no more than its due.
    #[inline]
    pub const fn is_eligible(&self, vruntime: u64) -> bool {
        let ahead = vruntime.wrapping_sub(self.base) as i64;
        ahead as i128 * self.load as i128 <= self.sum as i128
    }

    /// Lets an entity that is in no queue take part: `slept_ns` is how long it was away, or `None` if it moves here
    /// from another CPU and its request goes on.
    pub fn join(&mut self, entity: &'static Entity, slept_ns: Option<u64>) {
        let weight = u64::from(entity.weight.get());
        let mut lag = entity.lag.get() as i64;
        if lag < 0 {
            // Virtual time would have gone on by this had it stayed and waited.
            let forgiven = slept_ns.map_or(0, |slept_ns| pace(slept_ns, self.load + weight));
            lag = lag.saturating_add_unsigned(forgiven).min(0);
        }
        // Its coming moves V towards it. To be owed `lag` after that, it must come in from further off.
        if self.load > 0 {
            lag += lag * weight as i64 / self.load as i64;
        } else {
            lag = 0;
        }
        let vruntime = self.now().wrapping_sub(lag as u64);
        let request = if slept_ns.is_some() { entity.virtual_slice() } else { entity.deadline.get() };
        entity.vruntime.set(vruntime);
        entity.deadline.set(vruntime.wrapping_add(request));
        self.load += weight;
        self.count(weight, vruntime.wrapping_sub(self.base) as i64);
    }

    /// The opposite. It must not be in the tree. `moves`: it goes to another CPU, and its request with it.
    pub fn leave(&mut self, entity: &'static Entity, moves: bool) {
        let vruntime = entity.vruntime.get();
        let most = KEPT_SLICES * entity.virtual_slice() as i64;
        let lag = self.now().wrapping_sub(vruntime) as i64;
        entity.lag.set(lag.clamp(-most, most) as u64);
        if moves {
            entity.deadline.set(entity.deadline.get().wrapping_sub(vruntime));
        }
        let weight = entity.weight.get();
        self.load -= u64::from(weight);
        self.sum -= i64::from(weight) * vruntime.wrapping_sub(self.base) as i64;
        if self.load == 0 {
            self.base = vruntime;
        }
    }

    /// Adds a step of virtual time of somebody of this weight to the sum.
    #[inline]
    fn count(&mut self, weight: u64, step: i64) {
        self.sum += weight as i64 * step;
        if self.sum.unsigned_abs() > FAR {
            self.follow();
        }
    }

    /// Brings `base` to V.
    #[cold]
    fn follow(&mut self) {
        let step = self.sum.div_euclid(self.load as i64);
        self.base = self.base.wrapping_add(step as u64);
        self.sum -= step * self.load as i64;
    }

    /// The running thread has had so much more virtual time. True if its request is fulfilled: it begins the next.
    #[inline]
    pub fn serve(&mut self, entity: &'static Entity, step: u64) -> bool {
        let vruntime = entity.vruntime.get().wrapping_add(step);
        entity.vruntime.set(vruntime);
        self.count(u64::from(entity.weight.get()), step as i64);
        let is_fulfilled = !is_before(vruntime, entity.deadline.get());
        if is_fulfilled {
            entity.deadline.set(vruntime.wrapping_add(entity.virtual_slice()));
        }
        is_fulfilled
    }

    /// The running thread gives up what is left of its request, as if it had had it, unless it has had too much anyway;
    /// and begins the next.
    pub fn give_up(&mut self, entity: &'static Entity) {
        let (vruntime, deadline) = (entity.vruntime.get(), entity.deadline.get());
        if self.is_eligible(vruntime) {
            entity.vruntime.set(deadline);
            self.count(u64::from(entity.weight.get()), deadline.wrapping_sub(vruntime) as i64);
            entity.deadline.set(deadline.wrapping_add(entity.virtual_slice()));
        } else {
            entity.deadline.set(vruntime.wrapping_add(2 * entity.virtual_slice()));
        }
    }

    /// Whether `a` goes before `b`, which runs: owed something, with the earlier deadline.
    #[inline]
    pub fn goes_before(&self, a: &Entity, b: &Entity) -> bool {
        is_before(a.deadline.get(), b.deadline.get()) && self.is_eligible(a.vruntime.get())
    }

    /// Puts an entity that takes part among those that wait.
    #[inline]
    pub fn wait(&mut self, entity: &'static Entity) {
        self.waiting += 1;
        if self.root.is_some() {
            self.link(Some(entity));
            return;
        }
        // The first: no way down, and nothing to balance.
        [&entity.parent, &entity.left, &entity.right].into_iter().for_each(|link| link.set(None));
        entity.least.set(entity.vruntime.get());
        entity.height.set(1);
        self.root = Some(entity);
    }

    /// Takes it out of those.
    #[inline]
    pub fn stop_waiting(&mut self, entity: &'static Entity) {
        self.waiting -= 1;
        if self.waiting > 0 {
            self.unlink(Some(entity));
        } else {
            self.root = None;
        }
    }

    /// Of those that wait, the eligible one with the earliest deadline; of several with the same, who waits longest.
    #[inline]
    pub fn first(&self) -> Link {
        let mut at = self.root?;
        if !self.is_eligible(at.least.get()) {
            return None;
        }
        // Somebody in the subtree `at` is eligible.
        loop {
            match at.left.get() {
                Some(left) if self.is_eligible(left.least.get()) => at = left,
                _ if self.is_eligible(at.vruntime.get()) => return Some(at),
                _ => at = at.right.get()?,
            }
        }
    }

    /// Of those that wait, from the one whose turn is last: the first of up to `looks` that pleases.
    pub fn last_of(&self, looks: usize, mut pleases: impl FnMut(&Entity) -> bool) -> Link {
        let mut at = self.outermost(Side::Right);
        for _ in 0..looks {
            let entity = at?;
            if pleases(entity) {
                return at;
            }
            at = self.neighbour(at, Side::Left);
        }
        None
    }

    /// Takes out of the sums and puts in again, at the same lag, an entity whose weight `change` changes. It takes part
    /// and is not in the tree.
    pub fn reweigh(&mut self, entity: &'static Entity, change: impl FnOnce()) {
        let old = i64::from(entity.weight.get());
        let vruntime = entity.vruntime.get();
        let now = self.now();
        self.load -= old as u64;
        self.sum -= old * vruntime.wrapping_sub(self.base) as i64;
        change();
        let new = i64::from(entity.weight.get());
        let scaled = |units: u64| (units as i64 * old / new) as u64;
        let request = scaled(entity.deadline.get().wrapping_sub(vruntime));
        let vruntime = now.wrapping_sub(scaled(now.wrapping_sub(vruntime)));
        entity.vruntime.set(vruntime);
        entity.deadline.set(vruntime.wrapping_add(request));
        self.load += new as u64;
        self.count(new as u64, vruntime.wrapping_sub(self.base) as i64);
    }
}

impl Default for Fair {
    fn default() -> Self {
        Self::new()
    }
}

/// A link that the tree follows; it asks for none of nobody's.
#[inline]
fn node(at: Link) -> &'static Entity {
    at.expect("a node")
}

impl Nodes for Fair {
    type Link = Link;
    type Sum = Sum;

    const NOBODY: Link = None;

    #[inline]
    fn root(&self) -> Link {
        self.root
    }

    #[inline]
    fn set_root(&mut self, root: Link) {
        self.root = root;
    }

    #[inline]
    fn child(&self, at: Link, side: Side) -> Link {
        match side {
            Side::Left => node(at).left.get(),
            Side::Right => node(at).right.get(),
        }
    }

    #[inline]
    fn put_child(&mut self, at: Link, side: Side, child: Link) {
        match side {
            Side::Left => node(at).left.set(child),
            Side::Right => node(at).right.set(child),
        }
    }

    #[inline]
    fn parent(&self, at: Link) -> Link {
        node(at).parent.get()
    }

    #[inline]
    fn put_parent(&mut self, at: Link, parent: Link) {
        node(at).parent.set(parent);
    }

    #[inline]
    fn sum(&self, at: Link) -> Sum {
        Sum { least: node(at).least.get(), height: node(at).height.get() }
    }

    #[inline]
    fn put_sum(&mut self, at: Link, sum: Sum) {
        node(at).least.set(sum.least);
        node(at).height.set(sum.height);
    }

    #[inline]
    fn summed(&self, at: Link) -> Sum {
        let mut sum = Sum { least: node(at).vruntime.get(), height: 0 };
        for below in [node(at).left.get(), node(at).right.get()].into_iter().flatten() {
            sum.least = earlier(sum.least, below.least.get());
            sum.height = sum.height.max(below.height.get());
        }
        sum.height += 1;
        sum
    }

    #[inline]
    fn precedes(&self, new: Link, at: Link) -> bool {
        is_before(node(new).deadline.get(), node(at).deadline.get())
    }

    #[inline]
    fn height(&self, at: Link) -> u32 {
        at.map_or(0, |entity| u32::from(entity.height.get()))
    }
}
