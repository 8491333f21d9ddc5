//! The real-time classes: 99 priorities, a list for each, and a bit for each list that is not empty.
//!
//! The thread that runs is in no list. One that is preempted goes back to the front of its list, one that yields or has
//! had its quantum to the end. The lists are rings: the first one's `left` is the last.
//!
//! Source: POSIX.1-2024, vol. 2, §2.8.4, "Process Scheduling".

use super::entity::Entity;

/// Priorities, and a place for 0, which is none.
const RANKS: usize = 100;

/// The real-time threads of a CPU that wait.
#[derive(Debug)]
pub struct RealTime {
    /// The bit of a priority: its list has somebody in it.
    taken: u128,
    /// The highest of these; 0 if there is none.
    highest: u8,
    heads: [Option<&'static Entity>; RANKS],
}

/// Where in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Front,
    Back,
}

impl RealTime {
    pub const fn new() -> Self {
        Self { taken: 0, highest: 0, heads: [None; RANKS] }
    }

    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.highest == 0
    }

    /// The highest priority of one that waits; 0 if none does.
    #[inline]
    pub const fn highest(&self) -> u8 {
        self.highest
    }

    /// Whether somebody waits at this priority.
    #[inline]
    pub const fn waits_at(&self, rank: u8) -> bool {
        self.taken >> rank & 1 != 0
    }

    pub fn insert(&mut self, entity: &'static Entity, end: End) {
        let rank = entity.rank.get();
        let head = &mut self.heads[rank as usize];
        if let Some(first) = *head {
            let last = first.left.get();
            entity.left.set(last);
            entity.right.set(Some(first));
            last.expect("a ring").right.set(Some(entity));
            first.left.set(Some(entity));
        } else {
            entity.left.set(Some(entity));
            entity.right.set(Some(entity));
            self.taken |= 1 << rank;
            self.highest = self.highest.max(rank);
        }
        if end == End::Front || entity.right.get() == Some(entity) {
            *head = Some(entity);
        }
    }

    /// If a single thread waits at this one's priority, and none above it: that one, whose place it takes. So two threads
    /// that take turns, as most that do are, touch no list.
    #[inline(always)]
    pub fn exchange_only(&mut self, entity: &'static Entity) -> Option<&'static Entity> {
        let rank = entity.rank.get();
        let head = &mut self.heads[rank as usize];
        let only = (*head)?;
        if rank != self.highest || !only.right.leads_to(only) {
            return None;
        }
        entity.left.set(Some(entity));
        entity.right.set(Some(entity));
        *head = Some(entity);
        Some(only)
    }

    pub fn remove(&mut self, entity: &'static Entity) {
        let rank = entity.rank.get();
        let (before, after) = (entity.left.get(), entity.right.get());
        if after == Some(entity) {
            self.heads[rank as usize] = None;
            self.taken &= !(1 << rank);
            if rank == self.highest {
                self.highest = if self.taken == 0 { 0 } else { 127 - self.taken.leading_zeros() as u8 };
            }
            return;
        }
        before.expect("a ring").right.set(after);
        after.expect("a ring").left.set(before);
        if self.heads[rank as usize] == Some(entity) {
            self.heads[rank as usize] = after;
        }
    }

    /// The first of those with the highest priority; it stays in.
    #[inline]
    pub fn first(&self) -> Option<&'static Entity> {
        self.heads[self.highest() as usize]
    }
}

impl Default for RealTime {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::sched::entity::Policy;
    use std::boxed::Box;

    #[test]
    fn the_highest_priority_first_and_in_order() {
        let some = |id, rank| -> &'static Entity { Box::leak(Box::new(Entity::new(id, Policy::Fifo(rank)))) };
        let mut queue = RealTime::new();
        let [a, b, c, d, e] = [some(0, 1), some(1, 99), some(2, 99), some(3, 64), some(4, 99)];
        [a, b, c, d].into_iter().for_each(|entity| queue.insert(entity, End::Back));
        queue.insert(e, End::Front);
        assert!(queue.waits_at(64) && !queue.waits_at(65));
        for expected in [e, b, c, d, a] {
            assert_eq!(queue.highest(), expected.rank.get());
            let first = queue.first().unwrap();
            assert_eq!(first.id(), expected.id());
            queue.remove(first);
        }
        assert!(queue.is_empty() && queue.first().is_none() && queue.highest() == 0);
        // From the middle and the end.
        [b, c, e].into_iter().for_each(|entity| queue.insert(entity, End::Back));
        queue.remove(c);
        queue.remove(e);
        assert_eq!(queue.first(), Some(b));
        queue.insert(c, End::Back);
        queue.remove(b);
        assert_eq!(queue.first(), Some(c));
    }
}
