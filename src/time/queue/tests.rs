//! The queue against a sorted map that does the same slowly, over many random operations.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;

use super::*;
use crate::testing::Random;

/// What the heap promises itself: each key is after its parent's, each slot is there once, and knows where.
fn check(queue: &TimerQueue) {
    for position in 1..queue.len {
        assert!(queue.room.keys[(position - 1) / ARITY] < queue.room.keys[position], "order at {position}");
    }
    let mut slots: Vec<usize> = queue.room.keys.iter().map(|&key| TimerId::of(key).slot()).collect();
    for (position, &slot) in slots[..queue.len].iter().enumerate() {
        assert_eq!(usize::from(queue.room.positions[slot]), position, "slot {slot}");
    }
    slots.sort_unstable();
    assert!(slots.iter().copied().eq(0..queue.room()), "each slot once");
}

/// An empty queue with room for so many.
fn with_room(timers: usize) -> TimerQueue {
    let mut queue = TimerQueue::new();
    assert_eq!(queue.move_into(Room::new(timers).unwrap()).keys.len(), 0);
    queue
}

/// By deadline and then by arming: context and period.
type Model = BTreeMap<(u64, u64), (TimerId, usize, Option<NonZeroU64>)>;

fn pop_model(model: &mut Model, now: u64) -> Option<(TimerId, u64, usize, u64)> {
    let (&(deadline, order), &(id, context, period)) = model.first_key_value()?;
    if deadline > now {
        return None;
    }
    model.pop_first();
    let mut missed = 0;
    if let Some(period) = period {
        // One period at a time, as it would be without any arithmetic.
        let mut next = deadline + period.get();
        while next <= now {
            next += period.get();
            missed += 1;
        }
        model.insert((next, order), (id, context, Some(period)));
    }
    Some((id, deadline, context, missed))
}

/// Arms, cancels (of timers that are there, and of others that were), and lets time pass, by the seed's
/// numbers.
fn run<const N: usize>(seed: u64, operations: usize, spread: u64) {
    let mut random = Random::new(seed);
    // It moves twice on its way, wherever it stands then.
    let mut rooms = [N, (N / 2).max(1)].map(|timers| Room::new(timers).unwrap()).into_iter().rev();
    let mut queue = with_room((N / 4).max(1));
    let mut room = queue.room();
    let mut model = Model::new();
    let mut ids = Vec::new();
    let (mut now, mut order, mut full, mut fired, mut cancelled, mut stale) = (0, 0, 0, 0, 0, 0);
    for operation in 0..operations {
        if operation % (operations / 4) == operations / 8
            && let Some(larger) = rooms.next()
        {
            room = larger.keys.len().max(room);
            let left = queue.move_into(larger);
            assert!(left.keys.len() <= room && queue.room() == room);
            check(&queue);
        }
        match random.below(100) {
            0..55 => {
                let deadline = now + random.below(spread);
                let context = random.next_u64() as usize;
                let is_periodic = random.below(16) == 0;
                let period = NonZeroU64::new(1 + random.below(spread)).filter(|_| is_periodic);
                let armed = match period {
                    Some(period) => queue.arm_periodic(deadline, period, nothing, context),
                    None => queue.arm(deadline, nothing, context),
                };
                assert_eq!(armed.is_err(), model.len() == room, "operation {operation}");
                match armed {
                    Ok(id) => {
                        order += 1;
                        assert!(!ids.contains(&id));
                        ids.push(id);
                        model.insert((deadline, order), (id, context, period));
                    }
                    Err(Full) => full += 1,
                }
            }
            55..90 => {
                if ids.is_empty() {
                    continue;
                }
                let at = random.index(ids.len());
                // Some ids stay in the list, to be cancelled once more.
                let id = if random.below(4) == 0 { ids[at] } else { ids.swap_remove(at) };
                let key = model.iter().find(|(_, timer)| timer.0 == id).map(|(&key, _)| key);
                assert_eq!(queue.cancel(id), key.is_some(), "operation {operation}");
                assert!(!queue.cancel(id), "a second time");
                match key.and_then(|key| model.remove(&key)) {
                    Some(_) => cancelled += 1,
                    None => stale += 1,
                }
            }
            _ => {
                now += random.below(spread / 2);
                loop {
                    let found = queue.pop_expired(now);
                    let found = found.map(|e| (e.id, e.deadline_ns, e.context, e.missed));
                    assert_eq!(found, pop_model(&mut model, now), "operation {operation}");
                    if found.is_none() {
                        break;
                    }
                    fired += 1;
                }
            }
        }
        assert_eq!(queue.len(), model.len(), "operation {operation}");
        assert_eq!(queue.next_deadline(), model.first_key_value().map(|(key, _)| key.0));
        if operation % 64 == 0 {
            check(&queue);
        }
        ids.drain(..ids.len().saturating_sub(4 * N));
    }
    assert!(fired > operations / 100 && cancelled > operations / 100, "{fired} fired, {cancelled} cancelled");
    assert!(stale > 0 && (N > 16 || full > 0), "{stale} stale, {full} full");
}

#[test]
fn does_what_a_sorted_map_does() {
    run::<256>(31, 100_000, 1_000_000);
    run::<256>(32, 50_000, 50);
    run::<64>(33, 50_000, 1000);
    run::<5>(34, 30_000, 200);
    run::<1>(35, 10_000, 20);
}

#[test]
fn no_room_and_no_more_of_it() {
    let mut queue = TimerQueue::new();
    assert_eq!(queue.arm(1, nothing, 0), Err(Full));
    assert!(queue.pop_expired(u64::MAX).is_none() && !queue.cancel(TimerId(0)));
    drop(queue.move_into(Room::new(2).unwrap()));
    let id = queue.arm(1, nothing, 0).unwrap();
    // As large, and smaller: it stays where it is.
    assert_eq!(queue.move_into(Room::new(2).unwrap()).keys.len(), 2);
    assert_eq!(queue.move_into(Room::new(1).unwrap()).keys.len(), 1);
    assert_eq!(queue.room(), 2);
    assert!(queue.cancel(id));
}

#[test]
fn equal_deadlines_fire_in_the_order_of_arming() {
    let mut queue = with_room(32);
    let mut contexts = Vec::new();
    for context in 0..32 {
        queue.arm(if context % 2 == 0 { 5 } else { 6 }, nothing, context).unwrap();
    }
    assert_eq!(queue.arm(0, nothing, 0), Err(Full));
    while let Some(expired) = queue.pop_expired(6) {
        contexts.push(expired.context);
    }
    assert!(contexts.iter().copied().eq((0..32).step_by(2).chain((1..32).step_by(2))));
    assert!(queue.is_empty() && queue.next_deadline().is_none());
}

#[test]
fn not_before_its_time() {
    let mut queue = with_room(4);
    queue.arm(1000, nothing, 0).unwrap();
    queue.arm(u64::MAX, nothing, 1).unwrap();
    assert!(queue.pop_expired(999).is_none());
    assert_eq!(queue.pop_expired(1000).unwrap().deadline_ns, 1000);
    assert!(queue.pop_expired(u64::MAX - 1).is_none());
    assert_eq!(queue.pop_expired(u64::MAX).unwrap().context, 1);
}

#[test]
fn a_slot_used_again_has_another_id() {
    let mut queue = with_room(2);
    let first = queue.arm(1, nothing, 0).unwrap();
    assert!(queue.cancel(first));
    let second = queue.arm(1, nothing, 0).unwrap();
    assert_eq!(first.slot(), second.slot());
    assert_ne!(first.generation(), second.generation());
    assert!(!queue.cancel(first));
    assert!(queue.cancel(second));
    // An id of a larger queue names nothing here.
    assert!(!queue.cancel(TimerId(1 << SLOT_BITS | 77)));
    assert!(!queue.cancel(TimerId(0)));
}

#[test]
fn periods_do_not_drift() {
    let period = NonZeroU64::new(10).unwrap();
    assert_eq!(next_period(100, period, 100), (110, 0));
    assert_eq!(next_period(100, period, 109), (110, 0));
    assert_eq!(next_period(100, period, 110), (120, 1));
    assert_eq!(next_period(100, period, 155), (160, 5));
    assert_eq!(next_period(200, period, 100), (210, 0));
    assert_eq!(next_period(u64::MAX - 3, period, u64::MAX - 1), (u64::MAX, 0));

    let mut queue = with_room(1);
    let id = queue.arm_periodic(100, period, nothing, 9).unwrap();
    assert_eq!(queue.arm(1, nothing, 0), Err(Full), "it keeps its place");
    let mut calls = 0;
    for now in (100..10_000).step_by(7) {
        while let Some(expired) = queue.pop_expired(now) {
            assert_eq!((expired.id, expired.deadline_ns % 10), (id, 0));
            calls += 1 + expired.missed;
        }
    }
    assert_eq!(calls, 990);
    assert!(queue.cancel(id));
    assert!(queue.is_empty());

    // At the end of time a periodic timer fires once, and no more.
    queue.arm_periodic(u64::MAX - 1, period, nothing, 9).unwrap();
    assert_eq!(queue.pop_expired(u64::MAX).unwrap().deadline_ns, u64::MAX - 1);
    assert_eq!(queue.pop_expired(u64::MAX).unwrap().deadline_ns, u64::MAX);
    assert!(queue.pop_expired(u64::MAX).is_none());
}

#[test]
fn all_are_listed_in_order_and_without() {
    let mut random = Random::new(36);
    let mut queue = with_room(100);
    for context in 0..100 {
        queue.arm(random.below(50), nothing, context).unwrap();
    }
    let mut listed = Vec::new();
    let mut previous = None;
    while let Some(armed) = queue.after(previous.as_ref()) {
        listed.push((armed.deadline_ns, armed.id));
        previous = Some(armed);
    }
    let mut all: Vec<_> = queue.iter().map(|armed| (armed.deadline_ns, armed.id)).collect();
    assert_eq!(all.len(), 100);
    all.sort_unstable();
    assert_eq!(listed, all);
}

#[test]
fn what_expired_is_called_with_its_context() {
    static CALLED_WITH: AtomicUsize = AtomicUsize::new(0);
    fn callback(context: usize) {
        CALLED_WITH.store(context, Ordering::SeqCst);
    }
    static QUEUE: TimerQueue = TimerQueue::new();
    assert!(QUEUE.is_empty() && QUEUE.room() == 0, "can be a static");
    let mut queue = with_room(8);
    queue.arm(1, callback, 42).unwrap();
    queue.pop_expired(1).unwrap().call();
    assert_eq!(CALLED_WITH.load(Ordering::SeqCst), 42);
}
